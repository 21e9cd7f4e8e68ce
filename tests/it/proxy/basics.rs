//! What everyone sees: a request goes through, is paid for, and is refused when the credits are gone.

use super::gatehouse::{Gatehouse, KEY};
use super::{routes, simple};
use crate::rig::body::RigBody;
use crate::rig::upstream::{FakeUpstream, Reply};

#[tokio::test]
async fn a_paid_request_goes_through_and_its_price_is_taken_once() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::json(&serde_json::json!({ "ok": true })).header("x-model", "m"));
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let mut answer = house
        .client()
        .post("/v1/x?a=1", r#"{"hello":1}"#)
        .header("x-own", "kept")
        .send()
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-credits-charged"), Some("0.002000"));
    assert_eq!(answer.header("x-credits-remaining"), Some("0.998000"));
    assert_eq!(answer.header("x-model"), Some("m"));
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(answer.text().await, r#"{"ok":true}"#);
    let request = upstream.next_request().await;
    assert_eq!(request.target(), "/v1/x?a=1");
    assert_eq!(request.body, r#"{"hello":1}"#);
    assert_eq!(request.header("x-own"), Some("kept"));
    assert_eq!(request.header("authorization"), Some("Bearer upstream-secret"));
    assert_eq!(request.header("host"), Some(upstream.addr().to_string().as_str()));
    assert_eq!(house.settled().await, "0.998000");
    let line = house
        .line("of the request", |line| line["request"] == id.as_str())
        .await;
    for (name, value) in [
        ("route", "x"),
        ("outcome", "ok"),
        ("charged", "0.002000"),
        ("account", "acme"),
        ("upstream", "models"),
        ("method", "POST"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(
        (line["status"].as_u64(), line["sent_bytes"].as_u64()),
        (Some(200), Some(11))
    );
    assert!(!house.logged().contains(KEY), "{}", house.logged());
    house
        .wait_metric(
            "faregate_requests_total",
            &[("route", "x"), ("outcome", "ok")],
            1.0,
        )
        .await;
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
}

#[tokio::test]
async fn at_zero_it_is_402_and_the_upstream_sees_nothing() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("0.003", &simple(&upstream)).await;
    let client = house.client().connect().await;
    assert_eq!(client.post("/v1/x", "{}").send().await.status(), 200);
    let mut refused = client.post("/v1/x", "{}").send().await;
    assert_eq!(refused.status(), 402);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(refused.header("retry-after"), None);
    assert_eq!(refused.header("x-credits-remaining"), Some("0.001000"));
    assert_eq!(refused.header("x-credits-charged"), None);
    let error = refused.json().await["error"].clone();
    for (name, value) in [
        ("code", "insufficient_credits"),
        ("type", "insufficient_quota"),
        ("available", "0.001000"),
        ("required", "0.002000"),
        ("shortfall", "0.001000"),
    ] {
        assert_eq!(error[name], value, "{error}");
    }
    assert_eq!(upstream.reached(), 1);
    assert_eq!(house.settled().await, "0.001000");
}

#[tokio::test]
async fn a_free_route_passes_without_a_hold_but_not_without_a_key() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("0", &simple(&upstream)).await;
    let answer = house.client().get("/v1/models").send().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-credits-charged"), None);
    let mut refused = house.stranger().get("/v1/models").send().await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(refused.json().await["code"], "invalid_api_key");
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn closed_by_default() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for (status, code, request) in [
        (404, "route_not_found", house.client().post("/v1/y", "{}")),
        (404, "route_not_found", house.client().post("/v1/X", "{}")),
        (405, "method_not_allowed", house.client().get("/v1/x")),
        (400, "invalid_request", house.client().post("/v1//x", "{}")),
        (400, "invalid_request", house.client().post("/v1/%2e%2e/x", "{}")),
        (
            401,
            "invalid_api_key",
            house
                .stranger()
                .bearer("sk-wrong-0123456789abcdef01234567")
                .post("/v1/x", "{}"),
        ),
        (
            400,
            "invalid_request",
            house.client().post("/v1/x", "{}").header("x-api-key", "another"),
        ),
        (
            400,
            "invalid_request",
            house.client().post(&format!("/v1/x?key={KEY}"), "{}"),
        ),
    ] {
        let mut answer = request.send().await;
        assert_eq!(answer.status(), status, "{code}");
        let body = answer.json().await;
        let found = if body["code"].is_string() {
            &body["code"]
        } else {
            &body["error"]["code"]
        };
        assert_eq!(found, code);
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(upstream.reached(), 0);
    assert_eq!(house.available(), "1.000000");
}

#[tokio::test]
async fn bodies_and_events_stream_both_ways() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let (sender, reply) = Reply::stepped();
    upstream.answer(reply.early().header("content-type", "text/event-stream"));
    let (upload, body) = RigBody::stepped();
    let sending = tokio::spawn(house.client().post("/v1/x", "").body(body).send());
    assert!(upload.send("first").await);
    let mut answer = sending.await.unwrap();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        assert!(sender.send(event.clone()).await);
        // Each event is here before the next is sent.
        assert_eq!(answer.chunk().await.unwrap(), event);
    }
    drop((sender, upload));
    assert_eq!(answer.chunk().await, None);
}

#[tokio::test]
async fn a_price_per_unit_is_taken_from_the_body() {
    let upstream = FakeUpstream::start().await;
    let route = r#"
[[routes]]
id = "images"
match = "POST /v1/images"
upstream = "models"
cost = { each = 0.04, times = "n" }
"#;
    let house = Gatehouse::start("1", &routes(&upstream, route)).await;
    let answer = house
        .client()
        .post_json("/v1/images", &serde_json::json!({ "n": 3, "prompt": "x" }))
        .send()
        .await;
    assert_eq!(answer.header("x-credits-charged"), Some("0.120000"));
    assert_eq!(upstream.next_request().await.json()["n"], 3);
    let mut refused = house
        .client()
        .post("/v1/images", r#"{"n":1,"n":50}"#)
        .header("content-type", "application/json")
        .send()
        .await;
    assert_eq!(
        (refused.status(), refused.json().await["code"].as_str()),
        (400, Some("invalid_request"))
    );
    let refused = house
        .client()
        .post("/v1/images", r#"{"n":1}"#)
        .header("content-type", "text/plain")
        .send()
        .await;
    assert_eq!(refused.status(), 415);
    assert_eq!(
        (house.settled().await.as_str(), upstream.reached()),
        ("0.880000", 1)
    );
}

#[tokio::test]
async fn p16_a_reported_price_counts_up_to_the_hold() {
    let upstream = FakeUpstream::start().await;
    let route = r#"
[[routes]]
id = "custom"
match = "POST /v1/custom/*"
upstream = "models"
cost = { header = "x-cost", hold = 0.5 }
"#;
    let house = Gatehouse::start("10", &routes(&upstream, route)).await;
    for (said, charged) in [
        (&["0.125"][..], "0.125000"),
        (&["0"], "0.000000"),
        (&["0.5"], "0.500000"),
        (&["0.500001"], "0.500000"),
        (&[], "0.500000"),
        (&["0.1", "0.1"], "0.500000"),
        (&["-1"], "0.500000"),
        (&["1e-3"], "0.500000"),
        (&["NaN"], "0.500000"),
    ] {
        let reply = said
            .iter()
            .fold(Reply::ok("done"), |reply, value| reply.header("x-cost", value));
        upstream.answer_next(reply);
        let answer = house
            .client()
            .post("/v1/custom/a/b", "{}")
            .header("x-cost", "0.000001")
            .send()
            .await;
        assert_eq!(answer.header("x-credits-charged"), Some(charged), "{said:?}");
        // P15: what the client says about the price does not get through.
        assert_eq!(upstream.next_request().await.header("x-cost"), None);
    }
    house.wait_available("6.375000").await;
    assert_eq!(house.metric("faregate_reported_prices_corrected_total", &[]), 6.0);
    assert_eq!(house.metric("faregate_credits_unpaid_total", &[]), 0.000_001);
}

#[tokio::test]
async fn a_request_has_one_id_where_each_sdk_looks_for_it() {
    let upstream = FakeUpstream::start().await;
    let reply = Reply::ok("{}").header("x-request-id", "theirs");
    upstream.answer(reply.header("request-id", "theirs"));
    let text =
        "[[routes]]\nmatch = \"POST /v1/messages\"\nupstream = \"models\"\napi = \"anthropic\"\ncost = 0.5\n";
    let house = Gatehouse::start("1", &routes(&upstream, text)).await;
    for status in [200, 200, 402] {
        let answer = house.client().post("/v1/messages", "{}").send().await;
        assert_eq!(answer.status(), status);
        let id = answer.header("x-request-id").expect("an id");
        assert_ne!(id, "theirs");
        assert_eq!(answer.header("request-id"), Some(id));
    }
}
