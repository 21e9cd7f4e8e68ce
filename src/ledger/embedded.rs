//! The embedded ledger: one process, one folder, one SQLite file, every answer on disk before it is given.
//!
//! A thread of its own ([`writer`]) owns the engine's state and the file. It takes all commands that wait as one batch, writes what they change in one
//! transaction, syncs once, then answers all: the more callers, the fewer syncs per command. After a kill at any instant the file has every
//! operation that was answered.
//!
//! | File | Does |
//! |---|---|
//! | `schema`, `views`, `rows`, `write`, `load` | the tables, and values from and to them |
//! | `writer`, `timers`, `chain` | rounds of commands; holds whose turn it is; the journal's hash chain |
//! | `reads`, `memos` | what is read from the file beside the writer; memos |
//! | `verify`, `rebuild`, `backup`, `copied` | proofs, balances from the journal alone, copies, and a ledger that moved away |
//! | `lock`, `fault` | one process at a time; what a failure means |
//!
//! `sqlite3 FOLDER/ledger.db 'SELECT * FROM accounts_view'` shows it to anyone, also while it runs.

mod backup;
mod chain;
mod copied;
mod fault;
mod load;
mod lock;
mod memos;
mod reads;
mod rebuild;
mod rows;
mod schema;
mod timers;
mod verify;
mod views;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::fault::Fault;
use self::load::Loaded;
use self::lock::Lock;
use self::reads::Readers;
use self::writer::{Broken, Request, Writer};
use super::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};
use crate::clock::Clock;
use crate::domain::command::{Command, Outcome};
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, State};
use crate::domain::entry::Entry;
use crate::domain::hold::{Hold, OnExpiry};
use crate::domain::ids::{AccountId, HoldId, KeyDigest};
use crate::domain::key::{Identity, Key};
use crate::domain::time::Timestamp;

pub use self::backup::restore;
pub use self::rebuild::repair;
pub use self::verify::verify_file;

/// The file's name in the ledger's folder.
pub const FILE: &str = "ledger.db";

/// The most books one call of [`EmbeddedLedger::export`] gives.
pub const EXPORT_MAX: usize = 100;

/// Entries up to which a start checks the journal's pages; a longer journal is checked by `verify`.
const JOURNAL_CHECKED_AT_START: i64 = 500_000;

/// Where the ledger is, and its limits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its folder; made if it is not there.
    pub folder: PathBuf,
    /// The most commands and reads that wait; one more is refused as [`LedgerError::Unavailable`].
    pub queue_max: usize,
    /// How long a caller waits for its answer, before it is [`LedgerError::TimedOut`].
    pub answer_within: Duration,
}

impl Options {
    /// The usual limits: 8,192 waiting, 5 s.
    pub fn new(folder: impl Into<PathBuf>) -> Options {
        Options {
            folder: folder.into(),
            queue_max: 8_192,
            answer_within: Duration::from_secs(5),
        }
    }
}

/// A ledger in a folder. Its drop waits until all that was asked is written and the folder is free again.
pub struct EmbeddedLedger {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    readers: Readers,
    clock: Arc<dyn Clock>,
    memo_writes: Arc<Semaphore>,
    broken: Broken,
    options: Options,
}

