//! A request's body on its way to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::stall::Stall;

/// A body that is passed on as it comes, or one that was read before.
pub(super) struct Upload(Kind);

enum Kind {
    Empty,
    Whole(Bytes),
    Stream(Stream),
}

struct Stream {
    body: Incoming,
    left: u64,
    max: u64,
    stall: Stall,
    moved: Arc<Moved>,
}

/// When the upstream last took something of a body, its end included; or that it would take more and the client has none.
struct Moved {
    since: Instant,
    micros: AtomicU64,
}

/// In [`Moved::micros`]: it is the client that is waited for.
const CLIENTS_TURN: u64 = u64::MAX;

impl Moved {
    fn new() -> Moved {
        Moved {
            since: Instant::now(),
            micros: AtomicU64::new(0),
        }
    }

    fn now(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(CLIENTS_TURN);
        self.micros.store(micros, Ordering::Relaxed);
    }

    fn awaits_the_client(&self) {
        self.micros.store(CLIENTS_TURN, Ordering::Relaxed);
    }
}

/// Tells how long the upstream has taken nothing of a body.
pub(super) struct Progress(Option<Arc<Moved>>);

impl Progress {
    /// Since when; none for a body that was there from the beginning.
    pub(super) fn last(&self) -> Option<Instant> {
        let moved = self.0.as_ref()?;
        Some(match moved.micros.load(Ordering::Relaxed) {
            CLIENTS_TURN => Instant::now(),
            micros => moved.since + Duration::from_micros(micros),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.moved.now();
    }
}

/// Why a body could not be passed on whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("the body is longer than {0} bytes")]
    TooLarge(u64),
    #[error("the body stopped coming")]
    Stalled,
    #[error("the client broke off its body")]
    Broken(#[source] hyper::Error),
}

impl Upload {
    /// Bytes that were read before.
    pub(super) fn whole(body: Bytes) -> Upload {
        Upload(if body.is_empty() {
            Kind::Empty
        } else {
            Kind::Whole(body)
        })
    }

    /// A body that is passed on as it comes, up to `max` bytes, as long as it does not stand still for too long.
    pub(super) fn stream(body: Option<Incoming>, max: u64, stall: Stall) -> Upload {
        let Some(body) = body else {
            return Upload(Kind::Empty);
        };
        Upload(if body.is_end_stream() {
            Kind::Empty
        } else {
            Kind::Stream(Stream {
                body,
                left: max,
                max,
                stall,
                moved: Arc::new(Moved::new()),
            })
        })
    }

    /// Whether the client has yet to say how long it is, or has said that it is too long.
    pub(super) fn passes(&self) -> Result<(), u64> {
        match &self.0 {
            Kind::Stream(stream) if stream.body.size_hint().lower() > stream.max => Err(stream.max),
            _ => Ok(()),
        }
    }

    /// Watches how far it is.
    pub(super) fn progress(&self) -> Progress {
        match &self.0 {
            Kind::Stream(stream) => Progress(Some(Arc::clone(&stream.moved))),
            Kind::Empty | Kind::Whole(_) => Progress(None),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                self.moved.awaits_the_client();
                return self.stall.poll(cx).map(|()| Some(Err(UploadError::Stalled)));
            };
            self.stall.moved();
            self.moved.now();
            return Poll::Ready(match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => match self.left.checked_sub(data.len() as u64) {
                    Some(rest) => {
                        self.left = rest;
                        Some(Ok(Frame::data(data)))
                    }
                    None => Some(Err(UploadError::TooLarge(self.max))),
                },
                // Trailers of a request are not passed: nobody has looked at them.
                Some(Ok(Err(_))) => continue,
                Some(Err(error)) => Some(Err(UploadError::Broken(error))),
                None => None,
            });
        }
    }
}
