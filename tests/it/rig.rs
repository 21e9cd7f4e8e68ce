//! What the integration tests stand on. Each part works alone, cleans up after itself (also when a
//! test panics or the test binary is killed), and takes its ports and folders so that tests run in parallel.
//!
//! | Rig | Is |
//! |---|---|
//! | `redis::RedisServer` | a real `redis-server`: kill, restart, freeze, TLS, ACL, `maxmemory` |
//! | `cluster::RedisCluster` | three real masters; slots that move |
//! | `fault::FaultProxy` | a TCP proxy that delays, freezes, swallows and cuts |
//! | `process::Process`, `process::Faregate` | a child process: lines, signals, memory, CPU, exit code |
//! | `upstream::FakeUpstream` | the model server: records what reaches it, answers as told |
//! | `client::HttpClient` | a well-behaved HTTP/1.1 and HTTP/2 client |
//! | `raw::RawClient` | bytes on a socket, as hostile as wanted |
//! | `temp::TempDir`, `ports::reserve`, `tls::TestCa` | a folder, a port, a certificate authority |
#![allow(dead_code, reason = "rigs offer more than the tests of one day use")]

use std::future::Future;
use std::time::Duration;

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod fault;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod raw;
mod reaper;
pub(crate) mod redis;
pub(crate) mod temp;
pub(crate) mod tls;
pub(crate) mod upstream;

/// How long a rig waits for anything before it fails the test. Far above what an idle machine
/// needs, since the tests share theirs with each other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Awaits `future`; panics with `what` when it takes longer than [`PATIENCE`].
#[track_caller]
pub(crate) fn within<F: Future>(what: impl Into<String>, future: F) -> impl Future<Output = F::Output> {
    within_time(PATIENCE, what, future)
}

/// Awaits `future`; panics with `what` and the caller's place when it takes longer than `limit`.
#[track_caller]
pub(crate) fn within_time<F: Future>(
    limit: Duration,
    what: impl Into<String>,
    future: F,
) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    let what = what.into();
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(output) => output,
            Err(_) => panic!("{what}: not within {limit:?} (awaited at {caller})"),
        }
    }
}

/// Lets this process, and all it starts, open 65,536 files, or as many as it may: an often seen soft
/// limit of 1,024 is less than the connections of one test under load.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(u64::MAX).min(65_536);
        if current.is_some_and(|current| current < wanted) {
            let current = Some(wanted);
            // Where it can't be raised, the test that needs it says so.
            let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
        }
    });
}
