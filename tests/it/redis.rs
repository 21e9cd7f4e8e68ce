//! The ledger on Redis, on real servers.

mod claims;
mod cluster;
mod copy;
mod memos;
mod rebuild;
mod scripts;
mod sweep;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use faregate::domain::time::Timestamp;
use faregate::ledger::redis::{Network, Options, RedisLedger, TestTime};

use crate::ledger::moves::START;
use crate::rig::redis::RedisServer;

/// So long that only a server that is really gone is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to reach a server, at a time of the test's own.
fn options(url: String, now: Timestamp) -> (Options, TestTime) {
    let time = TestTime::new(now);
    let network = Arc::new(Network::new(None).unwrap());
    let options = Options {
        attempt: PATIENCE,
        patience: PATIENCE,
        time: Some(time.clone()),
        ..Options::new(vec![url], network, 7)
    };
    (options, time)
}

/// A ledger of one partition, and its time.
async fn single(server: &RedisServer) -> (RedisLedger, TestTime) {
    let (options, time) = options(server.url(), START);
    let partitions = Some(1);
    (
        open(Options {
            partitions,
            ..options
        })
        .await,
        time,
    )
}

async fn open(options: Options) -> RedisLedger {
    RedisLedger::open(options).await.unwrap_or_else(|e| panic!("{e}"))
}
