//! From the tables to the engine's state: all of it at start, one account's book when a batch has failed or a proof wants it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, OptionalExtension, Row, Rows, Statement};

use super::chain::Chain;
use super::fault::Fault;
use super::rows::{self, ACCOUNTS, COMMANDS, GRANTS, HOLDS, KEYS, REASONS, Table};
use crate::domain::account::Settings;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, State, invariants};
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
    let accounts: i64 = conn.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
    state.reserve(usize::try_from(accounts).unwrap_or_default());
    books(conn, Which::All, |book, line| {
        if !line.is_zero() {
            lines.insert(book.account.id.clone(), line);
        }
        state.put_book(book);
        Ok(())
    })?;
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
    let mut found = None;
    books(conn, Which::One(account), |book, line| {
        found = Some((book, line));
        Ok(())
    })?;
    Ok(found)
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

/// Reads books in the order of their accounts; an error names the row that cannot be.
///
/// All tables are in that order, so they are read side by side and each book is put together once.
pub(super) fn books(
    conn: &Connection,
    which: Which<'_>,
    mut take: impl FnMut(Book, Credits) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let select = |table| Select::new(conn, table, which);
    let (mut reasons, mut grants, mut keys) = (select(&REASONS)?, select(&GRANTS)?, select(&KEYS)?);
    let (mut holds, mut commands) = (select(&HOLDS)?, select(&COMMANDS)?);
    let (mut reasons, mut grants, mut keys) = (reasons.rows()?, grants.rows()?, keys.rows()?);
    let (mut holds, mut commands) = (holds.rows()?, commands.rows()?);
    let mut accounts = select(&ACCOUNTS)?;
    let mut accounts = accounts.rows()?;
    while let Some(row) = accounts.rows.next()? {
        let (account, line) = rows::account(row)?;
        let id = account.id.clone();
        let mut book = Book::new(account);
        let paused: BTreeSet<Reason> = reasons.of(&id, rows::reason)?;
        if !paused.is_empty() {
            let settings = Settings {
                reasons: paused,
                ..(*book.account.settings).clone()
            };
            book.account.settings = Arc::new(settings);
        }
        book.grants = grants.of(&id, |row| {
            rows::grant(row).map(|grant| (grant.facts.id.as_str().to_owned(), grant))
        })?;
        book.keys = keys.of(&id, |row| rows::key(row).map(|key| (key.id.clone(), key)))?;
        book.holds = holds.of(&id, |row| rows::hold(row, &id).map(|hold| (hold.id, hold)))?;
        book.commands = commands.of(&id, rows::command)?;
        take(book, line)?;
    }
    for rest in [reasons, grants, keys, holds, commands] {
        rest.ended()?;
    }
    Ok(())
}

/// A table's rows, all or some accounts', in the order of their accounts.
struct Select<'c, 'w> {
    statement: Statement<'c>,
    table: &'static Table,
    which: Which<'w>,
}

impl<'c, 'w> Select<'c, 'w> {
    fn new(conn: &'c Connection, table: &'static Table, which: Which<'w>) -> Result<Select<'c, 'w>, Fault> {
        let account = table.key[0];
        let condition = match which {
            Which::All => String::new(),
            Which::One(_) => format!("WHERE {account} = ?1"),
            Which::Between(..) => format!("WHERE {account} > ?1 AND {account} <= ?2"),
        };
        let key = table.key.join(", ");
        let sql = format!(
            "SELECT {} FROM {} {condition} ORDER BY {key}",
            table.list(),
            table.name
        );
        Ok(Select {
            statement: conn.prepare(&sql)?,
            table,
            which,
        })
    }

    fn rows(&mut self) -> Result<Side<'_>, Fault> {
        let rows = match self.which {
            Which::All => self.statement.query([])?,
            Which::One(account) => self.statement.query([account.as_str()])?,
            Which::Between(after, upto) => self.statement.query([after, upto])?,
        };
        Ok(Side {
            rows,
            table: self.table,
            waits: false,
        })
    }
}

/// A table that is read side by side with the accounts.
struct Side<'s> {
    rows: Rows<'s>,
    table: &'static Table,
    /// The row that was read last is of a later account.
    waits: bool,
}

impl Side<'_> {
    /// The rows of an account. All before it must have been read.
    fn of<T, C: FromIterator<T>>(
        &mut self,
        account: &AccountId,
        read: impl Fn(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<C, Fault> {
        let next = || self.one(account, &read).transpose();
        std::iter::from_fn(next).collect()
    }

    fn one<T>(
        &mut self,
        account: &AccountId,
        read: impl Fn(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        if !self.waits {
            self.rows.advance()?;
        }
        self.waits = true;
        let Some(row) = self.rows.get() else {
            return Ok(None);
        };
        let owner = rows::owner(row, self.table)?;
        match owner.cmp(account.as_str()) {
            Ordering::Less => Err(orphan(self.table, owner)),
            Ordering::Greater => Ok(None),
            Ordering::Equal => {
                self.waits = false;
                read(row).map(Some)
            }
        }
    }

    /// Nothing may be left after the last account.
    fn ended(mut self) -> Result<(), Fault> {
        if !self.waits {
            self.rows.advance()?;
        }
        match self.rows.get() {
            Some(row) => Err(orphan(self.table, rows::owner(row, self.table)?)),
            None => Ok(()),
        }
    }
}

fn orphan(table: &Table, account: &str) -> Fault {
    Fault::Damaged(format!(
        "`{}` has a row of account {account}, which is not in `accounts`",
        table.name
    ))
}
