//! `Idempotency-Key`: of all requests under one key, one is served and charged.

mod kept;

use serde_json::Value;

use super::gatehouse::Gatehouse;
use super::routes;
use crate::rig::client::Answer;
use crate::rig::upstream::{FakeUpstream, Gate, Reply};

const ROUTES: &str = r#"
[[routes]]
id = "x"
match = "POST /v1/x"
upstream = "models"
cost = 0.1
body_max = "64KiB"
api = "openai"

[[routes]]
id = "any"
match = "* /v1/any"
upstream = "models"
cost = 0.1

[[routes]]
id = "each"
match = "POST /v1/each"
upstream = "models"
cost = { each = 0.1, times = "n" }

[[routes]]
id = "free"
match = "POST /v1/free"
upstream = "models"
cost = 0
"#;

async fn house(credits: &str) -> (FakeUpstream, Gatehouse) {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start(credits, &routes(&upstream, ROUTES)).await;
    (upstream, house)
}

/// Sends a request under a key.
async fn post(house: &Gatehouse, key: &str, path: &str, body: &str) -> Answer {
    let request = house.client().post(path, body.to_owned());
    let request = request.header("content-type", "application/json");
    request.header("idempotency-key", key).send().await
}

/// A refusal of OpenAI's shape: its code, and the request that it names.
async fn refusal(answer: &mut Answer) -> (String, String) {
    let body: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("charge_id"))
}

#[tokio::test]
async fn t4_a_retry_of_a_request_that_was_charged_is_told_which_and_costs_nothing() {
    let (upstream, house) = house("1").await;
    let first = post(&house, "key-1", "/v1/x", "{\"a\":1}").await;
    assert_eq!(first.status(), 200);
    let request = first.header("x-request-id").unwrap().to_owned();
    house.wait_available("0.900000").await;
    assert_eq!(upstream.requests()[0].header("idempotency-key"), Some("key-1"));
    for client in [house.client(), house.client().http2()] {
        let retry = client.post("/v1/x", "{\"a\":1}");
        let mut retry = retry.header("idempotency-key", "key-1").send().await;
        assert_eq!(retry.status(), 409);
        assert_eq!(retry.header("x-should-retry"), Some("false"));
        assert_ne!(retry.header("x-request-id"), Some(&*request));
        assert_eq!(
            refusal(&mut retry).await,
            ("already_charged".to_owned(), request.clone())
        );
    }
    // Anything else under the key is another request: another body, method, path or query.
    for (path, body) in [
        ("/v1/x", "{\"a\":2}"),
        ("/v1/x?b", "{\"a\":1}"),
        ("/v1/any", "{\"a\":1}"),
    ] {
        let mut other = post(&house, "key-1", path, body).await;
        assert_eq!(other.status(), 409, "{path} {body}");
        assert_eq!(other.header("x-should-retry"), Some("false"));
        if path.starts_with("/v1/x") {
            let (code, charge) = refusal(&mut other).await;
            assert_eq!((&*code, charge), ("idempotency_conflict", request.clone()));
        }
    }
    assert_eq!(upstream.reached(), 1);
    // Under another key it is another one, and without one too.
    assert_eq!(post(&house, "key-2", "/v1/x", "{\"a\":1}").await.status(), 200);
    let plain = house.client().post("/v1/x", "{\"a\":1}").send().await;
    assert_eq!(plain.status(), 200);
    house.wait_available("0.700000").await;
}

