//! A ledger in memory, around the engine itself, that can be told to fail.

#![allow(dead_code, reason = "a rig offers more than the tests of one day use")]

use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate::clock::{Clock, SystemClock};
use faregate::domain::account::Balance;
use faregate::domain::command::{Command, Outcome};
use faregate::domain::engine::{Change, State};
use faregate::domain::entry::Entry;
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};
use tokio::sync::watch;

use crate::rig::upstream::Gate;
use crate::rig::within;

/// See the module.
pub(crate) struct MemoryLedger {
    state: Mutex<State>,
    entries: Mutex<Vec<Entry>>,
    down: AtomicBool,
    panics: Mutex<Option<&'static str>>,
    /// Admits wait here after they were applied.
    gate: Mutex<Option<Gate>>,
    admits: AtomicU64,
    changed: watch::Sender<u64>,
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger").finish_non_exhaustive()
    }
}

impl MemoryLedger {
    pub(crate) fn new() -> Arc<MemoryLedger> {
        Arc::new(MemoryLedger {
            state: Mutex::default(),
            entries: Mutex::default(),
            down: AtomicBool::new(false),
            panics: Mutex::default(),
            gate: Mutex::default(),
            admits: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        })
    }

    /// From now on nothing is answered, or everything again.
    pub(crate) fn fail(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// From now on this operation panics, or none does.
    pub(crate) fn panic_in(&self, operation: Option<&'static str>) {
        *lock(&self.panics) = operation;
    }

    fn may_panic(&self, operation: &str) {
        let planted = *lock(&self.panics);
        assert_ne!(planted, Some(operation), "planted by the test");
    }

    /// Holds back the answers of admits until the gate is open.
    pub(crate) fn hold_back(&self, gate: &Gate) {
        *lock(&self.gate) = Some(gate.clone());
    }

    /// Admits that were applied or refused.
    pub(crate) fn admits(&self) -> u64 {
        self.admits.load(Ordering::SeqCst)
    }

    pub(crate) fn balance(&self, account: &AccountId) -> Balance {
        lock(&self.state).book(account).unwrap().account.balance()
    }

    /// The journal so far.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        lock(&self.entries).clone()
    }

    /// Waits until the balance is as wanted.
    #[track_caller]
    pub(crate) fn wait_balance(
        &self,
        what: impl Into<String>,
        account: &AccountId,
        wanted: impl Fn(&Balance) -> bool,
    ) -> impl Future<Output = Balance> {
        let mut changed = self.changed.subscribe();
        within(what, async move {
            loop {
                let balance = self.balance(account);
                if wanted(&balance) {
                    return balance;
                }
                changed.changed().await.expect("we hold the sender");
            }
        })
    }

    fn apply(&self, command: &Command) -> Result<Outcome, LedgerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(LedgerError::Unavailable("switched off by the test".to_owned()));
        }
        let mut state = lock(&self.state);
        let step = state.step(command, SystemClock.now());
        state.commit(&step);
        let entries = step.changes.iter().filter_map(|change| match change {
            Change::Entry(entry) => Some(entry.clone()),
            _ => None,
        });
        lock(&self.entries).extend(entries);
        self.changed.send_modify(|n| *n += 1);
        Ok(step.outcome)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, LedgerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(LedgerError::Unavailable("switched off by the test".to_owned()));
        }
        Ok(read(&lock(&self.state)))
    }
}

impl Ledger for MemoryLedger {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        Box::pin(async move {
            self.may_panic(match command {
                Command::Admit(_) => "admit",
                Command::Capture(_) => "capture",
                Command::Release(_) => "release",
                _ => "",
            });
            let outcome = self.apply(command)?;
            if let Command::Admit(_) = command {
                self.admits.fetch_add(1, Ordering::SeqCst);
                let gate = lock(&self.gate).clone();
                if let Some(gate) = gate {
                    gate.passed().await;
                }
            }
            Ok(outcome)
        })
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        Box::pin(async {
            self.may_panic("identify");
            self.read(|state| state.identify(digest))
        })
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        let time = SystemClock.now();
        let statement = self.read(|state| state.book(account).map(|book| book.statement(time)));
        Box::pin(ready(statement.map(|found| {
            found.map(|(account, grants)| Statement {
                account,
                grants,
                time,
            })
        })))
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        let keys = |state: &State| {
            state
                .book(account)
                .map(|book| book.keys.values().cloned().collect())
        };
        Box::pin(ready(self.read(keys).map(Option::unwrap_or_default)))
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        Box::pin(ready(
            self.read(|state| state.book(account)?.holds.get(&hold).cloned()),
        ))
    }

    fn accounts<'a>(&'a self, _: Option<&'a str>, _: usize) -> Answer<'a, Page<AccountId>> {
        let items = |state: &State| state.books().map(|book| book.account.id.clone()).collect();
        Box::pin(ready(self.read(items).map(|items| Page { items, next: None })))
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        _: Option<&'a str>,
        _: usize,
    ) -> Answer<'a, Page<Entry>> {
        let mut items = MemoryLedger::entries(self);
        items.retain(|entry| entry.account == *account);
        items.reverse();
        Box::pin(ready(Ok(Page { items, next: None })))
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        let mut items = MemoryLedger::entries(self);
        items.retain(|entry| entry.account == *account && *entry.subject == hold.to_string());
        Box::pin(ready(Ok(items)))
    }

    fn usage_by_day<'a>(&'a self, _: &'a AccountId, _: i64, _: i64) -> Answer<'a, Vec<DayUsage>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn journal(&self, _: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        let entries = MemoryLedger::entries(self);
        let after = entries
            .into_iter()
            .filter(|entry| entry.seq > after)
            .take(limit)
            .collect();
        Box::pin(ready(Ok(after)))
    }

    fn partitions(&self) -> u32 {
        1
    }

    fn sweep(&self, _: OnExpiry) -> Answer<'_, u64> {
        Box::pin(ready(Ok(0)))
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        Box::pin(ready(Ok(VerifyReport::default())))
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        Box::pin(ready(Ok(VerifyReport::default())))
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        Box::pin(ready(self.read(|_| SystemClock.now())))
    }

    fn durability(&self) -> String {
        "none: everything is in memory".to_owned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
