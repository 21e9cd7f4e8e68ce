//! Bugs planted between a proxy and its ledger, as a careless gate, charge task or client would have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use faregate::domain::command::{Admit, Command, Outcome, Receipt};
use faregate::domain::entry::Entry;
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};

/// What is wrong with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientBug {
    /// No answer counts as yes.
    FailsOpen,
    /// A lost answer to an admit is asked for under a new id.
    NewIdOnRetry,
    /// A lost answer to the end of a hold counts as done.
    SettlesOnce,
    /// Holds are not renewed.
    RenewsNothing,
    /// Who is paused is not looked at.
    IgnoresPause,
}

impl ClientBug {
    pub(crate) const ALL: [ClientBug; 5] = [
        ClientBug::FailsOpen,
        ClientBug::NewIdOnRetry,
        ClientBug::SettlesOnce,
        ClientBug::RenewsNothing,
        ClientBug::IgnoresPause,
    ];

    /// A ledger with this bug in front of it.
    pub(crate) fn spoil(self, ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        Arc::new(Spoilt {
            bug: self,
            ledger,
            ids: AtomicI64::new(0),
        })
    }
}

#[derive(Debug)]
struct Spoilt {
    bug: ClientBug,
    ledger: Arc<dyn Ledger>,
    ids: AtomicI64,
}

impl Spoilt {
    async fn spoilt(&self, command: &Command) -> Result<Outcome, LedgerError> {
        let done = Outcome::Applied(Receipt::default());
        match (self.bug, command) {
            (ClientBug::RenewsNothing, Command::Renew(_)) => Ok(done),
            (ClientBug::SettlesOnce, Command::Capture(_) | Command::Release(_)) => {
                Ok(self.ledger.execute(command).await.unwrap_or(done))
            }
            (ClientBug::FailsOpen, Command::Admit(admit)) => {
                let open = Outcome::Applied(Receipt {
                    amount: admit.most,
                    ..Receipt::default()
                });
                Ok(self.ledger.execute(command).await.unwrap_or(open))
            }
            (ClientBug::NewIdOnRetry, Command::Admit(admit)) => self.under_a_new_id(admit).await,
            _ => self.ledger.execute(command).await,
        }
    }

    async fn under_a_new_id(&self, admit: &Admit) -> Result<Outcome, LedgerError> {
        let first = self.ledger.execute(&Command::Admit(admit.clone())).await;
        if !matches!(first, Err(LedgerError::TimedOut(_))) {
            return first;
        }
        let mut random = [7; 10];
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        random[2..].copy_from_slice(&number.to_le_bytes());
        let hold = HoldId::new(admit.hold.millis(), random);
        let again = Command::Admit(Admit {
            hold,
            ..admit.clone()
        });
        self.ledger.execute(&again).await
    }
}

impl Ledger for Spoilt {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        Box::pin(self.spoilt(command))
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        Box::pin(async move {
            let mut identity = self.ledger.identify(digest).await?;
            if self.bug == ClientBug::IgnoresPause {
                identity.iter_mut().for_each(|i| i.reasons.clear());
            }
            Ok(identity)
        })
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
