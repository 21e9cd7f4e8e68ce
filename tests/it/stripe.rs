//! What the gate does with Stripe, against a fake of it.

pub(crate) mod fake;
