//! An answer's body on its way to the client.

mod alone;
mod own;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderMap, Method, Version};
use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::http::headers::clean_trailers;
use crate::meter::answer::Ended;

use super::answers::Record;
use super::exchange::Exchange;
use super::forward::Lease;
use super::metering::{End, Next, Streamed};
use super::outcome::Outcome;
use super::outlive;
use super::reply;
use super::stall::Stall;

/// Bytes of our own, or the upstream's as they come.
#[allow(
    clippy::large_enum_variant,
    reason = "hyper keeps it in a box, and most are passed on"
)]
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
    /// What was read of it before it was passed on.
    begun: Bytes,
    /// None once it has been taken away from a client that left.
    body: Option<Incoming>,
    stall: Stall,
    tail: Option<Tail>,
    /// What is counted of it, where it is priced by tokens.
    metered: Option<Box<Streamed>>,
    /// What follows the body.
    trailers: Option<Box<HeaderMap>>,
    /// Its client has left.
    alone: bool,
    /// The upstream has come to its end, and that is not seen to yet.
    over: bool,
    /// How it broke off, until that is said.
    broken: Option<PassError>,
}

/// What ends with the body.
struct Tail {
    exchange: Box<Exchange>,
    lease: Lease,
    // What each frame touches is here, since the exchange lies where nothing has looked for a while.
    /// Bytes that went to the client.
    sent: u64,
    /// The answer, while it passes, where it is to be kept.
    record: Option<Box<Record>>,
    /// What is handed over is watched on its way.
    watched: bool,
}

/// The upstream broke off, or stood still.
#[derive(Debug, thiserror::Error)]
pub(super) enum PassError {
    /// It broke off.
    #[error("the upstream broke off its answer")]
    Cut(#[source] hyper::Error),
    /// The credits had run out, and no ending could be put behind what had passed.
    #[error("the answer was cut off")]
    CutOff,
    /// It ended what was not complete.
    #[error("the upstream's answer has no end")]
    Unfinished,
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

    /// Bytes of ours; none where HEAD asks for none. (hyper sees to that over HTTP/1 alone.)
    pub(super) fn own(bytes: Bytes, exchange: Box<Exchange>) -> ReplyBody {
        let bare = exchange.head.method == Method::HEAD && exchange.head.version >= Version::HTTP_2;
        ReplyBody::Own {
            bytes: Some(bytes).filter(|bytes| !bare && !bytes.is_empty()),
            _ends: Some(exchange),
        }
    }

    /// Bytes of ours whose exchange is lost.
    pub(super) fn orphan(bytes: Bytes) -> ReplyBody {
        ReplyBody::Own {
            bytes: Some(bytes),
            _ends: None,
        }
    }

    /// The upstream's bytes as they come; counted where they are priced.
    pub(super) fn passed(
        body: Incoming,
        stall: Stall,
        exchange: Box<Exchange>,
        lease: Lease,
        metered: Option<Box<Streamed>>,
    ) -> ReplyBody {
        exchange.worker.meters.streams.up();
        let tail = Some(Tail {
            watched: exchange.in_flight.watches(),
            exchange,
            lease,
            sent: 0,
            record: None,
        });
        ReplyBody::Passed(Passed {
            begun: Bytes::new(),
            body: Some(body),
            stall,
            tail,
            metered,
            trailers: None,
            alone: false,
            over: false,
            broken: None,
        })
    }

    /// The exchange that ends with it.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            ReplyBody::Own { _ends: exchange, .. } => exchange.as_deref(),
            ReplyBody::Passed(passed) => passed.tail.as_ref().map(|tail| &*tail.exchange),
        }
    }

    /// From now on what passes is written down.
    pub(super) fn write_down(&mut self, record: Option<Record>) {
        match (self, record) {
            (ReplyBody::Own { bytes, .. }, Some(record)) => {
                record.keep_whole(bytes.as_deref().unwrap_or_default());
            }
            (ReplyBody::Passed(Passed { tail: Some(tail), .. }), record) => {
                tail.record = record.map(Box::new);
            }
            _ => {}
        }
    }

    /// The same, of which so much was read before.
    pub(super) fn begun(mut self, begun: Bytes) -> ReplyBody {
        if let ReplyBody::Passed(passed) = &mut self {
            passed.begun = begun;
        }
        self
    }
}

