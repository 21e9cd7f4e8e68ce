//! The running program, as the admin API acts on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;

use crate::api::admin::Operations;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::domain::credits::Credits;
use crate::ledger::{Answer, Ledger, LedgerError};
use crate::proxy::{Server, Tls};
use crate::service::stripe::desk::Desk;
use crate::service::stripe::desk::sync::{SyncError, SyncReport};
use crate::telemetry::access::AccessLog;
use crate::telemetry::metrics::Metrics;

use super::store::Store;
use super::stripe::Counter;
use super::{AppError, load, sync};

/// What runs.
pub(super) struct Running {
    /// Where the configuration came from; `None` when it was made up (`demo`).
    pub(super) path: Option<PathBuf>,
    pub(super) config: Arc<ArcSwap<Config>>,
    /// Set once the data plane serves.
    pub(super) server: Mutex<Option<Server>>,
    pub(super) store: Store,
    /// `None` without `[stripe]`.
    pub(super) stripe: Option<Counter>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) metrics: Arc<Metrics>,
    /// Set once the data plane serves. Weak: the log ends with the workers, not with this.
    pub(super) log: OnceLock<Weak<AccessLog>>,
    pub(super) draining: AtomicBool,
    /// The admin listener's certificate.
    pub(super) admin_tls: Option<Arc<Tls>>,
}

impl Running {
    /// Loads the configuration again: what changed, or why nothing did.
    pub(super) fn load_again(&self) -> Result<Vec<String>, Vec<String>> {
        let answer = self.try_load_again();
        let result = if answer.is_ok() { "ok" } else { "refused" };
        self.metrics.config_reloads.with_label_values(&[result]).inc();
        match &answer {
            Ok(changes) => tracing::info!(?changes, "configuration loaded again"),
            Err(problems) => tracing::error!(?problems, "configuration not loaded; the one before goes on"),
        }
        answer
    }

    /// The configuration in force has just been loaded.
    pub(super) fn note_loaded(&self) {
        let seconds = SystemClock.now().micros() / 1_000_000;
        self.metrics.config_loaded.set(seconds as f64);
    }

    fn try_load_again(&self) -> Result<Vec<String>, Vec<String>> {
        let Some(path) = &self.path else {
            return Err(vec!["there is no file to load again".to_owned()]);
        };
        let config = load::read(path).map_err(|error| match error {
            AppError::Config(problems) => problems.lines().map(str::to_owned).collect(),
            AppError::Failed(why) => vec![why],
        })?;
        let changes = Config::diff(&self.config.load(), &config);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = &*server {
            let plans = load::plans(&config);
            server
                .reload(&config, &plans)
                .map_err(|error| vec![error.to_string()])?;
        }
        if let Some(counter) = &self.stripe {
            counter.reload(&config).map_err(|error| vec![error.to_string()])?;
        }
        self.config.store(Arc::new(config));
        self.note_loaded();
        Ok(changes.iter().map(ToString::to_string).collect())
    }
}

impl Operations for Running {
    fn reload(&self) -> Answer<'_, Result<Vec<String>, Vec<String>>> {
        Box::pin(async { Ok(self.load_again()) })
    }

    fn backup(&self, file: String) -> Answer<'_, String> {
        Box::pin(async move {
            let file = PathBuf::from(file);
            if !file.is_absolute() {
                return Err(LedgerError::Invalid(
                    "`file` is an absolute path on the proxy's machine".to_owned(),
                ));
            }
            self.store.backup(&file).await
        })
    }

    fn plans(&self) -> Vec<String> {
        self.config.load().plans.keys().map(ToString::to_string).collect()
    }

    fn metrics(&self) -> String {
        if let Some(log) = self.log.get().and_then(Weak::upgrade) {
            let counter = &self.metrics.log_dropped;
            counter.inc_by(log.dropped().saturating_sub(counter.get()));
        }
        let text = self.metrics.render().unwrap_or_default();
        String::from_utf8(text).unwrap_or_default()
    }

    fn grant_max(&self) -> Credits {
        self.config.load().admin.grant_max
    }

    fn desk(&self) -> Option<Arc<Desk>> {
        self.stripe.as_ref().map(|stripe| Arc::clone(&stripe.desk))
    }

    fn sync(&self) -> Answer<'_, Result<SyncReport, SyncError>> {
        Box::pin(async {
            let Some(desk) = self.desk() else {
                return Ok(Err(SyncError::NoKey));
            };
            Ok(sync::ask(desk, Arc::clone(&self.metrics.stripe)).await)
        })
    }

    fn not_ready(&self) -> Answer<'_, Option<String>> {
        Box::pin(async {
            if self.draining.load(Ordering::Relaxed) {
                return Ok(Some("draining".to_owned()));
            }
            let serves = self
                .server
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some();
            if !serves {
                return Ok(Some("starting".to_owned()));
            }
            Ok(self.ledger.ready().await.err().map(|error| error.to_string()))
        })
    }
}
