//! `/faregate/`: what the gate answers itself, through a seam, since proxy and API do not know each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ::http::request::Parts;
use ::http::{Method, Response};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

use crate::domain::ids::HoldId;
use crate::http::headers::clean_request;
use crate::http::target::Target;
use crate::service::denial::Denial;
use crate::service::gate::Gate;
use crate::service::plans::Plans;

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::fault::{Fault, Rejected};
use super::identify::presented;
use super::outcome::Outcome;
use super::quote::units;
use super::stage::{Received, Reply, Step};

/// Where the gate's own endpoints begin. No route can be there.
const PREFIX: &str = "/faregate/";

/// The longest body that they take, in bytes.
const BODY_MAX: u64 = 1024 * 1024;

/// Who answers below `/faregate/`.
pub trait Own: Send + Sync + fmt::Debug {
    /// The answer, whatever the path; or why the key opens nothing.
    fn answer<'a>(
        &'a self,
        request: OwnRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, Denial>> + Send + 'a>>;
}

/// A request for the gate itself.
#[derive(Debug)]
pub struct OwnRequest {
    /// Its id.
    pub request: HoldId,
    /// GET, POST, ...
    pub method: Method,
    /// In normal form, with the prefix.
    pub path: String,
    /// As sent.
    pub query: Option<String>,
    /// The one key it carries, not yet looked up.
    pub key: Option<Bytes>,
    /// The whole body, at most 1 MiB.
    pub body: Bytes,
    /// Whom a key identifies.
    pub gate: Arc<Gate>,
    /// Under which plans.
    pub plans: Arc<Plans>,
}

/// Answers what is meant for the gate, and passes on the rest.
pub(super) fn layer<S: Step<Received>>(inner: S) -> impl Step<Received> {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move {
            if received.head.uri.path().starts_with(PREFIX) {
                answer(received).await
            } else {
                inner.oneshot(received).await
            }
        }
    })
}

async fn answer(received: Received) -> Result<Reply, Rejected> {
    let Received {
        exchange,
        mut head,
        body,
    } = received;
    match ask(&exchange, &mut head, body).await {
        Ok(Some(response)) => Ok(reply(response, exchange)),
        Ok(None) => Err(exchange.reject(Fault::RouteNotFound)),
        Err(fault) => Err(exchange.reject(fault)),
    }
}

async fn ask(
    exchange: &Exchange,
    head: &mut Parts,
    body: hyper::body::Incoming,
) -> Result<Option<Response<Bytes>>, Fault> {
    clean_request(head, &exchange.live.request_rules).map_err(Fault::Header)?;
    let target = Target::read(&head.method, &head.uri).map_err(Fault::Target)?;
    let key = match presented(&head.headers, &exchange.live.key_headers) {
        Ok(key) => Some(Bytes::copy_from_slice(key)),
        Err(Fault::NoKey) => None,
        Err(fault) => return Err(fault),
    };
    let (path, query) = (target.path().to_owned(), target.query().map(str::to_owned));
    let Some(own) = &exchange.worker.own else {
        return Ok(None);
    };
    let limit = units::limit(BODY_MAX, exchange.live.body_timeout);
    let body = crate::http::body::read(body, limit).await.map_err(units::fault)?;
    let request = OwnRequest {
        request: exchange.request,
        method: head.method.clone(),
        path,
        query,
        key,
        body,
        gate: Arc::clone(&exchange.worker.gate),
        plans: Arc::clone(&exchange.live.plans),
    };
    own.answer(request).await.map(Some).map_err(Fault::Denied)
}

fn reply(response: Response<Bytes>, mut exchange: Box<Exchange>) -> Reply {
    let (mut head, body) = response.into_parts();
    super::reply::say(&mut head.headers, &exchange, None);
    exchange.status = Some(head.status);
    exchange.outcome = Outcome::Ok;
    exchange.sent = body.len() as u64;
    Response::from_parts(head, ReplyBody::own(body, Some(exchange)))
}
