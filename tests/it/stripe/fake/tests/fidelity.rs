//! Every event of the fixtures can happen, and looks like the fixture, also on the inside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::same_fields_as_fixtures;
use crate::stripe::fake::world::{Card, Complaint, MONTH, Outcome, World};
use crate::stripe::fake::{START, shapes};

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// A story in which everything of the fixtures happens.
fn grand_story() -> World {
    let mut world = World::new(START);
    world.quirks.thin_twins = true;
    let customer = id(&world.create_customer(&json!({})).unwrap());
    let method = world.attach_card(&customer, &Card::good());
    purchases(&mut world, &customer);
    usage(&mut world, &customer, &method);
    world.entitle(&customer, &["model-large"]);
    world.renew_card(&method, "FpNew", "1881");
    world.detach_method(&method);
    world
}

fn purchases(world: &mut World, customer: &str) {
    let item = json!({"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 5000, "product_data": {"name": "p"}}});
    let asked = json!({"mode": "payment", "success_url": "https://a.test", "customer": customer, "line_items": [item]});
    for (outcome, comes) in [
        (Outcome::PaidUnderReview, None),
        (Outcome::Delayed, Some(true)),
        (Outcome::Delayed, Some(false)),
    ] {
        let session = id(&world.create_session(&asked).unwrap());
        let bought = world.buy(&session, &Card::new(outcome)).unwrap();
        let intent = bought["payment_intent"].as_str().unwrap();
        if let Some(comes) = comes {
            world.settle(intent, comes);
            continue;
        }
        let charge = world.object(intent)["latest_charge"].as_str().unwrap().to_owned();
        world.refund(&charge, 2000);
        world.early_fraud_warning(&charge);
        let dispute = world.dispute(&charge, &Complaint::fraud());
        world.submit_evidence(&dispute);
        world.close_dispute(&dispute, "won");
    }
    let setup = world.create_setup_intent(&json!({"customer": customer})).unwrap();
    world.complete_setup(&id(&setup), &Card::good()).unwrap();
    let bank = world.attach_card(customer, &Card::new(Outcome::AuthenticationRequired));
    let topup = json!({
        "amount": 5000, "currency": "usd", "customer": customer, "payment_method": bank, "confirm": true,
        "off_session": true, "error_on_requires_action": true,
    });
    world.create_payment_intent(&topup).unwrap_err();
}

fn usage(world: &mut World, customer: &str, method: &str) {
    let meter =
        json!({"display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"}});
    let meter = id(&world.create_meter(&meter).unwrap());
    let price = world.add_price(&meter, "usd", "0.0001");
    let threshold = json!({"meter": meter, "gte": 5, "recurrence": "one_time", "filters": [{"type": "customer", "customer": customer}]});
    let alert = json!({"title": "Spike", "alert_type": "usage_threshold", "usage_threshold": threshold});
    world.create_alert(&alert).unwrap();
    let trial = json!({
        "customer": customer, "items": [{"price": price}], "trial_period_days": 4, "billing_mode": {"type": "flexible"},
    });
    let subscription = id(&world.create_subscription(&trial).unwrap());
    world.advance(4 * 86_400);
    let mut grants = Vec::new();
    for end in [None, None, None, Some(START + 10 * 86_400)] {
        let amount = json!({"type": "monetary", "monetary": {"currency": "usd", "value": 100}});
        let scope = json!({"scope": {"price_type": "metered"}});
        let asked =
            json!({"customer": customer, "amount": amount, "applicability_config": scope, "expires_at": end});
        grants.push(id(&world.create_grant(&asked).unwrap()));
    }
    world.void_grant(&grants[0]).unwrap();
    let spend = |world: &mut World, name: &str, payload: Value| {
        world
            .create_meter_event(&json!({"event_name": name, "payload": payload}))
            .unwrap();
    };
    world.advance(20 * 86_400);
    spend(
        world,
        "ai_spend",
        json!({"stripe_customer_id": customer, "value": "2500000"}),
    );
    spend(world, "ai_spend", json!({"value": "1"}));
    spend(world, "nothing", json!({"value": "1"}));
    world.set_outcome(method, Outcome::NO_FUNDS);
    world.advance(MONTH);
    let invoice = id(world.invoices_of(&subscription).last().unwrap());
    world.void_invoice(&invoice).unwrap();
    world.set_outcome(method, Outcome::Paid);
    world.set_status(&subscription, "active");
    world.advance(MONTH);
    world.pause_subscription(&subscription, &json!({})).unwrap();
    world.cancel_subscription(&subscription, &json!({})).unwrap();
}

#[test]
fn all_events_of_the_fixtures_can_happen() {
    let world = grand_story();
    same_fields_as_fixtures(&world);
    let snapshots = world.events().iter().map(|event| event.kind.as_str());
    let thin = world.thin_events().iter().map(|event| event.kind.as_str());
    let happened: BTreeSet<&str> = snapshots.chain(thin).collect();
    let fixtures = shapes::event_fixtures();
    let known: BTreeSet<&str> = fixtures
        .iter()
        .map(|fixture| fixture["type"].as_str().unwrap())
        .collect();
    let missing: Vec<&&str> = known.difference(&happened).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

/// What theirs has on the inside and ours has not. They are abbreviated here and there, and have metadata
/// of their own.
fn missing(own: &Value, theirs: &Value, at: &str, found: &mut BTreeSet<String>) {
    match (own, theirs) {
        (Value::Object(own), Value::Object(theirs)) => {
            for (name, theirs) in theirs.iter().filter(|(name, _)| *name != "metadata") {
                match own.get(name) {
                    Some(own) => missing(own, theirs, &format!("{at}.{name}"), found),
                    None => {
                        found.insert(format!("{at}.{name}"));
                    }
                }
            }
        }
        (Value::Array(own), Value::Array(theirs)) => {
            if let (Some(own), Some(theirs)) = (own.first(), theirs.first()) {
                missing(own, theirs, &format!("{at}[]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn events_are_like_the_fixtures_on_the_inside() {
    let world = grand_story();
    let fixtures = shapes::event_fixtures();
    let mut found = BTreeSet::new();
    for event in world.events() {
        for fixture in fixtures
            .iter()
            .filter(|fixture| fixture["type"] == event.kind.as_str())
        {
            let kind = fixture["data"]["object"]["object"].as_str().unwrap_or_default();
            let (own, theirs) = (&event.payload["data"]["object"], &fixture["data"]["object"]);
            missing(own, theirs, kind, &mut found);
        }
    }
    for event in world.thin_events() {
        for fixture in fixtures
            .iter()
            .filter(|fixture| fixture["type"] == event.kind.as_str())
        {
            let whole = fixture.get("data").is_some() || fixture.get("snapshot_event").is_some();
            let own = if whole { &event.full } else { &event.notification };
            missing(own, fixture, "thin", &mut found);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
