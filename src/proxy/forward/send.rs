//! Gets one request onto one connection. It is sent again only where nothing of it was sent.

use std::error::Error as _;
use std::sync::Arc;

use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::super::fault::Fault;
use super::super::live::Route;
use super::super::stage::Payment;
use super::super::upload::{Progress, Upload, UploadError};
use super::endpoint::{Endpoint, Lease, NoLease, Sender};
use super::outbound::Message;
use super::settle;
use super::upstream::Upstream;

/// Used connections that turn out to be closed before a new one is asked for.
const STALE_MAX: usize = 2;

/// A request and what limits it.
pub(super) struct Call<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) route: &'a Route,
    /// When all of it must be over.
    pub(super) end: Option<Instant>,
    /// It asks for an upgrade: over HTTP/1.1, on a connection of its own.
    pub(super) upgrade: bool,
}

/// What came of an attempt that gave no answer.
enum Attempt {
    /// Nothing was sent; the request is whole.
    Unsent(Box<Message>),
    /// It may have been.
    Failed(Fault),
}

/// A request between here and the head of its answer. Should its client leave meanwhile, it costs its price if the upstream may have had it, since that works on
/// it then, and nothing if not.
struct OnTheWay<'a> {
    route: &'a Route,
    /// None when it has arrived, or when leaving costs nothing.
    progress: Option<Progress>,
    payment: &'a mut Payment,
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        if self.progress.as_ref().is_some_and(Progress::has_begun) {
            let ending = settle::abandoned(self.route, self.payment);
            self.payment.held.on_drop(ending);
        }
    }
}

impl Call<'_> {
    /// The head of the answer, and the connection that brings its body.
    pub(super) async fn send(
        &self,
        message: Message,
        payment: &mut Payment,
    ) -> Result<(Response<Incoming>, Lease), Fault> {
        let mut message = message;
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        let mut stale = 0;
        let mut last = Fault::Unreachable;
        while let Some(endpoint) = self.upstream.pick(&tried) {
            let lease = match self.in_time(self.lease(endpoint, stale)).await {
                None => return Err(Fault::UpstreamTimeout),
                Some(Ok(lease)) => lease,
                Some(Err(error)) => {
                    last = match error {
                        NoLease::Busy => Fault::UpstreamBusy,
                        NoLease::Unreachable => Fault::Unreachable,
                    };
                    tried.push(Arc::clone(endpoint));
                    continue;
                }
            };
            let used = lease.used;
            match self.attempt(message, lease, payment).await {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Failed(fault)) => return Err(fault),
                Err(Attempt::Unsent(unsent)) => {
                    message = *unsent;
                    if used && stale <= STALE_MAX {
                        stale += 1;
                    } else {
                        tried.push(Arc::clone(endpoint));
                    }
                }
            }
        }
        self.upstream.meters.unreachable.one();
        Err(last)
    }

    async fn lease(&self, endpoint: &Arc<Endpoint>, stale: usize) -> Result<Lease, NoLease> {
        if self.upgrade {
            endpoint.lease_alone().await
        } else {
            endpoint.lease(stale >= STALE_MAX).await
        }
    }

    async fn attempt(
        &self,
        message: Message,
        mut lease: Lease,
        payment: &mut Payment,
    ) -> Result<(Response<Incoming>, Lease), Attempt> {
        let endpoint = Arc::clone(lease.endpoint());
        let h2 = matches!(lease.sender, Sender::H2(..));
        let Some(request) = message.address(&endpoint, self.upstream, h2) else {
            return Err(Attempt::Failed(Fault::UpstreamBroken));
        };
        let mut on_the_way = OnTheWay {
            route: self.route,
            progress: (!self.upgrade).then(|| request.body().progress()),
            payment,
        };
        let exchanged = self.exchange(request, &mut lease).await;
        on_the_way.progress = None;
        match exchanged {
            None => {
                self.upstream.meters.timeouts.one();
                Err(Attempt::Failed(Fault::UpstreamTimeout))
            }
            Some(Ok(response)) => Ok((response, lease)),
            Some(Err(mut error)) => match error
                .take_message()
                .and_then(|request| Message::again(request, &endpoint))
            {
                Some(message) => Err(Attempt::Unsent(Box::new(message))),
                None => Err(Attempt::Failed(self.blame(error.error()))),
            },
        }
    }

    /// The answer's head; none when it takes too long.
    async fn exchange(
        &self,
        request: Request<Upload>,
        lease: &mut Lease,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Upload>>>> {
        let sent = request.body().progress();
        match &mut lease.sender {
            Sender::H1(sender) => self.first_byte(sender.try_send_request(request), sent).await,
            Sender::H2(sender, _) => self.first_byte(sender.try_send_request(request), sent).await,
            Sender::None => None,
        }
    }

    /// Waits for the first byte from when the upstream last took something of the request. (That the client sends its body fast enough is the body's own
    /// business.)
    async fn first_byte<F: Future>(&self, future: F, sent: Progress) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        let wait = self.route.first_byte_timeout;
        let mut due = Instant::now() + wait;
        loop {
            let until = self.end.map_or(due, |end| end.min(due));
            if let Ok(output) = tokio::time::timeout_at(until, future.as_mut()).await {
                return Some(output);
            }
            match sent.last().map(|last| last + wait) {
                Some(later) if later > due && self.end.is_none_or(|end| until < end) => due = later,
                _ => return None,
            }
        }
    }

    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        match self.end {
            None => Some(future.await),
            Some(end) => tokio::time::timeout_at(end, future).await.ok(),
        }
    }

    /// Whose fault it was that the exchange broke off.
    fn blame(&self, error: &hyper::Error) -> Fault {
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(upload) = cause.downcast_ref::<UploadError>() {
                return match upload {
                    UploadError::TooLarge(max) => Fault::BodyTooLarge(*max),
                    UploadError::Stalled => Fault::BodyStalled,
                    UploadError::Broken(_) => Fault::BodyBroken,
                };
            }
            source = cause.source();
        }
        self.upstream.meters.broken.one();
        tracing::warn!(upstream = %self.upstream.name, %error, "upstream broke off before it answered");
        if error.is_parse() {
            Fault::UpstreamBroken
        } else {
            Fault::Unreachable
        }
    }
}
