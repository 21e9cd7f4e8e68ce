//! Looking at everything at Stripe: at start, every `sync_every`, and when asked to.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::service::stripe::desk::Desk;
use crate::service::stripe::desk::sync::{SyncError, SyncReport, SyncStanding};
use crate::telemetry::metrics::StripeMeters;

/// How often the meters are brought up to date, and it is seen whether a run is due.
const LOOK: Duration = Duration::from_secs(30);

/// After a run that did not get through, the next one is due this soon.
const AGAIN: Duration = Duration::from_secs(300);

/// How long somebody who asks for a run waits for one that is under way.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs until the task is dropped.
pub(super) async fn run(desk: Arc<Desk>, meters: Arc<StripeMeters>) {
    let started = seconds();
    loop {
        match desk.standing().await {
            Ok(standing) => {
                show(&meters, standing, started);
                let every = desk.rules().stripe.sync_every;
                if every.is_some_and(|every| is_due(standing, started, seconds(), every)) {
                    // What it came to is logged and counted.
                    let _ = once(&desk, &meters, Duration::ZERO).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot see how the last sync with Stripe went"),
        }
        if tokio::time::timeout(LOOK, desk.loses_events()).await.is_ok() {
            tracing::warn!("Stripe failed to make some events: everything is looked at");
            let _ = once(&desk, &meters, PATIENCE).await;
        }
    }
}

/// A run that somebody asked for. It goes on to its end, also where nobody waits for it any more.
pub(super) async fn ask(desk: Arc<Desk>, meters: Arc<StripeMeters>) -> Result<SyncReport, SyncError> {
    let run = tokio::spawn(async move { once(&desk, &meters, PATIENCE).await });
    run.await.unwrap_or(Err(SyncError::Overtaken))
}

async fn once(desk: &Arc<Desk>, meters: &StripeMeters, patience: Duration) -> Result<SyncReport, SyncError> {
    let done = desk.sync(patience).await;
    let result = match &done {
        Err(SyncError::Busy | SyncError::NoKey) => return done,
        Err(error) => {
            tracing::warn!(%error, "sync with Stripe failed");
            "failed"
        }
        Ok(report) if !report.problems.is_empty() => "incomplete",
        Ok(report) if report.differing > 0 => "differs",
        Ok(_) => "ok",
    };
    meters.synced(result);
    if let Ok(report) = &done {
        tracing::info!(
            result,
            customers = report.customers,
            events_new = report.events_new,
            differing = report.differing,
            parked = report.parked,
            "looked at everything at Stripe"
        );
    }
    if let Ok(standing) = desk.standing().await {
        show(meters, standing, seconds());
    }
    done
}

fn show(meters: &StripeMeters, standing: SyncStanding, otherwise: i64) {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    meters.parked.set(count(standing.parked));
    meters.drift_customers.set(count(standing.differing));
    let through_at = if standing.through_at == 0 {
        otherwise
    } else {
        standing.through_at
    };
    meters.sync_timestamp.set(through_at);
}

/// None has been made since this proxy started, or the last one is too long ago.
fn is_due(standing: SyncStanding, started: i64, now: i64, every: Duration) -> bool {
    let every = if standing.is_through {
        every
    } else {
        every.min(AGAIN)
    };
    let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
    standing.ended_at < started || now.saturating_sub(standing.ended_at) >= every
}

fn seconds() -> i64 {
    SystemClock.now().micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_due_at_start_then_every_so_often_and_sooner_where_one_failed() {
        let standing = |ended_at, is_through| SyncStanding {
            ended_at,
            is_through,
            ..SyncStanding::default()
        };
        let hour = Duration::from_secs(3_600);
        let due = |standing, now| is_due(standing, 1_000, now, hour);
        assert!(due(standing(999, true), 1_000), "none since the start");
        assert!(!due(standing(1_000, true), 4_599));
        assert!(due(standing(1_000, true), 4_600));
        assert!(!due(standing(1_000, false), 1_299));
        assert!(due(standing(1_000, false), 1_300));
    }
}
