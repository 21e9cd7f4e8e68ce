//! What is read from the file beside the writer: the journal, and lists. On connections of their own, on blocking threads; each sees whole batches only.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, params};
use tokio::sync::Semaphore;

use super::fault::Fault;
use super::rows::{self, JOURNAL};
use super::writer::Broken;
use super::{schema, stopped, timed_out};
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::ids::{AccountId, HoldId};
use crate::ledger::{Answer, DayUsage, LedgerError, PAGE_MAX, Page};

/// Reads at once; more wait.
const AT_ONCE: usize = 4;

/// How long a caller waits for a read.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// The most days of one question about usage.
const DAYS_MAX: i64 = 400;

const DAY_MICROS: i64 = 86_400_000_000;

/// Connections that only read.
pub(super) struct Readers {
    file: PathBuf,
    broken: Broken,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(file: PathBuf, broken: Broken) -> Readers {
        Readers {
            file,
            broken,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// A short read.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            let (file, idle) = (self.file.clone(), self.idle.clone());
            let work = async {
                let permit = self.permits.clone().acquire_owned().await;
                self.blocking(move || {
                    let _permit = permit;
                    let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let conn = waiting.map_or_else(|| schema::open_reader(&file), Ok)?;
                    let found = read(&conn)?;
                    idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
                    Ok(found)
                })
                .await
            };
            tokio::time::timeout(READ_WITHIN, work)
                .await
                .unwrap_or_else(|_| Err(timed_out(READ_WITHIN)))
        })
    }

    /// A long one, on a connection of its own, however long it takes.
    pub(super) async fn alone<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let file = self.file.clone();
        self.blocking(move || read(&schema::open_reader(&file)?)).await
    }

    /// A connection to keep.
    pub(super) async fn open(&self) -> Result<Connection, LedgerError> {
        let file = self.file.clone();
        self.blocking(move || schema::open_reader(&file)).await
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, LedgerError> {
        if let Some(error) = self.broken.get() {
            return Err(error.clone());
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(|fault| fault.to_error()),
            Err(_) => Err(stopped()),
        }
    }
}

/// Reads a cursor of [`entries`]: the entry that the next page begins before.
pub(super) fn cursor(cursor: Option<&str>) -> Result<Option<i64>, LedgerError> {
    let parse = |text: &str| {
        let seq = text.parse().ok().filter(|seq| *seq > 0);
        seq.ok_or_else(|| {
            LedgerError::Invalid(format!(
                "{text:?} is not a cursor of this ledger: begin without one"
            ))
        })
    };
    cursor.map(parse).transpose()
}

pub(super) fn accounts(conn: &Connection, after: &str, limit: usize) -> Result<Page<AccountId>, Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut statement = conn.prepare("SELECT id FROM accounts WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![after, one_more(limit)])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        items.push(
            AccountId::new(&id).map_err(|e| Fault::Damaged(format!("an account's id is {id:?}: {e}")))?,
        );
    }
    Ok(page(items, limit, |id| id.to_string()))
}

pub(super) fn entries(
    conn: &Connection,
    account: &AccountId,
    before: Option<i64>,
    limit: usize,
) -> Result<Page<Entry>, Fault> {
    let limit = limit.clamp(1, PAGE_MAX);
    let items = select(
        conn,
        "account = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
        params![account.as_str(), before.unwrap_or(i64::MAX), one_more(limit)],
    )?;
    Ok(page(items, limit, |entry| entry.seq.to_string()))
}

pub(super) fn entries_of_hold(
    conn: &Connection,
    account: &AccountId,
    hold: HoldId,
) -> Result<Vec<Entry>, Fault> {
    let limit = i64::try_from(PAGE_MAX).unwrap_or(i64::MAX);
    select(
        conn,
        "subject = ?1 AND account = ?2 ORDER BY seq LIMIT ?3",
        params![hold.to_string(), account.as_str(), limit],
    )
}

pub(super) fn journal(conn: &Connection, after: u64, limit: usize) -> Result<Vec<Entry>, Fault> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX);
    select(conn, "seq > ?1 ORDER BY seq LIMIT ?2", params![after, limit])
}

pub(super) fn usage_by_day(
    conn: &Connection,
    account: &AccountId,
    from: i64,
    to: i64,
) -> Result<Vec<DayUsage>, Fault> {
    let from = from.max(0);
    let to = to.min(from.saturating_add(DAYS_MAX - 1));
    let begin = first_entry_at(conn, from.saturating_mul(DAY_MICROS))?;
    let end = first_entry_at(conn, to.saturating_add(1).saturating_mul(DAY_MICROS))?;
    let mut statement = conn.prepare(
        "SELECT time / 86400000000 AS day, sum(kind = 'capture' AND amount > 0), sum(amount) FROM journal \
         WHERE account = ?1 AND seq >= ?2 AND seq < ?3 AND kind IN ('capture', 'release') GROUP BY day ORDER BY day",
    )?;
    let mut rows = statement.query(params![account.as_str(), begin, end])?;
    let mut days = Vec::new();
    while let Some(row) = rows.next()? {
        let charged: i64 = row.get(2)?;
        let requests: i64 = row.get(1)?;
        let day = DayUsage {
            day: row.get(0)?,
            requests: requests.unsigned_abs(),
            charged: Credits::from_micros(charged)
                .map_err(|e| Fault::Damaged(format!("a day's charges of account {account}: {e}")))?,
        };
        if day.requests > 0 || !day.charged.is_zero() {
            days.push(day);
        }
    }
    Ok(days)
}

/// The number of the first entry at or after a time. Entries are in the order of time, without gaps: halving finds it.
fn first_entry_at(conn: &Connection, time: i64) -> Result<i64, Fault> {
    let last: i64 = conn.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get(0))?;
    let mut statement = conn.prepare("SELECT time FROM journal WHERE seq = ?1")?;
    let (mut low, mut high) = (1, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let at: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
        if at.is_some_and(|at| at < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn select(conn: &Connection, rest: &str, params: impl Params) -> Result<Vec<Entry>, Fault> {
    let mut statement = conn.prepare(&format!("SELECT {} FROM journal WHERE {rest}", JOURNAL.list()))?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(rows::entry(row)?.0);
    }
    Ok(items)
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}

/// A page of at most `limit` items from one more than that.
fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    Page { items, next }
}
