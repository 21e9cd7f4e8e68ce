//! The life of a hold: admit, extend, renew; capture or release; expiry.

use crate::domain::claim;
use crate::domain::command::{Admit, Capture, Extend, HOLD_ID_SKEW, Release, Renew};
use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, EntryKind};
use crate::domain::hold::{Hold, HoldState, OnExpiry};
use crate::domain::ids::HoldId;
use crate::domain::key::Caller;
use crate::domain::limits::{Demand, Limits};
use crate::domain::refusal::{Refusal, Scope};
use crate::domain::time::Timestamp;

use super::draft::Draft;
use super::{Step, due};

/// `holder` is the last hold that was opened under the key that this one claims.
pub(super) fn admit(mut draft: Draft<'_>, admit: &Admit, holder: Option<&Hold>) -> Step {
    let claim = admit.claim.as_ref().filter(|_| !admit.most.is_zero());
    if let Some(first) = draft.book.holds.get(&admit.hold) {
        return repeated(draft, first, admit);
    }
    let skew = (draft.now.millis() - admit.hold.millis()).abs();
    if skew > HOLD_ID_SKEW.micros() / 1_000 {
        return draft.refuse(Refusal::TooOld);
    }
    if let Err(refusal) = still_counts(&draft, &admit.caller) {
        return draft.refuse(refusal);
    }
    if let Some(refusal) = claim.and_then(|claim| claim::taken(claim, holder, draft.now)) {
        return draft.refuse(refusal);
    }
    if due::is_due(&draft) {
        due::apply(&mut draft);
    }
    if let Err(refusal) = pass_rates(&mut draft, admit) {
        return draft.refuse(refusal);
    }
    if admit.most.is_zero() {
        let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
        return draft.applied(receipt);
    }
    let least = at_least_one(admit.least);
    let amount = match affordable(&draft, &admit.caller, least) {
        Ok(room) => room.min(admit.most.max(least)),
        // Rates were counted in the draft's gauges only.
        Err(refusal) => return forget_rates(draft).refuse(refusal),
    };
    draft.account.gauge.open(amount);
    if let Some(key) = &mut draft.key {
        key.gauge.open(amount);
    }
    let expires_at = draft.now.plus(admit.ttl);
    draft.hold = Some(Hold {
        id: admit.hold,
        account: admit.caller.account.clone(),
        key: admit.caller.key.clone(),
        state: HoldState::Open,
        amount,
        opened: amount,
        charged: Credits::ZERO,
        opened_at: draft.now,
        expires_at,
        number: draft.account.entries + 1,
        extensions: 0,
        available: draft.account.available(),
        content: admit.content(),
        claim: claim.copied().map(Box::new),
    });
    draft.entry(
        EntryKind::Hold,
        &admit.hold.to_string(),
        amount,
        Credits::ZERO,
        &admit.detail,
    );
    let receipt = draft.receipt(amount, expires_at);
    draft.applied(receipt)
}

/// The first answer again.
fn repeated(draft: Draft<'_>, first: &Hold, admit: &Admit) -> Step {
    if first.content != admit.content() {
        return draft.refuse(Refusal::IdConflict);
    }
    let mut receipt = draft.receipt(first.opened, first.expires_at);
    (receipt.time, receipt.available) = (first.opened_at, first.available);
    draft.replayed(receipt)
}

/// What the caller was judged on is still so, and the key's time is not over.
fn still_counts(draft: &Draft<'_>, caller: &Caller) -> Result<(), Refusal> {
    if caller.version != draft.account.version {
        return Err(Refusal::Stale);
    }
    if draft.now >= caller.key_expires_at {
        return Err(Refusal::KeyExpired);
    }
    Ok(())
}

/// Rate and concurrency: the account's caps, then the key's. A key without caps keeps no gauge.
fn pass_rates(draft: &mut Draft<'_>, admit: &Admit) -> Result<(), Refusal> {
    let demand = Demand {
        tokens: admit.tokens,
        least: admit.most,
    };
    let mut gauge = draft.account.gauge;
    gauge.pass(&admit.caller.limits, Scope::Account, demand, draft.now)?;
    let mut key = None;
    if admit.caller.key_limits != Limits::NONE {
        key = draft.book.keys.get(&admit.caller.key).cloned();
        if let Some(key) = &mut key {
            key.gauge
                .pass(&admit.caller.key_limits, Scope::Key, demand, draft.now)?;
        }
    }
    (draft.account.gauge, draft.key) = (gauge, key);
    Ok(())
}

