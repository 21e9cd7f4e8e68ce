//! What the gate does with Stripe, against a fake of it.

mod again;
mod audit;
mod buying;
mod client;
mod cutoff;
pub(crate) mod fake;
mod flood;
mod hostile;
mod inside;
mod killed;
mod laws;
mod line;
mod load;
mod oracle;
mod orders;
mod payments;
mod pinned;
mod rules;
mod seed;
mod since;
mod sync;
mod till;
mod top_up;
mod top_up_laws;
mod usage;
mod verify;
mod webhooks;
