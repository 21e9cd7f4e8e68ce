//! What an answer costs, and what passes of it.

use ::http::{HeaderMap, Response, StatusCode, Version};
use hyper::body::Incoming;
use serde_json::json;
use tokio::time::Instant;

use crate::domain::credits::Credits;
use crate::domain::price::Price;
use crate::http::headers::clean_response;
use crate::ledger::detail::Note;
use crate::service::charge::{Ending, Held};

use super::super::body::ReplyBody;
use super::super::exchange::{Charge, Exchange};
use super::super::fault::{Fault, Rejected};
use super::super::live::Route;
use super::super::outcome::Outcome;
use super::super::stage::Reply;
use super::super::stall::Stall;
use super::super::{cors, reply};
use super::endpoint::Lease;

/// Nothing is charged; why.
pub(super) fn released(route: &Route, cause: &str) -> Ending {
    Ending::Release(Note::by("proxy", cause).route(&route.id).detail())
}

/// The client left when the upstream had the request: its price is due, since the upstream works on it.
pub(super) fn abandoned(route: &Route, held: Credits) -> Ending {
    Ending::Capture(held, route.detail.clone())
}

/// Charges for an answer by its head, and passes it on.
pub(super) fn answer(
    response: Response<Incoming>,
    lease: Lease,
    mut exchange: Box<Exchange>,
    route: &Route,
    held: Held,
    available: Credits,
    end: Option<Instant>,
) -> Result<Reply, Rejected> {
    let (mut head, body) = response.into_parts();
    if let Some(fault) = unfit(head.status) {
        lease.meters().refused.one();
        exchange.charge = release(exchange.charge);
        held.settle(released(route, fault.code().as_str()));
        return Err(exchange.reject(fault));
    }
    let amount = held.amount();
    let failed = head.status.is_client_error() || head.status.is_server_error();
    let charged = if failed {
        Credits::ZERO
    } else {
        price(route, &head.headers, amount, &exchange)
    };
    if failed {
        lease.meters().refused.one();
        exchange.charge = release(exchange.charge);
        held.settle(Ending::Release(
            Note::by("proxy", "upstream_error")
                .route(&route.id)
                .usage(json!({ "status": head.status.as_u16() }))
                .detail(),
        ));
    } else {
        exchange.charge = Charge::Charged(charged);
        held.settle(Ending::Capture(charged, route.detail.clone()));
    }
    clean_response(&mut head.headers, &route.upstream.response_rules);
    let remaining =
        (route.price != Price::Free).then(|| available.saturating_add(amount).saturating_sub(charged));
    reply::say(&mut head.headers, &exchange, remaining);
    if let Some(allow) = &exchange.allow_origin {
        cors::say(&mut head.headers, allow);
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    exchange.status = Some(head.status);
    exchange.outcome = if failed {
        Outcome::UpstreamError
    } else {
        Outcome::Ok
    };
    let stall = Stall::new(route.upstream.idle_timeout).until(end);
    Ok(Response::from_parts(
        head,
        ReplyBody::passed(body, stall, exchange, lease),
    ))
}

fn release(charge: Charge) -> Charge {
    if charge == Charge::None {
        Charge::None
    } else {
        Charge::Released
    }
}

/// Answers that are not for the client.
fn unfit(status: StatusCode) -> Option<Fault> {
    match status {
        // It is the operator's credential that was refused, and the upstream's answer may repeat it.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(Fault::UpstreamRefused),
        // Nobody asked for it.
        StatusCode::SWITCHING_PROTOCOLS => Some(Fault::UpstreamBroken),
        _ => None,
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
            exchange.worker.meters.reports_corrected.one();
            tracing::warn!(route = %route.id, request = %exchange.request, ?said, twice = again.is_some(), "the upstream's price was replaced by the hold");
            held
        }
    }
}
