//! The working copy of one account while a command is decided. Nothing is changed until the step is committed.

use std::sync::Arc;

use crate::domain::account::Account;
use crate::domain::command::{Outcome, Receipt};
use crate::domain::credits::Credits;
use crate::domain::entry::{Detail, Entry, EntryKind};
use crate::domain::grant::{Grant, GrantState};
use crate::domain::hold::Hold;
use crate::domain::ids::CommandId;
use crate::domain::key::Key;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

use super::{Book, Change, CommandRecord, Step};

pub(super) struct Draft<'a> {
    pub(super) book: &'a Book,
    pub(super) account: Account,
    /// Copied only by commands that look at grants: admit and capture usually do not.
    grants: Option<Vec<Grant>>,
    pub(super) hold: Option<Hold>,
    pub(super) key: Option<Key>,
    pub(super) command: Option<(CommandId, CommandRecord)>,
    entries: Vec<Entry>,
    seq: u64,
    pub(super) now: Timestamp,
}

impl<'a> Draft<'a> {
    pub(super) fn new(book: &'a Book, seq: u64, now: Timestamp) -> Draft<'a> {
        Draft {
            book,
            account: book.account.clone(),
            grants: None,
            hold: None,
            key: None,
            command: None,
            entries: Vec::new(),
            seq,
            now,
        }
    }

    /// The account's grants that are not over, in burn order.
    pub(super) fn grants(&mut self) -> &mut Vec<Grant> {
        let book = self.book;
        self.grants.get_or_insert_with(|| {
            let mut live: Vec<Grant> = book
                .grants
                .values()
                .filter(|g| g.state != GrantState::Ended)
                .cloned()
                .collect();
            live.sort_by(Grant::burns_before);
            live
        })
    }

    /// Writes a line of the journal, with the balance as it is now.
    pub(super) fn entry(
        &mut self,
        kind: EntryKind,
        subject: &str,
        amount: Credits,
        held: Credits,
        detail: &Detail,
    ) {
        self.seq += 1;
        self.entries.push(Entry {
            seq: self.seq,
            number: self.account.entries + 1,
            previous: self.account.last_entry,
            time: self.now,
            account: self.account.id.clone(),
            kind,
            subject: Arc::from(subject),
            amount,
            held,
            available: self.account.available(),
            detail: detail.clone(),
        });
        self.account.entries += 1;
        self.account.last_entry = self.seq;
    }

    /// A receipt with the balance as it is now.
    pub(super) fn receipt(&self, amount: Credits, expires_at: Timestamp) -> Receipt {
        Receipt {
            time: self.now,
            amount,
            available: self.account.available(),
            expires_at,
        }
    }

    /// Done: something changed.
    pub(super) fn applied(self, receipt: Receipt) -> Step {
        self.finish(Outcome::Applied(receipt))
    }

    /// Nothing new to do.
    pub(super) fn replayed(self, receipt: Receipt) -> Step {
        self.finish(Outcome::Replayed(receipt))
    }

    /// Refused. What was due before the command came stays applied; the command itself must not have changed anything yet.
    pub(super) fn refuse(self, refusal: Refusal) -> Step {
        self.finish(Outcome::Refused(refusal))
    }

    fn finish(self, outcome: Outcome) -> Step {
        let mut changes = Vec::with_capacity(4);
        let id = self.account.id.clone();
        if self.account != self.book.account {
            changes.push(Change::Account(self.account));
        }
        for grant in self.grants.into_iter().flatten() {
            if self.book.grants.get(grant.facts.id.as_str()) != Some(&grant) {
                changes.push(Change::Grant(grant));
            }
        }
        changes.extend(self.hold.map(Change::Hold));
        changes.extend(self.key.map(Change::Key));
        changes.extend(self.command.map(|(id, record)| Change::Command(id, record)));
        changes.extend(self.entries.into_iter().map(Change::Entry));
        Step {
            account: id,
            time: self.now,
            outcome,
            changes,
        }
    }

    /// The account and all its grants as drafted.
    pub(super) fn statement(mut self) -> (Account, Vec<Grant>) {
        let mut grants = std::mem::take(self.grants());
        let drafted: Vec<_> = grants.iter().map(|g| g.facts.id.clone()).collect();
        grants.extend(
            self.book
                .grants
                .values()
                .filter(|g| !drafted.contains(&g.facts.id))
                .cloned(),
        );
        grants.sort_by(Grant::burns_before);
        (self.account, grants)
    }
}
