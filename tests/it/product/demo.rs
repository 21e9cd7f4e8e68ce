//! `faregate demo`, followed as it says itself: out of credits, bought, and the same call works.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::rig::client::{Answer, HttpClient};
use crate::rig::process::{Faregate, Process};

/// The address of the `curl` line that ends like this.
async fn address(demo: &Process, end: &str) -> SocketAddr {
    let line = demo
        .wait_for_line(|line| line.contains("curl") && line.split(end).count() == 2)
        .await;
    let (before, _) = line.split_once(end).expect("it was looked for");
    let (_, address) = before.rsplit_once("http://").expect("an address");
    address.parse().expect("an address")
}

/// The call that the demo prints first.
async fn chat(client: &HttpClient) -> Answer {
    let ask = json!({ "model": "announcer", "messages": [{ "role": "user", "content": "Hello" }] });
    client.post_json("/v1/chat/completions", &ask).send().await
}

#[tokio::test]
async fn the_demo_runs_into_a_402_sells_at_its_pretend_till_and_the_same_call_works() {
    let demo = Faregate::command(["demo"]).start();
    let key = demo
        .wait_for_line(|line| line.trim_start().starts_with("export KEY="))
        .await;
    let (_, key) = key.split_once('=').expect("a key");
    let gate = HttpClient::new(address(&demo, "/faregate/v1/balance").await).bearer(key);
    let till = HttpClient::new(address(&demo, "/buy").await);
    let mut refused: Value = Value::Null;
    for _ in 0..10 {
        let mut answer = chat(&gate).await;
        if answer.status() == 402 {
            refused = answer.json().await;
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let link = refused["error"]["top_up_url"].as_str().expect("where to buy");
    assert!(link.ends_with("/buy"), "{refused}");
    let mut page = till.get("/buy").send().await;
    assert!(page.text().await.contains("<form method=\"post\">"));

    // One click.
    let mut bought = till.post("/buy", "").send().await;
    let (status, said) = (bought.status(), bought.text().await);
    assert_eq!(status, 200, "{said}");
    assert_eq!(chat(&gate).await.status(), 200);

    // The same in its two steps.
    let before = balance(&gate).await;
    let mut page = gate
        .post_json("/faregate/v1/checkout", &json!({ "pack": "starter" }))
        .send()
        .await;
    let page = page.json().await;
    let url = page["url"].as_str().expect("a page").to_owned();
    let path = url.split_once("/pay/").expect("a path").1;
    assert_eq!(till.post(&format!("/pay/{path}"), "").send().await.status(), 200);
    assert_eq!(balance(&gate).await, before + 1.0);
    // Paid once.
    assert_eq!(till.post(&format!("/pay/{path}"), "").send().await.status(), 409);
    let session = page["id"].as_str().expect("an id");
    let mut looked = gate.get(&format!("/faregate/v1/checkout/{session}")).send().await;
    assert_eq!(looked.json().await["status"], "paid");
    assert_eq!(balance(&gate).await, before + 1.0);
    demo.terminate();
    assert!(demo.wait_exit().await.success());
}

/// What is left, when nothing is held.
async fn balance(gate: &HttpClient) -> f64 {
    crate::rig::within("nothing is held", async {
        loop {
            let mut answer = gate.get("/faregate/v1/balance").send().await;
            let balance = answer.json().await;
            if balance["held"] == "0.000000" {
                let available = balance["available"].as_str().expect("credits");
                return available.parse().expect("a number");
            }
        }
    })
    .await
}
