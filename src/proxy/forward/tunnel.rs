//! Upgraded connections: bytes both ways, paid for when the upstream agreed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::{CONNECTION, HeaderValue, UPGRADE};
use ::http::{HeaderMap, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use super::super::exchange::Exchange;
use super::super::outcome::Outcome;
use super::super::outlive;
use super::endpoint::Lease;

/// Bytes on their way, in each direction.
const BUFFER: usize = 8 * 1024;

/// The only protocol that is carried.
pub(in super::super) const PROTOCOL: &str = "websocket";

/// Whether a header's value is that protocol.
pub(in super::super) fn is_carried(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes())
}

/// Says so to the next hop.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
}

/// The upstream's end, if it agreed to what was asked for.
pub(super) fn agreed(response: &mut Response<Incoming>) -> Option<OnUpgrade> {
    let protocol = response.headers().get(UPGRADE)?;
    is_carried(protocol).then(|| hyper::upgrade::on(response))
}

/// Copies both ways until either end is done, nothing moves for `idle`, or the worker stops.
pub(super) fn begin(
    client: OnUpgrade,
    upstream: OnUpgrade,
    lease: Lease,
    exchange: Box<Exchange>,
    idle: Duration,
) {
    let worker = Arc::clone(&exchange.worker);
    outlive::carry(&worker, async move {
        let mut exchange = exchange;
        let tunnels = Arc::clone(&exchange.worker.meters);
        tunnels.tunnels.up();
        let moved = Arc::new(Moved::default());
        let ends = async {
            let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
            let mut client = Active {
                io: TokioIo::new(client),
                moved: Arc::clone(&moved),
            };
            let mut upstream = TokioIo::new(upstream);
            copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await
        };
        tokio::select! {
            ended = ends => if ended.is_err() {
                exchange.outcome = Outcome::ClientGone;
            },
            () = moved.ceases(idle) => exchange.outcome = Outcome::UpstreamCut,
        }
        exchange.sent = moved.sent.load(Ordering::Relaxed);
        tunnels.tunnels.down();
        drop(lease);
    });
}

/// Whether anything moved lately.
#[derive(Default)]
struct Moved {
    lately: AtomicBool,
    /// Bytes to the client.
    sent: AtomicU64,
}

impl Moved {
    /// Waits until nothing has moved for this time, or up to twice as long.
    async fn ceases(&self, idle: Duration) {
        loop {
            tokio::time::sleep(idle).await;
            if !self.lately.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// The client's end; everything that moves passes it.
struct Active {
    io: TokioIo<Upgraded>,
    moved: Arc<Moved>,
}

impl AsyncRead for Active {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.lately.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Active {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.moved.lately.store(true, Ordering::Relaxed);
            self.moved.sent.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
