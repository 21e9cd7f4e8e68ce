//! `Idempotency-Key`: of all requests of an account under one key, one is served and charged. Which, the ledger decides, in the same step that holds the credits.

use ::http::header::{CONTENT_ENCODING, TRAILER};
use ::http::{HeaderMap, HeaderName, HeaderValue, Response};
use bytes::Bytes;
use hyper::body::Body;

use crate::domain::price::Price;
use crate::domain::refusal::Refusal;
use crate::http::body::read_within;
use crate::http::headers::accepts_coding;
use crate::service::denial::Denial;
use crate::service::gate;

use super::answers::{Answer, Record};
use super::body::ReplyBody;
use super::fault::{Fault, Rejected};
use super::incoming::ClientBody;
use super::outcome::Outcome;
use super::quote::units;
use super::stage::{Reply, Routed};

pub(super) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

static X_FAREGATE_REPLAYED: HeaderName = HeaderName::from_static("x-faregate-replayed");

/// The longest key, in bytes.
const KEY_MAX: usize = 255;

/// Whether a request comes under a key that counts: what costs nothing may be repeated as often as one likes.
pub(super) fn is_claiming(routed: &Routed) -> bool {
    routed.route.price != Price::Free && routed.exchange.head.headers.contains_key(&IDEMPOTENCY_KEY)
}

/// Reads such a request to its end, also where its body would be passed on as it comes: that it asks for the same as the one before is known by all of it only.
pub(super) async fn claim(routed: &mut Routed) -> Result<(), Fault> {
    let key = key(&routed.exchange.head.headers)?;
    let body = match routed.body.take() {
        Some(body) if !body.is_end_stream() => {
            let limit = units::limit(routed.route.body_max, routed.exchange.live.body_timeout);
            let read = read_within(body, limit, routed.exchange.body_share()).await;
            read.map_err(units::fault)?
        }
        _ => Bytes::new(),
    };
    let exchange = &mut routed.exchange;
    if let Some(known) = &exchange.known {
        let method = exchange.head.method.as_str().as_bytes();
        let target = routed.target.as_str().as_bytes();
        let claim = gate::claim(&known.caller().account, &key, &[method, target, &body]);
        exchange.claim = Some(claim);
    }
    routed.body = Some(ClientBody::read_before(body));
    Ok(())
}

/// Has the answer of such a request written down, where its route keeps answers and it was charged.
pub(super) fn keep(mut reply: Reply) -> Reply {
    let status = reply.status();
    if let Some(exchange) = reply.body().exchange()
        && exchange.claim.is_some()
        && status.as_u16() < 400
        && let Some(keeps) = exchange.route.as_ref().and_then(|route| route.keep_answers)
    {
        let mut headers = reply.headers().clone();
        // What it names comes behind the first answer only.
        headers.remove(TRAILER);
        let record = Record::begin(
            &exchange.worker.answers,
            exchange.request,
            keeps,
            (status, headers),
        );
        reply.body_mut().write_down(record);
    }
    reply
}

/// The answer that the charged request got, to a retry of it.
pub(super) fn give_again(rejected: Rejected) -> Result<Reply, Rejected> {
    let Fault::Denied(Denial::Refused(Refusal::AlreadyCharged { request })) = rejected.fault else {
        return Err(rejected);
    };
    let keeps = rejected
        .exchange
        .route
        .as_ref()
        .is_some_and(|route| route.keep_answers.is_some());
    let answers = &rejected.exchange.worker.answers;
    let asks = &rejected.exchange.head.headers;
    let readable = |answer: &Answer| is_readable(&answer.headers, asks);
    let Some(answer) = answers.get(request).filter(|answer| keeps && readable(answer)) else {
        return Err(rejected);
    };
    let mut exchange = rejected.exchange;
    exchange.outcome = Outcome::Ok;
    exchange.status = Some(answer.status);
    exchange.sent = answer.body.len() as u64;
    let mut reply = Response::new(ReplyBody::own(answer.body, exchange));
    *reply.status_mut() = answer.status;
    *reply.headers_mut() = answer.headers;
    reply
        .headers_mut()
        .insert(&X_FAREGATE_REPLAYED, HeaderValue::from_static("true"));
    Ok(reply)
}

/// Whether whoever asks with these headers takes an answer with those: it comes in the coding that the first one took.
fn is_readable(answer: &HeaderMap, asks: &HeaderMap) -> bool {
    let mut codings = answer.get_all(CONTENT_ENCODING).iter();
    codings.all(|value| {
        value.to_str().is_ok_and(|codings| {
            let mut codings = codings.split(',').map(str::trim);
            codings.all(|coding| accepts_coding(asks, coding))
        })
    })
}

/// The key: 1 to [`KEY_MAX`] visible characters, once.
fn key(headers: &HeaderMap) -> Result<Vec<u8>, Fault> {
    let mut given = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let (Some(key), None) = (given.next(), given.next()) else {
        return Err(Fault::Unreadable(
            "the request has more than one Idempotency-Key; send one".into(),
        ));
    };
    let key = key.as_bytes();
    if key.is_empty() || key.len() > KEY_MAX || !key.iter().all(u8::is_ascii_graphic) {
        let what = format!("an Idempotency-Key has 1 to {KEY_MAX} visible ASCII characters without spaces");
        return Err(Fault::Unreadable(what.into()));
    }
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_visible_text() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&IDEMPOTENCY_KEY, line.parse().unwrap());
            }
            key(&headers).ok()
        };
        let long = "x".repeat(KEY_MAX);
        for good in ["a", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", &long] {
            assert_eq!(read(&[good]).as_deref(), Some(good.as_bytes()));
        }
        let longer = "x".repeat(KEY_MAX + 1);
        for bad in [
            &[""][..],
            &["a b"],
            &["a\tb"],
            &[&longer],
            &["a", "b"],
            &["a", "a"],
            &[],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
