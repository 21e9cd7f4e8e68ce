//! The numbers that Rust and the scripts exchange, each named once: operations, states, and what an answer's first byte says.

use crate::domain::entry::EntryKind;
use crate::domain::grant::{Category, GrantState};
use crate::domain::hold::HoldState;
use crate::domain::refusal::Refusal;

/// What an operation asks for; its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    Admit = 1,
    Extend = 2,
    Renew = 3,
    Capture = 4,
    Release = 5,
    Expire = 6,
    Create = 7,
    Pause = 8,
    Resume = 9,
    Plan = 10,
    Limits = 11,
    /// Of a script that knows only one.
    Other = 12,
}

/// Names of [`Ask`] in the scripts (`O.admit`).
pub(super) const ASKS: &[(&str, Ask)] = &[
    ("admit", Ask::Admit),
    ("extend", Ask::Extend),
    ("renew", Ask::Renew),
    ("capture", Ask::Capture),
    ("release", Ask::Release),
    ("expire", Ask::Expire),
    ("create", Ask::Create),
    ("pause", Ask::Pause),
    ("resume", Ask::Resume),
    ("plan", Ask::Plan),
    ("limits", Ask::Limits),
];

/// Why the sweep visits a hold; names in the scripts as operations have (`O.forget`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Visit {
    /// It was opened since the last pass.
    Examine = 1,
    /// Its opening is so long ago that it may be forgotten.
    Forget = 2,
    /// Its time has come.
    Revisit = 3,
}

/// Names of [`Visit`] in the scripts.
pub(super) const VISITS: &[(&str, Visit)] = &[
    ("examine", Visit::Examine),
    ("forget", Visit::Forget),
    ("revisit", Visit::Revisit),
];

/// Holds' states, as stored and as named in the scripts (`S.captured`).
pub(super) const HOLD_STATES: &[(&str, u8, HoldState)] = &[
    ("open", 0, HoldState::Open),
    ("captured", 1, HoldState::Captured),
    ("released", 2, HoldState::Released),
    ("expired", 3, HoldState::Expired),
];

/// Grants' states, as stored and as named in the scripts.
pub(super) const GRANT_STATES: &[(&str, u8, GrantState)] = &[
    ("pending", 0, GrantState::Pending),
    ("active", 1, GrantState::Active),
    ("ending", 2, GrantState::Ending),
    ("ended", 3, GrantState::Ended),
];

/// Categories, as stored and as named in the scripts; promotional ones burn first.
pub(super) const CATEGORIES: &[(&str, u8, Category)] = &[
    ("promotional", 0, Category::Promotional),
    ("paid", 1, Category::Paid),
];

/// What an answer is, where it is not a line of the journal (whose first byte is its kind, at most [`LINE_MAX`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Applied,
    Replayed,
    /// A refusal without numbers; which, see [`Code::refusal`].
    Refused,
    RateLimited,
    TooManyConcurrent,
    SpendLimitReached,
    InsufficientCredits,
    /// The partition has no record: the store has lost its history, or is another one.
    Lost,
    /// The partition is of another epoch or generation than the caller thinks.
    Stamp,
    /// The caller has seen a later entry of the partition's journal than is there.
    WentBack,
    /// The operation needs the account's grants: ask again by the full script.
    Full,
    /// The gauge of another key is needed; its digest follows.
    OtherKey,
    /// The record of the hold that has the claim is needed; its id follows.
    OtherHold,
    /// Another request has the claim and is under way; its id follows.
    InProgress,
    /// Another request had the claim and was charged; its id follows.
    AlreadyCharged,
    /// Another request has or had the claim, for something else; its id follows.
    ClaimConflict,
    /// A record is not what was written; a text says which.
    Damaged,
    /// The journal did not take the entries; Redis' error follows.
    Failed,
}

/// The largest first byte of a line of the journal.
pub(super) const LINE_MAX: u8 = 31;

