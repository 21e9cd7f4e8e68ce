//! The customer's endpoints, as the proxy asks for them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};

use crate::api::customer::{Call, Customer};
use crate::config::Config;
use crate::domain::price::Quote;
use crate::proxy::{self, Own, OwnRequest};
use crate::service::denial::Denial;
use crate::service::tariff::{Tariff, Tariffed};

/// The customer's endpoints over the configuration of the moment.
pub(super) struct OwnEndpoints {
    pub(super) customer: Customer,
    pub(super) config: Arc<ArcSwap<Config>>,
}

impl fmt::Debug for OwnEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnEndpoints").finish_non_exhaustive()
    }
}

impl Own for OwnEndpoints {
    fn answer<'a>(
        &'a self,
        request: OwnRequest,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, Denial>> + Send + 'a>> {
        Box::pin(async move {
            let target = match &request.query {
                Some(query) => format!("{}?{query}", request.path),
                None => request.path.clone(),
            };
            let mut asked = Request::new(request.body);
            *asked.method_mut() = request.method;
            // It was taken apart from a valid target.
            *asked.uri_mut() = target.parse().unwrap_or_default();
            let presented = request.key.ok_or(Denial::InvalidKey)?;
            let tariff = Prices(self.config.load_full());
            let call = Call {
                request: asked,
                presented: &presented,
                gate: &request.gate,
                plans: &request.plans,
                tariff: &tariff,
            };
            self.customer.answer(call).await
        })
    }
}

/// The prices of a configuration.
struct Prices(Arc<Config>);

impl Tariff for Prices {
    fn routes(&self) -> Vec<Tariffed> {
        let routes = self.0.routes.iter();
        routes
            .map(|route| Tariffed {
                id: route.id.to_string(),
                pattern: route.pattern.to_string(),
                price: route.price.clone(),
            })
            .collect()
    }

    fn quote(&self, method: &str, path: &str, body: &[u8]) -> Result<(String, Quote), String> {
        proxy::quote(&self.0, method, path, body)
    }
}
