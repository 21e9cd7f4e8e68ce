//! To the upstream and back. Only what is [`Paid`] comes here.

mod connect;
mod early;
mod endpoint;
mod listing;
mod measured;
mod metered;
mod outbound;
mod send;
mod settle;
mod tls;
mod tunnel;
mod upstream;
mod whole;

use std::sync::Arc;

use tokio::time::Instant;

use super::exchange::{Charge, Exchange};
use super::fault::Rejected;
use super::outlive;
use super::stage::{Paid, Reply};
use outbound::{Message, Way};
use send::Call;
use settle::Answer;

pub(super) use endpoint::Lease;
pub(super) use tunnel::is_carried;
pub(super) use upstream::{Setup, Upstream, UpstreamError};

/// [`Paid`] → the upstream's answer, charged for.
pub(super) async fn forward(paid: Paid) -> Result<Reply, Rejected> {
    if paid.route.outlives_its_client() {
        let worker = Arc::clone(&paid.exchange.worker);
        Box::pin(outlive::run(&worker, exchange(paid))).await
    } else {
        exchange(paid).await
    }
}

async fn exchange(paid: Paid) -> Result<Reply, Rejected> {
    let (mut exchange, mut request, route, mut payment) = paid.into_parts();
    let upstream = &route.upstream;
    exchange.upstream = Some(Arc::clone(&upstream.name));
    let upgrade = request.upgrade.take();
    let end = upstream
        .total_timeout
        .filter(|_| upgrade.is_none())
        .map(|total| Instant::now() + total);
    let Exchange { head, live, .. } = &mut *exchange;
    let way = match &upgrade {
        Some(_) => Way::Upgrade,
        None if payment.metered.is_some() || route.reads_answers() => Way::Read,
        None => Way::Plain,
    };
    let message = Message::new(head, request, live, upstream, way);
    let call = Call {
        upstream,
        route: &route,
        end,
        upgrade: upgrade.is_some(),
    };
    match call.send(message, &mut payment).await {
        Ok((response, lease)) => {
            exchange.first_byte = Some(exchange.started.elapsed());
            let answer = Answer {
                response,
                lease,
                exchange,
                route: &route,
                payment,
            };
            match upgrade {
                None if answer.is_metered() => Box::pin(answer.settle_metered(end)).await,
                None if answer.is_listing() => Box::pin(answer.settle_listing(end)).await,
                None if answer.is_measured() => Box::pin(answer.settle_measured(end)).await,
                None => answer.settle(end),
                Some(client) => answer.settle_upgrade(client),
            }
        }
        Err(fault) => {
            if exchange.charge != Charge::None {
                exchange.charge = Charge::Released;
            }
            payment
                .held
                .settle(settle::released(&route, fault.code().as_str()));
            Err(exchange.reject(fault))
        }
    }
}
