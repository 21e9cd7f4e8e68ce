//! What the recorded events tell.

use serde_json::{Value, json};

use super::*;
use crate::stripe::event::parse;

fn recorded() -> Vec<(String, Value)> {
    let all: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/stripe/events.json")).unwrap();
    let events = all["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            (
                event["name"].as_str().unwrap().to_owned(),
                event["payload"].clone(),
            )
        })
        .collect()
}

fn telling(name: &str) -> Telling {
    let all = recorded();
    let (_, payload) = all.iter().find(|(known, _)| known == name).expect(name);
    let event = parse(payload.to_string().as_bytes()).unwrap();
    told(&event).unwrap().expect(name)
}

#[test]
fn every_recorded_event_is_read_and_those_that_are_listened_to_tell_something() {
    for (name, payload) in recorded() {
        let event = parse(payload.to_string().as_bytes()).expect(&name);
        let told = told(&event).expect(&name);
        let snapshot = matches!(event.body, Body::Snapshot(_));
        assert_eq!(told.is_some(), snapshot && is_heard(&event.kind), "{name}");
    }
}

#[test]
fn a_grant_says_what_the_ledger_needs() {
    let Fact::Grant(grant) = telling("billing.credit_grant.created#paid").fact else {
        panic!("no grant");
    };
    assert_eq!(
        (grant.id.as_str(), grant.customer.as_str()),
        ("credgr_test_grant0001", "cus_TestPrepaid01")
    );
    assert_eq!(
        (grant.currency.as_str(), grant.value, grant.category.as_str()),
        ("usd", 5000, "paid")
    );
    assert_eq!(
        (grant.priority, grant.effective_at, grant.expires_at),
        (50, Some(1_795_000_002), None)
    );
    assert_eq!(grant.metadata["purchase_id"], "pi_3TestTopup0001");
}

#[test]
fn a_transaction_says_of_which_grant_and_which_invoice() {
    let Fact::Transaction(applied) =
        telling("billing.credit_balance_transaction.created#credits_applied").fact
    else {
        panic!("no transaction");
    };
    assert_eq!((applied.kind.as_str(), applied.value), ("credits_applied", 3120));
    assert_eq!(applied.invoice.as_deref(), Some("in_1TestCycle0001"));
    let back = telling("billing.credit_balance_transaction.created#credits_application_invoice_voided").fact;
    let Fact::Transaction(back) = back else {
        panic!("no transaction");
    };
    assert_eq!(
        (back.kind.as_str(), back.value),
        ("credits_application_invoice_voided", 3120)
    );
    assert_eq!(back.grant, applied.grant);
}

#[test]
fn marks_disputes_and_refunds_name_their_payment() {
    for (name, payment) in [
        ("charge.refunded#partial", "pi_3TestTopup0001"),
        ("refund.created", "pi_3TestTopup0001"),
        ("charge.dispute.created", "pi_3TestTopup0001"),
        ("radar.early_fraud_warning.created", "pi_3TestTopup0001"),
        ("review.opened", "pi_3TestTopup0001"),
    ] {
        let of = match telling(name).fact {
            Fact::Charge(charge) => charge.payment,
            Fact::Refund(refund) => refund.payment,
            Fact::Dispute(dispute) => dispute.payment,
            Fact::Warning(mark) | Fact::Review(mark) => mark.payment,
            _ => None,
        };
        assert_eq!(of.as_deref(), Some(payment), "{name}");
    }
}

#[test]
fn an_invoice_names_its_subscription_where_it_has_been_since_2025() {
    let Fact::Invoice(invoice) = telling("invoice.payment_failed#first_attempt").fact else {
        panic!("no invoice");
    };
    assert_eq!(invoice.subscription.as_deref(), Some("sub_1TestMeter0001"));
    assert_eq!(
        (invoice.status.as_str(), invoice.attempts, invoice.due),
        ("open", 1, 2000)
    );
}

#[test]
fn w10_what_has_no_right_amount_or_no_customer_is_said_to_be_so() {
    let all = recorded();
    let (_, grant) = all
        .iter()
        .find(|(name, _)| name == "billing.credit_grant.created#paid")
        .unwrap();
    let grant = &grant["data"]["object"];
    for (path, value, complaint) in [
        (
            "/amount/monetary/value",
            json!(10.5),
            "`amount.monetary.value` of the credit grant is no whole number",
        ),
        ("/amount/monetary/value", json!(1.0e30), "is no whole number"),
        ("/amount/monetary/value", json!("5000"), "is no whole number"),
        ("/amount/monetary/value", Value::Null, "is not there"),
        (
            "/amount/type",
            json!("custom_pricing_unit"),
            "only money can be credited",
        ),
        (
            "/customer",
            Value::Null,
            "`customer` of the credit grant is not there",
        ),
        ("/customer", json!("../cus"), "is no id"),
        ("/id", json!(7), "is no id"),
    ] {
        let mut wrong = grant.clone();
        *wrong.pointer_mut(path).unwrap() = value.clone();
        let error = read(&wrong).expect_err(path).to_string();
        assert!(error.contains(complaint), "{path} {value}: {error}");
    }
}

#[test]
fn what_is_new_or_of_no_matter_does_no_harm() {
    let mut event = recorded().remove(6).1;
    event["data"]["object"]["a_new_field"] = json!({"deep": [1]});
    event["a_new_field"] = json!(1);
    assert!(
        told(&parse(event.to_string().as_bytes()).unwrap())
            .unwrap()
            .is_some()
    );
    event["type"] = json!("billing.credit_grant.enchanted");
    assert_eq!(told(&parse(event.to_string().as_bytes()).unwrap()), Ok(None));
    let expanded = json!({"object": "dispute", "id": "du_1", "amount": 1, "status": "lost", "payment_intent": {"id": "pi_1"}});
    let Ok(Some(Fact::Dispute(dispute))) = read(&expanded) else {
        panic!("no dispute");
    };
    assert_eq!(dispute.payment.as_deref(), Some("pi_1"));
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    for (body, reason) in [
        ("", "EOF"),
        ("{}", "missing field"),
        (
            r#"{"id":"evt_1","object":"charge","type":"x","created":1,"livemode":false}"#,
            "`object` is \"charge\"",
        ),
        (
            r#"{"id":"evt_1","object":"event","type":"x","created":1,"livemode":false}"#,
            "no `data.object`",
        ),
        (
            r#"{"id":"","object":"event","type":"x","created":1,"livemode":false,"data":{"object":{}}}"#,
            "empty",
        ),
    ] {
        let error = parse(body.as_bytes()).expect_err(body).to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
}

#[test]
fn the_guide_lists_the_events_that_are_heard_and_no_others() {
    let guide = include_str!("../../../docs/stripe.md");
    let table = guide
        .split("## Events")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let mut listed = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut family = "";
        for name in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            match name.strip_prefix('.') {
                Some(last) => listed.push(format!("{family}.{last}")),
                None => {
                    family = name.rsplit_once('.').unwrap().0;
                    listed.push(name.to_owned());
                }
            }
        }
    }
    let mut heard = HEARD.map(str::to_owned).to_vec();
    listed.sort();
    heard.sort();
    assert_eq!(listed, heard);
}
