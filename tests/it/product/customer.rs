//! What a customer sees of the own account, and nothing of anybody else's.

use serde_json::json;

use super::shop::{EMBEDDED, ROUTES, Shop};
use crate::rig::client::Answer;

#[tokio::test]
async fn balance_usage_charges_prices_and_a_quote() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    let client = shop.client(&key);
    let answer = shop.buy(&key, "/v1/chat/completions").await;
    let id = answer.header("x-request-id").expect("a request id").to_owned();

    let charge = crate::rig::within("the charge is settled", async {
        loop {
            let charge = client
                .get(&format!("/faregate/v1/charges/{id}"))
                .send()
                .await
                .json()
                .await;
            if charge["status"] == "charged" {
                return charge;
            }
        }
    })
    .await;
    assert_eq!(
        (&charge["charged"], &charge["route"]),
        (&json!("0.250000"), &json!("POST /v1/chat/completions"))
    );

    let balance = client.get("/faregate/v1/balance").send().await.json().await;
    assert_eq!(
        (&balance["available"], &balance["spent"]),
        (&json!("0.750000"), &json!("0.250000"))
    );
    let usage = client.get("/faregate/v1/usage").send().await.json().await;
    assert_eq!(
        (&usage["charged"], &usage["items"][0]["requests"]),
        (&json!("0.250000"), &json!(1))
    );
    let prices = client.get("/faregate/v1/prices").send().await.json().await;
    assert_eq!(prices["items"].as_array().map(Vec::len), Some(5));
    let ask = json!({ "path": "/v1/images/generations", "body": { "n": 4 } });
    let quote = client
        .post_json("/faregate/v1/quote", &ask)
        .send()
        .await
        .json()
        .await;
    assert_eq!(
        (&quote["least"], &quote["most"]),
        (&json!("0.160000"), &json!("0.160000"))
    );
}

#[tokio::test]
async fn s10_the_scope_comes_from_the_key_alone() {
    let shop = Shop::open().await;
    let (alice, bob) = (shop.customer("alice", "1").await, shop.customer("bob", "1").await);
    let id = shop
        .buy(&alice, "/v1/rerank")
        .await
        .header("x-request-id")
        .expect("an id")
        .to_owned();
    let path = format!("/faregate/v1/charges/{id}");
    assert_eq!(shop.client(&alice).get(&path).send().await.status(), 200);
    assert_eq!(shop.client(&bob).get(&path).send().await.status(), 404);
    let balance = shop
        .client(&bob)
        .get("/faregate/v1/balance")
        .send()
        .await
        .json()
        .await;
    assert_eq!(balance["available"], "1.000000");
    for path in [
        "/faregate/v1/balance",
        "/faregate/v1/usage",
        &path,
        "/faregate/v1/prices",
    ] {
        let mut nobody = shop.faregate.client().get(path).send().await;
        let mut wrong = shop
            .client("fg_live_00000000000000000000000000000000")
            .get(path)
            .send()
            .await;
        assert_eq!((nobody.status(), wrong.status()), (401, 401), "{path}");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
        assert_eq!(wrong.header("www-authenticate"), Some("Bearer"));
        let (mut a, mut b) = (nobody.json().await, wrong.json().await);
        for body in [&mut a, &mut b] {
            body.as_object_mut().unwrap().remove("request_id");
        }
        assert_eq!(a["code"], b["code"]);
    }
}

#[tokio::test]
async fn a_paused_customer_still_sees_the_balance_and_why() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    shop.cli(["account", "pause", "acme", "--reason", "manual"]).await;
    let balance = shop
        .client(&key)
        .get("/faregate/v1/balance")
        .send()
        .await
        .json()
        .await;
    assert_eq!(
        (&balance["status"], &balance["reasons"][0]),
        (&json!("paused"), &json!("manual"))
    );
}

/// A refusal as every other: programs find code, request and whether to ask again where they find them elsewhere.
async fn refused(mut answer: Answer, status: u16, code: &str) -> String {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let request = answer.header("x-request-id").map(str::to_owned);
    let body = answer.json().await;
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["request_id"].as_str(), request.as_deref(), "{body}");
    body["detail"].as_str().expect("a sentence").to_owned()
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_as_everywhere_else() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    let client = shop.client(&key);
    let get = |path: &str| client.get(&format!("/faregate/v1/{path}")).send();
    let not_found = refused(get("nowhere").await, 404, "not_found").await;
    assert!(not_found.contains("balance, usage"), "{not_found}");
    let other = "charges/0192f0c1-2345-7000-8000-000000000000";
    refused(get(other).await, 404, "not_found").await;
    refused(get("usage?from=yesterday").await, 400, "invalid_request").await;
    refused(get("usage?since=2027-01-01").await, 400, "invalid_request").await;
    let long = get("usage?from=2020-01-01&to=2026-01-01").await;
    refused(long, 400, "invalid_request").await;
    for (method, path, allow) in [
        ("POST", "balance", "GET"),
        ("DELETE", other, "GET"),
        ("GET", "quote", "POST"),
    ] {
        let path = format!("/faregate/v1/{path}");
        let answer = client.request(method.parse().unwrap(), &path).send().await;
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
        refused(answer, 405, "method_not_allowed").await;
    }
}

#[tokio::test]
async fn where_to_buy_is_what_the_configuration_says_now() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    let told = async || {
        let mut balance = shop.client(&key).get("/faregate/v1/balance").send().await;
        balance.json().await["top_up_url"].clone()
    };
    assert_eq!(told().await, "https://example.com/buy");
    shop.configure_with(EMBEDDED, ROUTES, |text| text.replace("/buy", "/shop"));
    shop.cli(["reload"]).await;
    assert_eq!(told().await, "https://example.com/shop");
}
