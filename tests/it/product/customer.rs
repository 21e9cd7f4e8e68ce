//! What a customer sees of the own account, and nothing of anybody else's.

use serde_json::json;

use super::shop::Shop;

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