impl fmt::Debug for EmbeddedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLedger")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl EmbeddedLedger {
    /// Opens the ledger of a folder, or makes an empty one; checks it first. Blocks (well below a second for 100,000 accounts).
    ///
    /// Errors: another process has it, it was copied elsewhere, it is of a newer layout, it is damaged, the disk does not let it; each says what to do.
    pub fn open(options: Options, clock: Arc<dyn Clock>) -> Result<EmbeddedLedger, LedgerError> {
        let folder = options.folder.clone();
        make_folder(&folder)?;
        let lock = Lock::take(&folder)?;
        copied::check(&folder)?;
        let at_start = |fault: Fault| fault.at_start(&folder);
        let file = folder.join(FILE);
        let conn = schema::open_writer(&file, &store_id()?, clock.now()).map_err(at_start)?;
        // What an earlier process could not sync is read back from the log and written anew, before anything is built on it.
        writer::checkpoint(&conn, "TRUNCATE").map_err(at_start)?;
        let loaded = check_and_load(&conn, &file).map_err(at_start)?;
        sync_folder(&folder)?;

        let broken: Broken = Arc::new(OnceLock::new());
        let (queue, mut requests) = mpsc::channel(options.queue_max.max(1));
        let (seen, time) = (broken.clone(), clock.clone());
        let serve = move || {
            // Dropped in reverse: the lock goes last, when nothing can write any more.
            let _lock = lock;
            let conn = conn;
            match Writer::new(&conn, loaded, time, seen.clone()) {
                Ok(mut writer) => writer.run(&mut requests),
                Err(fault) => {
                    let _ = seen.set(fault.to_error());
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(serve)
            .map_err(|e| LedgerError::Misconfigured(format!("no thread for the ledger: {e}")))?;
        Ok(EmbeddedLedger {
            queue: Some(queue),
            thread: Some(thread),
            readers: Readers::new(file, broken.clone()),
            clock,
            memo_writes: Arc::new(Semaphore::new(memos::WRITES_MAX)),
            broken,
            options,
        })
    }

    /// Whole books, each with the largest credit line that its account was asked with, by account id after `after`, at most [`EXPORT_MAX`]: for
    /// `ledger copy`. Their entries come from [`Ledger::journal`] or [`Ledger::entries`].
    pub async fn export(
        &self,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<(Book, Credits)>, LedgerError> {
        let cursor = after.map(AccountId::as_str);
        let page = self.accounts(cursor, limit.min(EXPORT_MAX)).await?;
        self.job(move |writer| {
            let book = |id| {
                let line = writer.lines.get(id).copied().unwrap_or_default();
                Some((writer.state.book(id)?.clone(), line))
            };
            Ok(page.items.iter().filter_map(book).collect())
        })
        .await
    }

    /// From now on the ledger is not opened any more: it was copied to `to`, which is told to whoever tries.
    ///
    /// Errors: the disk does not let it.
    pub fn mark_copied(&self, to: &str) -> Result<(), LedgerError> {
        copied::mark(&self.options.folder, to)
    }

    /// Writes a verified copy of the ledger as it is now into a new file, while it runs.
    pub async fn backup(&self, to: &Path) -> Result<VerifyReport, LedgerError> {
        let to = to.to_owned();
        self.readers.alone(move |conn| backup::copy(conn, &to)).await
    }

    fn queue(&self, request: Request) -> Result<(), LedgerError> {
        if let Some(error) = self.broken.get() {
            return Err(error.clone());
        }
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(request).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => LedgerError::Unavailable(format!(
                "{} operations wait for the disk already",
                self.options.queue_max
            )),
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })
    }

    /// Puts a request into the queue at once and waits for its answer in the future that it returns: dropping that does not take the request back.
    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Request,
    ) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue(request(reply));
        let within = self.options.answer_within;
        Box::pin(async move {
            queued?;
            match tokio::time::timeout(within, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(self.broken.get().cloned().unwrap_or_else(stopped)),
                Err(_) => Err(timed_out(within)),
            }
        })
    }

    /// Looks at the state as the disk has it.
    fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State, Timestamp) -> T + Send + 'static,
    ) -> Answer<'_, T> {
        self.job(move |writer| Ok(read(&writer.state, writer.now())))
    }

    /// Does something on the writer's thread, between two rounds.
    fn job<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Writer<'_>) -> Result<T, LedgerError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.ask(move |reply| {
            Request::Job(Box::new(move |writer| {
                let _ = reply.send(writer.and_then(job));
            }))
        })
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Ledger for EmbeddedLedger {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        let command = command.clone();
        self.ask(move |reply| Request::Execute(command, reply))
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        let digest = *digest;
        self.look(move |state, _| state.identify(&digest))
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        let account = account.clone();
        self.look(move |state, time| {
            let (account, grants) = state.book(&account)?.statement(time);
            Some(Statement {
                account,
                grants,
                time,
            })
        })
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        let account = account.clone();
        self.look(move |state, _| {
            let keys = state.book(&account).into_iter().flat_map(|b| b.keys.values());
            keys.cloned().collect()
        })
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        let account = account.clone();
        self.look(move |state, _| state.book(&account)?.holds.get(&hold).cloned())
    }

    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        let after = cursor.unwrap_or_default().to_owned();
        self.readers
            .read(move |conn| reads::accounts(conn, &after, limit))
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        let account = account.clone();
        match reads::cursor(cursor) {
            Ok(before) => self
                .readers
                .read(move |conn| reads::entries(conn, &account, before, limit)),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        let account = account.clone();
        self.readers
            .read(move |conn| reads::entries_of_hold(conn, &account, hold))
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        let account = account.clone();
        self.readers
            .read(move |conn| reads::usage_by_day(conn, &account, from, to))
    }

    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        if partition >= self.partitions() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        self.readers.read(move |conn| reads::journal(conn, after, limit))
    }

    fn partitions(&self) -> u32 {
        1
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        self.ask(move |reply| Request::Sweep(on_expiry, reply))
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        Box::pin(verify::live(self))
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        Box::pin(rebuild::live(self))
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        self.look(|_, time| time)
    }

    fn durability(&self) -> String {
        "embedded: each answer is on disk before it is given; nothing is lost when the process, the system or the power fails, as far as the \
         disk keeps what it said it has synced"
            .to_owned()
    }
}

/// Loads all accounts and checks them, while another thread checks the file.
fn check_and_load(conn: &Connection, file: &Path) -> Result<Loaded, Fault> {
    let check_file = || schema::quick_check(&schema::open_reader(file)?, JOURNAL_CHECKED_AT_START);
    let (checked, loaded) = std::thread::scope(|scope| {
        let checking = scope.spawn(check_file);
        let loaded = load::everything(conn).and_then(|loaded| {
            load::check(conn, &loaded)?;
            Ok(loaded)
        });
        (checking.join(), loaded)
    });
    checked.map_err(|_| Fault::Broken("the check of the file failed".to_owned()))??;
    loaded
}

fn timed_out(within: Duration) -> LedgerError {
    LedgerError::TimedOut(u64::try_from(within.as_millis()).unwrap_or(u64::MAX))
}

fn stopped() -> LedgerError {
    LedgerError::Misconfigured("the ledger has stopped: restart".to_owned())
}

/// A random name for a new store.
fn store_id() -> Result<String, LedgerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| LedgerError::Misconfigured(format!("no randomness from the system: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn make_folder(folder: &Path) -> Result<(), LedgerError> {
    let failed = |e: std::io::Error| {
        LedgerError::Misconfigured(format!("cannot make the folder {}: {e}", folder.display()))
    };
    if folder.is_dir() {
        return Ok(());
    }
    // What is inside is nobody else's business.
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
    sync_folder(parent.unwrap_or(Path::new(".")))
}

/// Makes sure that the names in a folder are on disk.
fn sync_folder(folder: &Path) -> Result<(), LedgerError> {
    std::fs::File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| LedgerError::Misconfigured(format!("cannot sync the folder {}: {e}", folder.display())))
}
