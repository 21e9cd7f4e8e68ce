//! One reader for each kind of object.

use serde_json::Value;

use super::super::object::{Object, Unreadable};
use super::setup::setup;
use super::{
    Charge, Customer, Dispute, Fact, Grant, Invoice, Item, Mark, Metadata, Payment, Refund, Report, Session,
    Subscription, Transaction, UsageError,
};

/// Reads an object by what it says it is; nothing for one that does not matter.
pub fn read(value: &Value) -> Result<Option<Fact>, Unreadable> {
    let kind = value.get("object").and_then(Value::as_str).unwrap_or_default();
    Ok(Some(match kind {
        "billing.credit_grant" => Fact::Grant(grant(Object::new(value, "credit grant"), value)?),
        "billing.credit_balance_transaction" => {
            Fact::Transaction(transaction(Object::new(value, "credit balance transaction"))?)
        }
        "payment_intent" => Fact::Payment(payment(Object::new(value, "payment intent"), value)?),
        "checkout.session" => Fact::Session(session(Object::new(value, "checkout session"), value)?),
        "setup_intent" => Fact::Setup(setup(Object::new(value, "setup intent"), value)?),
        "charge" => Fact::Charge(charge(Object::new(value, "charge"))?),
        "refund" => Fact::Refund(refund(Object::new(value, "refund"))?),
        "dispute" => Fact::Dispute(dispute(Object::new(value, "dispute"))?),
        "radar.early_fraud_warning" => Fact::Warning(warning(Object::new(value, "early fraud warning"))?),
        "review" => Fact::Review(review(Object::new(value, "review"))?),
        "invoice" => Fact::Invoice(invoice(Object::new(value, "invoice"))?),
        "subscription" => Fact::Subscription(subscription(Object::new(value, "subscription"), value)?),
        "v2.core.event" if value["type"].as_str().is_some_and(super::is_report) => {
            Fact::Report(report(Object::new(value, "report of usage"), value)?)
        }
        "customer" => Fact::Customer(customer(Object::new(value, "customer"), value)?),
        _ => return Ok(None),
    }))
}

pub(super) fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

