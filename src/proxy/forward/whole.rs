//! Answers that are read whole before they are passed on.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::super::exchange::Charge;
use super::super::fault::{Fault, Rejected};
use super::settle::{Answer, released};

/// The longest answer that is read whole before it is passed on.
const WHOLE_MAX: usize = 1024 * 1024;

/// What of an answer's body was read.
pub(super) enum Read {
    Whole(Bytes),
    /// It is longer than [`WHOLE_MAX`]: its beginning.
    Part(Vec<Bytes>),
}

impl Answer<'_> {
    /// It could not be read: nothing is charged.
    pub(super) fn broken(self, fault: Fault) -> Rejected {
        let Answer {
            lease,
            mut exchange,
            route,
            payment,
            ..
        } = self;
        match fault {
            Fault::UpstreamTimeout => lease.meters().timeouts.one(),
            _ => lease.meters().broken.one(),
        }
        if exchange.charge != Charge::None {
            exchange.charge = Charge::Released;
        }
        payment.held.settle(released(route, fault.code().as_str()));
        exchange.reject(fault)
    }
}

/// Reads a body as far as [`WHOLE_MAX`].
pub(super) async fn read(body: &mut Incoming, idle: Duration, end: Option<Instant>) -> Result<Read, Fault> {
    let mut parts: Vec<Bytes> = Vec::new();
    let mut length = 0_usize;
    if body.size_hint().lower() > WHOLE_MAX as u64 {
        return Ok(Read::Part(parts));
    }
    loop {
        let due = Instant::now() + idle;
        let due = end.map_or(due, |end| end.min(due));
        let frame = match tokio::time::timeout_at(due, body.frame()).await {
            Err(_) => return Err(Fault::UpstreamTimeout),
            Ok(Some(Err(_))) => return Err(Fault::UpstreamBroken),
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            length = length.saturating_add(data.len());
            parts.push(data);
            if length > WHOLE_MAX {
                return Ok(Read::Part(parts));
            }
        }
    }
    Ok(Read::Whole(joined(parts)))
}

/// The parts as one; not copied where there is but one.
pub(super) fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => parts.concat().into(),
    }
}
