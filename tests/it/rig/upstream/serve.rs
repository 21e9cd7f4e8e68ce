//! The upstream's server side: accept, record, answer.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::conn::{self, ConnControl};
use super::reply::{Kind, Reply, Step};
use super::{Recorded, Shared, lock};
use crate::rig::body::{BodyError, BodySender, RigBody};

/// Accepts until aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of files, most likely: the test will see connections that are not taken.
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = tcp.set_nodelay(true);
        tokio::spawn(connection(tcp, Arc::clone(&shared)));
    }
}

async fn connection(tcp: TcpStream, shared: Arc<Shared>) {
    let mut number = 0;
    shared.counts.send_modify(|counts| {
        counts.connections += 1;
        counts.open += 1;
        number = counts.connections;
    });
    let closed = Arc::clone(&shared);
    let (io, control) = conn::split(tcp, move || {
        closed.counts.send_modify(|counts| {
            counts.open -= 1;
            lock(&closed.conns).remove(&number);
        });
    });
    lock(&shared.conns).insert(number, control.clone());
    let serve = async {
        match shared.tls.clone() {
            None => http(io, &shared, number, &control).await,
            Some(tls) => {
                if let Ok(io) = tls.accept(io).await {
                    http(io, &shared, number, &control).await;
                }
            }
        }
    };
    tokio::select! {
        () = serve => {}
        () = control.ended() => {}
    }
}

async fn http<S>(io: S, shared: &Arc<Shared>, number: u64, control: &ConnControl)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| answer(request, Arc::clone(shared), number, control.clone()));
    let mut server = auto::Builder::new(TokioExecutor::new());
    // The caller's time limits are under test, not ours.
    server.http1().header_read_timeout(None);
    // What goes wrong with a connection shows in the counts.
    let _ = server
        .serve_connection_with_upgrades(TokioIo::new(io), service)
        .await;
}

async fn answer(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    number: u64,
    control: ConnControl,
) -> Result<Response<Watched>, Infallible> {
    shared.counts.send_modify(|counts| counts.reached += 1);
    let mut exchange = Exchange {
        shared: Arc::clone(&shared),
        control: control.clone(),
        done: false,
    };
    let upgrade = request
        .headers()
        .contains_key("upgrade")
        .then(|| hyper::upgrade::on(&mut request));
    let method = request.method().clone();
    let (mut record, body) = begin_record(request, number);
    let reply = {
        let mut script = lock(&shared.script);
        script
            .next
            .pop_front()
            .unwrap_or_else(|| (script.choose)(&record))
    };
    let streamed = matches!(reply.kind, Kind::EchoStream);
    let mut unread = Some(body);
    if reply.early {
        shared.record(record.clone());
    } else if !streamed {
        read_body(unread.take().expect("not read yet"), &mut record, None).await;
        shared.record(record.clone());
    }
    if let Some(gate) = &reply.gate {
        gate.passed().await;
    }
    tokio::time::sleep(reply.delay).await;
    let body = match reply.kind.clone() {
        Kind::Bytes(data) => RigBody::Whole {
            data: Some(data),
            trailers: reply.trailers.clone(),
        },
        Kind::Echo => RigBody::Whole {
            data: Some(record.body),
            trailers: reply.trailers.clone(),
        },
        Kind::EchoStream => echo_stream(unread.take().expect("not read yet"), record, Arc::clone(&shared)),
        Kind::Events {
            events,
            interval,
            written,
        } => event_stream(events, interval, written),
        Kind::Stepped(body) => lock(&body).take().expect("a stepped reply is for one request"),
        Kind::Stall => pending().await,
        Kind::Raw(steps) => {
            raw(steps, &control).await;
            exchange.done();
            control.close();
            pending().await
        }
        Kind::Upgrade(protocol) => return Ok(upgraded(upgrade, &protocol, &reply, exchange, control)),
    };
    if has_no_body(&method, reply.status) || body.is_end_stream() {
        exchange.done();
    }
    // An unread body is kept until the answer is out, as a server does that answers early.
    Ok(head(
        &reply,
        Watched {
            body,
            exchange,
            _unread: unread,
        },
    ))
}

/// Such an answer's body is never asked for by the HTTP server.
fn has_no_body(method: &Method, status: u16) -> bool {
    method == Method::HEAD || matches!(status, 204 | 304)
}