pub(super) fn metadata(value: &Value) -> Metadata {
    let pairs = value.get("metadata").and_then(Value::as_object);
    let texts = pairs.into_iter().flatten();
    texts
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn grant(o: Object<'_>, value: &Value) -> Result<Grant, Unreadable> {
    let kind = o.text("amount/type")?;
    if kind != "monetary" {
        return Err(o.wrong(
            "amount/type",
            format_args!("is {kind:?}: only money can be credited"),
        ));
    }
    Ok(Grant {
        id: o.id("id")?.to_owned(),
        customer: o.id("customer")?.to_owned(),
        currency: o.text("amount/monetary/currency")?.to_owned(),
        value: o.number("amount/monetary/value")?,
        category: o.text("category")?.to_owned(),
        priority: o.maybe_number("priority")?.unwrap_or(50),
        created: o.number("created")?,
        updated: o.number("updated")?,
        effective_at: o.maybe_number("effective_at")?,
        expires_at: o.maybe_number("expires_at")?,
        voided_at: o.maybe_number("voided_at")?,
        test_clock: owned(o.maybe_id("test_clock")?),
        metadata: metadata(value),
    })
}

fn transaction(o: Object<'_>) -> Result<Transaction, Unreadable> {
    let side = o.text("type")?;
    if !matches!(side, "credit" | "debit") {
        return Err(o.wrong("type", format_args!("is {side:?}, neither credit nor debit")));
    }
    let part = |name: &str| format!("{side}/{name}");
    let kind = o.text(&part("type"))?;
    Ok(Transaction {
        id: o.id("id")?.to_owned(),
        grant: o.id("credit_grant")?.to_owned(),
        kind: kind.to_owned(),
        value: o.number(&part("amount/monetary/value"))?,
        currency: o.text(&part("amount/monetary/currency"))?.to_owned(),
        invoice: owned(o.maybe_id(&part(&format!("{kind}/invoice")))?),
    })
}

fn payment(o: Object<'_>, value: &Value) -> Result<Payment, Unreadable> {
    Ok(Payment {
        id: o.id("id")?.to_owned(),
        customer: owned(o.maybe_id("customer")?),
        charge: owned(o.maybe_id("latest_charge")?),
        status: o.text("status")?.to_owned(),
        received: o.maybe_number("amount_received")?.unwrap_or(0),
        currency: o.text("currency")?.to_owned(),
        created: o.number("created")?,
        metadata: metadata(value),
    })
}

fn session(o: Object<'_>, value: &Value) -> Result<Session, Unreadable> {
    Ok(Session {
        id: o.id("id")?.to_owned(),
        customer: owned(o.maybe_id("customer")?),
        mode: o.text("mode")?.to_owned(),
        status: o.maybe_text("status")?.unwrap_or("open").to_owned(),
        payment_status: o.text("payment_status")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        setup: owned(o.maybe_id("setup_intent")?),
        total: o.maybe_number("amount_total")?,
        currency: owned(o.maybe_text("currency")?),
        created: o.number("created")?,
        metadata: metadata(value),
    })
}

/// When it was made. One that does not say counts, whenever it was.
fn created(o: Object<'_>) -> Result<i64, Unreadable> {
    Ok(o.maybe_number("created")?.unwrap_or(i64::MAX))
}

fn charge(o: Object<'_>) -> Result<Charge, Unreadable> {
    Ok(Charge {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        customer: owned(o.maybe_id("customer")?),
        amount: o.number("amount")?,
        refunded: o.number("amount_refunded")?,
        created: created(o)?,
        currency: o.text("currency")?.to_owned(),
    })
}

fn refund(o: Object<'_>) -> Result<Refund, Unreadable> {
    Ok(Refund {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        amount: o.number("amount")?,
        status: o.maybe_text("status")?.unwrap_or("pending").to_owned(),
        created: created(o)?,
    })
}

fn dispute(o: Object<'_>) -> Result<Dispute, Unreadable> {
    Ok(Dispute {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        amount: o.number("amount")?,
        status: o.text("status")?.to_owned(),
        created: created(o)?,
    })
}

fn warning(o: Object<'_>) -> Result<Mark, Unreadable> {
    Ok(Mark {
        id: o.id("id")?.to_owned(),
        charge: owned(o.maybe_id("charge")?),
        payment: owned(o.maybe_id("payment_intent")?),
        // One that nothing can be done about any more was refunded or disputed already, which is heard of by itself; it clears nobody.
        cleared: false,
        closed: false,
        created: created(o)?,
    })
}

fn review(o: Object<'_>) -> Result<Mark, Unreadable> {
    let approved = o.maybe_text("closed_reason")? == Some("approved");
    Ok(Mark {
        id: o.id("id")?.to_owned(),
        charge: owned(o.maybe_id("charge")?),
        payment: owned(o.maybe_id("payment_intent")?),
        cleared: !o.flag("open")? && approved,
        closed: !o.flag("open")?,
        created: created(o)?,
    })
}

fn invoice(o: Object<'_>) -> Result<Invoice, Unreadable> {
    let due = o.maybe_number("amount_due")?.unwrap_or(0);
    Ok(Invoice {
        id: o.id("id")?.to_owned(),
        customer: o.id("customer")?.to_owned(),
        status: o.maybe_text("status")?.unwrap_or("draft").to_owned(),
        attempts: o.maybe_number("attempt_count")?.unwrap_or(0),
        subscription: owned(o.maybe_id("parent/subscription_details/subscription")?),
        created: created(o)?,
        due: due.min(o.maybe_number("total_excluding_tax")?.unwrap_or(due)),
        currency: o.text("currency")?.to_owned(),
        test_clock: owned(o.maybe_id("test_clock")?),
    })
}

fn items(value: &Value) -> Result<Vec<Item>, Unreadable> {
    let all = value.pointer("/items/data").and_then(Value::as_array);
    let all = all
        .into_iter()
        .flatten()
        .map(|item| Object::new(item, "subscription item"));
    let metered = all.filter(|item| item.maybe_text("price/recurring/usage_type") == Ok(Some("metered")));
    let read = metered.map(|item| {
        Ok(Item {
            id: item.id("id")?.to_owned(),
            invoice_at: item.maybe_number("billing_thresholds/usage_gte")?,
        })
    });
    read.collect()
}

fn subscription(o: Object<'_>, value: &Value) -> Result<Subscription, Unreadable> {
    Ok(Subscription {
        id: o.id("id")?.to_owned(),
        customer: o.id("customer")?.to_owned(),
        status: o.text("status")?.to_owned(),
        ended_at: o.maybe_number("ended_at")?,
        collection_paused: o.has("pause_collection"),
        items: items(value)?,
        test_clock: owned(o.maybe_id("test_clock")?),
    })
}

/// Its examples are some of many; one of each kind is enough to know what to look for.
fn report(o: Object<'_>, value: &Value) -> Result<Report, Unreadable> {
    let kinds = value
        .pointer("/data/reason/error_types")
        .and_then(Value::as_array);
    let kinds = kinds
        .into_iter()
        .flatten()
        .map(|kind| Object::new(kind, "error of reported usage"));
    let read = kinds.map(|kind| {
        let sample = kind.first("sample_errors");
        let said = sample.and_then(|one| one.maybe_text("error_message").ok().flatten());
        let of = sample.and_then(|one| one.maybe_text("request/identifier").ok().flatten());
        Ok(UsageError {
            code: kind.text("code")?.to_owned(),
            count: kind.maybe_number("error_count")?.unwrap_or(1),
            sample: format!(
                "{} ({})",
                said.unwrap_or("no example"),
                of.unwrap_or("no identifier")
            ),
        })
    });
    Ok(Report {
        id: o.id("id")?.to_owned(),
        errors: read.collect::<Result<_, _>>()?,
    })
}

fn customer(o: Object<'_>, value: &Value) -> Result<Customer, Unreadable> {
    Ok(Customer {
        id: o.id("id")?.to_owned(),
        metadata: metadata(value),
        deleted: o.flag("deleted")?,
    })
}
