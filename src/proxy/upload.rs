//! A request's body on its way to the upstream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::incoming::ClientBody;
use super::stall::Stall;

/// A body that is passed on as it comes, or one that was read before.
pub(super) struct Upload {
    kind: Kind,
    course: Arc<Course>,
}

enum Kind {
    Empty,
    Whole(Bytes),
    /// The same in several pieces, none of which is empty.
    Parts(VecDeque<Bytes>),
    /// Boxed: hyper keeps room for 32 requests for each connection to an upstream.
    Stream(Box<Stream>),
}

struct Stream {
    body: ClientBody,
    left: u64,
    max: u64,
    stall: Stall,
}

/// How far a request has come on its way to the upstream.
struct Course {
    /// Whoever writes it has looked at the body, for the head's sake: from then on the upstream may have it.
    begun: AtomicBool,
    /// For a body that is passed on as it comes: since when, and after how many microseconds the upstream last took something of it, its end included.
    since: Option<Instant>,
    moved: AtomicU64,
}

/// In [`Course::moved`]: the upstream would take more, and it is the client that is waited for.
const CLIENTS_TURN: u64 = u64::MAX;

impl Course {
    fn moved(&self) {
        let micros = self.since.map(|since| since.elapsed().as_micros());
        let micros = micros.and_then(|micros| u64::try_from(micros).ok());
        self.moved
            .store(micros.unwrap_or(CLIENTS_TURN), Ordering::Relaxed);
    }

    fn awaits_the_client(&self) {
        self.moved.store(CLIENTS_TURN, Ordering::Relaxed);
    }
}

/// Tells how far a request has come, whoever has it.
pub(super) struct Progress(Arc<Course>);

impl Progress {
    /// Whether the upstream may have something of the request.
    pub(super) fn has_begun(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// Since when the upstream has taken nothing of the body; none for one that was there from the beginning.
    pub(super) fn last(&self) -> Option<Instant> {
        let since = self.0.since?;
        Some(match self.0.moved.load(Ordering::Relaxed) {
            CLIENTS_TURN => Instant::now(),
            micros => since + Duration::from_micros(micros),
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.course.moved();
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
    fn new(kind: Kind) -> Upload {
        let course = Course {
            begun: AtomicBool::new(false),
            since: matches!(kind, Kind::Stream(_)).then(Instant::now),
            moved: AtomicU64::new(0),
        };
        Upload {
            kind,
            course: Arc::new(course),
        }
    }

    /// Bytes that were read before.
    pub(super) fn whole(body: Bytes) -> Upload {
        Upload::new(if body.is_empty() {
            Kind::Empty
        } else {
            Kind::Whole(body)
        })
    }

    /// Bytes that were read before, and what was put between them.
    pub(super) fn parts(parts: impl IntoIterator<Item = Bytes>) -> Upload {
        let parts: VecDeque<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Upload::new(if parts.is_empty() {
            Kind::Empty
        } else {
            Kind::Parts(parts)
        })
    }

    /// A body that is passed on as it comes, up to `max` bytes, as long as it does not stand still for too long.
    pub(super) fn stream(body: Option<ClientBody>, max: u64, stall: Stall) -> Upload {
        Upload::new(match body {
            Some(body) if !body.is_end_stream() => Kind::Stream(Box::new(Stream {
                body,
                left: max,
                max,
                stall,
            })),
            _ => Kind::Empty,
        })
    }

    /// Whether the client has yet to say how long it is, or has said that it is too long.
    pub(super) fn passes(&self) -> Result<(), u64> {
        match &self.kind {
            Kind::Stream(stream) if stream.body.size_hint().lower() > stream.max => Err(stream.max),
            _ => Ok(()),
        }
    }

    /// Watches how far it is.
    pub(super) fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.course))
    }

    fn begin(&self) {
        self.course.begun.store(true, Ordering::Relaxed);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Upload { kind, course } = &mut *self;
        match kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Parts(parts) => Poll::Ready(parts.pop_front().map(|part| Ok(Frame::data(part)))),
            Kind::Stream(stream) => stream.poll(course, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begin();
        match &self.kind {
            Kind::Empty => true,
            Kind::Whole(_) => false,
            Kind::Parts(parts) => parts.is_empty(),
            Kind::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.begin();
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Parts(parts) => SizeHint::with_exact(parts.iter().map(|part| part.len() as u64).sum()),
            Kind::Stream(stream) => stream.body.size_hint(),
        }
    }
}

impl Stream {
    fn poll(
        &mut self,
        course: &Course,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                course.awaits_the_client();
                return self.stall.poll(cx).map(|()| Some(Err(UploadError::Stalled)));
            };
            self.stall.moved();
            course.moved();
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
