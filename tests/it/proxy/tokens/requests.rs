//! What is asked of the upstream, and what is refused.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use faregate::domain::entry::EntryKind;
use faregate::proxy::{Own, OwnAnswer, OwnCall, OwnFault};
use serde_json::json;

use super::super::gatehouse::Options;
use super::*;

#[tokio::test]
async fn p10_a_model_without_a_price_never_reaches_the_upstream() {
    let house = House::open("1", "").await;
    for name in ["unknown", "Small", "small ", "large"] {
        let mut ask = ask();
        ask["model"] = json!(name);
        let mut answer = house.chat(&ask).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.json().await["error"]["code"], "model_not_priced", "{name}");
    }
    assert_eq!((house.upstream.reached(), house.gate.ledger.admits()), (0, 0));
}

#[tokio::test]
async fn the_upstream_is_told_no_more_output_than_the_hold_pays_for() {
    let house = House::open("0.001", "").await;
    house.upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
    )));
    let afforded = |ask: &Value, available: i64| (available - bytes(ask)) / 4;
    let mut available = 1_000;
    for (limit, told) in [(None, None), (Some(900), None), (Some(7), Some(7))] {
        let mut ask = ask();
        if let Some(limit) = limit {
            ask["max_tokens"] = json!(limit);
        }
        assert_eq!(house.chat(&ask).await.status(), 200);
        let sent = house.upstream.next_request().await.json();
        assert_eq!(
            sent["max_tokens"],
            told.unwrap_or_else(|| afforded(&ask, available)),
            "{limit:?}"
        );
        assert_eq!(sent["messages"], ask["messages"]);
        available -= 18;
        assert_eq!(house.charged_of(1_000).await, 1_000 - available);
    }
}

/// Sixteen tokens are what a completion has where nobody says; nobody pays for more because the gate is there.
#[tokio::test]
async fn a_completion_without_a_limit_has_its_usual_one() {
    for (kind, limit, told) in [
        ("generic", None, 16),
        ("vllm", None, 16),
        // No limit, to some: what the model has.
        ("generic", Some(-1), 1_000),
        ("openai", Some(40), 40),
        ("plain", None, 1_000),
    ] {
        let house = House::kind("1", "", kind).await;
        house
            .upstream
            .answer(Reply::json(&json!({ "choices": [{ "text": "Hi", "index": 0 }],
                "usage": { "prompt_tokens": 10, "completion_tokens": 2 } })));
        let mut ask = json!({ "model": "small", "prompt": "Hi" });
        if let Some(limit) = limit {
            ask["max_tokens"] = json!(limit);
        }
        let client = house.gate.client();
        let answer = client.post_json("/v1/completions", &ask).send().await;
        assert_eq!(answer.header("x-credits-charged"), Some("0.000018"), "{kind}");
        let sent = house.upstream.next_request().await.json();
        assert_eq!(sent["max_tokens"], told, "{kind}");
    }
}

#[tokio::test]
async fn a_customer_with_too_little_for_the_floor_is_told_what_would_fit() {
    let ask = ask();
    let input = bytes(&ask);
    for (output_min, available, status) in [(20, input + 80, 200), (20, input + 79, 402), (1, input + 3, 402)]
    {
        let credits = format!("0.{available:06}");
        let house = House::open(&credits, &format!("output_min = {output_min}")).await;
        house.upstream.answer(Reply::json(&completion(
            &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
        )));
        let mut answer = house.chat(&ask).await;
        assert_eq!(answer.status(), status, "{output_min} of {available}");
        if status == 402 {
            let error = answer.json().await["error"].clone();
            assert_eq!(error["code"], "insufficient_credits");
            let fits = (available - input) / 4;
            assert_eq!(
                error["max_tokens"],
                if fits > 0 { json!(fits) } else { Value::Null }
            );
        }
    }
}

#[tokio::test]
async fn a_route_may_refuse_rather_than_shorten() {
    let ask = ask();
    let whole = bytes(&ask) + 4_000;
    for (available, status) in [(whole, 200), (whole - 1, 402)] {
        let house = House::open(&format!("0.{available:06}"), "when_short = \"refuse\"").await;
        house.upstream.answer(Reply::json(&completion(
            &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
        )));
        assert_eq!(house.chat(&ask).await.status(), status);
    }
}

#[tokio::test]
async fn an_alias_is_told_by_its_name() {
    let house = House::open("1", "").await;
    house.upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
    )));
    let mut ask = ask();
    ask["model"] = json!("mini");
    assert_eq!(house.chat(&ask).await.status(), 200);
    assert_eq!(house.upstream.next_request().await.json()["model"], "small");
}

