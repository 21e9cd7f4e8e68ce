//! Plans that open by money: a charge that is refunded at once, or credits that were bought.

use std::time::Duration;

use serde_json::json;

use super::super::fake::{Card, Fault, Outcome};
use super::super::till::{LEDGER, Setup, Till};
use crate::rig::within;

const BY_CHARGE: Setup = Setup {
    more: r#"
[stripe.checkout]
success_url = "https://example.com/verified"
cancel_url = "https://example.com/"

[plans.free]
routes = ["GET /v1/models"]

[plans.free.verify]
by = "charge"
amount = 1.00
currency = "usd"
opens = "trial"
credits = 2

[plans.trial]
routes = ["GET /v1/models", "POST /v1/rerank"]
"#,
    ..LEDGER
};

const BY_PAYMENT: Setup = Setup {
    more: r#"
[stripe.checkout]
success_url = "https://example.com/bought"
cancel_url = "https://example.com/"

[[stripe.packs]]
id = "small"
name = "Six dollars of credits"
price = 6
currency = "usd"

[plans.free]
routes = ["GET /v1/models"]

[plans.free.verify]
by = "payment"
credits_paid = 10
opens = "pro"

[plans.pro]
routes = ["GET /v1/models", "POST /v1/rerank"]
"#,
    ..LEDGER
};

impl Till {
    /// The test charge is refunded in full.
    async fn refunded(&self) {
        within("the charge is refunded", async {
            loop {
                let charge = self.stripe.newest("charge").expect("a charge");
                if charge["refunded"] == true {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Buys a pack; gives back its charge.
    async fn buy_small(&self, key: &str) -> String {
        let asked = json!({ "pack": "small" });
        let mut answer = self
            .shop
            .client(key)
            .post_json("/faregate/v1/checkout", &asked)
            .send()
            .await;
        let page = answer.json().await;
        self.stripe
            .buy(page["id"].as_str().expect("an id"), &Card::good());
        self.stripe.deliver_all().await;
        let charge = self.stripe.newest("charge").expect("a charge");
        charge["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_small_charge_opens_the_plan_and_is_given_back_at_once() {
    let till = Till::open(BY_CHARGE).await;
    let key = till.newcomer("acme").await;
    let mut refused = till.shop.buy(&key, "/v1/rerank").await;
    assert_eq!(refused.json().await["verify_by"], "charge");
    till.show_card(&key, &Card::good()).await;
    let shown = till.has("acme", "2.000000").await;
    assert_eq!(shown["grants"].as_array().map(Vec::len), Some(1), "{shown:#}");
    till.refunded().await;
    till.stripe.deliver_all().await;
    till.shop.opens(&key).await;
    let shown = till.shop.settled("acme").await;
    // Nothing was bought, so nothing is taken back, and nobody is shut.
    assert_eq!(
        (&shown["plan"], &shown["granted"], &shown["reasons"]),
        (&json!("trial"), &json!("2.000000"), &json!([]))
    );
    assert_eq!(till.verified(&key).await["status"], "verified");
    assert_eq!(till.stripe.calls_of("POST /v1/refunds").len(), 1);
    till.all_is_well().await;
}

#[tokio::test]
async fn a_charge_is_given_back_also_where_it_opens_nothing_and_where_stripe_was_away() {
    let till = Till::open(BY_CHARGE).await;
    let (one, two) = (till.newcomer("one").await, till.newcomer("two").await);
    till.show_card(&one, &Card::good()).await;
    till.has("one", "2.000000").await;
    till.refunded().await;
    till.stripe.deliver_all().await;
    till.stripe.fail("POST /v1/refunds", 2, Fault::CloseAfter);
    let page = till.verify_page(&two).await;
    till.stripe.buy(&page, &Card::good());
    till.stripe.take_undelivered();
    // Without the webhook.
    within("it is refused", async {
        while till.verified(&two).await["status"] != "refused" {}
    })
    .await;
    till.refunded().await;
    till.is_still_shut("two", &two).await;
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn a_charge_that_fails_opens_nothing() {
    let till = Till::open(BY_CHARGE).await;
    let key = till.newcomer("acme").await;
    let page = till.verify_page(&key).await;
    assert!(
        till.stripe
            .world()
            .buy(&page, &Card::new(Outcome::NO_FUNDS))
            .is_err()
    );
    till.stripe.deliver_all().await;
    assert_eq!(till.verified(&key).await["status"], "wanted");
    till.is_still_shut("acme", &key).await;
    assert_eq!(till.stripe.calls_of("POST /v1/refunds").len(), 0);
    till.all_is_well().await;
}

#[tokio::test]
async fn so_many_credits_that_were_bought_open_the_plan_less_what_was_refunded() {
    let till = Till::open(BY_PAYMENT).await;
    let key = till.newcomer("acme").await;
    let mut refused = till.shop.buy(&key, "/v1/rerank").await;
    assert_eq!(refused.json().await["verify_by"], "payment");
    assert_eq!(till.ask_to_verify(&key).await.status(), 404);
    let first = till.buy_small(&key).await;
    till.has("acme", "6.000000").await;
    assert_eq!(till.plan_of("acme").await, "free");
    till.stripe.world().refund(&first, 600);
    till.stripe.deliver_all().await;
    till.has("acme", "0.000000").await;
    till.buy_small(&key).await;
    till.has("acme", "6.000000").await;
    let standing = till.verified(&key).await;
    let message = standing["message"].as_str().expect("a sentence").to_owned();
    assert!(message.contains("6.000000 are so far"), "{message}");
    assert_eq!(till.plan_of("acme").await, "free");
    // One that is disputed does not count either.
    let disputed = till.buy_small(&key).await;
    assert_eq!(till.plan_of("acme").await, "pro");
    till.shop.opens(&key).await;
    till.stripe.dispute(&disputed);
    till.stripe.deliver_all().await;
    // What is open stays; the dispute shuts the account by itself.
    assert_eq!(till.plan_of("acme").await, "pro");
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 403);
    till.all_is_well().await;
}

#[tokio::test]
async fn a_payment_that_failed_never_makes_a_trial_a_paid_plan() {
    let till = Till::open(BY_PAYMENT).await;
    let key = till.newcomer("acme").await;
    till.buy_small(&key).await;
    for outcome in [Outcome::NO_FUNDS, Outcome::FRAUDULENT, Outcome::DECLINED] {
        let asked = json!({ "pack": "small" });
        let mut answer = till
            .shop
            .client(&key)
            .post_json("/faregate/v1/checkout", &asked)
            .send()
            .await;
        let page = answer.json().await["id"].as_str().expect("an id").to_owned();
        assert!(till.stripe.world().buy(&page, &Card::new(outcome)).is_err());
        till.stripe.deliver_all().await;
    }
    // Nor one that takes days, and then does not come.
    let mut answer = till
        .shop
        .client(&key)
        .post_json("/faregate/v1/checkout", &json!({ "pack": "small" }))
        .send()
        .await;
    let page = answer.json().await["id"].as_str().expect("an id").to_owned();
    let bought = till.stripe.buy(&page, &Card::new(Outcome::Delayed));
    till.stripe.deliver_all().await;
    assert_eq!(till.plan_of("acme").await, "free");
    let payment = bought["payment_intent"].as_str().expect("a payment").to_owned();
    till.stripe.world().settle(&payment, false);
    till.stripe.deliver_all().await;
    assert_eq!(till.plan_of("acme").await, "free");
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 403);
    till.all_is_well().await;
}
