//! A pretend model server for `faregate demo`: OpenAI's chat completions, streamed and not, in the words of a metro announcer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Interval, MissedTickBehavior};

/// Time between two words.
const PACE: Duration = Duration::from_millis(60);

/// The longest request it reads.
const BODY_MAX: usize = 1024 * 1024;

const WORDS: &str = "Mind the gap. Your fare was taken before this train left the platform, and not a micro-credit more. \
                     Please keep your balance with you at all times.";

type Body = BoxBody<Bytes, Infallible>;

/// Serves on a free port of loopback until the runtime ends; returns where.
pub(super) async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let serve = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                // A client that leaves in mid-answer is nothing to report.
                let _ = serve.await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await;
    let body: Value = body
        .ok()
        .and_then(|b| serde_json::from_slice(&b.to_bytes()).ok())
        .unwrap_or(Value::Null);
    Ok(match (method, path.as_str()) {
        (Method::POST, "/v1/chat/completions") if body["stream"] == true => streamed(&body),
        (Method::POST, "/v1/chat/completions") => whole(&completion(&body)),
        (Method::GET, "/v1/models") => whole(
            &json!({ "object": "list", "data": [{ "id": "announcer", "object": "model", "owned_by": "demo" }] }),
        ),
        _ => {
            let error = json!({ "error": { "message": "the pretend server has no such path", "type": "invalid_request_error" } });
            let mut response = whole(&error);
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn whole(body: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// Tokens of every request.
const READ: usize = 8;

/// What it says to a request, a word a token, and why it ends.
fn words(request: &Value) -> (Vec<String>, &'static str) {
    let limit = ["max_tokens", "max_completion_tokens"]
        .iter()
        .find_map(|name| request[name].as_u64());
    let mut words: Vec<String> = WORDS.split_inclusive(' ').map(str::to_owned).collect();
    match limit
        .and_then(|limit| usize::try_from(limit).ok())
        .filter(|limit| *limit < words.len())
    {
        Some(limit) => {
            words.truncate(limit);
            (words, "length")
        }
        None => (words, "stop"),
    }
}

fn usage(written: usize) -> Value {
    json!({ "prompt_tokens": READ, "completion_tokens": written, "total_tokens": READ + written })
}

fn completion(request: &Value) -> Value {
    let (words, finish) = words(request);
    json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": request["model"],
        "choices": [{ "index": 0, "finish_reason": finish, "message": { "role": "assistant", "content": words.concat() } }],
        "usage": usage(words.len()),
    })
}

fn streamed(request: &Value) -> Response<Body> {
    let event = |choices: Value| json!({ "id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": request["model"], "choices": choices });
    let chunk =
        |delta: Value, finish: Value| event(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]));
    let (words, finish) = words(request);
    let written = words.len();
    let mut events: Vec<Value> = words
        .into_iter()
        .map(|word| chunk(json!({ "content": word }), Value::Null))
        .collect();
    events.push(chunk(json!({}), json!(finish)));
    if request["stream_options"]["include_usage"] == true {
        let mut last = event(json!([]));
        last["usage"] = usage(written);
        events.push(last);
    }
    let mut events: Vec<Bytes> = events
        .iter()
        .map(|event| Bytes::from(format!("data: {event}\n\n")))
        .collect();
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut response = Response::new(
        Paced {
            events: events.into_iter(),
            pace,
        }
        .boxed(),
    );
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/event-stream"),
    );
    response
}

/// A body that says one event at a time.
struct Paced {
    events: std::vec::IntoIter<Bytes>,
    pace: Interval,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.events.as_slice().is_empty() {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pace.poll_tick(cx));
        Poll::Ready(self.events.next().map(|event| Ok(Frame::data(event))))
    }
}
