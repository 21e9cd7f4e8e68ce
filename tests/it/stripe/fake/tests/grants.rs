//! Credit grants: what may be done with them, and what they leave on the ledger.

use serde_json::{Value, json};

use crate::stripe::fake::world::{API_VERSION, World};
use crate::stripe::fake::{START, shapes};

/// A grant in US cents.
fn grant(world: &mut World, customer: &str, cents: i64, more: Value) -> String {
    let mut asked = json!({
        "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": cents}},
        "applicability_config": {"scope": {"price_type": "metered"}},
    });
    asked
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let grant = world.create_grant(&asked).unwrap();
    grant["id"].as_str().unwrap().to_owned()
}

fn customer(world: &mut World) -> String {
    let customer = world.create_customer(&json!({})).unwrap();
    customer["id"].as_str().unwrap().to_owned()
}

/// Ledger and available balance in US cents.
fn balances(world: &World, customer: &str) -> (i64, i64) {
    let filter = json!({"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}});
    let asked = json!({"customer": customer, "filter": filter});
    let summary = world.balance_summary(&asked).unwrap();
    let value = |which: &str| {
        summary["balances"][0][which]["monetary"]["value"]
            .as_i64()
            .unwrap()
    };
    (value("ledger_balance"), value("available_balance"))
}

fn transactions(world: &World, customer: &str) -> Vec<String> {
    let found = world
        .list_transactions(&json!({"customer": customer, "limit": 100}))
        .unwrap();
    let mut kinds: Vec<String> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|txn| {
            txn[txn["type"].as_str().unwrap()]["type"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    kinds.reverse();
    kinds
}

#[test]
fn a_grant_is_funded_when_it_begins_and_ends_by_the_clock() {
    let mut world = World::new(START);
    let customer = customer(&mut world);
    let more = json!({"effective_at": START + 100, "expires_at": START + 200});
    grant(&mut world, &customer, 1000, more);
    assert_eq!(balances(&world, &customer), (0, 0));
    world.advance(100);
    assert_eq!(balances(&world, &customer), (1000, 1000));
    world.advance(1_000_000);
    assert_eq!(balances(&world, &customer), (0, 0));
    assert_eq!(
        transactions(&world, &customer),
        ["credits_granted", "credits_expired"]
    );
    let times: Vec<i64> = world.events().iter().map(|event| event.created - START).collect();
    assert_eq!(times, [0, 0, 100, 200], "each at its own time");
}

#[test]
fn expired_credit_may_stay_on_the_ledger_for_a_while() {
    let mut world = World::new(START);
    world.quirks.expiry_lag = 50;
    let customer = customer(&mut world);
    grant(&mut world, &customer, 1000, json!({"expires_at": START + 200}));
    world.advance(220);
    assert_eq!(balances(&world, &customer), (1000, 0));
    world.advance(30);
    assert_eq!(balances(&world, &customer), (0, 0));
}

#[test]
fn a_voided_grant_is_terminal_and_tells_what_was() {
    let mut world = World::new(START);
    let customer = customer(&mut world);
    let id = grant(&mut world, &customer, 5000, json!({}));
    world.advance(900);
    let voided = world.void_grant(&id).unwrap();
    assert_eq!(voided["voided_at"], START + 900);
    assert_eq!(
        transactions(&world, &customer),
        ["credits_granted", "credits_voided"]
    );
    let told = &world.events_of("billing.credit_grant.updated")[0].payload;
    let before = json!({"updated": START, "voided_at": null});
    assert_eq!(told["data"]["previous_attributes"], before);
    for refused in [
        world.void_grant(&id),
        world.expire_grant(&id),
        world.update_grant(&id, &json!({"expires_at": ""})),
    ] {
        assert_eq!(refused.unwrap_err().status, 400);
    }
}

#[test]
fn only_the_end_and_the_metadata_change() {
    let mut world = World::new(START);
    let customer = customer(&mut world);
    let id = grant(
        &mut world,
        &customer,
        5000,
        json!({"metadata": {"purchase_id": "pi_1"}}),
    );
    world.advance(10);
    let asked = json!({"expires_at": START + 500, "metadata": {"seen": "yes"}});
    let updated = world.update_grant(&id, &asked).unwrap();
    assert_eq!(updated["updated"], START + 10);
    assert_eq!(updated["metadata"], json!({"purchase_id": "pi_1", "seen": "yes"}));
    assert!(world.update_grant(&id, &json!({"expires_at": START})).is_err());
    assert!(world.update_grant(&id, &json!({"expires_at": ""})).unwrap()["expires_at"].is_null());
    let expired = world.expire_grant(&id).unwrap();
    assert_eq!(expired["expires_at"], START + 10);
    assert_eq!(balances(&world, &customer), (0, 0));
}

#[test]
fn the_101st_unused_grant_is_refused() {
    let mut world = World::new(START);
    let customer = customer(&mut world);
    let first = grant(&mut world, &customer, 1, json!({}));
    for _ in 1..100 {
        grant(&mut world, &customer, 1, json!({}));
    }
    let asked = json!({
        "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 1}},
        "applicability_config": {"scope": {"price_type": "metered"}},
    });
    let refused = world.create_grant(&asked).unwrap_err();
    assert!(refused.body().to_string().contains("at most 100 unused"));
    world.expire_grant(&first).unwrap();
    world.create_grant(&asked).unwrap();
}

#[test]
fn events_have_the_fields_of_the_fixtures() {
    let mut world = World::new(START);
    let customer = customer(&mut world);
    let id = grant(&mut world, &customer, 5000, json!({"expires_at": START + 500}));
    grant(&mut world, &customer, 5000, json!({"expires_at": START + 500}));
    world.void_grant(&id).unwrap();
    world.advance(500);
    super::same_fields_as_fixtures(&world);
    assert_eq!(world.events()[0].payload["api_version"], API_VERSION);
    assert!(!shapes::event_fixtures().is_empty());
}
