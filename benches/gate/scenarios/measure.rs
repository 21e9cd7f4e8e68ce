//! One load on one system, and what it cost.

use crate::roles::Role;
use crate::systems::{System, upstream_count};
use serde_json::Value;
use std::time::Duration;
use std::{io, thread};

/// What is settled after the last answer still counts.
const AFTER: Duration = Duration::from_millis(200);

/// What the clients do.
pub(crate) struct Load<'a> {
    pub(crate) title: &'a str,
    path: String,
    /// The status that every answer must have.
    status: u16,
    body_bytes: usize,
    /// Its kind and numbers, as the role takes them.
    args: Vec<String>,
}

impl<'a> Load<'a> {
    /// Each connection sends its next request when its last answer has come.
    pub(crate) fn closed(title: &'a str, connections: usize, requests: u64, body_bytes: usize) -> Self {
        let args = format!("--kind closed --connections {connections} --requests {requests}");
        Self::new(title, "/v1/rerank".into(), body_bytes, &args)
    }

    /// The same, priced by tokens where there is a price.
    pub(crate) fn by_tokens(mut self) -> Self {
        let query = self.path.split_once('?').map(|(_, query)| format!("?{query}"));
        self.path = format!("/v1/chat{}", query.unwrap_or_default());
        self
    }

    /// So many requests a second, whatever the answers do.
    pub(crate) fn rate(title: &'a str, rate: u32, seconds: u32) -> Self {
        let args = format!("--kind rate --rate {rate} --seconds {seconds}");
        Self::new(title, "/v1/rerank".into(), 200, &args)
    }

    /// So many streams at once, each read to its end.
    pub(crate) fn streams(title: &'a str, count: usize, events: usize, every: Duration) -> Self {
        let path = format!("/v1/stream?events={events}&every={}", every.as_millis());
        Self::new(
            title,
            path,
            200,
            &format!("--kind streams --count {count} --events {events}"),
        )
    }

    /// So many streams begun each second, each read to its end.
    pub(crate) fn paced(title: &'a str, rate: u32, seconds: u32, events: usize, every: Duration) -> Self {
        let path = format!("/v1/stream?events={events}&every={}", every.as_millis());
        let args = format!("--kind paced --rate {rate} --seconds {seconds} --events {events}");
        Self::new(title, path, 200, &args)
    }

    /// So many streams held open after their first event.
    pub(crate) fn hold(title: &'a str, count: usize) -> Self {
        let path = "/v1/stream?events=2&every=3600000".into();
        Self::new(title, path, 200, &format!("--kind hold --count {count}"))
    }

    /// The same with the key of an account without credits, to be refused.
    pub(crate) fn refused(self) -> Self {
        Self { status: 402, ..self }
    }

    fn new(title: &'a str, path: String, body_bytes: usize, args: &str) -> Self {
        let args = args.split(' ').map(str::to_owned).collect();
        Self {
            title,
            path,
            status: 200,
            body_bytes,
            args,
        }
    }

    /// Starts the load's process; it waits, warm, for its first go.
    pub(crate) fn start(&self, system: &System) -> io::Result<Role> {
        let keys = if self.status == 402 {
            system.poor_key().into_iter().collect()
        } else {
            system.keys()
        };
        let mut args = self.args.clone();
        args.extend([
            "--target".to_owned(),
            format!("127.0.0.1:{}", system.port),
            "--path".to_owned(),
            self.path.clone(),
        ]);
        args.extend([
            "--status".to_owned(),
            self.status.to_string(),
            "--body-bytes".to_owned(),
            self.body_bytes.to_string(),
        ]);
        args.extend(["--keys".to_owned(), keys.join(",")]);
        let mut role = Role::start("load", &args)?;
        let said = role.line()?;
        if said == "ready" {
            Ok(role)
        } else {
            Err(io::Error::other(format!("{}: {said}", self.title)))
        }
    }
}

/// One measurement. What does not apply is not a number.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) proxy_us: f64,
    pub(crate) store_us: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of streams.
    pub(crate) first: Spread,
    pub(crate) event: Spread,
    pub(crate) peak_mib: f64,
}

/// Half take at most so many microseconds, and 99 of 100.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// What a load told: how many were right, in how many seconds, with which latencies. An error if any was wrong.
pub(crate) struct Told {
    pub(crate) right: u64,
    seconds: f64,
    whole: Spread,
    first: Spread,
    event: Spread,
}

impl Told {
    /// Reads the load's line.
    pub(crate) fn read(role: &mut Role, system: &System, load: &Load<'_>) -> io::Result<Self> {
        let told: Value = serde_json::from_str(&role.line()?)?;
        let number = |name: &str| told.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let spread = |p50: &str, p99: &str| Spread {
            p50_us: number(p50),
            p99_us: number(p99),
        };
        let count = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(0);
        if count("wrong") > 0 || count("right") == 0 {
            let error = format!("{}, {}: not the answers awaited: {told}", load.title, system.name);
            return Err(io::Error::other(error));
        }
        Ok(Self {
            right: count("right"),
            seconds: number("seconds"),
            whole: spread("p50_us", "p99_us"),
            first: spread("first_p50_us", "first_p99_us"),
            event: spread("event_p50_us", "event_p99_us"),
        })
    }
}

/// Runs the load, checks that the upstream saw each request that it should have seen, and gives the cost per request.
pub(crate) fn measure(system: &mut System, upstream: u16, load: &Load<'_>) -> io::Result<Sample> {
    let idle = upstream_count(upstream)?;
    let mut role = load.start(system)?;
    thread::sleep(AFTER);
    let seen = upstream_count(upstream)?;
    let (proxy, store) = system.cpu()?;
    role.go()?;
    let told = Told::read(&mut role, system, load)?;
    thread::sleep(AFTER);
    let (proxy_after, store_after) = system.cpu()?;
    let now = upstream_count(upstream)?;
    let expected = if load.status == 200 { told.right } else { 0 };
    if now - seen != expected {
        let error = format!(
            "{}, {}: {expected} requests, {} at the upstream",
            load.title,
            system.name,
            now - seen
        );
        return Err(io::Error::other(error));
    }
    system.paid += now - idle;
    let per_request = |spent: Duration| spent.as_secs_f64() * 1e6 / told.right as f64;
    let store = store
        .zip(store_after)
        .map(|(before, after)| per_request(after - before));
    let proxy = per_request(proxy_after - proxy);
    Ok(Sample {
        proxy_us: if proxy > 0.0 { proxy } else { f64::NAN },
        store_us: store.unwrap_or(f64::NAN),
        per_second: told.right as f64 / told.seconds,
        p50_us: told.whole.p50_us,
        p99_us: told.whole.p99_us,
        first: told.first,
        event: told.event,
        peak_mib: system.memory()?.1 as f64 / 1024.0,
    })
}
