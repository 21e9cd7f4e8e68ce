//! Many events at once, and what requests feel of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rules::event;
use super::till::{GRANTS, Setup, Till, WEBHOOK};

/// Events that are sent; a minute's worth of the promise is 10,000: `FAREGATE_EVENTS=10000`.
fn events() -> usize {
    let set = std::env::var("FAREGATE_EVENTS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// A grant, and what follows it in its life.
fn story(number: usize) -> Vec<Value> {
    let id = format!("credgr_{number}");
    let customer = format!("cus_{}", number % 50);
    let grant = |updated: i64, voided: Value| {
        json!({
            "id": id, "object": "billing.credit_grant", "customer": customer, "category": "paid", "priority": 50,
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 100}},
            "created": 1_795_000_000, "updated": updated, "effective_at": 1_795_000_000, "expires_at": null,
            "voided_at": voided, "livemode": false, "metadata": {},
        })
    };
    vec![
        event("billing.credit_grant.created", grant(1_795_000_000, Value::Null)),
        event(
            "billing.credit_grant.updated",
            grant(1_795_000_100, json!(1_795_000_100)),
        ),
        event(
            "invoice.finalized",
            json!({
                "id": format!("in_{number}"), "object": "invoice", "customer": customer, "status": "open", "currency": "usd",
                "attempt_count": 0, "amount_due": 0,
            }),
        ),
        event("a.type.that.nobody.listens.to", json!({})),
    ]
}

/// How long a priced request takes, in the middle.
async fn middle(till: &Till, key: &str, count: usize) -> Duration {
    let connection = till.shop.client(key).connect().await;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        let request = connection
            .post("/v1/rerank", "{}")
            .header("content-type", "application/json");
        assert_eq!(request.send().await.status(), 200);
        took.push(began.elapsed());
    }
    took.sort();
    took[count / 2]
}

#[tokio::test]
async fn many_events_are_all_taken_and_requests_go_on_beside_them() {
    let till = Arc::new(Till::open(Setup { api: false, ..GRANTS }).await);
    let key = till.shop.customer("acme", "1000").await;
    let quiet = middle(&till, &key, 100).await;
    let all: Arc<Vec<Value>> = Arc::new((0..events().div_ceil(4)).flat_map(story).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (till, all, next) = (Arc::clone(&till), Arc::clone(&all), Arc::clone(&next));
            tokio::spawn(async move {
                let connection = till.shop.faregate.client().connect().await;
                while let Some(event) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let signed = till.stripe.sign("", "", event.to_string());
                    let mut request = connection.post(WEBHOOK, signed.body);
                    for (name, value) in &signed.headers {
                        request = request.header(name, value);
                    }
                    assert_eq!(request.send().await.status(), 200);
                }
            })
        })
        .collect();
    let busy = middle(&till, &key, 100).await;
    for sender in senders {
        sender.await.expect("a sender");
    }
    let per_second = all.len() as f64 / began.elapsed().as_secs_f64();
    println!(
        "{} events, {per_second:.0} in a second; a request {quiet:?} before, {busy:?} beside",
        all.len()
    );
    let first = till.show("cus_0").await;
    assert_eq!(
        (&first["available"], first["granted"] == first["voided"]),
        (&json!("0.000000"), true)
    );
    till.shop.verify().await;
}