impl Passed {
    fn ended(&mut self, outcome: Option<Outcome>) {
        let Some(tail) = self.tail.take() else { return };
        let Tail {
            mut exchange,
            lease,
            sent,
            record,
            ..
        } = tail;
        exchange.sent = sent;
        exchange.worker.meters.streams.down();
        let mut counted = None;
        if let (Some(metered), Some(route)) = (&mut self.metered, exchange.route.clone()) {
            let end = match outcome {
                None => End::Whole,
                Some(Outcome::ClientGone) if exchange.worker.outliving.is_stopped() => End::Stopped,
                Some(Outcome::ClientGone) => End::ClientGone,
                Some(Outcome::CutOff) => End::CutOff,
                Some(_) => End::Broken,
            };
            if metered.counts(end) && tokio::runtime::Handle::try_current().is_ok() {
                metered.settles_on_drop(end, &mut exchange, &route);
                counted = Some((end, route));
            } else {
                metered.settle(end, &mut exchange, &route);
                if exchange.accepts_trailers {
                    let trailers = self.trailers.get_or_insert_default();
                    reply::say_charged(trailers, &exchange);
                }
            }
        }
        if matches!(outcome, None | Some(Outcome::CutOff))
            && let Some(record) = record
        {
            record.keep();
        }
        match outcome {
            // The connection can carry the next request.
            None => lease.give_back(),
            Some(outcome) => exchange.outcome = outcome,
        }
        if let Some((end, route)) = counted
            && let Some(mut metered) = self.metered.take()
        {
            let worker = Arc::clone(&exchange.worker);
            outlive::carry(&worker, async move {
                poll_fn(|cx| metered.poll_counted(cx)).await;
                metered.settle(end, &mut exchange, &route);
            });
        }
    }
}

