//! The port, each operation a question to the store's host.

use faregate::domain::command::{Command, Outcome};
use faregate::domain::entry::{Entry, EntryKind};
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::{Answer, DayUsage, Ledger, Page, Statement, VerifyReport};

use super::EngineLedger;

impl Ledger for EngineLedger {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        Box::pin(self.command(command.clone()))
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        let digest = *digest;
        Box::pin(self.ask(move |core| core.whole().map(|()| core.state.identify(&digest))))
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        let id = account.clone();
        Box::pin(self.ask(move |core| {
            let time = core.now();
            let statement = core.state.book(&id).map(|book| {
                let (account, grants) = book.statement(time);
                Statement {
                    account,
                    grants,
                    time,
                }
            });
            core.whole().map(|()| statement)
        }))
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        let id = account.clone();
        Box::pin(self.ask(move |core| {
            let book = core.state.book(&id);
            Ok(book.map_or_else(Vec::new, |b| b.keys.values().cloned().collect()))
        }))
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        let id = account.clone();
        Box::pin(self.ask(move |core| Ok(core.state.book(&id).and_then(|b| b.holds.get(&hold).cloned()))))
    }

    fn accounts<'a>(&'a self, _: Option<&'a str>, _: usize) -> Answer<'a, Page<AccountId>> {
        Box::pin(self.ask(|core| {
            Ok(Page {
                items: core.accounts(),
                next: None,
            })
        }))
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        let id = account.clone();
        let skipped: usize = cursor.map_or(0, |c| c.parse().expect("our own cursor"));
        Box::pin(self.ask(move |core| {
            let mut newest = core
                .journal
                .iter()
                .rev()
                .filter(|e| e.account == id)
                .skip(skipped);
            let items: Vec<_> = newest.by_ref().take(limit).cloned().collect();
            let next = newest.next().map(|_| (skipped + items.len()).to_string());
            Ok(Page { items, next })
        }))
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        let (id, hold) = (account.clone(), hold.to_string());
        Box::pin(self.ask(move |core| {
            let of_hold = core
                .journal
                .iter()
                .filter(|e| e.account == id && *e.subject == *hold);
            Ok(of_hold.cloned().collect())
        }))
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        let id = account.clone();
        Box::pin(self.ask(move |core| {
            let mut days: Vec<DayUsage> = Vec::new();
            let charges = core
                .journal
                .iter()
                .filter(|e| e.account == id && e.kind == EntryKind::Capture);
            for entry in charges.filter(|e| (from..=to).contains(&e.time.day())) {
                let day = entry.time.day();
                if days.last().is_none_or(|d| d.day != day) {
                    days.push(DayUsage {
                        day,
                        requests: 0,
                        charged: Default::default(),
                    });
                }
                let last = days.last_mut().expect("just pushed");
                last.requests += 1;
                last.charged = last.charged.saturating_add(entry.amount);
            }
            Ok(days)
        }))
    }

    fn journal(&self, _: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        Box::pin(self.ask(move |core| {
            let later = core.journal.iter().filter(|e| e.seq > after);
            Ok(later.take(limit).cloned().collect())
        }))
    }

    fn partitions(&self) -> u32 {
        1
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        Box::pin(self.ask(move |core| core.sweep(on_expiry)))
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        Box::pin(self.ask(|core| Ok(core.verify())))
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        Box::pin(self.ask(|core| {
            core.rebuilt();
            Ok(core.verify())
        }))
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        Box::pin(self.ask(|core| core.whole().map(|()| core.now())))
    }

    fn durability(&self) -> String {
        "a simulation's".to_owned()
    }
}
