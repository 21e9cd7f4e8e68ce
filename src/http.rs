//! The web parts that know nothing of money: what a request may look like before anything else is asked about it.

pub mod pattern;
pub mod target;
