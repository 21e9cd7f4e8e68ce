//! Metrics: what `/metrics` shows. Prefix `faregate_`, base units, labels only from the configuration and from lists in the code (never an
//! account, a key, a path or anything else that a client chooses).
//!
//! What every request counts is counted in a shard of its worker's own, through handles that are looked up once per route and worker, and summed up when
//! somebody asks. Everything else is an ordinary metric of the `prometheus` crate.

mod cells;
mod data_plane;
mod ledger;
mod stripe;

use std::sync::Arc;

use prometheus::{Encoder, Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

pub use cells::{Count, Level, Timing};
pub use data_plane::{DataPlane, RouteMeters, UpstreamMeters, WorkerMeters};
pub use ledger::{LedgerMeters, Operation};
pub use stripe::StripeMeters;

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What requests count.
    pub data_plane: Arc<DataPlane>,
    /// What charging counts.
    pub ledger: Arc<LedgerMeters>,
    /// What comes from Stripe.
    pub stripe: Arc<StripeMeters>,
    /// Configurations loaded after the first, by `result` (`ok`, `refused`).
    pub config_reloads: IntCounterVec,
    /// When the configuration in force was loaded, in seconds since the epoch.
    pub config_loaded: Gauge,
    /// Certificates read again, by `result`.
    pub certificate_reloads: IntCounterVec,
    /// Buffers of access log lines that were dropped.
    pub log_dropped: IntCounter,
    /// 1 while draining.
    pub draining: IntGauge,
}

impl Metrics {
    /// Metrics for requests that end in one of these `outcomes`.
    ///
    /// # Errors
    /// A name is used twice: a mistake in the code.
    pub fn new(outcomes: &'static [&'static str]) -> prometheus::Result<Metrics> {
        let registry = Registry::new_custom(Some("faregate".to_owned()), None)?;
        let data_plane = Arc::new(DataPlane::new(outcomes)?);
        registry.register(Box::new(data_plane::Collected(Arc::clone(&data_plane))))?;
        let build = IntGauge::with_opts(
            Opts::new("build_info", "The build that runs; always 1.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Metrics {
            data_plane,
            ledger: Arc::new(LedgerMeters::new(&registry)?),
            stripe: Arc::new(StripeMeters::new(&registry)?),
            config_reloads: results(
                &registry,
                "config_reloads_total",
                "Configurations loaded after the first, by result.",
            )?,
            config_loaded: gauge(
                &registry,
                "config_loaded_timestamp_seconds",
                "When the configuration in force was loaded.",
            )?,
            certificate_reloads: results(
                &registry,
                "certificate_reloads_total",
                "Certificates read again, by result.",
            )?,
            log_dropped: counter(
                &registry,
                "access_log_dropped_total",
                "Buffers of access log lines dropped because the output was too slow.",
            )?,
            draining: int_gauge(
                &registry,
                "draining",
                "1 while the proxy finishes what runs before it stops.",
            )?,
            registry,
        })
    }

    /// Where other parts register what they count.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// A metric without samples or with a name twice: a mistake in the code.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// A counter by `result`: `ok` or `refused`.
fn results(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounterVec> {
    let metric = IntCounterVec::new(Opts::new(name, help), &["result"])?;
    registry.register(Box::new(metric.clone()))?;
    // Shown from the start, at zero: the first refusal must be seen as a rise.
    for result in ["ok", "refused"] {
        metric.with_label_values(&[result]);
    }
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let metric = IntCounter::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Gauge> {
    let metric = Gauge::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn int_gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let metric = IntGauge::new(name, help)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
