//! What comes from Stripe, and what becomes of it.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

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

/// Bounds of the time until what was paid can be spent, in seconds. Stripe's own times are whole seconds.
const BOUNDS: [f64; 12] = [
    1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0,
];

/// What may come of a look at everything.
const SYNCED: [&str; 4] = ["ok", "differs", "incomplete", "failed"];

/// What may come of an automatic charge.
const TOPPED_UP: [&str; 8] = [
    "paid",
    "declined",
    "card_refused",
    "authentication_required",
    "no_card",
    "refused",
    "unknown",
    "dropped",
];

/// What may come of a card or a payment that is to open a plan.
const VERIFIED: [&str; 5] = ["opened", "no_card", "not_checked", "prepaid", "used_before"];

/// Meters of Stripe's events and of what follows.
#[derive(Debug)]
pub struct StripeMeters {
    events: IntCounterVec,
    /// What cannot be done until somebody has looked.
    pub parked: IntGauge,
    paid_to_usable: Histogram,
    /// Customers whose books differ from Stripe's.
    pub drift_customers: IntGauge,
    /// When everything was last looked at without a problem, in seconds since the epoch.
    pub sync_timestamp: IntGauge,
    syncs: IntCounterVec,
    /// Invoices of metered subscriptions that credits did not pay.
    pub overage_invoices: IntCounter,
    top_ups: IntCounterVec,
    verifications: IntCounterVec,
    usage_refused: IntCounter,
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
        let help = "From a payment at Stripe to its credits being in the ledger, in seconds.";
        let opts = HistogramOpts::new("stripe_paid_to_usable_seconds", help);
        let paid_to_usable = Histogram::with_opts(opts.buckets(BOUNDS.to_vec()))?;
        registry.register(Box::new(paid_to_usable.clone()))?;
        let help = "Customers whose credits differ from what Stripe's books say: see `faregate stripe sync`.";
        let drift_customers = IntGauge::with_opts(Opts::new("stripe_drift_customers", help))?;
        registry.register(Box::new(drift_customers.clone()))?;
        let help = "When everything at Stripe was last looked at without a problem; the start where it never was; 0 without [stripe].";
        let sync_timestamp = IntGauge::with_opts(Opts::new("stripe_sync_timestamp_seconds", help))?;
        registry.register(Box::new(sync_timestamp.clone()))?;
        let help = "Looks at everything at Stripe, by what came of them.";
        let syncs = IntCounterVec::new(Opts::new("stripe_syncs_total", help), &["result"])?;
        registry.register(Box::new(syncs.clone()))?;
        for result in SYNCED {
            syncs.with_label_values(&[result]);
        }
        let help = "Invoices of subscriptions that credits were to pay for and did not, where usage is reported to Stripe.";
        let overage_invoices = IntCounter::new("stripe_overage_invoices_total", help)?;
        registry.register(Box::new(overage_invoices.clone()))?;
        let help =
            "Automatic top-ups, by what came of them; unknown: Stripe did not answer, and is asked again.";
        let top_ups = IntCounterVec::new(Opts::new("stripe_top_ups_total", help), &["outcome"])?;
        registry.register(Box::new(top_ups.clone()))?;
        for outcome in TOPPED_UP {
            top_ups.with_label_values(&[outcome]);
        }
        let help = "Cards and payments that were shown so that a plan opens, by what came of them.";
        let verifications = IntCounterVec::new(Opts::new("stripe_verifications_total", help), &["outcome"])?;
        registry.register(Box::new(verifications.clone()))?;
        for outcome in VERIFIED {
            verifications.with_label_values(&[outcome]);
        }
        let help = "Reports of usage that Stripe took and then could not count.";
        let usage_refused = IntCounter::new("stripe_usage_refused_total", help)?;
        registry.register(Box::new(usage_refused.clone()))?;
        Ok(StripeMeters {
            events,
            parked,
            paid_to_usable,
            drift_customers,
            sync_timestamp,
            syncs,
            overage_invoices,
            top_ups,
            verifications,
            usage_refused,
        })
    }

    /// What was paid so many seconds ago can be spent.
    pub fn usable(&self, seconds: i64) {
        // Stripe's clock may be ahead of ours.
        self.paid_to_usable.observe(seconds.max(0) as f64);
    }

    /// Stripe did not count so many reports of usage.
    pub fn usage_refused(&self, count: i64) {
        self.usage_refused.inc_by(count.max(0).unsigned_abs());
    }

    /// Counts a look at everything: `ok`, `differs`, `incomplete` or `failed`.
    pub fn synced(&self, result: &str) {
        self.syncs.with_label_values(&[result]).inc();
    }

    /// Counts what came of an automatic top-up; from a list in the code.
    pub fn topped_up(&self, outcome: &str) {
        self.top_ups.with_label_values(&[outcome]).inc();
    }

    /// Counts what came of something that was to open a plan; from a list in the code.
    pub fn verified(&self, outcome: &str) {
        self.verifications.with_label_values(&[outcome]).inc();
    }

    /// Counts an event; both are from lists in the code.
    pub fn event(&self, kind: &str, result: &str) {
        self.events.with_label_values(&[kind, result]).inc();
    }
}
