//! A claim: a client's word that a request is the same as others that it sends under one idempotency key, so that one of them is charged.
//!
//! The request that claims a key has it while its hold is open, and keeps it when it is charged. One that ends without a charge gives it back.

use super::command::HOLDS_REMEMBERED;
use super::hold::{Hold, HoldState};
use super::refusal::Refusal;
use super::time::{Span, Timestamp};

/// A claim lasts as long as its hold's id is remembered, and no longer than this after the request began: what is kept of it is bounded, also where a
/// stream goes on for days.
pub const CLAIM_LASTS: Span = Span::from_secs(24 * 3_600);

/// Digest of an idempotency key: the client's text is not stored. It counts within one account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClaimKey(pub [u8; 16]);

/// What a request claims.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    /// Under which key.
    pub key: ClaimKey,
    /// Digest of what is asked for: another one under the same key is refused.
    pub content: u64,
}

/// Why the claim of another request keeps this one out, if it does. `holder` is the last hold that was opened with its key.
pub(super) fn taken(claim: &Claim, holder: Option<&Hold>, now: Timestamp) -> Option<Refusal> {
    let holder = holder?;
    let first = holder.claim.as_deref()?;
    let remembered = now.since(holder.expires_at) <= HOLDS_REMEMBERED;
    let counts = match holder.state {
        HoldState::Open => true,
        HoldState::Captured => remembered,
        HoldState::Expired => remembered && !holder.charged.is_zero(),
        HoldState::Released => false,
    };
    if !counts || now.since(holder.opened_at) >= CLAIM_LASTS {
        return None;
    }
    let request = holder.id;
    Some(if first.content != claim.content {
        Refusal::ClaimConflict { request }
    } else if holder.state == HoldState::Open {
        Refusal::InProgress { request }
    } else {
        Refusal::AlreadyCharged { request }
    })
}
