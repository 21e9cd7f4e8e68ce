//! The upstream, which is the witness: it reads what the proxy sends, draws an answer, writes it in pieces, and keeps what it knows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::answer::{Answer, Asked, Fact, failure};
use super::chance::Chance;
use super::plan::{Ending, Plan};
use super::price::Used;
use super::wire;
use crate::rig::within;

/// What the upstream and the client of a call tell each other, and the test afterwards.
pub(super) struct Call {
    pub(super) plan: Plan,
    pub(super) known: Mutex<Known>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) gone: watch::Sender<bool>,
}

/// What the upstream knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) told: u64,
    /// What was read.
    pub(super) read: Used,
    /// What each event says.
    pub(super) facts: Vec<Fact>,
    /// How many of them were written, at most.
    pub(super) written: usize,
    /// All was said, and its end.
    pub(super) ended: bool,
}

/// How far the upstream is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) reached: bool,
    /// It waits for the client to leave when it has so many events.
    pub(super) waits_at: Option<usize>,
}

impl Call {
    pub(super) fn new(plan: Plan) -> Arc<Call> {
        Arc::new(Call {
            plan,
            known: Mutex::default(),
            progress: watch::Sender::default(),
            gone: watch::Sender::default(),
        })
    }

    pub(super) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A running upstream of these calls.
pub(super) struct Witness {
    pub(super) addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Witness {
    pub(super) async fn start(calls: Arc<Vec<Arc<Call>>>) -> Witness {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let calls = Arc::clone(&calls);
                tokio::spawn(async move {
                    let _ = tcp.set_nodelay(true);
                    let mut connection = Connection {
                        tcp,
                        pending: BytesMut::new(),
                    };
                    while connection.serve(&calls).await.is_some() {}
                });
            }
        });
        Witness { addr, accepting }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Connection {
    tcp: TcpStream,
    pending: BytesMut,
}

/// A request as it came.
struct Request {
    call: usize,
    body: Vec<u8>,
}

impl Connection {
    /// Serves one request; `None` when the connection is over.
    async fn serve(&mut self, calls: &[Arc<Call>]) -> Option<()> {
        let request = self.request().await?;
        let call = &calls[request.call];
        let plan = &call.plan;
        let asked = Asked::read(plan.api, &request.body);
        let read = Answer::new(plan, asked.clone()).read;
        call.know(|known| (known.told, known.read) = (asked.told, read));
        call.progress.send_modify(|progress| progress.reached = true);
        if let Ending::Refused(status) = plan.ending {
            let body = r#"{"error":{"message":"no","type":"x"}}"#;
            let length = body.len();
            return self.write(format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes()).await;
        }
        if plan.ending == Ending::GoneBefore {
            self.client_leaves(call).await?;
        }
        if plan.stream {
            self.stream(call, asked).await
        } else {
            self.whole(call, asked).await
        }
    }

    /// Waits for the client to leave; none where nobody listens any more.
    async fn client_leaves(&mut self, call: &Call) -> Option<()> {
        if call.plan.route.finish {
            let mut gone = call.gone.subscribe();
            within("the client to leave", gone.wait_for(|gone| *gone))
                .await
                .unwrap();
            return Some(());
        }
        let read = within("the proxy to leave", self.tcp.read_buf(&mut self.pending)).await;
        assert!(
            matches!(read, Ok(0) | Err(_)),
            "nothing more comes: {:?}",
            self.pending
        );
        None
    }

    async fn whole(&mut self, call: &Call, asked: Asked) -> Option<()> {
        let plan = &call.plan;
        let mut chance = plan.chance.clone();
        let (mut body, fact) = Answer::new(plan, asked).whole();
        if let Ending::Failed(_) = plan.ending {
            body = failure(plan.api);
            call.know(|known| known.facts = vec![Fact::default()]);
        } else {
            call.know(|known| known.facts = vec![fact]);
        }
        let bytes = body.to_string().into_bytes();
        let bytes = if plan.layout.gzip {
            wire::gzip(&[bytes]).concat()
        } else {
            bytes
        };
        let coding = coding(plan);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let length = plan.layout.length;
        let framing = if length {
            format!("content-length: {}", bytes.len())
        } else {
            "transfer-encoding: chunked".to_owned()
        };
        self.write(format!("{head}{coding}{framing}\r\n\r\n").as_bytes())
            .await?;
        let all = bytes.len();
        let cut = match plan.ending {
            Ending::Broken(at, _) => share(all - 1, at),
            _ => all,
        };
        let (low, high) = plan.layout.frames;
        for piece in chance.pieces(&bytes[..cut], low.max(10), high.max(100)) {
            self.frame(piece, !length).await?;
        }
        if let Ending::Broken(_, reset) = plan.ending {
            return self.break_off(reset).await;
        }
        call.know(|known| (known.written, known.ended) = (1, true));
        if length {
            Some(())
        } else {
            self.write(b"0\r\n\r\n").await
        }
    }

