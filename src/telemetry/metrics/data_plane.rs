//! What requests count, worker by worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::domain::credits::Credits;

use super::cells::{Count, Level, Timing, TimingSum};

/// What a worker counts, whatever the route.
#[derive(Debug)]
pub struct WorkerMeters {
    /// Connections of clients.
    pub connections: Level,
    /// Connections accepted.
    pub accepted: Count,
    /// Connections closed because a limit was passed: too many, too slow, not HTTP.
    pub turned_away: Count,
    /// From the head of the request to the end of the answer.
    pub requests_under_way: Level,
    /// Answers of upstreams that are being streamed.
    pub streams: Level,
    /// Upgraded connections.
    pub tunnels: Level,
    /// Prices that upstreams reported missing, twice, unreadable or above the hold.
    pub reports_corrected: Count,
    /// Micro-credits due beyond what was held.
    unpaid: Count,
    /// Requests that found no route.
    pub unrouted: RouteMeters,
}

/// What a worker counts for a route.
#[derive(Debug)]
pub struct RouteMeters {
    outcomes: Box<[Count]>,
    took: Timing,
    first_byte: Timing,
}

/// What a worker counts for an upstream.
#[derive(Debug, Default)]
pub struct UpstreamMeters {
    /// Connections open.
    pub connections: Level,
    /// Connections made.
    pub connected: Count,
    /// Connections that could not be made in time, or at all.
    pub unreachable: Count,
    /// No answer in time.
    pub timeouts: Count,
    /// Ended before the answer was whole.
    pub broken: Count,
    /// Answered with a status of 400 or above.
    pub refused: Count,
    /// Requests that found every connection in use.
    pub waited: Count,
}

impl WorkerMeters {
    /// An answer was worth `due`, and `charged` is all that was held for it.
    pub fn unpaid(&self, due: Credits, charged: Credits) {
        let lost = due.saturating_sub(charged).at_least_zero();
        self.unpaid.add(lost.micros().unsigned_abs());
    }
}

impl RouteMeters {
    fn new(outcomes: usize) -> RouteMeters {
        RouteMeters {
            outcomes: std::iter::repeat_with(Count::default).take(outcomes).collect(),
            took: Timing::default(),
            first_byte: Timing::default(),
        }
    }

    /// A request ended, `outcome` being a place in the list that [`super::Metrics::new`] was given.
    pub fn finished(&self, outcome: usize, took: Duration, first_byte: Option<Duration>) {
        if let Some(count) = self.outcomes.get(outcome) {
            count.one();
        }
        self.took.record(took);
        if let Some(first_byte) = first_byte {
            self.first_byte.record(first_byte);
        }
    }
}

/// All workers' shards.
#[derive(Debug)]
pub struct DataPlane {
    outcomes: &'static [&'static str],
    shards: Mutex<Shards>,
    descs: Vec<Desc>,
}

/// Per name, one handle per worker. Names come from the configuration; one that a reload removed keeps what it counted.
#[derive(Debug, Default)]
struct Shards {
    workers: Vec<Arc<WorkerMeters>>,
    routes: BTreeMap<Arc<str>, BTreeMap<usize, Arc<RouteMeters>>>,
    upstreams: BTreeMap<Arc<str>, BTreeMap<usize, Arc<UpstreamMeters>>>,
}

/// Name, help.
type Named = (&'static str, &'static str);

const REQUESTS: Named = (
    "faregate_requests_total",
    "Requests ended, by route and outcome (`ok` or an error code).",
);
const TOOK: Named = (
    "faregate_request_duration_seconds",
    "From a request's head to the end of its answer.",
);
const FIRST_BYTE: Named = (
    "faregate_first_byte_seconds",
    "From a request's head to the head of the upstream's answer.",
);

