//! Answers that are read whole before they are passed on.

use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::CONTENT_ENCODING;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use crate::http::body::Share;

use super::super::exchange::Charge;
use super::super::fault::{Fault, Rejected};
use super::settle::{Answer, released};

/// The longest answer that is read whole before it is passed on.
const WHOLE_MAX: usize = 1024 * 1024;

/// How a body is compressed by its head: no coding that there is where that is unclear.
pub(super) fn encoding(headers: &HeaderMap) -> &str {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => "",
        (Some(one), None) => one.to_str().unwrap_or("unknown"),
        // One on top of the other.
        (Some(_), Some(_)) => "several",
    }
}

/// What of an answer's body was read.
pub(super) enum Read {
    Whole(Bytes),
    /// It is longer than [`WHOLE_MAX`]: its beginning.
    Part(Bytes),
    /// There was no room for more of it: its beginning.
    Crowded(Bytes),
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
            Fault::NoRoom => {}
            _ => lease.meters().broken.one(),
        }
        if exchange.charge != Charge::None {
            exchange.charge = Charge::Released;
        }
        payment.held.settle(released(route, fault.code().as_str()));
        exchange.reject(fault)
    }
}

/// Reads a body as far as [`WHOLE_MAX`], within the room that there is for all answers in memory (H14).
pub(super) async fn read(
    body: &mut Incoming,
    idle: Duration,
    end: Option<Instant>,
    mut share: Share,
) -> Result<Read, Fault> {
    let mut whole = Gathered::default();
    if body.size_hint().lower() > WHOLE_MAX as u64 {
        return Ok(Read::Part(Bytes::new()));
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
        let Ok(data) = frame.into_data() else { continue };
        let fits = share.grow(data.len());
        whole.add(data);
        if whole.len() > WHOLE_MAX {
            return Ok(Read::Part(whole.bytes()));
        }
        if !fits {
            return Ok(Read::Crowded(whole.bytes()));
        }
    }
    Ok(Read::Whole(share.keep(whole.bytes())))
}

/// Frames of a body, in one piece; not copied where there is but one.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
        } else {
            let first = std::mem::take(&mut self.first);
            self.all.extend_from_slice(&first);
            self.all.extend_from_slice(&data);
        }
    }

    fn bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}
