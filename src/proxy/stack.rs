//! The pipeline, outermost first. What a request must pass to reach the upstream stands on this page.

use tower::{ServiceBuilder, service_fn};

use super::stage::Whole;
use super::{charge, cors, forward, identify, own, panics, quote, rescue, route};

/// All of it.
pub(super) fn stack() -> impl Whole {
    ServiceBuilder::new()
        // A panic in one request stays in it: 500.
        .layer_fn(panics::layer)
        // Errors become answers; here, and nowhere else.
        .layer_fn(rescue::layer)
        // `/faregate/`: the customer's own endpoints.
        .layer_fn(own::layer)
        // Browsers asking whether they may ask.
        .layer_fn(cors::layer)
        // Received -> Routed: the head has one reading, and a route.
        .layer_fn(route::layer)
        // Routed -> Identified: the key counts, the account is not paused.
        .layer_fn(identify::layer)
        // Identified -> Quoted: what it may cost is known; reads the body where the price is in it.
        .layer_fn(quote::layer)
        // Quoted -> Paid: the one trip to the ledger.
        .layer_fn(charge::layer)
        // Paid -> the upstream's answer, settled.
        .service(service_fn(forward::forward))
}
