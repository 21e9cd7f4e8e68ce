//! Catching up with Stripe, and that nothing differs afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::world::Complaint;
use super::fake::{Card, Delivering, Fault, Outcome};
use super::rules::event;
use super::till::{GRANTS, LEDGER, Setup, Till, config};
use crate::product::shop::Shop;
use crate::rig::process::Finished;
use crate::rig::within;

const MONTH: i64 = 31 * 86_400;

impl Till {
    /// `faregate stripe sync`, whatever comes of it.
    pub(super) async fn try_sync(&self) -> (Finished, Value) {
        let spawn = self.shop.faregate.cli(["stripe", "sync", "--json"]);
        let done = spawn.run().await;
        let gate = self.shop.faregate.process();
        assert!(!done.stdout.is_empty(), "{done:?}: {}", gate.said());
        let report = done.json();
        (done, report)
    }

    /// One after which nothing differs.
    pub(super) async fn sync(&self) -> Value {
        let (done, report) = self.try_sync().await;
        assert!(done.status.success() && report["ok"] == true, "{report:#}");
        assert_eq!(
            (&report["drift"], &report["complete"]),
            (&json!([]), &json!(true))
        );
        report
    }

    pub(super) async fn meter(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let found = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    /// A customer on a subscription whose usage is metered in millionths of a dollar.
    pub(super) fn subscribed(&self) -> (String, String) {
        let customer = self.stripe.customer(&[]);
        let mut world = self.stripe.world();
        let meter = json!({"display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"}});
        let meter = world.create_meter(&meter).expect("a meter");
        let price = world.add_price(meter["id"].as_str().expect("an id"), "usd", "0.0001");
        let subscription = world.subscribe(&customer, &price);
        (customer, subscription)
    }
}

#[tokio::test]
async fn r3_r12_the_worked_example_does_not_drift_and_moves_no_balance() {
    let till = Till::open(GRANTS).await;
    let (customer, subscription) = till.subscribed();
    till.grant(&customer, 5000, json!({}));
    let first = till.sync().await;
    assert_eq!(first["customers"], 1);
    till.has(&customer, "50.000000").await;
    let key = till.shop.key(&customer).await;
    for _ in 0..4 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.has(&customer, "49.000000").await;
    let used = json!({"stripe_customer_id": customer, "value": "31200000"});
    let used = json!({"event_name": "ai_spend", "payload": used});
    till.stripe.world().create_meter_event(&used).expect("usage");
    till.sync().await;
    // The month's invoice: a draft first, then its credits are applied. No webhook arrives.
    till.stripe.advance(MONTH);
    till.sync().await;
    till.stripe.advance(3_600);
    let invoice = till.stripe.world().invoices_of(&subscription).pop();
    let invoice = invoice.expect("an invoice");
    assert_eq!(
        (&invoice["subtotal"], &invoice["amount_due"]),
        (&json!(3120), &json!(0))
    );
    till.sync().await;
    // And void, at that: the credits come back at Stripe, and here they never went.
    let id = invoice["id"].as_str().expect("an id").to_owned();
    let voided = till.stripe.world().void_invoice(&id);
    drop(voided);
    till.stripe.deliver_all().await;
    till.sync().await;
    assert_eq!(till.show(&customer).await["available"], "49.000000");
    assert_eq!(till.meter("faregate_stripe_drift_customers ").await, 0.0);
    assert!(till.meter("faregate_stripe_sync_timestamp_seconds ").await > 1_700_000_000.0);
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn r12_a_grant_that_is_not_here_shows_as_drift_until_it_is() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 700, json!({}));
    let euros = json!({"type": "monetary", "monetary": {"currency": "eur", "value": 5000}});
    let grant = till.grant(&customer, 1, json!({"amount": euros}));
    let (done, report) = till.try_sync().await;
    assert_eq!(done.status.code(), Some(1), "{report:#}");
    let drift = json!([{
        "customer": customer, "accounts": [], "currency": "eur", "stripe": 5000, "expected": 0, "drift": 5000,
    }]);
    assert_eq!(report["drift"], drift, "{report:#}");
    assert!(report["differences"][0].as_str().expect("one").contains(&grant));
    assert_eq!((&report["parked"], &report["differing"]), (&json!(1), &json!(1)));
    assert_eq!(till.meter("faregate_stripe_drift_customers ").await, 1.0);
    assert_eq!(till.meter("faregate_stripe_parked ").await, 1.0);
    let parked = till.shop.cli(["stripe", "parked"]).await;
    assert_eq!(parked["items"][0]["what"], format!("grant:{grant}"));
    assert!(parked["items"][0]["why"].as_str().expect("why").contains("eur"));
    till.has(&customer, "7.000000").await;
    // What the operator has dealt with is gone from the list.
    till.shop
        .cli(["stripe", "dismiss", &format!("grant:{grant}")])
        .await;
    assert_eq!(till.shop.cli(["stripe", "parked"]).await["items"], json!([]));
    let none = till
        .shop
        .faregate
        .cli(["stripe", "dismiss", "grant:credgr_9"])
        .run()
        .await;
    assert_eq!(none.code(), 1);
    // The operator lists it: the next look gives the credits.
    let file = till.shop.faregate.dir().join("config.toml");
    let config = std::fs::read_to_string(&file).expect("a configuration");
    let listed = config.replace("{ usd = 1,", "{ eur = 2, usd = 1,");
    assert_ne!(listed, config);
    std::fs::write(&file, listed).expect("a new configuration");
    till.shop.cli(["reload"]).await;
    till.sync().await;
    till.has(&customer, "107.000000").await;
    assert_eq!(till.meter("faregate_stripe_drift_customers ").await, 0.0);
    assert_eq!(till.meter("faregate_stripe_parked ").await, 0.0);
    assert_eq!(till.shop.cli(["stripe", "parked"]).await["items"], json!([]));
}