impl Passed {
    /// Whether all that an upstream that has ended has said was passed on.
    fn all_passed(&mut self) -> bool {
        let Some(metered) = &mut self.metered else {
            return true;
        };
        let drained = metered.is_drained();
        if drained {
            metered.end();
        }
        drained
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // hyper does not ask again after the last frame; what was dropped before is a client that left.
        let over = self.body.as_ref().is_some_and(Body::is_end_stream);
        match over && self.all_passed() {
            true => self.ended(None),
            false => self.abandoned(),
        }
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
            ReplyBody::Own {
                bytes,
                _ends: exchange,
            } => {
                let piece = own::piece(bytes, exchange.as_deref_mut(), cx);
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            ReplyBody::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Own { bytes, .. } => bytes.is_none(),
            // Of what is counted, something may be kept back that the upstream has said.
            ReplyBody::Passed(passed) if passed.metered.is_some() => {
                passed.body.is_none() && passed.trailers.is_none()
            }
            ReplyBody::Passed(passed) => {
                passed.begun.is_empty() && passed.body.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Own { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplyBody::Passed(passed) if passed.metered.is_some() || !passed.begun.is_empty() => {
                SizeHint::default()
            }
            ReplyBody::Passed(passed) => passed
                .body
                .as_ref()
                .map_or_else(SizeHint::default, Body::size_hint),
        }
    }
}

impl Passed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.watched) {
            tail.exchange.in_flight.taken();
        }
        if !self.begun.is_empty() {
            let begun = std::mem::take(&mut self.begun);
            return self.give(Frame::data(begun), cx);
        }
        loop {
            match self.metered.as_mut().map(|metered| metered.next(cx)) {
                Some(Next::Pass(data)) => return self.give(Frame::data(data), cx),
                Some(Next::Wait) => return Poll::Pending,
                Some(Next::Cut) => return self.cut(cx),
                Some(Next::More) | None => {}
            }
            if self.over {
                return self.finish(cx);
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(
                    self.trailers
                        .take()
                        .map(|trailers| Ok(Frame::trailers(*trailers))),
                );
            };
            let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
                std::task::ready!(self.stall.poll(cx));
                return self.break_off(PassError::Stalled, cx);
            };
            self.stall.moved();
            match (frame, &mut self.metered) {
                (Some(Ok(frame)), None) => return self.give(frame, cx),
                (Some(Ok(frame)), Some(metered)) => match frame.into_data() {
                    Ok(data) => metered.feed(data),
                    // What was kept back of the body goes before them.
                    Err(frame) => self.keep(frame),
                },
                (Some(Err(error)), _) => return self.break_off(PassError::Cut(error), cx),
                (None, _) => self.over = true,
            }
        }
    }

    /// The upstream has come to its end.
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        let ended = match &mut self.metered {
            Some(metered) => {
                // hyper takes a reset without an error for an end; its stream knows better.
                let reset = self.body.as_ref().is_some_and(|body| !body.is_end_stream());
                std::task::ready!(metered.finish(reset, cx))
            }
            None => Some(Ended {
                rest: Bytes::new(),
                complete: true,
            }),
        };
        self.over = false;
        let Some(Ended { rest, complete }) = ended else {
            return self.cut(cx);
        };
        if !complete {
            let given = (!rest.is_empty()).then(|| self.give(Frame::data(rest), cx));
            let broken = self.break_off(PassError::Unfinished, cx);
            return given.unwrap_or(broken);
        }
        let given = (!rest.is_empty()).then(|| self.give(Frame::data(rest), cx));
        self.ended(None);
        if self.metered.is_none() {
            return Poll::Ready(None);
        }
        self.body = None;
        given.unwrap_or_else(|| {
            Poll::Ready(
                self.trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(*trailers))),
            )
        })
    }

    /// Trailers of the upstream, until all of the body has passed.
    fn keep(&mut self, frame: Frame<Bytes>) {
        let route = self.tail.as_ref().and_then(|tail| tail.exchange.route.as_ref());
        if let (Ok(mut trailers), Some(route)) = (frame.into_trailers(), route) {
            clean_trailers(&mut trailers, route.upstream.response_rules());
            self.trailers = Some(Box::new(trailers));
        }
    }

    /// The credits have come to theirs: the upstream's connection is closed, so that the model stops.
    fn cut(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        if self.metered.as_ref().is_some_and(|metered| metered.is_mute()) {
            self.ended(Some(Outcome::ClientGone));
            self.body = None;
            return Poll::Ready(None);
        }
        let ending = match (&mut self.metered, &self.tail) {
            (Some(metered), Some(tail)) => metered.cut(&tail.exchange),
            _ => None,
        };
        let Some(ending) = ending else {
            return self.break_off(PassError::CutOff, cx);
        };
        let given = self.give(Frame::data(ending), cx);
        self.ended(Some(Outcome::CutOff));
        self.body = None;
        given
    }

    /// Counts what goes to the client.
    fn give(
        &mut self,
        mut frame: Frame<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        if let Some(tail) = &mut self.tail {
            if let Some(data) = frame.data_ref() {
                tail.sent += data.remaining() as u64;
                if let Some(record) = &mut tail.record
                    && !record.add(data)
                {
                    tail.record = None;
                }
                if tail.watched {
                    tail.exchange.in_flight.gave(cx.waker());
                }
            } else if let (Some(trailers), Some(route)) = (frame.trailers_mut(), &tail.exchange.route) {
                clean_trailers(trailers, route.upstream.response_rules());
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    /// Says so with the next poll only: hyper drops the connection on an error, and with it what it had not written yet.
    fn break_off(
        &mut self,
        error: PassError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PassError>>> {
        if let Some(tail) = &mut self.tail {
            // Half an answer is none to give again.
            tail.record = None;
            let meters = tail.lease.meters();
            match &error {
                PassError::Cut(_) | PassError::Unfinished => meters.broken.one(),
                PassError::Stalled => meters.timeouts.one(),
                PassError::CutOff => {}
            }
        }
        self.ended(Some(match error {
            PassError::CutOff => Outcome::CutOff,
            PassError::Cut(_) | PassError::Unfinished | PassError::Stalled => Outcome::UpstreamCut,
        }));
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
