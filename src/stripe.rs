//! L2: what the gate knows of Stripe: who signed a telling, what its events and objects say, how a call is written, and a client that makes it.
//!
//! It knows neither the ledger nor routes. What a telling means for an account is decided in `service`, and nothing here keeps anything.

pub mod api;
pub mod call;
pub mod client;
pub mod event;
pub mod facts;
pub mod form;
mod object;
pub mod signature;