#[tokio::test]
async fn t4_a_second_request_while_the_first_is_under_way_is_told_to_wait() {
    let (upstream, house) = house("1").await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("done").when(&gate));
    let first = tokio::spawn({
        let request = house.client().post("/v1/x", "{}");
        request.header("idempotency-key", "k").send()
    });
    upstream.wait_reached(1).await;
    for _ in 0..3 {
        let mut second = post(&house, "k", "/v1/x", "{}").await;
        assert_eq!(second.status(), 409);
        assert_eq!(
            (second.header("x-should-retry"), second.header("retry-after")),
            (Some("true"), Some("1"))
        );
        assert_eq!(refusal(&mut second).await.0, "in_progress");
    }
    let mut other = post(&house, "k", "/v1/x", "{\"b\":1}").await;
    assert_eq!(refusal(&mut other).await.0, "idempotency_conflict");
    gate.open();
    assert_eq!(first.await.unwrap().status(), 200);
    house.wait_available("0.900000").await;
    let mut late = post(&house, "k", "/v1/x", "{}").await;
    assert_eq!(refusal(&mut late).await.0, "already_charged");
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn t4_a_request_that_was_not_charged_may_be_sent_again_under_its_key() {
    let (upstream, house) = house("0.15").await;
    // The upstream failed; it was not there; the balance did not do.
    upstream.answer_next(Reply::status(500));
    assert_eq!(post(&house, "k", "/v1/x", "{}").await.status(), 500);
    house.settled().await;
    let dear = post(&house, "k", "/v1/each", "{\"n\":2}").await;
    assert_eq!(dear.status(), 402);
    assert_eq!(post(&house, "k", "/v1/each", "{\"n\":1}").await.status(), 200);
    house.wait_available("0.050000").await;
    assert_eq!(post(&house, "k", "/v1/each", "{\"n\":1}").await.status(), 409);
    assert_eq!(upstream.reached(), 2);
}

#[tokio::test]
async fn t4_the_whole_body_tells_a_retry_and_arrives_as_it_was() {
    let (upstream, house) = house("1").await;
    upstream.answer(Reply::echo());
    let long = "a".repeat(60_000);
    for (key, body) in [("k1", ""), ("k2", "x"), ("k3", &*long)] {
        let mut answer = post(&house, key, "/v1/x", body).await;
        assert_eq!((answer.status(), answer.bytes().await.len()), (200, body.len()));
    }
    let differs = format!("{}b", &long[1..]);
    assert_eq!(post(&house, "k3", "/v1/x", &differs).await.status(), 409);
    let longer = "a".repeat(70_000);
    assert_eq!(post(&house, "k4", "/v1/x", &longer).await.status(), 413);
    house.wait_available("0.700000").await;
    assert_eq!(upstream.reached(), 3);
}

#[tokio::test]
async fn free_requests_come_as_often_as_they_like_and_bad_keys_are_refused() {
    let (upstream, house) = house("1").await;
    for _ in 0..3 {
        assert_eq!(post(&house, "k", "/v1/free", "{}").await.status(), 200);
        assert_eq!(post(&house, "two words", "/v1/free", "{}").await.status(), 200);
    }
    for bad in ["", "two words", &"x".repeat(256)] {
        let mut refused = post(&house, bad, "/v1/x", "{}").await;
        assert_eq!(refused.status(), 400, "{bad:?}");
        assert_eq!(refusal(&mut refused).await.0, "invalid_request");
    }
    let twice = house.client().post("/v1/x", "{}");
    let twice = twice
        .header("idempotency-key", "a")
        .also_header("idempotency-key", "b");
    assert_eq!(twice.send().await.status(), 400);
    assert_eq!((upstream.reached(), house.ledger.admits()), (6, 6));
}

#[tokio::test]
async fn t4_many_at_once_under_one_key_reach_the_upstream_once() {
    let (upstream, house) = house("10").await;
    let sending: Vec<_> = (0..40)
        .map(|_| {
            let request = house.client().post("/v1/any", "{}");
            tokio::spawn(request.header("idempotency-key", "k").send())
        })
        .collect();
    let mut statuses = Vec::new();
    for answer in sending {
        statuses.push(answer.await.unwrap().status());
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 409).count(), 39, "{statuses:?}");
    house.wait_available("9.900000").await;
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn t4_a_retry_by_an_sdks_count_alone_is_told_and_charged_as_any_other() {
    let (_upstream, house) = house("1").await;
    for count in ["0", "2", "3", "many"] {
        let request = house.client().post("/v1/x", "{}");
        let answer = request.header("x-stainless-retry-count", count).send().await;
        assert_eq!(answer.status(), 200);
    }
    house.wait_available("0.600000").await;
    for count in [2, 3] {
        house.line("of a retry", |line| line["retry"] == count).await;
    }
}
