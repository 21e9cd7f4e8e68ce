//! Stripe's own package for Python is asked: it makes the same calls as the gate's client, believes what the fake signs, and is believed by the gate.

use serde_json::{Map, Value, json};

use faregate::domain::grant::Category;
use faregate::stripe::api::{
    self, Collection, CustomerDetails, EndpointChange, EventQuery, Expiry, Item, MeterEvent, NewCheckout,
    NewGrant, NewPayment, SubscriptionChange, Threshold,
};
use faregate::stripe::call::{BadCall, Call};
use faregate::stripe::client::Stripe;
use faregate::stripe::form::Metadata;

use super::client::client;
use super::fake::{self, FakeStripe, Options};
use super::till::{GRANTS, Till};
use crate::product::sdk::python;
use crate::rig::process::Spawn;

/// Has the package make calls, check hooks and sign bodies; what came of the last two.
async fn ask(stripe: &FakeStripe, calls: &[Value], hooks: &[Value], bodies: &[Value]) -> Value {
    let mut words = python("stripe_client.py").into_iter();
    let program = words.next().expect("a program");
    let asked = json!({
        "base": stripe.base(), "key": stripe.key(), "calls": calls, "hooks": hooks, "bodies": bodies,
    });
    let spawn = Spawn::new(program).args(words).stdin(asked.to_string());
    spawn.run().await.ok().json()
}

/// Flat parameters as the package takes them: `a[b][0]` is a list in a table in a table.
fn nested(form: &[(String, String)]) -> Value {
    fn put(at: &mut Value, steps: &[&str], value: &str) {
        let Some((step, rest)) = steps.split_first() else {
            *at = value.into();
            return;
        };
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        put(&mut at[*step], rest, value);
    }
    fn lists(value: Value) -> Value {
        let Value::Object(table) = value else {
            return value;
        };
        let is_list = !table.is_empty() && table.keys().all(|key| key.parse::<usize>().is_ok());
        let parts = table.into_iter().map(|(key, value)| (key, lists(value)));
        match is_list {
            true => parts.map(|(_, value)| value).collect(),
            false => Value::Object(parts.collect()),
        }
    }
    let mut all = Value::Object(Map::new());
    for (name, value) in form {
        let steps: Vec<&str> = name.split('[').map(|step| step.trim_end_matches(']')).collect();
        put(&mut all, &steps, value);
    }
    lists(all)
}

fn metadata() -> Metadata {
    Metadata::from([("account".to_owned(), "acme & sons = 100 % ü".to_owned())])
}

type Made = Result<Call, BadCall>;

