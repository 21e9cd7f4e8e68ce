//! `[upstreams.NAME]`: servers that requests are forwarded to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::address::{BaseUrl, denied_host, parse_base};
use super::context::Placed;
use super::headers;
use super::section::{Section, within};
use super::server::to_usize;
use super::units::{millis, secs};

/// `[upstreams.NAME]`: one or several servers that do the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Where its servers are. Never empty, none twice.
    pub urls: Vec<BaseUrl>,
    /// Headers set on every request, in place of what the client sent. Marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// To connect, TLS included.
    pub connect_timeout: Duration,
    /// From the whole request sent to the head of the answer.
    pub first_byte_timeout: Duration,
    /// Between two parts of the answer.
    pub idle_timeout: Duration,
    /// For all of it; `None` for no end.
    pub total_timeout: Option<Duration>,
    /// HTTP/2 in the clear, by prior knowledge. Over TLS, ALPN decides.
    pub http2: bool,
    /// PEM file of the certificates to trust instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// Connections at once to each of its servers.
    pub connections_max: usize,
    /// What kind of server it is.
    pub kind: Kind,
    /// Headers taken out of its answers, besides those always taken out.
    pub strip_response_headers: Vec<HeaderName>,
    /// Link-local and metadata addresses may be connected to ([`super::denied`]).
    pub allow_link_local: bool,
}

/// What kind of server an upstream is: where servers that speak the same API differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// Any: it is asked for usage at the end of a stream, and told limits by the older name.
    #[default]
    Generic,
    /// OpenAI's own: some of its models take limits by the newer name only.
    OpenAi,
    /// vLLM or SGLang: they say with each event what was used so far.
    Vllm,
    /// One that takes nothing that a client did not send, but a limit.
    Plain,
}

impl Kind {
    const WORDS: &'static [(&'static str, Kind)] = &[
        ("generic", Kind::Generic),
        ("openai", Kind::OpenAi),
        ("vllm", Kind::Vllm),
        ("sglang", Kind::Vllm),
        ("plain", Kind::Plain),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        let words = Kind::WORDS.iter();
        words
            .into_iter()
            .find(|(_, kind)| *kind == self)
            .map_or("generic", |(word, _)| word)
    }
}

/// A name that may stand in a path, a log line and a metric's label.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

const URLS_MAX: usize = 64;
const HEADERS_MAX: usize = 64;
const WAIT: &str = "a client waits for it, and its credits are held";

const CONNECT: &str = "Time to connect, TLS included.";
const FIRST_BYTE: &str = "Time from the whole request sent to the head of the answer.";
const IDLE: &str = "Time between two parts of the answer.";
const TOTAL: &str = "Time for all of it; absent for no end, as long as something comes.";
const CONNECTIONS: &str = "Connections at once to each of its servers.";
const HEADERS: &str =
    "Headers set on every request, in place of what the client sent: the upstream's own credential.";
const STRIP: &str = "Headers taken out of its answers, besides those always taken out (hop-by-hop, rate limits, organisation, cookies).";
const KIND: &str = "What kind of server it is, for streams priced by tokens: generic, openai (limits by the newer name), vllm, sglang (usage with each event), plain (nothing is asked of it).";
const LINK_LOCAL: &str = "Allows link-local and cloud metadata addresses, which are refused otherwise.";
const HTTP2: &str = "HTTP/2 in the clear, by prior knowledge; over https ALPN decides.";

