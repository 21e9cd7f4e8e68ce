//! Reads the head in the one way it can be read, and finds the route.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;

use crate::http::headers::clean_request;
use crate::http::pattern::Lookup;
use crate::http::target::Target;

use super::cors;
use super::exchange::Exchange;
use super::fault::{Fault, Rejected};
use super::forward;
use super::live::Route;
use super::stage::{Received, Routed};

/// [`Received`] → [`Routed`].
pub(super) fn route(received: Received) -> Result<Routed, Rejected> {
    let Received { mut exchange, body } = received;
    let Exchange { head, live, .. } = &mut *exchange;
    match read(head, live) {
        Ok((target, route, accepts_trailers)) => {
            let upgrade = head.extensions.remove::<OnUpgrade>().filter(|_| route.upgrade);
            exchange.accepts_trailers = accepts_trailers;
            exchange.allow_origin = cors::allowed(&exchange.head.headers, &route);
            exchange.route = Some(Arc::clone(&route));
            Ok(Routed {
                exchange,
                body: Some(body),
                target,
                route,
                upgrade,
            })
        }
        Err(fault) => Err(exchange.reject(fault)),
    }
}

/// What is served, and whether the client reads trailers.
type Read = (::http::uri::PathAndQuery, Arc<Route>, bool);

fn read(head: &mut ::http::request::Parts, live: &super::live::Live) -> Result<Read, Fault> {
    let facts = clean_request(head, &live.request_rules).map_err(Fault::Header)?;
    let target = Target::read(&head.method, &head.uri).map_err(Fault::Target)?;
    let route = match live.routes.find(head.method.as_str(), target.path()) {
        Lookup::Found(_, route) => Arc::clone(route),
        Lookup::OtherMethods(methods) => return Err(Fault::MethodNotAllowed(methods.join(", "))),
        Lookup::Lookalike(_) | Lookup::Unknown => return Err(Fault::RouteNotFound),
    };
    match &facts.upgrade {
        Some(protocol) if route.upgrade && forward::is_carried(protocol) => {}
        Some(_) => return Err(Fault::UpgradeRefused),
        None if route.upgrade => return Err(Fault::UpgradeRequired),
        None => {}
    }
    Ok((target.into_path_and_query(), route, facts.accepts_trailers))
}
