//! A ledger whose line to the store can be cut or held up, question by question.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate::domain::command::{Command, Outcome};
use faregate::domain::entry::Entry;
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};

use crate::rig::upstream::Gate;

/// What becomes of an extension.
#[derive(Clone)]
pub(super) enum Fate {
    /// It is not made, and there is no answer.
    Lost,
    /// It is made, and the answer lost.
    Unheard,
    /// It is made, and the answer comes when the gate opens.
    Late(Gate),
}

#[derive(Debug)]
pub(super) struct Wire {
    ledger: Arc<dyn Ledger>,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    fates: VecDeque<Fate>,
    /// The numbers of the extensions asked for.
    numbers: Vec<u64>,
    renewals: usize,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Wire {
        let script = Mutex::default();
        Wire { ledger, script }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of the next extensions.
    pub(super) fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.script().fates.extend(fates);
    }

    /// All is well again.
    pub(super) fn heal(&self) {
        self.script().fates.clear();
    }

    /// The numbers of the extensions that were asked for.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.script().numbers.clone()
    }

    pub(super) fn renewals(&self) -> usize {
        self.script().renewals
    }

    fn fate(&self, command: &Command) -> Option<Fate> {
        let mut script = self.script();
        match command {
            Command::Renew(_) => script.renewals += 1,
            Command::Extend(extend) => {
                script.numbers.push(extend.number);
                return script.fates.pop_front();
            }
            _ => {}
        }
        None
    }
}

impl Ledger for Wire {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        Box::pin(async move {
            let fate = self.fate(command);
            if matches!(fate, Some(Fate::Lost)) {
                return Err(LedgerError::TimedOut(1));
            }
            let outcome = self.ledger.execute(command).await?;
            match fate {
                Some(Fate::Unheard) => return Err(LedgerError::TimedOut(1)),
                Some(Fate::Late(gate)) => gate.passed().await,
                _ => {}
            }
            Ok(outcome)
        })
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        self.ledger.identify(digest)
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        self.ledger.statement(account)
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        self.ledger.keys(account)
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        self.ledger.hold(account, hold)
    }

    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        self.ledger.accounts(cursor, limit)
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        self.ledger.entries(account, cursor, limit)
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        self.ledger.entries_of_hold(account, hold)
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        self.ledger.usage_by_day(account, from, to)
    }

    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.ledger.journal(partition, after, limit)
    }

    fn partitions(&self) -> u32 {
        self.ledger.partitions()
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        self.ledger.sweep(on_expiry)
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        self.ledger.verify()
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        self.ledger.rebuild()
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        self.ledger.ready()
    }

    fn durability(&self) -> String {
        self.ledger.durability()
    }
}
