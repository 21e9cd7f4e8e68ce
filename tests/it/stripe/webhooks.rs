//! The webhook endpoint against everything that can come to it.

use serde_json::{Value, json};

use super::fake::Delivering;
use super::rules::event;
use super::till::{GRANTS, LEDGER, Setup, Till, WEBHOOK};

#[tokio::test]
async fn w3_only_what_stripe_signed_is_believed() {
    // Without a key nothing is learned but by what is sent.
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let event = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    let signed = till.stripe.sign("evt_1", "x", event.to_string());
    let header = signed.headers[1].1.clone();
    let v0 = header.replace("v1=", "v0=");
    let forged = header.replace("v1=", "v1=00");
    for wrong in [v0, forged, "t=1".to_owned(), String::new(), "v1=ab".to_owned()] {
        let headers = [("stripe-signature".to_owned(), wrong.clone())];
        let answer = till.send_raw(&headers, signed.body.clone()).await;
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    let unsigned = till.send_raw(&[], signed.body.clone()).await;
    assert_eq!(unsigned.status(), 400);
    // One byte of difference in what was signed.
    let changed = signed.body.replace("\"value\":100", "\"value\":900");
    assert_ne!(changed, signed.body);
    assert_eq!(till.send_raw(&signed.headers, changed).await.status(), 400);
    assert_eq!(till.show(&customer).await, serde_json::Value::Null);
    assert_eq!(till.send_raw(&signed.headers, signed.body).await.status(), 200);
    till.has(&customer, "1.000000").await;
}

#[tokio::test]
async fn w3_while_a_secret_is_rolled_both_count() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.stripe.sign_with(&["whsec_next", super::fake::SECRET]);
    till.grant(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    till.stripe.sign_with(&["whsec_next"]);
    let answer = till.send(&event("invoice.paid", json!({}))).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn w6_what_is_too_long_or_of_another_method_is_refused() {
    let till = Till::open(GRANTS).await;
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(1024 * 1024));
    let signed = till.stripe.sign("evt_1", "x", long);
    assert_eq!(till.send_raw(&signed.headers, signed.body).await.status(), 413);
    let client = till.shop.faregate.client();
    assert_eq!(client.get(WEBHOOK).send().await.status(), 405);
}

#[tokio::test]
async fn w9_an_unlisted_currency_is_parked_and_given_when_it_is_listed() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let euros = json!({"type": "monetary", "monetary": {"currency": "eur", "value": 5000}});
    till.grant(&customer, 1, json!({"amount": euros}));
    let yen = json!({"type": "monetary", "monetary": {"currency": "jpy", "value": 500}});
    till.grant(&customer, 1, json!({"amount": yen}));
    till.stripe.deliver_all().await;
    // Yen have no minor unit: 500 of them at a hundredth.
    till.has(&customer, "5.000000").await;
    assert_eq!(till.counted("billing.credit_grant.created", "parked").await, 1);
    // The operator is told of it, until it has a rate.
    till.try_sync().await;
    assert_eq!(till.meter("faregate_stripe_parked ").await, 1.0);
    let rest = super::till::config(&GRANTS, &till.stripe);
    let listed = |text: String| text.replacen("{ usd = 1,", "{ eur = 1.08, usd = 1,", 1);
    till.shop.configure_with(GRANTS.ledger, &rest, listed);
    till.shop.cli(["reload"]).await;
    till.sync().await;
    assert_eq!(till.show(&customer).await["available"], "59.000000");
    assert_eq!(till.meter("faregate_stripe_parked ").await, 0.0);
}

#[tokio::test]
async fn w10_what_cannot_be_credited_is_kept_for_a_person_and_answered_well() {
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let good = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    for (at, value) in [
        ("/data/object/amount/monetary/value", json!(0)),
        ("/data/object/amount/monetary/value", json!(-5)),
        ("/data/object/amount/monetary/value", json!(10.5)),
        (
            "/data/object/amount/monetary/value",
            json!(9_007_199_254_740_993_i64),
        ),
        ("/data/object/customer", json!(null)),
        ("/data/object/priority", json!(101)),
        (
            "/data/object/metadata",
            json!({"faregate_account": "no such {account}"}),
        ),
    ] {
        let mut wrong = good.clone();
        let number = till.stripe.world().new_id("n");
        wrong["id"] = json!(format!("evt_{number}"));
        wrong["data"]["object"]["id"] = json!(format!("credgr_{number}"));
        *wrong.pointer_mut(at).expect(at) = value.clone();
        let mut answer = till.send(&wrong).await;
        assert_eq!(answer.status(), 200, "{at} {value}");
        assert_eq!(answer.json().await["result"], "parked", "{at} {value}");
    }
    let granted = till.show(&customer).await;
    assert!(granted.is_null() || granted["granted"] == "0.000000", "{granted}");
}

