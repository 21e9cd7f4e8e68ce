//! What an object says that matters here, as values, whether it came in an event or as an answer of the API.

mod read;
mod setup;

use std::collections::BTreeMap;

use super::event::{Body, Event};
pub use super::object::Unreadable;
pub use read::read;
pub use setup::{Card, Setup, card};

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
    /// A payment method that is being verified.
    Setup(Setup),
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
    /// Usage that was not counted.
    Report(Report),
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
    /// Its newest charge.
    pub charge: Option<String>,
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
    /// What verifies a payment method, in mode `setup`.
    pub setup: Option<String>,
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
    /// When it was made.
    pub created: i64,
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
    /// When it was made.
    pub created: i64,
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
    /// When it was opened.
    pub created: i64,
}

/// A warning or a review: a mark on a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// `issfr_...`, `prv_...`
    pub id: String,
    /// On which payment.
    pub payment: Option<String>,
    /// On which charge.
    pub charge: Option<String>,
    /// Nothing has to be done about it any more, in favour of the payer.
    pub cleared: bool,
    /// It is over, whatever came of it.
    pub closed: bool,
    /// When it was raised.
    pub created: i64,
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
    /// What is to be paid in money, before taxes, in minor units.
    pub due: i64,
    /// When it was made.
    pub created: i64,
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
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Its invoices are not collected for now; the status does not say so.
    pub collection_paused: bool,
    /// Those of its items that are billed by a meter; the first page of them.
    pub items: Vec<Item>,
    /// The clock of a test that it lives by.
    pub test_clock: Option<String>,
}

/// `subscription_item`, of a price that a meter counts for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// `si_...`
    pub id: String,
    /// Usage of so much is invoiced before the period ends, in what the meter counts.
    pub invoice_at: Option<i64>,
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

/// What Stripe could not use of what was reported as used: `v2.core.event` of a meter, which shows it only when it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// `evt_...`
    pub id: String,
    /// Why not, each with an example of what it says.
    pub errors: Vec<UsageError>,
}

/// Some usage that was not counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageError {
    /// `meter_event_customer_not_found`, ...
    pub code: String,
    /// How many reports.
    pub count: i64,
    /// What is said of one of them, and by which identifier it was reported.
    pub sample: String,
}

/// The types of events that tell something: what an endpoint has to send, and what is made up for. What is not listed is none of the gate's business.
pub const HEARD: [&str; 33] = [
    "billing.credit_grant.created",
    "billing.credit_grant.updated",
    "billing.credit_balance_transaction.created",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "payment_intent.succeeded",
    "setup_intent.succeeded",
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
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.overdue",
    "invoice.marked_uncollectible",
    "invoice.voided",
    "customer.created",
    "customer.updated",
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

/// Whether thin events of this type tell of usage that was not counted.
pub fn is_report(kind: &str) -> bool {
    kind.starts_with("v1.billing.meter.")
}

/// Whether events of this type are listened to.
pub fn is_heard(kind: &str) -> bool {
    HEARD.contains(&kind)
}

#[cfg(test)]
mod tests;