/// Name in the scripts (`R.stale` as a string of one byte, `N.stale` as a number), number, what it is.
pub(super) const CODES: &[(&str, u8, Code)] = &[
    ("applied", 32, Code::Applied),
    ("replayed", 33, Code::Replayed),
    ("rate_limited", 34, Code::RateLimited),
    ("too_many_concurrent", 35, Code::TooManyConcurrent),
    ("spend_limit_reached", 36, Code::SpendLimitReached),
    ("insufficient_credits", 37, Code::InsufficientCredits),
    ("in_progress", 38, Code::InProgress),
    ("already_charged", 39, Code::AlreadyCharged),
    ("lost", 40, Code::Lost),
    ("stamp", 41, Code::Stamp),
    ("went_back", 42, Code::WentBack),
    ("full", 43, Code::Full),
    ("other_key", 44, Code::OtherKey),
    ("damaged", 45, Code::Damaged),
    ("failed", 46, Code::Failed),
    ("other_hold", 47, Code::OtherHold),
    ("claim_conflict", 48, Code::ClaimConflict),
    ("unknown_account", 64, Code::Refused),
    ("unknown_hold", 65, Code::Refused),
    ("hold_ended", 66, Code::Refused),
    ("id_conflict", 67, Code::Refused),
    ("too_old", 68, Code::Refused),
    ("stale", 69, Code::Refused),
    ("key_expired", 70, Code::Refused),
    ("unknown_key", 71, Code::Refused),
    ("outdated", 72, Code::Refused),
    ("charge_out_of_range", 80, Code::Refused),
    ("amount_out_of_range", 81, Code::Refused),
    ("priority_out_of_range", 82, Code::Refused),
    ("grants_out_of_range", 83, Code::Refused),
    ("total_out_of_range", 84, Code::Refused),
    ("adjustment_out_of_range", 85, Code::Refused),
    ("id_length_out_of_range", 86, Code::Refused),
    ("reasons_out_of_range", 87, Code::Refused),
    ("keys_out_of_range", 88, Code::Refused),
    ("void_out_of_range", 89, Code::Refused),
    ("from_out_of_range", 90, Code::Refused),
];

impl Code {
    /// What the first byte of an answer says.
    pub(super) fn of(byte: u8) -> Option<Code> {
        CODES
            .iter()
            .find(|(_, number, _)| *number == byte)
            .map(|(.., code)| *code)
    }
}

/// The refusal that has no numbers, by the answer's first byte.
pub(super) fn refusal(byte: u8) -> Option<Refusal> {
    Some(match byte {
        64 => Refusal::UnknownAccount,
        65 => Refusal::UnknownHold,
        66 => Refusal::HoldEnded,
        67 => Refusal::IdConflict,
        68 => Refusal::TooOld,
        69 => Refusal::Stale,
        70 => Refusal::KeyExpired,
        71 => Refusal::UnknownKey,
        72 => Refusal::Outdated,
        80 => Refusal::OutOfRange("the charge"),
        81 => Refusal::OutOfRange("the grant's amount"),
        82 => Refusal::OutOfRange("the grant's priority"),
        83 => Refusal::OutOfRange("the number of grants"),
        84 => Refusal::OutOfRange("the account's grants in total"),
        85 => Refusal::OutOfRange("the adjustment's amount"),
        86 => Refusal::OutOfRange("the length of the idempotency key"),
        87 => Refusal::OutOfRange("the number of reasons"),
        88 => Refusal::OutOfRange("the number of keys"),
        89 => Refusal::OutOfRange("the void's amount"),
        90 => Refusal::OutOfRange("the grant of what is given"),
        _ => return None,
    })
}

/// The number of a state or category in a table.
pub(super) fn number_of<T: Copy + PartialEq>(table: &[(&str, u8, T)], value: T) -> u8 {
    table
        .iter()
        .find(|(.., v)| *v == value)
        .map_or(u8::MAX, |(_, number, _)| *number)
}

/// The state or category of a number in a table.
pub(super) fn value_of<T: Copy>(table: &[(&str, u8, T)], number: i64) -> Option<T> {
    table
        .iter()
        .find(|(_, n, _)| i64::from(*n) == number)
        .map(|(.., value)| *value)
}

/// Kinds of entries, as named in the scripts (`E.hold`).
pub(super) fn entry_kinds() -> impl Iterator<Item = (&'static str, u8)> {
    EntryKind::ALL.iter().map(|(_, code, name)| (*name, *code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_unique_and_every_refusal_is_known() {
        let numbers: BTreeSet<_> = CODES.iter().map(|(_, n, _)| *n).collect();
        assert_eq!(numbers.len(), CODES.len());
        for (name, number, code) in CODES {
            assert_eq!(refusal(*number).is_some(), *code == Code::Refused, "{name}");
            assert!(*number > LINE_MAX);
        }
        assert!(entry_kinds().all(|(_, code)| code <= LINE_MAX));
    }
}
