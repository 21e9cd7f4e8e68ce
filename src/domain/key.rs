//! An API key as the ledger keeps it, and what a key identifies.

use std::sync::Arc;

use super::credits::Credits;
use super::ids::{AccountId, KeyDigest, KeyId, PlanId, Reason};
use super::limits::{Gauge, Limits};
use super::time::Timestamp;

/// The most keys an account may have, revoked ones included.
pub const KEYS_MAX: usize = 1_000;

/// A credential of an account. Only the digest of the key itself is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its public name.
    pub id: KeyId,
    /// Digest of the key.
    pub digest: KeyDigest,
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// When it stops counting; [`Timestamp::NEVER`] for never.
    pub expires_at: Timestamp,
    /// When it was revoked. Final.
    pub revoked_at: Option<Timestamp>,
    /// Its own caps.
    pub limits: Limits,
    /// What of them is used up; kept only when there are caps.
    pub gauge: Gauge,
}

/// Everything about a caller that only a deliberate change can alter, as of [`Identity::version`]. May be cached: `admit` names the version it was decided on,
/// and the ledger answers [`super::refusal::Refusal::Stale`] when it is no longer the account's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The account the key belongs to; never changes.
    pub account: AccountId,
    /// The key's public name.
    pub key: KeyId,
    /// When the key stops counting.
    pub key_expires_at: Timestamp,
    /// When the key was revoked.
    pub key_revoked_at: Option<Timestamp>,
    /// The key's own caps.
    pub key_limits: Limits,
    /// The account's plan.
    pub plan: Option<PlanId>,
    /// Why the account is paused; empty when it is not.
    pub reasons: Vec<Reason>,
    /// The account's own caps, which go before its plan's.
    pub limits: Limits,
    /// Rises with each change of the account's settings or keys.
    pub version: u64,
}

/// A caller as `admit` takes it: an identity that was found good, with the caps and the credit line that count for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Whose credits.
    pub account: AccountId,
    /// Through which key.
    pub key: KeyId,
    /// When the key stops counting.
    pub key_expires_at: Timestamp,
    /// The key's caps.
    pub key_limits: Limits,
    /// The account's caps, plan included.
    pub limits: Limits,
    /// How far below zero available may go; zero without a credit line.
    pub credit_line: Credits,
    /// The version of the identity this was decided on.
    pub version: u64,
}
