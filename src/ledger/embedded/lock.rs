//! One process at a time: an advisory lock that the system takes back when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::ledger::LedgerError;

const NAME: &str = "ledger.lock";

/// Held as long as the ledger is open.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a folder, or says who has it.
    pub(super) fn take(folder: &Path) -> Result<Lock, LedgerError> {
        let path = folder.join(NAME);
        let failed = |e: std::io::Error| {
            LedgerError::Misconfigured(format!(
                "cannot use {}: {e}. Is the folder writable?",
                path.display()
            ))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.take(32).read_to_string(&mut owner);
                let owner = match owner.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("the process with id {pid}"),
                };
                return Err(LedgerError::Misconfigured(format!(
                    "the ledger in {} is in use by {owner}: stop it first, or give this one a `path` of its own (several proxies on one ledger need Redis)",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let told = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        told.map_err(failed)?;
        Ok(Lock { _file: file })
    }
}
