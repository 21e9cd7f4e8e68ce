//! What routes cost, as the customer's own endpoints show it.

use crate::domain::price::{Price, Quote};

/// One route with its price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tariffed {
    /// The route's id.
    pub id: String,
    /// Its pattern, `POST /v1/rerank`.
    pub pattern: String,
    /// What it costs.
    pub price: Price,
}

/// The prices of a configuration.
pub trait Tariff: Send + Sync {
    /// All routes, in the order of the configuration.
    fn routes(&self) -> Vec<Tariffed>;

    /// What a request would hold: the id of the route it falls on and the quote, or a sentence that says why there is none.
    fn quote(&self, method: &str, path: &str, body: &[u8]) -> Result<(String, Quote), String>;
}
