//! `[stripe.usage]`.

use std::sync::Arc;
use std::time::Duration;

use super::super::section::{Section, within};
use super::super::units::secs;
use crate::domain::credits::Credits;

/// The longest name of an event; Stripe's limit.
const NAME_MAX: usize = 100;

const EVENT: &str = "The event name of the meter at Stripe that counts micro-credits (millionths of a credit), its aggregation a sum.";
const INVOICE_AT: &str = "Credits: usage of so many that is on no invoice yet is invoiced before its period ends. Set on the metered items of subscriptions. Absent: what Stripe has stays.";
const EVERY: &str = "How often what was used is reported.";

/// What was used is reported to a meter at Stripe, so that grants are applied to invoices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage {
    /// The meter's event name, 1 to 100 characters.
    pub event_name: Arc<str>,
    /// How often, 1 second to 1 hour.
    pub every: Duration,
    /// So much usage is invoiced before its period ends; above zero.
    pub invoice_at: Option<Credits>,
}

pub(super) fn read(s: &Section<'_>) -> Option<Usage> {
    let name = s.text_or("event_name", EVENT, "faregate_credits");
    let often = within(
        secs(1),
        secs(3_600),
        "usage that comes after an invoice was finalized is on none",
    );
    let every = s.duration("every", EVERY, secs(60), often);
    let at_least = within(
        Credits::whole(1),
        Credits::MAX,
        "Stripe makes 20 such invoices at most for a subscription and day",
    );
    let invoice_at = s.credits("invoice_at", INVOICE_AT, at_least);
    let name = name?;
    let length = name.value.chars().count();
    if length == 0 || length > NAME_MAX {
        s.problem(
            &name.place,
            format!("has {length} characters"),
            "take the meter's event_name: 1 to 100 characters",
        );
        return None;
    }
    Some(Usage {
        event_name: name.value.into(),
        every,
        invoice_at,
    })
}
