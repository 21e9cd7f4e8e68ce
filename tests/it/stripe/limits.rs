//! What does not fit, and what comes before there is room for it.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::Delivering;
use super::rules::event;
use super::till::{GRANTS, LEDGER, Till};
use crate::rig::within;

#[tokio::test]
async fn the_201st_purchase_is_parked_and_comes_in_when_one_before_is_used_up() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    for _ in 0..200 {
        till.pay(&customer, 50, json!({}));
    }
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&customer, "100.000000").await;
    let (last, _) = till.pay(&customer, 50, json!({}));
    till.stripe.deliver(&Delivering::well()).await;
    let parked = till.shop.cli(["stripe", "parked"]).await;
    assert_eq!(parked["items"][0]["what"], format!("purchase:{last}"), "{parked}");
    let why = parked["items"][0]["why"].as_str().expect("why");
    assert!(why.contains("200 grants"), "{why}");
    assert_eq!(till.show(&customer).await["available"], "100.000000");

    let key = till.shop.key(&customer).await;
    for _ in 0..2 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.has(&customer, "99.500000").await;
    till.sync().await;
    till.has(&customer, "100.000000").await;
    assert_eq!(till.shop.cli(["stripe", "parked"]).await["items"], json!([]));
    till.shop.verify().await;
}

impl Till {
    /// A dispute of a payment that makes no account, and then an account of this name, made by an operator.
    async fn made_after_a_dispute(&self, customer: Option<&str>, account: &str, metadata: Value) {
        let payer = match customer {
            Some(customer) => customer.to_owned(),
            None => self.stripe.customer(&[]),
        };
        let (payment, charge) = self.pay(&payer, 500, metadata.clone());
        let dispute = self.stripe.dispute(&charge);
        if customer.is_none() {
            // Stripe knows nobody who paid, only what was attached.
            let object = json!({
                "id": payment, "object": "payment_intent", "customer": null, "status": "succeeded", "amount_received": 500, "currency": "usd",
                "created": self.stripe.world().now(), "latest_charge": charge, "metadata": metadata,
            });
            let told = event("payment_intent.succeeded", object);
            assert_eq!(self.send(&told).await.status(), 200);
            let told = event("charge.dispute.created", self.stripe.object(&dispute));
            assert_eq!(self.send(&told).await.status(), 200);
        } else {
            self.stripe.deliver(&Delivering::well()).await;
        }
        assert_eq!(self.show(account).await, Value::Null);
        self.shop.cli(["account", "create", account]).await;
        let reason = format!("dispute:{dispute}");
        within(format!("{account} is shut"), async {
            while self.reasons(account).await != [&*reason] {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_account_that_is_made_after_trouble_is_shut_from_its_beginning() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.made_after_a_dispute(Some(&customer), &customer, json!({}))
        .await;
    let named = till.stripe.customer(&[("faregate_account", "acme")]);
    let wait = till.stripe.world().now();
    till.made_after_a_dispute(Some(&named), "acme", json!({"n": wait.to_string()}))
        .await;
    till.made_after_a_dispute(None, "guest", json!({"faregate_account": "guest"}))
        .await;
}

#[tokio::test]
async fn a_subscription_that_is_forgotten_leaves_no_reason_behind() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    till.pay(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    let tell = async |nth: i64, status: &str| {
        let subscription = json!({
            "id": format!("sub_{nth:03}"), "object": "subscription", "customer": customer, "status": status, "pause_collection": null,
        });
        let mut told = event("customer.subscription.updated", subscription);
        told["created"] = json!(told["created"].as_i64().expect("a time") + nth);
        assert_eq!(till.send(&told).await.status(), 200);
    };
    tell(0, "canceled").await;
    for nth in 1..=101 {
        tell(nth, "incomplete_expired").await;
    }
    assert_eq!(till.reasons(&customer).await, ["subscription:sub_000"]);
    tell(102, "active").await;
    assert_eq!(till.reasons(&customer).await, [""; 0]);
}