#[tokio::test]
async fn another_mode_takes_a_restart_so_that_nothing_is_credited_by_two_triggers() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 700, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "7.000000").await;
    let file = till.shop.faregate.dir().join("config.toml");
    let config = std::fs::read_to_string(&file).expect("a configuration");
    let other = config.replace("mode = \"grants\"", "mode = \"ledger\"");
    assert_ne!(other, config);
    std::fs::write(&file, other).expect("a new configuration");
    let told = till.shop.cli(["reload"]).await;
    assert!(told.to_string().contains("after a restart"), "{told}");
    till.pay(&customer, 700, json!({}));
    till.stripe.deliver_all().await;
    till.sync().await;
    assert_eq!(till.show(&customer).await["granted"], "7.000000");
}

#[tokio::test]
async fn r13_an_event_that_was_never_generated_is_healed_by_reading_objects() {
    let till = Till::open(GRANTS).await;
    let (customer, subscription) = till.subscribed();
    for kind in [
        "billing.credit_grant.created",
        "billing.credit_grant.updated",
        "billing.credit_balance_transaction.created",
        "customer.subscription.updated",
    ] {
        till.stripe.world().never_generate(kind, 100);
    }
    till.grant(&customer, 5000, json!({}));
    let void = till.grant(&customer, 300, json!({}));
    till.stripe.world().void_grant(&void).expect("a void");
    till.sync().await;
    let shown = till.has(&customer, "50.000000").await;
    assert_eq!(shown["granted"], "50.000000");
    till.stripe.world().set_status(&subscription, "past_due");
    till.sync().await;
    assert_eq!(
        till.reasons(&customer).await,
        [format!("subscription:{subscription}")]
    );
    till.stripe.advance(5);
    till.stripe.world().set_status(&subscription, "active");
    till.sync().await;
    assert_eq!(till.reasons(&customer).await, [""; 0]);
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn r13_a_pack_that_no_event_told_of_is_credited_where_grants_are_what_credits() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.stripe
        .world()
        .never_generate("payment_intent.succeeded", 100);
    let sold = json!({"faregate_account": "acme", "faregate_credits": "11"});
    till.pay(&customer, 1000, sold);
    // One that sold nothing gives nothing.
    till.pay(&customer, 700, json!({}));
    till.sync().await;
    till.has("acme", "11.000000").await;
    till.sync().await;
    assert_eq!(till.show("acme").await["granted"], "11.000000");
    assert_eq!(till.show(&customer).await, Value::Null);
}

