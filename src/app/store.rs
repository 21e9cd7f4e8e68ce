//! The store that a configuration asks for.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::clock::SystemClock;
use crate::config::{self, Config};
use crate::ledger::embedded::{self, EmbeddedLedger};
use crate::ledger::memos::Memos;
use crate::ledger::redis::{self, Network, RedisLedger};
use crate::ledger::{Ledger, LedgerError, VerifyReport};

use super::AppError;

/// A store, open.
#[derive(Clone)]
pub(super) enum Store {
    Embedded(Arc<EmbeddedLedger>),
    Redis(Arc<RedisLedger>, Arc<redis::Options>),
}

impl Store {
    /// Opens the store of a configuration, and checks it.
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
            config::Store::Redis(given) => {
                let urls: Vec<String> = given.urls.iter().map(|url| url.url.expose().to_owned()).collect();
                let options = redis_options(&urls, given.ca.as_deref(), given.partitions)?;
                let ledger = RedisLedger::open(options.clone())
                    .await
                    .map_err(AppError::failed)?;
                ledger.check_lives().await.map_err(AppError::failed)?;
                Ok(Store::Redis(Arc::new(ledger), Arc::new(options)))
            }
        }
    }

    /// A ledger for one worker, in its runtime: what a store keeps per connection is the worker's own.
    pub(super) async fn for_worker(&self) -> Result<Arc<dyn Ledger>, LedgerError> {
        match self {
            Store::Embedded(_) => Ok(self.ledger()),
            Store::Redis(_, options) => Ok(Arc::new(RedisLedger::open((**options).clone()).await?)),
        }
    }

    /// The ledger, for everything but requests.
    pub(super) fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Store::Embedded(ledger) => Arc::clone(ledger) as Arc<dyn Ledger>,
            Store::Redis(ledger, _) => Arc::clone(ledger) as Arc<dyn Ledger>,
        }
    }

    /// What is remembered beside the books.
    pub(super) fn memos(&self) -> Arc<dyn Memos> {
        match self {
            Store::Embedded(ledger) => Arc::clone(ledger) as Arc<dyn Memos>,
            Store::Redis(ledger, _) => Arc::clone(ledger) as Arc<dyn Memos>,
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
            Store::Redis(..) => {
                let what = "`backup` is for the embedded ledger; a Redis is copied by its own means, see docs/operations.md";
                Err(LedgerError::Invalid(what.to_owned()))
            }
        }
    }
}

/// How to reach a Redis; `ca` is the file of the certificates to trust instead of the usual ones.
pub(super) fn redis_options(
    urls: &[String],
    ca: Option<&Path>,
    partitions: Option<u32>,
) -> Result<redis::Options, AppError> {
    let tls = ca.map(trusting).transpose()?;
    let network = Network::new(tls.map(Arc::new)).map_err(AppError::failed)?;
    let mut epoch = [0; 4];
    getrandom::fill(&mut epoch).map_err(AppError::failed)?;
    let mut options = redis::Options::new(urls.to_vec(), Arc::new(network), u32::from_le_bytes(epoch));
    options.partitions = partitions;
    Ok(options)
}

/// TLS that trusts the certificates of a file, and no others.
fn trusting(ca: &Path) -> Result<rustls::ClientConfig, AppError> {
    let at = |error: &dyn std::fmt::Display| AppError::at(ca, error);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| at(&error))? {
        let certificate = certificate.map_err(|error| at(&error))?;
        roots.add(certificate).map_err(|error| at(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config
        .map_err(|error| at(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Rebuilds the balances of a configuration's embedded ledger from its journal, while no proxy has it: for one that a start refuses.
///
/// Errors: the ledger is in use, or its journal is damaged; then nothing was changed.
pub fn rebuild(config: &Config) -> Result<VerifyReport, AppError> {
    let config::Store::Embedded { path } = &config.ledger.store else {
        let what = "`ledger rebuild --config` is for the embedded ledger; one on Redis is rebuilt by a proxy that runs: leave --config out";
        return Err(AppError::Failed(what.to_owned()));
    };
    embedded::repair(path, Arc::new(SystemClock)).map_err(AppError::failed)
}

/// Puts a backup in the place of a configuration's embedded ledger.
pub fn restore(config: &Config, from: &Path) -> Result<String, AppError> {
    let config::Store::Embedded { path } = &config.ledger.store else {
        let what = "`restore` is for the embedded ledger; a Redis is restored by its own means, see docs/operations.md";
        return Err(AppError::Failed(what.to_owned()));
    };
    let folder = path.clone();
    let report = embedded::restore(from, &folder).map_err(AppError::failed)?;
    Ok(format!(
        "{} accounts and {} entries are in {}",
        report.accounts,
        report.entries,
        folder.display()
    ))
}
