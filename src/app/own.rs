//! The endpoints below `/faregate/`, as the proxy asks for them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::runtime::Handle;

use crate::api::customer::{Call, Customer, Refused};
use crate::api::webhook::{NotTaken, Webhook};
use crate::ledger::LedgerError;
use crate::proxy::{Own, OwnAnswer, OwnCall, OwnFault};
use crate::service::denial::Denial;

/// The customer's endpoints, and Stripe's.
pub(super) struct OwnEndpoints {
    pub(super) customer: Customer,
    /// Where Stripe's events are dealt with; `None` without `[stripe]`.
    pub(super) webhook: Option<Arc<Webhook>>,
    /// The runtime they are dealt with in: not one of those that serve requests, and not one that ends with a connection.
    pub(super) aside: Handle,
}

impl fmt::Debug for OwnEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnEndpoints").finish_non_exhaustive()
    }
}

impl Own for OwnEndpoints {
    fn answer<'a>(&'a self, call: OwnCall<'a>) -> OwnAnswer<'a> {
        let OwnCall {
            request,
            id,
            presented,
            gate,
            plans,
            tariff,
            top_up_url,
        } = call;
        let call = Call {
            request,
            id,
            presented,
            gate,
            plans,
            tariff,
            top_up_url,
        };
        Box::pin(async { self.customer.answer(call).await.map_err(fault) })
    }

    fn webhook<'a>(&'a self, signature: &'a [u8], body: Bytes) -> OwnAnswer<'a> {
        Box::pin(async move {
            let Some(webhook) = &self.webhook else {
                return Err(OwnFault::NotFound(
                    "there is no [stripe] in the configuration".to_owned(),
                ));
            };
            let event = webhook.believe(signature, &body).map_err(not_taken)?;
            let webhook = Arc::clone(webhook);
            let taking = self.aside.spawn(async move { webhook.take(&event, &body).await });
            let taken = taking
                .await
                .unwrap_or_else(|error| Err(NotTaken::Failed(LedgerError::Unavailable(error.to_string()))));
            taken.map_err(not_taken)
        })
    }
}

fn not_taken(why: NotTaken) -> OwnFault {
    match why {
        NotTaken::Refused(why) => OwnFault::Invalid(why),
        NotTaken::Busy => OwnFault::Denied(Denial::Overloaded),
        NotTaken::Failed(error) => OwnFault::Denied(Denial::Failed(error)),
    }
}

fn fault(refused: Refused) -> OwnFault {
    match refused {
        Refused::Denied(denial) => OwnFault::Denied(denial),
        Refused::Problem(problem) => match (problem.status, problem.allow) {
            (_, Some(methods)) => OwnFault::OtherMethod(methods),
            (StatusCode::BAD_GATEWAY, None) => OwnFault::PaymentsRefused,
            (StatusCode::SERVICE_UNAVAILABLE, None) => OwnFault::PaymentsUnavailable,
            (StatusCode::NOT_FOUND, None) => OwnFault::NotFound(problem.detail),
            _ => OwnFault::Invalid(problem.detail),
        },
    }
}
