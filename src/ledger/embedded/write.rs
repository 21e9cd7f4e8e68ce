//! Writing a batch: everything that changed, each thing once, in one transaction with one sync.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Statement, params};

use super::chain::Chain;
use super::fault::Fault;
use super::rows::{
    ACCOUNTS, COMMANDS, GRANTS, HOLDS, JOURNAL, KEYS, MEMOS, REASONS, Table, category_text, grant_state_text,
    hold_state_text,
};
use crate::domain::account::{Account, Settings};
use crate::domain::claim::Claim;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, Change, CommandRecord, Step};
use crate::domain::entry::Entry;
use crate::domain::grant::Grant;
use crate::domain::hold::Hold;
use crate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyId};
use crate::domain::key::Key;
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;
use crate::ledger::detail::limits_to_json;
use crate::ledger::memos::{Kept, MemoName};

/// What is to be written: the last value of each thing, and all entries in order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Accounts to be taken out first, with all that is theirs: a rebuild puts a new book in their place.
    pub(super) cleared: Vec<AccountId>,
    accounts: HashMap<AccountId, Account>,
    reasons: HashMap<AccountId, Arc<Settings>>,
    grants: HashMap<(AccountId, GrantId), Grant>,
    keys: HashMap<(AccountId, KeyId), Key>,
    holds: HashMap<(AccountId, HoldId), Hold>,
    commands: Vec<(AccountId, CommandId, CommandRecord)>,
    entries: Vec<Entry>,
    /// Ended holds that need not be remembered any more.
    pub(super) forgotten: Vec<(AccountId, HoldId)>,
    /// Memos; none: it goes.
    pub(super) memos: HashMap<MemoName, Option<Kept>>,
}

impl Changes {
    /// Nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        // Whatever else changes, an account, a hold or a key does.
        self.accounts.is_empty()
            && self.holds.is_empty()
            && self.keys.is_empty()
            && self.forgotten.is_empty()
            && self.memos.is_empty()
            && self.cleared.is_empty()
    }

    /// Accounts of which something changes.
    pub(super) fn touched(&self) -> impl Iterator<Item = &AccountId> {
        let holds = self.holds.keys().map(|(account, _)| account);
        let keys = self.keys.keys().map(|(account, _)| account);
        self.accounts.keys().chain(holds).chain(keys).chain(&self.cleared)
    }

    /// Adds a step's changes; `settings` are the account's before it.
    pub(super) fn add(&mut self, step: Step, settings: Option<&Arc<Settings>>) {
        for change in step.changes {
            match change {
                Change::Account(account) => {
                    if settings.is_none_or(|s| !Arc::ptr_eq(s, &account.settings)) {
                        self.reasons.insert(account.id.clone(), account.settings.clone());
                    }
                    self.accounts.insert(account.id.clone(), account);
                }
                Change::Grant(grant) => {
                    self.grants
                        .insert((step.account.clone(), grant.facts.id.clone()), grant);
                }
                Change::Hold(hold) => {
                    self.holds.insert((step.account.clone(), hold.id), hold);
                }
                Change::Key(key) => {
                    self.keys.insert((step.account.clone(), key.id.clone()), key);
                }
                Change::Command(id, record) => self.commands.push((step.account.clone(), id, record)),
                Change::Entry(entry) => self.entries.push(entry),
            }
        }
    }

    /// Adds a whole book, in place of what is stored of its account.
    pub(super) fn replace(&mut self, book: Book) {
        let id = book.account.id.clone();
        self.cleared.push(id.clone());
        self.reasons.insert(id.clone(), book.account.settings.clone());
        self.accounts.insert(id.clone(), book.account);
        for grant in book.grants.into_values() {
            self.grants.insert((id.clone(), grant.facts.id.clone()), grant);
        }
        for (key_id, key) in book.keys {
            self.keys.insert((id.clone(), key_id), key);
        }
        for (hold_id, hold) in book.holds {
            self.holds.insert((id.clone(), hold_id), hold);
        }
        let commands = book.commands.into_iter();
        self.commands
            .extend(commands.map(|(command, record)| (id.clone(), command, record)));
    }

    /// About how many rows this writes.
    pub(super) fn rows(&self) -> usize {
        // An entry is in two indexes as well.
        self.accounts.len()
            + self.holds.len()
            + self.grants.len()
            + 3 * self.entries.len()
            + self.forgotten.len()
            + self.memos.values().map(memo_rows).sum::<usize>()
    }
}

/// Bytes of a memo that take as much of the log as a row of the books.
const ROW_BYTES: usize = 2_048;

fn memo_rows(kept: &Option<Kept>) -> usize {
    let bytes = kept.as_ref().map_or(0, |kept| kept.memo.text.len());
    1 + bytes / ROW_BYTES
}

