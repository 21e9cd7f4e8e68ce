//! One request and its answer, from the first byte of the head to the last byte of the body: what is known of it, for its log line and its
//! metrics. It travels with the request through the stages, comes back with an error, and goes on with the answer's body. Whatever ends it, its
//! drop writes the one line, so that each request has exactly one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::request::Parts;
use ::http::{HeaderValue, StatusCode};

use crate::domain::claim::Claim;
use crate::domain::credits::Credits;
use crate::domain::ids::HoldId;
use crate::domain::model::Fare;
use crate::http::body::Share;
use crate::service::gate::{Known, Patience};
use crate::telemetry::access::Line;

use super::listener::InFlight;
use super::live::{Live, Route};
use super::outcome::Outcome;
use super::worker::Worker;

/// What a request was charged, as far as it is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Charge {
    /// Nothing was asked of the ledger, or it said no.
    #[default]
    None,
    /// Set aside.
    Held(Credits),
    /// Taken; zero on a free route.
    Charged(Credits),
    /// Given back.
    Released,
}

/// See the module.
pub(super) struct Exchange {
    pub(super) worker: Arc<Worker>,
    /// The configuration that this request began under, and keeps: a reload changes no price of a request that is under way.
    pub(super) live: Arc<Live>,
    pub(super) request: HoldId,
    /// The request's head: here, since it is large, and moved from stage to stage with everything else.
    pub(super) head: Parts,
    pub(super) route: Option<Arc<Route>>,
    pub(super) known: Option<Arc<Known>>,
    pub(super) patience: Patience,
    /// The idempotency key it comes under.
    pub(super) claim: Option<Claim>,
    pub(super) charge: Charge,
    /// What the account has if the hold is given back; known once there is one.
    pub(super) left: Option<Credits>,
    pub(super) outcome: Outcome,
    pub(super) status: Option<StatusCode>,
    pub(super) upstream: Option<Arc<str>>,
    /// What its tokens cost, where it is priced by them.
    pub(super) fare: Option<Fare>,
    /// The client reads trailers.
    pub(super) accepts_trailers: bool,
    /// What the answer says to the page that asked.
    pub(super) allow_origin: Option<HeaderValue>,
    pub(super) started: Instant,
    pub(super) first_byte: Option<Duration>,
    /// Which retry it is, as its client counts.
    retry: Option<u16>,
    /// Bytes of the answer's body.
    pub(super) sent: u64,
    pub(super) in_flight: InFlight,
}

/// Which retry this is by the count of OpenAI's and Anthropic's SDKs. It is told for people; nothing is decided by it, since each of them counts from its own
/// beginning.
fn retry(head: &Parts) -> Option<u16> {
    let said = head.headers.get("x-stainless-retry-count")?.to_str().ok()?;
    said.parse().ok().filter(|count| *count > 0)
}

impl Exchange {
    /// A request has come in.
    pub(super) fn begin(worker: &Arc<Worker>, in_flight: InFlight, head: Parts) -> Box<Exchange> {
        worker.meters.requests_under_way.up();
        Box::new(Exchange {
            request: worker.gate.request_id(),
            live: worker.live(),
            retry: retry(&head),
            head,
            route: None,
            known: None,
            patience: worker.gate.patience(),
            worker: Arc::clone(worker),
            claim: None,
            charge: Charge::None,
            left: None,
            outcome: Outcome::ClientGone,
            status: None,
            upstream: None,
            fare: None,
            accepts_trailers: false,
            allow_origin: None,
            started: Instant::now(),
            first_byte: None,
            sent: 0,
            in_flight,
        })
    }
}

impl Exchange {
    /// For its body, where that is read whole. Who it is for is known: its account has a part of the room and no more.
    pub(super) fn body_share(&self) -> Share {
        self.worker.room.share_of(self.account())
    }

    /// The same for its answer.
    pub(super) fn answer_share(&self) -> Share {
        self.worker.answers_room.share_of(self.account())
    }

    fn account(&self) -> &str {
        let known = self.known.as_ref();
        known.map_or("", |known| known.caller().account.as_str())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.outcome = Outcome::INTERNAL;
            self.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let took = self.started.elapsed();
        let meters = &self.worker.meters;
        let unanswered = self.status.is_none() && self.outcome == Outcome::ClientGone;
        if unanswered && self.in_flight.left_unanswered(took) {
            meters.turned_away.one();
        }
        meters.requests_under_way.down();
        let route = self
            .route
            .as_ref()
            .map_or(&meters.unrouted, |route| &route.meters);
        route.finished(self.outcome.index(), took, self.first_byte);
        let caller = self.known.as_ref().map(|known| known.caller());
        self.worker.log.write(&Line {
            time: self.worker.clock.now(),
            request: self.request,
            method: self.head.method.as_str(),
            route: self.route.as_ref().map(|route| &*route.id),
            status: self.status.map(|status| status.as_u16()),
            outcome: self.outcome.as_str(),
            charged: match self.charge {
                Charge::Charged(amount) => Some(amount),
                _ => None,
            },
            account: caller.map(|caller| caller.account.as_str()),
            key: caller.map(|caller| caller.key.as_str()),
            upstream: self.upstream.as_deref(),
            retry: self.retry,
            sent: self.sent,
            first_byte: self.first_byte,
            took,
        });
    }
}
