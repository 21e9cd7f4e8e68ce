//! The pipeline, outermost first. What a request must pass to reach the upstream stands on this page.

use tower::{ServiceBuilder, service_fn};

use super::charge::charge;
use super::fault::Rejected;
use super::forward::forward;
use super::identify::identify;
use super::quote::quote;
use super::route::route;
use super::stage::{Received, Reply, Whole};
use super::{cors, own, panics, rescue};

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
        // Boxed: a connection keeps the room for a request's future while it is idle and while an answer streams.
        .service(service_fn(|received| Box::pin(way(received))))
}

/// The way to the upstream. Each stage takes what only the one before it makes, so none can be left out.
async fn way(received: Received) -> Result<Reply, Rejected> {
    // The head has one reading, and a route.
    let routed = route(received)?;
    // The key counts, the account is not paused.
    let identified = identify(routed).await?;
    // What it may cost is known; reads the body where the price is in it.
    let quoted = quote(identified).await?;
    // The one trip to the ledger.
    let paid = charge(quoted).await?;
    // The upstream's answer, settled.
    forward(paid).await
}