/// What a transaction says about the ledger as a whole.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) time: Timestamp,
    pub(super) seq: u64,
    pub(super) chain: &'a mut Chain,
    /// The largest credit line of each account that had one.
    pub(super) lines: &'a HashMap<AccountId, Credits>,
}

/// The writer's statements, prepared once.
pub(super) struct Statements<'c> {
    conn: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    head: Statement<'c>,
    account: Statement<'c>,
    reason: Statement<'c>,
    grant: Statement<'c>,
    key: Statement<'c>,
    hold: Statement<'c>,
    command: Statement<'c>,
    entry: Statement<'c>,
    forget: Statement<'c>,
    no_reasons: Statement<'c>,
    memo: Statement<'c>,
    no_memo: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(conn: &'c Connection) -> Result<Statements<'c>, Fault> {
        Ok(Statements {
            conn,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            head: conn.prepare("UPDATE meta SET time = ?1, seq = ?2, hash = ?3")?,
            account: conn.prepare(&upsert(&ACCOUNTS))?,
            reason: conn.prepare(&upsert(&REASONS))?,
            grant: conn.prepare(&upsert(&GRANTS))?,
            key: conn.prepare(&upsert(&KEYS))?,
            hold: conn.prepare(&upsert(&HOLDS))?,
            command: conn.prepare(&upsert(&COMMANDS))?,
            // An entry is never changed: the same number again is an error.
            entry: conn.prepare(&insert(&JOURNAL))?,
            forget: conn.prepare("DELETE FROM holds WHERE account = ?1 AND id = ?2")?,
            no_reasons: conn.prepare("DELETE FROM reasons WHERE account = ?1")?,
            memo: conn.prepare(&upsert(&MEMOS))?,
            no_memo: conn.prepare("DELETE FROM memos WHERE name = ?1")?,
        })
    }

    /// Writes it all and syncs. On [`Fault::Passing`] the transaction did not happen; on another fault nobody knows.
    pub(super) fn write(&mut self, changes: &Changes, head: Head<'_>) -> Result<(), Fault> {
        self.begin.execute([])?;
        let written = self.rows(changes, head).and_then(|()| {
            self.commit.execute([])?;
            Ok(())
        });
        if written.is_err() && !self.conn.is_autocommit() {
            self.conn
                .execute_batch("ROLLBACK")
                .map_err(|e| Fault::Broken(format!("a transaction could not be rolled back: {e}")))?;
        }
        written
    }

    fn rows(&mut self, changes: &Changes, head: Head<'_>) -> Result<(), Fault> {
        for account in &changes.cleared {
            self.clear(account)?;
        }
        for account in changes.accounts.values() {
            let line = head.lines.get(&account.id).copied().unwrap_or_default();
            self.account(account, line)?;
        }
        for (account, settings) in &changes.reasons {
            self.no_reasons.execute([account.as_str()])?;
            for reason in &settings.reasons {
                self.reason.execute([account.as_str(), reason.as_str()])?;
            }
        }
        for ((account, _), grant) in &changes.grants {
            self.grant(account, grant)?;
        }
        for ((account, _), key) in &changes.keys {
            self.key(account, key)?;
        }
        for hold in changes.holds.values() {
            self.hold(hold)?;
        }
        for (account, id, record) in &changes.commands {
            self.command(account, id, record)?;
        }
        for entry in &changes.entries {
            head.chain.add(entry);
            self.entry(entry, &head.chain.hash)?;
        }
        for (account, hold) in &changes.forgotten {
            self.forget.execute(params![account.as_str(), hold.to_string()])?;
        }
        for (name, kept) in &changes.memos {
            self.memo(name, kept.as_ref())?;
        }
        self.head
            .execute(params![head.time.micros(), number(head.seq), head.chain.hash])?;
        Ok(())
    }

    fn clear(&mut self, account: &AccountId) -> Result<(), Fault> {
        for table in [&REASONS, &GRANTS, &KEYS, &HOLDS, &COMMANDS] {
            let sql = format!("DELETE FROM {} WHERE account = ?1", table.name);
            self.conn.execute(&sql, [account.as_str()])?;
        }
        self.conn
            .execute("DELETE FROM accounts WHERE id = ?1", [account.as_str()])?;
        Ok(())
    }

    fn account(&mut self, account: &Account, line: Credits) -> Result<(), Fault> {
        let gauge = &account.gauge;
        self.account.execute(params![
            account.id.as_str(),
            account.created_at.micros(),
            account.settings.plan.as_ref().map(|p| p.as_str()),
            limits(&account.settings.limits),
            number(account.version),
            account.granted.micros(),
            account.spent.micros(),
            account.expired.micros(),
            account.voided.micros(),
            number(gauge.open),
            gauge.held.micros(),
            gauge.requests_at.micros(),
            gauge.tokens_at.micros(),
            gauge.day,
            gauge.day_spent.micros(),
            gauge.month,
            gauge.month_spent.micros(),
            account.taken.micros(),
            account.dealt.micros(),
            account.exceptions.overrun.micros(),
            account.exceptions.late.micros(),
            account.exceptions.clawback.micros(),
            account.next_due.micros(),
            account.ending,
            number(account.entries),
            number(account.last_entry),
            line.micros(),
        ])?;
        Ok(())
    }

    fn grant(&mut self, account: &AccountId, grant: &Grant) -> Result<(), Fault> {
        let facts = &grant.facts;
        self.grant.execute(params![
            account.as_str(),
            facts.id.as_str(),
            facts.amount.micros(),
            facts.priority,
            category_text(facts.category),
            facts.effective_at.micros(),
            facts.expires_at.micros(),
            facts.created_at.micros(),
            facts.updated_at.micros(),
            facts.voided_at.map(Timestamp::micros),
            facts.note.as_deref(),
            grant_state_text(grant.state),
            grant.drawn.micros(),
            grant.expired.micros(),
            grant.voided.micros(),
            grant.guarded.micros(),
            number(grant.ended),
        ])?;
        Ok(())
    }

    fn key(&mut self, account: &AccountId, key: &Key) -> Result<(), Fault> {
        let gauge = &key.gauge;
        self.key.execute(params![
            account.as_str(),
            key.id.as_str(),
            key.digest.to_hex(),
            key.name.as_deref(),
            key.created_at.micros(),
            key.expires_at.micros(),
            key.revoked_at.map(Timestamp::micros),
            limits(&key.limits),
            number(gauge.open),
            gauge.held.micros(),
            gauge.requests_at.micros(),
            gauge.tokens_at.micros(),
            gauge.day,
            gauge.day_spent.micros(),
            gauge.month,
            gauge.month_spent.micros(),
        ])?;
        Ok(())
    }

    fn hold(&mut self, hold: &Hold) -> Result<(), Fault> {
        self.hold.execute(params![
            hold.account.as_str(),
            hold.id.to_string(),
            hold.key.as_str(),
            hold_state_text(hold.state),
            hold.amount.micros(),
            hold.opened.micros(),
            hold.charged.micros(),
            hold.opened_at.micros(),
            hold.expires_at.micros(),
            number(hold.number),
            number(hold.extensions),
            hold.available.micros(),
            hold.content.cast_signed(),
            hold.claim.as_deref().map(claim_bytes),
        ])?;
        Ok(())
    }

    fn command(&mut self, account: &AccountId, id: &CommandId, record: &CommandRecord) -> Result<(), Fault> {
        self.command.execute(params![
            account.as_str(),
            id.as_str(),
            record.amount.micros(),
            record.receipt.time.micros(),
            record.receipt.amount.micros(),
            record.receipt.available.micros(),
            record.receipt.expires_at.micros(),
        ])?;
        Ok(())
    }

    fn memo(&mut self, name: &MemoName, kept: Option<&Kept>) -> Result<(), Fault> {
        match kept {
            Some(Kept { memo, version }) => self.memo.execute(params![
                name.as_str(),
                number(*version),
                &*memo.text,
                memo.due.micros(),
                memo.forget_at.micros(),
            ])?,
            None => self.no_memo.execute([name.as_str()])?,
        };
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, hash: &str) -> Result<(), Fault> {
        self.entry.execute(params![
            number(entry.seq),
            number(entry.number),
            number(entry.previous),
            entry.time.micros(),
            entry.account.as_str(),
            entry.kind.as_str(),
            &*entry.subject,
            entry.amount.micros(),
            entry.held.micros(),
            entry.available.micros(),
            entry.detail.as_str(),
            hash,
        ])?;
        Ok(())
    }
}

/// Counters in SQLite are signed; ours stay far below.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As `rows` reads it.
fn claim_bytes(claim: &Claim) -> Vec<u8> {
    [&claim.key.0[..], &claim.content.to_le_bytes()].concat()
}

fn limits(limits: &Limits) -> String {
    if *limits == Limits::NONE {
        "{}".to_owned()
    } else {
        limits_to_json(limits)
    }
}

fn insert(table: &Table) -> String {
    let marks: Vec<String> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table.name,
        table.list(),
        marks.join(", ")
    )
}

fn upsert(table: &Table) -> String {
    let rest = table.columns.iter().filter(|c| !table.key.contains(c));
    let sets: Vec<String> = rest.map(|c| format!("{c} = excluded.{c}")).collect();
    let update = if sets.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {}", sets.join(", "))
    };
    format!(
        "{} ON CONFLICT ({}) DO {update}",
        insert(table),
        table.key.join(", ")
    )
}
