//! The engine behind the ledger's port, in memory: the model that stores are compared with, and the first to pass every promise.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use faregate::clock::Clock;
use faregate::domain::command::{Command, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::engine::{Book, Change, State, invariants};
use faregate::domain::entry::{Entry, EntryKind};
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::memos::{Kept, MEMO_TEXT_MAX, MEMOS_PAGE_BYTES, Memo, MemoName, Memos, Wrote};
use faregate::ledger::{Answer, DayUsage, Ledger, LedgerError, PAGE_MAX, Page, Statement, VerifyReport};

pub(crate) struct MemoryLedger {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    /// What it makes of a command before it does it; a planted bug.
    bug: Option<fn(&mut Command)>,
}

#[derive(Default)]
struct Inner {
    memos: BTreeMap<MemoName, Kept>,
    state: State,
    journal: Vec<Entry>,
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryLedger")
    }
}

impl MemoryLedger {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> MemoryLedger {
        MemoryLedger {
            inner: Mutex::default(),
            clock,
            bug: None,
        }
    }

    /// One that does something else than it is told.
    pub(crate) fn with_bug(clock: Arc<dyn Clock>, bug: fn(&mut Command)) -> MemoryLedger {
        MemoryLedger {
            bug: Some(bug),
            ..MemoryLedger::new(clock)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics with it")
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Inner {
    fn execute(&mut self, command: &Command, now: Timestamp) -> Outcome {
        let step = self.state.step(command, now);
        self.state.commit(&step);
        for change in step.changes {
            if let Change::Entry(entry) = change {
                self.journal.push(entry);
            }
        }
        step.outcome
    }

    fn of<'a>(&'a self, account: &'a AccountId) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.journal.iter().filter(move |e| e.account == *account)
    }

    fn accounts(&self) -> Vec<&AccountId> {
        let mut ids: Vec<_> = self.state.books().map(|b| &b.account.id).collect();
        ids.sort();
        ids
    }

    fn verify(&self) -> VerifyReport {
        let violations = |book: &Book| {
            let mut found = invariants::check(book, Credits::MAX);
            found.extend(invariants::check_journal(
                book.account.balance(),
                self.of(&book.account.id),
            ));
            found
        };
        VerifyReport {
            accounts: self.accounts().len() as u64,
            entries: self.journal.len() as u64,
            differences: self
                .state
                .books()
                .flat_map(violations)
                .map(|v| v.to_string())
                .collect(),
        }
    }
}

/// An answer that is there already.
fn answer<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    Box::pin(std::future::ready(Ok::<T, LedgerError>(answer)))
}

impl Ledger for MemoryLedger {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        let mut command = command.clone();
        if let Some(bug) = self.bug {
            bug(&mut command);
        }
        answer(self.lock().execute(&command, self.now()))
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        answer(self.lock().state.identify(digest))
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        let inner = self.lock();
        let time = self.now().max(inner.state.time);
        let book = inner.state.book(account);
        answer(book.map(|book| {
            let (account, grants) = book.statement(time);
            Statement {
                account,
                grants,
                time,
            }
        }))
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        let inner = self.lock();
        let keys = inner.state.book(account).map(|book| book.keys.values().cloned());
        answer(keys.into_iter().flatten().collect())
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        let inner = self.lock();
        let book = inner.state.book(account);
        answer(book.and_then(|book| book.holds.get(&hold).cloned()))
    }

    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        let inner = self.lock();
        let after = inner
            .accounts()
            .into_iter()
            .filter(|id| cursor.is_none_or(|c| id.as_str() > c));
        let mut items: Vec<_> = after.take(limit.min(PAGE_MAX) + 1).cloned().collect();
        let more = items.len() > limit.min(PAGE_MAX);
        items.truncate(limit.min(PAGE_MAX));
        let next = items.last().filter(|_| more).map(|id| id.as_str().to_owned());
        answer(Page { items, next })
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        let before: u64 = cursor.map_or(u64::MAX, |c| c.parse().expect("our own cursor"));
        let inner = self.lock();
        let older = inner.of(account).rev().filter(|e| e.number < before);
        let items: Vec<_> = older.take(limit.min(PAGE_MAX)).cloned().collect();
        let next = items
            .last()
            .filter(|last| last.number > 1)
            .map(|last| last.number.to_string());
        answer(Page { items, next })
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        let hold = hold.to_string();
        let inner = self.lock();
        answer(
            inner
                .of(account)
                .filter(|e| *e.subject == *hold)
                .cloned()
                .collect(),
        )
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        let inner = self.lock();
        let mut days: Vec<DayUsage> = Vec::new();
        let of_holds = |e: &&Entry| matches!(e.kind, EntryKind::Capture | EntryKind::Release);
        for entry in inner.of(account).filter(of_holds) {
            let day = entry.time.day();
            if !(from..=to).contains(&day) || entry.amount.is_zero() {
                continue;
            }
            if days.last().is_none_or(|last| last.day != day) {
                let (requests, charged) = (0, Credits::ZERO);
                days.push(DayUsage {
                    day,
                    requests,
                    charged,
                });
            }
            if let Some(last) = days.last_mut() {
                last.requests += u64::from(entry.amount > Credits::ZERO);
                last.charged = last.charged.saturating_add(entry.amount);
            }
        }
        answer(days)
    }

    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        let inner = self.lock();
        let later = inner.journal.iter().filter(|e| partition == 0 && e.seq > after);
        answer(later.take(limit.min(PAGE_MAX)).cloned().collect())
    }

    fn partitions(&self) -> u32 {
        1
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        let now = self.now();
        let mut inner = self.lock();
        let now = now.max(inner.state.time);
        let mut ended = 0;
        for (account, hold) in inner.state.expired_holds(now, 100) {
            let command = Command::ExpireHold {
                account,
                hold,
                on_expiry,
            };
            ended += u64::from(matches!(inner.execute(&command, now), Outcome::Applied(_)));
        }
        inner.state.forget(now);
        answer(ended)
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        answer(self.lock().verify())
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        answer(self.lock().verify())
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        answer(self.now().max(self.lock().state.time))
    }

    fn durability(&self) -> String {
        "everything is lost with the process".to_owned()
    }
}

