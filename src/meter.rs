//! Metering: what a request may use, read from its body, and what it has used, read from the answer while that passes.
//!
//! Bytes to values, and back to bytes where something has to be changed: no I/O, no clock, no prices.

pub mod answer;
pub mod api;
pub mod ask;
pub mod bound;
pub mod fuzzing;
pub mod json;
pub mod listing;
mod problem;
pub mod units;

pub use api::Api;
pub use problem::Problem;
