//! `[stripe.top_up]`.

use super::super::section::{Section, within};

const PER_DAY: &str = "The most charges of an account in any 24 hours.";
const PER_MONTH: &str = "The most charges of an account in any 30 days.";

/// Customers may have a pack bought when their credits run low. What one account is charged at most; what the customer sets may be less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopUp {
    /// Charges in any 24 hours: 1 to 100.
    pub charges_per_day: u32,
    /// Charges in any 30 days: 1 to 500.
    pub charges_per_month: u32,
}

pub(super) fn read(s: &Section<'_>) -> Option<TopUp> {
    let many = "many small charges cost more than few large ones: sell a larger pack";
    let day = s.integer("charges_per_day", PER_DAY, 3, within(1, 100, many));
    let month = s.integer("charges_per_month", PER_MONTH, 20, within(1, 500, many));
    if day > month {
        s.problem(
            &s.place_or("charges_per_day"),
            format!("is more than charges_per_month, {month}, which is then the only cap"),
            "take less, or more in a month",
        );
    }
    Some(TopUp {
        charges_per_day: u32::try_from(day).ok()?,
        charges_per_month: u32::try_from(month).ok()?,
    })
}
