//! A server that answers as it is told, one step per request, and remembers what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What is done with a request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// These bytes are sent, after so many milliseconds.
    Bytes(Vec<u8>, u64),
    /// These bytes are sent, and the connection is closed.
    BytesThenCut(Vec<u8>),
    /// Nothing ever is.
    Silence,
    /// The connection is closed.
    Cut,
}

impl Step {
    pub(super) fn json(status: u16, body: &str) -> Step {
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Step::Bytes([head.as_bytes(), body.as_bytes()].concat(), 0)
    }

    /// With one more header line.
    pub(super) fn header(self, line: &str) -> Step {
        let Step::Bytes(bytes, after) = self else {
            panic!("no headers in {self:?}")
        };
        let first = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        let (status, rest) = bytes.split_at(first);
        Step::Bytes([status, line.as_bytes(), b"\r\n", rest].concat(), after)
    }

    /// After so many milliseconds.
    pub(super) fn after(self, millis: u64) -> Step {
        match self {
            Step::Bytes(bytes, _) => Step::Bytes(bytes, millis),
            other => other,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Which connection it came over, counted from 0.
    pub(super) connection: usize,
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let own = self.headers.iter().find(|(own, _)| own == name);
        own.map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    steps: Mutex<std::collections::VecDeque<Step>>,
    seen: Mutex<Vec<Seen>>,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

pub(super) struct Server {
    pub(super) port: u16,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    pub(super) async fn start(steps: Vec<Step>) -> Server {
        Server::start_with(steps, None).await
    }

    pub(super) async fn start_with(steps: Vec<Step>, tls: Option<tokio_rustls::TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        state.steps.lock().unwrap().extend(steps);
        let accepted = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                let state = Arc::clone(&accepted);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(socket, connection, &state).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(socket, connection, &state).await
                            }
                        }
                    }
                });
            }
        });
        Server {
            port,
            state,
            accepting,
        }
    }

    /// What it was asked until now.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests it had at once, at most.
    pub(super) fn at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, connection: usize, state: &State) {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut socket, &mut buffer, connection).await {
        state.seen.lock().unwrap().push(seen);
        let step = state.steps.lock().unwrap().pop_front();
        match step.expect("a step for each request") {
            Step::Bytes(bytes, after) => {
                let now = state.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                state.most.fetch_max(now, Ordering::SeqCst);
                if after > 0 {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                }
                state.at_once.fetch_sub(1, Ordering::SeqCst);
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::BytesThenCut(bytes) => {
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                return;
            }
            Step::Silence => std::future::pending().await,
            Step::Cut => return,
        }
    }
}

async fn request(
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    connection: usize,
) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        (socket.read_buf(buffer).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while buffer.len() < end + length {
        (socket.read_buf(buffer).await.ok()? > 0).then_some(())?;
    }
    let body = String::from_utf8(buffer[end..end + length].to_vec()).unwrap();
    buffer.drain(..end + length);
    Some(Seen {
        connection,
        line,
        headers,
        body,
    })
}
