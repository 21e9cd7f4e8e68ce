//! The customer's endpoints, as the proxy asks for them.

use std::fmt;

use http::StatusCode;

use crate::api::customer::{Call, Customer, Refused};
use crate::proxy::{Own, OwnAnswer, OwnCall, OwnFault};

/// The customer's endpoints.
pub(super) struct OwnEndpoints {
    pub(super) customer: Customer,
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
            presented,
            gate,
            plans,
            tariff,
            top_up_url,
        } = call;
        let call = Call {
            request,
            presented,
            gate,
            plans,
            tariff,
            top_up_url,
        };
        Box::pin(async { self.customer.answer(call).await.map_err(fault) })
    }
}

fn fault(refused: Refused) -> OwnFault {
    match refused {
        Refused::Denied(denial) => OwnFault::Denied(denial),
        Refused::Problem(problem) => match (problem.status, problem.allow) {
            (_, Some(methods)) => OwnFault::OtherMethod(methods),
            (StatusCode::NOT_FOUND, None) => OwnFault::NotFound(problem.detail),
            _ => OwnFault::Invalid(problem.detail),
        },
    }
}
