//! The store that a configuration asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::ledger::embedded::{self, EmbeddedLedger};
use crate::ledger::{Ledger, LedgerError};

use super::AppError;

/// A store, open.
#[derive(Clone)]
pub(super) enum Store {
    Embedded(Arc<EmbeddedLedger>),
}

impl Store {
    /// Opens the store of a configuration.
    pub(super) async fn open(config: &Config) -> Result<Store, AppError> {
        match &config.ledger.store {
            config::Store::Embedded { path } => {
                let options = embedded::Options::new(path);
                let open = move || EmbeddedLedger::open(options, Arc::new(SystemClock));
                let opened = tokio::task::spawn_blocking(open)
                    .await
                    .map_err(AppError::failed)?;
                Ok(Store::Embedded(Arc::new(opened.map_err(AppError::failed)?)))
            }
            config::Store::Redis(_) => Err(AppError::Failed(
                "the Redis ledger is not built in yet".to_owned(),
            )),
        }
    }

    /// A ledger for one worker, in its runtime: what a store keeps per connection is the worker's own.
    pub(super) async fn for_worker(&self) -> Result<Arc<dyn Ledger>, LedgerError> {
        match self {
            Store::Embedded(_) => Ok(self.ledger()),
        }
    }

    /// The ledger, for everything but requests.
    pub(super) fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Store::Embedded(ledger) => Arc::clone(ledger) as Arc<dyn Ledger>,
        }
    }

    /// Copies it to a file; says what was copied.
    pub(super) async fn backup(&self, file: &Path) -> Result<String, LedgerError> {
        match self {
            Store::Embedded(ledger) => {
                let report = ledger.backup(file).await?;
                Ok(format!(
                    "{} accounts and {} entries are in {}",
                    report.accounts,
                    report.entries,
                    file.display()
                ))
            }
        }
    }
}

/// Puts a backup in the place of a configuration's embedded ledger.
pub fn restore(config: &Config, from: &Path) -> Result<String, AppError> {
    let config::Store::Embedded { path } = &config.ledger.store else {
        let what = "`restore` is for the embedded ledger; a Redis is restored by its own means, see docs/operations.md";
        return Err(AppError::Failed(what.to_owned()));
    };
    let folder: PathBuf = path.clone();
    let report = embedded::restore(from, &folder).map_err(AppError::failed)?;
    Ok(format!(
        "{} accounts and {} entries are in {}",
        report.accounts,
        report.entries,
        folder.display()
    ))
}