    async fn stream(&mut self, call: &Call, asked: Asked) -> Option<()> {
        let plan = &call.plan;
        let mut chance = plan.chance.clone();
        let mut said = Answer::new(plan, asked).stream();
        if let Ending::Failed(at) = plan.ending {
            said.truncate(share(said.len(), at));
            let (used, shown) = said
                .last()
                .map_or_else(Default::default, |(_, f)| (f.used, f.shown));
            let fact = Fact {
                used,
                shown,
                ..Fact::default()
            };
            said.push((failure(plan.api), fact));
        }
        let mut pieces: Vec<Vec<u8>> = (0..)
            .zip(&said)
            .map(|(number, (event, _))| wire::event(plan, &mut chance, number, event))
            .collect();
        if plan.layout.gzip {
            pieces = wire::gzip(&pieces);
        }
        call.know(|known| known.facts = said.iter().map(|(_, fact)| fact.clone()).collect());
        let kind = if plan.api.is_ollama() {
            "application/x-ndjson"
        } else {
            "text/event-stream"
        };
        let coding = coding(plan);
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{coding}transfer-encoding: chunked\r\n\r\n");
        self.write(head.as_bytes()).await?;
        match plan.ending {
            Ending::Broken(at, reset) => {
                let bytes = pieces.concat();
                let cut = share(bytes.len(), at);
                // What is all but complete may be taken for complete.
                let near = if plan.layout.gzip { 16 } else { 1 };
                let ends = pieces.iter().scan(0, |end, piece| {
                    *end += piece.len();
                    Some(*end)
                });
                let written = ends.filter(|end| *end <= cut + near).count();
                call.know(|known| known.written = written);
                self.frames(&mut chance, plan, &bytes[..cut]).await?;
                self.break_off(reset).await
            }
            Ending::GoneAt(at, true) => {
                // The last events of a stream may be hidden from the client, so they are not waited for.
                let pause = share(pieces.len(), at).min(pieces.len().saturating_sub(3));
                let (before, after) = pieces.split_at(pause);
                call.know(|known| known.written = pause);
                self.frames(&mut chance, plan, &before.concat()).await?;
                call.progress
                    .send_modify(|progress| progress.waits_at = Some(pause));
                self.client_leaves(call).await?;
                call.know(|known| known.written = known.facts.len());
                self.frames(&mut chance, plan, &after.concat()).await?;
                call.know(|known| known.ended = true);
                self.write(b"0\r\n\r\n").await
            }
            _ => {
                if let Ending::GoneAt(at, _) = plan.ending {
                    let pause = share(pieces.len(), at).min(pieces.len().saturating_sub(3));
                    call.progress
                        .send_modify(|progress| progress.waits_at = Some(pause));
                }
                call.know(|known| known.written = known.facts.len());
                self.frames(&mut chance, plan, &pieces.concat()).await?;
                call.know(|known| known.ended = true);
                self.write(b"0\r\n\r\n").await
            }
        }
    }

    async fn frames(&mut self, chance: &mut Chance, plan: &Plan, bytes: &[u8]) -> Option<()> {
        let (low, high) = plan.layout.frames;
        // Not all of them are worth their time.
        let (low, high) = if bytes.len() > 3_000 {
            (low.max(30), high.max(300))
        } else {
            (low, high)
        };
        for piece in chance.pieces(bytes, low, high) {
            self.frame(piece, true).await?;
        }
        Some(())
    }

    async fn frame(&mut self, piece: &[u8], chunked: bool) -> Option<()> {
        if chunked {
            let mut frame = format!("{:x}\r\n", piece.len()).into_bytes();
            frame.extend_from_slice(piece);
            frame.extend_from_slice(b"\r\n");
            self.write(&frame).await
        } else {
            self.write(piece).await
        }
    }

    /// None where nobody listens any more.
    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        within("the proxy to take bytes", self.tcp.write_all(bytes))
            .await
            .ok()
    }

    async fn break_off(&mut self, reset: bool) -> Option<()> {
        if reset {
            socket2::SockRef::from(&self.tcp)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        None
    }

    async fn request(&mut self) -> Option<Request> {
        let head = loop {
            if let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.pending.split_to(end + 4);
            }
            self.more().await?;
        };
        let head = String::from_utf8(head.to_vec()).expect("a text head");
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then(|| value.trim()))
        };
        let call = header("x-call").expect("the test's header").parse().unwrap();
        let body = match header("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await?,
            None => self.chunks().await?,
        };
        Some(Request { call, body })
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.pending.windows(2).position(|two| two == b"\r\n") {
                    break end;
                }
                self.more().await?;
            };
            let size = String::from_utf8(self.pending.split_to(end).to_vec()).unwrap();
            self.pending.advance(2);
            let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
            body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
            if size == 0 {
                return Some(body);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.pending.len() < length {
            self.more().await?;
        }
        Some(self.pending.split_to(length).to_vec())
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.tcp.read_buf(&mut self.pending).await.ok()?;
        (read > 0).then_some(())
    }
}

fn coding(plan: &Plan) -> &'static str {
    if plan.layout.gzip {
        "content-encoding: gzip\r\n"
    } else {
        ""
    }
}

/// So many thousandths of something.
fn share(all: usize, thousandths: u64) -> usize {
    all * usize::try_from(thousandths).unwrap() / 1000
}
