//! Usage, and the invoices made of it.

use serde_json::{Value, json};

use super::{Api, same_fields_as_fixtures};
use crate::stripe::fake::world::{Card, LastAction, MONTH, Outcome, World};
use crate::stripe::fake::{Fault, START};

const DAY: i64 = 86_400;

/// A customer with a subscription to a meter in micro-USD, at one cent for 10,000 of them.
struct Metered {
    world: World,
    customer: String,
    subscription: String,
}

impl Metered {
    fn new() -> Metered {
        let mut world = World::new(START);
        let customer = world.create_customer(&json!({})).unwrap();
        let customer = id(&customer);
        let price = priced_meter(&mut world);
        let subscription = world.subscribe(&customer, &price);
        Metered {
            world,
            customer,
            subscription,
        }
    }

    fn grant(&mut self, cents: i64, more: Value) -> String {
        let mut asked = json!({
            "customer": self.customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": cents}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        id(&self.world.create_grant(&asked).unwrap())
    }

    fn spend(&mut self, micros: i64) {
        let payload = json!({"stripe_customer_id": self.customer, "value": micros.to_string()});
        self.world
            .create_meter_event(&json!({"event_name": "ai_spend", "payload": payload}))
            .unwrap();
    }

    /// Ledger and available balance in US cents.
    fn balances(&self) -> (i64, i64) {
        let grants = self.world.grants_of(&self.customer);
        let sum = |of: fn(&World, &Value) -> i64| grants.iter().map(|grant| of(&self.world, grant)).sum();
        (sum(World::ledger_balance), sum(World::available_balance))
    }

    fn invoice(&self) -> Value {
        self.world.invoices_of(&self.subscription).pop().unwrap()
    }

    fn subscription(&self) -> &Value {
        self.world.object(&self.subscription)
    }

    /// Which grants paid, and how much.
    fn applied(&self) -> Vec<(String, i64)> {
        let all = self.world.all("billing.credit_balance_transaction");
        all.filter(|txn| txn["debit"]["type"] == "credits_applied")
            .map(|txn| {
                let grant = txn["credit_grant"].as_str().unwrap().to_owned();
                (
                    grant,
                    txn["debit"]["amount"]["monetary"]["value"].as_i64().unwrap(),
                )
            })
            .collect()
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

fn priced_meter(world: &mut World) -> String {
    let asked = json!({
        "display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"},
    });
    let meter = id(&world.create_meter(&asked).unwrap());
    world.add_price(&meter, "usd", "0.0001")
}

#[test]
fn the_worked_example_comes_out_to_the_cent() {
    let mut one = Metered::new();
    one.grant(5000, json!({}));
    one.spend(31_200_000);
    assert_eq!(one.balances(), (5000, 5000), "usage alone moves nothing");
    one.world.advance(MONTH);
    let draft = one.invoice();
    assert_eq!(
        (&draft["status"], &draft["subtotal"]),
        (&json!("draft"), &json!(3120))
    );
    assert_eq!(
        one.balances(),
        (5000, 1880),
        "a draft lowers only what is available"
    );
    one.world.advance(3600);
    assert_eq!(one.balances(), (1880, 1880));
    let paid = one.invoice();
    assert_eq!(
        (&paid["status"], &paid["amount_due"], &paid["subtotal"]),
        (&json!("paid"), &json!(0), &json!(3120))
    );
    assert_eq!(paid["total_pretax_credit_amounts"][0]["amount"], 3120);
    assert_eq!(
        paid["lines"]["data"][0]["pretax_credit_amounts"],
        paid["total_pretax_credit_amounts"]
    );
    let told = one.world.events_of("invoice.finalized")[0].payload["data"]["object"].clone();
    assert_eq!(
        (&told["status"], &told["amount_due"]),
        (&json!("open"), &json!(0))
    );
    let txn = &one.world.events_of("billing.credit_balance_transaction.created")[1].payload["data"]["object"];
    assert_eq!(txn["debit"]["credits_applied"]["invoice"], paid["id"]);
    same_fields_as_fixtures(&one.world);
}

#[test]
fn grants_burn_by_five_keys() {
    let mut one = Metered::new();
    let end = START + 100 * DAY;
    let last = one.grant(100, json!({"priority": 60}));
    let fifth = one.grant(100, json!({}));
    let fourth = one.grant(100, json!({"effective_at": START - 5}));
    let third = one.grant(100, json!({"category": "promotional"}));
    let second = one.grant(100, json!({"expires_at": end}));
    let first = one.grant(100, json!({"priority": 10}));
    one.spend(5_500_000);
    one.world.advance(MONTH + 3600);
    let expected = [
        (first, 100),
        (second, 100),
        (third, 100),
        (fourth, 100),
        (fifth, 100),
        (last, 50),
    ];
    assert_eq!(one.applied(), expected);
}

#[test]
fn what_does_not_fit_the_invoice_is_left_alone() {
    let mut one = Metered::new();
    one.world.attach_card(&one.customer.clone(), &Card::good());
    one.grant(
        1000,
        json!({"amount": {"type": "monetary", "monetary": {"currency": "eur", "value": 1000}}}),
    );
    one.grant(1000, json!({"effective_at": START + MONTH + 1}));
    one.grant(1000, json!({"expires_at": START + MONTH}));
    one.grant(
        1000,
        json!({"applicability_config": {"scope": {"prices": [{"id": "price_other"}]}}}),
    );
    let short = one.grant(300, json!({"expires_at": START + MONTH + 3601}));
    one.spend(5_000_000);
    one.world.advance(MONTH + 3600);
    assert_eq!(one.applied(), [(short, 300)]);
    let invoice = one.invoice();
    assert_eq!(
        (&invoice["status"], &invoice["amount_paid"]),
        (&json!("paid"), &json!(200)),
        "the card pays the rest"
    );
}

#[test]
fn expired_before_the_invoice_the_card_pays_for_what_was_prepaid() {
    let mut one = Metered::new();
    one.grant(5000, json!({"expires_at": START + MONTH + 60}));
    one.spend(1_000_000);
    one.world.advance(MONTH + 3600);
    assert_eq!(one.applied(), []);
    assert_eq!(one.invoice()["amount_due"], 100);
}

#[test]
fn usage_of_the_grace_hour_counts_if_it_is_of_the_period() {
    let mut one = Metered::new();
    one.grant(5000, json!({}));
    one.world.advance(MONTH);
    let payload = json!({"stripe_customer_id": one.customer, "value": "1000000"});
    let mut event = json!({"event_name": "ai_spend", "payload": payload, "timestamp": START + MONTH - 1});
    one.world.create_meter_event(&event).unwrap();
    one.world.advance(3600);
    assert_eq!(one.invoice()["subtotal"], 100);
    event["identifier"] = "late".into();
    one.world.create_meter_event(&event).unwrap();
    one.world.advance(MONTH);
    let second = one.invoice();
    assert_eq!(second["subtotal"], 0, "after that it is on no invoice");
}

#[test]
fn a_voided_invoice_gives_the_credits_back_and_its_usage_is_gone() {
    let mut one = Metered::new();
    let lasting = one.grant(100, json!({}));
    one.grant(100, json!({"expires_at": START + MONTH + 2 * DAY}));
    one.spend(2_500_000);
    one.world.billing.last = LastAction::LeavePastDue;
    one.world.advance(MONTH + 3 * DAY);
    assert_eq!(one.balances(), (0, 0));
    assert!(one.world.void_grant(&lasting).is_err(), "it was applied");
    let invoice = id(&one.invoice());
    one.world.void_invoice(&invoice).unwrap();
    assert_eq!(
        one.balances(),
        (100, 100),
        "what is past its end goes as it comes"
    );
    assert!(one.world.void_invoice(&invoice).is_err());
    same_fields_as_fixtures(&one.world);
}

#[test]
fn a_failed_payment_is_tried_again_until_the_last_action() {
    let mut one = Metered::new();
    let method = one
        .world
        .attach_card(&one.customer.clone(), &Card::new(Outcome::NO_FUNDS));
    one.spend(20_000_000);
    one.world.advance(MONTH + 3600);
    let failed = one.invoice();
    assert_eq!(
        (&failed["status"], &failed["attempt_count"]),
        (&json!("open"), &json!(1))
    );
    assert_eq!(failed["next_payment_attempt"], START + MONTH + 3600 + 3 * DAY);
    assert_eq!(one.subscription()["status"], "past_due");
    assert_eq!(one.world.object(&one.customer)["delinquent"], true);
    one.world.set_outcome(&method, Outcome::Paid);
    one.world.advance(3 * DAY);
    assert_eq!(one.invoice()["status"], "paid");
    assert_eq!(one.subscription()["status"], "active");
    assert_eq!(one.world.object(&one.customer)["delinquent"], false);
    one.world.set_outcome(&method, Outcome::NO_FUNDS);
    one.spend(1_000_000);
    one.world.advance(2 * MONTH);
    assert_eq!(one.subscription()["status"], "canceled");
    assert_eq!(one.world.events_of("customer.subscription.deleted").len(), 1);
    same_fields_as_fixtures(&one.world);
}

#[test]
fn auto_advance_false_stops_the_retries() {
    let mut one = Metered::new();
    one.spend(20_000_000);
    one.world.advance(MONTH + 3600);
    let invoice = id(&one.invoice());
    let updated = one
        .world
        .update_invoice(&invoice, &json!({"auto_advance": false}))
        .unwrap();
    assert!(updated["next_payment_attempt"].is_null());
    one.world.advance(20 * DAY);
    assert_eq!(one.invoice()["attempt_count"], 1);
    let method = one.world.attach_card(&one.customer.clone(), &Card::good());
    let paid = one
        .world
        .pay_invoice(&invoice, &json!({"payment_method": method}))
        .unwrap();
    assert_eq!(paid["status"], "paid");
    let payments = one
        .world
        .list_invoice_payments(&json!({"invoice": invoice}))
        .unwrap();
    assert_eq!(payments["data"][0]["status"], "paid");
    let refused = one.world.update_invoice(&invoice, &json!({"auto_advance": true}));
    assert!(refused.is_err());
}

#[test]
fn a_threshold_bills_in_the_middle_and_only_once() {
    let mut one = Metered::new();
    one.grant(5000, json!({}));
    let item = id(&one.subscription()["items"]["data"][0]);
    let asked = json!({"billing_thresholds": {"usage_gte": 10_000_000}});
    one.world.update_item(&item, &asked).unwrap();
    one.world.advance(100);
    one.spend(9_000_000);
    assert!(one.world.invoices_of(&one.subscription).is_empty());
    one.world.advance(100);
    one.spend(3_000_000);
    let billed = one.invoice();
    assert_eq!(
        (&billed["billing_reason"], &billed["subtotal"]),
        (&json!("subscription_threshold"), &json!(1200))
    );
    assert_eq!(one.balances(), (3800, 3800));
    one.spend(500_000);
    one.world.advance(MONTH + 3600);
    assert_eq!(one.invoice()["subtotal"], 50);
    assert_eq!(one.balances(), (3750, 3750));
}

#[test]
fn collection_and_the_subscription_itself_can_pause() {
    let mut one = Metered::new();
    let asked = json!({"pause_collection": {"behavior": "keep_as_draft"}});
    let subscription = one.subscription.clone();
    one.world.update_subscription(&subscription, &asked).unwrap();
    assert_eq!(
        one.subscription()["status"],
        "active",
        "the status does not show it"
    );
    one.spend(1_000_000);
    one.world.advance(MONTH + DAY);
    assert_eq!(one.invoice()["status"], "draft");
    one.world
        .update_subscription(&subscription, &json!({"pause_collection": {"behavior": "void"}}))
        .unwrap();
    one.world.advance(MONTH);
    assert_eq!(one.invoice()["status"], "void");
    one.world.pause_subscription(&subscription, &json!({})).unwrap();
    assert!(one.world.pause_subscription(&subscription, &json!({})).is_err());
    one.world.advance(2 * MONTH);
    assert_eq!(one.world.invoices_of(&subscription).len(), 2);
    one.world.resume_subscription(&subscription).unwrap();
    one.world.cancel_subscription(&subscription, &json!({})).unwrap();
    assert_eq!(
        one.world
            .update_subscription(&subscription, &json!({}))
            .unwrap_err()
            .status,
        404
    );
    same_fields_as_fixtures(&one.world);
}

#[test]
fn a_trial_is_announced_and_ends_as_set() {
    let mut world = World::new(START);
    let customer = id(&world.create_customer(&json!({})).unwrap());
    let price = priced_meter(&mut world);
    let asked = json!({
        "customer": customer, "items": [{"price": price}], "trial_period_days": 7,
        "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}},
    });
    let subscription = id(&world.create_subscription(&asked).unwrap());
    world.advance(4 * DAY);
    assert_eq!(world.events_of("customer.subscription.trial_will_end").len(), 1);
    world.advance(3 * DAY);
    assert_eq!(world.object(&subscription)["status"], "paused");
    same_fields_as_fixtures(&world);
}

#[test]
fn wrong_meter_events_are_taken_and_told_of_later() {
    let mut one = Metered::new();
    one.world.quirks.meter_lag = 60;
    let customer = one.customer.clone();
    let wrong = [
        (
            "nothing",
            json!({"stripe_customer_id": customer, "value": "1"}),
            0,
            "no_meter",
        ),
        (
            "ai_spend",
            json!({"value": "1"}),
            0,
            "meter_event_no_customer_defined",
        ),
        (
            "ai_spend",
            json!({"stripe_customer_id": "cus_none", "value": "1"}),
            0,
            "meter_event_customer_not_found",
        ),
        (
            "ai_spend",
            json!({"stripe_customer_id": customer, "value": "much"}),
            0,
            "meter_event_invalid_value",
        ),
        (
            "ai_spend",
            json!({"stripe_customer_id": customer, "value": "1234567890123456"}),
            0,
            "meter_event_value_too_many_digits",
        ),
        (
            "ai_spend",
            json!({"stripe_customer_id": customer, "value": "1"}),
            301,
            "timestamp_in_future",
        ),
        (
            "ai_spend",
            json!({"stripe_customer_id": customer, "value": "1"}),
            -36 * DAY,
            "timestamp_too_far_in_past",
        ),
    ];
    for (name, payload, offset, _) in &wrong {
        let asked = json!({"event_name": name, "payload": payload, "timestamp": START + offset});
        one.world.create_meter_event(&asked).unwrap();
    }
    assert!(one.world.thin_events().is_empty(), "nobody has looked yet");
    one.world.advance(60);
    let told: Vec<Value> = one
        .world
        .thin_events()
        .iter()
        .map(|event| event.full.clone())
        .collect();
    assert_eq!(told.len(), 2, "one for the meter, one for none");
    for (.., code) in &wrong {
        assert!(
            told.iter().any(|full| full["data"].to_string().contains(code)),
            "{code}"
        );
    }
    let notified = &one.world.thin_events()[0].notification;
    assert!(notified.get("data").is_none());
    assert!(one.world.usage().is_empty());
}

#[test]
fn an_identifier_counts_once_a_day() {
    let mut one = Metered::new();
    let payload = json!({"stripe_customer_id": one.customer, "value": "1.5"});
    let event = json!({"event_name": "ai_spend", "payload": payload, "identifier": "u:1"});
    for _ in 0..3 {
        one.world.create_meter_event(&event).unwrap();
    }
    assert_eq!(one.world.usage().len(), 1);
    let cancel = json!({"event_name": "ai_spend", "type": "cancel", "cancel": {"identifier": "u:1"}});
    one.world.adjust_meter_event(&cancel).unwrap();
    assert!(one.world.adjust_meter_event(&cancel).is_err());
    one.world.advance(DAY);
    one.world.create_meter_event(&event).unwrap();
    assert_eq!(one.world.usage().len(), 1);
}

#[test]
fn an_alert_fires_once_for_a_customer() {
    let mut one = Metered::new();
    let meter = id(one.world.all("billing.meter").next().unwrap());
    let threshold = json!({"meter": meter, "gte": 100, "recurrence": "one_time"});
    let asked = json!({"title": "Spike", "alert_type": "usage_threshold", "usage_threshold": threshold});
    let alert = id(&one.world.create_alert(&asked).unwrap());
    for _ in 0..3 {
        one.spend(60);
    }
    assert_eq!(one.world.events_of("billing.alert.triggered").len(), 1);
    one.world.set_alert(&alert, "active").unwrap();
    one.spend(1);
    assert_eq!(one.world.events_of("billing.alert.triggered").len(), 2);
    let customer = one.customer.clone();
    one.world.entitle(&customer, &["model-large"]);
    same_fields_as_fixtures(&one.world);
}

#[tokio::test]
async fn metering_goes_over_the_wire_one_call_at_a_time() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[]);
    priced_meter(&mut api.fake.world());
    let meter = id(api.fake.world().all("billing.meter").next().unwrap());
    let form = |value: i64| {
        format!("event_name=ai_spend&payload[stripe_customer_id]={customer}&payload[value]={value}")
    };
    api.fake
        .fail("meter_events", 1, Fault::Slow(std::time::Duration::from_secs(1)));
    let first = form(5);
    let second = async {
        while api.fake.world().usage().is_empty() {
            tokio::task::yield_now().await;
        }
        api.post("/v1/billing/meter_events", &form(6)).await
    };
    let (first, second) = tokio::join!(api.post("/v1/billing/meter_events", &first), second);
    assert_eq!((first.0, second.0), (200, 429));
    assert_eq!(api.post("/v1/billing/meter_events", &form(7)).await.0, 200);
    let start = START - START % 60;
    let range = format!("customer={customer}&start_time={start}&end_time={}", start + 60);
    let (_, summary) = api
        .get(&format!("/v1/billing/meters/{meter}/event_summaries?{range}"))
        .await;
    assert_eq!(summary["data"][0]["aggregated_value"], 12);
    let odd = format!(
        "customer={customer}&start_time={}&end_time={}",
        start + 1,
        start + 61
    );
    assert_eq!(
        api.get(&format!("/v1/billing/meters/{meter}/event_summaries?{odd}"))
            .await
            .0,
        400
    );
    api.post(
        "/v1/billing/meter_events",
        &form(7).replace("ai_spend", "nothing"),
    )
    .await;
    let thin = api.fake.take_undelivered().pop().unwrap();
    assert_eq!(thin.kind, "v1.billing.meter.no_meter_found");
    let (_, full) = api.get(&format!("/v2/core/events/{}", thin.event)).await;
    assert_eq!(full["data"]["reason"]["error_types"][0]["code"], "no_meter");
    api.fake.assert_clean();
}
