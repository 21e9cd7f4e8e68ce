//! What the scripts answer, as outcomes of commands.

use super::codes::{self, Code};
use super::layout::{self, Layout, Record};
use crate::domain::command::{Admit, Command, Outcome, Receipt};
use crate::domain::credits::Credits;
use crate::domain::ids::HoldId;
use crate::domain::key::Caller;
use crate::domain::refusal::{Refusal, Scope, Window};
use crate::domain::time::{Span, Timestamp};

/// What an operation's answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It was decided; after it the partition's journal stands at this entry at least.
    Decided(Outcome, Option<u64>),
    /// The account's grants are needed.
    Full,
    /// The gauge of the hold's key is needed; the digest of the key's id.
    OtherKey(Vec<u8>),
    /// The record of this hold is needed, which has the claim.
    OtherHold(HoldId),
    /// The partition has no record.
    Lost,
    /// Of another epoch or generation.
    Stamp,
    /// The journal ends before an entry that was seen.
    WentBack,
    /// A record is not what was written; which.
    Damaged(String),
    /// Nothing was written; Redis' error.
    Failed(String),
}

/// Credits of a number from the store; what is out of range was refused when it was read.
pub(super) fn credits(micros: i64) -> Credits {
    Credits::from_micros(micros).unwrap_or(Credits::ZERO)
}

/// Reads the answer to a command.
pub(super) fn read(bytes: &[u8], command: &Command) -> Answer {
    let unreadable = || {
        Answer::Damaged(format!(
            "the script's answer cannot be read: {} bytes",
            bytes.len()
        ))
    };
    let Some((first, rest)) = bytes.split_first() else {
        return unreadable();
    };
    if *first <= codes::LINE_MAX {
        return line(bytes, command).unwrap_or_else(unreadable);
    }
    let text = || String::from_utf8_lossy(rest).into_owned();
    let refused =
        |refusal: Option<Refusal>| refusal.map(|refusal| Answer::Decided(Outcome::Refused(refusal), None));
    let answer = match Code::of(*first) {
        Some(Code::Applied) => done(bytes, Outcome::Applied),
        Some(Code::Replayed) => done(bytes, Outcome::Replayed),
        Some(Code::Refused) => refused(codes::refusal(*first)),
        Some(Code::RateLimited) => refused(rate_limited(bytes)),
        Some(Code::TooManyConcurrent) => refused(too_many(bytes, command)),
        Some(Code::SpendLimitReached) => refused(spend_limit(bytes, command)),
        Some(Code::InsufficientCredits) => refused(insufficient(bytes)),
        Some(Code::OtherHold) => hold_id(rest).map(Answer::OtherHold),
        Some(Code::InProgress) => refused(hold_id(rest).map(|request| Refusal::InProgress { request })),
        Some(Code::AlreadyCharged) => {
            refused(hold_id(rest).map(|request| Refusal::AlreadyCharged { request }))
        }
        Some(Code::ClaimConflict) => refused(hold_id(rest).map(|request| Refusal::ClaimConflict { request })),
        Some(Code::Lost) => Some(Answer::Lost),
        Some(Code::Stamp) => Some(Answer::Stamp),
        Some(Code::WentBack) => Some(Answer::WentBack),
        Some(Code::Full) => Some(Answer::Full),
        Some(Code::OtherKey) => Some(Answer::OtherKey(rest.to_vec())),
        Some(Code::Damaged) => Some(Answer::Damaged(text())),
        Some(Code::Failed) => Some(Answer::Failed(text())),
        None => None,
    };
    answer.unwrap_or_else(unreadable)
}

fn hold_id(bytes: &[u8]) -> Option<HoldId> {
    bytes.try_into().ok().map(HoldId::from_bytes)
}

fn record<'a>(layout: &'static Layout, bytes: &'a [u8]) -> Option<Record<'a>> {
    layout.read_all(bytes)
}

/// A line of the journal that the command wrote is its answer: what it does not say, the command does.
fn line(bytes: &[u8], command: &Command) -> Option<Answer> {
    let line = record(&layout::ENTRY, bytes)?;
    let time = Timestamp::from_micros(line.number("time"));
    let (amount, expires_at) = match command {
        Command::Admit(Admit { ttl, .. }) => (credits(line.number("amount")), time.plus(*ttl)),
        Command::Capture(capture) => (capture.used, Timestamp::NEVER),
        Command::Release(_) => (Credits::ZERO, Timestamp::NEVER),
        _ => (credits(line.number("amount")), Timestamp::NEVER),
    };
    let receipt = Receipt {
        time,
        amount,
        available: credits(line.number("available")),
        expires_at,
    };
    Some(Answer::Decided(
        Outcome::Applied(receipt),
        Some(line.count("seq")),
    ))
}

fn done(bytes: &[u8], outcome: fn(Receipt) -> Outcome) -> Option<Answer> {
    let done = record(&layout::DONE, bytes)?;
    let receipt = Receipt {
        time: Timestamp::from_micros(done.number("time")),
        amount: credits(done.number("amount")),
        available: credits(done.number("available")),
        expires_at: Timestamp::from_micros(done.number("expires_at")),
    };
    Some(Answer::Decided(outcome(receipt), Some(done.count("seq"))))
}

fn scope(record: &Record<'_>) -> Scope {
    if record.number("scope") == 0 {
        Scope::Account
    } else {
        Scope::Key
    }
}

fn rate_limited(bytes: &[u8]) -> Option<Refusal> {
    let refusal = record(&layout::RATE_LIMITED, bytes)?;
    Some(Refusal::RateLimited {
        scope: scope(&refusal),
        retry_after: Span::from_micros(refusal.number("wait")),
    })
}

/// The caps that a command came with.
fn caller(command: &Command) -> Option<&Caller> {
    match command {
        Command::Admit(c) => Some(&c.caller),
        Command::Extend(c) => Some(&c.caller),
        _ => None,
    }
}

fn too_many(bytes: &[u8], command: &Command) -> Option<Refusal> {
    let refusal = record(&layout::TOO_MANY, bytes)?;
    let (scope, caller) = (scope(&refusal), caller(command)?);
    let limits = if scope == Scope::Account {
        &caller.limits
    } else {
        &caller.key_limits
    };
    Some(Refusal::TooManyConcurrent {
        scope,
        limit: limits.concurrent?,
    })
}

fn spend_limit(bytes: &[u8], command: &Command) -> Option<Refusal> {
    let refusal = record(&layout::SPEND_LIMIT, bytes)?;
    let (scope, caller) = (scope(&refusal), caller(command)?);
    let limits = if scope == Scope::Account {
        &caller.limits
    } else {
        &caller.key_limits
    };
    let now = Timestamp::from_micros(refusal.number("now"));
    let (window, limit, resets_at) = if refusal.number("window") == 0 {
        (Window::Day, limits.spend_per_day?, now.next_day())
    } else {
        (Window::Month, limits.spend_per_month?, now.next_month())
    };
    Some(Refusal::SpendLimitReached {
        scope,
        window,
        limit,
        spent: credits(refusal.number("spent")),
        resets_at,
    })
}

fn insufficient(bytes: &[u8]) -> Option<Refusal> {
    let refusal = record(&layout::INSUFFICIENT, bytes)?;
    Some(Refusal::InsufficientCredits {
        available: credits(refusal.number("available")),
        required: credits(refusal.number("required")),
    })
}