type WorkerCount = (Named, fn(&WorkerMeters) -> f64);
type WorkerLevel = (Named, fn(&WorkerMeters) -> i64);
type UpstreamCount = (&'static str, fn(&UpstreamMeters) -> u64);

const WORKER_COUNTS: [WorkerCount; 4] = [
    (
        (
            "faregate_connections_accepted_total",
            "Connections of clients accepted.",
        ),
        |w| w.accepted.get() as f64,
    ),
    (
        (
            "faregate_connections_turned_away_total",
            "Connections closed over a limit or for what is not HTTP, and HTTP/2 answers ended because nobody took them.",
        ),
        |w| w.turned_away.get() as f64,
    ),
    (
        (
            "faregate_reported_prices_corrected_total",
            "Prices reported by upstreams that were missing, twice, unreadable or above the hold.",
        ),
        |w| w.reports_corrected.get() as f64,
    ),
    (
        (
            "faregate_credits_unpaid_total",
            "Credits that answers came to beyond their holds, which nobody pays.",
        ),
        |w| w.unpaid.get() as f64 / 1e6,
    ),
];
const WORKER_LEVELS: [WorkerLevel; 4] = [
    (("faregate_connections", "Connections of clients."), |w| {
        w.connections.get()
    }),
    (
        (
            "faregate_requests_under_way",
            "Requests whose answer has not ended.",
        ),
        |w| w.requests_under_way.get(),
    ),
    (
        ("faregate_streams_open", "Upstreams' answers being streamed."),
        |w| w.streams.get(),
    ),
    (("faregate_tunnels_open", "Upgraded connections."), |w| {
        w.tunnels.get()
    }),
];
const UPSTREAM_ERRORS: Named = (
    "faregate_upstream_errors_total",
    "What went wrong with an upstream, by kind.",
);
const UPSTREAM_ERROR_KINDS: [UpstreamCount; 4] = [
    ("unreachable", |u| u.unreachable.get()),
    ("timeout", |u| u.timeouts.get()),
    ("broken", |u| u.broken.get()),
    ("refused", |u| u.refused.get()),
];
const UPSTREAM_CONNECTED: Named = (
    "faregate_upstream_connections_made_total",
    "Connections made to an upstream.",
);
const UPSTREAM_WAITED: Named = (
    "faregate_upstream_waits_total",
    "Requests that found all connections to an upstream in use.",
);
const UPSTREAM_CONNECTIONS: Named = (
    "faregate_upstream_connections",
    "Connections to an upstream, idle ones included.",
);

impl DataPlane {
    pub(super) fn new(outcomes: &'static [&'static str]) -> prometheus::Result<DataPlane> {
        let named = WORKER_COUNTS.iter().map(|(named, _)| *named);
        let named = named.chain(WORKER_LEVELS.iter().map(|(named, _)| *named));
        let mut descs = Vec::new();
        for (name, help) in named {
            descs.push(Desc::new(
                name.to_owned(),
                help.to_owned(),
                Vec::new(),
                Default::default(),
            )?);
        }
        for ((name, help), labels) in [
            (REQUESTS, &["route", "outcome"][..]),
            (TOOK, &["route"]),
            (FIRST_BYTE, &["route"]),
            (UPSTREAM_ERRORS, &["upstream", "kind"]),
            (UPSTREAM_CONNECTED, &["upstream"]),
            (UPSTREAM_WAITED, &["upstream"]),
            (UPSTREAM_CONNECTIONS, &["upstream"]),
        ] {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            descs.push(Desc::new(
                name.to_owned(),
                help.to_owned(),
                labels,
                Default::default(),
            )?);
        }
        Ok(DataPlane {
            outcomes,
            shards: Mutex::default(),
            descs,
        })
    }

    /// The meters of a new worker.
    pub fn worker(&self) -> Arc<WorkerMeters> {
        let meters = Arc::new(WorkerMeters {
            connections: Level::default(),
            accepted: Count::default(),
            turned_away: Count::default(),
            requests_under_way: Level::default(),
            streams: Level::default(),
            tunnels: Level::default(),
            reports_corrected: Count::default(),
            unpaid: Count::default(),
            unrouted: RouteMeters::new(self.outcomes.len()),
        });
        self.lock().workers.push(Arc::clone(&meters));
        meters
    }

    /// A worker's meters for a route; the same for the same names.
    pub fn route(&self, worker: usize, route: &Arc<str>) -> Arc<RouteMeters> {
        let mut shards = self.lock();
        let routes = shards.routes.entry(Arc::clone(route)).or_default();
        Arc::clone(
            routes
                .entry(worker)
                .or_insert_with(|| Arc::new(RouteMeters::new(self.outcomes.len()))),
        )
    }

    /// A worker's meters for an upstream; the same for the same names.
    pub fn upstream(&self, worker: usize, upstream: &Arc<str>) -> Arc<UpstreamMeters> {
        let mut shards = self.lock();
        let upstreams = shards.upstreams.entry(Arc::clone(upstream)).or_default();
        Arc::clone(upstreams.entry(worker).or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shards> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_routes(&self, shards: &Shards, families: &mut Vec<MetricFamily>) {
        let (mut requests, mut took, mut first_byte) = (Vec::new(), Vec::new(), Vec::new());
        let unrouted: Vec<_> = shards.workers.iter().map(|worker| &worker.unrouted).collect();
        let routes = shards
            .routes
            .iter()
            .map(|(route, of)| (&**route, of.values().map(|meters| &**meters).collect()));
        for (route, of) in routes.chain([("none", unrouted)]) {
            for (index, outcome) in self.outcomes.iter().enumerate() {
                let count: u64 = of
                    .iter()
                    .filter_map(|meters| meters.outcomes.get(index))
                    .map(Count::get)
                    .sum();
                if count > 0 || *outcome == "ok" {
                    requests.push(counter(&[("route", route), ("outcome", outcome)], count as f64));
                }
            }
            took.push(timing(route, of.iter().map(|meters| &meters.took)));
            first_byte.push(timing(route, of.iter().map(|meters| &meters.first_byte)));
        }
        families.push(family(REQUESTS, MetricType::COUNTER, requests));
        families.push(family(TOOK, MetricType::HISTOGRAM, took));
        families.push(family(FIRST_BYTE, MetricType::HISTOGRAM, first_byte));
    }
}

/// The registry's end of it.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Arc<DataPlane>);

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shards = self.0.lock();
        let mut families = Vec::new();
        for (named, read) in WORKER_COUNTS {
            let sum = shards.workers.iter().map(|worker| read(worker)).sum();
            families.push(family(named, MetricType::COUNTER, vec![counter(&[], sum)]));
        }
        for (named, read) in WORKER_LEVELS {
            let sum = shards.workers.iter().map(|worker| read(worker)).sum();
            families.push(family(named, MetricType::GAUGE, vec![gauge(&[], sum)]));
        }
        self.0.of_routes(&shards, &mut families);
        of_upstreams(&shards, &mut families);
        families
    }
}

