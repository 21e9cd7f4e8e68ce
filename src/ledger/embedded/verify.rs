//! Proof of promises 2 and 4: the laws on each account, its journal folded, the chain of the whole journal, and that memory and tables say the same.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use super::chain::Chain;
use super::fault::Fault;
use super::load::{self, Which};
use super::rows::{self, JOURNAL};
use super::{EmbeddedLedger, reads, schema};
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, invariants};
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::ids::AccountId;
use crate::ledger::{Findings, LedgerError, VerifyReport, compare};

/// Accounts compared at a time: so few that the writer does not notice.
const PAGE: usize = 200;

/// Verifies while the ledger is in use: page by page of accounts, each page as of an instant between two batches.
pub(super) async fn live(ledger: &EmbeddedLedger) -> Result<VerifyReport, LedgerError> {
    let mut conn = ledger.readers.open().await?;
    let mut findings = Findings::default();
    let mut after = String::new();
    loop {
        let begin = after.clone();
        // On the writer's thread: the page's books, and a read transaction that sees exactly what they are.
        let page = ledger.job(move |writer| {
            let ids = pin(&conn, &begin).map_err(|fault| fault.to_error())?;
            let books = ids.iter().filter_map(|id| writer.state.book(id).cloned());
            let books: Vec<Book> = books.collect();
            let whole = if ids.is_empty() {
                writer.state.books().map(|b| b.account.id.clone()).collect()
            } else {
                Vec::new()
            };
            Ok((conn, ids, books, (whole, writer.state.seq)))
        });
        let (pinned, ids, books, whole) = page.await?;
        let Some(last) = ids.last().map(AccountId::to_string) else {
            let work = move || finish(&pinned, findings, whole);
            return ledger.readers.blocking(work).await;
        };
        let work = move || {
            one_page(&pinned, &after, &last, &books, &mut findings)?;
            pinned.execute_batch("COMMIT")?;
            Ok((pinned, last, findings))
        };
        (conn, after, findings) = ledger.readers.blocking(work).await?;
    }
}

/// Verifies a file that nobody writes: a backup, or the file of a ledger that does not run. Blocks.
pub fn verify_file(path: &Path) -> Result<VerifyReport, LedgerError> {
    file(path).map_err(|fault| fault.at_start(path))
}

pub(super) fn file(path: &Path) -> Result<VerifyReport, Fault> {
    let conn = schema::open_reader(path)?;
    conn.execute_batch("BEGIN")?;
    schema::quick_check(&conn, i64::MAX)?;
    let loaded = load::everything(&conn)?;
    let mut findings = Findings::default();
    for book in loaded.state.books() {
        let line = loaded.lines.get(&book.account.id).copied();
        one_account(&conn, book, line.unwrap_or_default(), &mut findings)?;
    }
    chain(&conn, &mut findings)?;
    Ok(findings.0)
}

/// Begins a read transaction and gives the accounts of a page.
fn pin(conn: &Connection, after: &str) -> Result<Vec<AccountId>, Fault> {
    conn.execute_batch("BEGIN")?;
    Ok(reads::accounts(conn, after, PAGE)?.items)
}

fn one_page(
    conn: &Connection,
    after: &str,
    upto: &str,
    books: &[Book],
    findings: &mut Findings,
) -> Result<(), Fault> {
    let mut stored = BTreeMap::new();
    let loaded = load::books(conn, Which::Between(after, upto), |book, line| {
        stored.insert(book.account.id.clone(), (book, line));
        Ok(())
    });
    match loaded {
        Ok(()) => {}
        Err(Fault::Damaged(what)) => findings.add(format!("accounts after {after:?} up to {upto}: {what}")),
        Err(fault) => return Err(fault),
    }
    for (id, (book, line)) in &stored {
        one_account(conn, book, *line, findings)?;
        if !books.iter().any(|b| b.account.id == *id) {
            findings.add(format!("account {id} is in the file and not in memory"));
        }
    }
    for book in books {
        let id = &book.account.id;
        match stored.get(id) {
            Some((stored, _)) => compare(book, stored, "memory", "the file", |what| findings.add(what)),
            None => findings.add(format!("account {id} is in memory and not readable in the file")),
        }
    }
    Ok(())
}

