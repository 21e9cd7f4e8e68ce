//! `faregate ledger copy`: from the embedded ledger, which must not be in use, to Redis.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::ledger::embedded::{self, EmbeddedLedger};
use crate::ledger::redis;

use super::serve::runtime;
use super::{AppError, store};

/// Where to.
#[derive(Debug)]
pub struct CopyTo {
    /// One Redis, or some nodes of a cluster; user and password included.
    pub urls: Vec<String>,
    /// PEM file of the certificates to trust instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// How many partitions it gets; not said: what suits it.
    pub partitions: Option<u32>,
}

/// Copies a configuration's embedded ledger to an empty Redis, and proves both. From then on the embedded one is not opened any more.
///
/// Errors: the ledger is in use, or not in order; the Redis cannot be reached, or is not empty. The embedded ledger is as it was, unless it says otherwise.
pub fn copy(config: &Config, to: &CopyTo) -> Result<String, AppError> {
    let config::Store::Embedded { path } = &config.ledger.store else {
        let what = "`ledger copy` is from the embedded ledger, and the configuration has backend = \"redis\": give the one that the ledger was served with";
        return Err(AppError::Failed(what.to_owned()));
    };
    if !path.join(embedded::FILE).is_file() {
        let what = "there is no ledger to copy: is this the configuration that it was served with?";
        return Err(AppError::at(path, what));
    }
    let options = store::redis_options(&to.urls, to.ca.as_deref(), to.partitions)?;
    let ledger = EmbeddedLedger::open(embedded::Options::new(path), Arc::new(SystemClock))
        .map_err(AppError::failed)?;
    runtime()?.block_on(copy_open(&ledger, path, options))
}

async fn copy_open(
    ledger: &EmbeddedLedger,
    folder: &Path,
    options: redis::Options,
) -> Result<String, AppError> {
    let servers = options.servers().map_err(AppError::failed)?;
    let copied = redis::copy(ledger, options).await.map_err(AppError::failed)?;
    let (report, memos) = (copied.report.clone(), copied.memos);
    // In this order: there is no instant at which both serve.
    ledger
        .mark_copied(&format!("Redis at {servers}"))
        .map_err(AppError::failed)?;
    copied.open().await.map_err(|error| {
        AppError::Failed(format!(
            "all is copied, but the Redis was not told to serve, or did not say so: {error}. If it does not serve, remove ledger.copied from {}, empty the Redis and copy again",
            folder.display()
        ))
    })?;
    Ok(format!(
        "{} accounts, {} entries and {} memos are in Redis at {servers}, and verify on both sides; the ledger in {} serves no more. Set backend = \"redis\" and its url in [ledger], and start the proxies",
        report.accounts,
        report.entries,
        memos,
        folder.display()
    ))
}
