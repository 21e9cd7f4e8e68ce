//! Balances from the journal alone, put in place of what differs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::chain::Chain;
use super::fault::Fault;
use super::load::{self, Loaded};
use super::lock::Lock;
use super::rows::{self, JOURNAL};
use super::verify::chain;
use super::writer::{self, Request, Writer};
use super::{EmbeddedLedger, FILE, schema, stopped};
use crate::clock::Clock;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, State};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::replay::{Replay, adopt, settled};
use crate::ledger::{Findings, LedgerError, VerifyReport, compare};

/// Accounts written in one transaction.
const WRITTEN_AT_ONCE: usize = 500;

/// Rebuilds while the ledger is open: everything else waits (and may time out) until it is done.
pub(super) async fn live(ledger: &EmbeddedLedger) -> Result<VerifyReport, LedgerError> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    ledger.queue(Request::Job(Box::new(move |writer| {
        let report = writer.and_then(|writer| rebuild(writer));
        let _ = reply.send(report);
    })))?;
    answer.await.unwrap_or_else(|_| Err(stopped()))
}

/// Rebuilds the ledger of a folder that [`EmbeddedLedger::open`] refuses, from its journal, and says what was different. Blocks. The journal itself must
/// be whole; where an account's does not add up, that account is left as it is and named.
pub fn repair(folder: &Path, clock: Arc<dyn Clock>) -> Result<VerifyReport, LedgerError> {
    let _lock = Lock::take(folder)?;
    let at_start = |fault: Fault| fault.at_start(folder);
    let file = folder.join(FILE);
    if !file.is_file() {
        return Err(LedgerError::Misconfigured(format!(
            "{} is not there",
            file.display()
        )));
    }
    let conn = schema::open_writer(&file, "", clock.now()).map_err(at_start)?;
    writer::checkpoint(&conn, "TRUNCATE").map_err(at_start)?;
    let loaded = Loaded {
        state: State::default(),
        lines: HashMap::new(),
        chain: Chain::new(String::new()),
    };
    let mut writer = Writer::new(&conn, loaded, clock, Arc::new(OnceLock::new())).map_err(at_start)?;
    let report = rebuild(&mut writer)?;
    drop(writer);
    writer::checkpoint(&conn, "TRUNCATE").map_err(at_start)?;
    Ok(report)
}

fn rebuild(writer: &mut Writer<'_>) -> Result<VerifyReport, LedgerError> {
    let conn = writer.conn;
    let read = |fault: Fault| fault.to_error();
    let mut findings = Findings::default();
    chain(conn, &mut findings).map_err(read)?;
    if let Some(first) = findings.0.differences.first() {
        return Err(LedgerError::Misconfigured(format!(
            "the journal itself is damaged, nothing can be rebuilt from it: {first}. Nothing was changed; restore a backup (`faregate restore`)"
        )));
    }
    let meta = load::meta(conn).map_err(read)?;
    writer.state.seq = meta.seq;
    writer.state.time = writer.state.time.max(meta.time);
    writer.chain = Chain::new(meta.hash);
    let now = writer.now();
    let mut rebuilt = Vec::new();
    for account in all_accounts(conn).map_err(read)? {
        findings.0.accounts += 1;
        // What cannot be read is as good as not there.
        let stored = load::book(conn, &account).unwrap_or_default();
        let line = stored.as_ref().map_or(Credits::ZERO, |(_, line)| *line);
        let stored = stored.map(|(book, _)| book);
        let live = writer.state.book(&account);
        let differs = |book: &Book| {
            let mut found = Findings::default();
            for (other, place) in [(stored.as_ref(), "the file"), (live, "memory")] {
                if let Some(other) = other {
                    let (book, other) = (settled(book, now), settled(other, now));
                    compare(&book, &other, "the journal", place, |what| found.add(what));
                }
            }
            if stored.is_none() {
                found.add(format!("account {account}: its record was not readable"));
            }
            found.0.differences
        };
        match from_journal(conn, &account, stored.as_ref(), line, now).map_err(read)? {
            Ok(book) => {
                let differences = differs(&book);
                if !differences.is_empty() {
                    rebuilt.push(book);
                }
                differences.into_iter().for_each(|d| findings.add(d));
            }
            Err(why) => findings.add(format!("account {account} is left as it is: {why}")),
        }
        if rebuilt.len() >= WRITTEN_AT_ONCE {
            writer.replace(std::mem::take(&mut rebuilt))?;
        }
    }
    writer.replace(rebuilt)?;
    Ok(findings.0)
}

/// Accounts that have a record, a journal, or both.
fn all_accounts(conn: &Connection) -> Result<Vec<AccountId>, Fault> {
    let mut statement = conn.prepare("SELECT id FROM accounts UNION SELECT account FROM journal")?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        ids.push(AccountId::new(&id).map_err(|e| Fault::Damaged(format!("an account's id is {id:?}: {e}")))?);
    }
    Ok(ids)
}

fn from_journal(
    conn: &Connection,
    account: &AccountId,
    stored: Option<&Book>,
    line: Credits,
    now: Timestamp,
) -> Result<Result<Book, String>, Fault> {
    let mut replay = Replay::new(account.clone(), stored, line);
    let sql = format!(
        "SELECT {} FROM journal WHERE account = ?1 ORDER BY seq",
        JOURNAL.list()
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([account.as_str()])?;
    while let Some(row) = rows.next()? {
        let (entry, _) = rows::entry(row)?;
        if let Err(why) = replay.take(entry) {
            return Ok(Err(why));
        }
    }
    Ok(replay.finish().map(|book| adopt(book, stored, line, now)))
}
