//! The engine with a journal and a disk that may not have kept the last of it.

use faregate::domain::command::{Command, HOLDS_REMEMBERED, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::engine::{Change, State, Step, invariants};
use faregate::domain::entry::Entry;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::AccountId;
use faregate::domain::time::Timestamp;
use faregate::ledger::{LedgerError, VerifyReport};

use super::Bug;
use crate::sim::rng::Rng;

pub(super) struct Core {
    pub(super) state: State,
    pub(super) journal: Vec<Entry>,
    /// Every step since the beginning: what the disk has.
    steps: Vec<Step>,
    /// The store lost acknowledged operations and knows it: it refuses until rebuilt.
    lost: bool,
    pub(super) skew: i64,
    last: i64,
    bug: Option<Bug>,
}

impl Core {
    pub(super) fn new(bug: Option<Bug>) -> Core {
        Core {
            state: State::default(),
            journal: Vec::new(),
            steps: Vec::new(),
            lost: false,
            skew: 0,
            last: 0,
            bug,
        }
    }

    /// The store's time: the world's, its own error included, and no two operations at the same microsecond while it runs forward.
    pub(super) fn now(&mut self) -> Timestamp {
        let world = turmoil::since_epoch().expect("asked on a host").as_micros();
        let world = i64::try_from(world).expect("before the year 2255") + self.skew;
        self.last = if world <= self.last && world > self.last - 1_000 {
            self.last + 1
        } else {
            world
        };
        Timestamp::from_micros(self.last)
    }

    pub(super) fn whole(&self) -> Result<(), LedgerError> {
        if self.lost {
            return Err(LedgerError::LostHistory("the tail of its file".to_owned()));
        }
        Ok(())
    }

    pub(super) fn execute(&mut self, command: &Command) -> Result<Outcome, LedgerError> {
        self.whole()?;
        let now = self.now();
        let command = match self.bug {
            Some(bug) => bug.before(&mut self.state, command),
            None => command.clone(),
        };
        let step = self.state.step(&command, now);
        self.commit(step.clone());
        if let Some(bug) = self.bug {
            bug.after(&mut self.state, &command, &step);
        }
        Ok(step.outcome)
    }

    fn commit(&mut self, step: Step) {
        self.state.commit(&step);
        let entries = step.changes.iter().filter_map(|change| match change {
            Change::Entry(entry) => Some(entry.clone()),
            _ => None,
        });
        self.journal.extend(entries);
        self.steps.push(step);
    }

    pub(super) fn sweep(&mut self, on_expiry: OnExpiry) -> Result<u64, LedgerError> {
        self.whole()?;
        let now = self.now();
        if let Some(bug) = self.bug {
            bug.before_sweep(&mut self.state);
        }
        let mut ran_out = self.state.expired_holds(now.max(self.state.time), usize::MAX);
        // The engine's books are in no order; a simulation needs one.
        ran_out.sort();
        let mut ended = 0;
        for (account, hold) in ran_out.into_iter().take(100) {
            let command = Command::ExpireHold {
                account,
                hold,
                on_expiry,
            };
            ended += u64::from(matches!(self.execute(&command)?, Outcome::Applied(_)));
        }
        debug_assert!(HOLDS_REMEMBERED.micros() > 0, "nothing here lives that long");
        Ok(ended)
    }

    /// The store was killed, and its disk has only a part of what was acknowledged.
    pub(super) fn lose_tail(&mut self, rng: &mut Rng) -> bool {
        let lost = rng.index(self.steps.len().min(40) + 1);
        let steps = std::mem::take(&mut self.steps);
        let kept = steps.len() - lost;
        self.lost |= lost > 0;
        self.state = State::default();
        self.journal.clear();
        steps.into_iter().take(kept).for_each(|step| self.commit(step));
        lost > 0
    }

    /// The operator has looked and says: go on from here.
    pub(super) fn rebuilt(&mut self) {
        self.lost = false;
    }

    pub(super) fn accounts(&self) -> Vec<AccountId> {
        let mut ids: Vec<_> = self.state.books().map(|b| b.account.id.clone()).collect();
        ids.sort();
        ids
    }

    pub(super) fn verify(&self) -> VerifyReport {
        let accounts = self.accounts();
        let mut differences = Vec::new();
        for id in &accounts {
            let Some(book) = self.state.book(id) else { continue };
            let entries = self.journal.iter().filter(|e| e.account == *id);
            let mut found = invariants::check(book, Credits::MAX);
            found.extend(invariants::check_journal(book.account.balance(), entries));
            differences.extend(found.iter().map(|violation| format!("{id}: {violation}")));
        }
        let gap = self
            .journal
            .iter()
            .zip(1..)
            .find(|(entry, seq)| entry.seq != *seq);
        if let Some((entry, seq)) = gap {
            differences.push(format!("the journal has {} where {seq} should be", entry.seq));
        }
        VerifyReport {
            accounts: accounts.len() as u64,
            entries: self.journal.len() as u64,
            differences,
        }
    }
}
