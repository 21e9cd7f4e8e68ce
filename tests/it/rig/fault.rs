//! A TCP proxy that misbehaves as told, between a client and a server that both behave.
//!
//! A *request* is what one read brings from the client, a *reply* what comes back after it. With clients
//! that wait for each reply this is exact; where requests are pipelined, a fault may hit a neighbour on the
//! same connection, which is cut anyway.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{ports, within};

mod pump;

/// What goes wrong, once, after it was armed. All cut the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The `nth` request (from 1, on any connection) never reaches the server.
    DropRequest { nth: u64 },
    /// As `DropRequest`, counting only requests that contain these bytes.
    DropRequestOf { nth: u64, containing: Vec<u8> },
    /// The `nth` request reaches the server; its reply is swallowed once the server has sent it.
    DropReply { nth: u64 },
    /// As `DropReply`, counting only requests that contain these bytes.
    DropReplyTo { nth: u64, containing: Vec<u8> },
    /// The server gets this many bytes more (of all connections together).
    CutRequestsAfter { bytes: u64 },
    /// The client gets this many bytes more (of all connections together).
    CutRepliesAfter { bytes: u64 },
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In order, on both sides.
    Close,
    /// By a reset, on both sides.
    Reset,
}

/// What is held back at a request, and everything after it, until [`FaultProxy::thaw`]. With [`FaultProxy::cut`] before that it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The request itself, on its way to the server.
    Request,
    /// The reply to it; it strikes when the server has sent one.
    Reply,
}

type Judge = Box<dyn Fn(&[u8]) -> Option<Hold> + Send + Sync>;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Connections open now.
    pub(crate) open: u64,
    /// Requests seen, those that were dropped too.
    pub(crate) requests: u64,
    /// Faults that struck.
    pub(crate) struck: u64,
}

struct Shared {
    server: SocketAddr,
    faults: Mutex<Vec<Armed>>,
    judge: Mutex<Option<Judge>>,
    latency_micros: AtomicU64,
    /// Bytes per second and direction of one connection; 0 is no limit.
    throttle: AtomicU64,
    frozen: watch::Sender<bool>,
    muted: watch::Sender<bool>,
    cuts: watch::Sender<(u64, Cut)>,
    counts: watch::Sender<Counts>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    cut: Cut,
    seen: u64,
}

/// A running proxy; it stops when dropped.
pub(crate) struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts one in front of `server`; it passes everything until told otherwise.
    pub(crate) async fn start(server: SocketAddr) -> FaultProxy {
        let shared = Arc::new(Shared {
            server,
            faults: Mutex::new(Vec::new()),
            judge: Mutex::default(),
            latency_micros: AtomicU64::new(0),
            throttle: AtomicU64::new(0),
            frozen: watch::Sender::new(false),
            muted: watch::Sender::new(false),
            cuts: watch::Sender::new((0, Cut::Close)),
            counts: watch::Sender::new(Counts::default()),
        });
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::reserve()));
        let mut proxy = FaultProxy {
            addr,
            shared,
            accepting: None,
        };
        proxy.resume().await;
        proxy
    }

    /// Where to connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Delays every byte by this much, in each direction.
    pub(crate) fn latency(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).expect("a latency");
        self.shared.latency_micros.store(micros, Ordering::Relaxed);
    }

    /// Lets at most this many bytes a second through, per connection and direction; 0 lifts the limit.
    pub(crate) fn throttle(&self, bytes_per_second: u64) {
        self.shared.throttle.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Nothing passes any more, in either direction; connecting still works.
    pub(crate) fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// The server gets everything, and no reply of it passes any more.
    pub(crate) fn mute(&self) {
        self.shared.muted.send_replace(true);
    }

    /// Everything held back goes on.
    pub(crate) fn thaw(&self) {
        self.shared.frozen.send_replace(false);
        self.shared.muted.send_replace(false);
    }

    /// Arms a fault beside those armed before; it strikes once, with an orderly close.
    pub(crate) fn arm(&self, fault: Fault) {
        self.arm_with(fault, Cut::Close);
    }

    /// Arms a fault that cuts its connection like this.
    pub(crate) fn arm_with(&self, fault: Fault, cut: Cut) {
        lock(&self.shared.faults).push(Armed { fault, cut, seen: 0 });
    }

    /// From now on each request is judged by this.
    pub(crate) fn judge_by(&self, judge: impl Fn(&[u8]) -> Option<Hold> + Send + Sync + 'static) {
        *lock(&self.shared.judge) = Some(Box::new(judge));
    }

    /// Forgets all faults that have not struck.
    pub(crate) fn disarm(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Cuts every open connection, and waits until they are gone.
    pub(crate) async fn cut(&self, cut: Cut) {
        let before = self.counts().connections;
        self.shared
            .cuts
            .send_modify(|(number, kind)| (*number, *kind) = (before, cut));
        self.wait_for("no connection", |counts| {
            counts.open == 0 || counts.connections > before
        })
        .await;
    }

    /// Stops listening and resets every connection: connecting is refused from now on.
    pub(crate) async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        self.cut(Cut::Reset).await;
    }

    /// Listens again, on the same address.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.addr).await;
        let listener = listener.unwrap_or_else(|e| panic!("cannot listen on {}: {e}", self.addr));
        self.accepting = Some(tokio::spawn(pump::accept(listener, Arc::clone(&self.shared))));
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are as wanted, and returns them.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: impl Into<String>,
        wanted: impl Fn(&Counts) -> bool,
    ) -> impl Future<Output = Counts> {
        let mut counts = self.shared.counts.subscribe();
        within(format!("the fault proxy to see {}", what.into()), async move {
            *counts
                .wait_for(|counts| wanted(counts))
                .await
                .expect("we hold the sender")
        })
    }

    /// Waits until this many faults have struck.
    #[track_caller]
    pub(crate) fn wait_struck(&self, count: u64) -> impl Future<Output = Counts> {
        self.wait_for(format!("{count} faults strike"), move |counts| {
            counts.struck >= count
        })
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.shared.cuts.send_replace((u64::MAX, Cut::Close));
    }
}

