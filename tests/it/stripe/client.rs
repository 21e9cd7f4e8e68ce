//! The client of Stripe's API, and the check of who signed a webhook, against the fake, which was written by other hands.

use std::time::Duration;

use faregate::config::{BaseUrl, Secret};
use faregate::domain::grant::Category;
use faregate::domain::time::Timestamp;
use faregate::stripe::api::{
    self, Collection, EventQuery, Expiry, Item, MeterEvent, NewCheckout, NewGrant, NewPayment,
    SubscriptionChange, Threshold,
};
use faregate::stripe::call::Call;
use faregate::stripe::client::{ApiError, Client, ClientOptions, Refused, Stripe, list_all, list_newer};
use faregate::stripe::form::Metadata;
use faregate::stripe::signature::{self, SignatureError, WebhookSecrets, verify};

use super::fake::{Card, FakeStripe, Fault, Options, Outcome, SECRET, START};

fn options(fake: &FakeStripe) -> ClientOptions {
    let (host, port) = fake
        .base()
        .trim_start_matches("http://")
        .rsplit_once(':')
        .unwrap();
    let base = BaseUrl {
        tls: false,
        host: host.into(),
        port: port.parse().unwrap(),
        path: "".into(),
    };
    let mut options = ClientOptions::new(base, Secret::new(fake.key()));
    options.back_off = (Duration::from_millis(1), Duration::from_millis(5));
    options.per_second = 10_000.try_into().unwrap();
    options
}

pub(super) fn client(fake: &FakeStripe) -> Client {
    Client::new(options(fake)).unwrap()
}

fn grant(customer: &str, purchase: &str) -> Call {
    api::create_credit_grant(&NewGrant {
        attempt: 0,
        customer,
        purchase,
        value: 5_000,
        currency: "usd".parse().unwrap(),
        category: Category::Paid,
        prices: &[],
        priority: None,
        effective_at: None,
        expires_at: None,
        name: None,
        metadata: Metadata::new(),
    })
    .unwrap()
}

fn payment(customer: &str, method: &str, attempt: &str) -> Call {
    api::create_payment(&NewPayment {
        attempt,
        customer,
        method,
        amount: 1_000,
        currency: "usd".parse().unwrap(),
        description: None,
        metadata: Metadata::new(),
    })
    .unwrap()
}

#[tokio::test]
async fn w13_whatever_becomes_of_the_first_try_a_grant_is_made_once() {
    for fault in [
        Fault::HangBefore,
        Fault::HangAfter,
        Fault::CloseBefore,
        Fault::CloseAfter,
        Fault::Unavailable,
        Fault::RateLimited,
        Fault::LockTimeout,
        Fault::Slow(Duration::from_millis(100)),
    ] {
        let fake = FakeStripe::start(Options::default()).await;
        let customer = fake.customer(&[]);
        fake.fail("POST /v1/billing/credit_grants", 1, fault);
        let mut options = options(&fake);
        if matches!(fault, Fault::HangBefore | Fault::HangAfter) {
            // No answer will come; one that does comes within a fraction of it.
            options.timeout = Duration::from_secs(1);
        }
        let reply = Client::new(options)
            .unwrap()
            .call(&grant(&customer, "pi_1"))
            .await;
        let reply = reply.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(reply.body["metadata"]["purchase_id"], "pi_1", "{fault:?}");
        assert!(reply.request_id.unwrap().starts_with("req_"));
        let made = fake.world().grants_of(&customer);
        assert_eq!(made.len(), 1, "{fault:?}");
        assert_eq!(made[0]["id"], reply.body["id"]);
        fake.assert_clean();
    }
}

