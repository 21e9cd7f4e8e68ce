//! The ledger answered no: why, in order of precedence. (When it did not answer, that is a failure, not a refusal.)

use super::credits::Credits;
use super::ids::HoldId;
use super::time::{Span, Timestamp};

/// Whose cap refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The account's (its own or its plan's).
    Account,
    /// The key's.
    Key,
}

/// Over which time a cap on spending counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The UTC day.
    Day,
    /// The UTC month.
    Month,
}

/// Why a command changed nothing (but for what was due). Listed in order of precedence: where several apply, the first is the answer; so a
/// repeat gets its first answer even when the caller has become stale since.
///
/// Of the caps on rate and concurrency the account's two come before the key's two. A refusal is not remembered: the same command may succeed later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The account does not exist.
    UnknownAccount,
    /// No such hold (it never was, or it ended longer ago than ids are remembered).
    UnknownHold,
    /// The hold has ended in another way than the command asks for; or it is not yet time to end it.
    HoldEnded,
    /// The same id came before with other content.
    IdConflict,
    /// A hold id that is too far from the store's clock to be new.
    TooOld,
    /// What was known of the caller has changed since (a key revoked, the account paused, a plan changed): identify again, then ask again.
    /// Never shown to a customer.
    Stale,
    /// The account has another version than the command was decided on: read it, decide again.
    Outdated,
    /// The key's time is over.
    KeyExpired,
    /// Another request under the same idempotency key is under way; heals as it ends.
    InProgress {
        /// Which.
        request: HoldId,
    },
    /// Another request under the same idempotency key was charged.
    AlreadyCharged {
        /// Which.
        request: HoldId,
    },
    /// Another request under the same idempotency key, under way or charged, asked for something else.
    ClaimConflict {
        /// Which.
        request: HoldId,
    },
    /// Too many requests or tokens in a minute; `retry_after` heals it.
    RateLimited {
        /// Whose cap.
        scope: Scope,
        /// How long to wait.
        retry_after: Span,
    },
    /// Too many open holds; heals as they end.
    TooManyConcurrent {
        /// Whose cap.
        scope: Scope,
        /// The cap.
        limit: u64,
    },
    /// A cap on spending; heals when the window ends.
    SpendLimitReached {
        /// Whose cap.
        scope: Scope,
        /// Over which time.
        window: Window,
        /// The cap.
        limit: Credits,
        /// Spent in the window, without what is held.
        spent: Credits,
        /// When the window ends.
        resets_at: Timestamp,
    },
    /// The balance (with the credit line) does not cover the least that the request needs.
    InsufficientCredits {
        /// What could have been held.
        available: Credits,
        /// What was needed.
        required: Credits,
    },
    /// No such key in this account.
    UnknownKey,
    /// An amount, a number of grants or of keys beyond what the ledger keeps; which.
    OutOfRange(&'static str),
}