fn begin_record(request: Request<Incoming>, connection: u64) -> (Recorded, Incoming) {
    let (head, body) = request.into_parts();
    let record = Recorded {
        method: head.method,
        uri: head.uri,
        version: head.version,
        headers: head.headers,
        body: Bytes::new(),
        trailers: None,
        complete: false,
        connection,
    };
    (record, body)
}

/// Reads the body to its end into the record; passes each frame on when told where to.
async fn read_body(mut body: Incoming, record: &mut Recorded, onward: Option<&BodySender>) {
    let mut data = Vec::new();
    loop {
        match body.frame().await {
            None => break record.complete = true,
            Some(Err(_)) => break,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => {
                    data.extend_from_slice(&bytes);
                    if let Some(onward) = onward {
                        onward.send(bytes).await;
                    }
                }
                Err(frame) => {
                    record.trailers = frame.into_trailers().ok();
                    if let (Some(onward), Some(trailers)) = (onward, record.trailers.clone()) {
                        onward.trailers(trailers).await;
                    }
                }
            },
        }
    }
    record.body = data.into();
}

fn echo_stream(request: Incoming, mut record: Recorded, shared: Arc<Shared>) -> RigBody {
    let (sender, body) = RigBody::stepped();
    tokio::spawn(async move {
        read_body(request, &mut record, Some(&sender)).await;
        let complete = record.complete;
        shared.record(record);
        if !complete {
            sender.abort().await;
        }
    });
    body
}

fn event_stream(events: Arc<[Bytes]>, interval: std::time::Duration, written: Arc<AtomicU64>) -> RigBody {
    let (sender, body) = RigBody::stepped();
    tokio::spawn(async move {
        let mut due = tokio::time::Instant::now();
        for event in events.iter().cloned() {
            tokio::time::sleep_until(due).await;
            due += interval;
            if !sender.send(event).await {
                return;
            }
            written.fetch_add(1, Ordering::Relaxed);
        }
    });
    body
}

async fn raw(steps: Vec<Step>, control: &ConnControl) {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if control.write(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Wait(gate) => gate.passed().await,
            Step::Sleep(time) => tokio::time::sleep(time).await,
            Step::Reset => return control.reset(),
            Step::Stall => pending().await,
        }
    }
}

fn upgraded(
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    protocol: &str,
    reply: &Reply,
    mut exchange: Exchange,
    control: ConnControl,
) -> Response<Watched> {
    exchange.done();
    let Some(upgrade) = upgrade else {
        let refusal = Reply::status(426).header("upgrade", protocol);
        return head(
            &refusal,
            Watched {
                body: RigBody::whole("426"),
                exchange,
                _unread: None,
            },
        );
    };
    tokio::spawn(async move {
        let echo = async {
            if let Ok(upgraded) = upgrade.await {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
            }
        };
        tokio::select! {
            () = echo => {}
            () = control.ended() => {}
        }
    });
    let reply = reply
        .clone()
        .header("connection", "upgrade")
        .header("upgrade", protocol);
    head(
        &reply,
        Watched {
            body: RigBody::whole(Bytes::new()),
            exchange,
            _unread: None,
        },
    )
}

fn head(reply: &Reply, body: Watched) -> Response<Watched> {
    let mut response = Response::new(body);
    *response.status_mut() = reply.status.try_into().expect("a status");
    *response.headers_mut() = headers(&reply.headers);
    response
}

fn headers(list: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(
            name,
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
    }
    headers
}

impl Shared {
    fn record(&self, record: Recorded) {
        if self.keep_records {
            // The count rises after the record is there.
            let mut requests = lock(&self.requests);
            requests.push(record);
            let recorded = requests.len();
            self.counts.send_modify(|counts| counts.recorded = recorded);
        }
    }
}

/// One request and its answer. Dropped before it is done: the client went away, unless we ended it.
struct Exchange {
    shared: Arc<Shared>,
    control: ConnControl,
    done: bool,
}

impl Exchange {
    fn done(&mut self) {
        if !self.done {
            self.done = true;
            self.shared.counts.send_modify(|counts| counts.answered += 1);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.done && !self.control.is_ending() {
            self.shared.counts.send_modify(|counts| counts.cancelled += 1);
        }
    }
}

/// An answer's body that knows whether it was sent to its end.
pub(super) struct Watched {
    body: RigBody,
    exchange: Exchange,
    _unread: Option<Incoming>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.exchange.done();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