/// The laws on one account, and its journal.
fn one_account(conn: &Connection, book: &Book, line: Credits, findings: &mut Findings) -> Result<(), Fault> {
    let account = &book.account;
    let mut violations = invariants::check(book, line);
    let (mut count, mut adjustments) = (0, 0);
    let mut fault = None;
    let mut statement = conn.prepare(&format!(
        "SELECT {} FROM journal WHERE account = ?1 ORDER BY seq",
        JOURNAL.list()
    ))?;
    let mut rows = statement.query([account.id.as_str()])?;
    let entries = std::iter::from_fn(|| {
        let read = |row: Option<&rusqlite::Row<'_>>| row.map(rows::entry).transpose();
        match rows.next().map_err(Fault::from).and_then(read) {
            Ok(entry) => {
                let entry = entry.map(|(entry, _)| entry);
                count += u64::from(entry.is_some());
                adjustments += usize::from(entry.as_ref().is_some_and(|e| e.kind == EntryKind::Adjust));
                entry
            }
            Err(found) => {
                fault = Some(found);
                None
            }
        }
    });
    violations.extend(invariants::check_journal(account.balance(), entries));
    match fault {
        Some(Fault::Damaged(what)) => findings.add(format!("account {}: {what}", account.id)),
        Some(fault) => return Err(fault),
        None => {}
    }
    if count != account.entries {
        findings.add(format!(
            "account {}: {} journal entries counted, {count} there",
            account.id, account.entries
        ));
    }
    if adjustments != book.commands.len() {
        findings.add(format!(
            "account {}: {} of the {adjustments} adjustments in the journal are remembered",
            account.id,
            book.commands.len()
        ));
    }
    for violation in violations {
        findings.add(format!("account {}: {violation}", account.id));
    }
    findings.0.accounts += 1;
    Ok(())
}

/// After the last page: what is not an account's.
fn finish(
    conn: &Connection,
    mut findings: Findings,
    (accounts, seq): (Vec<AccountId>, u64),
) -> Result<VerifyReport, Fault> {
    let meta = load::meta(conn)?;
    let mut stored = conn.prepare("SELECT 1 FROM accounts WHERE id = ?1")?;
    for id in accounts {
        if !stored.exists([id.as_str()])? {
            findings.add(format!("account {id} is in memory and not in the file"));
        }
    }
    if seq != meta.seq {
        findings.add(format!(
            "memory ends the journal at entry {seq}, the file at {}",
            meta.seq
        ));
    }
    match schema::quick_check(conn, i64::MAX) {
        Ok(()) => {}
        Err(Fault::Damaged(what)) => findings.add(what),
        Err(fault) => return Err(fault),
    }
    chain(conn, &mut findings)?;
    conn.execute_batch("COMMIT")?;
    Ok(findings.0)
}

/// Follows the chain from the first entry to the end that `meta` names.
pub(super) fn chain(conn: &Connection, findings: &mut Findings) -> Result<(), Fault> {
    let meta = load::meta(conn)?;
    let mut chain = Chain::new(meta.store.clone());
    let mut seq = 0;
    let mut statement = conn.prepare(&format!("SELECT {} FROM journal ORDER BY seq", JOURNAL.list()))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entry, hash) = match rows::entry(row) {
            Ok(found) => found,
            Err(Fault::Damaged(what)) => {
                findings.add(format!("journal after entry {seq}: {what}"));
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        link(&mut chain, &entry, seq, &hash, findings);
        seq = entry.seq;
        findings.0.entries += 1;
    }
    if (seq, &chain.hash) != (meta.seq, &meta.hash) {
        findings.add(format!(
            "the journal ends at entry {seq} with hash {}, `meta` says {} with {}",
            chain.hash, meta.seq, meta.hash
        ));
    }
    Ok(())
}

fn link(chain: &mut Chain, entry: &Entry, after: u64, hash: &str, findings: &mut Findings) {
    if entry.seq != after + 1 {
        findings.add(format!("journal: entry {} follows entry {after}", entry.seq));
    }
    chain.add(entry);
    if chain.hash != hash {
        findings.add(format!(
            "journal: entry {} was changed, or one before it: its hash is {hash}, its content says {}",
            entry.seq, chain.hash
        ));
        // One change, one difference: go on from what is written.
        chain.hash = hash.to_owned();
    }
}
