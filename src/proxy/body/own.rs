//! Bytes of our own on their way to the client.

use std::task::Context;

use bytes::Bytes;

use super::super::exchange::Exchange;

/// Over HTTP/2, so much at a time.
const PIECE_MAX: usize = 16 * 1024;

/// The next piece. Over HTTP/2 hyper keeps it until the client has room for it, and asks for the next, or drops the body: so it is seen whether the client takes them (A9).
pub(super) fn piece(
    bytes: &mut Option<Bytes>,
    exchange: Option<&mut Exchange>,
    cx: &mut Context<'_>,
) -> Option<Bytes> {
    let mut rest = bytes.take()?;
    let Some(exchange) = exchange.filter(|exchange| exchange.in_flight.watches()) else {
        return Some(rest);
    };
    let piece = rest.split_to(rest.len().min(PIECE_MAX));
    *bytes = Some(rest).filter(|rest| !rest.is_empty());
    exchange.in_flight.gave(cx.waker());
    Some(piece)
}
