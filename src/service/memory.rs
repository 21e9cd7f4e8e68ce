//! Tells how full the ledger is before it is: a store that can take nothing more closes the gate (B11).

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Ledger, Memory};
use crate::telemetry::metrics::LedgerMeters;

/// How often the store is asked.
pub const EVERY: Duration = Duration::from_secs(5);

/// Looks until the task is dropped; ends by itself where the store has no memory of its own.
pub async fn watch(ledger: Arc<dyn Ledger>, meters: Arc<LedgerMeters>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        match ledger.memory().await {
            Ok(Some(memory)) => told = tell(memory, &meters, told),
            Ok(None) => return,
            // Whoever asks for something else is told so too.
            Err(error) => tracing::debug!(%error, "the ledger does not say how full it is"),
        }
    }
}

/// Shows it; whether it has been told that it is filling.
fn tell(memory: Memory, meters: &LedgerMeters, told: bool) -> bool {
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    meters.memory.set(gauge(memory.used));
    meters.memory_max.set(gauge(memory.max));
    let filling = memory.is_filling();
    if filling && !told {
        tracing::warn!(
            used = memory.used,
            max = memory.max,
            "the ledger's memory is more than 80 % full: when it is full, requests are refused until there is room"
        );
    }
    filling
}
