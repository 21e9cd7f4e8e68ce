//! Says what a request may cost, before anything is paid.

mod tokens;
pub(super) mod units;

use crate::domain::price::{Price, Quote};

use super::fault::{Fault, Rejected};
use super::metering::Metered;
use super::once;
use super::stage::{Identified, Quoted, Routed};
use super::stall::Stall;
use super::upload::Upload;

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
            upload: Upload::whole(bytes::Bytes::new()),
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
