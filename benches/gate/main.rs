//! What the gate costs beside nginx and a bare pass-through: `cargo bench --bench gate -- <scenario>`.
//!
//! Every part (upstream, floor, load, nginx, Redis, the gate) is a process of its own, so that each has its own account
//! of processor time. What is compared runs in turns (A B A B) within one run; figures are medians, ratios are taken
//! round by round. All statuses, bodies and counts are checked.
//!
//! | Scenario | Asks |
//! |---|---|
//! | `small` | a small POST over 64 and 256 kept connections: processor time per request, throughput |
//! | `rate` | 1,000 requests a second whatever the answers do: p50 and p99 |
//! | `body32k` | a request body of 32 KiB |
//! | `streams` | memory per open stream and after; processor time of a stream of 50 events |
//! | `tokens` | requests that are priced by tokens, of 200 bytes and of 100 KiB |
//! | `events` | streams that are priced by tokens, of 1 and of 50 events |
//! | `delays` | such streams, begun at a steady rate: until the first event, and how late the others are |
//! | `memory` | memory per open stream that is priced by tokens, and after |
//! | `refuse` | a refusal at zero credits |
//! | `start` | from the start of the process until it is ready |
//! | `all` | all of them |
//!
//! `--quick` for a look, `--rounds N`, `--only NAME` for the systems whose name contains it (and the floor),
//! `--streams N`. `FAREGATE_BIN` names the gate's binary; without one its rows are left out.
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reports on stdout"
)]

mod faregate;
#[path = "../common/figures.rs"]
mod figures;
mod floor;
mod load;
mod nginx;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/redis.rs"]
#[allow(dead_code, reason = "the gate's bench only starts it")]
mod redis;
mod roles;
mod scenarios;
mod systems;
mod upstream;

use std::io;
use std::str::FromStr;

/// The words of a command line: `name value` pairs behind a first word.
pub(crate) struct Args(Vec<String>);

impl Args {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .position(|arg| arg == name)
            .and_then(|at| self.0.get(at + 1))
            .map(String::as_str)
    }

    fn number<T: FromStr>(&self, name: &str) -> io::Result<Option<T>> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| io::Error::other(format!("{name} {text}: not understood")))
        };
        self.text(name).map(parse).transpose()
    }

    fn need<T: FromStr>(&self, name: &str) -> io::Result<T> {
        self.number(name)?
            .ok_or_else(|| io::Error::other(format!("{name} is missing")))
    }
}

fn main() -> io::Result<()> {
    let args = Args(std::env::args().skip(1).filter(|arg| arg != "--bench").collect());
    roles::allow_many_files()?;
    match args.text("--role") {
        Some("upstream") => upstream::run(),
        Some("floor") => floor::run(args.need("--upstream")?, args.has("--shared")),
        Some("load") => load::run(&args),
        Some(other) => Err(io::Error::other(format!("unknown role {other}"))),
        None => scenarios::run(&args),
    }
}
