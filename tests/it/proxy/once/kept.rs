//! Routes that keep answers: a retry gets the same one.

use std::sync::Arc;
use std::time::Duration;

use faregate::domain::command::AccountChange;
use faregate::domain::ids::{AccountId, CommandId};
use faregate::ledger::Ledger;
use faregate::service::accounts::{self, Actor};
use faregate::service::keys::{self, KeyOptions, SecretKey};
use serde_json::json;

use super::super::gatehouse::Gatehouse;
use super::super::routes;
use super::{post, refusal};
use crate::rig::client::{Answer, HttpClient};
use crate::rig::upstream::{FakeUpstream, Reply};

const KEEPING: &str = r#"
[[routes]]
id = "k"
match = "POST /v1/k"
upstream = "models"
cost = 0.1
keep_answers = "10m"
api = "openai"

[[routes]]
id = "f"
match = "POST /v1/f"
upstream = "models"
cost = 0.1
keep_answers = "10m"
on_disconnect = "finish"
api = "openai"

[[routes]]
id = "chat"
match = "POST /v1/chat/completions"
upstream = "models"
cost = "tokens"
keep_answers = "10m"
api = "openai-chat"

[[routes]]
id = "grows"
match = "POST /v1/grows"
upstream = "models"
cost = "tokens"
hold = "growing"
slice = 10
output_min = 1
keep_answers = "10m"
api = "openai-chat"

[models."small"]
input = 1
output = 4
output_tokens_max = 100
"#;

async fn house(credits: &str) -> (FakeUpstream, Gatehouse) {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start(credits, &routes(&upstream, KEEPING)).await;
    (upstream, house)
}

/// What a client sees of an answer, but for what names the moment; and whether it is a retry's.
async fn seen(answer: &mut Answer) -> (u16, Vec<(String, String)>, Vec<u8>, bool) {
    let replayed = answer.header("x-faregate-replayed") == Some("true");
    let framing = [
        "date",
        "x-faregate-replayed",
        "transfer-encoding",
        "content-length",
        "trailer",
    ];
    let mut headers: Vec<_> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !framing.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    let status = answer.status();
    (status, headers, answer.bytes().await.to_vec(), replayed)
}

#[tokio::test]
async fn t4_a_retry_gets_the_same_answer_and_costs_nothing() {
    let (upstream, house) = house("1").await;
    let reply = Reply::ok("{\"a\":1}").with_status(201);
    upstream.answer_next(
        reply
            .header("x-model", "small")
            .header("content-type", "application/json"),
    );
    let first = seen(&mut post(&house, "k", "/v1/k", "{}").await).await;
    assert_eq!((first.0, first.3), (201, false));
    house.wait_available("0.900000").await;
    for _ in 0..4 {
        let again = seen(&mut post(&house, "k", "/v1/k", "{}").await).await;
        assert_eq!(again, (first.0, first.1.clone(), first.2.clone(), true));
    }
    // Another one under the key gets nothing of it; nor does the same on another route, which is another request.
    let mut other = post(&house, "k", "/v1/k", "{\"b\":1}").await;
    assert_eq!(refusal(&mut other).await.0, "idempotency_conflict");
    let mut other = post(&house, "k", "/v1/f", "{}").await;
    assert_eq!(refusal(&mut other).await.0, "idempotency_conflict");
    assert_eq!((upstream.reached(), &*house.settled().await), (1, "0.900000"));
    house
        .line("of a retry", |line| {
            line["outcome"] == "ok" && line["charged"].is_null()
        })
        .await;
}

#[tokio::test]
async fn t4_a_stream_is_given_again_whole() {
    let (upstream, house) = house("1").await;
    let words: Vec<String> = (0..50).map(|n| format!("word {n}")).collect();
    upstream.answer_next(Reply::events(&words, Duration::ZERO));
    let first = seen(&mut post(&house, "k", "/v1/k", "{}").await).await;
    house.wait_available("0.900000").await;
    let again = seen(&mut post(&house, "k", "/v1/k", "{}").await).await;
    assert_eq!((&again.1, &again.2, again.3), (&first.1, &first.2, true));
    assert!(again.2.ends_with(b"word 49\n\n"));
}