pub(super) fn read(name: &Placed<String>, s: &Section<'_>) -> Option<Upstream> {
    if !is_name(&name.value) && !s.describing() {
        s.problem(
            &name.place,
            "is no name for an upstream",
            "use 1 to 64 letters, digits and `-_.`",
        );
    }
    let allow_link_local = s.flag("allow_link_local", LINK_LOCAL);
    let urls = read_urls(s, allow_link_local);
    let http2 = s.flag("http2", HTTP2);
    let ca = s.text(
        "ca",
        "PEM file of the certificates to trust instead of the usual ones, for https.",
    );
    check_tls(s, urls.as_deref().unwrap_or_default(), http2, ca.as_ref());
    let strip = s.texts("strip_response_headers", STRIP, &[], HEADERS_MAX);
    Some(Upstream {
        name: name.value.as_str().into(),
        headers: read_headers(s),
        connect_timeout: s.duration(
            "connect_timeout",
            CONNECT,
            secs(2),
            within(millis(10), secs(60), WAIT),
        ),
        first_byte_timeout: first_byte_timeout(s, Some(secs(120))).unwrap_or(secs(120)),
        idle_timeout: s.duration(
            "idle_timeout",
            IDLE,
            secs(60),
            within(millis(10), secs(3_600), WAIT),
        ),
        total_timeout: s.duration_or(
            "total_timeout",
            TOTAL,
            None,
            within(millis(10), secs(86_400), WAIT),
        ),
        http2,
        ca: ca.map(|ca| ca.value.into()),
        connections_max: to_usize(s.integer(
            "connections_max",
            CONNECTIONS,
            10_000,
            within(1, 1_000_000, "each takes a file descriptor"),
        )),
        kind: s.choice("kind", KIND, "generic", Kind::WORDS).unwrap_or_default(),
        strip_response_headers: strip
            .map(|names| headers::names(s, names.value, headers::Use::Strip))
            .unwrap_or_default(),
        allow_link_local,
        urls: urls?,
    })
}

pub(super) fn first_byte_timeout(s: &Section<'_>, default: Option<Duration>) -> Option<Duration> {
    s.duration_or(
        "first_byte_timeout",
        FIRST_BYTE,
        default,
        within(millis(10), secs(3_600), WAIT),
    )
}

fn read_urls(s: &Section<'_>, allow_link_local: bool) -> Option<Vec<BaseUrl>> {
    let url = s.text(
        "url",
        "Where its server is, with a path to put before each request's: https://api.example.com.",
    );
    let urls = s.texts(
        "urls",
        "Where its servers are, when there are several: requests are spread over them.",
        &[],
        URLS_MAX,
    );
    match (s.has("url"), s.has("urls")) {
        (true, true) => s.problem(&s.place_or("urls"), "`url` is given too", "give one of the two"),
        (false, false) => s.missing("url", "say where it is: url = \"http://127.0.0.1:8000\""),
        _ => {}
    }
    let given = match (url, urls) {
        (Some(url), _) => vec![url],
        (None, urls) => {
            let urls = urls?;
            if urls.value.is_empty() {
                s.problem(&urls.place, "is empty", "name at least one server");
            }
            urls.value
        }
    };
    let mut bases: Vec<BaseUrl> = Vec::with_capacity(given.len());
    for url in &given {
        match parse_base(&url.value) {
            Err((what, advice)) => s.problem(&url.place, what, advice),
            Ok(base) if bases.contains(&base) => {
                s.problem(&url.place, format!("{base} is given twice"), "give it once");
            }
            Ok(base) => {
                if let Some(what) = denied_host(&base.host).filter(|_| !allow_link_local) {
                    let what = format!(
                        "{} is {what}, where machines give their credentials away",
                        base.host
                    );
                    s.problem(&url.place, what, "choose another, or say allow_link_local = true");
                }
                bases.push(base);
            }
        }
    }
    (bases.len() == given.len() && !bases.is_empty()).then_some(bases)
}

fn check_tls(s: &Section<'_>, urls: &[BaseUrl], http2: bool, ca: Option<&Placed<String>>) {
    let Some(first) = urls.first() else { return };
    if urls.iter().any(|url| url.tls != first.tls) {
        s.problem(
            &s.place_or("urls"),
            "mixes http and https",
            "make two upstreams of them",
        );
        return;
    }
    if let Some(ca) = ca.filter(|_| !first.tls) {
        s.problem(
            &ca.place,
            "is of no use without TLS",
            "write https:// instead of http://, or take it out",
        );
    }
    if http2 && first.tls {
        s.problem(
            &s.place_or("http2"),
            "is for http:// only",
            "take it out: over https HTTP/2 is used where the server offers it",
        );
    }
}

fn read_headers(s: &Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut list: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (text, secret) in s.secret_map("headers", HEADERS, HEADERS_MAX) {
        let Some(name) = headers::name(s, &text, headers::Use::Add) else {
            continue;
        };
        if list.iter().any(|(other, _)| *other == name) {
            s.problem(
                &text.place,
                format!("{name} is given twice"),
                "give it once; case does not matter",
            );
            continue;
        }
        match HeaderValue::from_str(secret.value.expose()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                list.push((name, value));
            }
            Err(_) => s.problem(
                &secret.place,
                "has a character that no header may have",
                "use visible ASCII; look for a line break in the variable or file",
            ),
        }
    }
    list
}
