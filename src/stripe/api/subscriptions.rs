//! Subscriptions: what ends the access that they paid for, and when they are billed.

use super::{BadCall, Call, Form, Key, Metadata, listing};

/// `GET /v1/subscriptions/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_subscription(subscription: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "subscriptions", subscription], Form::new())
}

/// `GET /v1/subscriptions?customer=&status=all`: a customer's subscriptions, those that ended too, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_subscriptions(customer: &str) -> Result<Call, BadCall> {
    let form = listing().put("customer", customer).put("status", "all");
    Call::get(&["v1", "subscriptions"], form)
}

/// `GET /v1/subscriptions`: of all customers, those that were not canceled, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_living_subscriptions() -> Result<Call, BadCall> {
    Call::get(&["v1", "subscriptions"], listing())
}

/// What becomes of a subscription's invoices. Its status stays as it is whichever is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Collection {
    /// They stay drafts: nothing is collected now, but may be later.
    KeepAsDraft,
    /// They are not collected and count as lost.
    MarkUncollectible,
    /// They are not owed.
    Void,
    /// They are collected again.
    Resume,
}

/// From when on something is billed before its period is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threshold {
    /// From so much on.
    From(i64),
    /// Never.
    Never,
}

/// What of a subscription is changed; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionChange<'a> {
    /// Whether its invoices are collected.
    pub collection: Option<Collection>,
    /// From which amount on it is billed, in minor units, 50 at least. The amount counts after credits: while they cover all it never is.
    pub amount_gte: Option<Threshold>,
    /// Whether it ends with its period.
    pub cancel_at_period_end: Option<bool>,
    /// What it is paid with; Stripe takes this one before the customer's.
    pub default_payment_method: Option<&'a str>,
    /// What else is attached.
    pub metadata: Metadata,
}

/// `POST /v1/subscriptions/{id}`.
///
/// # Errors
/// The id is none, the threshold is below 50, or the metadata would be refused.
pub fn update_subscription(
    subscription: &str,
    change: &SubscriptionChange<'_>,
    because: &str,
) -> Result<Call, BadCall> {
    let mut form = Form::new();
    form = match change.collection {
        None => form,
        Some(Collection::KeepAsDraft) => form.put("pause_collection[behavior]", "keep_as_draft"),
        Some(Collection::MarkUncollectible) => form.put("pause_collection[behavior]", "mark_uncollectible"),
        Some(Collection::Void) => form.put("pause_collection[behavior]", "void"),
        Some(Collection::Resume) => form.put("pause_collection", ""),
    };
    form = threshold(form, change.amount_gte, "amount_gte", 50)?;
    let form = form
        .maybe("cancel_at_period_end", change.cancel_at_period_end)
        .maybe("default_payment_method", change.default_payment_method)
        .metadata("metadata", &change.metadata)?;
    let key = Key::of("subscription-update", &[subscription, because]);
    Call::post(&["v1", "subscriptions", subscription], form, key)
}

fn threshold(form: Form, change: Option<Threshold>, what: &'static str, least: i64) -> Result<Form, BadCall> {
    match change {
        None => Ok(form),
        Some(Threshold::Never) => Ok(form.put("billing_thresholds", "")),
        Some(Threshold::From(from)) if from >= least => {
            Ok(form.put(format!("billing_thresholds[{what}]"), from))
        }
        Some(Threshold::From(from)) => Err(BadCall::Refused {
            what,
            found: from.to_string(),
            wanted: "50 minor units or more of an amount, 1 or more of usage",
        }),
    }
}

/// `DELETE /v1/subscriptions/{id}`: it ends now, and its invoices are not collected automatically any more. Nothing is paid back for the rest of its
/// period; with `invoice_now`, usage that is not billed yet is put on a last invoice. Asked again after it was done, it is refused as missing.
///
/// # Errors
/// The id is none.
pub fn cancel_subscription(subscription: &str, invoice_now: bool) -> Result<Call, BadCall> {
    let form = Form::new().maybe("invoice_now", invoice_now.then_some(true));
    Call::delete(&["v1", "subscriptions", subscription], form)
}

/// `POST /v1/subscriptions/{id}/pause`: its status becomes `paused`. Not for one on trial, with a schedule, or billed in classic mode; usage up to now
/// goes on its next invoice.
///
/// # Errors
/// The id is none.
pub fn pause_subscription(subscription: &str, because: &str) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("type", "subscription")
        .put("bill_for[outstanding_usage_through][type]", "now")
        .put("bill_for[unused_time_from][type]", "none")
        .put("invoicing_behavior", "pending_invoice_item");
    let key = Key::of("subscription-pause", &[subscription, because]);
    Call::post(&["v1", "subscriptions", subscription, "pause"], form, key)
}

/// `POST /v1/subscriptions/{id}/resume`: it goes on where it was, in the period that it was in, once it is paid.
///
/// # Errors
/// The id is none.
pub fn resume_subscription(subscription: &str, because: &str) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("billing_cycle_anchor[type]", "unchanged")
        .put("payment_behavior", "resume_on_payment_success")
        .put("proration_behavior", "none");
    let key = Key::of("subscription-resume", &[subscription, because]);
    Call::post(&["v1", "subscriptions", subscription, "resume"], form, key)
}

/// `POST /v1/subscription_items/{id}`: from which usage on it is billed before its period is over, in what its meter counts. One invoice a day is
/// nothing, but Stripe makes 20 at most per subscription and day.
///
/// # Errors
/// The id is none, or the threshold is below 1.
pub fn update_item_threshold(item: &str, usage_gte: Threshold, because: &str) -> Result<Call, BadCall> {
    let form = threshold(Form::new(), Some(usage_gte), "usage_gte", 1)?;
    let key = Key::of("item-update", &[item, because]);
    Call::post(&["v1", "subscription_items", item], form, key)
}
