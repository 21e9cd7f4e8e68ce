//! To the upstream and back. Only what is [`Paid`] comes here.

mod connect;
mod endpoint;
mod outbound;
mod send;
mod settle;
mod tls;
mod upstream;

use std::sync::Arc;

use tokio::time::Instant;

use super::exchange::Charge;
use super::fault::Rejected;
use super::outlive;
use super::stage::{Paid, Reply};
use send::Call;

pub(super) use endpoint::Lease;
pub(super) use upstream::{Setup, Upstream, UpstreamError};

/// [`Paid`] → the upstream's answer, charged for.
pub(super) async fn forward(paid: Paid) -> Result<Reply, Rejected> {
    if paid.route.outlives_its_client() {
        let worker = Arc::clone(&paid.exchange.worker);
        outlive::run(&worker, exchange(paid)).await
    } else {
        exchange(paid).await
    }
}

async fn exchange(paid: Paid) -> Result<Reply, Rejected> {
    let (mut exchange, request, route, mut held, available) = paid.into_parts();
    let upstream = &route.upstream;
    exchange.upstream = Some(Arc::clone(&upstream.name));
    let end = upstream.total_timeout.map(|total| Instant::now() + total);
    let call = Call {
        upstream,
        route: &route,
        live: &exchange.live,
        end,
    };
    match call.send(request, &mut held).await {
        Ok((response, lease)) => {
            exchange.first_byte = Some(exchange.started.elapsed());
            settle::answer(response, lease, exchange, &route, held, available, end)
        }
        Err(fault) => {
            if exchange.charge != Charge::None {
                exchange.charge = Charge::Released;
            }
            held.settle(settle::released(&route, fault.code().as_str()));
            Err(exchange.reject(fault))
        }
    }
}