#[tokio::test]
async fn w13_an_error_that_is_kept_for_the_key_leaves_it_unknown() {
    for (fault, made) in [(Fault::ErrorBefore, 0), (Fault::ErrorAfter, 1)] {
        let fake = FakeStripe::start(Options::default()).await;
        let customer = fake.customer(&[]);
        fake.fail("POST /v1/billing/credit_grants", 1, fault);
        let error = client(&fake).call(&grant(&customer, "pi_1")).await.unwrap_err();
        assert!(
            error.is_unknown() && error.to_string().contains("given again"),
            "{error}"
        );
        assert_eq!(fake.calls_of("POST").len(), 3);
        assert_eq!(fake.world().grants_of(&customer).len(), made, "{fault:?}");
        fake.assert_clean();
    }
}

#[tokio::test]
async fn w13_of_a_hundred_grants_through_all_that_goes_wrong_each_is_made_once() {
    let fake = FakeStripe::start(Options::default()).await;
    let customers: Vec<String> = (0..4).map(|_| fake.customer(&[])).collect();
    let faults = [
        Fault::CloseBefore,
        Fault::CloseAfter,
        Fault::Unavailable,
        Fault::RateLimited,
        Fault::LockTimeout,
    ];
    fake.fail_by_chance(13, 40, &faults);
    let client = std::sync::Arc::new(client(&fake));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let call = grant(&customers[number % 4], &format!("pi_{number}"));
        let client = std::sync::Arc::clone(&client);
        tasks.spawn(async move {
            for _ in 0..50 {
                match client.call(&call).await {
                    Ok(reply) => return reply.body["id"].as_str().unwrap().to_owned(),
                    Err(error) => assert!(error.is_unknown(), "{error}"),
                }
            }
            panic!("{call:?} was never answered")
        });
    }
    let mut told: Vec<String> = tasks.join_all().await;
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 100);
    fake.heal();
    for customer in &customers {
        assert_eq!(fake.world().grants_of(customer).len(), 25);
        let listed = list_all(&*client, &api::list_credit_grants(customer).unwrap(), 100)
            .await
            .unwrap();
        assert_eq!(listed.len(), 25);
    }
    fake.assert_clean();
}

#[tokio::test]
async fn w13_events_are_read_page_by_page_in_both_directions() {
    let fake = FakeStripe::start(Options::default()).await;
    for _ in 0..250 {
        fake.customer(&[]);
    }
    let client = client(&fake);
    let call = api::list_events(&EventQuery {
        types: &["customer.created"],
        since: Some(START),
        undelivered: false,
    })
    .unwrap();
    let all = list_all(&client, &call, 250).await.unwrap();
    assert_eq!(all.len(), 250);
    assert_eq!(
        list_all(&client, &call, 249).await,
        Err(ApiError::TooMany { max: 249 })
    );

    let oldest = all[249]["id"].as_str().unwrap();
    let newer = list_newer(&client, &call, oldest, 1_000).await.unwrap();
    let mut expected = all.clone();
    expected.reverse();
    assert_eq!(newer.items, expected[1..]);
    assert!(!newer.more);
    let some = list_newer(&client, &call, oldest, 10).await.unwrap();
    assert_eq!((some.items.as_slice(), some.more), (&expected[1..101], true));
    fake.assert_clean();
}