#[tokio::test]
async fn w10_what_is_of_a_customer_whom_stripe_does_not_know_is_kept_and_alarmed() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let mut strange = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    strange["id"] = json!("evt_strange");
    strange["data"]["object"]["id"] = json!("credgr_strange");
    strange["data"]["object"]["customer"] = json!("cus_nobody");
    let answer = till.send(&strange).await;
    assert_eq!(answer.status(), 200);
    till.try_sync().await;
    assert_eq!(till.meter("faregate_stripe_parked ").await, 1.0);
    assert_eq!(till.show("cus_nobody").await, serde_json::Value::Null);
    till.has(&customer, "1.000000").await;
}

#[tokio::test]
async fn w5_an_event_that_is_sent_again_days_later_gives_nothing_twice() {
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let created = till.stripe.world().events_of("billing.credit_grant.created")[0].clone();
    // Each try is signed anew, so it is believed whenever it comes.
    for _ in 0..3 {
        assert_eq!(till.stripe.resend(&created.id).await.status, Some(200));
    }
    // After days it is not remembered that this event was dealt with: another id stands for that.
    let mut again = created.payload;
    again["id"] = json!("evt_forgotten");
    assert_eq!(till.send(&again).await.status(), 200);
    assert_eq!(till.has(&customer, "1.000000").await["granted"], "1.000000");
}

#[tokio::test]
async fn w7_while_the_ledger_is_away_stripe_is_told_to_come_back_and_then_it_counts() {
    let redis = crate::product::redis::redis().await;
    let ledger = format!("{}\ntimeout = \"500ms\"", crate::product::redis::ledger(&redis));
    let till = Till::open(Setup {
        api: false,
        ledger: Box::leak(ledger.into_boxed_str()),
        ..GRANTS
    })
    .await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    till.grant(&customer, 200, json!({}));
    let event = till.stripe.world().events_of("billing.credit_grant.created")[1]
        .id
        .clone();
    redis.freeze();
    let away = till.stripe.resend(&event).await;
    assert_eq!(away.status, Some(503));
    redis.thaw();
    crate::rig::within("the event is taken", async {
        while till.stripe.resend(&event).await.status != Some(200) {}
    })
    .await;
    assert_eq!(till.has(&customer, "3.000000").await["granted"], "3.000000");
    till.shop.verify().await;
}

#[tokio::test]
async fn w14_a_flood_without_signatures_costs_little_and_asks_nothing_of_the_ledger() {
    let redis = crate::product::redis::redis().await;
    let ledger = crate::product::redis::ledger(&redis);
    let till = Till::open(Setup {
        api: false,
        ledger: Box::leak(ledger.into_boxed_str()),
        ..GRANTS
    })
    .await;
    let key = till.shop.customer("acme", "10").await;
    redis.freeze();
    let client = till.shop.faregate.client();
    let connection = client.connect().await;
    for round in 0..300 {
        let mut request = connection.post(WEBHOOK, "{}");
        if round % 2 == 0 {
            request = request.header("stripe-signature", "t=1795000000,v1=00");
        }
        assert_eq!(request.send().await.status(), 400);
    }
    redis.thaw();
    till.shop.opens(&key).await;
    assert_eq!(
        till.counted("other", "forged").await + till.counted("other", "out_of_time").await,
        150
    );
}

#[tokio::test]
async fn without_a_key_webhooks_alone_credit_and_shut() {
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    assert_eq!(till.stripe.calls().len(), 0);
}

#[tokio::test]
async fn without_stripe_in_the_configuration_there_is_no_such_endpoint() {
    let shop = crate::product::shop::Shop::open().await;
    let request = shop.faregate.client().post(WEBHOOK, "{}");
    let answer = request.header("stripe-signature", "t=1,v1=00").send().await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn without_a_key_the_metadata_of_customers_is_heard_of() {
    let till = Till::open(Setup { api: false, ..LEDGER }).await;
    let named = till.stripe.customer(&[("faregate_account", "acme")]);
    let later = till.stripe.customer(&[("other", "x")]);
    till.stripe.deliver(&Delivering::well()).await;
    let metadata = json!({"metadata": {"faregate_account": "bolt"}});
    till.stripe
        .world()
        .update_customer(&later, &metadata)
        .expect("a change");
    till.stripe.deliver(&Delivering::well()).await;
    for (customer, account) in [(&named, "acme"), (&later, "bolt")] {
        till.pay(customer, 500, json!({}));
        till.stripe.deliver(&Delivering::well()).await;
        till.has(account, "5.000000").await;
        assert_eq!(till.show(customer).await, Value::Null);
    }
    // A customer that says nothing of an account is not kept.
    assert_eq!(till.counted("customer.created", "ignored").await, 1);
}
