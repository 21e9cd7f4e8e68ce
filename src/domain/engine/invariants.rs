//! The law: what holds for every account at every instant (`I1` .. `I6`), checkable on any book.

use std::borrow::Borrow;
use std::fmt;

use crate::domain::account::Balance;
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::grant::{Grant, GrantState};
use crate::domain::hold::{Hold, HoldState};
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;

use super::Book;

/// Which law was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvariantId {
    /// `granted = available + held + spent + expired + voided`, all within range.
    I1,
    /// None of held, spent, expired, voided is negative; held and the number of open holds are those of the open holds.
    I2,
    /// Available is not below the floor, but for named exceptions.
    I3,
    /// A hold's charge and state agree.
    I4,
    /// The journal, folded, gives the live balance.
    I5,
    /// The grants' parts add up to the account's counters, and what ending grants keep lies under holds from before their end.
    I6,
}

/// A law that does not hold, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub id: InvariantId,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.id, self.what)
    }
}

/// All laws on one book; `credit_line` is the lowest floor that ever counted for it.
pub fn check(book: &Book, credit_line: Credits) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut law = |id, holds: bool, what: fmt::Arguments<'_>| {
        if !holds {
            found.push(Violation {
                id,
                what: what.to_string(),
            });
        }
    };
    let account = &book.account;
    let balance = account.balance();
    let Balance {
        granted,
        held,
        spent,
        expired,
        voided,
    } = balance;
    let sum = [balance.available(), held, spent, expired, voided]
        .iter()
        .map(|c| i128::from(c.micros()))
        .sum::<i128>();
    law(
        InvariantId::I1,
        sum == i128::from(granted.micros()),
        format_args!("{balance:?} does not add up"),
    );

    let negative = [held, spent, expired, voided].iter().any(|c| c.is_negative());
    law(
        InvariantId::I2,
        !negative,
        format_args!("a part is negative: {balance:?}"),
    );
    check_holds(book, &mut law);
    check_keys(book, &mut law);

    let exceptions = &account.exceptions;
    let named = exceptions
        .overrun
        .saturating_add(exceptions.late)
        .saturating_add(exceptions.clawback);
    let floor = credit_line.saturating_add(named).negated();
    law(
        InvariantId::I3,
        balance.available() >= floor,
        format_args!("available {} < {floor}", balance.available()),
    );

    check_charges(book, &mut law);
    check_grants(book, &mut law);
    check_ending(book, &mut law);
    check_numbers(book, &mut law);
    found
}

/// What the account counts of its open holds is what they are.
fn check_holds(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    let (held, count) = (book.account.gauge.held, book.account.gauge.open);
    let open: Vec<_> = book
        .holds
        .values()
        .filter(|h| h.state == HoldState::Open)
        .collect();
    let open_sum: Credits = open.iter().map(|h| h.amount).sum();
    law(
        InvariantId::I2,
        open_sum == held,
        format_args!("held is {held}, open holds have {open_sum}"),
    );
    law(
        InvariantId::I2,
        open.len() as u64 == count,
        format_args!("{count} open holds counted, {} there", open.len()),
    );
}

/// A key with caps counts its own open holds; one without counts nothing.
fn check_keys(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    for key in book.keys.values() {
        let of_key = |h: &&Hold| h.state == HoldState::Open && h.key == key.id && key.limits != Limits::NONE;
        let open = || book.holds.values().filter(of_key);
        let held: Credits = open().map(|h| h.amount).sum();
        law(
            InvariantId::I2,
            (open().count() as u64, held) == (key.gauge.open, key.gauge.held),
            format_args!("key {} has {:?}, its open holds {held}", key.id, key.gauge),
        );
    }
}

fn check_charges(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    for hold in book.holds.values() {
        let charge_fits = match hold.state {
            HoldState::Open | HoldState::Released => hold.charged.is_zero(),
            HoldState::Captured => !hold.charged.is_negative(),
            HoldState::Expired => hold.charged.is_zero() || hold.charged == hold.amount,
        };
        law(
            InvariantId::I4,
            charge_fits,
            format_args!("hold {} is {:?} with {}", hold.id, hold.state, hold.charged),
        );
    }
}

