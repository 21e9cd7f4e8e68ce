//! The one writer: a thread that owns the state and the file.
//!
//! A round takes everything that waits, decides it in memory one after the other, writes all changes in one transaction, syncs once, then answers all.
//! Nobody sees the state but between rounds, when it is what the disk has.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{mpsc, oneshot};

use super::chain::Chain;
use super::fault::Fault;
use super::load::{self, Loaded};
use super::memos;
use super::schema::LOG_PAGES;
use super::timers::{Timer, Timers};
use super::write::{Changes, Head, Statements};
use crate::clock::Clock;
use crate::domain::command::{Command, Outcome};
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, Change, State};
use crate::domain::hold::OnExpiry;
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::memos::{Kept, Wrote};

/// The most requests of one round.
const ROUND_MAX: usize = 1_024;

/// The most holds one sweep ends.
const EXPIRE_MAX: usize = 2_000;

/// The most ended holds one sweep forgets, and the most memos.
const FORGET_MAX: usize = 10_000;

/// Rows written before the log is looked at.
const ROWS_BETWEEN_CHECKPOINTS: usize = 8_192;

/// An answer on its way back.
pub(super) type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Something done on the writer's thread between rounds.
pub(super) type Job = Box<dyn FnOnce(Result<&mut Writer<'_>, LedgerError>) + Send>;

/// What waits in the queue.
pub(super) enum Request {
    /// A command, and where its answer goes.
    Execute(Command, Reply<Outcome>),
    /// A memo to be written, and where what came of it goes.
    Memo(memos::Write, Reply<Wrote>),
    /// End and forget what is due; the answer is how many holds ended.
    Sweep(OnExpiry, Reply<u64>),
    /// A look at the state, or a rebuild.
    Job(Job),
}

/// Set once, when nothing more may be served, and why.
pub(super) type Broken = Arc<OnceLock<LedgerError>>;

pub(super) struct Writer<'c> {
    pub(super) conn: &'c Connection,
    statements: Statements<'c>,
    pub(super) state: State,
    pub(super) lines: HashMap<AccountId, Credits>,
    pub(super) chain: Chain,
    timers: Timers,
    clock: Arc<dyn Clock>,
    broken: Broken,
    rows: usize,
}

