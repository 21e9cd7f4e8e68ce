//! Ends holds that nobody settled: their proxy died.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::hold::OnExpiry;
use crate::ledger::Ledger;
use crate::telemetry::metrics::LedgerMeters;

/// How often the ledger is swept. Any number of proxies may.
pub const EVERY: Duration = Duration::from_secs(2);

/// Sweeps until the task is dropped.
pub async fn run(ledger: Arc<dyn Ledger>, on_expiry: OnExpiry, meters: Arc<LedgerMeters>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ledger.sweep(on_expiry).await {
            Ok(0) => {}
            Ok(ended) => {
                meters.expired.inc_by(ended);
                tracing::warn!(holds = ended, ?on_expiry, "ended holds that ran out");
            }
            Err(error) => tracing::warn!(%error, "could not look for holds that ran out"),
        }
    }
}
