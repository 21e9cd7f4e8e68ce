//! An answer's body on its way to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::http::headers::clean_trailers;

use super::exchange::Exchange;
use super::forward::Lease;
use super::outcome::Outcome;
use super::stall::Stall;

/// Bytes of our own, or the upstream's as they come.
pub(super) enum ReplyBody {
    /// Ours, and the exchange that ends with them.
    Own {
        bytes: Option<Bytes>,
        _ends: Option<Box<Exchange>>,
    },
    /// The upstream's.
    Passed(Passed),
}

/// An upstream's body, frame by frame, untouched but for trailers that are not the client's.
pub(super) struct Passed {
    body: Incoming,
    stall: Stall,
    tail: Option<Box<Tail>>,
}

/// What ends with the body.
struct Tail {
    exchange: Box<Exchange>,
    lease: Lease,
}

/// The upstream broke off, or stood still.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    /// It broke off.
    #[error("the upstream broke off its answer")]
    Cut(#[source] hyper::Error),
    /// It stood still.
    #[error("the upstream's answer stood still for too long")]
    Stalled,
}

impl ReplyBody {
    pub(super) fn empty() -> ReplyBody {
        ReplyBody::Own {
            bytes: None,
            _ends: None,
        }
    }

    /// Nothing, and the exchange that ends with it.
    pub(super) fn nothing(exchange: Box<Exchange>) -> ReplyBody {
        ReplyBody::Own {
            bytes: None,
            _ends: Some(exchange),
        }
    }

    pub(super) fn own(bytes: Bytes, exchange: Option<Box<Exchange>>) -> ReplyBody {
        ReplyBody::Own {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            _ends: exchange,
        }
    }

    pub(super) fn passed(body: Incoming, stall: Stall, exchange: Box<Exchange>, lease: Lease) -> ReplyBody {
        exchange.worker.meters.streams.up();
        let tail = Some(Box::new(Tail { exchange, lease }));
        ReplyBody::Passed(Passed { body, stall, tail })
    }
}

impl Passed {
    fn ended(&mut self, outcome: Option<Outcome>) {
        let Some(tail) = self.tail.take() else { return };
        let Tail { mut exchange, lease } = *tail;
        exchange.worker.meters.streams.down();
        match outcome {
            // The connection can carry the next request.
            None => lease.give_back(),
            Some(outcome) => exchange.outcome = outcome,
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // hyper does not ask again after the last frame; what was dropped before is a client that left.
        let outcome = if self.body.is_end_stream() {
            None
        } else {
            Some(Outcome::ClientGone)
        };
        self.ended(outcome);
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = PassError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        match &mut *self {
            ReplyBody::Own { bytes, .. } => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Own { bytes, .. } => bytes.is_none(),
            ReplyBody::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Own { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplyBody::Passed(passed) => passed.body.size_hint(),
        }
    }
}

impl Passed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            std::task::ready!(self.stall.poll(cx));
            if let Some(tail) = &self.tail {
                tail.lease.meters().timeouts.one();
            }
            self.ended(Some(Outcome::UpstreamCut));
            return Poll::Ready(Some(Err(PassError::Stalled)));
        };
        self.stall.moved();
        match frame {
            Some(Ok(mut frame)) => {
                if let Some(tail) = &mut self.tail {
                    if let Some(data) = frame.data_ref() {
                        tail.exchange.sent += data.remaining() as u64;
                    } else if let (Some(trailers), Some(route)) = (frame.trailers_mut(), &tail.exchange.route)
                    {
                        clean_trailers(trailers, route.upstream.response_rules());
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                if let Some(tail) = &self.tail {
                    tail.lease.meters().broken.one();
                }
                self.ended(Some(Outcome::UpstreamCut));
                Poll::Ready(Some(Err(PassError::Cut(error))))
            }
            None => {
                self.ended(None);
                Poll::Ready(None)
            }
        }
    }
}
