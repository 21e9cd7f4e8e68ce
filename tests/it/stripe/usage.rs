//! What was used is told to Stripe once, and what Stripe makes of it moves nothing here.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Card, Delivering, Fault, Outcome};
use super::till::{GRANTS, Setup, Till};
use crate::rig::within;

const MONTH: i64 = 30 * 86_400;

const REPORTING: Setup = Setup {
    more: "[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1s\"",
    ..GRANTS
};

impl Till {
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
    let (customer, _) = till.subscribed();
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
    let (customer, _) = till.subscribed();
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
    let (customer, _) = till.subscribed();
    till.grant(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "5.000000").await;
    let key = till.shop.key(&customer).await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.has(&customer, "4.750000").await;
    assert_eq!(till.reported(), 0);
}

const INVOICED: Setup = Setup {
    more: "[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1s\"\ninvoice_at = 1",
    ..GRANTS
};

impl Till {
    /// The id of the first object of a kind.
    fn first(&self, kind: &str) -> String {
        let world = self.stripe.world();
        let first = world.all(kind).next().expect("an object");
        first["id"].as_str().expect("an id").to_owned()
    }

    /// From how much usage on each metered item is invoiced, as Stripe has it.
    fn invoiced_at(&self) -> Vec<Value> {
        let world = self.stripe.world();
        let items = world.all("subscription").map(|one| &one["items"]["data"][0]);
        items
            .map(|item| item["billing_thresholds"]["usage_gte"].clone())
            .collect()
    }
}