/// As a refusal to do anything.
fn invalid<'a, T: Send + 'a>(what: &str) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(LedgerError::Invalid(what.to_owned()))))
}

impl Inner {
    fn memos_at(&self, now: Timestamp) -> impl Iterator<Item = (&MemoName, &Kept)> {
        self.memos
            .iter()
            .filter(move |(_, kept)| kept.memo.forget_at > now)
    }
}

impl Memos for MemoryLedger {
    fn memo<'a>(&'a self, name: &'a MemoName) -> Answer<'a, Option<Kept>> {
        let (now, inner) = (self.now(), self.lock());
        answer(
            inner
                .memos
                .get(name)
                .filter(|kept| kept.memo.forget_at > now)
                .cloned(),
        )
    }

    fn write_memo<'a>(&'a self, name: &'a MemoName, expected: u64, memo: &'a Memo) -> Answer<'a, Wrote> {
        if memo.text.len() > MEMO_TEXT_MAX {
            return invalid("too long");
        }
        let (now, mut inner) = (self.now(), self.lock());
        inner.memos.retain(|_, kept| kept.memo.forget_at > now);
        let there = inner.memos.get(name).cloned();
        let version = expected + 1;
        let new = Kept {
            memo: memo.clone(),
            version,
        };
        if there.as_ref() == Some(&new) {
            return answer(Wrote::Done { version });
        }
        if there.as_ref().map_or(0, |kept| kept.version) != expected {
            return answer(Wrote::Changed(there));
        }
        inner.memos.insert(name.clone(), new);
        answer(Wrote::Done { version })
    }

    fn due_memos(&self, limit: usize) -> Answer<'_, Vec<MemoName>> {
        let (now, inner) = (self.now(), self.lock());
        let due = inner.memos_at(now).filter(|(_, kept)| kept.memo.due <= now);
        let mut due: Vec<_> = due.map(|(name, kept)| (kept.memo.due, name.clone())).collect();
        due.sort();
        answer(due.into_iter().take(limit).map(|(_, name)| name).collect())
    }

    fn memos<'a>(
        &'a self,
        kind: &'a str,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<(MemoName, Kept)>> {
        let is_kind = |c: char| c.is_ascii_lowercase() || c == '_';
        let cursor: Option<Result<MemoName, _>> = cursor.map(str::parse);
        if kind.is_empty() || !kind.chars().all(is_kind) || matches!(cursor, Some(Err(_))) {
            return invalid("no such list");
        }
        let (now, inner) = (self.now(), self.lock());
        let after = cursor.and_then(Result::ok);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for (name, kept) in inner.memos_at(now) {
            if name.kind() != kind || after.as_ref().is_some_and(|after| name <= after) {
                continue;
            }
            if items.len() >= limit.min(PAGE_MAX) || bytes >= MEMOS_PAGE_BYTES {
                let next = items.last().map(|(name, _): &(MemoName, _)| name.to_string());
                return answer(Page { items, next });
            }
            bytes += kept.memo.text.len();
            items.push((name.clone(), kept.clone()));
        }
        answer(Page { items, next: None })
    }
}