#[tokio::test]
async fn r13_a_payment_that_no_event_told_of_is_credited_where_payments_are_what_credits() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    till.stripe
        .world()
        .never_generate("payment_intent.succeeded", 100);
    till.pay(&customer, 5000, json!({}));
    till.sync().await;
    till.has(&customer, "50.000000").await;
    till.sync().await;
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
}

#[tokio::test]
async fn w12_events_lost_for_days_are_caught_up() {
    let till = Till::open(GRANTS).await;
    till.sync().await;
    let kept = till.stripe.customer(&[("faregate_account", "acme")]);
    let gone = till.stripe.customer(&[("faregate_account", "initech")]);
    till.grant(&kept, 5000, json!({}));
    let void = till.grant(&gone, 700, json!({}));
    let (_, charge) = till.pay(&kept, 100, json!({}));
    till.stripe.advance(60);
    till.stripe.world().void_grant(&void).expect("a void");
    till.stripe.early_warning(&charge);
    // Five days without one webhook.
    till.stripe.advance(5 * 86_400);
    drop(till.stripe.take_undelivered());
    let report = till.sync().await;
    assert!(
        report["events_new"].as_u64().expect("a number") >= 5,
        "{report:#}"
    );
    till.has("acme", "50.000000").await;
    till.has("initech", "0.000000").await;
    assert_eq!(till.reasons("acme").await.len(), 1);
    // Again: everything is known by now.
    assert_eq!(till.sync().await["events_new"], 0);
    till.stripe.assert_clean();
}

impl super::fake::FakeStripe {
    fn early_warning(&self, charge: &str) {
        self.world().early_fraud_warning(charge);
    }
}

/// A gate whose ledger is new, as after one that was lost: what Stripe tells it at its start is what the events told the first.
#[tokio::test]
async fn w12_at_its_start_a_gate_with_an_empty_ledger_comes_to_what_the_events_came_to() {
    let till = Till::open(GRANTS).await;
    let kept = till.stripe.customer(&[("faregate_account", "acme")]);
    let void = till.stripe.customer(&[("faregate_account", "initech")]);
    let (owing, _) = till.subscribed();
    for (customer, cents) in [(&kept, 5000), (&kept, 300), (&void, 700), (&owing, 100)] {
        till.grant(customer, cents, json!({}));
    }
    let (_, charge) = till.pay(&kept, 100, json!({}));
    till.stripe.advance(60);
    let grants = till.stripe.world().grants_of(&void);
    let grant = grants[0]["id"].as_str().expect("an id").to_owned();
    till.stripe.world().void_grant(&grant).expect("a void");
    till.stripe.early_warning(&charge);
    till.stripe.deliver_all().await;
    till.has("acme", "53.000000").await;
    let anew = Shop::with(GRANTS.ledger, &config(&GRANTS, &till.stripe)).await;
    let again = Till {
        shop: anew,
        stripe: till.stripe,
    };
    for account in ["acme", "initech", &owing] {
        let first = till.shop.account(account).await;
        let second = again
            .has(account, first["available"].as_str().expect("a sum"))
            .await;
        for same in ["available", "reasons", "plan"] {
            assert_eq!(first[same], second[same], "{account} {same}");
        }
    }
    assert_eq!(again.reasons("acme").await.len(), 1);
    again.shop.verify().await;
}

