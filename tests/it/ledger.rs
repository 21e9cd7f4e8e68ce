//! What every ledger promises, tested on every store.
//!
//! `promises` has one proof per promise; `scenario` tells stories from tables that anyone can read; `model` compares a store with the engine on random
//! histories; all run on each store of `fixture`. `moves` makes the histories, `teller` has short words for what is done with an account, `memory`
//! is the engine itself behind the port.

pub(crate) mod fixture;
mod memory;
mod model;
pub(crate) mod moves;
mod promises;
mod scenario;
pub(crate) mod teller;

use fixture::{Embedded, Fixture, Memory, OneRedis, ThreeMasters};

/// Promises, then stories.
async fn prove(fixture: &dyn Fixture) {
    promises::prove_all(fixture).await;
    scenario::play_all(fixture).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_keeps_every_promise() {
    prove(&Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_ledger_keeps_every_promise() {
    prove(&Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_on_redis_keeps_every_promise() {
    prove(&OneRedis::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b14_the_ledger_on_a_cluster_keeps_every_promise() {
    prove(&ThreeMasters::default()).await;
}
