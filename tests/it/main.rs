//! Every integration test, in one binary: real sockets, real Redis, the built `faregate`.
//!
//! `rig` holds what the tests stand on; each of its parts has tests of its own. Nothing here sleeps
//! where an event can be awaited, and everything awaited is bounded (`rig::within`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can't go on should panic, and say where"
)]

#[cfg(feature = "tokenizers")]
mod bound;
mod charge;
mod deploy;
mod embedded;
mod engine;
mod fuzz_corpus;
mod ledger;
mod product;
mod proxy;
mod redis;
mod rig;
mod sim;
mod stripe;
mod tidy;
