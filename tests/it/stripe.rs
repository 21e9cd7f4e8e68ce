//! What the gate does with Stripe, against a fake of it.

mod client;
pub(crate) mod fake;
mod payments;
mod rules;
mod till;
mod webhooks;
