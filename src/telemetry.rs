//! L1: what the gate says about itself: numbers for Prometheus, one line per request, and events.

pub mod access;
mod init;
pub mod metrics;

pub use init::init;
