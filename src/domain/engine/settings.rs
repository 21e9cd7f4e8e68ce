//! Accounts, their settings and their keys. Every change raises the account's version, so that callers judged on the old one are judged again.

use std::sync::Arc;

use crate::domain::account::{Account, REASONS_MAX};
use crate::domain::command::{AccountChange, Command, NewKey};
use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, EntryKind};
use crate::domain::ids::{AccountId, KeyId};
use crate::domain::key::{KEYS_MAX, Key};
use crate::domain::limits::Gauge;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

use super::draft::Draft;
use super::{Book, Step};

/// A command on an account that is not there: only creating one makes sense.
pub(super) fn create(id: &AccountId, command: &Command, seq: u64, now: Timestamp) -> Step {
    let (plan, expected, detail) = match command {
        Command::SetAccount {
            change: AccountChange::Create(plan),
            expected,
            detail,
            ..
        } => (Some(plan.clone()), *expected, detail.clone()),
        _ => (None, None, Detail::none()),
    };
    let book = Book::new(Account::new(id.clone(), plan.clone().flatten(), now));
    let mut draft = Draft::new(&book, seq, now);
    if plan.is_none() {
        return draft.refuse(Refusal::UnknownAccount);
    }
    if expected.is_some_and(|version| version > 0) {
        return draft.refuse(Refusal::Outdated);
    }
    draft.entry(
        EntryKind::Status,
        "created",
        Credits::ZERO,
        Credits::ZERO,
        &detail,
    );
    let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
    draft.applied(receipt)
}

pub(super) fn change(
    mut draft: Draft<'_>,
    expected: Option<u64>,
    change: &AccountChange,
    detail: &Detail,
) -> Step {
    let mut settings = (*draft.account.settings).clone();
    let subject = match change {
        AccountChange::Create(_) => "created".to_owned(),
        AccountChange::Pause(reason) => {
            settings.reasons.insert(reason.clone());
            format!("paused:{reason}")
        }
        AccountChange::Resume(reason) => {
            settings.reasons.remove(reason);
            format!("resumed:{reason}")
        }
        AccountChange::Plan(plan) => {
            settings.plan = plan.clone();
            "plan".to_owned()
        }
        AccountChange::Limits(limits) => {
            settings.limits = *limits;
            "limits".to_owned()
        }
    };
    if settings == *draft.account.settings {
        let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
        return draft.replayed(receipt);
    }
    if expected.is_some_and(|version| version != draft.account.version) {
        return draft.refuse(Refusal::Outdated);
    }
    if settings.reasons.len() > REASONS_MAX {
        return draft.refuse(Refusal::OutOfRange("the number of reasons"));
    }
    draft.account.settings = Arc::new(settings);
    noted(draft, &subject, detail)
}

pub(super) fn put_key(mut draft: Draft<'_>, new: &NewKey, detail: &Detail) -> Step {
    let known = draft.book.keys.get(&new.id);
    let same_digest = draft.book.keys.values().find(|key| key.digest == new.digest);
    if let Some(key) = known.or(same_digest) {
        let same = key.id == new.id && key.digest == new.digest && key.limits == new.limits;
        let same = same && key.expires_at == new.expires_at && key.name == new.name;
        let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
        return if same {
            draft.replayed(receipt)
        } else {
            draft.refuse(Refusal::IdConflict)
        };
    }
    if draft.book.keys.len() >= KEYS_MAX {
        return draft.refuse(Refusal::OutOfRange("the number of keys"));
    }
    draft.key = Some(Key {
        id: new.id.clone(),
        digest: new.digest,
        name: new.name.clone(),
        created_at: draft.now,
        expires_at: new.expires_at,
        revoked_at: None,
        limits: new.limits,
        gauge: Gauge::default(),
    });
    noted(draft, &format!("key_created:{}", new.id), detail)
}

pub(super) fn revoke_key(mut draft: Draft<'_>, id: &KeyId, detail: &Detail) -> Step {
    let Some(key) = draft.book.keys.get(id) else {
        return draft.refuse(Refusal::UnknownKey);
    };
    if key.revoked_at.is_some() {
        let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
        return draft.replayed(receipt);
    }
    draft.key = Some(Key {
        revoked_at: Some(draft.now),
        ..key.clone()
    });
    noted(draft, &format!("key_revoked:{id}"), detail)
}

/// A new version, and a line of the journal.
fn noted(mut draft: Draft<'_>, subject: &str, detail: &Detail) -> Step {
    draft.account.version += 1;
    draft.entry(EntryKind::Status, subject, Credits::ZERO, Credits::ZERO, detail);
    let receipt = draft.receipt(Credits::ZERO, Timestamp::NEVER);
    draft.applied(receipt)
}