#[tokio::test]
async fn a_card_that_is_declined_is_told_apart_from_one_whose_bank_wants_the_customer() {
    let fake = FakeStripe::start(Options::default()).await;
    let customer = fake.customer(&[]);
    let client = client(&fake);
    let refused = async |outcome: Outcome, attempt: &str| -> Refused {
        let card = fake.attach_card(&customer, &Card::new(outcome));
        let error = client
            .call(&payment(&customer, &card, attempt))
            .await
            .unwrap_err();
        error.refused().unwrap_or_else(|| panic!("{error}")).clone()
    };
    let no_funds = refused(Outcome::NO_FUNDS, "a-1").await;
    assert!(no_funds.is_card() && !no_funds.wants_customer() && !no_funds.is_final_for_card());
    assert_eq!(no_funds.decline_code.as_deref(), Some("insufficient_funds"));
    let stolen = refused(Outcome::FRAUDULENT, "a-2").await;
    assert!(stolen.is_card() && stolen.is_final_for_card());
    let absent = refused(Outcome::AuthenticationRequired, "a-3").await;
    assert!(absent.wants_customer());
    let intent = absent.payment_intent.as_ref().unwrap();
    assert_eq!(intent["status"], "requires_payment_method");

    let good = fake.attach_card(&customer, &Card::good());
    let paid = client.call(&payment(&customer, &good, "a-4")).await.unwrap();
    assert_eq!(paid.body["status"], "succeeded");
    let again = client.call(&payment(&customer, &good, "a-4")).await.unwrap();
    assert_eq!(again.body["id"], paid.body["id"]);
    // The same attempt for another sum is a fault of ours, which Stripe notices.
    let other = payment(&customer, &fake.attach_card(&customer, &Card::good()), "a-4");
    let error = client.call(&other).await.unwrap_err();
    assert!(error.refused().is_some_and(Refused::is_other_call), "{error}");
    let mine = list_all(&client, &api::list_payments(&customer, None).unwrap(), 100)
        .await
        .unwrap();
    assert_eq!(mine.len(), 4);
}

/// A fake with a customer who has a metered subscription: the customer, the subscription, its item, the meter.
async fn metered() -> (FakeStripe, [String; 4]) {
    let fake = FakeStripe::start(Options::default()).await;
    let customer = fake.customer(&[]);
    fake.attach_card(&customer, &Card::good());
    let meter = serde_json::json!({
        "display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"},
    });
    let (meter, subscription, item) = {
        let mut world = fake.world();
        let meter = world.create_meter(&meter).unwrap();
        let meter = meter["id"].as_str().unwrap().to_owned();
        let price = world.add_price(&meter, "usd", "0.0001");
        let subscription = world.subscribe(&customer, &price);
        let item = world.object(&subscription)["items"]["data"][0]["id"].clone();
        (meter, subscription, item.as_str().unwrap().to_owned())
    };
    (fake, [customer, subscription, item, meter])
}

#[tokio::test]
async fn usage_and_subscriptions_are_asked_for_as_the_api_takes_it() {
    let (fake, [customer, subscription, item, meter]) = metered().await;
    let client = client(&fake);
    let make = async |call: Result<Call, _>| {
        let call: Call = call.unwrap();
        client
            .call(&call)
            .await
            .unwrap_or_else(|error| panic!("{call:?}: {error}"))
            .body
    };
    let usage = MeterEvent {
        event_name: "ai_spend",
        customer_key: "stripe_customer_id",
        customer: &customer,
        value_key: "value",
        value: 70_000_000,
        identifier: "u:1:1",
        timestamp: START,
    };
    make(api::create_meter_event(&usage)).await;
    make(api::create_meter_event(&usage)).await;
    assert_eq!(make(api::list_meters()).await["data"][0]["id"], meter.as_str());
    let minute = START / 60 * 60;
    let summaries = make(api::list_meter_summaries(&meter, &customer, minute, minute + 60)).await;
    assert_eq!(
        summaries["data"][0]["aggregated_value"].as_f64(),
        Some(70_000_000.0),
        "{summaries}"
    );

    let change = SubscriptionChange {
        collection: Some(Collection::Void),
        amount_gte: Some(Threshold::From(500_000)),
        ..SubscriptionChange::default()
    };
    let changed = make(api::update_subscription(&subscription, &change, "evt_1")).await;
    assert_eq!(changed["pause_collection"]["behavior"], "void");
    let change = SubscriptionChange {
        collection: Some(Collection::Resume),
        amount_gte: Some(Threshold::Never),
        ..SubscriptionChange::default()
    };
    let changed = make(api::update_subscription(&subscription, &change, "evt_2")).await;
    assert!(changed["pause_collection"].is_null() && changed["billing_thresholds"].is_null());
    let held = make(api::update_item_threshold(
        &item,
        Threshold::From(900_000_000),
        "1",
    ))
    .await;
    assert_eq!(held["billing_thresholds"]["usage_gte"], 900_000_000);
    assert!(
        make(api::update_item_threshold(&item, Threshold::Never, "2")).await["billing_thresholds"].is_null()
    );

    // It bills what was used: an invoice that can be looked at, and its payment.
    make(api::cancel_subscription(&subscription, true)).await;
    assert_eq!(
        make(api::get_subscription(&subscription)).await["status"],
        "canceled"
    );
    assert_eq!(
        make(api::list_subscriptions(&customer)).await["data"][0]["id"],
        subscription.as_str()
    );
    let error = client
        .call(&api::cancel_subscription(&subscription, true).unwrap())
        .await
        .unwrap_err();
    assert!(error.refused().is_some(), "{error}");
    let billed = fake.world().invoices_of(&subscription).pop().unwrap();
    let billed = billed["id"].as_str().unwrap();
    assert_eq!(make(api::get_invoice(billed)).await["id"], billed);
    make(api::list_invoice_payments(billed)).await;
    fake.assert_clean();
}