/// Calls, and what they are in the package: its method, and what goes into the path.
fn calls() -> Vec<(Made, &'static str, Vec<&'static str>)> {
    let usd = || "usd".parse().expect("a currency");
    let pack = NewCheckout {
        purchase: "buy-7",
        customer: Some("cus_1"),
        account: "acme",
        item: Item::Named {
            name: "1,000 credits",
            amount: 1_000,
            currency: usd(),
        },
        success_url: "https://gate.example/done?session={CHECKOUT_SESSION_ID}&x=1",
        cancel_url: Some("https://gate.example/back"),
        expires_at: None,
        keep_method: true,
        metadata: metadata(),
    };
    let grant = NewGrant {
        customer: "cus_1",
        attempt: 0,
        purchase: "pi_1",
        value: 5_000,
        currency: usd(),
        category: Category::Paid,
        prices: &["price_1", "price_2"],
        priority: Some(10),
        effective_at: Some(1_795_000_000),
        expires_at: Some(1_800_000_000),
        name: Some("Pack"),
        metadata: metadata(),
    };
    let payment = NewPayment {
        attempt: "acme-3",
        customer: "cus_1",
        method: "pm_1",
        amount: 1_000,
        currency: usd(),
        description: Some("Top-up"),
        metadata: metadata(),
    };
    let usage = MeterEvent {
        event_name: "microcredits",
        customer_key: "stripe_customer_id",
        customer: "cus_1",
        value_key: "value",
        value: 123_456,
        identifier: "u:cus_1:1",
        timestamp: fake::START,
    };
    let change = SubscriptionChange {
        collection: Some(Collection::Void),
        amount_gte: Some(Threshold::From(5_000)),
        cancel_at_period_end: Some(true),
        default_payment_method: Some("pm_1"),
        metadata: metadata(),
    };
    let resumed = SubscriptionChange {
        collection: Some(Collection::Resume),
        amount_gte: Some(Threshold::Never),
        ..SubscriptionChange::default()
    };
    let events = EventQuery {
        types: &["invoice.paid", "charge.refunded"],
        since: Some(fake::START),
        undelivered: true,
    };
    let heard = ["invoice.paid".to_owned(), "review.closed".to_owned()];
    let endpoint = EndpointChange {
        events: Some(&heard),
        enabled: Some(true),
    };
    let hook = "https://gate.example/faregate/stripe/webhook";
    let details = CustomerDetails {
        email: Some("a+b@example.com"),
        ..CustomerDetails::default()
    };
    vec![
        (
            api::create_customer("acme", &details),
            "v1.customers.create",
            vec![],
        ),
        (api::get_customer("cus_1"), "v1.customers.retrieve", vec!["cus_1"]),
        (api::create_checkout(&pack), "v1.checkout.sessions.create", vec![]),
        (
            api::create_card_check(&pack, usd()),
            "v1.checkout.sessions.create",
            vec![],
        ),
        (
            api::get_checkout("cs_1"),
            "v1.checkout.sessions.retrieve",
            vec!["cs_1"],
        ),
        (api::create_payment(&payment), "v1.payment_intents.create", vec![]),
        (
            api::get_payment("pi_1"),
            "v1.payment_intents.retrieve",
            vec!["pi_1"],
        ),
        (
            api::list_payments("cus_1", Some(1_795_000_000)),
            "v1.payment_intents.list",
            vec![],
        ),
        (
            api::get_setup_intent("seti_1"),
            "v1.setup_intents.retrieve",
            vec!["seti_1"],
        ),
        (
            api::get_payment_method("pm_1"),
            "v1.payment_methods.retrieve",
            vec!["pm_1"],
        ),
        (api::list_cards("cus_1"), "v1.payment_methods.list", vec![]),
        (api::get_charge("ch_1"), "v1.charges.retrieve", vec!["ch_1"]),
        (api::get_dispute("dp_1"), "v1.disputes.retrieve", vec!["dp_1"]),
        (
            api::create_refund("pi_1", Some(100), &metadata(), "x"),
            "v1.refunds.create",
            vec![],
        ),
        (api::list_refunds("pi_1"), "v1.refunds.list", vec![]),
        (
            api::create_credit_grant(&grant),
            "v1.billing.credit_grants.create",
            vec![],
        ),
        (
            api::get_credit_grant("credgr_1"),
            "v1.billing.credit_grants.retrieve",
            vec!["credgr_1"],
        ),
        (
            api::list_credit_grants("cus_1"),
            "v1.billing.credit_grants.list",
            vec![],
        ),
        (
            api::update_credit_grant("credgr_1", Some(Expiry::Never), &metadata(), "x"),
            "v1.billing.credit_grants.update",
            vec!["credgr_1"],
        ),
        (
            api::expire_credit_grant("credgr_1"),
            "v1.billing.credit_grants.expire",
            vec!["credgr_1"],
        ),
        (
            api::void_credit_grant("credgr_1", "x"),
            "v1.billing.credit_grants.void_grant",
            vec!["credgr_1"],
        ),
        (
            api::list_credit_transactions("cus_1", Some("credgr_1")),
            "v1.billing.credit_balance_transactions.list",
            vec![],
        ),
        (
            api::credit_grant_balance("cus_1", "credgr_1"),
            "v1.billing.credit_balance_summary.retrieve",
            vec![],
        ),
        (
            api::create_meter_event(&usage),
            "v1.billing.meter_events.create",
            vec![],
        ),
        (api::list_meters(), "v1.billing.meters.list", vec![]),
        (
            api::list_meter_summaries("mtr_1", "cus_1", 1_794_999_960, 1_795_000_020),
            "v1.billing.meters.event_summaries.list",
            vec!["mtr_1"],
        ),
        (api::get_invoice("in_1"), "v1.invoices.retrieve", vec!["in_1"]),
        (api::stop_invoice("in_1", "x"), "v1.invoices.update", vec!["in_1"]),
        (
            api::void_invoice("in_1"),
            "v1.invoices.void_invoice",
            vec!["in_1"],
        ),
        (api::list_open_invoices(), "v1.invoices.list", vec![]),
        (
            api::get_subscription("sub_1"),
            "v1.subscriptions.retrieve",
            vec!["sub_1"],
        ),
        (api::list_living_subscriptions(), "v1.subscriptions.list", vec![]),
        (
            api::update_subscription("sub_1", &change, "x"),
            "v1.subscriptions.update",
            vec!["sub_1"],
        ),
        (
            api::update_subscription("sub_1", &resumed, "y"),
            "v1.subscriptions.update",
            vec!["sub_1"],
        ),
        (
            api::cancel_subscription("sub_1", true),
            "v1.subscriptions.cancel",
            vec!["sub_1"],
        ),
        (
            api::pause_subscription("sub_1", "x"),
            "v1.subscriptions.pause",
            vec!["sub_1"],
        ),
        (
            api::update_item_threshold("si_1", Threshold::From(1_000), "x"),
            "v1.subscription_items.update",
            vec!["si_1"],
        ),
        (api::list_events(&events), "v1.events.list", vec![]),
        (
            api::get_thin_event("evt_1"),
            "v2.core.events.retrieve",
            vec!["evt_1"],
        ),
        (
            api::create_webhook_endpoint(hook, &heard, "2026-10-28.endive", "x"),
            "v1.webhook_endpoints.create",
            vec![],
        ),
        (
            api::update_webhook_endpoint("we_1", &endpoint, "x"),
            "v1.webhook_endpoints.update",
            vec!["we_1"],
        ),
    ]
}

