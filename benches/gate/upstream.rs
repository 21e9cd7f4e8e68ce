//! A model server that costs next to nothing: a small answer to any POST, or events at an interval.

use crate::roles;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use std::{io, thread};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The small answer.
pub(crate) const ANSWER: &[u8] = br#"{"id":"rr-0001","object":"rerank","model":"bench","results":[{"index":2,"score":0.98},{"index":0,"score":0.42},{"index":1,"score":0.07}],"usage":{"total_tokens":57}}"#;
/// One event of a stream, around the microseconds since 1970 at which it was said.
const BEFORE: &[u8] = b"data: {\"id\":\"c-";
const AFTER: &[u8] =
    b"\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"}}]}\n\n";
const DIGITS: usize = 16;
/// Bytes of an event.
pub(crate) const EVENT_LEN: usize = BEFORE.len() + DIGITS + AFTER.len();

const STREAM: &str = "text/event-stream";
/// What ends a stream that is priced by tokens.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";
/// Said before that where it is asked for.
const USAGE: &[u8] =
    b"data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":50,\"total_tokens\":100}}\n\n";
/// A small answer that is priced by tokens.
pub(crate) const CHAT: &[u8] = br#"{"id":"c-1","object":"chat.completion","model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"word word word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":50,"total_tokens":100}}"#;

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "processes compare their clocks")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

fn event() -> Bytes {
    let now = format!("{:0DIGITS$}", now());
    [BEFORE, now.as_bytes(), AFTER].concat().into()
}

/// When the first event of these bytes was said, and what is behind it; `None` where there is no whole one.
pub(crate) fn first_event(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (event, rest) = bytes.split_at_checked(EVENT_LEN)?;
    let said = event.strip_prefix(BEFORE)?.get(..DIGITS)?;
    Some((std::str::from_utf8(said).ok()?.parse().ok()?, rest))
}

/// Requests answered so far, for `GET /count`.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Serves until the runner goes away.
pub(crate) fn run() -> io::Result<()> {
    roles::end_with_runner();
    let listeners = roles::listeners()?;
    let port = listeners
        .first()
        .map_or(Ok(0), |listener| listener.local_addr().map(|at| at.port()))?;
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| thread::spawn(|| serve(listener)))
        .collect();
    roles::say(&port.to_string())?;
    threads
        .into_iter()
        .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a core panicked"))?)
}

fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // An error here is a client that has gone, which some scenarios do on purpose.
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                drop(connection.await);
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    if request.method() == Method::GET {
        let count = REQUESTS.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Answer::Whole(Full::new(count.into()))));
    }
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    let (head, mut body) = request.into_parts();
    let mut asks_usage = false;
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        asks_usage |= memchr::memmem::find(data, b"include_usage").is_some();
    }
    let (kind, body) = match (head.uri.path(), head.uri.query()) {
        ("/v1/stream", Some(query)) => (STREAM, Answer::Events(Events::new(query, &[]))),
        ("/v1/chat", Some(query)) => {
            let end = if asks_usage { &[DONE, USAGE][..] } else { &[DONE] };
            (STREAM, Answer::Events(Events::new(query, end)))
        }
        ("/v1/chat", None) => (
            "application/json",
            Answer::Whole(Full::new(Bytes::from_static(CHAT))),
        ),
        _ => (
            "application/json",
            Answer::Whole(Full::new(Bytes::from_static(ANSWER))),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind == STREAM {
        // nginx passes each event on at once.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    Ok(response)
}

enum Answer {
    Whole(Full<Bytes>),
    Events(Events),
}

/// Events at an interval, the first at once.
struct Events {
    left: u64,
    /// What follows them, the last first.
    end: Vec<&'static [u8]>,
    every: Duration,
    /// None until the first has been said.
    timer: Option<Interval>,
}

impl Events {
    /// From `events=N&every=MILLISECONDS`.
    fn new(query: &str, end: &[&'static [u8]]) -> Self {
        let of = |name: &str| {
            let pair = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            pair.and_then(|value| value.parse().ok()).unwrap_or(1)
        };
        Self {
            left: of("events"),
            end: end.to_vec(),
            every: Duration::from_millis(of("every")),
            timer: None,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(body) => Pin::new(body).poll_frame(cx),
            Answer::Events(events) if events.left == 0 => Poll::Ready(
                events
                    .end
                    .pop()
                    .map(|end| Ok(Frame::data(Bytes::from_static(end)))),
            ),
            Answer::Events(events) => {
                match &mut events.timer {
                    Some(timer) => drop(ready!(timer.poll_tick(cx))),
                    None => {
                        let mut timer = interval_at(Instant::now() + events.every, events.every);
                        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
                        events.timer = Some(timer);
                    }
                }
                events.left -= 1;
                Poll::Ready(Some(Ok(Frame::data(event()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(body) => body.is_end_stream(),
            Answer::Events(events) => events.left == 0 && events.end.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(body) => body.size_hint(),
            Answer::Events(_) => SizeHint::default(),
        }
    }
}
