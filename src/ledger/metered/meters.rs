//! The cells, and how they are summed up for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::telemetry::metrics::{Count, Level};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum $name { $($variant,)* }

        impl $name {
            const ALL: &'static [$name] = &[$($name::$variant,)*];

            fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// What was asked for.
    Operation {
        Admit = "admit", Extend = "extend", Renew = "renew", Capture = "capture", Release = "release", ExpireHold = "expire_hold",
        PutGrant = "put_grant", Adjust = "adjust", SetAccount = "set_account", PutKey = "put_key", RevokeKey = "revoke_key",
        ApplyDue = "apply_due", Identify = "identify", Read = "read", Sweep = "sweep", Verify = "verify", Rebuild = "rebuild", Ready = "ready",
    }
}

words! {
    /// How it ended.
    Outcome {
        // It answered.
        Ok = "ok", Applied = "applied", Replayed = "replayed",
        // It answered no.
        UnknownAccount = "unknown_account", UnknownHold = "unknown_hold", HoldEnded = "hold_ended", IdConflict = "id_conflict",
        TooOld = "too_old", Stale = "stale", KeyExpired = "key_expired", RateLimited = "rate_limited",
        TooManyConcurrent = "too_many_concurrent", SpendLimitReached = "spend_limit_reached",
        InsufficientCredits = "insufficient_credits", UnknownKey = "unknown_key", OutOfRange = "out_of_range",
        // It did not answer.
        Unavailable = "unavailable", TimedOut = "timed_out", Quarantined = "quarantined", LostHistory = "lost_history",
        Misconfigured = "misconfigured", Abandoned = "abandoned",
    }
}

impl Outcome {
    fn is_failure(self) -> bool {
        use Outcome as O;
        matches!(
            self,
            O::Unavailable | O::TimedOut | O::Quarantined | O::LostHistory | O::Misconfigured
        )
    }
}

/// Shown from the start, at zero: what alerts wait for, so that the first one is seen as a rise.
fn shown_at_zero(operation: Operation, outcome: Outcome) -> bool {
    let settles = matches!(operation, Operation::Capture | Operation::Release);
    outcome.is_failure() || (settles && !matches!(outcome, Outcome::Ok | Outcome::Abandoned))
}

/// Upper bounds of times in microseconds: a tenth of a millisecond is usual, a second is an outage.
const BOUNDS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// Times of one operation: those up to each bound and above the one before, those beyond, their sum.
#[derive(Debug, Default)]
struct Times {
    within: [Count; BOUNDS.len()],
    beyond: Count,
    micros: Count,
}

/// What one worker counts.
#[derive(Debug)]
pub(super) struct Shard {
    ended: Vec<[Count; Outcome::ALL.len()]>,
    times: Vec<Times>,
    below_floor: Vec<Count>,
    under_way: Level,
    pub(super) held_micros: Count,
    pub(super) captured_micros: Count,
    pub(super) holds_expired: Count,
}

impl Shard {
    fn new() -> Shard {
        let operations = Operation::ALL.len();
        Shard {
            ended: std::iter::repeat_with(Default::default)
                .take(operations)
                .collect(),
            times: std::iter::repeat_with(Times::default).take(operations).collect(),
            below_floor: std::iter::repeat_with(Count::default).take(operations).collect(),
            under_way: Level::default(),
            held_micros: Count::default(),
            captured_micros: Count::default(),
            holds_expired: Count::default(),
        }
    }

    pub(super) fn asked(&self) {
        self.under_way.up();
    }

    pub(super) fn ended(&self, operation: Operation, outcome: Outcome, took: Duration) {
        self.under_way.down();
        if let Some(count) = self
            .ended
            .get(operation as usize)
            .and_then(|of| of.get(outcome as usize))
        {
            count.one();
        }
        let Some(times) = self.times.get(operation as usize) else {
            return;
        };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let cell = BOUNDS
            .iter()
            .zip(&times.within)
            .find(|(bound, _)| micros <= **bound);
        cell.map_or(&times.beyond, |(_, cell)| cell).one();
        times.micros.add(micros);
    }

    pub(super) fn below_floor(&self, operation: Operation) {
        if let Some(count) = self.below_floor.get(operation as usize) {
            count.one();
        }
    }
}

/// What all workers count of the ledger.
#[derive(Debug, Default)]
pub struct LedgerMeters(Arc<Mutex<Vec<Arc<Shard>>>>);

impl LedgerMeters {
    /// Shows them in a registry.
    ///
    /// # Errors
    /// A name is used twice: a mistake in the code.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let descs = FAMILIES.iter().map(|(name, help, labels)| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new((*name).to_owned(), (*help).to_owned(), labels, Default::default())
        });
        registry.register(Box::new(Collected {
            descs: descs.collect::<prometheus::Result<_>>()?,
            shards: Arc::clone(&self.0),
        }))
    }

    pub(super) fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard::new());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&shard));
        shard
    }
}