#[tokio::test]
async fn stripes_own_package_makes_the_same_calls() {
    let stripe = FakeStripe::start(Options::default()).await;
    let ours = client(&stripe);
    let mut theirs = Vec::new();
    for (call, does, of) in calls() {
        let call = call.expect("a call");
        // Most of it is not there: how it is asked for is what counts.
        let _ = ours.call(&call).await;
        let made = stripe.calls().pop().expect("a call");
        theirs.push(json!({
            "does": does, "of": of, "params": nested(&made.form), "key": made.idempotency_key,
        }));
    }
    let made = stripe.calls();
    assert_eq!(made.len(), theirs.len(), "each was answered at once");
    ask(&stripe, &theirs, &[], &[]).await;
    let all = stripe.calls();
    let (ours, theirs) = all.split_at(made.len());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let sorted = |call: &fake::Call| {
            let mut form = call.form.clone();
            form.sort();
            (
                call.method.clone(),
                call.path.clone(),
                form,
                call.idempotency_key.clone().filter(|_| call.method == "POST"),
                call.status,
            )
        };
        assert_eq!(sorted(ours), sorted(theirs));
    }
}

#[tokio::test]
async fn stripes_own_package_signs_and_checks_webhooks() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(
        &customer,
        500,
        json!({"metadata": {"text": "ü, \"quoted\" and \u{2028}"}}),
    );
    let signed = till.stripe.take_undelivered();
    assert!(!signed.is_empty());
    let hooks: Vec<Value> = signed
        .iter()
        .map(|one| json!({"body": one.body, "signature": one.headers[1].1, "secret": fake::SECRET}))
        .collect();
    let bodies: Vec<Value> = signed
        .iter()
        .map(|one| json!({"body": one.body, "secret": fake::SECRET}))
        .collect();
    let done = ask(&till.stripe, &[], &hooks, &bodies).await;
    let kinds: Vec<&str> = signed.iter().map(|one| &*one.kind).collect();
    assert_eq!(done["hooks"], json!(kinds));
    for (one, signature) in signed
        .into_iter()
        .zip(done["signatures"].as_array().expect("signatures"))
    {
        let header = (
            "stripe-signature".to_owned(),
            signature.as_str().expect("a header").to_owned(),
        );
        assert_eq!(till.send_raw(&[header], one.body).await.status(), 200);
    }
    till.has(&customer, "5.000000").await;
    till.shop.verify().await;
}
