//! L4: the two APIs that Faregate answers itself. [`admin`] is the operator's, on its own listener; [`customer`] is the customer's, with the customer's own key.
//!
//! Handlers only translate: request in, a call to `service` or the ledger, reply out. No rule lives here.

pub mod admin;
mod checkout;
pub mod customer;
mod dto;
mod reply;
mod top_up;
pub mod webhook;

pub use reply::{Problem, Reply};
