//! The story that started it: a free trial, a lot of GPU time, and a card that bounces.

use serde_json::json;

use super::fake::{Card, Outcome};
use super::rules::event;
use super::till::{GRANTS, Till};

/// What a trial gives: the most that it can cost the operator.
const TRIAL_CENTS: i64 = 100;

#[tokio::test]
async fn a_trial_that_runs_up_usage_costs_at_most_its_cap_and_a_bounced_card_shuts_it_at_once() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let broke = Card::new(Outcome::NO_FUNDS);
    till.stripe.attach_card(&customer, &broke);
    till.grant(
        &customer,
        TRIAL_CENTS,
        json!({"category": "promotional", "name": "Trial"}),
    );
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    let key = till.shop.key(&customer).await;

    // Everything at once, as a script would: twenty requests of a quarter each, four of which are there.
    let connection = till.shop.client(&key).connect().await;
    let mut paid = 0;
    for _ in 0..20 {
        let request = connection
            .post("/v1/rerank", "{}")
            .header("content-type", "application/json");
        match request.send().await.status() {
            200 => paid += 1,
            402 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(paid, 4);
    assert_eq!(till.shop.upstream.reached(), 4);
    let shown = till.shop.settled(&customer).await;
    assert_eq!(
        (&shown["available"], &shown["spent"]),
        (&json!("0.000000"), &json!("1.000000"))
    );

    // Some kind soul gives more, and then the card bounces: what is left is out of reach with the next request.
    till.grant(&customer, TRIAL_CENTS, json!({"category": "promotional"}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    till.shop.opens(&key).await;
    let reached = till.shop.upstream.reached();
    let bounced = json!({
        "id": "in_trial_end", "object": "invoice", "customer": customer, "status": "open", "currency": "usd",
        "attempt_count": 1, "amount_due": 2000,
    });
    assert_eq!(
        till.send(&event("invoice.payment_failed", bounced))
            .await
            .status(),
        200
    );
    let mut refused = till.shop.buy(&key, "/v1/rerank").await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.contains("account_paused"));
    assert_eq!(till.shop.upstream.reached(), reached, "nothing went through");
    assert_eq!(till.reasons(&customer).await, ["invoice:in_trial_end"]);
    till.shop.verify().await;
}