/// What becomes of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// The first so many pass, then the connection is cut.
    CutAfter(usize, Cut),
    /// They pass; the reply to them is swallowed.
    PassAndSwallowReply(Cut),
    /// They pass; that they are replied to is noted.
    PassAndAwaitReply,
}

impl Shared {
    /// Judges bytes on their way to the server.
    fn judge_request(&self, bytes: &[u8]) -> Verdict {
        self.counts.send_modify(|counts| counts.requests += 1);
        match lock(&self.judge).as_ref().and_then(|judge| judge(bytes)) {
            None => {}
            Some(Hold::Request) => {
                self.frozen.send_replace(true);
                self.strike();
                return Verdict::Pass;
            }
            Some(Hold::Reply) => {
                self.muted.send_replace(true);
                return Verdict::PassAndAwaitReply;
            }
        }
        self.judge(|fault, cut, seen| match fault {
            Fault::DropRequest { nth } => counted(seen, *nth).then_some(Verdict::CutAfter(0, cut)),
            Fault::DropReply { nth } => counted(seen, *nth).then_some(Verdict::PassAndSwallowReply(cut)),
            Fault::DropRequestOf { nth, containing } => {
                (has(bytes, containing) && counted(seen, *nth)).then_some(Verdict::CutAfter(0, cut))
            }
            Fault::DropReplyTo { nth, containing } => {
                (has(bytes, containing) && counted(seen, *nth)).then_some(Verdict::PassAndSwallowReply(cut))
            }
            Fault::CutRequestsAfter { bytes: limit } => exhausted(seen, *limit, bytes.len(), cut),
            Fault::CutRepliesAfter { .. } => None,
        })
    }

    fn strike(&self) {
        self.counts.send_modify(|counts| counts.struck += 1);
    }

    /// Judges bytes on their way to the client.
    fn judge_reply(&self, bytes: &[u8]) -> Verdict {
        self.judge(|fault, cut, seen| match fault {
            Fault::CutRepliesAfter { bytes: limit } => exhausted(seen, *limit, bytes.len(), cut),
            _ => None,
        })
    }

    /// The first fault that strikes is taken out; all before it have counted these bytes.
    fn judge(&self, strikes: impl Fn(&Fault, Cut, &mut u64) -> Option<Verdict>) -> Verdict {
        let mut faults = lock(&self.faults);
        for at in 0..faults.len() {
            let armed = &mut faults[at];
            if let Some(verdict) = strikes(&armed.fault, armed.cut, &mut armed.seen) {
                faults.remove(at);
                return verdict;
            }
        }
        Verdict::Pass
    }
}

fn counted(seen: &mut u64, nth: u64) -> bool {
    *seen += 1;
    *seen == nth
}

fn exhausted(seen: &mut u64, limit: u64, bytes: usize, cut: Cut) -> Option<Verdict> {
    let left = limit - *seen;
    *seen += bytes as u64;
    // The fault is taken out once it strikes, so `seen` never passes `limit` while it is armed.
    (*seen >= limit).then(|| Verdict::CutAfter(usize::try_from(left).expect("at most `bytes`"), cut))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
