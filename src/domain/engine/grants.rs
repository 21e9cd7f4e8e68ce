//! Grants told of from outside, and corrections by hand.

use crate::domain::command::Receipt;
use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, EntryKind};
use crate::domain::grant::{Category, Grant, GrantFacts, GrantState, LIVE_GRANTS_MAX, PRIORITY_MAX};
use crate::domain::ids::{CommandId, GrantId};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

use super::draft::Draft;
use super::{CommandRecord, Step, due};

pub(super) fn put(mut draft: Draft<'_>, facts: &GrantFacts, detail: &Detail) -> Step {
    due::apply(&mut draft);
    // What is due may have moved the grant on since the book was read.
    let live = draft.grants().iter().find(|g| g.facts.id == facts.id).cloned();
    let known = live.or_else(|| draft.book.grants.get(facts.id.as_str()).cloned());
    let merged = known
        .as_ref()
        .map_or_else(|| facts.clone(), |grant| merge(grant, facts));
    let repeated = known.as_ref().is_some_and(|grant| grant.facts == merged);
    let counts = !repeated && merged.voided_at.is_none() && merged.expires_at > draft.now;
    let voided = known
        .as_ref()
        .filter(|grant| grant.facts.voided_at.is_none() && merged.voided_at.is_some());
    let objection = objection(&mut draft, known.as_ref(), facts, counts)
        .or_else(|| voided.and_then(|grant| cannot_void(&draft, grant)));
    if let Some(refusal) = objection {
        return draft.refuse(refusal);
    }
    if repeated {
        let receipt = receipt(&draft);
        return draft.replayed(receipt);
    }
    let voided = voided.is_some();
    let mut grant = known.unwrap_or_else(|| Grant::new(facts.clone()));
    grant.facts = merged;
    let (entry, amount) = if voided {
        void(&mut draft, &mut grant)
    } else {
        date(&mut draft, &mut grant)
    };
    insert(&mut draft, grant);
    draft.entry(entry, facts.id.as_str(), amount, Credits::ZERO, detail);
    due::apply(&mut draft);
    let receipt = receipt(&draft);
    draft.applied(receipt)
}

/// Why this cannot be said of a grant; `counts` when its credits can be spent now or later if it is.
fn objection(
    draft: &mut Draft<'_>,
    known: Option<&Grant>,
    facts: &GrantFacts,
    counts: bool,
) -> Option<Refusal> {
    if known.is_some_and(|grant| grant.facts.amount != facts.amount) {
        return Some(Refusal::IdConflict);
    }
    if facts.amount <= Credits::ZERO {
        return Some(Refusal::OutOfRange("the grant's amount"));
    }
    if facts.priority > PRIORITY_MAX {
        return Some(Refusal::OutOfRange("the grant's priority"));
    }
    let counted = known.is_some_and(|grant| grant.state == GrantState::Pending || grant.has_started());
    if counts && !counted {
        return no_room(draft, facts.amount);
    }
    None
}

/// Why the account cannot have one more grant of this amount.
fn no_room(draft: &mut Draft<'_>, amount: Credits) -> Option<Refusal> {
    let live = draft.grants().iter().filter(|g| g.state != GrantState::Ended);
    if live.count() >= LIVE_GRANTS_MAX {
        return Some(Refusal::OutOfRange("the number of grants"));
    }
    let pending = draft.grants().iter().filter(|g| g.state == GrantState::Pending);
    let promised: Credits = pending.map(|g| g.facts.amount).sum();
    let total = draft.account.lifetime().saturating_add(promised);
    if total.checked_add(amount).is_none() {
        return Some(Refusal::OutOfRange("the account's grants in total"));
    }
    None
}

/// Why what is unspent of a grant cannot go: under open holds an account may owe all that a number can say already.
fn cannot_void(draft: &Draft<'_>, grant: &Grant) -> Option<Refusal> {
    let left = draft.account.available().checked_sub(unspent(grant));
    left.is_none().then_some(Refusal::OutOfRange("the void's amount"))
}

/// What a void takes of a grant.
fn unspent(grant: &Grant) -> Credits {
    if grant.is_open() {
        grant.remaining()
    } else {
        Credits::ZERO
    }
}

/// Of two tellings the newer counts (of two of the same date the first), but a void is final whichever says it, and a grant that has started keeps its start.
fn merge(known: &Grant, told: &GrantFacts) -> GrantFacts {
    let newer = if told.updated_at > known.facts.updated_at {
        told
    } else {
        &known.facts
    };
    GrantFacts {
        effective_at: if known.has_started() {
            known.facts.effective_at
        } else {
            newer.effective_at
        },
        voided_at: known.facts.voided_at.or(told.voided_at),
        ..newer.clone()
    }
}

/// Ends a grant early: what is unspent goes, also from under open holds.
fn void(draft: &mut Draft<'_>, grant: &mut Grant) -> (EntryKind, Credits) {
    let amount = unspent(grant);
    let available = draft.account.available();
    grant.voided = grant.voided.saturating_add(amount);
    grant.end();
    draft.account.voided = draft.account.voided.saturating_add(amount);
    clawed_back(draft, available);
    (EntryKind::Void, amount)
}

