//! Credits go down by the price, stop at zero, and come back when the upstream fails.

use serde_json::json;

use super::shop::Shop;
use crate::rig::upstream::Reply;

#[tokio::test]
async fn four_requests_are_paid_and_the_fifth_is_refused_with_what_to_do() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    for left in ["0.750000", "0.500000", "0.250000", "0.000000"] {
        let mut answer = shop.buy(&key, "/v1/chat/completions").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("x-credits-remaining"), Some(left));
        assert_eq!(answer.header("x-credits-charged"), Some("0.250000"));
        assert_eq!(answer.json().await, json!({ "ok": true }));
    }
    let mut refused = shop.buy(&key, "/v1/chat/completions").await;
    assert_eq!(refused.status(), 402);
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let error = refused.json().await["error"].clone();
    assert_eq!(error["type"], "insufficient_quota");
    assert_eq!(error["code"], "insufficient_credits");
    assert_eq!(error["shortfall"], "0.250000");
    assert_eq!(error["top_up_url"], "https://example.com/buy");
    assert_eq!(shop.upstream.reached(), 4);
    let account = shop.settled("acme").await;
    assert_eq!(account["spent"], "1.000000");
    assert_eq!(account["available"], "0.000000");
    shop.verify().await;
}

#[tokio::test]
async fn an_anthropic_client_reads_the_cause_where_its_sdk_looks() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "0").await;
    let mut refused = shop
        .client(&key)
        .post_json("/v1/messages", &json!({}))
        .send()
        .await;
    assert_eq!(refused.status(), 402);
    let id = refused.header("request-id").expect("a request id").to_owned();
    let body = refused.json().await;
    assert_eq!(body["type"], "error");
    assert_eq!(body["error"]["type"], "billing_error");
    assert_eq!(body["error"]["details"]["error_code"], "insufficient_credits");
    assert_eq!(body["request_id"], id.as_str());
}

#[tokio::test]
async fn units_in_the_body_are_multiplied_and_a_body_with_two_readings_is_refused() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    let images = |body: &str| {
        let request = shop.client(&key).post("/v1/images/generations", body.to_owned());
        request.header("content-type", "application/json").send()
    };
    let answer = images(r#"{"n": 3, "prompt": "a gate"}"#).await;
    assert_eq!(
        (answer.status(), answer.header("x-credits-charged")),
        (200, Some("0.120000"))
    );
    let answer = images(r#"{"prompt": "one"}"#).await;
    assert_eq!(answer.header("x-credits-charged"), Some("0.040000"));
    for twofold in [
        r#"{"n": 1, "n": 10}"#,
        r#"{"n": 1, "N": 10}"#,
        r#"{"n": 1.0}"#,
        r#"{"n": "1"}"#,
        r#"{"n": 0}"#,
        r#"{"n": -1}"#,
        r#"{"n": 1e1}"#,
    ] {
        let answer = images(twofold).await;
        assert_eq!(answer.status(), 400, "{twofold}");
    }
    assert_eq!(shop.upstream.reached(), 2);
    assert_eq!(shop.settled("acme").await["spent"], "0.160000");
}

#[tokio::test]
async fn a11_what_the_upstream_refuses_costs_nothing() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    for status in [400, 404, 429, 500, 503] {
        shop.upstream.answer(Reply::status(status));
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), status);
    }
    // The provider does not know our credential: that is our trouble, and its body may echo the credential.
    for status in [401, 403] {
        shop.upstream
            .answer(Reply::ok("your key upstream-secret is wrong").with_status(status));
        let mut answer = shop.buy(&key, "/v1/rerank").await;
        assert_eq!(answer.status(), 502);
        assert!(!answer.text().await.contains("upstream-secret"));
    }
    let account = shop.settled("acme").await;
    assert_eq!(
        (&account["spent"], &account["available"]),
        (&json!("0.000000"), &json!("1.000000"))
    );
    shop.verify().await;
}

#[tokio::test]
async fn a_free_route_takes_a_key_but_no_credits() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "0").await;
    assert_eq!(shop.client(&key).get("/v1/models").send().await.status(), 200);
    assert_eq!(
        shop.faregate.client().get("/v1/models").send().await.status(),
        401
    );
    assert_eq!(shop.upstream.reached(), 1);
}

#[tokio::test]
async fn the_clients_key_stays_here_and_the_upstream_gets_its_own() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    shop.buy(&key, "/v1/rerank").await;
    let seen = shop.upstream.next_request().await;
    assert_eq!(seen.header("authorization"), Some("Bearer upstream-secret"));
    assert_eq!(seen.header("x-api-key"), None);
}
