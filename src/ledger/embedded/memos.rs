//! Memos in the same file as the books: written by the writer in the same transactions, read beside it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::Fault;
use super::load;
use super::rows::MEMOS;
use super::writer::Request;
use super::{EmbeddedLedger, Readers};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::ledger::memos::{DUE_MAX, Kept, MEMOS_PAGE_BYTES, Memo, MemoName, Memos, Wrote, check_kind};
use crate::ledger::{Answer, LedgerError, PAGE_MAX, Page};

/// The most memos that are to be written at once; more wait. Bounds the memory of the queue.
pub(super) const WRITES_MAX: usize = 256;

/// The indexes have only those with a time, and are used only where the question says so too.
pub(super) const DUE: &str = "SELECT name FROM memos WHERE due <= ?1 AND due < 9007199254740991 AND forget_at > ?1 \
                              ORDER BY due, name LIMIT ?2";
pub(super) const FORGETTABLE: &str =
    "SELECT name FROM memos WHERE forget_at <= ?1 AND forget_at < 9007199254740991 LIMIT ?2";

fn name(row: &Row<'_>) -> Result<MemoName, Fault> {
    let text: String = row.get(0)?;
    text.parse()
        .map_err(|e| Fault::Damaged(format!("a memo's name is {text:?}: {e}")))
}

fn memo(row: &Row<'_>) -> Result<(MemoName, Kept), Fault> {
    let text: String = row.get(2)?;
    let kept = Kept {
        memo: Memo {
            text: text.into(),
            due: Timestamp::from_micros(row.get(3)?),
            forget_at: Timestamp::from_micros(row.get(4)?),
        },
        version: row.get::<_, i64>(1)?.unsigned_abs(),
    };
    Ok((name(row)?, kept))
}

/// A memo that is not to be forgotten yet.
pub(super) fn one(conn: &Connection, name: &MemoName, now: Timestamp) -> Result<Option<Kept>, Fault> {
    let sql = format!(
        "SELECT {} FROM memos WHERE name = ?1 AND forget_at > ?2",
        MEMOS.list()
    );
    let mut statement = conn.prepare(&sql)?;
    let found = statement
        .query_row(params![name.as_str(), now.micros()], |row| Ok(memo(row)))
        .optional()?;
    Ok(found.transpose()?.map(|(_, kept)| kept))
}

/// Names of memos that are to be forgotten.
pub(super) fn forgettable(conn: &Connection, now: Timestamp, limit: usize) -> Result<Vec<MemoName>, Fault> {
    names(conn, FORGETTABLE, now, limit)
}

fn due(conn: &Connection, now: Timestamp, limit: usize) -> Result<Vec<MemoName>, Fault> {
    names(conn, DUE, now, limit)
}

fn names(conn: &Connection, sql: &str, now: Timestamp, limit: usize) -> Result<Vec<MemoName>, Fault> {
    let mut statement = conn.prepare(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![now.micros(), limit])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        names.push(name(row)?);
    }
    Ok(names)
}

/// Memos with names after one and before another, in the order of names; and whether there are more.
fn between(
    conn: &Connection,
    (after, before): (&str, &str),
    now: Timestamp,
    limit: usize,
) -> Result<(Vec<(MemoName, Kept)>, bool), Fault> {
    let sql = format!(
        "SELECT {} FROM memos WHERE name > ?1 AND name < ?2 AND forget_at > ?3 ORDER BY name",
        MEMOS.list()
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query(params![after, before, now.micros()])?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if items.len() >= limit || bytes >= MEMOS_PAGE_BYTES {
            return Ok((items, true));
        }
        let item = memo(row)?;
        bytes += item.1.memo.text.len();
        items.push(item);
    }
    Ok((items, false))
}

/// The store's time as a reader knows it: the clock's, and never before what the file has seen.
fn now(conn: &Connection, clock: &dyn Clock) -> Result<Timestamp, Fault> {
    Ok(clock.now().max(load::meta(conn)?.time))
}

/// Reads beside the writer, as of the store's time.
fn read<'r, T: Send + 'static>(
    readers: &'r Readers,
    clock: &Arc<dyn Clock>,
    read: impl FnOnce(&Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
) -> Answer<'r, T> {
    let clock = clock.clone();
    readers.read(move |conn| read(conn, now(conn, &*clock)?))
}

impl EmbeddedLedger {
    /// Memos of all kinds, in the order of their names after `after`: for `ledger copy`. None left when it gives none.
    pub async fn export_memos(&self, after: Option<&MemoName>) -> Result<Vec<(MemoName, Kept)>, LedgerError> {
        let after = after.map_or_else(String::new, MemoName::to_string);
        let page = move |conn: &Connection, now| between(conn, (&after, "\u{7f}"), now, PAGE_MAX);
        Ok(read(&self.readers, &self.clock, page).await?.0)
    }
}

impl Memos for EmbeddedLedger {
    fn memo<'a>(&'a self, name: &'a MemoName) -> Answer<'a, Option<Kept>> {
        let name = name.clone();
        read(&self.readers, &self.clock, move |conn, now| one(conn, &name, now))
    }

    fn write_memo<'a>(&'a self, name: &'a MemoName, expected: u64, memo: &'a Memo) -> Answer<'a, Wrote> {
        Box::pin(async move {
            memo.check(expected)?;
            let within = self.options.answer_within;
            let permit = tokio::time::timeout(within, self.memo_writes.clone().acquire_owned()).await;
            let Ok(Ok(permit)) = permit else {
                return Err(LedgerError::Unavailable(format!(
                    "{WRITES_MAX} memos wait for the disk already"
                )));
            };
            let write = Write {
                name: name.clone(),
                expected,
                memo: memo.clone(),
                _permit: permit,
            };
            self.ask(move |reply| Request::Memo(write, reply)).await
        })
    }

    fn due_memos(&self, limit: usize) -> Answer<'_, Vec<MemoName>> {
        let limit = limit.clamp(1, DUE_MAX);
        read(&self.readers, &self.clock, move |conn, now| due(conn, now, limit))
    }

    fn memos<'a>(
        &'a self,
        kind: &'a str,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<(MemoName, Kept)>> {
        let (first, last) = (format!("{kind}:"), format!("{kind};"));
        let after = cursor.unwrap_or(&first).to_owned();
        if let Err(error) = check_kind(kind) {
            return Box::pin(async move { Err(LedgerError::Invalid(format!("{kind:?}: {error}"))) });
        }
        if !after.starts_with(&first) {
            return Box::pin(async { Err(LedgerError::Invalid("not a cursor of this list".to_owned())) });
        }
        let limit = limit.clamp(1, PAGE_MAX);
        read(&self.readers, &self.clock, move |conn, now| {
            let (items, more) = between(conn, (&after, &last), now, limit)?;
            let next = items
                .last()
                .filter(|_| more)
                .map(|(name, _): &(MemoName, _)| name.to_string());
            Ok(Page { items, next })
        })
    }
}

/// A memo that is to be written.
pub(super) struct Write {
    pub(super) name: MemoName,
    pub(super) expected: u64,
    pub(super) memo: Memo,
    /// Its room in the queue.
    _permit: tokio::sync::OwnedSemaphorePermit,
}