/// Name (without the registry's prefix), help, labels.
type Named = (&'static str, &'static str, &'static [&'static str]);

const OPERATIONS: Named = (
    "ledger_operations_total",
    "What was asked of the ledger, by operation and result.",
    &["operation", "result"],
);
const DURATION: Named = (
    "ledger_operation_duration_seconds",
    "From asking the ledger to its answer, by operation.",
    &["operation"],
);
const UNDER_WAY: Named = (
    "ledger_operations_under_way",
    "Questions to the ledger without an answer yet.",
    &[],
);
const HELD: Named = (
    "credits_held_total",
    "Credits set aside when requests were admitted.",
    &[],
);
const CAPTURED: Named = ("credits_captured_total", "Credits charged.", &[]);
const EXPIRED: Named = (
    "holds_expired_total",
    "Holds ended by time, found by this process' sweeps: nobody settled them.",
    &[],
);
const BELOW_FLOOR: Named = (
    "below_floor_total",
    "Operations after which an account was below zero (captures: below its credit line), by operation.",
    &["operation"],
);
const FAMILIES: [Named; 7] = [
    OPERATIONS,
    DURATION,
    UNDER_WAY,
    HELD,
    CAPTURED,
    EXPIRED,
    BELOW_FLOOR,
];

/// What can leave an account below its floor.
const LOWERING: [Operation; 3] = [Operation::Capture, Operation::PutGrant, Operation::Adjust];

/// The registry's end of it.
struct Collected {
    descs: Vec<Desc>,
    shards: Arc<Mutex<Vec<Arc<Shard>>>>,
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |read: fn(&Shard) -> u64| shards.iter().map(|shard| read(shard)).fold(0, u64::wrapping_add);
        let credits = |micros: u64| vec![counter(&[], micros as f64 / 1e6)];
        let under_way: i64 = shards.iter().map(|shard| shard.under_way.get()).sum();
        let below = LOWERING.iter().map(|&operation| {
            let count: u64 = shards
                .iter()
                .map(|shard| shard.below_floor[operation as usize].get())
                .sum();
            counter(&[("operation", operation.as_str())], count as f64)
        });
        vec![
            family(OPERATIONS, MetricType::COUNTER, operations(&shards)),
            family(DURATION, MetricType::HISTOGRAM, times(&shards)),
            family(UNDER_WAY, MetricType::GAUGE, vec![gauge(under_way)]),
            family(
                HELD,
                MetricType::COUNTER,
                credits(sum(|shard| shard.held_micros.get())),
            ),
            family(
                CAPTURED,
                MetricType::COUNTER,
                credits(sum(|shard| shard.captured_micros.get())),
            ),
            family(
                EXPIRED,
                MetricType::COUNTER,
                vec![counter(&[], sum(|shard| shard.holds_expired.get()) as f64)],
            ),
            family(BELOW_FLOOR, MetricType::COUNTER, below.collect()),
        ]
    }
}

fn operations(shards: &[Arc<Shard>]) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for &operation in Operation::ALL {
        for &outcome in Outcome::ALL {
            let count: u64 = shards
                .iter()
                .map(|shard| shard.ended[operation as usize][outcome as usize].get())
                .sum();
            if count > 0 || shown_at_zero(operation, outcome) {
                let labels = [("operation", operation.as_str()), ("result", outcome.as_str())];
                metrics.push(counter(&labels, count as f64));
            }
        }
    }
    metrics
}

fn times(shards: &[Arc<Shard>]) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for &operation in Operation::ALL {
        let of: Vec<&Times> = shards
            .iter()
            .map(|shard| &shard.times[operation as usize])
            .collect();
        let sum =
            |read: &dyn Fn(&Times) -> u64| of.iter().map(|times| read(times)).fold(0, u64::wrapping_add);
        let mut below = 0;
        let mut histogram = Histogram::default();
        let buckets = BOUNDS.iter().enumerate().map(|(at, bound)| {
            below += sum(&|times| times.within[at].get());
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        let count = below + sum(&|times| times.beyond.get());
        // Most operations are never asked for on most days; their sixteen zeros are noise.
        if count == 0 && operation != Operation::Admit {
            continue;
        }
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum(&|times| times.micros.get()) as f64 / 1e6);
        let mut metric = labelled(&[("operation", operation.as_str())]);
        metric.set_histogram(histogram);
        metrics.push(metric);
    }
    metrics
}

fn family((name, help, _): Named, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}

fn counter(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = labelled(labels);
    let mut counter = Counter::default();
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn gauge(value: i64) -> Metric {
    let mut metric = Metric::default();
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    metric.set_gauge(gauge);
    metric
}