#[tokio::test]
async fn p2_where_the_route_says_the_model_the_body_says_no_other() {
    let house = House::open("1", "model = \"small\"").await;
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 2 });
    house.upstream.answer(Reply::json(&completion(&usage)));
    let mut ask = ask();
    ask["model"] = json!("large-1");
    assert_eq!(house.chat(&ask).await.status(), 200);
    assert_eq!(house.upstream.next_request().await.json()["model"], "small");
    assert_eq!(house.charged_of(1_000_000).await, 18);

    ask.as_object_mut().expect("an object").remove("model");
    house.upstream.answer(Reply::json(&completion(&usage)));
    assert_eq!(house.chat(&ask).await.status(), 200);
    let sent = house.upstream.next_request().await.json();
    assert_eq!(
        (&sent["model"], &sent["messages"]),
        (&Value::Null, &ask["messages"])
    );
    assert_eq!(house.charged_of(1_000_000).await, 36);
}

#[tokio::test]
async fn p2_to_p9_what_cannot_be_read_in_one_way_or_is_deferred_is_refused_before_anything_is_held() {
    let house = House::open("1", "").await;
    for (name, body) in [
        ("p3 twice", r#"{"model":"small","model":"large-1","messages":[]}"#),
        (
            "p3 escaped",
            r#"{"model":"small","mo\u0064el":"large-1","messages":[]}"#,
        ),
        ("p3 case", r#"{"model":"small","Model":"large-1","messages":[]}"#),
        (
            "p3 deep",
            r#"{"model":"small","messages":[{"role":"user","content":"a","content":"b"}]}"#,
        ),
        ("p4 two values", r#"{"model":"small","messages":[]} {}"#),
        ("p4 bom", "\u{feff}{\"model\":\"small\",\"messages\":[]}"),
        ("p5 zero", r#"{"model":"small","messages":[],"max_tokens":0}"#),
        (
            "p5 negative",
            r#"{"model":"small","messages":[],"max_tokens":-3}"#,
        ),
        (
            "p5 fraction",
            r#"{"model":"small","messages":[],"max_tokens":10.0}"#,
        ),
        ("p5 text", r#"{"model":"small","messages":[],"max_tokens":"10"}"#),
        (
            "p5 huge",
            r#"{"model":"small","messages":[],"max_tokens":18446744073709551616}"#,
        ),
        (
            "p5 two",
            r#"{"model":"small","messages":[],"max_tokens":10,"max_completion_tokens":11}"#,
        ),
        ("p6 n", r#"{"model":"small","messages":[],"n":0}"#),
        ("p6 n", r#"{"model":"small","messages":[],"n":"2"}"#),
        (
            "p9 tier",
            r#"{"model":"small","messages":[],"service_tier":"priority"}"#,
        ),
        ("no model", r#"{"messages":[]}"#),
        ("model", r#"{"model":7,"messages":[]}"#),
        (
            "images",
            r#"{"model":"small","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#,
        ),
        (
            "p7 unknown part",
            r#"{"model":"small","messages":[{"role":"user","content":[{"type":"hologram","hologram":"x"}]}]}"#,
        ),
    ] {
        let request = house.gate.client().post("/v1/chat/completions", body);
        let mut answer = request.header("content-type", "application/json").send().await;
        assert_eq!(answer.status(), 400, "{name}");
        assert_eq!(answer.json().await["error"]["code"], "invalid_request", "{name}");
    }
    for target in [
        "/v1/chat/completions?model=large-1",
        "/v1/chat/completions?beta=1&beta=2",
    ] {
        let answer = house.gate.client().post_json(target, &ask()).send().await;
        assert_eq!(answer.status(), 400, "p2 {target}");
    }
    assert_eq!((house.upstream.reached(), house.gate.ledger.admits()), (0, 0));
}

#[tokio::test]
async fn p6_answers_are_held_for_as_often_as_they_are_asked_for() {
    let house = House::open("1", "").await;
    house.upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 10, "completion_tokens": 30 }),
    )));
    let mut ask = ask();
    ask["n"] = json!(3);
    ask["max_tokens"] = json!(10);
    assert_eq!(
        house.chat(&ask).await.header("x-credits-charged"),
        Some("0.000130")
    );
    let entries = house.gate.ledger.entries();
    let hold = entries.iter().find(|entry| entry.kind == EntryKind::Hold);
    assert_eq!(hold.unwrap().amount.micros(), bytes(&ask) + 3 * 40);
}

#[tokio::test]
async fn p11_usage_is_asked_for_whatever_the_client_says() {
    for (kind, options) in [
        ("generic", json!({ "include_usage": true })),
        (
            "vllm",
            json!({ "include_usage": true, "continuous_usage_stats": true }),
        ),
        ("plain", json!({ "include_usage": false })),
    ] {
        let house = House::kind("1", "", kind).await;
        let events = [
            chunk("Hello"),
            last_chunk(),
            usage_chunk(10, 2),
            "[DONE]".to_owned(),
        ];
        house.upstream.answer(streams(&events));
        let mut ask = ask_streamed();
        ask["stream_options"] = json!({ "include_usage": false });
        house.chat(&ask).await.text().await;
        assert_eq!(
            house.upstream.next_request().await.json()["stream_options"],
            options,
            "{kind}"
        );
        assert_eq!(house.charged_of(1_000_000).await, 18);
    }
}

#[tokio::test]
async fn a_list_of_models_shows_what_is_priced_and_open_to_the_plan() {
    let upstream = FakeUpstream::start().await;
    let listing = "[[routes]]\nid = \"list\"\nmatch = \"GET /v1/models\"\nupstream = \"models\"\napi = \"openai-models\"\ncost = 0\n";
    let listed =
        json!({ "object": "list", "data": [{ "id": "small" }, { "id": "large-1" }, { "id": "other" }] });
    let text = config(&upstream, "") + listing;
    let house = Gatehouse::start("1", &text).await;
    upstream.answer(Reply::json(&listed));
    let mut answer = house
        .client()
        .get("/v1/models")
        .header("accept-encoding", "gzip")
        .send()
        .await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let seen = json!([{ "id": "small" }, { "id": "mini" }, { "id": "large-1" }]);
    assert_eq!(answer.json().await, json!({ "object": "list", "data": seen }));
    assert_eq!(
        upstream.next_request().await.header("accept-encoding"),
        Some("identity")
    );
    // Compressed although nobody asked for that.
    let reply = Reply::ok(super::coded::gzip(&listed.to_string())).header("content-encoding", "gzip");
    upstream.answer(reply.header("content-type", "application/json"));
    let mut answer = house.client().get("/v1/models").send().await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.json().await, json!({ "object": "list", "data": seen }));
    // What is no list is not shown: it might name anything.
    upstream.answer(Reply::ok("<html>"));
    assert_eq!(house.client().get("/v1/models").send().await.status(), 502);
    upstream.answer(Reply::status(404));
    assert_eq!(house.client().get("/v1/models").send().await.status(), 404);
}

#[tokio::test]
async fn p9_a_header_that_makes_a_request_dearer_is_refused_unless_the_route_takes_it() {
    for (settings, status) in [("", 400), ("allow = [\"context-1m\"]", 200)] {
        let house = House::open("1", settings).await;
        house.upstream.answer(Reply::json(
            &json!({ "usage": { "input_tokens": 3, "output_tokens": 2 } }),
        ));
        let ask =
            json!({ "model": "small", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hi" }] });
        let request = house.gate.client().post_json("/v1/messages", &ask);
        let request = request.header(
            "anthropic-beta",
            "interleaved-thinking-2025-05-14, context-1m-2025-08-07",
        );
        assert_eq!(request.send().await.status(), status, "{settings}");
        let harmless = house.gate.client().post_json("/v1/messages", &ask);
        let harmless = harmless.header("anthropic-beta", "interleaved-thinking-2025-05-14");
        assert_eq!(harmless.send().await.status(), 200);
    }
}

#[tokio::test]
async fn p10_a_dearer_model_that_answers_is_charged_as_itself_up_to_the_hold() {
    for (answered, charge) in [
        ("small", 18),
        ("small-2026-01-01", 18),
        ("large-1", 18),
        ("mini", 18),
        ("dear", 180),
    ] {
        let upstream = FakeUpstream::start().await;
        let dear = "[models.\"dear\"]\ninput = 10\noutput = 40\noutput_tokens_max = 100\n";
        let house = Gatehouse::start("1", &(config(&upstream, "") + dear)).await;
        let mut reply = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 }));
        reply["model"] = json!(answered);
        upstream.answer(Reply::json(&reply));
        let answer = house
            .client()
            .post_json("/v1/chat/completions", &ask())
            .send()
            .await;
        assert_eq!(
            micros(answer.header("x-credits-charged").unwrap()),
            charge,
            "{answered}"
        );
    }
}

/// Of two models each may be the dearer one, as more is written.
#[tokio::test]
async fn p10_which_model_is_dearer_is_asked_when_all_is_known() {
    let upstream = FakeUpstream::start().await;
    let base = "[models.\"base\"]\ninput = 50\noutput = 1\noutput_tokens_max = 1000\n";
    let text = config(&upstream, "") + base;
    let text = text.replace("[upstreams.models]\n", "[upstreams.models]\nkind = \"vllm\"\n");
    let house = Gatehouse::start("1", &text).await;
    let mut had = 1_000_000;
    for (written, charge) in [(200, 10 + 4 * 200), (20, 50 * 10 + 20)] {
        for tells in ["false", "true"] {
            let event = |written: u64, text: &str| {
                let mut event: Value = serde_json::from_str(text).unwrap();
                event["model"] = json!("base");
                event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": written });
                event.to_string()
            };
            let events = [
                event(1, &chunk("a")),
                event(written, &chunk("b")),
                event(written, &last_chunk()),
                event(written, &usage_chunk(10, 1)),
                "[DONE]".to_owned(),
            ];
            upstream.answer(streams(&events));
            let request = house
                .client()
                .post_json("/v1/chat/completions", &ask_streamed())
                .header("x-usage-cost", tells);
            request.send().await.text().await;
            let left = micros(&house.settled().await);
            assert_eq!(had - left, charge, "{written} {tells}");
            had = left;
        }
    }
}

#[tokio::test]
async fn a_tokenizer_holds_close_to_what_is_read() {
    let upstream = FakeUpstream::start().await;
    let text = config(&upstream, "").replace("aliases = [\"mini\"]", "tokenizer = \"o200k_base\"");
    let house = Gatehouse::start("1", &text).await;
    upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 460, "completion_tokens": 2 }),
    )));
    let content = "The quick brown fox jumps over the lazy dog. ".repeat(45);
    let ask =
        json!({ "model": "small", "max_tokens": 10, "messages": [{ "role": "user", "content": content }] });
    let answer = house
        .client()
        .post_json("/v1/chat/completions", &ask)
        .send()
        .await;
    assert_eq!(answer.header("x-credits-charged"), Some("0.000468"));
    let entries = house.ledger.entries();
    let hold = entries
        .iter()
        .find(|entry| entry.kind == EntryKind::Hold)
        .unwrap();
    let (held, others) = (
        hold.amount.micros(),
        bytes(&ask) - i64::try_from(content.len()).unwrap(),
    );
    // 451 tokens, what cuts may hide, and all that is not text, by its bytes.
    assert!((451 + 40..=451 + 40 + others + 20).contains(&held), "{held}");
}

