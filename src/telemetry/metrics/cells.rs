//! Cells that one worker writes and anyone may read.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Counts up.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

impl Level {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Where it stands.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds in microseconds: a millisecond is short for a model server, two minutes long.
pub(super) const BOUNDS: [u64; 16] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    120_000_000,
];

/// A histogram of times.
#[derive(Debug, Default)]
pub struct Timing {
    /// Those up to each bound and above the one before.
    within: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    micros: AtomicU64,
}

impl Timing {
    /// One more.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let cell = BOUNDS
            .iter()
            .zip(&self.within)
            .find(|(bound, _)| micros <= **bound);
        cell.map_or(&self.beyond, |(_, cell)| cell)
            .fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Histograms of all workers added up.
#[derive(Debug, Default)]
pub(super) struct TimingSum {
    within: [u64; BOUNDS.len()],
    beyond: u64,
    micros: u64,
}

impl TimingSum {
    pub(super) fn add(&mut self, timing: &Timing) {
        for (sum, cell) in self.within.iter_mut().zip(&timing.within) {
            *sum += cell.load(Ordering::Relaxed);
        }
        self.beyond += timing.beyond.load(Ordering::Relaxed);
        self.micros = self.micros.wrapping_add(timing.micros.load(Ordering::Relaxed));
    }

    pub(super) fn to_proto(&self) -> prometheus::proto::Histogram {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, within) in BOUNDS.iter().zip(&self.within) {
            below += within;
            let mut bucket = prometheus::proto::Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(*bound as f64 / 1e6);
            buckets.push(bucket);
        }
        let mut histogram = prometheus::proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(below + self.beyond);
        histogram.set_sample_sum(self.micros as f64 / 1e6);
        histogram
    }
}
