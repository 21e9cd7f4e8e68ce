//! Holds the credits. What comes out of here is paid for.

use std::sync::Arc;

use crate::domain::credits::Credits;
use crate::domain::price::Price;
use crate::service::gate::Ask;

use super::exchange::Charge;
use super::fault::{Fault, Rejected};
use super::stage::{Paid, Quoted};

/// [`Quoted`] → [`Paid`].
pub(super) async fn charge(mut quoted: Quoted) -> Result<Paid, Rejected> {
    let ask = Ask {
        request: quoted.exchange.request,
        route: &quoted.route.id,
        model: quoted.metered.as_ref().map(|metered| &*metered.name),
        quote: quoted.quote,
        claim: quoted.exchange.claim,
        detail: quoted.route.detail.clone(),
        patience: quoted.exchange.patience,
    };
    let known = Arc::clone(quoted.known());
    match quoted.exchange.worker.gate.admit(known, ask).await {
        Ok(admission) => {
            // The gate names a request anew when the proxy's clock was far off the ledger's.
            quoted.exchange.request = admission.held.request();
            if quoted.route.price != Price::Free {
                quoted.exchange.left = Some(admission.available.saturating_add(admission.held.amount()));
            }
            quoted.exchange.charge = match admission.held.amount() {
                Credits::ZERO => Charge::None,
                amount => Charge::Held(amount),
            };
            if let Some(metered) = &mut quoted.metered {
                quoted.request.upload = metered.upload(admission.held.amount());
            }
            Ok(quoted.paid(admission.held, admission.available))
        }
        Err(denial) => Err(quoted.exchange.reject(Fault::Denied(denial))),
    }
}
