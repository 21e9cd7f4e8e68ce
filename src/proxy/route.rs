//! Reads the head in the one way it can be read, and finds the route.

use std::sync::Arc;

use tower::{ServiceExt, service_fn};

use crate::http::headers::clean_request;
use crate::http::pattern::Lookup;
use crate::http::target::Target;

use super::cors;
use super::fault::Fault;
use super::live::Route;
use super::stage::{Received, Routed, Step};

/// [`Received`] → [`Routed`].
pub(super) fn layer<S: Step<Routed>>(inner: S) -> impl Step<Received> {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move { inner.oneshot(route(received)?).await }
    })
}

fn route(received: Received) -> Result<Routed, super::fault::Rejected> {
    let Received {
        mut exchange,
        mut head,
        body,
    } = received;
    match read(&mut head, &exchange.live) {
        Ok((target, route)) => {
            exchange.allow_origin = cors::allowed(&head.headers, &route);
            exchange.route = Some(Arc::clone(&route));
            Ok(Routed {
                exchange,
                head,
                body: Some(body),
                target,
                route,
            })
        }
        Err(fault) => Err(exchange.reject(fault)),
    }
}

type Read = (::http::uri::PathAndQuery, Arc<Route>);

fn read(head: &mut ::http::request::Parts, live: &super::live::Live) -> Result<Read, Fault> {
    let facts = clean_request(head, &live.request_rules).map_err(Fault::Header)?;
    let target = Target::read(&head.method, &head.uri).map_err(Fault::Target)?;
    let route = match live.routes.find(head.method.as_str(), target.path()) {
        Lookup::Found(_, route) => Arc::clone(route),
        Lookup::OtherMethods(methods) => return Err(Fault::MethodNotAllowed(methods.join(", "))),
        Lookup::Lookalike(_) | Lookup::Unknown => return Err(Fault::RouteNotFound),
    };
    if facts.upgrade.is_some() {
        return Err(Fault::UpgradeRefused);
    }
    if route.upgrade {
        return Err(Fault::UpgradeRequired);
    }
    Ok((target.into_path_and_query(), route))
}
