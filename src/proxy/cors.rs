//! Browsers: which origins' pages may call a route (the Fetch standard's CORS protocol).

use ::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use ::http::{Method, Response, StatusCode};
use tower::{ServiceExt, service_fn};

use crate::http::headers::clean_request;
use crate::http::pattern::Lookup;
use crate::http::target::Target;

use super::body::ReplyBody;
use super::exchange::Exchange;
use super::fault::{Fault, Rejected};
use super::live::Route;
use super::outcome::Outcome;
use super::stage::{Received, Reply, Step};

/// How long a browser may remember the answer, in seconds.
const MAX_AGE: &str = "600";

/// What pages may read of an answer, besides what they always may.
const EXPOSED: &str =
    "x-request-id, x-credits-remaining, x-credits-charged, x-credits-held, x-should-retry, retry-after";

/// Answers preflights, and passes on the rest.
pub(super) fn layer<S: Step>(inner: S) -> impl Step {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move {
            let head = &received.exchange.head;
            let headers = &head.headers;
            let asks = head.method == Method::OPTIONS
                && headers.contains_key(ORIGIN)
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            if asks {
                preflight(received)
            } else {
                inner.oneshot(received).await
            }
        }
    })
}

/// What an answer on this route says to the page that asked.
pub(super) fn allowed(headers: &HeaderMap, route: &Route) -> Option<HeaderValue> {
    route.origins.allow(headers.get(ORIGIN)?)
}

/// Says so.
pub(super) fn say(headers: &mut HeaderMap, allow: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allow.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if allow != "*" {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

fn preflight(received: Received) -> Result<Reply, Rejected> {
    let Received { mut exchange, .. } = received;
    let Exchange { head, live, .. } = &mut *exchange;
    let wanted = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    match judge(head, live) {
        Ok((allow, method)) => {
            let mut reply = Response::new(ReplyBody::empty());
            *reply.status_mut() = StatusCode::NO_CONTENT;
            let headers = reply.headers_mut();
            say(headers, &allow);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
            if let Some(wanted) = wanted {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
            }
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            super::reply::say(headers, &exchange, None);
            exchange.status = Some(StatusCode::NO_CONTENT);
            exchange.outcome = Outcome::Ok;
            *reply.body_mut() = ReplyBody::nothing(exchange);
            Ok(reply)
        }
        Err(fault) => Err(exchange.reject(fault)),
    }
}

/// What may be said to the origin, and the method it asks for.
fn judge(
    head: &mut ::http::request::Parts,
    live: &super::live::Live,
) -> Result<(HeaderValue, HeaderValue), Fault> {
    clean_request(head, &live.request_rules).map_err(Fault::Header)?;
    let target = Target::read(&head.method, &head.uri).map_err(Fault::Target)?;
    let method = head
        .headers
        .get(ACCESS_CONTROL_REQUEST_METHOD)
        .ok_or(Fault::RouteNotFound)?;
    let name = method.to_str().map_err(|_| Fault::RouteNotFound)?;
    match live.routes.find(name, target.path()) {
        Lookup::Found(_, route) => match allowed(&head.headers, route) {
            Some(allow) => Ok((allow, method.clone())),
            None => Err(Fault::OriginNotAllowed),
        },
        Lookup::OtherMethods(methods) => Err(Fault::MethodNotAllowed(methods.join(", "))),
        Lookup::Lookalike(_) | Lookup::Unknown => Err(Fault::RouteNotFound),
    }
}
