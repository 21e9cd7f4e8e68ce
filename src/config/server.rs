//! `[server]`: the data plane's listener, and what a request may be at most.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::address::parse_listen;
use super::context::Placed;
use super::headers;
use super::section::{Section, within};
use super::units::{GIB, KIB, MIB, secs};

/// `[server]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Where to listen; port 0 for any free one.
    pub listen: SocketAddr,
    /// TLS; without it the listener speaks HTTP/1.1 and, by prior knowledge, HTTP/2 in the clear.
    pub tls: Option<Tls>,
    /// The most bytes a request's body has, unless its route says otherwise.
    pub body_max: usize,
    /// How long running requests may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// For a client to send a request's head.
    pub header_timeout: Duration,
    /// For a client to send the next part of a body.
    pub body_timeout: Duration,
    /// For a connection without a request, and for a client that reads nothing.
    pub idle_timeout: Duration,
    /// For a client to finish the TLS handshake.
    pub tls_timeout: Duration,
    /// Bytes of bodies held in memory at once, over all requests.
    pub bodies_max: usize,
    /// Bytes of answers kept for retries, over all.
    pub answers_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address; 0 for no such cap.
    pub connections_per_client_max: usize,
    /// Requests in flight at once.
    pub requests_max: usize,
    /// HTTP/2 streams at once per connection.
    pub streams_max: u32,
    /// Bytes of a request's line and headers.
    pub header_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Headers in which a key may come; `authorization` as `Bearer ...`. Never empty, no name twice.
    pub key_headers: Vec<HeaderName>,
    /// Where a customer buys credits: told with a 402.
    pub top_up_url: Option<String>,
    /// Threads that serve requests; 0 for one per core.
    pub workers: usize,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The certificate, then those up to its root.
    pub cert: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

pub(super) const LISTEN: ([u8; 4], u16) = ([0, 0, 0, 0], 8080);
pub(super) const KEY_HEADERS: [&str; 3] = ["authorization", "x-api-key", "api-key"];

const LISTENS: &str = "IP address and port of the data plane.";
const BODY_MAX: &str =
    "The most bytes a request's body has; a longer one is a 413. Routes may say otherwise.";
const GRACE: &str = "How long running requests may go on after SIGTERM.";
const HEADER_TIMEOUT: &str = "Time for a client to send the head of a request.";
const BODY_TIMEOUT: &str = "Time for a client to send the next part of a body.";
const IDLE_TIMEOUT: &str =
    "Time for a connection without a request, and for a client that does not read its answer.";
const TLS_TIMEOUT: &str = "Time for a client to finish the TLS handshake.";
const BODIES_MAX: &str = "Bytes of bodies held in memory at once, over all requests whose body is read before it is forwarded; a further one is a 503. One account has half of it at most. One alone always fits. Answers that are read whole have as much besides.";
const ANSWERS_MAX: &str =
    "Bytes of answers kept for retries, over all routes with `keep_answers`; the oldest make room.";
const PER_CLIENT: &str = "Connections at once from one address (IPv6: one /64 network); further ones are closed. 0 for no such cap, as behind a load balancer, whose address is that of all clients.";
const CONNECTIONS: &str = "Connections at once; further ones wait until one ends.";
const REQUESTS: &str = "Requests in flight at once; further ones are a 503.";
const STREAMS: &str = "HTTP/2 streams at once per connection.";
const HEADER_MAX: &str = "Bytes of a request's line and headers; more is a 431 (414 for the line alone).";
const HEADERS_MAX: &str = "Headers of a request; more is a 431.";
const KEYS: &str = "Headers in which a client's key may come; in `authorization` as `Bearer KEY`.";
const TOP_UP: &str = "Where a customer buys credits: told with each 402.";
const WORKERS: &str = "Threads that serve requests; 0 for one per core.";

const SLOW: &str = "a client that sends nothing keeps a connection";
const STOPS: &str = "a stop must come to its end";
const FILES: &str = "each takes one or two file descriptors";
const HOLDS: &str = "each takes memory and a hold";
const ONE: &str = "one connection is one client";
const HEADS: &str = "heads are read before anyone is asked for a key";
const CORES: &str = "more threads than cores serve nobody";
const MEMORY: &str = "priced bodies are read into memory first";
const ALL_MEMORY: &str = "it comes out of the memory of the machine";

/// Bounds of a body's size, for the server and for a route.
pub(super) const BODY_BOUNDS: super::section::Bounds<u64> = within(KIB, GIB, MEMORY);

