//! The file: how it is opened, and its layout.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::fault::Fault;
use super::views;
use crate::domain::time::Timestamp;

/// The layout this program reads and writes. A change of `schema.sql` raises it.
pub(super) const LAYOUT: i64 = 3;

/// From layout 1, which knew of no claims.
const FROM_1: &str = "ALTER TABLE holds ADD COLUMN claim BLOB;";

/// From layout 2, which knew of no memos.
const FROM_2: &str = MEMOS;

/// What lets a file of layout 1 be read as if it were of this one, without a change to it.
const READ_1: &str = "CREATE TEMP VIEW holds AS SELECT *, NULL AS claim FROM main.holds;";

/// Marks the file as ours for `file` and for ourselves: "fgld".
const APPLICATION: i64 = 0x6667_6c64;

/// Pages in the log before it is moved into the file (16 MiB).
pub(super) const LOG_PAGES: i64 = 4_096;

const TABLES: &str = include_str!("schema.sql");

const MEMOS: &str = include_str!("memos.sql");

/// Opens the file for its one writer, and makes it if there is none.
pub(super) fn open_writer(file: &Path, store: &str, now: Timestamp) -> Result<Connection, Fault> {
    let conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(Duration::from_secs(2))?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Broken(format!(
            "the file system does not let SQLite keep a write-ahead log (its journal mode stays {mode}); use a local disk"
        )));
    }
    // FULL: the log is synced at each commit (macOS needs its own word for it). A checkpoint is the writer's own doing, since SQLite would keep its failure to itself.
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; \
         PRAGMA journal_size_limit = 67108864;",
    )?;
    if !has_tables(&conn)? {
        create(&conn, store, now)?;
    }
    let layout = check_layout(&conn)?;
    if layout < LAYOUT {
        let from_1 = if layout == 1 { FROM_1 } else { "" };
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {from_1} {FROM_2} UPDATE meta SET layout = {LAYOUT}; PRAGMA user_version = {LAYOUT}; COMMIT"
        ))?;
        tracing::info!("the ledger's file was brought from layout {layout} to layout {LAYOUT}");
    }
    Ok(conn)
}

/// Opens the file for reading only.
pub(super) fn open_reader(file: &Path) -> Result<Connection, Fault> {
    let conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(Duration::from_secs(2))?;
    conn.execute_batch("PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;")?;
    if check_layout(&conn)? == 1 {
        conn.execute_batch(READ_1)?;
    }
    Ok(conn)
}

fn has_tables(conn: &Connection) -> Result<bool, Fault> {
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables > 0)
}

fn create(conn: &Connection, store: &str, now: Timestamp) -> Result<(), Fault> {
    let views = views::sql();
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {LAYOUT}; {TABLES} {MEMOS} {views}"
    ))?;
    conn.execute(
        "INSERT INTO meta (one, layout, store, created_at, time, seq, hash) VALUES (1, ?1, ?2, ?3, 0, 0, ?2)",
        (LAYOUT, store, now.micros()),
    )?;
    conn.execute_batch("COMMIT")?;
    Ok(())
}

/// The file's layout. Refuses files that are not a ledger, or of a layout that this program does not know.
fn check_layout(conn: &Connection) -> Result<i64, Fault> {
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Fault::Broken("the file is not a Faregate ledger".to_owned()));
    }
    let layout: Option<i64> = conn
        .query_row("SELECT layout FROM meta", [], |row| row.get(0))
        .optional()?;
    match layout {
        Some(known @ 1..=LAYOUT) => Ok(known),
        Some(newer) if newer > LAYOUT => Err(Fault::Broken(format!(
            "its layout is {newer}, written by a newer Faregate; this one knows layout {LAYOUT}. Run the newer program, or restore a backup made by this one"
        ))),
        Some(other) => Err(Fault::Broken(format!(
            "its layout is {other}, which this Faregate (layout {LAYOUT}) does not know"
        ))),
        None => Err(Fault::Damaged("its table `meta` is empty".to_owned())),
    }
}

/// Does nothing harmful to find out whether the pages of the file make sense. The journal's pages are looked at only up to `journal_max` entries, since
/// a start must not take minutes; `verify` reads all of it.
pub(super) fn quick_check(conn: &Connection, journal_max: i64) -> Result<(), Fault> {
    let seq: i64 = conn.query_row("SELECT seq FROM meta", [], |row| row.get(0))?;
    let tables = [
        "meta", "accounts", "reasons", "grants", "keys", "holds", "commands", "journal", "memos",
    ];
    let layout = check_layout(conn)?;
    for table in tables {
        let not_there = table == "memos" && layout < 3;
        if not_there || table == "journal" && seq > journal_max {
            continue;
        }
        let mut statement = conn.prepare(&format!("PRAGMA quick_check({table})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let found: String = row.get(0)?;
            if found != "ok" {
                return Err(Fault::Damaged(format!(
                    "SQLite's check of `{table}` says: {found}"
                )));
            }
        }
    }
    Ok(())
}
