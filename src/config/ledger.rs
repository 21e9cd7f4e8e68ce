//! `[ledger]`: where the credits are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::context::Placed;
use super::redis_url;
use super::secret::Secret;
use super::section::{Section, within};
use super::units::{millis, secs};
use crate::domain::hold::OnExpiry;
use crate::domain::time::Span;

/// `[ledger]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    /// Where.
    pub store: Store,
    /// How long a hold lives unless renewed.
    pub hold_ttl: Span,
    /// What becomes of a hold that nobody settles in time.
    pub on_expiry: OnExpiry,
    /// For the ledger to answer a request that waits for it; after that it is a 503.
    pub timeout: Duration,
}

/// Where the credits are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Store {
    /// In a folder of this machine, by this process alone.
    Embedded {
        /// The folder.
        path: PathBuf,
    },
    /// In Redis, for any number of proxies.
    Redis(Redis),
}

/// A Redis, or a Redis Cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redis {
    /// One address, or with `cluster` some of its nodes. Never empty.
    pub urls: Vec<RedisUrl>,
    /// A Redis Cluster (`urls` was given, not `url`).
    pub cluster: bool,
    /// PEM file of the certificates to trust instead of the usual ones, for `rediss`.
    pub ca: Option<PathBuf>,
    /// How many partitions the Redis must have, and gets if it is used for the first time; `None` for what suits it.
    pub partitions: Option<u32>,
}

/// The address of a Redis, user and password included. Prints without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// As the `redis` crate reads it.
    pub url: Secret,
    /// Without the password.
    pub(super) shown: String,
    /// Over TLS.
    pub tls: bool,
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Backend {
    Embedded,
    Redis,
}

const NODES_MAX: usize = 64;
/// The settings that count for one backend only.
const OF_REDIS: [&str; 6] = ["url", "urls", "username", "password", "ca", "partitions"];

const PATH: &str = "faregate-data";
const RENEWED: &str = "it is renewed three times in it, and ids are remembered for half an hour";
const WAIT: &str = "clients wait for it";
const BACKEND: &str = "embedded: a folder of this machine, one proxy; redis: any number of proxies.";
const HOLD_TTL: &str =
    "How long a hold lives unless renewed: a live request renews its own, a dead proxy's ends after this.";
const ON_EXPIRY: &str =
    "What becomes of a hold that nobody settles in time: release gives it back, capture charges it.";
const TIMEOUT: &str =
    "Time for the ledger to answer all that a request asks; after that it is a 503 and nothing was charged.";
const PARTITIONS: &str = "Partitions that a Redis which is used for the first time gets (not given: 1, or 64 on a cluster); afterwards it cannot be changed.";
const URL: &str =
    "redis://[user:password@]host[:port][/database], rediss:// for TLS, redis+unix:///path for a socket.";

pub(super) fn read(s: &Section<'_>) -> Ledger {
    let backends = &[("embedded", Backend::Embedded), ("redis", Backend::Redis)];
    let backend = s.choice("backend", BACKEND, "embedded", backends);
    let path = s.text_or("path", "Embedded: the folder, made at first start.", PATH);
    let redis = read_redis(s, backend == Some(Backend::Redis));
    let endings = &[("release", OnExpiry::Release), ("capture", OnExpiry::Capture)];
    s.later(
        "durability",
        "is not in this version",
        "leave it out: `serve` says what the store it finds can lose",
    );
    check_use(s, backend);
    let embedded = || Store::Embedded {
        path: path.map_or_else(|| PATH.into(), |path| path.value.into()),
    };
    Ledger {
        store: redis.map_or_else(embedded, Store::Redis),
        hold_ttl: Span::from(s.duration(
            "hold_ttl",
            HOLD_TTL,
            secs(60),
            within(secs(1), secs(900), RENEWED),
        )),
        on_expiry: s
            .choice("on_expiry", ON_EXPIRY, "release", endings)
            .unwrap_or_default(),
        timeout: s.duration(
            "timeout",
            TIMEOUT,
            millis(800),
            within(millis(20), secs(30), WAIT),
        ),
    }
}

/// Settings that count for the other backend only: whoever wrote them expects something of them.
fn check_use(s: &Section<'_>, backend: Option<Backend>) {
    let (useless, whom, other): (&[&str], _, _) = match backend {
        Some(Backend::Embedded) => (&OF_REDIS, "the embedded ledger", "redis"),
        Some(Backend::Redis) => (&["path"], "Redis", "embedded"),
        None => return,
    };
    for name in useless.iter().filter(|name| s.has(name)) {
        s.problem(
            &s.place_or(name),
            format!("is of no use to {whom}"),
            format!("set backend = \"{other}\", or take it out"),
        );
    }
}

fn read_redis(s: &Section<'_>, wanted: bool) -> Option<Redis> {
    let url = s.secret("url", URL);
    let urls = s.secrets(
        "urls",
        "Some nodes of a Redis Cluster, each as in `url`, all with the same scheme.",
        NODES_MAX,
    );
    let username = s.secret("username", "Redis: the user, where the address names none.");
    let password = s.secret(
        "password",
        "Redis: the password, where the address names none; written as it is.",
    );
    let ca = s.text(
        "ca",
        "PEM file of the certificates to trust instead of the usual ones, for rediss://.",
    );
    let partitions = s.integer_or(
        "partitions",
        PARTITIONS,
        None,
        within(1, 4_096, "each has a journal of its own that is read by itself"),
    );
    if !wanted {
        return None;
    }
    let cluster = s.has("urls");
    if cluster && s.has("url") {
        s.problem(
            &s.place_or("urls"),
            "`url` is given too",
            "give `url` for one Redis, `urls` for a cluster",
        );
        return None;
    }
    if !cluster && !s.has("url") {
        s.missing("url", "say where Redis is: url = \"redis://127.0.0.1:6379\"");
    }
    let given = match (url, urls) {
        (Some(url), _) => vec![url],
        (None, Some(Placed { value, place })) => {
            if value.is_empty() {
                s.problem(&place, "is empty", "name at least one node");
            }
            value
        }
        (None, None) => return None,
    };
    let login = (username.as_ref(), password.as_ref());
    let written = s.written(if cluster { "urls" } else { "url" });
    let urls = redis_url::read_all(s, &given, &written, login, cluster)?;
    if let Some(ca) = &ca
        && urls.iter().any(|url| !url.tls)
    {
        s.problem(
            &ca.place,
            "is of no use without TLS",
            "write rediss:// instead of redis://, or take it out",
        );
    }
    Some(Redis {
        urls,
        cluster,
        ca: ca.map(|ca| ca.value.into()),
        partitions: partitions.and_then(|partitions| u32::try_from(partitions).ok()),
    })
}
