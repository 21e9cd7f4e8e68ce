//! What an object says that matters here, as values. One reader per kind of object, whether it came in an event or as an answer of the API.

use std::collections::BTreeMap;

use serde_json::Value;

use super::event::{Body, Event};
use super::object::Object;
pub use super::object::Unreadable;

/// What was told, and when it was so.
#[derive(Clone, PartialEq, Debug)]
pub struct Telling {
    /// What.
    pub fact: Fact,
    /// Seconds since the epoch: when the event happened, or when the API was asked. Of two tellings of one object the later counts.
    pub at: i64,
    /// The event's type, or `api`.
    pub by: String,
}

/// By whom something is told that was asked for.
const API: &str = "api";

impl Telling {
    /// What Stripe's API answered when it was asked at this time, by Stripe's clock.
    pub fn by_api(fact: Fact, asked_at: i64) -> Telling {
        Telling {
            fact,
            at: asked_at,
            by: API.to_owned(),
        }
    }

    /// It was asked for: it is how things stand.
    pub fn is_asked(&self) -> bool {
        self.by == API
    }
}

/// What one object says.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// A credit grant.
    Grant(Grant),
    /// A line of Stripe's own ledger of credits.
    Transaction(Transaction),
    /// A payment.
    Payment(Payment),
    /// A checkout session.
    Session(Session),
    /// A charge: what of it was refunded.
    Charge(Charge),
    /// A refund.
    Refund(Refund),
    /// A dispute.
    Dispute(Dispute),
    /// An early fraud warning.
    Warning(Mark),
    /// A review.
    Review(Mark),
    /// An invoice.
    Invoice(Invoice),
    /// A subscription.
    Subscription(Subscription),
    /// A customer.
    Customer(Customer),
}

/// Texts that the operator or the gate attached to an object.
pub type Metadata = BTreeMap<String, String>;

/// `billing.credit_grant`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// `credgr_...`
    pub id: String,
    /// Whose.
    pub customer: String,
    /// Lower-case ISO code.
    pub currency: String,
    /// In the currency's minor units.
    pub value: i64,
    /// `paid`, `promotional`, or what there may be one day.
    pub category: String,
    /// 0 (first) to 100.
    pub priority: i64,
    /// Seconds since the epoch, as all times here.
    pub created: i64,
    /// When it was last changed.
    pub updated: i64,
    /// From when on it counts; none: from `created`.
    pub effective_at: Option<i64>,
    /// When it ends; none: never.
    pub expires_at: Option<i64>,
    /// When it was voided.
    pub voided_at: Option<i64>,
    /// The clock of a test that it lives by.
    pub test_clock: Option<String>,
    /// What was attached to it.
    pub metadata: Metadata,
}

/// `billing.credit_balance_transaction`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// `cbtxn_...`
    pub id: String,
    /// Of which grant; whose that is, the transaction does not say.
    pub grant: String,
    /// What it is: `credits_applied`, `credits_application_invoice_voided`, `credits_granted`, `credits_expired`, `credits_voided`, or what there may be one day.
    pub kind: String,
    /// Above zero whatever it is, in minor units.
    pub value: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// Of which invoice.
    pub invoice: Option<String>,
}

/// `payment_intent`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// `pi_...`
    pub id: String,
    /// Who pays.
    pub customer: Option<String>,
    /// `succeeded`, `processing`, ...
    pub status: String,
    /// What came in, in minor units.
    pub received: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// When it was made.
    pub created: i64,
    /// What was attached to it.
    pub metadata: Metadata,
}

/// `checkout.session`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// `cs_...`
    pub id: String,
    /// Who buys; none until somebody is known.
    pub customer: Option<String>,
    /// `payment`, `setup`, `subscription`.
    pub mode: String,
    /// `open`, `complete`, `expired`.
    pub status: String,
    /// Only `paid` says that the money is there.
    pub payment_status: String,
    /// The payment that it makes.
    pub payment: Option<String>,
    /// What is paid in all, in minor units.
    pub total: Option<i64>,
    /// Lower-case ISO code.
    pub currency: Option<String>,
    /// When it was made.
    pub created: i64,
    /// What was attached to it.
    pub metadata: Metadata,
}

/// `charge`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// `ch_...`
    pub id: String,
    /// Which payment's.
    pub payment: Option<String>,
    /// Who paid.
    pub customer: Option<String>,
    /// In minor units.
    pub amount: i64,
    /// What of it was given back so far: cumulative.
    pub refunded: i64,
    /// Lower-case ISO code.
    pub currency: String,
}

/// `refund`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refund {
    /// `re_...`
    pub id: String,
    /// Which payment's.
    pub payment: Option<String>,
    /// In minor units.
    pub amount: i64,
    /// `succeeded`, `pending`, `failed`, `canceled`, ...
    pub status: String,
}

/// `dispute`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dispute {
    /// `du_...` or `dp_...`
    pub id: String,
    /// Which payment is disputed.
    pub payment: Option<String>,
    /// How much of it, in minor units.
    pub amount: i64,
    /// `needs_response`, `under_review`, `won`, `lost`, `warning_...`, or what there may be one day.
    pub status: String,
}

/// A warning or a review: a mark on a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// `issfr_...`, `prv_...`
    pub id: String,
    /// On which payment.
    pub payment: Option<String>,
    /// Nothing has to be done about it any more, in favour of the payer.
    pub cleared: bool,
}

