//! Copies: made while the ledger runs, proved before they count.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::fault::Fault;
use super::lock::Lock;
use super::{FILE, copied, make_folder, schema, sync_folder, verify};
use crate::ledger::{LedgerError, VerifyReport};

/// Writes what `conn` sees into a new file `to`, and proves it. Under its name stands a whole, verified, synced file or none.
pub(super) fn copy(conn: &Connection, to: &Path) -> Result<VerifyReport, Fault> {
    let shown = to.display();
    if to.exists() {
        return Err(Fault::Refused(format!(
            "{shown} is there already: a backup does not replace a file"
        )));
    }
    let partial = with_suffix(to, ".partial");
    let failed = |e: std::io::Error| Fault::Refused(format!("cannot write {}: {e}", partial.display()));
    match fs::remove_file(&partial) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let name = partial
        .to_str()
        .ok_or_else(|| Fault::Refused(format!("{shown} is not a name in UTF-8")))?;
    let made = conn
        .execute("VACUUM INTO ?1", [name])
        .map_err(|e| Fault::Refused(format!("cannot write {name}: {e}")))
        .and_then(|_| prove(&partial));
    let report = match made {
        Ok(report) => report,
        Err(fault) => {
            let _ = fs::remove_file(&partial);
            return Err(fault);
        }
    };
    File::open(&partial).and_then(|f| f.sync_all()).map_err(failed)?;
    fs::rename(&partial, to).map_err(failed)?;
    let folder = to.parent().filter(|p| !p.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new("."))).map_err(|e| Fault::Refused(e.to_string()))?;
    Ok(report)
}

fn prove(file: &Path) -> Result<VerifyReport, Fault> {
    let report = verify::file(file)?;
    match report.differences.first() {
        None => Ok(report),
        Some(first) => Err(Fault::Damaged(format!(
            "the copy does not verify ({} differences; the first: {first})",
            report.differences.len()
        ))),
    }
}

/// Puts a backup into an empty folder, so that [`super::EmbeddedLedger::open`] goes on from it. Blocks.
///
/// Errors: the folder has a ledger, or a running one; the backup does not verify. Then nothing was changed.
pub fn restore(from: &Path, folder: &Path) -> Result<VerifyReport, LedgerError> {
    let refuse = |what: String| LedgerError::Misconfigured(format!("{what}. Nothing was changed"));
    if !from.is_file() {
        return Err(refuse(format!("{} is not a file", from.display())));
    }
    make_folder(folder)?;
    let _lock = Lock::take(folder)?;
    let file = folder.join(FILE);
    for there in [file.clone(), with_suffix(&file, "-wal"), copied::file(folder)] {
        if there.exists() {
            return Err(refuse(format!(
                "{} is there: a restore does not replace a ledger. Move it (and what else is in the folder) away first",
                there.display()
            )));
        }
    }
    let told = |fault: Fault| refuse(format!("{} cannot be restored: {}", from.display(), fault.what()));
    let conn = schema::open_reader(from).map_err(told)?;
    copy(&conn, &file).map_err(told)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
