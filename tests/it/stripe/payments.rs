//! Payments that credit, and what takes credits back.

use serde_json::{Value, json};

use super::fake::{Card, Fault, Outcome};
use super::till::{GRANTS, LEDGER, Till};

impl Till {
    /// A customer pays so many cents with a good card; the payment and its charge.
    pub(super) fn pay(&self, customer: &str, cents: i64, metadata: Value) -> (String, String) {
        let method = self.stripe.attach_card(customer, &Card::new(Outcome::Paid));
        let asked = json!({
            "amount": cents, "currency": "usd", "customer": customer, "payment_method": method, "confirm": true,
            "off_session": true, "error_on_requires_action": true, "metadata": metadata,
        });
        let paid = self
            .stripe
            .world()
            .create_payment_intent(&asked)
            .expect("a payment");
        let text = |field: &str| paid[field].as_str().expect(field).to_owned();
        (text("id"), text("latest_charge"))
    }
}

#[tokio::test]
async fn r1_a_payment_credits_once_where_payments_are_what_credits() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (payment, _) = till.pay(&customer, 5000, json!({}));
    // Grants are not what credits here.
    till.grant(&customer, 700, json!({}));
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "50.000000").await;
    assert_eq!(shown["grants"][0]["id"], format!("purchase:{payment}"));
    let succeeded = till.stripe.world().events_of("payment_intent.succeeded")[0]
        .id
        .clone();
    till.stripe.resend(&succeeded).await;
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
    till.shop.verify().await;
}

#[tokio::test]
async fn a_refund_takes_its_part_once_and_gives_it_back_when_it_fails() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (_, charge) = till.pay(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    till.stripe.world().refund(&charge, 2000);
    till.stripe.deliver_all().await;
    till.has(&customer, "30.000000").await;
    till.stripe.advance(5);
    let rest = till.stripe.world().refund(&charge, 3000);
    till.stripe.deliver_all().await;
    till.has(&customer, "0.000000").await;
    till.stripe.advance(5);
    till.stripe.world().fail_refund(&rest);
    till.stripe.deliver_all().await;
    till.has(&customer, "30.000000").await;
    assert_eq!(till.reasons(&customer).await, [""; 0]);
    till.shop.verify().await;
}

#[tokio::test]
async fn a_dispute_shuts_and_takes_back_and_being_won_undoes_both() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (_, charge) = till.pay(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    let key = till.shop.key(&customer).await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    let dispute = till.stripe.dispute(&charge);
    till.stripe.deliver_all().await;
    till.has(&customer, "-0.250000").await;
    assert_eq!(till.reasons(&customer).await, [format!("dispute:{dispute}")]);
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 403);
    till.stripe.advance(60);
    till.stripe.world().close_dispute(&dispute, "won");
    till.stripe.deliver_all().await;
    till.has(&customer, "0.750000").await;
    assert_eq!(till.reasons(&customer).await, [""; 0]);
    till.shop.opens(&key).await;
    till.shop.verify().await;
}

#[tokio::test]
async fn what_a_won_dispute_gives_back_ends_with_its_lot_and_is_paid_as_it_was() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (payment, charge) = till.pay(&customer, 1000, json!({"faregate_expires_after": "864000"}));
    till.stripe.deliver_all().await;
    let bought = till.has(&customer, "10.000000").await["grants"][0].clone();
    assert_ne!(bought["expires_at"], Value::Null);
    for nth in 1..=2 {
        let dispute = till.stripe.dispute(&charge);
        till.stripe.deliver_all().await;
        till.has(&customer, "0.000000").await;
        till.stripe.advance(60);
        till.stripe.world().close_dispute(&dispute, "won");
        till.stripe.deliver_all().await;
        let shown = till.has(&customer, "10.000000").await;
        let id = format!("back:{payment}:{}", 2 * nth);
        let grants = shown["grants"].as_array().expect("grants");
        let back = grants.iter().find(|grant| grant["id"] == id.as_str());
        let back = back.unwrap_or_else(|| panic!("no {id}: {shown:#}"));
        for same in ["category", "priority", "expires_at"] {
            assert_eq!(back[same], bought[same], "{same}");
        }
    }
    till.shop.verify().await;
}

#[tokio::test]
async fn a_refund_of_what_has_not_begun_takes_nothing_of_what_has() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let (payment, charge) = till.pay(&customer, 5000, json!({}));
    till.grant(&customer, 700, json!({}));
    let begins = till.stripe.world().now() + 3;
    till.grant(
        &customer,
        5000,
        json!({"metadata": {"purchase_id": payment}, "effective_at": begins}),
    );
    till.stripe.deliver_all().await;
    till.has(&customer, "7.000000").await;
    till.stripe.world().refund(&charge, 2000);
    till.stripe.deliver_all().await;
    assert_eq!(till.show(&customer).await["available"], "7.000000");
    // It begins, and is taken from: the other one is whole.
    let shown = till.has(&customer, "37.000000").await;
    let left: Vec<&Value> = shown["grants"]
        .as_array()
        .expect("grants")
        .iter()
        .map(|grant| &grant["remaining"])
        .collect();
    assert!(left.contains(&&json!("7.000000")), "{shown:#}");
    assert!(left.contains(&&json!("30.000000")), "{shown:#}");
    till.shop.verify().await;
}

#[tokio::test]
async fn a_grant_that_was_made_long_ago_and_never_heard_of_is_found_and_not_made_again() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let metadata = json!({"faregate_credits": "50"});
    let (payment, _) = till.pay(&customer, 5000, metadata);
    till.grant(&customer, 5000, json!({"metadata": {"purchase_id": payment}}));
    let mut succeeded = till.stripe.world().events_of("payment_intent.succeeded")[0]
        .payload
        .clone();
    let long_ago = succeeded["created"].as_i64().expect("a time") - 30 * 3_600;
    succeeded["data"]["object"]["created"] = json!(long_ago);
    assert_eq!(till.send(&succeeded).await.status(), 200);
    till.has(&customer, "50.000000").await;
    assert_eq!(till.stripe.calls_of("POST /v1/billing/credit_grants").len(), 0);
    till.stripe.assert_clean();
}

#[tokio::test]
async fn what_was_bought_is_granted_at_stripe_once_though_its_answer_is_lost() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.stripe
        .fail("POST /v1/billing/credit_grants", 1, Fault::CloseAfter);
    let (payment, charge) = till.pay(&customer, 5000, json!({"faregate_credits": "50"}));
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "50.000000").await;
    let grants = till.stripe.world().grants_of(&customer);
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["metadata"]["purchase_id"], payment.as_str());
    assert_eq!(shown["grants"][0]["id"], grants[0]["id"]);
    // Its events change nothing any more, and a refund takes from it.
    till.stripe.deliver_all().await;
    till.stripe.world().refund(&charge, 5000);
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "0.000000").await;
    assert_eq!(shown["granted"], "0.000000");
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn who_has_paid_has_credits_also_while_stripe_answers_with_errors() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    // Stripe keeps such an error under its idempotency key: the same call gets it again for a day.
    till.stripe
        .fail("POST /v1/billing/credit_grants", 1, Fault::ErrorBefore);
    let (payment, _) = till.pay(&customer, 5000, json!({"faregate_credits": "50"}));
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "50.000000").await;
    assert_eq!(shown["grants"][0]["id"], format!("purchase:{payment}"));
    // The grant comes to be all the same, by hand: it is the same credits.
    till.grant(&customer, 5000, json!({"metadata": {"purchase_id": payment}}));
    till.stripe.deliver_all().await;
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
    till.shop.verify().await;
}