/// `invoice`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invoice {
    /// `in_...`
    pub id: String,
    /// Who has to pay.
    pub customer: String,
    /// `draft`, `open`, `paid`, `uncollectible`, `void`.
    pub status: String,
    /// How often payment was tried.
    pub attempts: i64,
    /// For which subscription.
    pub subscription: Option<String>,
    /// What is to be paid in money, in minor units.
    pub due: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// The clock of a test that it lives by.
    pub test_clock: Option<String>,
}

/// `subscription`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// `sub_...`
    pub id: String,
    /// Whose.
    pub customer: String,
    /// `active`, `trialing`, `past_due`, ...
    pub status: String,
    /// Its invoices are not collected for now; the status does not say so.
    pub collection_paused: bool,
    /// The clock of a test that it lives by.
    pub test_clock: Option<String>,
}

/// `customer`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// `cus_...`
    pub id: String,
    /// What was attached to it.
    pub metadata: Metadata,
    /// It is no more.
    pub deleted: bool,
}

/// The types of events that tell something: what an endpoint has to send, and what is made up for. What is not listed is none of the gate's business.
pub const HEARD: [&str; 29] = [
    "billing.credit_grant.created",
    "billing.credit_grant.updated",
    "billing.credit_balance_transaction.created",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "payment_intent.succeeded",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "radar.early_fraud_warning.created",
    "review.opened",
    "review.closed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.overdue",
    "invoice.marked_uncollectible",
    "invoice.voided",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
];

/// What an event tells; nothing where it is of no kind that matters, or thin.
pub fn told(event: &Event) -> Result<Option<Telling>, Unreadable> {
    let Body::Snapshot(object) = &event.body else {
        return Ok(None);
    };
    if !is_heard(&event.kind) {
        return Ok(None);
    }
    Ok(read(object)?.map(|fact| Telling {
        fact,
        at: event.created,
        by: event.kind.clone(),
    }))
}

/// Whether events of this type are listened to.
pub fn is_heard(kind: &str) -> bool {
    HEARD.contains(&kind)
}

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
        "charge" => Fact::Charge(charge(Object::new(value, "charge"))?),
        "refund" => Fact::Refund(refund(Object::new(value, "refund"))?),
        "dispute" => Fact::Dispute(dispute(Object::new(value, "dispute"))?),
        "radar.early_fraud_warning" => Fact::Warning(warning(Object::new(value, "early fraud warning"))?),
        "review" => Fact::Review(review(Object::new(value, "review"))?),
        "invoice" => Fact::Invoice(invoice(Object::new(value, "invoice"))?),
        "subscription" => Fact::Subscription(subscription(Object::new(value, "subscription"))?),
        "customer" => Fact::Customer(customer(Object::new(value, "customer"), value)?),
        _ => return Ok(None),
    }))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn metadata(value: &Value) -> Metadata {
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
        total: o.maybe_number("amount_total")?,
        currency: owned(o.maybe_text("currency")?),
        created: o.number("created")?,
        metadata: metadata(value),
    })
}

fn charge(o: Object<'_>) -> Result<Charge, Unreadable> {
    Ok(Charge {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        customer: owned(o.maybe_id("customer")?),
        amount: o.number("amount")?,
        refunded: o.number("amount_refunded")?,
        currency: o.text("currency")?.to_owned(),
    })
}

fn refund(o: Object<'_>) -> Result<Refund, Unreadable> {
    Ok(Refund {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        amount: o.number("amount")?,
        status: o.maybe_text("status")?.unwrap_or("pending").to_owned(),
    })
}

fn dispute(o: Object<'_>) -> Result<Dispute, Unreadable> {
    Ok(Dispute {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        amount: o.number("amount")?,
        status: o.text("status")?.to_owned(),
    })
}

fn warning(o: Object<'_>) -> Result<Mark, Unreadable> {
    Ok(Mark {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        // One that nothing can be done about any more was refunded or disputed already, which is heard of by itself; it clears nobody.
        cleared: false,
    })
}

fn review(o: Object<'_>) -> Result<Mark, Unreadable> {
    let approved = o.maybe_text("closed_reason")? == Some("approved");
    Ok(Mark {
        id: o.id("id")?.to_owned(),
        payment: owned(o.maybe_id("payment_intent")?),
        cleared: !o.flag("open")? && approved,
    })
}

fn invoice(o: Object<'_>) -> Result<Invoice, Unreadable> {
    Ok(Invoice {
        id: o.id("id")?.to_owned(),
        customer: o.id("customer")?.to_owned(),
        status: o.maybe_text("status")?.unwrap_or("draft").to_owned(),
        attempts: o.maybe_number("attempt_count")?.unwrap_or(0),
        subscription: owned(o.maybe_id("parent/subscription_details/subscription")?),
        due: o.maybe_number("amount_due")?.unwrap_or(0),
        currency: o.text("currency")?.to_owned(),
        test_clock: owned(o.maybe_id("test_clock")?),
    })
}

fn subscription(o: Object<'_>) -> Result<Subscription, Unreadable> {
    Ok(Subscription {
        id: o.id("id")?.to_owned(),
        customer: o.id("customer")?.to_owned(),
        status: o.text("status")?.to_owned(),
        collection_paused: o.has("pause_collection"),
        test_clock: owned(o.maybe_id("test_clock")?),
    })
}

fn customer(o: Object<'_>, value: &Value) -> Result<Customer, Unreadable> {
    Ok(Customer {
        id: o.id("id")?.to_owned(),
        metadata: metadata(value),
        deleted: o.flag("deleted")?,
    })
}

#[cfg(test)]
mod tests;
