//! Why a request does not go through.

use crate::domain::ids::Reason;
use crate::domain::refusal::Refusal;
use crate::ledger::LedgerError;
use crate::service::plans::Opens;

/// A request that is not let through, and why. Which answer this makes is decided in one place, `proxy::rescue`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denial {
    /// The key is unknown, revoked or expired; which of them is nobody's business.
    InvalidKey,
    /// The account is paused, for these reasons.
    AccountPaused(Vec<Reason>),
    /// The account's plan does not open this route; what would.
    NotEntitled(Option<Opens>),
    /// The ledger answered no. Never [`Refusal::Stale`] nor [`Refusal::KeyExpired`], which are dealt with before.
    Refused(Refusal),
    /// The ledger did not answer: nothing was charged, nothing is let through.
    Failed(LedgerError),
    /// Too many requests are under way, or wait to be settled.
    Overloaded,
}
