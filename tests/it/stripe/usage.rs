//! What was used is told to Stripe once, and what Stripe makes of it moves nothing here.

use std::time::Duration;

use serde_json::json;

use super::fake::Fault;
use super::till::{GRANTS, Setup, Till};
use crate::rig::within;

const MONTH: i64 = 30 * 86_400;

const REPORTING: Setup = Setup {
    more: "[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1s\"",
    ..GRANTS
};

impl Till {
    /// A customer with a metered subscription: a micro-credit is a millionth of a dollar.
    fn metered(&self) -> String {
        let customer = self.stripe.customer(&[]);
        let mut world = self.stripe.world();
        let meter = json!({"display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"}});
        let meter = world.create_meter(&meter).expect("a meter")["id"].clone();
        let price = world.add_price(meter.as_str().expect("an id"), "usd", "0.0001");
        world.subscribe(&customer, &price);
        customer
    }

    /// What Stripe was told so far, in calls that it did.
    fn reported(&self) -> i64 {
        let calls = self.stripe.calls_of("POST /v1/billing/meter_events");
        let mut seen: Vec<(String, i64)> = calls
            .iter()
            .map(|call| {
                let value = call.get("payload[value]").and_then(|value| value.parse().ok());
                (
                    call.get("identifier").unwrap_or_default().to_owned(),
                    value.expect("a value"),
                )
            })
            .collect();
        seen.sort();
        seen.dedup();
        seen.iter().map(|(_, value)| value).sum()
    }

    async fn reports(&self, micros: i64) {
        within(format!("{micros} micro-credits are reported"), async {
            while self.reported() != micros {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn r2_r11_usage_is_reported_to_the_micro_credit_and_its_invoice_takes_nothing_a_second_time() {
    let till = Till::open(REPORTING).await;
    let customer = till.metered();
    till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    let key = till.shop.key(&customer).await;
    for _ in 0..4 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.reports(1_000_000).await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.reports(1_250_000).await;
    till.stripe.advance(MONTH + 7_200);
    till.stripe.deliver_all().await;
    let applied = till
        .stripe
        .world()
        .events_of("billing.credit_balance_transaction.created")
        .len();
    assert_eq!(applied, 2, "granted, and applied");
    let shown = till.show(&customer).await;
    assert_eq!(
        (&shown["available"], &shown["spent"]),
        (&json!("48.750000"), &json!("1.250000"))
    );
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn usage_is_reported_once_whatever_is_lost_and_whenever_the_gate_dies() {
    let mut till = Till::open(REPORTING).await;
    let customer = till.metered();
    till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    let key = till.shop.key(&customer).await;
    till.stripe
        .fail("POST /v1/billing/meter_events", 2, Fault::CloseAfter);
    till.stripe
        .fail("POST /v1/billing/meter_events", 1, Fault::HangAfter);
    for _ in 0..3 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.reports(750_000).await;
    till.shop.faregate.kill9_and_restart();
    till.shop.faregate.wait_ready().await;
    till.stripe.heal();
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.reports(1_000_000).await;
    let told: Vec<String> = till
        .stripe
        .world()
        .usage()
        .iter()
        .map(|usage| usage.identifier.clone())
        .collect();
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), told.len(), "{told:?}");
    till.shop.verify().await;
}

#[tokio::test]
async fn without_it_nothing_is_reported() {
    let till = Till::open(GRANTS).await;
    let customer = till.metered();
    till.grant(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "5.000000").await;
    let key = till.shop.key(&customer).await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.has(&customer, "4.750000").await;
    assert_eq!(till.reported(), 0);
}
