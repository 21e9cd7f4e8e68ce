//! What routes cost, as the customer's own endpoints show it.

use serde_json::{Value, json};

use crate::domain::credits::Credits;
use crate::domain::price::{Price, Quote};

/// A price as customers and the journal are told of it.
pub fn told(price: &Price) -> Value {
    match price {
        Price::Free => json!({ "per_request": Credits::ZERO.to_string() }),
        Price::Fixed(amount) => json!({ "per_request": amount.to_string() }),
        Price::Each { each, times } => json!({ "each": each.to_string(), "times": times }),
        Price::Reported { hold, .. } => json!({ "as_reported_up_to": hold.to_string() }),
    }
}

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
