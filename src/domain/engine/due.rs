//! What time does to grants: they start, they expire; and how spending is dealt out to them.
//!
//! Admit and capture only move the account's counters. Spending since the last look is dealt to grants here, in burn order, whenever the set of active
//! grants is about to change. Among a fixed set the order is fixed, so this gives what dealing out each charge at once would have given.
//!
//! **A grant that expires under open holds** is *ending*: it keeps what lies under them and loses the rest.
//! - At its end, all that is held is laid on the grants as if it were spent: on those that are ending already, then on active ones in burn order. Its
//!   share is what it keeps.
//! - It is used by the holds that were open at its end (their numbers are not above [`Grant::ended`]) and by nobody else: not by later holds, not by
//!   adjustments, not by a debt. Such a hold's charge is dealt to ending grants first, those that ended
//!   earlier before those that ended under more holds, those under the same holds in burn order; only then to active ones. What such a hold gains by an extension is under the same cover.
//! - [`Grant::guarded`] is what those holds hold now. What the ending grants keep never is more than that; whenever one of those holds ends, the rest goes.
//!
//! From this follows that the end of a hold, charged no more than it held, never lowers what is available, whatever expires with it; and that an expiry
//! takes no more than is available.

use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, EntryKind};
use crate::domain::grant::{Grant, GrantState};
use crate::domain::hold::Hold;
use crate::domain::ids::GrantId;
use crate::domain::time::Timestamp;

use super::draft::Draft;

/// Starts and expires what is due, in the order of time, and deals out spending. Cheap when nothing is due: see [`is_due`].
pub(super) fn apply(draft: &mut Draft<'_>) {
    deal(draft);
    while let Some(index) = next(draft) {
        match draft.grants()[index].state {
            GrantState::Pending => start(draft, index),
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
fn refresh(draft: &mut Draft<'_>) {
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
fn start(draft: &mut Draft<'_>, index: usize) {
    let grant = &mut draft.grants()[index];
    grant.state = GrantState::Active;
    let (id, amount) = (grant.facts.id.clone(), grant.facts.amount);
    draft.account.granted = draft.account.granted.saturating_add(amount);
    draft.entry(
        EntryKind::Grant,
        id.as_str(),
        amount,
        Credits::ZERO,
        &Detail::none(),
    );
    deal(draft);
}

/// An active grant expires: what is neither spent nor held goes; what is held stays until its holds end.
fn expire(draft: &mut Draft<'_>, index: usize) {
    let (held, ended) = (draft.account.gauge.held, draft.account.entries);
    let kept = held_on(draft, index);
    let grant = &mut draft.grants()[index];
    (grant.state, grant.guarded, grant.ended) = (GrantState::Ending, held, ended);
    lose(draft, index, kept);
}

/// What of all that is held lies on an active grant, if it were spent now.
fn held_on(draft: &mut Draft<'_>, index: usize) -> Credits {
    let held = draft.account.gauge.held;
    let lies_before = |(i, g): &(usize, &Grant)| match g.state {
        GrantState::Ending => true,
        GrantState::Active => *i < index,
        _ => false,
    };
    let before: Credits = draft
        .grants()
        .iter()
        .enumerate()
        .filter(lies_before)
        .map(|(_, g)| g.remaining())
        .sum();
    held.saturating_sub(before).at_least_zero()
}

/// Deals `amount`, which was just taken, to one grant, as far as it is active and has what is neither spent nor held; all that was spent before has
/// been dealt out.
pub(super) fn take_from(draft: &mut Draft<'_>, grant: &GrantId, amount: Credits) {
    let is_it = |g: &Grant| g.facts.id == *grant && g.state == GrantState::Active;
    let Some(index) = draft.grants().iter().position(is_it) else {
        return;
    };
    let held = held_on(draft, index);
    let grant = &mut draft.grants()[index];
    let free = grant.remaining().saturating_sub(held).at_least_zero();
    let drawn = grant.draw(amount.min(free));
    draft.account.dealt = draft.account.dealt.saturating_add(drawn);
}

/// Takes from an ending grant all but `kept` (or all that it has, if that is less).
fn lose(draft: &mut Draft<'_>, index: usize, kept: Credits) {
    let grant = &mut draft.grants()[index];
    let lost = grant.remaining().saturating_sub(kept).at_least_zero();
    grant.expired = grant.expired.saturating_add(lost);
    grant.end_if_empty();
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

/// Deals out what is not dealt yet to the active grants, in burn order. What finds no grant stays undealt, a debt, for the next one that comes.
fn deal(draft: &mut Draft<'_>) {
    let undealt = draft.account.undealt();
    if undealt.is_zero() {
        return;
    }
    let mut left = undealt;
    for grant in draft
        .grants()
        .iter_mut()
        .filter(|g| g.state == GrantState::Active)
    {
        left = left.saturating_sub(grant.draw(left));
    }
    let dealt = undealt.saturating_sub(left);
    draft.account.dealt = draft.account.dealt.saturating_add(dealt);
}

/// The indices of the ending grants, the earlier end first, those under the same holds in burn order.
///
/// Who was open at the earlier end and still is, was open at the later end too; and a hold has at least one micro-credit. So more guarded means ended under
/// more holds, and the order does not hang on when somebody noticed the ends.
fn ending(grants: &[Grant]) -> Vec<usize> {
    let is_ending = |i: &usize| grants[*i].state == GrantState::Ending;
    let mut indices: Vec<_> = (0..grants.len()).filter(is_ending).collect();
    indices.sort_by_key(|i| (grants[*i].guarded, *i));
    indices
}

/// An open hold of `freed` ended with `charge` while grants are ending: those that it was under pay first, and lose what no other hold covers.
pub(super) fn hold_ended(draft: &mut Draft<'_>, hold: &Hold, freed: Credits, charge: Credits) {
    let order = ending(draft.grants());
    let mut left = charge;
    for &index in &order {
        let grant = &mut draft.grants()[index];
        if hold.number <= grant.ended {
            left = left.saturating_sub(grant.draw(left));
            grant.guarded = grant.guarded.saturating_sub(freed);
        }
    }
    let dealt = charge.saturating_sub(left);
    draft.account.dealt = draft.account.dealt.saturating_add(dealt);
    deal(draft);
    let mut before = Credits::ZERO;
    for index in order {
        let kept = draft.grants()[index].guarded.saturating_sub(before);
        lose(draft, index, kept.at_least_zero());
        before = before.saturating_add(draft.grants()[index].remaining());
    }
    refresh(draft);
}

/// A hold was extended while grants are ending: those that it was under at their end stay under it.
pub(super) fn hold_extended(draft: &mut Draft<'_>, hold: &Hold, added: Credits) {
    let is_under = |g: &&mut Grant| g.state == GrantState::Ending && hold.number <= g.ended;
    for grant in draft.grants().iter_mut().filter(is_under) {
        grant.guarded = grant.guarded.saturating_add(added);
    }
}
