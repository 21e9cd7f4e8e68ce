//! What can go wrong with the file, sorted by what it means for the promise that an answered operation is on disk.

use std::path::Path;

use rusqlite::ffi::ErrorCode;

use crate::ledger::LedgerError;

/// Why SQLite did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No room, or another program is writing: the transaction did not happen, and the next one may.
    Passing(String),
    /// The disk or the file failed: nothing more is certain.
    Broken(String),
    /// What is stored cannot be what was written.
    Damaged(String),
    /// What was asked for cannot be done; nothing was.
    Refused(String),
}

impl Fault {
    /// The text of the fault.
    pub(super) fn what(&self) -> &str {
        match self {
            Fault::Passing(what) | Fault::Broken(what) | Fault::Damaged(what) | Fault::Refused(what) => what,
        }
    }

    /// As the caller of a read hears of it.
    pub(super) fn to_error(&self) -> LedgerError {
        match self {
            Fault::Passing(what) => LedgerError::Unavailable(what.clone()),
            Fault::Refused(what) => LedgerError::Invalid(what.clone()),
            Fault::Broken(what) => LedgerError::Misconfigured(format!(
                "the ledger's file cannot be read ({what}): look at the disk, then restart"
            )),
            Fault::Damaged(what) => LedgerError::Misconfigured(format!(
                "the ledger's file is damaged: {what}. Stop, keep a copy of the folder, then restore a backup (`faregate restore`)"
            )),
        }
    }

    /// As whoever starts the ledger in `folder` hears of it.
    pub(super) fn at_start(&self, folder: &Path) -> LedgerError {
        let folder = folder.display();
        LedgerError::Misconfigured(match self {
            Fault::Passing(what) | Fault::Broken(what) | Fault::Refused(what) => {
                format!("the ledger in {folder} cannot be opened: {what}")
            }
            Fault::Damaged(what) => format!(
                "the ledger in {folder} is damaged: {what}. Nothing was changed. Keep a copy of the folder, then rebuild the balances from the \
                 journal (`faregate ledger rebuild --config FILE`) or restore a backup (`faregate restore`)"
            ),
        })
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        let what = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Fault::Passing("no space left for the ledger's file".to_owned()),
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Fault::Passing(
                    "another program holds a lock on the ledger's file (a `sqlite3` shell in a transaction?)"
                        .to_owned(),
                ),
                ErrorCode::OutOfMemory => Fault::Passing("no memory left for SQLite".to_owned()),
                // A fault of this program, before the commit.
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
                    Fault::Passing(format!("the ledger's file refuses a row: {what}"))
                }
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Damaged(what),
                _ => Fault::Broken(format!("{what}, SQLite code {}", failure.extended_code)),
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => Fault::Damaged(what),
            _ => Fault::Broken(what),
        }
    }
}
