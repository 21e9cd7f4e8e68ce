//! The customer's endpoints, as the proxy asks for them.

use std::fmt;

use crate::api::customer::{Call, Customer};
use crate::proxy::{Own, OwnAnswer, OwnCall};

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
        } = call;
        let call = Call {
            request,
            presented,
            gate,
            plans,
            tariff,
        };
        Box::pin(self.customer.answer(call))
    }
}
