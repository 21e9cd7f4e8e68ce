//! Why an account is not charged, in words.

use serde::{Deserialize, Serialize};

/// Why nothing is bought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Why.
    pub why: Why,
    /// Since when, in seconds since the epoch.
    pub since: i64,
    /// Until when; [`i64::MAX`]: until the customer does something.
    pub until: i64,
}

/// Why nothing is bought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The card's bank says no.
    Declined,
    /// It says that it will go on to.
    CardRefused,
    /// It wants the customer to be there.
    AuthenticationRequired,
    /// There is no card.
    NoCard,
    /// What the customer asked for is no longer sold like that.
    PackChanged,
    /// Stripe does not take the charge.
    Refused,
    /// There are as many grants at Stripe as there may be.
    TooManyGrants,
    /// The caps on charges are reached.
    Cap,
    /// Money was given back, or is disputed: charging again what was just given back is nobody's wish.
    TakenBack,
    /// It is being bought.
    UnderWay,
}

impl Why {
    /// A word for programs, and a sentence for the customer.
    pub fn said(self) -> (&'static str, &'static str) {
        match self {
            Why::Declined => (
                "declined",
                "your card was declined: buy a pack yourself, with another card or when this one is good again",
            ),
            Why::CardRefused => (
                "card_refused",
                "your card's bank says that this card will not do: buy a pack yourself, with another card",
            ),
            Why::AuthenticationRequired => (
                "authentication_required",
                "your bank wants you to confirm the payment yourself: buy a pack on its payment page, and automatic top-ups go on",
            ),
            Why::NoCard => (
                "no_card",
                "there is no card to charge: buy a pack yourself, and its card is kept for automatic top-ups",
            ),
            Why::PackChanged => (
                "pack_changed",
                "the pack or its price has changed since you asked for it: set it again",
            ),
            Why::Refused => (
                "refused",
                "the payment provider does not take the charge: buy a pack yourself, or ask whoever you buy from",
            ),
            Why::TooManyGrants => (
                "too_many_grants",
                "too many purchases are not used up in your books at the payment provider: it goes on when some are invoiced",
            ),
            Why::Cap => (
                "cap_reached",
                "as many automatic top-ups as are allowed were made: buy a pack yourself",
            ),
            Why::TakenBack => (
                "taken_back",
                "a payment of yours was refunded or is disputed, so your card is not charged by itself: buy a pack yourself, and set it again",
            ),
            Why::UnderWay => ("under_way", "a pack is being bought: ask again in a moment"),
        }
    }
}