#[tokio::test]
async fn r8_usage_is_invoiced_before_its_period_ends_so_that_grants_do_not_pile_up() {
    let till = Till::open(INVOICED).await;
    // One who subscribes before there is an account, and one who does after.
    let (early, _) = till.subscribed();
    till.grant(&early, 150, json!({}));
    // The gate sets thresholds meanwhile, of which there are events too.
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&early, "1.500000").await;
    let late = till.stripe.customer(&[]);
    till.grant(&late, 150, json!({}));
    till.stripe.deliver(&Delivering::well()).await;
    let price = till.first("price");
    till.stripe.world().subscribe(&late, &price);
    till.stripe.deliver(&Delivering::well()).await;
    within("thresholds", async {
        while till.invoiced_at() != [json!(1_000_000), json!(1_000_000)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // A credit's worth is invoiced at once, and grants pay it; what is left is here.
    let key = till.shop.key(&early).await;
    for _ in 0..5 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.reports(1_250_000).await;
    till.stripe.advance(7_200);
    till.stripe.deliver(&Delivering::well()).await;
    let invoices: Vec<Value> = till.stripe.world().all("invoice").cloned().collect();
    let [invoice] = &invoices[..] else {
        panic!("{invoices:#?}")
    };
    assert_eq!(invoice["billing_reason"], "subscription_threshold");
    assert_eq!(invoice["amount_due"], 0);
    assert_eq!(till.show(&early).await["available"], "0.250000");
    assert_eq!(till.meter("faregate_stripe_overage_invoices_total ").await, 0.0);
    // Somebody takes it away at Stripe: the next look sets it again.
    till.stripe.advance(5);
    let item = till.stripe.world().all("subscription").next().expect("one")["items"]["data"][0]["id"].clone();
    let none = json!({"billing_thresholds": ""});
    let changed = till
        .stripe
        .world()
        .update_item(item.as_str().expect("an id"), &none);
    changed.expect("an item");
    till.sync().await;
    within("thresholds", async {
        while till.invoiced_at() != [json!(1_000_000), json!(1_000_000)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn r10_an_invoice_that_credits_do_not_pay_rings() {
    let till = Till::open(REPORTING).await;
    let (customer, _) = till.subscribed();
    till.grant(&customer, 150, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.500000").await;
    let key = till.shop.key(&customer).await;
    for _ in 0..4 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.reports(1_000_000).await;
    // The grant goes before its usage is invoiced: the card has to pay.
    let grant = till.first("billing.credit_grant");
    till.stripe.world().void_grant(&grant).expect("a void");
    till.stripe.advance(MONTH + 7_200);
    till.stripe.deliver_all().await;
    within("the alarm", async {
        while till.meter("faregate_stripe_overage_invoices_total ").await != 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let line = till.shop.faregate.process();
    line.wait_for_line(|line| {
        line.contains("credits did not pay for all of its usage") && line.contains("100 usd")
    })
    .await;
    // Told once, however often Stripe tells.
    till.sync().await;
    assert_eq!(till.meter("faregate_stripe_overage_invoices_total ").await, 1.0);
}

const POSTPAID: Setup = Setup {
    more: "plan = \"post\"\n[plans.post]\ncredit_line = 2\n[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1s\"\ninvoice_at = 1",
    ..GRANTS
};

/// A customer who had half a credit and has used a credit and a half, of which Stripe knows.
async fn debtor(till: &Till, card: Outcome) -> (String, String) {
    let (customer, _) = till.subscribed();
    till.stripe.attach_card(&customer, &Card::new(card));
    till.grant(&customer, 50, json!({}));
    // The gate sets the threshold meanwhile, of which there is an event too.
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&customer, "0.500000").await;
    within("a threshold", async {
        while till.invoiced_at() != [json!(1_000_000)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let key = till.shop.key(&customer).await;
    for _ in 0..6 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.has(&customer, "-1.000000").await;
    till.reports(1_500_000).await;
    (customer, key)
}

#[tokio::test]
async fn what_is_owed_is_invoiced_at_the_threshold_and_owed_no_more_once_it_is_paid() {
    let till = Till::open(POSTPAID).await;
    let (customer, _) = debtor(&till, Outcome::Paid).await;
    till.stripe.advance(60);
    till.stripe.deliver(&Delivering::well()).await;
    let shown = till.has(&customer, "0.000000").await;
    assert_eq!(shown["granted"], "1.500000");
    assert_eq!(till.first("invoice"), {
        let lot = shown["grants"][1]["id"].as_str().expect("an id");
        lot.strip_prefix("invoice:").expect("of an invoice")
    });
    // Told again, it is paid off once; that it had to be paid is no alarm; and Stripe has what it should have.
    till.stripe.advance(5);
    let report = till.sync().await;
    assert_eq!(report["drift"], json!([]), "{report}");
    assert_eq!(till.show(&customer).await["available"], "0.000000");
    assert_eq!(till.meter("faregate_stripe_overage_invoices_total ").await, 0.0);
    // Money that is given back is owed again.
    let charge = till.first("charge");
    till.stripe.world().refund(&charge, 40);
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&customer, "-0.400000").await;
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn an_invoice_of_what_is_owed_that_fails_takes_the_line_away_until_it_is_paid() {
    let till = Till::open(POSTPAID).await;
    let (customer, key) = debtor(&till, Outcome::NO_FUNDS).await;
    till.stripe.advance(60);
    till.stripe.deliver(&Delivering::well()).await;
    let (invoice, subscription) = (till.first("invoice"), till.first("subscription"));
    assert_eq!(
        till.reasons(&customer).await,
        [
            format!("invoice:{invoice}"),
            format!("subscription:{subscription}")
        ]
    );
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 403);
    assert_eq!(till.show(&customer).await["available"], "-1.000000");
    let card = till.first("payment_method");
    till.stripe.world().set_outcome(&card, Outcome::Paid);
    till.stripe
        .world()
        .pay_invoice(&invoice, &json!({}))
        .expect("a payment");
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&customer, "0.000000").await;
    assert_eq!(till.reasons(&customer).await, Vec::<String>::new());
    till.shop.verify().await;
}

#[tokio::test]
async fn usage_that_stripe_cannot_count_is_told_of_with_the_reason() {
    let till = Till::open(REPORTING).await;
    let (customer, _) = till.subscribed();
    till.grant(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "5.000000").await;
    let key = till.shop.key(&customer).await;
    let meter = till.first("billing.meter");
    till.stripe.world().archive_meter(&meter);
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.reports(250_000).await;
    till.stripe.advance(60);
    till.stripe.deliver_all().await;
    let process = till.shop.faregate.process();
    let told = |line: &str| line.contains("did not count") && line.contains("archived_meter");
    process.wait_for_line(told).await;
    assert_eq!(till.meter("faregate_stripe_usage_refused_total ").await, 1.0);
    // Told once more by Stripe, it is not told again here; and what was used stays used.
    till.sync().await;
    assert_eq!(till.meter("faregate_stripe_usage_refused_total ").await, 1.0);
    assert_eq!(till.show(&customer).await["spent"], "0.250000");
    assert_eq!(till.shop.cli(["stripe", "parked"]).await["items"], json!([]));
}
