//! One charge, and what becomes of it.

use serde::{Deserialize, Serialize};

use crate::stripe::facts::Metadata;

use super::super::memo::Amount;
use super::Why;

/// Stripe knows an idempotency key for at least a day, in seconds less an hour.
const KEYS_KNOWN: i64 = 23 * 3_600;

/// A call that was sent longer ago than this, in seconds, and has done nothing, will not do anything any more.
const ARRIVES_WITHIN: i64 = 600;

/// A charge that is under way, so that the very same can be asked for again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// Of account and number: its name at Stripe.
    pub attempt: String,
    /// In minor units.
    pub amount: i64,
    /// Of what.
    pub currency: String,
    /// What it buys.
    pub credits: Amount,
    /// Who pays.
    pub customer: String,
    /// With what.
    pub method: String,
    /// What the customer reads.
    pub description: String,
    /// What the payment bears.
    pub metadata: Metadata,
    /// When it was decided, in seconds since the epoch.
    pub at: i64,
    /// When Stripe was asked for it last, in seconds since the epoch; written before it is asked.
    #[serde(default)]
    pub asked_at: i64,
    /// The payment, once it is known to have been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// It is for what is owed, not for a pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owed: bool,
}

/// A charge that is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Past {
    /// When it was decided, in seconds since the epoch.
    pub at: i64,
    /// In minor units.
    pub amount: i64,
    /// Of what.
    pub currency: String,
    /// What it brought, or was to bring.
    pub credits: Amount,
    /// The money came.
    pub paid: bool,
    /// It was for what was owed, not for a pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owed: bool,
}

impl Charge {
    /// What becomes of it where Stripe has no payment for it yet; nothing is known while what was sent last may still arrive.
    pub fn unlisted(&self, now: i64, wanted: bool) -> Option<Came> {
        if wanted && now.saturating_sub(self.at) < KEYS_KNOWN {
            return Some(Came::Wanted);
        }
        let sent = now.saturating_sub(self.asked_at.max(self.at));
        (sent >= ARRIVES_WITHIN).then_some(Came::Dropped)
    }
}

/// What became of a charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Came {
    /// It was made: this payment.
    Made(String),
    /// It was refused.
    Refused(Why),
    /// It was not made so far, and is wanted still: the same is asked for.
    Wanted,
    /// It was not made, and will not be.
    Dropped,
}
