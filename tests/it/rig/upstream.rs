//! The model server of the tests: records every request that reaches it and answers as it is told.
//!
//! HTTP/1.1 and HTTP/2 by prior knowledge on one port, or TLS with ALPN.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::tls::TestCa;
use super::{ports, within};

mod conn;
mod reply;
mod serve;

pub(crate) use reply::{Gate, Reply, Step};

use conn::ConnControl;
use reply::Script;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// False when the client went away inside the body, or the reply did not wait for it.
    pub(crate) complete: bool,
    /// The connection that brought it, counted from 1.
    pub(crate) connection: u64,
}

impl Recorded {
    /// Path and query, as they were on the wire.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// One header as text; panics when it is there more than once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("a text header"));
        assert!(
            values.next().is_none(),
            "{name} is there more than once: {:?}",
            self.headers
        );
        value
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {:?}", self.body))
    }
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Connections open now.
    pub(crate) open: u64,
    /// Requests whose head has arrived.
    pub(crate) reached: u64,
    /// Answers sent to their end.
    pub(crate) answered: u64,
    /// Requests whose client went away before the end of the answer.
    pub(crate) cancelled: u64,
    /// Requests on record.
    pub(crate) recorded: usize,
}

struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<Recorded>>,
    keep_records: bool,
    counts: watch::Sender<Counts>,
    conns: Mutex<HashMap<u64, ConnControl>>,
    tls: Option<TlsAcceptor>,
}

/// How to start a [`FakeUpstream`].
#[derive(Default)]
pub(crate) struct UpstreamOptions {
    tls: Option<TlsAcceptor>,
    forget: bool,
}

impl UpstreamOptions {
    /// Speaks TLS with a certificate for `localhost`; HTTP/1.1 or HTTP/2 by ALPN.
    pub(crate) fn tls(mut self, ca: &TestCa) -> UpstreamOptions {
        let config = ca.loopback().server_config(&["h2", "http/1.1"]);
        self.tls = Some(TlsAcceptor::from(Arc::new(config)));
        self
    }

    /// Counts requests and keeps no record of them, for load.
    pub(crate) fn count_only(mut self) -> UpstreamOptions {
        self.forget = true;
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> FakeUpstream {
        super::raise_open_files();
        let shared = Arc::new(Shared {
            script: Mutex::new(Script::default()),
            requests: Mutex::new(Vec::new()),
            keep_records: !self.forget,
            counts: watch::Sender::new(Counts::default()),
            conns: Mutex::new(HashMap::new()),
            tls: self.tls,
        });
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::reserve()));
        let mut upstream = FakeUpstream {
            addr,
            shared,
            taken: AtomicUsize::new(0),
            accepting: None,
        };
        upstream.resume().await;
        upstream
    }
}

/// A running upstream; it stops when dropped. Its address stays its own while it is stopped.
pub(crate) struct FakeUpstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    taken: AtomicUsize,
    accepting: Option<JoinHandle<()>>,
}

impl FakeUpstream {
    /// Starts one without TLS that answers `200 ok`.
    pub(crate) async fn start() -> FakeUpstream {
        UpstreamOptions::default().start().await
    }

    /// Its address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL; with TLS by the name that its certificate has.
    pub(crate) fn url(&self) -> String {
        match self.shared.tls {
            None => format!("http://{}", self.addr),
            Some(_) => format!("https://localhost:{}", self.addr.port()),
        }
    }

    /// Answers every request that nothing else is set for like this.
    pub(crate) fn answer(&self, reply: Reply) {
        self.answer_with(move |_| reply.clone());
    }

    /// Asks `choose` what to answer, by the head of the request (its body is empty then).
    pub(crate) fn answer_with(&self, choose: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) {
        lock(&self.shared.script).choose = Arc::new(choose);
    }

    /// Answers one request like this, before all else that is set; several are used in their order.
    pub(crate) fn answer_next(&self, reply: Reply) {
        lock(&self.shared.script).next.push_back(reply);
    }

    /// The next recorded request, in the order they came. Bodies are read whole before the record is made,
    /// unless the reply says otherwise.
    #[track_caller]
    pub(crate) fn next_request(&self) -> impl Future<Output = Recorded> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let mut counts = self.shared.counts.subscribe();
        within(format!("request {} at the upstream", number + 1), async move {
            counts
                .wait_for(|counts| counts.recorded > number)
                .await
                .expect("we hold the sender");
            lock(&self.shared.requests)[number].clone()
        })
    }

    /// All requests on record.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// What has happened so far.
    pub(crate) fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// How many requests have reached it.
    pub(crate) fn reached(&self) -> u64 {
        self.counts().reached
    }

    /// Waits until the counts are as wanted, and returns them.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        what: impl Into<String>,
        wanted: impl Fn(&Counts) -> bool,
    ) -> impl Future<Output = Counts> {
        let mut counts = self.shared.counts.subscribe();
        within(format!("the upstream to see {}", what.into()), async move {
            *counts
                .wait_for(|counts| wanted(counts))
                .await
                .expect("we hold the sender")
        })
    }

    /// Waits until this many requests have reached it.
    #[track_caller]
    pub(crate) fn wait_reached(&self, count: u64) -> impl Future<Output = Counts> {
        self.wait_for(format!("{count} requests"), move |counts| counts.reached >= count)
    }

    /// Waits until this many clients have gone away before the end of their answer.
    #[track_caller]
    pub(crate) fn wait_cancelled(&self, count: u64) -> impl Future<Output = Counts> {
        self.wait_for(format!("{count} clients go away"), move |counts| {
            counts.cancelled >= count
        })
    }

    /// Closes every open connection in order, idle or not.
    pub(crate) async fn close_connections(&self) {
        self.end_connections(ConnControl::close).await;
    }

    /// Resets every open connection.
    pub(crate) async fn reset_connections(&self) {
        self.end_connections(ConnControl::reset).await;
    }

    /// Stops listening and resets every connection: connecting is refused from now on.
    pub(crate) async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        self.reset_connections().await;
    }

    /// Listens again, on the same address.
    pub(crate) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.addr).await;
        let listener = listener.unwrap_or_else(|e| panic!("cannot listen on {}: {e}", self.addr));
        self.accepting = Some(tokio::spawn(serve::accept(listener, Arc::clone(&self.shared))));
    }

    async fn end_connections(&self, end: impl Fn(&ConnControl)) {
        let ids: Vec<u64> = {
            let conns = lock(&self.shared.conns);
            conns.values().for_each(end);
            conns.keys().copied().collect()
        };
        let mut counts = self.shared.counts.subscribe();
        let gone = counts.wait_for(|_| {
            let conns = lock(&self.shared.conns);
            ids.iter().all(|id| !conns.contains_key(id))
        });
        within("the upstream's connections to end", async { drop(gone.await) }).await;
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        lock(&self.shared.conns).values().for_each(ConnControl::reset);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
