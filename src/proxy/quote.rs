//! Says what a request may cost, before anything is paid.

mod tokens;
pub(super) mod units;

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::price::{Price, Quote};

use super::fault::{Fault, Rejected};
use super::live::{Live, Route};
use super::metering::Metered;
use super::once;
use super::stage::{Identified, Quoted, Routed};
use super::stall::Stall;
use super::upload::Upload;

/// Bodies longer than this are looked at on a thread of their own: it takes longer than others should wait.
const LONG: usize = 512 * 1024;

/// Does something that takes long on a thread that nobody waits on; none where the runtime ends, or it panicked.
async fn apart<T: Send + 'static>(long: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(long).await.ok()
}

/// What a request with this body would hold, or a sentence that says why there is no price.
pub(super) async fn of(live: &Arc<Live>, route: &Arc<Route>, body: Bytes) -> Result<Quote, String> {
    if let Some(metering) = &route.metering {
        let metered = tokens::metered(live, route, metering, body).await;
        return Ok(metered.map_err(|unpriced| unpriced.to_string())?.quote);
    }
    let units = match &route.price {
        Price::Each { times, .. } => units::counted(body, times).await?,
        _ => 1,
    };
    route.price.quote(units).map_err(|error| error.to_string())
}

/// What was found out.
struct Asked {
    upload: Upload,
    quote: Quote,
    metered: Option<Box<Metered>>,
}

/// [`Identified`] → [`Quoted`].
pub(super) async fn quote(mut identified: Identified) -> Result<Quoted, Rejected> {
    if once::is_claiming(&identified.routed)
        && let Err(fault) = Box::pin(once::claim(&mut identified.routed)).await
    {
        return Err(identified.routed.exchange.reject(fault));
    }
    match ask(&mut identified.routed).await {
        Ok(asked) => Ok(identified.quoted(asked.upload, asked.quote, asked.metered)),
        Err(fault) => Err(identified.routed.exchange.reject(fault)),
    }
}

async fn ask(routed: &mut Routed) -> Result<Asked, Fault> {
    let body = routed.body.take();
    if let Some(metering) = &routed.route.metering {
        let metered = Box::pin(tokens::read(routed, body, metering)).await?;
        routed.exchange.fare = Some(metered.fare);
        return Ok(Asked {
            // What is sent is known when it is known what is held.
            upload: Upload::whole(Bytes::new()),
            quote: metered.quote,
            metered: Some(metered),
        });
    }
    let (upload, units) = match &routed.route.price {
        Price::Each { times, .. } => Box::pin(units::read(routed, body, times)).await?,
        _ => {
            let stall = Stall::new(routed.exchange.live.body_timeout);
            let upload = Upload::stream(body, routed.route.body_max, stall);
            upload.passes().map_err(Fault::BodyTooLarge)?;
            (upload, 1)
        }
    };
    let quote = routed.route.price.quote(units);
    Ok(Asked {
        upload,
        quote: quote.map_err(|dear| Fault::Unreadable(dear.to_string().into()))?,
        metered: None,
    })
}
