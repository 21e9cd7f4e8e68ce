//! What is from before the gate moves nothing.

use serde_json::json;

use super::fake::{FakeStripe, Options};
use super::rules::event;
use super::till::{GRANTS, LEDGER, Setup, Till, WEBHOOK, config};
use crate::product::shop::Shop;

const YEAR: i64 = 365 * 86_400;

/// A gate that counts what is of the last half year, and a Stripe where it is a year ago.
async fn old_till(setup: Setup) -> Till {
    let now = Options::real_time();
    let stripe = FakeStripe::start(Options {
        now: now.now - YEAR,
        ..now
    })
    .await;
    let at = jiff::Timestamp::from_second(now.now - YEAR / 2).expect("a time");
    let since = format!("since = \"{at}\"");
    let setup = Setup {
        more: Box::leak(since.into_boxed_str()),
        ..setup
    };
    let shop = Shop::with(setup.ledger, &config(&setup, &stripe)).await;
    stripe.deliver_to(shop.faregate.listen(), WEBHOOK);
    Till { shop, stripe }
}

#[tokio::test]
async fn payments_of_before_and_their_troubles_move_nothing_and_later_ones_do() {
    let till = old_till(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (_, old) = till.pay(&customer, 5000, json!({}));
    till.stripe.world().refund(&old, 1000);
    let (_, disputed) = till.pay(&customer, 700, json!({}));
    till.stripe.dispute(&disputed);
    let (_, warned) = till.pay(&customer, 900, json!({}));
    till.stripe.world().early_fraud_warning(&warned);
    till.stripe.world().open_review(&warned);
    let owing = till.stripe.customer(&[]);
    let (gone, ended) = till.subscribed();
    till.stripe
        .world()
        .cancel_subscription(&ended, &json!({}))
        .expect("an end");
    for account in [&customer, &owing, &gone] {
        till.shop.cli(["account", "create", account]).await;
    }
    till.stripe.deliver_all().await;
    let overdue = json!({
        "id": "in_old", "object": "invoice", "customer": owing, "status": "open", "attempt_count": 1, "amount_due": 500,
        "currency": "usd", "created": till.stripe.world().now(),
    });
    assert_eq!(till.send(&event("invoice.overdue", overdue)).await.status(), 200);
    till.sync().await;
    for account in [&customer, &owing, &gone] {
        assert_eq!(till.show(account).await["granted"], "0.000000");
        assert_eq!(till.reasons(account).await, [""; 0]);
    }

    till.stripe.advance(YEAR);
    let (_, new) = till.pay(&customer, 2000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "20.000000").await;
    // What is refunded now of a payment that brought nothing here takes nothing; what is disputed now is trouble of now.
    till.stripe.world().refund(&old, 1000);
    till.stripe.world().refund(&new, 500);
    till.stripe.deliver_all().await;
    till.has(&customer, "15.000000").await;
    let dispute = till.stripe.dispute(&old);
    till.stripe.deliver_all().await;
    assert_eq!(till.reasons(&customer).await, [format!("dispute:{dispute}")]);
    assert_eq!(till.show(&customer).await["available"], "15.000000");
    assert_eq!(till.shop.cli(["stripe", "parked"]).await["items"], json!([]));
    till.shop.verify().await;
}

#[tokio::test]
async fn grants_of_before_are_mirrored_all_the_same() {
    let till = old_till(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let (payment, _) = till.pay(&customer, 5000, json!({"faregate_credits": "50"}));
    till.grant(&customer, 700, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "7.000000").await;
    till.sync().await;
    let grants = till.stripe.world().grants_of(&customer);
    assert!(
        grants
            .iter()
            .all(|grant| grant["metadata"]["purchase_id"] != payment.as_str())
    );
    till.stripe.assert_clean();
}
