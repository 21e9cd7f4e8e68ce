//! What a finished answer costs.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_answer_costs_what_it_reports_and_says_so_in_its_head() {
    let house = House::open("1", "").await;
    let usage = json!({
        "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17,
        "prompt_tokens_details": { "cached_tokens": 4 }, "completion_tokens_details": { "reasoning_tokens": 2 },
    });
    let sent = completion(&usage);
    house.upstream.answer(Reply::json(&sent));
    let mut answer = house.chat(&ask()).await;
    // 6 x 1 + 4 x 0.5 + 5 x 4 + 2 x 3.
    assert_eq!(answer.header("x-credits-charged"), Some("0.000034"));
    assert_eq!(answer.header("x-credits-remaining"), Some("0.999966"));
    assert_eq!(answer.text().await, sent.to_string());
    assert_eq!(house.charged_of(1_000_000).await, 34);
    let detail = house.detail();
    assert_eq!(
        detail["usage"],
        json!({ "input": 6, "cached_input": 4, "output": 5, "reasoning": 2 })
    );
    assert_eq!(
        detail["price"],
        json!({ "input": "1.000000", "cached_input": "0.500000", "output": "4.000000", "reasoning": "3.000000", "tokens": 1_000_000 })
    );
    assert_eq!(
        (&detail["model"], &detail["route"]),
        (&json!("small"), &json!("openai-chat"))
    );
}

#[tokio::test]
async fn a_stream_costs_what_it_reports_and_passes_untouched() {
    let house = House::open("1", "").await;
    let shown = [chunk("Hel"), chunk("lo"), last_chunk()];
    let events = [&shown[..], &[usage_chunk(10, 2), "[DONE]".to_owned()]].concat();
    house.upstream.answer(streams(&events));
    let mut answer = house.chat(&ask_streamed()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.header("x-credits-charged").is_none());
    let held = bytes(&ask_streamed()) + 4_000;
    assert_eq!(micros(answer.header("x-credits-held").unwrap()), held);
    // The client did not ask what was used.
    assert_eq!(
        answer.text().await,
        sse(&[&shown[..], &["[DONE]".to_owned()]].concat())
    );
    assert_eq!(house.charged_of(1_000_000).await, 18);
    let asked = house.upstream.next_request().await.json();
    assert_eq!(asked["stream_options"], json!({ "include_usage": true }));
}

#[tokio::test]
async fn a_client_that_asks_for_usage_sees_it() {
    let house = House::open("1", "").await;
    let events = [
        chunk("Hello"),
        last_chunk(),
        usage_chunk(10, 2),
        "[DONE]".to_owned(),
    ];
    house.upstream.answer(streams(&events));
    let mut ask = ask_streamed();
    ask["stream_options"] = json!({ "include_usage": true });
    assert_eq!(house.chat(&ask).await.text().await, sse(&events));
    assert_eq!(house.charged_of(1_000_000).await, 18);
}