fn check_grants(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    let account = &book.account;
    let started = || book.grants.values().filter(|g| g.has_started());
    let sum = |part: fn(&Grant) -> Credits| started().map(part).sum::<Credits>();
    let granted = sum(|g| g.facts.amount).saturating_sub(account.taken);
    law(
        InvariantId::I6,
        granted == account.granted,
        format_args!("grants say {granted} granted, not {}", account.granted),
    );
    for (name, by_grants, counted) in [
        ("expired", sum(|g| g.expired), account.expired),
        ("voided", sum(|g| g.voided), account.voided),
        ("dealt", sum(|g| g.drawn), account.dealt),
    ] {
        law(
            InvariantId::I6,
            by_grants == counted,
            format_args!("grants say {by_grants} {name}, the account {counted}"),
        );
    }
    for grant in book.grants.values().filter(|g| !g.has_started()) {
        let untouched = grant.remaining() == grant.facts.amount;
        law(
            InvariantId::I6,
            untouched,
            format_args!("a grant that never started was used: {grant:?}"),
        );
    }
    let next_due = book.grants.values().map(Grant::next_due).min();
    let next_due = next_due.unwrap_or(Timestamp::NEVER);
    law(
        InvariantId::I6,
        next_due == account.next_due,
        format_args!("next due is {:?}, not {next_due:?}", account.next_due),
    );
    let negative = book.grants.values().find(|g| g.remaining().is_negative());
    law(
        InvariantId::I6,
        negative.is_none(),
        format_args!("a grant is overdrawn: {negative:?}"),
    );
}

/// Every sum is one that a double still holds exactly.
fn check_numbers(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    let account = &book.account;
    let pending = book.grants.values().filter(|g| g.state == GrantState::Pending);
    let balance = account.balance();
    let exact = i128::from(balance.granted.micros())
        - [balance.held, balance.spent, balance.expired, balance.voided]
            .iter()
            .map(|c| i128::from(c.micros()))
            .sum::<i128>();
    let lifetime = i128::from(account.granted.micros())
        + i128::from(account.taken.micros())
        + pending.map(|g| i128::from(g.facts.amount.micros())).sum::<i128>();
    for (name, sum) in [("available", exact), ("granted in total", lifetime)] {
        law(
            InvariantId::I1,
            sum.abs() <= i128::from(Credits::MAX.micros()),
            format_args!("{name} is out of range: {sum}"),
        );
    }
}

/// What ending grants keep lies under the holds that were open when they ended.
fn check_ending(book: &Book, law: &mut impl FnMut(InvariantId, bool, fmt::Arguments<'_>)) {
    let mut ending: Vec<_> = book
        .grants
        .values()
        .filter(|g| g.state == GrantState::Ending)
        .collect();
    ending.sort_by_key(|grant| grant.guarded);
    law(
        InvariantId::I6,
        ending.is_empty() != book.account.ending,
        format_args!("ending is {}, of {ending:?}", book.account.ending),
    );
    let open = || book.holds.values().filter(|h| h.state == HoldState::Open);
    let mut kept = Credits::ZERO;
    for grant in ending {
        let under = open().filter(|hold| hold.number <= grant.ended);
        let held: Credits = under.map(|hold| hold.amount).sum();
        kept = kept.saturating_add(grant.remaining());
        law(
            InvariantId::I6,
            held == grant.guarded && !grant.remaining().is_zero(),
            format_args!("an ending grant lies under {held}: {grant:?}"),
        );
        law(
            InvariantId::I6,
            kept <= held,
            format_args!("{kept} is kept for holds of {held}: {grant:?}"),
        );
    }
}

/// Folds an account's journal and compares it with the live balance (I5); `entries` are all of the account's, in order, as values or by reference.
pub fn check_journal(balance: Balance, entries: impl Iterator<Item = impl Borrow<Entry>>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut folded = Balance::default();
    let (mut number, mut previous) = (0, 0);
    for entry in entries {
        let entry = entry.borrow();
        folded = folded.after(entry);
        if entry.number != number + 1 || entry.previous != previous {
            let what = format!("entry {} is number {} after {number}", entry.seq, entry.number);
            found.push(Violation {
                id: InvariantId::I5,
                what,
            });
        }
        if folded.available() != entry.available {
            let what = format!(
                "entry {} says {} available, its history {}",
                entry.seq,
                entry.available,
                folded.available()
            );
            found.push(Violation {
                id: InvariantId::I5,
                what,
            });
        }
        (number, previous) = (entry.number, entry.seq);
    }
    if folded != balance {
        found.push(Violation {
            id: InvariantId::I5,
            what: format!("live {balance:?}, journal {folded:?}"),
        });
    }
    found
}
