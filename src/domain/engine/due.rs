//! What time does to grants: they start, they expire; and how spending is dealt out to them.
//!
//! Admit and capture only move the account's counters. Spending since the last look is dealt to grants here, in burn order, whenever the set of active
//! grants is about to change. Among a fixed set the order is fixed, so this gives what dealing out each charge at once would have given.

use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, EntryKind};
use crate::domain::grant::{Grant, GrantState};
use crate::domain::hold::Hold;
use crate::domain::time::Timestamp;

use super::draft::Draft;

/// Starts and expires what is due, in the order of time, and deals out spending. Cheap when nothing is due: see [`is_due`].
pub(super) fn apply(draft: &mut Draft<'_>) {
    deal(draft, |_| true);
    while let Some(index) = next(draft) {
        match draft.grants()[index].state {
            GrantState::Pending => start(draft, index, &Detail::none()),
            _ => expire(draft, index),
        }
    }
    refresh(draft);
}

/// Something is due at the draft's time.
pub(super) fn is_due(draft: &Draft<'_>) -> bool {
    draft.account.next_due <= draft.now
}

/// Recomputes what the account's record says of its grants.
pub(super) fn refresh(draft: &mut Draft<'_>) {
    let grants = draft.grants();
    let next_due = grants
        .iter()
        .map(Grant::next_due)
        .min()
        .unwrap_or(Timestamp::NEVER);
    let ending = grants.iter().any(|g| g.state == GrantState::Ending);
    draft.account.next_due = next_due;
    draft.account.ending = ending;
}

/// The grant whose start or end is due first: by time; starts before ends; then in burn order.
fn next(draft: &mut Draft<'_>) -> Option<usize> {
    let now = draft.now;
    let due = draft
        .grants()
        .iter()
        .enumerate()
        .filter(|(_, g)| g.next_due() <= now && g.state != GrantState::Ended);
    due.min_by_key(|(i, g)| (g.next_due(), g.state != GrantState::Pending, *i))
        .map(|(i, _)| i)
}

/// A pending grant becomes effective; it counts in `granted` from now on, and what was spent without cover is dealt to it.
pub(super) fn start(draft: &mut Draft<'_>, index: usize, detail: &Detail) {
    let grant = &mut draft.grants()[index];
    grant.state = GrantState::Active;
    let (id, amount) = (grant.facts.id.clone(), grant.facts.amount);
    draft.account.granted = draft.account.granted.saturating_add(amount);
    draft.entry(EntryKind::Grant, id.as_str(), amount, Credits::ZERO, detail);
    deal(draft, |_| true);
}

/// An active grant expires: what is neither spent nor held goes; what is held stays until its holds end.
fn expire(draft: &mut Draft<'_>, index: usize) {
    let held = draft.account.gauge.held;
    let grant = &mut draft.grants()[index];
    grant.state = GrantState::Ending;
    grant.guarded = held;
    lose_unguarded(draft, index);
}

/// Takes from an ending grant what no hold from before its end covers any more.
fn lose_unguarded(draft: &mut Draft<'_>, index: usize) {
    let held = draft.account.gauge.held.min(draft.grants()[index].guarded);
    let kept = share(draft.grants(), index, held);
    let grant = &mut draft.grants()[index];
    let lost = grant.remaining().saturating_sub(kept);
    grant.expired = grant.expired.saturating_add(lost);
    if grant.remaining().is_zero() {
        grant.state = GrantState::Ended;
    }
    if !lost.is_zero() {
        let id = grant.facts.id.clone();
        draft.account.expired = draft.account.expired.saturating_add(lost);
        draft.entry(
            EntryKind::Expire,
            id.as_str(),
            lost,
            Credits::ZERO,
            &Detail::none(),
        );
    }
}

/// How much of `held` lies on the grant at `index` when it is laid on grants in burn order, as if it were spent.
fn share(grants: &[Grant], index: usize, held: Credits) -> Credits {
    let before = grants[..index]
        .iter()
        .filter(|g| g.is_open())
        .map(Grant::remaining)
        .sum();
    held.saturating_sub(before)
        .at_least_zero()
        .min(grants[index].remaining())
}

/// Deals out what is not dealt yet, in burn order, to the open grants that `may` take it. What finds no grant stays undealt, for the next one that comes.
pub(super) fn deal(draft: &mut Draft<'_>, may: impl Fn(&Grant) -> bool) {
    let mut left = draft.account.undealt();
    if left.is_zero() {
        return;
    }
    for grant in draft.grants().iter_mut().filter(|g| g.is_open() && may(g)) {
        let drawn = left.min(grant.remaining());
        grant.drawn = grant.drawn.saturating_add(drawn);
        left = left.saturating_sub(drawn);
        if grant.remaining().is_zero() {
            grant.state = GrantState::Ended;
        }
    }
    draft.account.dealt = draft
        .account
        .spent
        .saturating_add(draft.account.taken)
        .saturating_sub(left);
}

/// A hold ended while grants are ending: its charge is dealt only to grants that it may use (not to one that expired before it was opened), and what it alone
/// kept alive goes. `freed` is what it held until now, counted as when it was opened.
pub(super) fn after_hold(draft: &mut Draft<'_>, hold: &Hold, freed: Credits) {
    let predates = |g: &Grant| g.state != GrantState::Ending || hold.opened_at < g.facts.expires_at;
    deal(draft, predates);
    for index in 0..draft.grants().len() {
        let grant = &mut draft.grants()[index];
        if grant.state == GrantState::Ending {
            if predates(grant) {
                grant.guarded = grant.guarded.saturating_sub(freed).at_least_zero();
            }
            lose_unguarded(draft, index);
        }
    }
    refresh(draft);
}
