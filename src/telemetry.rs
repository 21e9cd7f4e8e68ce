//! L1: what the gate says about itself: numbers for Prometheus, one line per request.

pub mod access;
pub mod metrics;