#[tokio::test]
async fn t4_metered_answers_are_given_again_as_the_client_had_them() {
    let (upstream, house) = house("1").await;
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    let whole = json!({ "id": "c", "object": "chat.completion", "created": 7, "model": "small", "usage": usage,
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hello" } }] });
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "small",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
        .to_string()
    };
    let events = [
        chunk(json!({ "content": "Hel" }), None),
        chunk(json!({ "content": "lo" }), Some("stop")),
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "small", "choices": [], "usage": usage })
            .to_string(),
        "[DONE]".to_owned(),
    ];
    for (key, streams, reply) in [
        ("whole", false, Reply::json(&whole)),
        ("stream", true, Reply::events(&events, Duration::ZERO)),
    ] {
        upstream.answer_next(reply);
        let reached = upstream.reached();
        let ask =
            json!({ "model": "small", "stream": streams, "messages": [{ "role": "user", "content": "Hi" }] });
        let ask = ask.to_string();
        let path = "/v1/chat/completions";
        let first = seen(&mut post(&house, key, path, &ask).await).await;
        assert_eq!((first.0, first.3), (200, false), "{key}");
        let charged = house.settled().await;
        let again = seen(&mut post(&house, key, path, &ask).await).await;
        assert_eq!(again, (first.0, first.1, first.2.clone(), true), "{key}");
        assert_eq!(
            (upstream.reached(), house.settled().await),
            (reached + 1, charged)
        );
        let text = String::from_utf8(first.2).unwrap();
        assert_eq!(text.contains("usage"), !streams, "{text}");
    }
}

#[tokio::test]
async fn a8_what_the_client_did_not_wait_for_is_kept_where_it_is_read_to_its_end() {
    let (upstream, house) = house("1").await;
    for (path, kept) in [("/v1/f", true), ("/v1/k", false)] {
        let (sender, reply) = Reply::stepped();
        upstream.answer_next(reply);
        let mut answer = post(&house, path, path, "{}").await;
        assert!(sender.send("one ").await);
        answer.chunk().await.unwrap();
        drop(answer);
        if kept {
            house.wait_metric("faregate_connections", &[], 0.0).await;
            assert!(sender.send("two").await);
            drop(sender);
        } else {
            sender.closed().await;
        }
        house.wait_metric("faregate_streams_open", &[], 0.0).await;
        house.settled().await;
        let mut again = post(&house, path, path, "{}").await;
        if kept {
            assert_eq!((again.status(), &*again.bytes().await), (200, &b"one two"[..]));
        } else {
            assert_eq!(refusal(&mut again).await.0, "already_charged");
        }
    }
}

#[tokio::test]
async fn long_answers_failures_and_those_without_a_key_are_not_kept() {
    let (upstream, house) = house("1").await;
    upstream.answer_next(Reply::ok(vec![b'x'; 1024 * 1024 + 1]));
    let mut long = post(&house, "long", "/v1/k", "{}").await;
    assert_eq!(long.bytes().await.len(), 1024 * 1024 + 1);
    house.settled().await;
    let mut again = post(&house, "long", "/v1/k", "{}").await;
    assert_eq!(refusal(&mut again).await.0, "already_charged");
    upstream.answer_next(Reply::status(503));
    assert_eq!(post(&house, "failed", "/v1/k", "{}").await.status(), 503);
    house.settled().await;
    let mut again = post(&house, "failed", "/v1/k", "{}").await;
    assert_eq!((again.status(), seen(&mut again).await.3), (200, false));
    let reached = upstream.reached();
    for _ in 0..2 {
        let answer = house.client().post("/v1/k", "{}").send().await;
        assert_eq!(
            (answer.status(), answer.header("x-faregate-replayed")),
            (200, None)
        );
    }
    assert_eq!(upstream.reached(), reached + 2);
}