/// A round's steps, applied in memory and not yet on disk.
#[derive(Default)]
struct Round {
    changes: Changes,
    outcomes: Vec<(Reply<Outcome>, Outcome)>,
    wrote: Vec<(Reply<Wrote>, Wrote)>,
    sweeps: Vec<(Reply<u64>, u64)>,
    expired: Vec<Timer>,
    forgettable: Vec<Timer>,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        loaded: Loaded,
        clock: Arc<dyn Clock>,
        broken: Broken,
    ) -> Result<Writer<'c>, Fault> {
        Ok(Writer {
            conn,
            statements: Statements::prepare(conn)?,
            timers: Timers::of(&loaded.state),
            state: loaded.state,
            lines: loaded.lines,
            chain: loaded.chain,
            clock,
            broken,
            rows: 0,
        })
    }

    /// Serves until every sender is gone and the queue is empty.
    pub(super) fn run(&mut self, queue: &mut mpsc::Receiver<Request>) {
        let mut waiting = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            waiting.push(first);
            while waiting.len() < ROUND_MAX
                && let Ok(next) = queue.try_recv()
            {
                waiting.push(next);
            }
            self.round(&mut waiting);
        }
        if self.broken.get().is_none() {
            self.checkpoint("TRUNCATE");
        }
    }

    /// The latest of the clock and all that was seen.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now().max(self.state.time)
    }

    fn round(&mut self, waiting: &mut Vec<Request>) {
        let mut round = Round::default();
        let mut jobs = Vec::new();
        let before = (self.state.seq, self.chain.clone());
        for request in waiting.drain(..) {
            match (request, self.broken.get()) {
                (Request::Job(job), _) => jobs.push(job),
                (Request::Execute(_, reply), Some(error)) => {
                    let _ = reply.send(Err(error.clone()));
                }
                (Request::Sweep(_, reply), Some(error)) => {
                    let _ = reply.send(Err(error.clone()));
                }
                (Request::Memo(_, reply), Some(error)) => {
                    let _ = reply.send(Err(error.clone()));
                }
                (Request::Memo(write, reply), None) => match self.write_memo(&mut round.changes, &write) {
                    Ok(wrote) => round.wrote.push((reply, wrote)),
                    Err(fault) => {
                        let _ = reply.send(Err(fault.to_error()));
                    }
                },
                (Request::Execute(command, reply), None) => {
                    let outcome = self.step(&mut round.changes, &command);
                    round.outcomes.push((reply, outcome));
                }
                (Request::Sweep(on_expiry, reply), None) => {
                    let ended = self.sweep(&mut round, on_expiry);
                    round.sweeps.push((reply, ended));
                }
            }
        }
        let written = self.write(&round.changes);
        if written.is_err() {
            self.return_to(before, &round.changes);
        }
        self.answer(round, written);
        for job in jobs {
            match self.broken.get() {
                Some(error) => job(Err(error.clone())),
                None => job(Ok(self)),
            }
        }
        if self.rows > ROWS_BETWEEN_CHECKPOINTS && self.broken.get().is_none() {
            self.rows = 0;
            self.checkpoint("PASSIVE");
        }
    }

    fn answer(&mut self, round: Round, written: Result<(), LedgerError>) {
        match &written {
            Ok(()) => {
                for (_, account, hold) in &round.forgettable {
                    self.state.forget_hold(account, *hold);
                }
            }
            Err(_) => self.timers.put_back(round.expired, round.forgettable),
        }
        for (reply, outcome) in round.outcomes {
            let _ = reply.send(written.clone().map(|()| outcome));
        }
        for (reply, wrote) in round.wrote {
            let _ = reply.send(written.clone().map(|()| wrote));
        }
        for (reply, ended) in round.sweeps {
            let _ = reply.send(written.clone().map(|()| ended));
        }
    }

    /// Decides one command and applies it in memory.
    fn step(&mut self, changes: &mut Changes, command: &Command) -> Outcome {
        let step = self.state.step(command, self.clock.now());
        if step.changes.is_empty() {
            return step.outcome;
        }
        self.remember_line(command);
        let book = self.state.book(&step.account);
        let settings = book.map(|b| b.account.settings.clone());
        for change in &step.changes {
            if let Change::Hold(hold) = change {
                self.timers.saw(hold);
            }
        }
        self.state.commit(&step);
        let outcome = step.outcome.clone();
        changes.add(step, settings.as_ref());
        outcome
    }

    /// Keeps the largest credit line that a request came with: the floor that the law is checked against.
    fn remember_line(&mut self, command: &Command) {
        let caller = match command {
            Command::Admit(admit) => &admit.caller,
            Command::Extend(extend) => &extend.caller,
            Command::Capture(capture) => &capture.caller,
            Command::Release(release) => &release.caller,
            _ => return,
        };
        if !caller.credit_line.is_zero() {
            let line = self.lines.entry(caller.account.clone()).or_default();
            *line = (*line).max(caller.credit_line);
        }
    }

    fn sweep(&mut self, round: &mut Round, on_expiry: OnExpiry) -> u64 {
        let now = self.now();
        let expired = self.timers.take_expired(&self.state, now, EXPIRE_MAX);
        let mut ended = 0;
        for (_, account, hold) in &expired {
            let command = Command::ExpireHold {
                account: account.clone(),
                hold: *hold,
                on_expiry,
            };
            let outcome = self.step(&mut round.changes, &command);
            ended += u64::from(matches!(outcome, Outcome::Applied(_)));
        }
        let forgettable = self.timers.take_forgettable(&self.state, now, FORGET_MAX);
        let forgotten = forgettable
            .iter()
            .map(|(_, account, hold)| (account.clone(), *hold));
        round.changes.forgotten.extend(forgotten);
        round.expired.extend(expired);
        round.forgettable.extend(forgettable);
        match memos::forgettable(self.conn, now, FORGET_MAX) {
            // One that was written in this round is looked at by the next sweep.
            Ok(names) => names.into_iter().for_each(|name| {
                round.changes.memos.entry(name).or_insert(None);
            }),
            Err(fault) => tracing::error!(what = fault.what(), "memos cannot be forgotten"),
        }
        ended
    }

    /// Decides on a memo; what is there is what the file and this round so far say.
    fn write_memo(&self, changes: &mut Changes, write: &memos::Write) -> Result<Wrote, Fault> {
        let now = self.now();
        let there = match changes.memos.get(&write.name) {
            Some(there) => there.clone().filter(|kept| kept.memo.forget_at > now),
            None => memos::one(self.conn, &write.name, now)?,
        };
        let (wrote, new) = Kept::decide(there, write.expected, &write.memo);
        if let Some(new) = new {
            let kept = (new.memo.forget_at > now).then_some(new);
            changes.memos.insert(write.name.clone(), kept);
        }
        Ok(wrote)
    }

    /// Writes and syncs; on an error nothing of it counts.
    fn write(&mut self, changes: &Changes) -> Result<(), LedgerError> {
        if changes.is_empty() {
            return Ok(());
        }
        let head = Head {
            time: self.state.time,
            seq: self.state.seq,
            chain: &mut self.chain,
            lines: &self.lines,
        };
        self.rows += changes.rows();
        match self.statements.write(changes, head) {
            Ok(()) => Ok(()),
            Err(Fault::Passing(what)) => {
                tracing::error!(%what, "the ledger could not be written; nothing of this batch was applied");
                Err(LedgerError::Unavailable(what))
            }
            Err(fault) => Err(self.break_down(&fault)),
        }
    }

    /// Makes the state again what the disk has, after a transaction that did not happen.
    fn return_to(&mut self, (seq, chain): (u64, Chain), changes: &Changes) {
        if self.broken.get().is_some() {
            return;
        }
        self.state.seq = seq;
        self.chain = chain;
        for account in changes.touched() {
            match load::book(self.conn, account) {
                Ok(Some((book, _))) => self.state.put_book(book),
                Ok(None) => {
                    self.state.remove_book(account);
                }
                Err(fault) => {
                    self.break_down(&fault);
                    return;
                }
            }
        }
    }

    /// Nothing more is served: after a failed sync the system may say of the next one that it went well, and be wrong.
    pub(super) fn break_down(&mut self, fault: &Fault) -> LedgerError {
        let error = LedgerError::Misconfigured(format!(
            "the ledger's file failed ({}): what was being written may or may not be on disk. Nothing more is served; look at the disk, then \
             restart, and the ledger goes on from what it finds",
            fault.what()
        ));
        tracing::error!(
            what = fault.what(),
            "the ledger's file failed; nothing more is served until a restart"
        );
        // Closing must not try to write either.
        if let Err(error) = self
            .conn
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::error!(%error, "cannot keep SQLite from writing at its end");
        }
        self.broken.get_or_init(|| error).clone()
    }

    /// Moves the log into the file. A failure to sync is as bad here as at a commit; being out of space or kept from it by a reader is not.
    fn checkpoint(&mut self, mode: &str) {
        match checkpoint(self.conn, mode) {
            Ok(()) => {}
            Err(Fault::Passing(what)) => {
                tracing::warn!(%what, "the ledger's log could not be moved into its file; it grows until it can")
            }
            Err(fault) => {
                self.break_down(&fault);
            }
        }
    }

    /// Puts whole books in place of what there is, in memory and on disk: a rebuild.
    pub(super) fn replace(&mut self, books: Vec<Book>) -> Result<(), LedgerError> {
        let mut changes = Changes::default();
        for book in &books {
            changes.replace(book.clone());
        }
        self.write(&changes)?;
        for book in books {
            self.state.put_book(book);
        }
        self.timers = Timers::of(&self.state);
        Ok(())
    }

    /// How much the file may grow, in pages: for tests of a full disk.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        let sql = format!("PRAGMA max_page_count = {pages}");
        self.conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    }
}

/// Moves the log into the file, as far as readers let it.
pub(super) fn checkpoint(conn: &Connection, mode: &str) -> Result<(), Fault> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, pages): (bool, i64) = conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if busy && pages > LOG_PAGES {
        tracing::debug!(
            pages,
            "a reader keeps the ledger's log from being moved into its file"
        );
    }
    Ok(())
}
