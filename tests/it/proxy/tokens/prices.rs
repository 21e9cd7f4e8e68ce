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

/// A stream whose last usage comes with an end, and the same with what it has cost.
fn told(events: &[String], usage: &Value) -> (String, String) {
    let plain = sse(events);
    let usage = usage.to_string();
    let with_cost = format!("{},\"cost\":\"0.000018\"}}", usage.strip_suffix('}').unwrap());
    let (before, behind) = plain.rsplit_once(&usage).expect("its usage");
    let told = format!("{before}{with_cost}{behind}");
    (plain, told)
}

#[tokio::test]
async fn the_last_usage_of_a_stream_tells_its_cost_to_whom_asks_for_it() {
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12 });
    let mut last: Value = serde_json::from_str(&usage_chunk(10, 2)).unwrap();
    last["usage"] = usage.clone();
    let chat = [
        chunk("Hello"),
        last_chunk(),
        last.to_string(),
        "[DONE]".to_owned(),
    ];
    let spent = json!({ "input_tokens": 10, "output_tokens": 2 });
    let messages = [
        json!({ "type": "message_start", "message": { "id": "m1", "model": "small", "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hello" } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": spent }),
        json!({ "type": "message_stop" }),
    ];
    let responses = [
        json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "Hello" }),
        json!({ "type": "response.completed", "response": { "status": "completed", "usage": spent } }),
    ];
    let texts = |events: &[Value]| -> Vec<String> { events.iter().map(Value::to_string).collect() };
    let mut ask_chat = ask_streamed();
    ask_chat["stream_options"] = json!({ "include_usage": true });
    let mut ask_messages = ask_streamed();
    ask_messages["max_tokens"] = json!(100);
    let ask_responses = json!({ "model": "small", "input": "Hi", "stream": true });
    for (path, ask, events, usage) in [
        ("/v1/chat/completions", ask_chat, chat.to_vec(), usage),
        ("/v1/messages", ask_messages, texts(&messages), spent.clone()),
        ("/v1/responses", ask_responses, texts(&responses), spent),
    ] {
        let (plain, told) = told(&events, &usage);
        for (settings, header, seen) in [
            ("", None, &plain),
            ("", Some("false"), &plain),
            ("", Some("true"), &told),
            ("usage_cost = true", None, &told),
            (
                "usage_cost = true\nhold = \"growing\"\nslice = 10\noutput_min = 1",
                None,
                &told,
            ),
        ] {
            let house = House::open("1", settings).await;
            house.upstream.answer(streams(&events));
            let mut request = house.gate.client().post_json(path, &ask);
            if let Some(header) = header {
                request = request.header("x-usage-cost", header);
            }
            assert_eq!(
                request.send().await.text().await,
                *seen,
                "{path} {settings} {header:?}"
            );
            assert_eq!(house.charged_of(1_000_000).await, 18, "{path}");
        }
    }
}

#[tokio::test]
async fn no_cost_is_told_that_is_not_known_or_to_whom_no_usage_is_told() {
    let mut asks_usage = ask_streamed();
    asks_usage["stream_options"] = json!({ "include_usage": true });
    let events = |usage: u64| {
        [
            chunk("Hello"),
            last_chunk(),
            usage_chunk(10, usage),
            "[DONE]".to_owned(),
        ]
    };
    let growing = "usage_cost = true\nhold = \"growing\"\nslice = 10\noutput_min = 1";
    for (settings, ask, usage, charge) in [
        ("usage_cost = true", ask_streamed(), 2, 18),
        // The hold has yet to grow for what nobody has seen.
        (growing, asks_usage.clone(), 700, 10 + 4 * 700),
        // What was written is estimated.
        ("usage_cost = true", asks_usage, 0, 10 + 4 * 5),
    ] {
        let house = House::open("1", settings).await;
        house.upstream.answer(streams(&events(usage)));
        let text = house.chat(&ask).await.text().await;
        assert!(!text.contains("\"cost\""), "{text}");
        assert_eq!(house.charged_of(1_000_000).await, charge);
    }
}
