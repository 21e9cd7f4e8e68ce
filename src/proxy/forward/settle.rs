//! What an answer costs, and what passes of it.

use ::http::header::{CONNECTION, HeaderValue};
use ::http::response::Parts;
use ::http::{HeaderMap, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use serde_json::json;
use tokio::time::Instant;

use crate::domain::credits::Credits;
use crate::domain::price::Price;
use crate::http::headers::clean_response;
use crate::ledger::detail::Note;
use crate::meter::answer::Tally;
use crate::service::charge::Ending;

use super::super::body::ReplyBody;
use super::super::exchange::{Charge, Exchange};
use super::super::fault::{Fault, Rejected};
use super::super::live::Route;
use super::super::metering::End;
use super::super::outcome::Outcome;
use super::super::stage::{Payment, Reply};
use super::super::stall::Stall;
use super::super::{cors, reply};
use super::endpoint::Lease;
use super::tunnel;

/// Nothing is charged; why.
pub(super) fn released(route: &Route, cause: &str) -> Ending {
    Ending::Release(Note::by("proxy", cause).route(&route.id).detail())
}

/// The client left when the upstream had the request: its price is due, since the upstream works on it.
pub(super) fn abandoned(route: &Route, payment: &Payment) -> Ending {
    let held = payment.held.amount();
    match &payment.metered {
        None => Ending::Capture(held, route.charged.clone()),
        Some(metered) => {
            let due = metered.due(&Tally::default(), End::ClientGone, 0);
            Ending::Capture(due.amount.min(held), metered.detail(&route.id, &due))
        }
    }
}

/// An answer whose head has come.
pub(super) struct Answer<'a> {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) exchange: Box<Exchange>,
    pub(super) route: &'a Route,
    pub(super) payment: Payment,
}

/// What an answer costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cost {
    /// What its head says.
    ByHead,
    /// So much.
    Is(Credits),
    /// Nothing: the upstream says that it failed, whatever the status.
    Failed,
}

/// An answer that was charged for, and may be passed on.
pub(super) struct Charged {
    pub(super) head: Parts,
    pub(super) body: Incoming,
    pub(super) lease: Lease,
    pub(super) exchange: Box<Exchange>,
}

