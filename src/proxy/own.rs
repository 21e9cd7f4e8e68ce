//! `/faregate/`: what the gate answers itself, through a seam, since proxy and API do not know each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::http::request::Parts;
use ::http::{Method, Request, Response};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

use crate::domain::ids::HoldId;
use crate::http::body::read_within;
use crate::http::headers::clean_request;
use crate::http::target::{Target, normalise};
use crate::service::denial::Denial;
use crate::service::gate::Gate;
use crate::service::plans::Plans;
use crate::service::stripe::WEBHOOK;
use crate::service::tariff::Tariff;

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::fault::{Fault, Rejected};
use super::identify::presented;
use super::incoming::ClientBody;
use super::live::Live;
use super::outcome::Outcome;
use super::quote::units;
use super::stage::{Received, Reply, Step};
use super::worker::Worker;

/// Where the gate's own endpoints begin. Nothing below it is ever forwarded.
const PREFIX: &str = "/faregate/";

/// The header by which repeats are one.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header by which an event shows that it is Stripe's.
const SIGNATURE: &str = "stripe-signature";

/// The longest body that they take, in bytes.
const BODY_MAX: u64 = 1024 * 1024;

/// The longest event that is taken, in bytes; Stripe's have a few thousand. What of it is too long to be told is found by a look at the objects.
const WEBHOOK_MAX: u64 = 256 * 1024;

/// An event's body has to come in this time: Stripe's is one packet or two.
const WEBHOOK_WITHIN: Duration = Duration::from_secs(5);

/// Who answers below `/faregate/`.
pub trait Own: Send + Sync + fmt::Debug {
    /// The answer; or why the caller gets none, which becomes one as for any other request.
    fn answer<'a>(&'a self, call: OwnCall<'a>) -> OwnAnswer<'a>;

    /// Takes an event of Stripe: what its signature says, and the body byte by byte. Whoever has nothing to do with Stripe has no such endpoint.
    fn webhook<'a>(&'a self, _signature: &'a [u8], _body: Bytes) -> OwnAnswer<'a> {
        let what = "there is no [stripe] in the configuration".to_owned();
        Box::pin(async { Err(OwnFault::NotFound(what)) })
    }
}

/// The answer to come.
pub type OwnAnswer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, OwnFault>> + Send + 'a>>;

/// Why a request for the gate itself gets no answer of its own. Sentences are for whoever sent it.
#[derive(Debug)]
pub enum OwnFault {
    /// The caller is not let through, or the ledger did not answer.
    Denied(Denial),
    /// The request does not say what it should.
    Invalid(String),
    /// No such endpoint, or nothing by that name.
    NotFound(String),
    /// The endpoint takes these methods.
    OtherMethod(String),
    /// Stripe does not do it.
    PaymentsRefused,
    /// Stripe did not answer.
    PaymentsUnavailable,
}

impl From<OwnFault> for Fault {
    fn from(fault: OwnFault) -> Fault {
        match fault {
            OwnFault::Denied(denial) => Fault::Denied(denial),
            OwnFault::Invalid(what) => Fault::Unreadable(what.into()),
            OwnFault::NotFound(what) => Fault::NotFound(what),
            OwnFault::OtherMethod(methods) => Fault::MethodNotAllowed(methods),
            OwnFault::PaymentsRefused => Fault::PaymentsRefused,
            OwnFault::PaymentsUnavailable => Fault::PaymentsUnavailable,
        }
    }
}

/// A request for the gate itself.
pub struct OwnCall<'a> {
    /// Method, target in normal form, whole body. Of the headers only `Idempotency-Key` is among what is asked for.
    pub request: Request<Bytes>,
    /// The request's own id.
    pub id: HoldId,
    /// The one key it carries, not yet looked up.
    pub presented: &'a [u8],
    /// Whom a key identifies.
    pub gate: &'a Gate,
    /// Under which plans.
    pub plans: &'a Arc<Plans>,
    /// What everything costs.
    pub tariff: &'a dyn Tariff,
    /// Where a customer buys credits.
    pub top_up_url: Option<&'a str>,
}

impl fmt::Debug for OwnCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCall")
            .field("uri", self.request.uri())
            .finish_non_exhaustive()
    }
}

/// Answers what is meant for the gate, and passes on the rest.
pub(super) fn layer<S: Step>(inner: S) -> impl Step {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move {
            if is_own(received.exchange.head.uri.path()) {
                Box::pin(answer(received)).await
            } else {
                inner.oneshot(received).await
            }
        }
    })
}

/// Whether a path is the gate's own, however it is spelled.
fn is_own(path: &str) -> bool {
    path.starts_with(PREFIX)
        || path.contains('%') && normalise(path).is_ok_and(|normal| normal.starts_with(PREFIX))
}

async fn answer(received: Received) -> Result<Reply, Rejected> {
    let Received { mut exchange, body } = received;
    match ask(&mut exchange, body).await {
        Ok(response) => Ok(reply(response, exchange)),
        Err(fault) => Err(exchange.reject(fault)),
    }
}

async fn ask(exchange: &mut Exchange, body: ClientBody) -> Result<Response<Bytes>, Fault> {
    let Exchange {
        head, live, worker, ..
    } = exchange;
    let id = exchange.request;
    clean_request(head, &live.request_rules).map_err(Fault::Header)?;
    let target = Target::read(&head.method, &head.uri).map_err(Fault::Target)?;
    let own = worker.own.as_ref().ok_or(Fault::RouteNotFound)?;
    if target.path() == WEBHOOK {
        return webhook(&**own, head, body, worker, live).await;
    }
    let presented = presented(&head.headers, &live.key_headers)?;
    let limit = units::limit(BODY_MAX, live.body_timeout);
    // Who asks is not known yet.
    let share = worker.room.share_of("/faregate/");
    let body = read_within(body, limit, share).await.map_err(units::fault)?;
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = target.into_path_and_query().into();
    for value in head.headers.get_all(IDEMPOTENCY_KEY) {
        request.headers_mut().append(IDEMPOTENCY_KEY, value.clone());
    }
    let call = OwnCall {
        request,
        id,
        presented,
        gate: &worker.gate,
        plans: &live.plans,
        tariff: live,
        top_up_url: live.top_up_url.as_deref(),
    };
    own.answer(call).await.map_err(Fault::from)
}

/// A flood without signatures is turned away unread.
async fn webhook(
    own: &dyn Own,
    head: &Parts,
    body: ClientBody,
    worker: &Worker,
    live: &Live,
) -> Result<Response<Bytes>, Fault> {
    if head.method != Method::POST {
        return Err(Fault::MethodNotAllowed("POST".to_owned()));
    }
    let mut signatures = head.headers.get_all(SIGNATURE).iter();
    let (Some(signature), None) = (signatures.next(), signatures.next()) else {
        let what = "an event of Stripe has one header Stripe-Signature";
        return Err(Fault::Unreadable(what.into()));
    };
    let limit = units::limit(WEBHOOK_MAX, live.body_timeout.min(WEBHOOK_WITHIN));
    let share = worker.room.share_of(WEBHOOK);
    let body = read_within(body, limit, share).await.map_err(units::fault)?;
    own.webhook(signature.as_bytes(), body).await.map_err(Fault::from)
}

fn reply(response: Response<Bytes>, mut exchange: Box<Exchange>) -> Reply {
    let (mut head, body) = response.into_parts();
    super::reply::say(&mut head.headers, &exchange, None);
    exchange.status = Some(head.status);
    exchange.outcome = Outcome::Ok;
    exchange.sent = body.len() as u64;
    Response::from_parts(head, ReplyBody::own(body, exchange))
}
