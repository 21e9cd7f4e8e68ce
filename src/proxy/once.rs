//! `Idempotency-Key`: of all requests of an account under one key, one is served and charged. Which, the ledger decides, in the same step that holds the credits.

use ::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use hyper::body::Body;

use crate::domain::price::Price;
use crate::http::body::read_within;
use crate::service::gate;

use super::fault::Fault;
use super::incoming::ClientBody;
use super::quote::units;
use super::stage::Routed;

pub(super) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
            let read = read_within(body, limit, &routed.exchange.worker.room).await;
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
