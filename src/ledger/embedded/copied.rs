//! A ledger that was copied elsewhere serves no more, lest credits be spent in both: a file in its folder says so.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::sync_folder;
use crate::ledger::LedgerError;

/// The file's name; its first line says where to.
const NAME: &str = "ledger.copied";

pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Refuses a ledger that was copied.
pub(super) fn check(folder: &Path) -> Result<(), LedgerError> {
    let file = file(folder);
    let to = match fs::read_to_string(&file) {
        Ok(text) => text.lines().next().unwrap_or_default().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(LedgerError::Misconfigured(format!(
                "cannot read {}: {error}",
                file.display()
            )));
        }
    };
    Err(LedgerError::Misconfigured(format!(
        "the ledger in {} was copied to {to}, and that one counts now: set backend = \"redis\" in [ledger]. To go back to this one (what happened in Redis since is not in it), or to copy again because that Redis says the copy did not come to its end, stop all proxies and remove {}",
        folder.display(),
        file.display()
    )))
}

/// Writes the file, and makes sure that it is on disk.
pub(super) fn mark(folder: &Path, to: &str) -> Result<(), LedgerError> {
    let file = file(folder);
    let written = File::create(&file).and_then(|mut f| {
        writeln!(f, "{to}")?;
        f.sync_all()
    });
    written
        .map_err(|error| LedgerError::Misconfigured(format!("cannot write {}: {error}", file.display())))?;
    sync_folder(folder)
}
