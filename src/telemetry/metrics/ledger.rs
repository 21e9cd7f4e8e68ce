//! What charging requests does to the ledger: how long it takes to answer, how often it does not, how many credits move.

use std::time::Duration;

use prometheus::{Counter, Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry};

use crate::domain::credits::Credits;

/// Operations of the charge task, as labels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A hold asked for.
    Admit,
    /// A hold extended.
    Extend,
    /// A hold kept alive.
    Renew,
    /// A hold ended with a charge.
    Capture,
    /// A hold ended without one.
    Release,
}

const OPERATIONS: [(Operation, &str); 5] = [
    (Operation::Admit, "admit"),
    (Operation::Extend, "extend"),
    (Operation::Renew, "renew"),
    (Operation::Capture, "capture"),
    (Operation::Release, "release"),
];

/// Upper bounds in seconds: a Redis nearby answers in a fraction of a millisecond.
const BOUNDS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0,
];

/// Meters of charging.
#[derive(Debug)]
pub struct LedgerMeters {
    took: [Histogram; OPERATIONS.len()],
    errors: [IntCounter; OPERATIONS.len()],
    held: Counter,
    captured: Counter,
    released: Counter,
    overrun: Counter,
    /// Holds this process has open or has not settled yet.
    pub open_holds: IntGauge,
    /// Holds whose end the ledger refused: money may be wrong, a person must look.
    pub lost: IntCounter,
    /// Holds of dead proxies that were ended by time.
    pub expired: IntCounter,
    /// Bytes that the store uses, and may use at most (0: no bound).
    pub memory: IntGauge,
    /// See `memory`.
    pub memory_max: IntGauge,
    /// Requests turned away at once because the ledger had not been answering.
    pub shed: IntCounter,
}

impl LedgerMeters {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<LedgerMeters> {
        let took = |name: &str| {
            let help = "From asking the ledger to its answer, by operation.";
            let opts = HistogramOpts::new("ledger_operation_seconds", help).const_label("operation", name);
            let histogram = Histogram::with_opts(opts.buckets(BOUNDS.to_vec()))?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        let errors = |name: &str| {
            let help = "Operations that the ledger did not answer, by operation; each is asked again.";
            let counter =
                IntCounter::with_opts(Opts::new("ledger_errors_total", help).const_label("operation", name))?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let credits = |name: &str, help: &str| {
            let counter = Counter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let [(_, a), (_, b), (_, c), (_, d), (_, e)] = OPERATIONS;
        Ok(LedgerMeters {
            took: [took(a)?, took(b)?, took(c)?, took(d)?, took(e)?],
            errors: [errors(a)?, errors(b)?, errors(c)?, errors(d)?, errors(e)?],
            held: credits("credits_held_total", "Credits set aside for requests.")?,
            captured: credits("credits_captured_total", "Credits charged.")?,
            released: credits(
                "credits_released_total",
                "Credits given back when requests ended.",
            )?,
            overrun: credits("credits_overrun_total", "Credits charged beyond what was held.")?,
            open_holds: super::int_gauge(
                registry,
                "open_holds",
                "Holds of this process that are open or not settled yet.",
            )?,
            lost: super::counter(
                registry,
                "holds_lost_total",
                "Holds whose end the ledger refused; a person must look.",
            )?,
            expired: super::counter(
                registry,
                "holds_expired_total",
                "Holds that nobody settled in time, ended by this process.",
            )?,
            memory: super::int_gauge(
                registry,
                "ledger_memory_bytes",
                "Memory that the ledger's Redis uses; of a cluster, its fullest master.",
            )?,
            memory_max: super::int_gauge(
                registry,
                "ledger_memory_max_bytes",
                "Memory that it may use (maxmemory); 0 where that is not bounded, or for the embedded ledger.",
            )?,
            shed: super::counter(
                registry,
                "ledger_shed_total",
                "Requests turned away at once because the ledger had not been answering.",
            )?,
        })
    }

    /// The ledger answered, or did not.
    pub fn asked(&self, operation: Operation, took: Duration, answered: bool) {
        let index = OPERATIONS.iter().position(|(o, _)| *o == operation).unwrap_or(0);
        self.took[index].observe(took.as_secs_f64());
        if !answered {
            self.errors[index].inc();
        }
    }

    /// A hold was opened, or so much was added to one.
    pub fn opened(&self, held: Credits) {
        self.held.inc_by(credits(held));
    }

    /// A hold of `held` ended with `charged`.
    pub fn ended(&self, held: Credits, charged: Credits) {
        self.captured.inc_by(credits(charged));
        self.released.inc_by(credits(held.saturating_sub(charged)));
        self.overrun.inc_by(credits(charged.saturating_sub(held)));
    }
}

/// For a graph, not for the books: a float.
fn credits(amount: Credits) -> f64 {
    amount.at_least_zero().micros() as f64 / 1e6
}