impl Answer<'_> {
    /// Charges for it by its head, and passes it on.
    pub(super) fn settle(self, end: Option<Instant>) -> Result<Reply, Rejected> {
        let route = self.route;
        let Charged {
            head,
            body,
            lease,
            exchange,
        } = self.fit()?.charge(Cost::ByHead);
        let stall = Stall::new(route.upstream.idle_timeout).until(end);
        Ok(Response::from_parts(
            head,
            ReplyBody::passed(body, stall, exchange, lease, None),
        ))
    }

    /// Charges for it.
    pub(super) fn charge(self, cost: Cost) -> Charged {
        let Answer {
            response,
            lease,
            mut exchange,
            route,
            payment: Payment { held, available, .. },
        } = self;
        let (mut head, body) = response.into_parts();
        let amount = held.amount();
        let refused_us = is_failure(head.status) || (route.price.is_used() && !head.status.is_success());
        let failed = refused_us || cost == Cost::Failed;
        let charged = match cost {
            _ if failed => Credits::ZERO,
            Cost::Is(amount) => amount,
            _ => price(route, &head.headers, amount, &exchange),
        };
        if failed {
            lease.meters().refused.one();
            exchange.charge = release(exchange.charge);
            held.settle(refused(route, head.status));
        } else {
            exchange.charge = Charge::Charged(charged);
            held.settle(Ending::Capture(charged, route.charged.clone()));
        }
        let remaining = available.saturating_add(amount).saturating_sub(charged);
        pass(&mut head, &mut exchange, route, remaining);
        Charged {
            head,
            body,
            lease,
            exchange,
        }
    }

    /// Charges for it if the upstream agreed to upgrade, and joins both ends.
    pub(super) fn settle_upgrade(self, client: OnUpgrade) -> Result<Reply, Rejected> {
        if self.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.decline();
        }
        let Answer {
            mut response,
            lease,
            mut exchange,
            route,
            payment: Payment { held, available, .. },
        } = self;
        let Some(upstream) = tunnel::agreed(&mut response) else {
            exchange.charge = release(exchange.charge);
            held.settle(released(route, Fault::UpstreamBroken.code().as_str()));
            return Err(exchange.reject(Fault::UpstreamBroken));
        };
        if !exchange.in_flight.open_upgrade_gate() {
            exchange.charge = release(exchange.charge);
            held.settle(released(route, "not_forwarded"));
            let what = "the client sent more before the upgrade was answered, or asked for it with a body";
            return Err(exchange.reject(Fault::Unreadable(what.into())));
        }
        let amount = held.amount();
        exchange.charge = Charge::Charged(amount);
        held.settle(Ending::Capture(amount, route.charged.clone()));
        let (mut head, _) = response.into_parts();
        pass(&mut head, &mut exchange, route, available);
        tunnel::ask(&mut head.headers);
        tunnel::begin(client, upstream, lease, exchange, route.upstream.idle_timeout);
        Ok(Response::from_parts(head, ReplyBody::empty()))
    }

    /// The upstream answers otherwise: that is passed on, and costs nothing.
    fn decline(self) -> Result<Reply, Rejected> {
        let Answer {
            response,
            lease,
            mut exchange,
            route,
            payment: Payment { held, available, .. },
        } = self.fit()?;
        let (mut head, body) = response.into_parts();
        let amount = held.amount();
        exchange.charge = release(exchange.charge);
        held.settle(refused(route, head.status));
        pass(&mut head, &mut exchange, route, available.saturating_add(amount));
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let stall = Stall::new(route.upstream.idle_timeout);
        Ok(Response::from_parts(
            head,
            ReplyBody::passed(body, stall, exchange, lease, None),
        ))
    }

    /// Keeps back what is not for the client.
    pub(super) fn fit(mut self) -> Result<Self, Rejected> {
        let fault = match self.response.status() {
            // It is the operator's credential that was refused, and the upstream's answer may repeat it.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::UpstreamRefused,
            // Nobody asked for it.
            StatusCode::SWITCHING_PROTOCOLS => Fault::UpstreamBroken,
            _ => return Ok(self),
        };
        self.lease.meters().refused.one();
        self.exchange.charge = release(self.exchange.charge);
        self.payment
            .held
            .settle(released(self.route, fault.code().as_str()));
        Err(self.exchange.reject(fault))
    }
}

/// The upstream refused, with this status.
fn refused(route: &Route, status: StatusCode) -> Ending {
    let note = Note::by("proxy", "upstream_error").route(&route.id);
    Ending::Release(note.usage(json!({ "status": status.as_u16() })).detail())
}

/// Leaves of an answer's head what is for the client, and adds what the gate has to say.
pub(super) fn pass(head: &mut Parts, exchange: &mut Exchange, route: &Route, remaining: Credits) {
    clean_response(&mut head.headers, &route.upstream.response_rules);
    reply::say(
        &mut head.headers,
        exchange,
        (route.price != Price::Free).then_some(remaining),
    );
    if let Some(allow) = &exchange.allow_origin {
        cors::say(&mut head.headers, allow);
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    exchange.status = Some(head.status);
    exchange.outcome = if is_failure(head.status) {
        Outcome::UpstreamError
    } else {
        Outcome::Ok
    };
}

/// Whether an upstream says with this status that it did not do what was asked; also with one that there is not.
fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 400
}

fn release(charge: Charge) -> Charge {
    if charge == Charge::None {
        Charge::None
    } else {
        Charge::Released
    }
}

/// What a success costs. A price that the upstream reports counts up to what is held; one that is not there, not one, or not readable costs all of it.
fn price(route: &Route, headers: &HeaderMap, held: Credits, exchange: &Exchange) -> Credits {
    let Some(header) = &route.cost_header else {
        return held;
    };
    let mut said = headers.get_all(header).iter();
    let first = said
        .next()
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<Credits>().ok());
    match (first, said.next()) {
        (Some(amount), None) if !amount.is_negative() && amount <= held => amount,
        (said, again) => {
            let meters = &exchange.worker.meters;
            meters.reports_corrected.one();
            meters.unpaid(said.unwrap_or(held), held);
            tracing::warn!(route = %route.id, request = %exchange.request, ?said, twice = again.is_some(), "the upstream's price was replaced by the hold");
            held
        }
    }
}