/// Quotes whatever is posted, as a chat; says whether the worker's thread was free meanwhile.
#[derive(Debug)]
struct Quotes;

impl Own for Quotes {
    fn answer<'a>(&'a self, call: OwnCall<'a>) -> OwnAnswer<'a> {
        Box::pin(async move {
            let body = call.request.into_body();
            let mut quoting = call.tariff.quote("POST", "/v1/chat/completions", body);
            let at_once = poll_fn(|cx| Poll::Ready(quoting.as_mut().poll(cx))).await;
            let (at_once, quoted) = match at_once {
                Poll::Ready(quoted) => (true, quoted),
                Poll::Pending => (false, quoting.await),
            };
            let (_, quote) = quoted.map_err(OwnFault::Invalid)?;
            Ok(http::Response::new(format!("{at_once} {}", quote.most).into()))
        })
    }
}

#[tokio::test]
async fn a_long_quote_is_made_on_a_thread_that_nobody_waits_on() {
    let upstream = FakeUpstream::start().await;
    let text = config(&upstream, "").replace("aliases = [\"mini\"]", "tokenizer = \"o200k_base\"");
    let house = Options::default().own(Arc::new(Quotes)).start("0", &text).await;
    for (sentences, is_at_once, least) in [(1, true, 40), (5_000, false, 50_000)] {
        let content = "The quick brown fox jumps over the lazy dog. ".repeat(sentences);
        let ask = json!({ "model": "small", "max_tokens": 10, "messages": [{ "role": "user", "content": content }] });
        let quoting = house.client().post_json("/faregate/v1/quote", &ask).send();
        let quoted = quoting.await.text().await;
        let (at_once, most) = quoted.split_once(' ').unwrap();
        assert_eq!(at_once, is_at_once.to_string());
        // By bytes it would be five times as much.
        assert!((least..least + 10_000).contains(&micros(most)), "{most}");
    }
}
