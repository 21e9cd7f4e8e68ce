//! The headers that say what an answer cost.

use std::fmt::{Display, Write};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::{Bytes, BytesMut};

use crate::domain::credits::Credits;

use super::exchange::{Charge, Exchange};
use super::rescue::{Shape, X_REQUEST_ID};

static REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
static X_CREDITS_REMAINING: HeaderName = HeaderName::from_static("x-credits-remaining");
static X_CREDITS_CHARGED: HeaderName = HeaderName::from_static("x-credits-charged");
static X_CREDITS_HELD: HeaderName = HeaderName::from_static("x-credits-held");

/// Says which request this answers and, where it has a price, what it cost and what is left.
pub(super) fn say(headers: &mut HeaderMap, exchange: &Exchange, remaining: Option<Credits>) {
    headers.insert(&X_REQUEST_ID, text(&exchange.request));
    if exchange
        .route
        .as_ref()
        .is_some_and(|route| route.shape == Shape::Anthropic)
    {
        // Where Anthropic's SDKs look. An upstream's own is in its log, and no id of a charge.
        headers.insert(&REQUEST_ID, text(&exchange.request));
    }
    let Some(remaining) = remaining else { return };
    headers.insert(&X_CREDITS_REMAINING, text(&remaining));
    match exchange.charge {
        Charge::Charged(amount) => headers.insert(&X_CREDITS_CHARGED, text(&amount)),
        Charge::Released => headers.insert(&X_CREDITS_CHARGED, text(&Credits::ZERO)),
        Charge::Held(amount) => headers.insert(&X_CREDITS_HELD, text(&amount)),
        Charge::None => None,
    };
}

/// Says what it cost behind a body of which that was not known before.
pub(super) fn say_charged(trailers: &mut HeaderMap, exchange: &Exchange) {
    let charged = match exchange.charge {
        Charge::Charged(amount) => amount,
        _ => Credits::ZERO,
    };
    trailers.insert(&X_CREDITS_CHARGED, text(&charged));
}

/// Something of ours that is written in visible ASCII, as a header's value.
pub(super) fn text(value: &dyn Display) -> HeaderValue {
    let mut buffer = BytesMut::with_capacity(40);
    // Writing to memory does not fail.
    let _ = write!(buffer, "{value}");
    let bytes: Bytes = buffer.freeze();
    HeaderValue::from_maybe_shared(bytes).unwrap_or(HeaderValue::from_static("-"))
}
