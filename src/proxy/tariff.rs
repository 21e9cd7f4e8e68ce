//! What a request would hold, without sending it: for the customer's `quote`.

use ::http::{Method, Uri};

use crate::config::{Config, Route};
use crate::domain::price::{Price, Quote};
use crate::http::pattern::{Lookup, Matcher};
use crate::http::target::Target;

use super::quote::units;

/// The id of the route that a request falls on, and its quote; or a sentence that says why there is none. Reads method, path and body as the pipeline does.
pub fn quote(config: &Config, method: &str, path: &str, body: &[u8]) -> Result<(String, Quote), String> {
    let method: Method = method
        .parse()
        .map_err(|_| format!("{method:?} is not a method"))?;
    let uri: Uri = path.parse().map_err(|_| format!("{path:?} is not a path"))?;
    let target = Target::read(&method, &uri).map_err(|error| error.to_string())?;
    let routes = config.routes.iter().map(|route| (route.pattern.clone(), route));
    let routes: Matcher<&std::sync::Arc<Route>> =
        Matcher::new(routes).map_err(|conflict| conflict.to_string())?;
    let Lookup::Found(_, route) = routes.find(method.as_str(), target.path()) else {
        return Err(format!("no route takes {method} {}", target.path()));
    };
    let units = match &route.price {
        Price::Each { times, .. } => units::count(body, times)?,
        Price::Free | Price::Fixed(_) | Price::Reported { .. } => 1,
    };
    let quote = route.price.quote(units).map_err(|dear| dear.to_string())?;
    Ok((route.id.to_string(), quote))
}
