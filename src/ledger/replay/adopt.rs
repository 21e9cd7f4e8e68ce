//! What a journal does not tell, taken from what is stored.

use crate::domain::account::Account;
use crate::domain::command::HOLDS_REMEMBERED;
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::engine::invariants::{InvariantId, check};
use crate::domain::hold::{Hold, HoldState};
use crate::domain::time::{Span, Timestamp};

/// What an open hold gets to live when nothing but the journal knows of it.
const HOLD_LIVES: Span = Span::from_secs(60);

/// Takes from what is stored the things that the journal does not tell: how far rates are used up, how long holds live, what a hold was opened with.
pub(in crate::ledger) fn adopt(mut book: Book, stored: Option<&Book>, line: Credits, now: Timestamp) -> Book {
    let account: Option<&Account> = stored.map(|b| &b.account);
    if let Some(old) = account {
        book.account.version = book.account.version.max(old.version);
        book.account.gauge.requests_at = old.gauge.requests_at;
        book.account.gauge.tokens_at = old.gauge.tokens_at;
        let derived = std::mem::replace(&mut book.account.exceptions, old.exceptions);
        // What went below the floor by name depends on credit lines that changed: what is stored counts as long as it explains the balance.
        if check(&book, line).iter().any(|v| v.id == InvariantId::I3) {
            book.account.exceptions = derived;
        }
    }
    let old_holds = stored.map(|b| &b.holds);
    book.holds = std::mem::take(&mut book.holds)
        .into_values()
        .filter_map(|hold| {
            let old = old_holds.and_then(|holds| holds.get(&hold.id));
            adopt_hold(hold, old, now)
        })
        .map(|hold| (hold.id, hold))
        .collect();
    for (id, key) in &mut book.keys {
        if let Some(old) = stored.and_then(|b| b.keys.get(id)) {
            key.name.clone_from(&old.name);
            key.created_at = old.created_at;
            key.gauge.requests_at = old.gauge.requests_at;
            key.gauge.tokens_at = old.gauge.tokens_at;
        }
    }
    book
}

fn adopt_hold(hold: Hold, old: Option<&Hold>, now: Timestamp) -> Option<Hold> {
    let open = hold.state == HoldState::Open;
    let same = |old: &&Hold| {
        let open_too = (old.state == HoldState::Open) == open;
        open_too && old.amount == hold.amount && old.charged == hold.charged
    };
    match old.filter(same) {
        Some(old) => Some(old.clone()),
        None if open => Some(Hold {
            expires_at: now.plus(HOLD_LIVES),
            ..hold
        }),
        None => (now.since(hold.expires_at) <= HOLDS_REMEMBERED).then_some(hold),
    }
}

/// The book with what is due applied and spending dealt out, so that two that say the same are the same. Without claims, which not every store keeps with
/// their holds, and which move no credits.
pub(in crate::ledger) fn settled(book: &Book, now: Timestamp) -> Book {
    let (account, grants) = book.statement(now);
    let version = 0;
    Book {
        account: Account { version, ..account },
        grants: grants
            .into_iter()
            .map(|g| (g.facts.id.as_str().to_owned(), g))
            .collect(),
        holds: book
            .holds
            .values()
            .map(|hold| {
                let claim = None;
                (
                    hold.id,
                    Hold {
                        claim,
                        ..hold.clone()
                    },
                )
            })
            .collect(),
        ..book.clone()
    }
}