#[tokio::test]
async fn w12_an_invoice_that_was_paid_meanwhile_is_owed_no_more() {
    let till = Till::open(GRANTS).await;
    let (customer, subscription) = till.subscribed();
    let method = till.stripe.attach_card(&customer, &Card::new(Outcome::DECLINED));
    till.grant(&customer, 100, json!({}));
    let used = json!({"stripe_customer_id": customer, "value": "31200000"});
    let used = json!({"event_name": "ai_spend", "payload": used});
    till.stripe.world().create_meter_event(&used).expect("usage");
    till.stripe.advance(MONTH + 3_600);
    till.sync().await;
    let shut = till.reasons(&customer).await;
    assert!(
        shut.iter().any(|reason| reason.starts_with("invoice:")),
        "{shut:?}"
    );
    // It is paid, and Stripe makes no event of it at all.
    for kind in [
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ] {
        till.stripe.world().never_generate(kind, 100);
    }
    let invoice = till.stripe.world().invoices_of(&subscription).pop().expect("one");
    let invoice = invoice["id"].as_str().expect("an id").to_owned();
    till.stripe.advance(5);
    {
        let mut world = till.stripe.world();
        world.set_outcome(&method, Outcome::Paid);
        world.pay_invoice(&invoice, &json!({})).expect("a payment");
    }
    till.sync().await;
    let left = till.reasons(&customer).await;
    assert!(
        !left.iter().any(|reason| reason.starts_with("invoice:")),
        "{left:?}"
    );
}

