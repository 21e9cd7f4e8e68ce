//! Very many deliveries at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fake::chance::Chance;
use super::fake::webhook::signature;
use super::fake::{SECRET, START};
use super::inside::Inside;
use super::laws::{CENT, text};

/// Twenty thousand deliveries, unless FAREGATE_DELIVERIES says another number.
fn deliveries() -> usize {
    let asked = std::env::var("FAREGATE_DELIVERIES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_twenty_thousand_deliveries_repeated_shuffled_and_forged_come_out_exactly() {
    let inside = Arc::new(Inside::open("ledger", 9));
    let mut chance = Chance::new(9);
    let mut owed: BTreeMap<String, i64> = BTreeMap::new();
    // So many that none has more grants unused than an account may.
    let customers: Vec<String> = (0..250)
        .map(|_| {
            text(
                &inside
                    .stripe
                    .world()
                    .create_customer(&json!({}))
                    .expect("a customer"),
                "id",
            )
        })
        .collect();
    let mut told: Vec<Value> = Vec::new();
    // Two in three are told; three in ten of these again, and one in twenty comes forged.
    for number in 0..deliveries() * 13 / 20 {
        let customer = chance.pick(&customers).clone();
        let cents = 1 + i64::try_from(chance.below(500)).expect("small");
        *owed.entry(customer.clone()).or_default() += cents * CENT;
        let payment = json!({
            "id": format!("pi_{number}"), "object": "payment_intent", "customer": customer, "status": "succeeded",
            "amount_received": cents, "currency": "usd", "created": START, "metadata": {},
        });
        told.push(json!({
            "id": format!("evt_{number}"), "object": "event", "created": START, "livemode": false,
            "type": "payment_intent.succeeded", "data": {"object": payment},
        }));
    }
    let mut sent: Vec<(Value, bool)> = told.iter().map(|event| (event.clone(), false)).collect();
    while sent.len() < deliveries() {
        let event = chance.pick(&told).clone();
        // What is forged would give a fortune.
        let forged = sent.len().is_multiple_of(7);
        sent.push((event, forged));
    }
    chance.shuffle(&mut sent);
    inside.store.fail(1);
    let webhook = Arc::new(inside.webhook());
    let mut at_once = tokio::task::JoinSet::new();
    let mut refused = 0;
    let mut again = Vec::new();
    for (event, forged) in sent {
        if forged {
            let mut event = event;
            event["id"] = json!(format!("{}_forged", text(&event, "id")));
            event["data"]["object"]["id"] = json!(format!("{}_forged", text(&event["data"]["object"], "id")));
            let body = event.to_string();
            let header = signature(START, &body, &["whsec_guessed".to_owned()]);
            assert!(webhook.believe(header.as_bytes(), body.as_bytes()).is_err());
            refused += 1;
            continue;
        }
        while at_once.len() >= 48 {
            again.extend(at_once.join_next().await.expect("one").expect("no panic"));
        }
        let (webhook, inside) = (Arc::clone(&webhook), Arc::clone(&inside));
        at_once.spawn(async move {
            let body = event.to_string();
            let header = signature(START, &body, &[SECRET.to_owned()]);
            let believed = webhook
                .believe(header.as_bytes(), body.as_bytes())
                .expect("it is signed");
            let taken = inside.desk.receive(&believed, body.as_bytes()).await;
            taken.is_err().then_some(event)
        });
    }
    while let Some(done) = at_once.join_next().await {
        again.extend(done.expect("no panic"));
    }
    assert!(refused * 25 > deliveries(), "{refused}");
    assert!(!again.is_empty(), "the store never failed");
    inside.store.fail(0);
    for event in again {
        assert!(inside.deliver(&event).await);
    }
    while inside.desk.work().await.expect("nothing fails") > 0 {}
    inside.come_to_rest().await;
    for (customer, micros) in owed {
        let (available, reasons) = inside.stands(&customer).await.expect("an account");
        assert_eq!((available.micros(), reasons.len()), (micros, 0), "{customer}");
    }
    inside.verify().await;
}
