//! The only place where errors become answers.

mod said;
mod shape;

use std::convert::Infallible;

use ::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use ::http::{HeaderMap, HeaderName, Response, Version};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

use crate::domain::credits::Credits;
use crate::domain::ids::HoldId;
use crate::domain::refusal::Refusal;
use crate::domain::time::Span;
use crate::service::denial::Denial;

use super::body::ReplyBody;
use super::code::Code;
use super::cors;
use super::exchange::Exchange;
use super::fault::{Fault, Rejected};
use super::once;
use super::outcome::Outcome;
use super::stage::{Received, Reply, Step, Whole};

pub(super) use shape::Shape;

/// How long a client is told to wait, in seconds: as a rule, and at the longest.
const RETRY_AFTER_USUAL: i64 = 1;
const RETRY_AFTER_MAX: i64 = 60;

pub(super) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Makes errors answers.
pub(super) fn layer<S: Step>(inner: S) -> impl Whole {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move {
            let reply = inner.oneshot(received).await.map(once::keep);
            let reply = reply.or_else(once::give_again).unwrap_or_else(answer);
            Ok::<_, Infallible>(reply)
        }
    })
}

/// The body of the answer to a request whose exchange a panic has taken along.
pub(super) fn internal(request: HoldId) -> String {
    shape::render(Shape::Problem, Code::Internal, &said::internal(), request)
}

/// Its headers.
pub(super) fn internal_head(headers: &mut HeaderMap, request: HoldId) {
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(Shape::Problem.content_type()),
    );
    headers.insert(&X_REQUEST_ID, super::reply::text(&request));
    again(headers, Code::Internal, RETRY_AFTER_USUAL);
}

/// Whether it helps to ask again, and after how many seconds.
fn again(headers: &mut HeaderMap, code: Code, seconds: i64) {
    let word = if code.again() { "true" } else { "false" };
    headers.insert(&X_SHOULD_RETRY, HeaderValue::from_static(word));
    if code.again() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// The answer to a request that went wrong.
pub(super) fn answer(rejected: Rejected) -> Reply {
    let Rejected { mut exchange, fault } = rejected;
    let code = fault.code();
    exchange.outcome = match fault {
        Fault::BodyBroken => Outcome::ClientGone,
        _ => Outcome::Error(code),
    };
    exchange.status = Some(code.status());
    let shape = exchange
        .route
        .as_ref()
        .map_or(Shape::Problem, |route| route.shape);
    let said = said::say(&fault, &exchange);
    let body = shape::render(shape, code, &said, exchange.request);
    exchange.sent = body.len() as u64;
    let mut reply = Response::new(ReplyBody::empty());
    *reply.status_mut() = code.status();
    head(reply.headers_mut(), &fault, code, shape, &exchange);
    *reply.body_mut() = ReplyBody::own(Bytes::from(body), exchange);
    reply
}

fn head(headers: &mut HeaderMap, fault: &Fault, code: Code, shape: Shape, exchange: &Exchange) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shape.content_type()));
    super::reply::say(headers, exchange, left(fault, exchange));
    again(headers, code, wait(fault));
    if let Some(allow) = &exchange.allow_origin {
        cors::say(headers, allow);
    }
    match fault {
        Fault::MethodNotAllowed(methods) => {
            if let Ok(methods) = HeaderValue::from_str(methods) {
                headers.insert(ALLOW, methods);
            }
        }
        Fault::UpgradeRequired if exchange.head.version < Version::HTTP_2 => {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        Fault::NoKey | Fault::Denied(Denial::InvalidKey) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // What is left of the body is not worth reading.
        Fault::BodyTooLarge(_)
        | Fault::BodyStalled
        | Fault::BodyBroken
        | Fault::NoRoom
        | Fault::UpgradeRefused
            if exchange.head.version < Version::HTTP_2 =>
        {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
}

/// What the account has left, where that is known.
fn left(fault: &Fault, exchange: &Exchange) -> Option<Credits> {
    match fault {
        Fault::Denied(Denial::Refused(Refusal::InsufficientCredits { available, .. })) => Some(*available),
        _ => exchange.left,
    }
}

/// In whole seconds.
fn wait(fault: &Fault) -> i64 {
    let span = match fault {
        Fault::Denied(Denial::Refused(Refusal::RateLimited { retry_after, .. })) => *retry_after,
        Fault::Denied(Denial::Failed(_)) => Span::from_secs(2),
        _ => Span::from_secs(RETRY_AFTER_USUAL),
    };
    span.secs_ceil().clamp(1, RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refusal::Scope;

    #[test]
    fn clients_are_told_to_wait_for_a_second_to_a_minute() {
        let limited = |retry_after| {
            let scope = Scope::Account;
            wait(&Fault::Denied(Denial::Refused(Refusal::RateLimited {
                scope,
                retry_after,
            })))
        };
        for (millis, seconds) in [(0, 1), (1, 1), (1_001, 2), (60_000, 60), (3_600_000, 60)] {
            assert_eq!(limited(Span::from_micros(millis * 1_000)), seconds, "{millis} ms");
        }
        assert_eq!(wait(&Fault::Unreachable), 1);
    }
}
