//! A hold: credits set aside for one request.

use super::claim::Claim;
use super::credits::Credits;
use super::ids::{AccountId, HoldId, KeyId};
use super::time::Timestamp;

/// How a hold stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoldState {
    /// Credits are set aside.
    Open,
    /// Ended with a charge.
    Captured,
    /// Ended without one.
    Released,
    /// Ended by time; nothing was charged, or (`on_expiry = "capture"`) all of it. A capture may still come, once.
    Expired,
}

/// What becomes of a hold that nobody settles in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnExpiry {
    /// The customer gets the credits back.
    #[default]
    Release,
    /// The customer is charged the whole hold.
    Capture,
}

/// A hold as the ledger keeps it. After its end it stays as a tombstone, for as long as ids are remembered, so that a repeat gets the first answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its id, which is the request's.
    pub id: HoldId,
    /// Whose credits.
    pub account: AccountId,
    /// Through which key.
    pub key: KeyId,
    /// How it stands.
    pub state: HoldState,
    /// Set aside now, or when it ended.
    pub amount: Credits,
    /// Set aside when it was opened.
    pub opened: Credits,
    /// Charged; zero unless captured (or expired with `on_expiry = "capture"`).
    pub charged: Credits,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends by itself unless renewed; once it has ended: when that was, or when its charge was last corrected.
    pub expires_at: Timestamp,
    /// The number of the entry that tells of its opening: which grants' ends it has seen.
    pub number: u64,
    /// Number of the last extension; 0 for none.
    pub extensions: u64,
    /// The account's available credits just after it was opened: part of the first answer.
    pub available: Credits,
    /// Digest of what it was opened with ([`super::command::Admit::content`]).
    pub content: u64,
    /// What it was opened with, where the store keeps that with the hold: the Redis one keeps it apart.
    pub claim: Option<Box<Claim>>,
}