#[tokio::test]
async fn grants_and_sales_are_asked_for_as_the_api_takes_it() {
    let fake = FakeStripe::start(Options::default()).await;
    let customer = fake.customer(&[]);
    let client = client(&fake);
    let make = async |call: Result<Call, _>| {
        let call: Call = call.unwrap();
        client
            .call(&call)
            .await
            .unwrap_or_else(|error| panic!("{call:?}: {error}"))
            .body
    };
    let made = client.call(&grant(&customer, "pi_1")).await.unwrap().body;
    let id = made["id"].as_str().unwrap();
    let texts = Metadata::from([("note".to_owned(), "longer".to_owned())]);
    let later = make(api::update_credit_grant(
        id,
        Some(Expiry::At(START + 86_400)),
        &texts,
        "1",
    ))
    .await;
    assert_eq!(
        (&later["expires_at"], &later["metadata"]["note"]),
        (&(START + 86_400).into(), &"longer".into())
    );
    assert_eq!(later["metadata"]["purchase_id"], "pi_1");
    let never = make(api::update_credit_grant(
        id,
        Some(Expiry::Never),
        &Metadata::new(),
        "2",
    ))
    .await;
    assert!(never["expires_at"].is_null());
    for left in [
        api::credit_balance_summary(&customer),
        api::credit_grant_balance(&customer, id),
    ] {
        let left = make(left).await;
        assert_eq!(
            left["balances"][0]["ledger_balance"]["monetary"]["value"], 5_000,
            "{left}"
        );
    }
    make(api::expire_credit_grant(id)).await;
    let lines = make(api::list_credit_transactions(&customer, Some(id))).await;
    assert_eq!(lines["data"][0]["debit"]["type"], "credits_expired", "{lines}");
    let other = client.call(&grant(&customer, "pi_2")).await.unwrap().body;
    let voided = make(api::void_credit_grant(other["id"].as_str().unwrap(), "1")).await;
    assert!(voided["voided_at"].is_i64());

    let checkout = NewCheckout {
        purchase: "buy-1",
        customer: Some(&customer),
        account: "acme",
        item: Item::Named {
            name: "1,000 credits",
            amount: 1_000,
            currency: "usd".parse().unwrap(),
        },
        success_url: "https://gate.example/done?session={CHECKOUT_SESSION_ID}",
        cancel_url: None,
        expires_at: None,
        keep_method: true,
        metadata: Metadata::from([("account".to_owned(), "acme".to_owned())]),
    };
    let session = make(api::create_checkout(&checkout)).await;
    let session = session["id"].as_str().unwrap();
    fake.buy(session, &Card::good());
    let bought = make(api::get_checkout(session).map(|call| call.expanded(&["payment_intent"]))).await;
    assert_eq!(bought["payment_status"], "paid");
    assert_eq!(bought["payment_intent"]["metadata"]["account"], "acme");
    let intent = bought["payment_intent"]["id"].as_str().unwrap();
    make(api::create_refund(intent, Some(400), &Metadata::new(), "1")).await;
    make(api::create_refund(intent, Some(400), &Metadata::new(), "1")).await;
    assert_eq!(
        make(api::list_refunds(intent)).await["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let card = make(api::create_card_check(&checkout, "usd".parse().unwrap())).await;
    fake.buy(card["id"].as_str().unwrap(), &Card::good());
    let setup = make(api::get_setup_intent(card["setup_intent"].as_str().unwrap())).await;
    assert_eq!(setup["status"], "succeeded");
    let method = make(api::get_payment_method(setup["payment_method"].as_str().unwrap())).await;
    assert_eq!(method["card"]["checks"]["cvc_check"], "pass");
    assert_eq!(make(api::get_account()).await["id"], super::fake::ACCOUNT);
    fake.assert_clean();
}

#[tokio::test]
async fn a_key_that_is_none_and_a_right_that_it_lacks_are_final() {
    let fake = FakeStripe::start(Options::default()).await;
    let customer = fake.customer(&[]);
    fake.fail("POST /v1/billing/credit_grants", 9, Fault::Forbidden);
    let error = client(&fake).call(&grant(&customer, "pi_1")).await.unwrap_err();
    assert!(error.refused().is_some_and(Refused::is_permission));
    assert!(error.to_string().contains("rak_fake_write"), "{error}");
    let missing = client(&fake)
        .call(&api::get_credit_grant("credgr_none").unwrap())
        .await
        .unwrap_err();
    assert!(missing.refused().is_some_and(Refused::is_missing), "{missing}");
    fake.accept_keys(&["rk_test_another"]);
    let error = client(&fake).call(&grant(&customer, "pi_1")).await.unwrap_err();
    assert!(error.refused().is_some_and(Refused::is_key), "{error}");
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn w3_webhooks_are_believed_by_any_of_the_secrets_that_are_alive() {
    let fake = FakeStripe::start(Options::default()).await;
    let secrets =
        |texts: &[&str]| WebhookSecrets::new(texts.iter().map(|text| Secret::new(text)).collect()).unwrap();
    let now = Timestamp::from_millis(START * 1_000);
    let told = |own: &WebhookSecrets| -> Vec<Result<(), SignatureError>> {
        fake.customer(&[("name", "Zürich €")]);
        let sent = fake.take_undelivered();
        assert!(!sent.is_empty());
        let judge = |signed: &super::fake::webhook::Signed| {
            let header = signed
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("stripe-signature"));
            let (_, header) = header.unwrap();
            assert_eq!(
                verify(
                    own,
                    header.as_bytes(),
                    format!("{} ", signed.body).as_bytes(),
                    now
                ),
                Err(SignatureError::Forged)
            );
            verify(own, header.as_bytes(), signed.body.as_bytes(), now)
        };
        sent.iter().map(judge).collect()
    };
    let all_held = |results: Vec<Result<(), SignatureError>>| results.iter().all(Result::is_ok);
    assert!(all_held(told(&secrets(&[SECRET]))));
    assert!(all_held(told(&secrets(&["whsec_other", SECRET]))));
    // While a secret is rolled Stripe signs with both; whichever is known here will do.
    fake.sign_with(&["whsec_new", SECRET]);
    assert!(all_held(told(&secrets(&[SECRET]))));
    assert!(all_held(told(&secrets(&["whsec_new"]))));
    fake.sign_with(&["whsec_new"]);
    assert_eq!(told(&secrets(&[SECRET]))[0], Err(SignatureError::Forged));
    // Both sign alike.
    let own = secrets(&["whsec_new"]);
    assert_eq!(
        signature::sign(&own, b"{}", START),
        super::fake::webhook::signature(START, "{}", &["whsec_new".to_owned()])
    );
}