#[tokio::test]
async fn a13_an_answer_that_was_cut_is_given_again_only_where_it_was_given_an_ending() {
    let event = json!({ "id": "c", "object": "chat.completion.chunk", "created": 7, "model": "small",
        "choices": [{ "index": 0, "delta": { "content": "x" }, "finish_reason": null }] });
    let events = format!("data: {event}\n\n").repeat(200);
    let ask = json!({ "model": "small", "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let ask = ask.to_string();
    for (coding, ended) in [(None, true), (Some("compress"), false)] {
        let (upstream, house) = house("0.000500").await;
        let mut reply = Reply::ok(events.clone()).header("content-type", "text/event-stream");
        if let Some(coding) = coding {
            reply = reply.header("content-encoding", coding);
        }
        upstream.answer(reply);
        let mut first = post(&house, "k", "/v1/grows", &ask).await;
        let first = first.try_bytes().await.ok();
        assert_eq!(first.is_some(), ended);
        let left = house.settled().await;
        let mut again = post(&house, "k", "/v1/grows", &ask).await;
        if let Some(first) = first {
            assert!(first.ends_with(b"data: [DONE]\n\n"));
            assert_eq!(again.bytes().await, first);
        } else {
            assert_eq!(refusal(&mut again).await.0, "already_charged");
        }
        assert_eq!((upstream.reached(), house.settled().await), (1, left));
    }
}

#[tokio::test]
async fn t4_a_compressed_answer_is_given_again_to_who_takes_it() {
    let (upstream, house) = house("1").await;
    upstream.answer(Reply::ok("packed").header("content-encoding", "gzip"));
    let ask = |takes: Option<&str>| {
        let request = house.client().post("/v1/k", "{}").header("idempotency-key", "k");
        let request = match takes {
            Some(takes) => request.header("accept-encoding", takes),
            None => request,
        };
        request.send()
    };
    assert_eq!(ask(Some("gzip, br")).await.status(), 200);
    house.settled().await;
    for (takes, status) in [
        (Some("br, gzip;q=0.5"), 200),
        (Some("identity"), 409),
        (Some("br"), 409),
        (None, 409),
    ] {
        assert_eq!(ask(takes).await.status(), status, "{takes:?}");
    }
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn a_route_that_keeps_no_more_gives_none_again() {
    let (upstream, house) = house("1").await;
    assert_eq!(post(&house, "k", "/v1/k", "{}").await.status(), 200);
    house.settled().await;
    house.reload(&routes(
        &upstream,
        &KEEPING.replace("keep_answers = \"10m\"\n", ""),
    ));
    let mut again = post(&house, "k", "/v1/k", "{}").await;
    assert_eq!(refusal(&mut again).await.0, "already_charged");
}

#[tokio::test]
async fn t4_what_one_account_was_told_no_other_gets() {
    let (upstream, house) = house("1").await;
    let (ledger, by) = (
        Arc::clone(&house.ledger) as Arc<dyn Ledger>,
        Actor::system("test"),
    );
    let other = AccountId::new("beta").unwrap();
    accounts::set(&ledger, &other, AccountChange::Create(None), &by)
        .await
        .unwrap();
    let secret = "sk-test-beta-0123456789abcdef0123456789";
    let key = SecretKey::import(secret).unwrap();
    keys::put(&ledger, &other, &key, KeyOptions::default(), &by)
        .await
        .unwrap();
    let (id, amount) = (CommandId::new("gift").unwrap(), "1".parse().unwrap());
    accounts::adjust(&ledger, &other, id, amount, "to begin with", &by)
        .await
        .unwrap();
    upstream.answer_next(Reply::ok("acme's"));
    assert_eq!(post(&house, "k", "/v1/k", "{}").await.status(), 200);
    house.settled().await;
    upstream.answer_next(Reply::ok("beta's"));
    for replayed in [false, true] {
        let request = HttpClient::new(house.addr()).bearer(secret).post("/v1/k", "{}");
        let request = request.header("content-type", "application/json");
        let mut answer = request.header("idempotency-key", "k").send().await;
        let (status, _, body, is_replayed) = seen(&mut answer).await;
        assert_eq!((status, &*body, is_replayed), (200, &b"beta's"[..], replayed));
        house
            .ledger
            .wait_balance("the charge", &other, |balance| balance.held.is_zero())
            .await;
    }
    let again = seen(&mut post(&house, "k", "/v1/k", "{}").await).await;
    assert_eq!(
        (&*again.2, again.3, upstream.reached()),
        (&b"acme's"[..], true, 2)
    );
}