#[tokio::test]
async fn every_api_is_charged_by_its_own_usage() {
    for (path, ask, answer, charge) in [
        (
            "/v1/completions",
            json!({ "model": "small", "prompt": "Hi", "max_tokens": 5 }),
            json!({ "choices": [{ "text": "Hello" }], "usage": { "prompt_tokens": 2, "completion_tokens": 3 } }),
            2 + 12,
        ),
        (
            "/v1/embeddings",
            json!({ "model": "small", "input": ["a", "b"] }),
            json!({ "data": [], "usage": { "prompt_tokens": 9, "total_tokens": 9 } }),
            9,
        ),
        (
            "/v1/responses",
            json!({ "model": "small", "input": "Hi" }),
            json!({ "object": "response", "status": "completed", "output": [],
                "usage": { "input_tokens": 8, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 5,
                    "output_tokens_details": { "reasoning_tokens": 1 }, "total_tokens": 13 } }),
            4 + 2 + 16 + 3,
        ),
        (
            "/v1/messages",
            json!({ "model": "small", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] }),
            json!({ "type": "message", "content": [{ "type": "text", "text": "Hello" }],
                "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2 } }),
            3 + 2 + 8,
        ),
        (
            "/api/chat",
            json!({ "model": "small", "stream": false, "messages": [{ "role": "user", "content": "Hi" }] }),
            json!({ "message": { "role": "assistant", "content": "Hello" }, "done": true, "prompt_eval_count": 6, "eval_count": 2 }),
            6 + 8,
        ),
        (
            "/api/generate",
            json!({ "model": "small", "stream": false, "prompt": "Hi" }),
            json!({ "response": "Hello", "done": true, "prompt_eval_count": 5, "eval_count": 1 }),
            5 + 4,
        ),
    ] {
        let house = House::open("1", "").await;
        house.upstream.answer(Reply::json(&answer));
        let reply = house.gate.client().post_json(path, &ask).send().await;
        assert_eq!(reply.status(), 200, "{path}");
        assert_eq!(
            micros(reply.header("x-credits-charged").unwrap()),
            charge,
            "{path}"
        );
        assert_eq!(house.charged_of(1_000_000).await, charge, "{path}");
    }
}

#[tokio::test]
async fn what_fails_costs_nothing() {
    let house = House::open("1", "").await;
    for status in [302, 304, 400, 429, 500, 529] {
        house.upstream.answer_next(Reply::status(status));
        let answer = house.chat(&ask()).await;
        assert_eq!(
            (answer.status(), answer.header("x-credits-charged")),
            (status, Some("0.000000"))
        );
    }
    assert_eq!(house.charged_of(1_000_000).await, 0);
}

#[tokio::test]
async fn a_long_answer_is_passed_on_while_it_is_read() {
    let house = House::open("1", "").await;
    let mut sent = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 3 }));
    sent["padding"] = json!("x".repeat(3 * 1024 * 1024));
    house.upstream.answer(Reply::json(&sent));
    let mut answer = house.chat(&ask()).await;
    assert!(answer.header("x-credits-held").is_some());
    assert_eq!(answer.bytes().await, sent.to_string());
    assert_eq!(house.charged_of(1_000_000).await, 22);
}

#[tokio::test]
async fn a20_a_request_keeps_the_price_it_began_with() {
    let house = House::open("1", "").await;
    let (sender, reply) = Reply::stepped();
    house
        .upstream
        .answer_next(reply.header("content-type", "text/event-stream"));
    let mut answer = house.chat(&ask_streamed()).await;
    assert!(sender.send(sse(&[chunk("Hello")])).await);
    answer.chunk().await.unwrap();
    house
        .gate
        .reload(&config(&house.upstream, "").replace("output = 4\n", "output = 8\n"));
    assert!(sender.send(sse(&[usage_chunk(10, 2), "[DONE]".to_owned()])).await);
    drop(sender);
    answer.text().await;
    assert_eq!(house.charged_of(1_000_000).await, 10 + 8);
    house.upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
    )));
    house.chat(&ask()).await;
    assert_eq!(house.charged_of(1_000_000).await, 18 + 10 + 16);
}

#[tokio::test]
async fn sound_is_held_and_an_estimate_charged_at_its_own_rate() {
    let upstream = FakeUpstream::start().await;
    let sounding = "[models.\"sounding\"]\ninput = 1\naudio_input = 40\ncache_write = 5\noutput = 4\noutput_tokens_max = 10\naudio_tokens = 100\nrequest_tokens = 0\n";
    let house = Gatehouse::start("1", &(config(&upstream, "") + sounding)).await;
    upstream.answer(Reply::json(&completion(&Value::Null)));
    let ask = json!({ "model": "sounding", "messages": [{ "role": "user", "content": [
        { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } } ] }] });
    let answer = house
        .client()
        .post_json("/v1/chat/completions", &ask)
        .send()
        .await;
    let charged = micros(answer.header("x-credits-charged").unwrap());
    let text = bytes(&ask) - 4;
    assert_eq!(charged, text + 100 * 40 + 5 * 4);
    house.settled().await;
    let entries = house.ledger.entries();
    let detail: Value = serde_json::from_str(entries.last().unwrap().detail.as_str()).unwrap();
    assert_eq!(
        detail["usage"],
        json!({ "input": text, "audio_input": 100, "output": 5, "estimated": true })
    );
    assert_eq!(detail["price"]["audio_input"], "40.000000");
}