fn forget_rates(mut draft: Draft<'_>) -> Draft<'_> {
    draft.account.gauge = draft.book.account.gauge;
    draft.key = None;
    draft
}

/// The most that may be held: under the caps on spending, then under the balance; or which of them leaves less than `least`.
fn affordable(draft: &Draft<'_>, caller: &Caller, least: Credits) -> Result<Credits, Refusal> {
    let mut room = draft
        .account
        .gauge
        .room(&caller.limits, Scope::Account, least, draft.now)?;
    let key = draft.key.as_ref().or_else(|| draft.book.keys.get(&caller.key));
    if let Some(key) = key {
        room = room.min(key.gauge.room(&caller.key_limits, Scope::Key, least, draft.now)?);
    }
    let within_range = Credits::MAX.saturating_sub(draft.account.gauge.held);
    let available = draft.account.available().saturating_add(caller.credit_line);
    let available = available.min(within_range);
    if available < least {
        return Err(Refusal::InsufficientCredits {
            available,
            required: least,
        });
    }
    Ok(room.min(available))
}

/// A priced request needs at least one micro-credit: nobody starts at zero.
fn at_least_one(least: Credits) -> Credits {
    least.max(Credits::MICRO)
}

pub(super) fn extend(mut draft: Draft<'_>, extend: &Extend) -> Step {
    let Some(hold) = draft.book.holds.get(&extend.hold) else {
        return draft.refuse(Refusal::UnknownHold);
    };
    if hold.state != HoldState::Open {
        return draft.refuse(Refusal::HoldEnded);
    }
    if extend.number == hold.extensions && extend.number > 0 {
        let receipt = draft.receipt(hold.amount, hold.expires_at);
        return draft.replayed(receipt);
    }
    if extend.number != hold.extensions + 1 {
        return draft.refuse(Refusal::IdConflict);
    }
    if let Err(refusal) = still_counts(&draft, &extend.caller) {
        return draft.refuse(refusal);
    }
    if due::is_due(&draft) {
        due::apply(&mut draft);
    }
    let least = at_least_one(extend.least);
    let added = match affordable(&draft, &extend.caller, least) {
        Ok(room) => room.min(extend.most.max(least)),
        Err(refusal) => return draft.refuse(refusal),
    };
    let mut hold = hold.clone();
    hold.amount = hold.amount.saturating_add(added);
    hold.extensions = extend.number;
    hold.expires_at = draft.now.plus(extend.ttl);
    draft.account.gauge.held = draft.account.gauge.held.saturating_add(added);
    if extend.caller.key_limits != Limits::NONE {
        draft.key = draft.book.keys.get(&extend.caller.key).cloned();
    }
    if let Some(key) = &mut draft.key {
        key.gauge.held = key.gauge.held.saturating_add(added);
    }
    draft.entry(
        EntryKind::Extend,
        &hold.id.to_string(),
        added,
        Credits::ZERO,
        &Detail::none(),
    );
    if draft.account.ending {
        due::hold_extended(&mut draft, &hold, added);
    }
    let receipt = draft.receipt(hold.amount, hold.expires_at);
    draft.hold = Some(hold);
    draft.applied(receipt)
}

/// Renews an open hold; one that has run out too, as long as no sweep has ended it.
pub(super) fn renew(mut draft: Draft<'_>, renew: &Renew) -> Step {
    let Some(hold) = draft.book.holds.get(&renew.hold) else {
        return draft.refuse(Refusal::UnknownHold);
    };
    if hold.state != HoldState::Open {
        return draft.refuse(Refusal::HoldEnded);
    }
    let mut hold = hold.clone();
    hold.expires_at = hold.expires_at.max(draft.now.plus(renew.ttl));
    let receipt = draft.receipt(hold.amount, hold.expires_at);
    draft.hold = Some(hold);
    draft.applied(receipt)
}

pub(super) fn capture(mut draft: Draft<'_>, capture: &Capture) -> Step {
    let Some(hold) = draft.book.holds.get(&capture.hold) else {
        return draft.refuse(Refusal::UnknownHold);
    };
    match hold.state {
        HoldState::Open | HoldState::Expired => {}
        HoldState::Captured if hold.charged == capture.used => {
            let receipt = draft.receipt(hold.charged, Timestamp::NEVER);
            return draft.replayed(receipt);
        }
        HoldState::Captured => return draft.refuse(Refusal::IdConflict),
        HoldState::Released => return draft.refuse(Refusal::HoldEnded),
    }
    if due::is_due(&draft) {
        due::apply(&mut draft);
    }
    let account = &draft.account;
    let over = account.spent.checked_add(capture.used).is_none()
        || account.available().checked_sub(capture.used).is_none();
    if over || capture.used.is_negative() {
        return draft.refuse(Refusal::OutOfRange("the charge"));
    }
    let line = capture.caller.credit_line;
    end(
        draft,
        hold,
        HoldState::Captured,
        capture.used,
        line,
        &capture.detail,
    )
}

pub(super) fn release(draft: Draft<'_>, release: &Release) -> Step {
    let Some(hold) = draft.book.holds.get(&release.hold) else {
        return draft.refuse(Refusal::UnknownHold);
    };
    match hold.state {
        HoldState::Open | HoldState::Expired => {
            let line = release.caller.credit_line;
            end(
                draft,
                hold,
                HoldState::Released,
                Credits::ZERO,
                line,
                &release.detail,
            )
        }
        HoldState::Released => {
            let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
            draft.replayed(receipt)
        }
        HoldState::Captured => draft.refuse(Refusal::HoldEnded),
    }
}

/// Ends a hold that ran out. One that was renewed or settled meanwhile is left as it is.
pub(super) fn expire(draft: Draft<'_>, id: HoldId, on_expiry: OnExpiry) -> Step {
    let Some(hold) = draft.book.holds.get(&id) else {
        return draft.refuse(Refusal::UnknownHold);
    };
    if hold.state != HoldState::Open || hold.expires_at > draft.now {
        return draft.refuse(Refusal::HoldEnded);
    }
    let charge = match on_expiry {
        OnExpiry::Release => Credits::ZERO,
        OnExpiry::Capture => hold.amount,
    };
    end(
        draft,
        hold,
        HoldState::Expired,
        charge,
        Credits::ZERO,
        &Detail::new(EXPIRED),
    )
}

/// The journal's note on a hold that time ended.
pub const EXPIRED: &str = r#"{"cause":"expired"}"#;

/// Ends an open hold, or corrects an expired one, with `charge` as its final charge.
fn end(
    mut draft: Draft<'_>,
    hold: &Hold,
    state: HoldState,
    charge: Credits,
    credit_line: Credits,
    detail: &Detail,
) -> Step {
    // What a correction gives back is not put back into grants; so the charge that it corrects must have been dealt, whoever looked in between.
    if due::is_due(&draft) || charge < hold.charged {
        due::apply(&mut draft);
    }
    let late = hold.state == HoldState::Expired;
    let freed = if late { Credits::ZERO } else { hold.amount };
    let spent = charge.saturating_sub(hold.charged);
    let short_before = shortfall(&draft, credit_line);
    draft.account.spent = draft.account.spent.saturating_add(spent);
    if draft
        .book
        .keys
        .get(&hold.key)
        .is_some_and(|key| key.limits != Limits::NONE)
    {
        draft.key = draft.book.keys.get(&hold.key).cloned();
    }
    let now = draft.now;
    let gauges = [
        Some(&mut draft.account.gauge),
        draft.key.as_mut().map(|key| &mut key.gauge),
    ];
    for gauge in gauges.into_iter().flatten() {
        if !late {
            gauge.close(freed);
        }
        gauge.spend(spent, now);
    }
    let below = shortfall(&draft, credit_line)
        .saturating_sub(short_before)
        .at_least_zero();
    let exceptions = &mut draft.account.exceptions;
    let cause = if late {
        &mut exceptions.late
    } else {
        &mut exceptions.overrun
    };
    *cause = cause.saturating_add(below);
    let kind = if charge.is_zero() && state != HoldState::Captured {
        EntryKind::Release
    } else {
        EntryKind::Capture
    };
    if !(late && spent.is_zero()) {
        draft.entry(kind, &hold.id.to_string(), spent, freed, detail);
    }
    // After the entry: what expires with the hold is told of in entries of its own. (A late capture changes nothing for ending grants.)
    if draft.account.ending && !late {
        due::hold_ended(&mut draft, hold, freed, charge);
    }
    draft.hold = Some(Hold {
        state,
        charged: charge,
        expires_at: now,
        ..hold.clone()
    });
    let receipt = draft.receipt(charge, Timestamp::NEVER);
    draft.applied(receipt)
}

/// By how much available lies below the floor.
fn shortfall(draft: &Draft<'_>, credit_line: Credits) -> Credits {
    draft
        .account
        .available()
        .saturating_add(credit_line)
        .negated()
        .at_least_zero()
}