pub(super) fn read(s: &Section<'_>) -> Server {
    let wait =
        |name, doc, default, max| s.duration(name, doc, secs(default), within(secs(1), secs(max), SLOW));
    let count = |name, doc, default, bounds| to_usize(s.integer(name, doc, default, bounds));
    let bytes = |name, doc, default, bounds| to_usize(s.size(name, doc, default, bounds));
    Server {
        listen: read_listen(s, LISTEN, LISTENS),
        tls: read_tls(s),
        body_max: bytes("body_max", BODY_MAX, 10 * MIB, BODY_BOUNDS),
        shutdown_grace: s.duration(
            "shutdown_grace",
            GRACE,
            secs(30),
            within(secs(0), secs(3_600), STOPS),
        ),
        header_timeout: wait("header_timeout", HEADER_TIMEOUT, 10, 300),
        body_timeout: wait("body_timeout", BODY_TIMEOUT, 30, 600),
        idle_timeout: wait("idle_timeout", IDLE_TIMEOUT, 60, 3_600),
        tls_timeout: wait("tls_timeout", TLS_TIMEOUT, 10, 60),
        bodies_max: bytes(
            "bodies_max",
            BODIES_MAX,
            256 * MIB,
            within(MIB, 1024 * GIB, ALL_MEMORY),
        ),
        answers_max: bytes(
            "answers_max",
            ANSWERS_MAX,
            64 * MIB,
            within(MIB, 1024 * GIB, ALL_MEMORY),
        ),
        connections_max: count(
            "connections_max",
            CONNECTIONS,
            10_000,
            within(1, 1_000_000, FILES),
        ),
        connections_per_client_max: count(
            "connections_per_client_max",
            PER_CLIENT,
            5_000,
            within(0, 1_000_000, FILES),
        ),
        requests_max: count("requests_max", REQUESTS, 10_000, within(1, 1_000_000, HOLDS)),
        streams_max: u32::try_from(s.integer("streams_max", STREAMS, 100, within(1, 10_000, ONE)))
            .unwrap_or(100),
        header_max: bytes(
            "header_max",
            HEADER_MAX,
            16 * KIB,
            within(8 * KIB, 256 * KIB, HEADS),
        ),
        headers_max: count("headers_max", HEADERS_MAX, 100, within(10, 1_000, HEADS)),
        key_headers: read_key_headers(s),
        top_up_url: read_top_up(s),
        workers: count("workers", WORKERS, 0, within(0, 1_024, CORES)),
    }
}

pub(super) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) fn read_listen(s: &Section<'_>, default: ([u8; 4], u16), doc: &'static str) -> SocketAddr {
    let default = SocketAddr::from(default);
    let Some(text) = s.text_or("listen", doc, &default.to_string()) else {
        return default;
    };
    parse_listen(&text.value).unwrap_or_else(|(what, advice)| {
        s.problem(&text.place, format!("{:?} {what}", text.value), advice);
        default
    })
}

pub(super) fn read_tls(s: &Section<'_>) -> Option<Tls> {
    s.table(
        "tls",
        "TLS with ALPN. The files are read again when they change.",
        |s| {
            let cert = s.text("cert", "PEM file: the certificate, then those up to its root.");
            let key = s.text("key", "PEM file: the certificate's private key.");
            for name in ["cert", "key"] {
                s.required(
                    name,
                    "TLS takes both: cert = \"fullchain.pem\" and key = \"key.pem\"",
                );
            }
            Some(Tls {
                cert: cert?.value.into(),
                key: key?.value.into(),
            })
        },
    )
}

fn read_key_headers(s: &Section<'_>) -> Vec<HeaderName> {
    let default = || KEY_HEADERS.map(HeaderName::from_static).to_vec();
    let Some(Placed { value: names, place }) = s.texts("key_headers", KEYS, &KEY_HEADERS, 8) else {
        return default();
    };
    if names.is_empty() {
        s.problem(
            &place,
            "is empty",
            "name at least one header, such as \"authorization\"",
        );
    }
    headers::names(s, names, headers::Use::Key)
}

fn read_top_up(s: &Section<'_>) -> Option<String> {
    let text = s.text("top_up_url", TOP_UP)?;
    let web = |scheme: Option<&str>| matches!(scheme, Some("http" | "https"));
    match text.value.parse::<http::Uri>() {
        Ok(uri) if web(uri.scheme_str()) && uri.authority().is_some() => Some(text.value),
        _ => {
            s.problem(
                &text.place,
                "is not a web address",
                "write it like \"https://example.com/credits\"",
            );
            None
        }
    }
}
