//! What routes cost, as the customer's own endpoints show it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::domain::credits::Credits;
use crate::domain::model::{Model, NamePattern};
use crate::domain::price::{Price, Quote};
use crate::domain::usage::{Class, RATED, Rates};

/// A price as customers and the journal are told of it.
pub fn told(price: &Price) -> Value {
    match price {
        Price::Free => json!({ "per_request": Credits::ZERO.to_string() }),
        Price::Fixed(amount) => json!({ "per_request": amount.to_string() }),
        Price::Each { each, times } => json!({ "each": each.to_string(), "times": times }),
        Price::Measured { each, reported, hold } => {
            json!({ "each": each.to_string(), "reported": reported, "up_to": hold.to_string() })
        }
        Price::Tokens(_) => json!({ "tokens": "as the model is priced" }),
        Price::Reported { hold, .. } => json!({ "as_reported_up_to": hold.to_string() }),
    }
}

/// A model's rates as customers and the journal are told of them: credits for so many tokens, of those kinds that are `shown`.
pub fn told_of(rates: &Rates, shown: impl Fn(Class) -> bool) -> Value {
    let classes = Class::ALL.into_iter().filter(|class| shown(*class));
    let mut told: Map<String, Value> = classes
        .map(|class| {
            let rate = rates.get(class).to_string();
            (class.as_str().to_owned(), rate.into())
        })
        .collect();
    told.insert("tokens".to_owned(), RATED.into());
    Value::Object(told)
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

    /// All models, each with the names it goes by, in the order of the configuration.
    fn models(&self) -> &[(Vec<NamePattern>, Arc<Model>)];

    /// What a request would hold: the id of the route it falls on and the quote, or a sentence that says why there is none.
    fn quote<'a>(&'a self, method: &'a str, path: &'a str, body: Bytes) -> Quoting<'a>;
}

/// A quote to come: a body may take a while to read.
pub type Quoting<'a> = Pin<Box<dyn Future<Output = Result<(String, Quote), String>> + Send + 'a>>;
