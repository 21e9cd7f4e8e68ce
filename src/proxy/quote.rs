//! Says what a request may cost, before anything is paid.

pub(super) mod units;

use crate::domain::price::Price;

use super::fault::{Fault, Rejected};
use super::once;
use super::stage::{Identified, Quoted};
use super::stall::Stall;
use super::upload::Upload;

/// [`Identified`] → [`Quoted`].
pub(super) async fn quote(mut identified: Identified) -> Result<Quoted, Rejected> {
    if once::is_claiming(&identified.routed)
        && let Err(fault) = Box::pin(once::claim(&mut identified.routed)).await
    {
        return Err(identified.routed.exchange.reject(fault));
    }
    let routed = &mut identified.routed;
    let body = routed.body.take();
    let read = match &routed.route.price {
        Price::Each { times, .. } => Box::pin(units::read(routed, body, times)).await,
        Price::Free | Price::Fixed(_) | Price::Reported { .. } => {
            let stall = Stall::new(routed.exchange.live.body_timeout);
            let upload = Upload::stream(body, routed.route.body_max, stall);
            upload.passes().map_err(Fault::BodyTooLarge).map(|()| (upload, 1))
        }
    };
    let quoted = read.and_then(|(upload, units)| {
        let quote = routed.route.price.quote(units);
        quote
            .map(|quote| (upload, quote))
            .map_err(|dear| Fault::Unreadable(dear.to_string().into()))
    });
    match quoted {
        Ok((upload, quote)) => Ok(identified.quoted(upload, quote)),
        Err(fault) => Err(identified.routed.exchange.reject(fault)),
    }
}
