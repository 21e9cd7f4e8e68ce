//! How far a request has come, as types: each stage can only be made from the one before, in one place, so that a request which nobody paid for cannot
//! be forwarded, there being no value to forward it with.
//!
//! [`Received`] → [`Routed`] → [`Identified`] → [`Quoted`] → [`Paid`]

use std::convert::Infallible;
use std::sync::Arc;

use ::http::uri::PathAndQuery;
use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tower::Service;

use crate::domain::credits::Credits;
use crate::domain::price::Quote;
use crate::service::charge::Held;
use crate::service::gate::Known;

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::fault::Rejected;
use super::incoming::ClientBody;
use super::listener::InFlight;
use super::live::Route;
use super::metering::Metered;
use super::upload::Upload;
use super::worker::Worker;

/// An answer on its way to the client.
pub(super) type Reply = Response<ReplyBody>;

/// A service that takes a request to its answer, or to the reason why there is none.
pub(super) trait Step:
    Service<Received, Response = Reply, Error = Rejected, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Step for S where
    S: Service<Received, Response = Reply, Error = Rejected, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The whole pipeline: every request gets an answer.
pub(super) trait Whole:
    Service<Received, Response = Reply, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Whole for S where
    S: Service<Received, Response = Reply, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// Its head has been read.
pub(super) struct Received {
    pub(super) exchange: Box<Exchange>,
    pub(super) body: ClientBody,
}

impl Received {
    pub(super) fn new(worker: &Arc<Worker>, in_flight: InFlight, request: Request<Incoming>) -> Received {
        let (head, body) = request.into_parts();
        let body = ClientBody::new(body, head.version);
        Received {
            exchange: Exchange::begin(worker, in_flight, head),
            body,
        }
    }
}

/// Its head has one reading, and a route.
pub(super) struct Routed {
    pub(super) exchange: Box<Exchange>,
    /// None once it has been taken to be read or passed on.
    pub(super) body: Option<ClientBody>,
    /// In normal form: what was matched is what is served.
    pub(super) target: PathAndQuery,
    pub(super) route: Arc<Route>,
    /// The client's end of the connection, where the route carries upgrades.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// The account is known, and neither it nor its key is shut.
pub(super) struct Identified {
    pub(super) routed: Routed,
    known: Arc<Known>,
}

/// What it may cost is known.
pub(super) struct Quoted {
    pub(super) exchange: Box<Exchange>,
    pub(super) request: Outbound,
    pub(super) route: Arc<Route>,
    pub(super) quote: Quote,
    /// Where it is priced by tokens.
    pub(super) metered: Option<Box<Metered>>,
    known: Arc<Known>,
}

/// What is to be forwarded.
pub(super) struct Outbound {
    pub(super) target: PathAndQuery,
    pub(super) upload: Upload,
    /// The client's end of the connection, to be upgraded.
    pub(super) upgrade: Option<OnUpgrade>,
}

/// The ledger has let it through; what it may cost is held.
pub(super) struct Paid {
    pub(super) exchange: Box<Exchange>,
    pub(super) request: Outbound,
    pub(super) route: Arc<Route>,
    /// Where it is priced by tokens.
    pub(super) metered: Option<Box<Metered>>,
    held: Held,
    /// What the account has left, the hold aside.
    pub(super) available: Credits,
}

/// What pays for a request.
pub(super) struct Payment {
    pub(super) held: Held,
    /// What the account had left, the hold aside.
    pub(super) available: Credits,
    /// Where it is priced by tokens.
    pub(super) metered: Option<Box<Metered>>,
}

impl Routed {
    pub(super) fn identified(mut self, known: Arc<Known>) -> Identified {
        self.exchange.known = Some(Arc::clone(&known));
        Identified { routed: self, known }
    }
}

impl Identified {
    pub(super) fn quoted(self, upload: Upload, quote: Quote, metered: Option<Box<Metered>>) -> Quoted {
        let Routed {
            exchange,
            target,
            route,
            upgrade,
            body: _,
        } = self.routed;
        Quoted {
            exchange,
            request: Outbound {
                target,
                upload,
                upgrade,
            },
            route,
            quote,
            metered,
            known: self.known,
        }
    }
}

impl Quoted {
    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    pub(super) fn paid(self, held: Held, available: Credits) -> Paid {
        Paid {
            exchange: self.exchange,
            request: self.request,
            route: self.route,
            metered: self.metered,
            held,
            available,
        }
    }
}

impl Paid {
    /// The request, and the proof that it is paid.
    pub(super) fn into_parts(self) -> (Box<Exchange>, Outbound, Arc<Route>, Payment) {
        let payment = Payment {
            held: self.held,
            available: self.available,
            metered: self.metered,
        };
        (self.exchange, self.request, self.route, payment)
    }
}