#[tokio::test]
async fn w13_a_slow_or_failing_api_delays_nothing_but_itself() {
    let till = Till::open(GRANTS).await;
    till.sync().await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    let key = till.shop.key(&customer).await;
    // What is turned away a few times is asked again; what fails for good is told of, and the rest done.
    till.stripe.fail("GET /v1/events", 2, Fault::RateLimited);
    till.stripe
        .fail("GET /v1/subscriptions", 1, Fault::Slow(Duration::from_secs(2)));
    till.stripe
        .fail("GET /v1/billing/credit_grants", 3, Fault::Unavailable);
    let look = till.try_sync();
    let requests = async {
        for _ in 0..40 {
            let asked = tokio::time::Instant::now();
            assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    let ((done, report), ()) = tokio::join!(look, requests);
    assert_eq!(done.status.code(), Some(1), "{report:#}");
    let problems = report["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 1, "{report:#}");
    assert!(problems[0].as_str().expect("a text").starts_with("grants: "));
    assert_eq!((&report["customers"], &report["drift"]), (&json!(1), &json!([])));
    till.has(&customer, "40.000000").await;
    till.stripe.heal();
    till.sync().await;
}

#[tokio::test]
async fn two_that_look_at_the_same_time_take_turns() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 5000, json!({}));
    tokio::join!(till.sync(), till.sync(), till.sync());
    till.has(&customer, "50.000000").await;
}

#[tokio::test]
async fn events_of_a_file_are_taken_again_and_credit_once() {
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    let world: Vec<Value> = {
        let world = till.stripe.world();
        world.events().iter().map(|event| event.payload.clone()).collect()
    };
    let lines: Vec<String> = world.iter().map(Value::to_string).collect();
    let file = till.shop.faregate.dir().join("events.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let file = file.to_str().expect("a path");
    let replayed = till.shop.cli(["stripe", "replay", file]).await;
    let results = replayed["items"].as_array().expect("items");
    assert_eq!(results.len(), lines.len());
    let created = results
        .iter()
        .find(|item| item["kind"] == "billing.credit_grant.created");
    assert_eq!(created.expect("one")["result"], "applied", "not a duplicate");
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
    till.shop.verify().await;
}

#[tokio::test]
async fn the_fixtures_can_be_replayed_as_often_as_one_likes() {
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let fixtures: Value =
        serde_json::from_str(include_str!("../../fixtures/stripe/events.json")).expect("fixtures");
    let events: Vec<&Value> = fixtures["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| &event["payload"])
        .collect();
    let file = till.shop.faregate.dir().join("events.json");
    std::fs::write(&file, json!(events).to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    let replay = || async {
        let done = till.shop.faregate.cli(["stripe", "replay", file, "--json"]);
        let done = done.run().await.json();
        let items = done["items"].as_array().expect("items").clone();
        assert_eq!(items.len(), events.len());
        let strange = |item: &&Value| matches!(item["result"].as_str(), Some("failed" | "unreadable"));
        let strange: Vec<&Value> = items.iter().filter(strange).collect();
        assert!(strange.is_empty(), "{strange:#?}");
        let accounts = till.shop.cli(["account", "list"]).await;
        let mut shown = Vec::new();
        for account in accounts["items"].as_array().expect("accounts") {
            let account = account.as_str().expect("an id");
            let mut one = till.show(account).await;
            one["as_of"] = Value::Null;
            shown.push(one);
        }
        shown
    };
    let first = replay().await;
    assert!(!first.is_empty(), "they fill some account");
    assert_eq!(first, replay().await);
    till.shop.verify().await;
}

#[tokio::test]
async fn r13_disputes_reviews_and_warnings_whose_events_were_never_made_are_found() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (_, charge) = till.pay(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "5.000000").await;
    let (dispute, review, warning) = {
        let mut world = till.stripe.world();
        for kind in [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "review.opened",
            "review.closed",
            "radar.early_fraud_warning.created",
        ] {
            world.never_generate(kind, 1);
        }
        let dispute = world.dispute(&charge, &Complaint::fraud());
        (
            dispute,
            world.open_review(&charge),
            world.early_fraud_warning(&charge),
        )
    };
    till.stripe.deliver_all().await;
    assert_eq!(till.reasons(&customer).await, [""; 0]);
    till.sync().await;
    let reasons = [
        format!("dispute:{dispute}"),
        format!("fraud_warning:{warning}"),
        format!("review:{review}"),
    ];
    assert_eq!(till.reasons(&customer).await, reasons);
    till.has(&customer, "0.000000").await;
    till.stripe.world().close_review(&review, "approved");
    till.sync().await;
    assert_eq!(till.reasons(&customer).await, reasons[..2]);
    till.stripe.assert_clean();
}

#[tokio::test]
async fn a_warning_about_a_charge_without_a_payment_shuts_whoever_was_charged() {
    let till = Till::open(LEDGER).await;
    let customer = till.stripe.customer(&[]);
    let (_, charge) = till.pay(&customer, 500, json!({}));
    till.stripe.deliver_all().await;
    let warning = json!({
        "id": "issfr_1", "object": "radar.early_fraud_warning", "charge": charge, "payment_intent": null, "actionable": true,
        "created": till.stripe.world().now(),
    });
    let told = event("radar.early_fraud_warning.created", warning);
    assert_eq!(till.send(&told).await.status(), 200);
    within("the account is shut", async {
        while till.reasons(&customer).await != ["fraud_warning:issfr_1"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // One that names nothing at all is for somebody to look at.
    let warning = json!({"id": "issfr_2", "object": "radar.early_fraud_warning", "actionable": true});
    assert_eq!(
        till.send(&event("radar.early_fraud_warning.created", warning))
            .await
            .status(),
        200
    );
    let parked = till.shop.cli(["stripe", "parked"]).await;
    assert_eq!(parked["items"][0]["what"], "fraud_warning:issfr_2");
}

#[tokio::test]
async fn r13_that_stripe_failed_to_make_events_has_everything_looked_at() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    // The run at the start is over.
    till.sync().await;
    till.stripe
        .world()
        .never_generate("billing.credit_grant.created", 1);
    till.stripe
        .world()
        .never_generate("billing.credit_balance_transaction.created", 1);
    till.grant(&customer, 700, json!({}));
    till.stripe.deliver(&Delivering::well()).await;
    assert_eq!(till.show(&customer).await, Value::Null);
    till.stripe.world().tell_of_lost_events();
    till.stripe.deliver(&Delivering::well()).await;
    till.has(&customer, "7.000000").await;
}
