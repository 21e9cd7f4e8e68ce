//! What comes from Stripe, and what becomes of it.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// What may become of an event.
const RESULTS: [&str; 11] = [
    "applied",
    "duplicate",
    "ignored",
    "wrong_mode",
    "wrong_account",
    "parked",
    "forged",
    "out_of_time",
    "unreadable",
    "busy",
    "failed",
];

/// Meters of Stripe's events and of what follows.
#[derive(Debug)]
pub struct StripeMeters {
    events: IntCounterVec,
    /// What cannot be done until somebody has looked.
    pub parked: IntGauge,
}

impl StripeMeters {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<StripeMeters> {
        let help =
            "Events of Stripe by type (those that are listened to, else `other`) and by what became of them.";
        let events = IntCounterVec::new(Opts::new("stripe_events_total", help), &["type", "result"])?;
        registry.register(Box::new(events.clone()))?;
        // Shown from the start, at zero: the first one must be seen as a rise.
        for result in RESULTS {
            events.with_label_values(&["other", result]);
        }
        let help =
            "What Stripe told that cannot be done until somebody has looked: see `faregate stripe sync`.";
        let parked = IntGauge::with_opts(Opts::new("stripe_parked", help))?;
        registry.register(Box::new(parked.clone()))?;
        Ok(StripeMeters { events, parked })
    }

    /// Counts an event; both are from lists in the code.
    pub fn event(&self, kind: &str, result: &str) {
        self.events.with_label_values(&[kind, result]).inc();
    }
}