/// Applies a grant's dates: it starts if it is time, and comes back if it expired too early.
fn date(draft: &mut Draft<'_>, grant: &mut Grant) -> (EntryKind, Credits) {
    let now = draft.now;
    let over = grant.facts.expires_at <= now;
    match grant.state {
        // Told of only after its end: it was never effective here.
        GrantState::Pending if over || grant.facts.voided_at.is_some() => grant.end(),
        GrantState::Pending if grant.facts.effective_at <= now => {
            grant.state = GrantState::Active;
            draft.account.granted = draft.account.granted.saturating_add(grant.facts.amount);
            return (EntryKind::Grant, grant.facts.amount);
        }
        GrantState::Ending | GrantState::Ended if !over && grant.facts.voided_at.is_none() => {
            return (EntryKind::Grant, revive(draft, grant));
        }
        _ => {}
    }
    (EntryKind::Grant, Credits::ZERO)
}

/// A grant's end was moved past now after it had expired here: what expired comes back.
fn revive(draft: &mut Draft<'_>, grant: &mut Grant) -> Credits {
    if !grant.has_started() {
        grant.state = GrantState::Pending;
        return Credits::ZERO;
    }
    let back = grant.expired;
    grant.expired = Credits::ZERO;
    (grant.guarded, grant.ended) = (Credits::ZERO, 0);
    if !grant.remaining().is_zero() {
        grant.state = GrantState::Active;
    }
    draft.account.expired = draft.account.expired.saturating_sub(back);
    back.negated()
}

/// Counts what a void or an adjustment took below zero.
fn clawed_back(draft: &mut Draft<'_>, available_before: Credits) {
    let before = available_before.negated().at_least_zero();
    let after = draft.account.available().negated().at_least_zero();
    let exceptions = &mut draft.account.exceptions;
    exceptions.clawback = exceptions
        .clawback
        .saturating_add(after.saturating_sub(before).at_least_zero());
}

/// Puts a grant into the draft's live grants, at its place in burn order.
fn insert(draft: &mut Draft<'_>, grant: Grant) {
    let grants = draft.grants();
    grants.retain(|g| g.facts.id != grant.facts.id);
    grants.push(grant);
    grants.sort_by(Grant::burns_before);
}

pub(super) fn adjust(
    mut draft: Draft<'_>,
    id: &CommandId,
    amount: Credits,
    from: Option<&GrantId>,
    detail: &Detail,
) -> Step {
    if let Some(first) = draft.book.commands.get(id) {
        let (same, receipt) = (first.amount == amount, first.receipt);
        return if same {
            draft.replayed(receipt)
        } else {
            draft.refuse(Refusal::IdConflict)
        };
    }
    // The grant that carries a gift has its own name; a longer command id would not fit.
    let Ok(grant_id) = GrantId::new(&format!("adjust:{id}")) else {
        return draft.refuse(Refusal::OutOfRange("the length of the idempotency key"));
    };
    let given = amount > Credits::ZERO;
    if given && from.is_some() {
        return draft.refuse(Refusal::OutOfRange("the grant of what is given"));
    }
    if given && draft.book.grants.contains_key(grant_id.as_str()) {
        return draft.refuse(Refusal::IdConflict);
    }
    due::apply(&mut draft);
    let objection = if given {
        no_room(&mut draft, amount)
    } else {
        cannot_take(&draft, amount)
    };
    if let Some(refusal) = objection {
        return draft.refuse(refusal);
    }
    let available = draft.account.available();
    draft.account.granted = draft.account.granted.saturating_add(amount);
    if given {
        let mut grant = Grant::new(gift(grant_id, amount, draft.now));
        grant.state = GrantState::Active;
        insert(&mut draft, grant);
    } else {
        draft.account.taken = draft.account.taken.saturating_sub(amount);
        clawed_back(&mut draft, available);
        if let Some(grant) = from {
            due::take_from(&mut draft, grant, amount.negated());
        }
    }
    draft.entry(EntryKind::Adjust, id.as_str(), amount, Credits::ZERO, detail);
    due::apply(&mut draft);
    let receipt = receipt(&draft);
    draft.command = Some((id.clone(), CommandRecord { amount, receipt }));
    draft.applied(receipt)
}

/// Why `amount`, which is not above zero, cannot be taken.
fn cannot_take(draft: &Draft<'_>, amount: Credits) -> Option<Refusal> {
    let account = &draft.account;
    let sums = [account.available(), account.granted, account.taken.negated()];
    let in_range = sums.iter().all(|sum| sum.checked_add(amount).is_some());
    (amount.is_zero() || !in_range).then_some(Refusal::OutOfRange("the adjustment's amount"))
}

/// Credits given by hand burn last and never expire.
fn gift(id: GrantId, amount: Credits, now: Timestamp) -> GrantFacts {
    GrantFacts {
        id,
        amount,
        priority: PRIORITY_MAX,
        category: Category::Promotional,
        effective_at: now,
        expires_at: Timestamp::NEVER,
        created_at: now,
        updated_at: now,
        voided_at: None,
        note: None,
    }
}

pub(super) fn apply_due(mut draft: Draft<'_>) -> Step {
    due::apply(&mut draft);
    let receipt = receipt(&draft);
    draft.applied(receipt)
}

fn receipt(draft: &Draft<'_>) -> Receipt {
    draft.receipt(Credits::ZERO, Timestamp::NEVER)
}
