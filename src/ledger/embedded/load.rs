//! From the tables to the engine's state: all of it at start, one account's book when a batch has failed or a proof wants it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::chain::Chain;
use super::fault::Fault;
use super::rows::{self, ACCOUNTS, COMMANDS, GRANTS, HOLDS, KEYS, REASONS, Table};
use crate::domain::account::Settings;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, Change, State, invariants};
use crate::domain::ids::{AccountId, Reason};
use crate::domain::time::Timestamp;

/// What the file holds, but for the journal.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    /// The largest credit line of each account that had one.
    pub(super) lines: HashMap<AccountId, Credits>,
    pub(super) chain: Chain,
}

/// Which accounts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which<'a> {
    All,
    One(&'a AccountId),
    /// After the first, up to and with the second, by id.
    Between(&'a str, &'a str),
}

/// The row of `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) store: String,
    pub(super) time: Timestamp,
    pub(super) seq: u64,
    pub(super) hash: String,
}

pub(super) fn meta(conn: &Connection) -> Result<Meta, Fault> {
    let sql = "SELECT store, time, seq, hash FROM meta";
    Ok(conn.query_row(sql, [], |row| {
        Ok(Meta {
            store: row.get(0)?,
            time: Timestamp::from_micros(row.get(1)?),
            seq: row.get::<_, i64>(2)?.unsigned_abs(),
            hash: row.get(3)?,
        })
    })?)
}

/// Loads all accounts and checks that the journal ends where it should.
pub(super) fn everything(conn: &Connection) -> Result<Loaded, Fault> {
    let mut state = State::default();
    let mut lines = HashMap::new();
    books(conn, Which::All, &mut state, &mut lines)?;
    let meta = meta(conn)?;
    (state.seq, state.time) = (meta.seq, meta.time);
    let last: Option<(i64, String)> = conn
        .query_row(
            "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (seq, hash) = last.map_or_else(
        || (0, meta.store.clone()),
        |(seq, hash)| (seq.unsigned_abs(), hash),
    );
    if (seq, &hash) != (meta.seq, &meta.hash) {
        return Err(Fault::Damaged(format!(
            "the journal ends at entry {seq} with hash {hash}, `meta` says {} with {}",
            meta.seq, meta.hash
        )));
    }
    Ok(Loaded {
        state,
        lines,
        chain: Chain::new(meta.hash),
    })
}

/// Loads one account's book and its largest credit line.
pub(super) fn book(conn: &Connection, account: &AccountId) -> Result<Option<(Book, Credits)>, Fault> {
    let mut state = State::default();
    let mut lines = HashMap::new();
    books(conn, Which::One(account), &mut state, &mut lines)?;
    let line = lines.get(account).copied().unwrap_or_default();
    Ok(state.remove_book(account).map(|book| (book, line)))
}

/// The first law that an account breaks, as a fault. Of the journal only each account's last entry is looked at: it must say what is available.
pub(super) fn check(conn: &Connection, loaded: &Loaded) -> Result<(), Fault> {
    for book in loaded.state.books() {
        let account = &book.account;
        let line = loaded.lines.get(&account.id).copied().unwrap_or_default();
        if let Some(violation) = invariants::check(book, line).first() {
            return Err(Fault::Damaged(format!(
                "account {} breaks {violation}",
                account.id
            )));
        }
    }
    let other: Option<(String, Option<i64>)> = conn
        .query_row(
            "SELECT accounts.id, journal.available FROM accounts LEFT JOIN journal ON seq = last_entry WHERE journal.account IS NOT accounts.id \
             OR number <> entries OR journal.available <> granted - accounts.held - spent - expired - voided LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match other {
        None => Ok(()),
        Some((id, None)) => Err(Fault::Damaged(format!(
            "the last journal entry of account {id} is not there"
        ))),
        Some((id, Some(available))) => Err(Fault::Damaged(format!(
            "account {id} is not what its last journal entry says ({available} micro-credits available)"
        ))),
    }
}

/// Loads books into a state; an error names the row that cannot be.
pub(super) fn books(
    conn: &Connection,
    which: Which<'_>,
    state: &mut State,
    lines: &mut HashMap<AccountId, Credits>,
) -> Result<(), Fault> {
    let mut reasons: HashMap<AccountId, BTreeSet<Reason>> = HashMap::new();
    each(conn, &REASONS, which, rows::reason, |(account, reason)| {
        reasons.entry(account).or_default().insert(reason);
        Ok(())
    })?;
    each(conn, &ACCOUNTS, which, rows::account, |(mut account, line)| {
        if let Some(reasons) = reasons.remove(&account.id) {
            let settings = Settings {
                reasons,
                ..(*account.settings).clone()
            };
            account.settings = Arc::new(settings);
        }
        if !line.is_zero() {
            lines.insert(account.id.clone(), line);
        }
        let id = account.id.clone();
        state.apply(&id, Change::Account(account));
        Ok(())
    })?;
    if let Some(account) = reasons.keys().next() {
        return Err(orphan(&REASONS, account));
    }
    each(conn, &GRANTS, which, rows::grant, |(account, grant)| {
        put(state, &GRANTS, &account, Change::Grant(grant))
    })?;
    each(conn, &KEYS, which, rows::key, |(account, key)| {
        put(state, &KEYS, &account, Change::Key(key))
    })?;
    each(conn, &HOLDS, which, rows::hold, |hold| {
        let account = hold.account.clone();
        put(state, &HOLDS, &account, Change::Hold(hold))
    })?;
    each(conn, &COMMANDS, which, rows::command, |(account, id, record)| {
        put(state, &COMMANDS, &account, Change::Command(id, record))
    })
}

fn put(state: &mut State, table: &Table, account: &AccountId, change: Change) -> Result<(), Fault> {
    if state.book(account).is_none() {
        return Err(orphan(table, account));
    }
    state.apply(account, change);
    Ok(())
}

fn orphan(table: &Table, account: &AccountId) -> Fault {
    Fault::Damaged(format!(
        "`{}` has a row of account {account}, which is not in `accounts`",
        table.name
    ))
}

/// Reads a table's rows, all or one account's.
fn each<T>(
    conn: &Connection,
    table: &Table,
    which: Which<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, Fault>,
    mut take: impl FnMut(T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut sql = format!("SELECT {} FROM {}", table.list(), table.name);
    let account = table.key[0];
    match which {
        Which::All => {}
        Which::One(_) => sql.push_str(&format!(" WHERE {account} = ?1")),
        Which::Between(..) => sql.push_str(&format!(" WHERE {account} > ?1 AND {account} <= ?2")),
    }
    let mut statement = conn.prepare(&sql)?;
    let mut rows = match which {
        Which::All => statement.query([])?,
        Which::One(account) => statement.query([account.as_str()])?,
        Which::Between(after, upto) => statement.query([after, upto])?,
    };
    while let Some(row) = rows.next()? {
        take(read(row)?)?;
    }
    Ok(())
}
