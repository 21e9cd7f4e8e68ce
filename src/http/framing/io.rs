//! The guard between a socket and hyper.

use std::error::Error;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Violation;
use super::guard::{FrameGuard, Upgrade};

/// What hyper is given in place of an offending head. No part of a head may hold a NUL, so that hyper answers 400 and
/// closes, after the answers to what went before; the empty line ends what it had of the head, so that it does so at once.
const POISON: &[u8] = b"\0\r\n\r\n";

/// Bytes thrown away at most before a connection is closed on a client that is still sending.
const LINGER_BYTES: usize = 1024 * 1024;
/// Time for that.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// HTTP/2: so many frames that ask for nothing within such a time are a flood (H11). A client that asks now and then whether the connection lives, or measures
/// it, is far from it.
const FLOOD: (u32, Duration) = (1_000, Duration::from_secs(1));

pin_project! {
    /// A client's connection whose reads pass through a [`FrameGuard`]. Hand it to hyper in place of the socket.
    ///
    /// A violation in a head becomes hyper's own 400, in its turn; one in a body becomes an I/O error of that body
    /// ([`violation`] finds it), which must not be taken for the body's end. Both end the connection.
    ///
    /// When hyper closes while the client is still sending, the connection lingers: up to 1 MiB is thrown away for up to
    /// 2 s, so that the client gets to read the answer (a 402, say) instead of a reset.
    #[derive(Debug)]
    pub struct GuardedIo<T> {
        #[pin]
        io: T,
        guard: FrameGuard,
        feed: Feed,
        gate: UpgradeGate,
        linger: Linger,
        // When the frames that ask for nothing were counted last.
        counted: Instant,
    }
}

/// What the next read gives.
#[derive(Debug)]
enum Feed {
    /// What the client sent.
    Open,
    /// The poison from this byte on.
    Poison(usize),
    /// An error.
    Broken(Violation),
    /// The end.
    Ended,
}

#[derive(Debug)]
enum Linger {
    /// Not closing yet.
    No,
    /// Throwing away this many bytes more, until then.
    Until(usize, Pin<Box<Sleep>>),
    Over,
}

impl<T> GuardedIo<T> {
    /// Guards a new connection, whatever protocol was agreed upon for it: what the client speaks is what it sends.
    pub fn new(io: T) -> Self {
        Self {
            io,
            guard: FrameGuard::default(),
            feed: Feed::Open,
            gate: UpgradeGate::default(),
            linger: Linger::No,
            counted: Instant::now(),
        }
    }

    /// The gate that the service opens before it answers 101 on this connection.
    pub fn upgrade_gate(&self) -> UpgradeGate {
        self.gate.clone()
    }

    /// Whether the client speaks HTTP/2, as far as what was read tells.
    pub fn is_http2(&self) -> Option<bool> {
        self.guard.is_http2()
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &T {
        &self.io
    }
}

/// Lets a connection leave HTTP.
#[derive(Debug, Clone, Default)]
pub struct UpgradeGate(Arc<AtomicU8>);

const CLOSED: u8 = 0;
const WAITING: u8 = 1;
const OVERRUN: u8 = 2;
const OPEN: u8 = 3;

impl UpgradeGate {
    /// From here on the connection's bytes are not looked at. Call it before answering 101.
    ///
    /// `false`: do not answer 101, but 400. The client did not ask for an upgrade, asked for it with a body, or sent
    /// bytes behind the request without waiting for the answer (H6: no byte before 101), which were read as HTTP. It
    /// stays `false` on this connection, therefore answer a refused upgrade with `connection: close`.
    #[must_use]
    pub fn open(&self) -> bool {
        self.0
            .compare_exchange(WAITING, OPEN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// What the guard saw, written by the connection alone. Says whether the service has opened the gate, over which
    /// nothing is written.
    fn publish(&self, upgrade: Upgrade) -> bool {
        let (from, to) = match upgrade {
            Upgrade::Unasked => return false,
            Upgrade::Waiting => (CLOSED, WAITING),
            Upgrade::Overrun => (WAITING, OVERRUN),
        };
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            == Err(OPEN)
    }
}

/// The violation behind an error of a request's body, if that is what it was.
pub fn violation(error: &(dyn Error + 'static)) -> Option<Violation> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(violation) = error.downcast_ref::<Violation>() {
            return Some(*violation);
        }
        // An I/O error's source is that of the error inside it, not the error itself.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl<T: AsyncRead> AsyncRead for GuardedIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.guard.is_transparent() && this.guard.frames().is_none() {
            return this.io.poll_read(cx, buf);
        }
        match this.feed {
            Feed::Open => {}
            Feed::Poison(sent) => {
                *this.feed = poison(*sent, buf);
                return Poll::Ready(Ok(()));
            }
            Feed::Broken(violation) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, *violation)));
            }
            Feed::Ended => return Poll::Ready(Ok(())),
        }
        let before = buf.filled().len();
        ready!(this.io.poll_read(cx, buf))?;
        let verdict = this.guard.feed(&buf.filled()[before..]);
        if this.gate.publish(this.guard.upgrade()) {
            // These bytes came behind a 101: they are not HTTP.
            this.guard.pass_through();
            return Poll::Ready(Ok(()));
        }
        if let Some(frames) = this.guard.frames()
            && frames.idle() >= FLOOD.0
        {
            let now = Instant::now();
            if now.duration_since(*this.counted) < FLOOD.1 {
                *this.feed = Feed::Broken(Violation::Flood);
            }
            *this.counted = now;
            frames.forget();
        }
        if let Err(refused) = verdict {
            buf.set_filled(before + refused.good);
            if refused.in_head {
                *this.feed = poison(0, buf);
            } else {
                *this.feed = Feed::Broken(refused.violation);
                if refused.good == 0 {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refused.violation)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Puts as much of the poison into `buf` as fits.
fn poison(sent: usize, buf: &mut ReadBuf<'_>) -> Feed {
    let rest = POISON.get(sent..).unwrap_or_default();
    let fits = rest.len().min(buf.remaining());
    buf.put_slice(&rest[..fits]);
    if fits == rest.len() {
        Feed::Ended
    } else {
        Feed::Poison(sent + fits)
    }
}

impl<T: AsyncRead + AsyncWrite> AsyncWrite for GuardedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        if matches!(this.linger, Linger::No) {
            ready!(this.io.as_mut().poll_shutdown(cx))?;
            *this.linger = if this.guard.is_inside_request() {
                Linger::Until(LINGER_BYTES, Box::pin(tokio::time::sleep(LINGER_TIME)))
            } else {
                Linger::Over
            };
        }
        if let Linger::Until(left, end) = this.linger {
            ready!(poll_discard(this.io, left, end.as_mut(), cx));
            *this.linger = Linger::Over;
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads until the client's end, an error, the last of `left` bytes, or the end of time.
fn poll_discard<T: AsyncRead>(
    mut io: Pin<&mut T>,
    left: &mut usize,
    end: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut scratch = [MaybeUninit::uninit(); 8 * 1024];
    while *left > 0 {
        let mut buf = ReadBuf::uninit(&mut scratch);
        match io.as_mut().poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                *left = left.saturating_sub(buf.filled().len())
            }
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return end.poll(cx),
        }
    }
    Poll::Ready(())
}