fn of_upstreams(shards: &Shards, families: &mut Vec<MetricFamily>) {
    let (mut errors, mut connected, mut waited, mut connections) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (upstream, of) in &shards.upstreams {
        let sum = |read: fn(&UpstreamMeters) -> u64| of.values().map(|meters| read(meters) as f64).sum();
        for (kind, read) in UPSTREAM_ERROR_KINDS {
            errors.push(counter(&[("upstream", upstream), ("kind", kind)], sum(read)));
        }
        connected.push(counter(
            &[("upstream", upstream)],
            sum(|meters| meters.connected.get()),
        ));
        waited.push(counter(
            &[("upstream", upstream)],
            sum(|meters| meters.waited.get()),
        ));
        let open = of.values().map(|meters| meters.connections.get()).sum();
        connections.push(gauge(&[("upstream", upstream)], open));
    }
    families.push(family(UPSTREAM_ERRORS, MetricType::COUNTER, errors));
    families.push(family(UPSTREAM_CONNECTED, MetricType::COUNTER, connected));
    families.push(family(UPSTREAM_WAITED, MetricType::COUNTER, waited));
    families.push(family(UPSTREAM_CONNECTIONS, MetricType::GAUGE, connections));
}

fn family((name, help): Named, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    // The registry puts its own prefix in front.
    family.set_name(name.strip_prefix("faregate_").unwrap_or(name).to_owned());
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

fn gauge(labels: &[(&str, &str)], value: i64) -> Metric {
    let mut metric = labelled(labels);
    let mut gauge = Gauge::default();
    gauge.set_value(value as f64);
    metric.set_gauge(gauge);
    metric
}

fn timing<'a>(route: &str, of: impl Iterator<Item = &'a Timing>) -> Metric {
    let mut sum = TimingSum::default();
    of.for_each(|timing| sum.add(timing));
    let mut metric = labelled(&[("route", route)]);
    metric.set_histogram(sum.to_proto());
    metric
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn workers_are_added_up_and_s8_labels_come_from_the_configuration_only() {
        let metrics = Metrics::new(&["ok", "route_not_found"]).unwrap();
        let plane = &metrics.data_plane;
        let (one, two) = (plane.worker(), plane.worker());
        let route: Arc<str> = "POST /v1/x".into();
        plane
            .route(0, &route)
            .finished(0, Duration::from_millis(3), Some(Duration::from_millis(2)));
        plane.route(1, &route).finished(0, Duration::from_secs(600), None);
        one.unrouted.finished(1, Duration::ZERO, None);
        two.connections.up();
        one.connections.up();
        let upstream: Arc<str> = "models".into();
        plane.upstream(0, &upstream).timeouts.one();
        let credits = |micros| Credits::from_micros(micros).unwrap();
        one.unpaid(credits(2_500_000), credits(1_000_000));
        two.unpaid(credits(1), credits(5));
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for line in [
            "faregate_requests_total{route=\"POST /v1/x\",outcome=\"ok\"} 2",
            "faregate_requests_total{route=\"none\",outcome=\"route_not_found\"} 1",
            "faregate_request_duration_seconds_bucket{route=\"POST /v1/x\",le=\"0.0025\"} 0",
            "faregate_request_duration_seconds_bucket{route=\"POST /v1/x\",le=\"0.005\"} 1",
            "faregate_request_duration_seconds_bucket{route=\"POST /v1/x\",le=\"+Inf\"} 2",
            "faregate_request_duration_seconds_sum{route=\"POST /v1/x\"} 600.003",
            "faregate_first_byte_seconds_count{route=\"POST /v1/x\"} 1",
            "faregate_connections 2",
            "faregate_credits_unpaid_total 1.5",
            "faregate_upstream_errors_total{upstream=\"models\",kind=\"timeout\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }
}
