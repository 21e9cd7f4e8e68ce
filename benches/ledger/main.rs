//! What a ledger's store costs by itself, in processor time of the store.
//!
//! ```text
//! cargo bench --bench ledger -- parts     what each part of a Lua script costs Redis
//! cargo bench --bench ledger -- shapes    admit and settle in candidate shapes of script and records
//! cargo bench --bench ledger -- stores    the ledger's own stores: what an admit and a capture cost, with how many grants, accounts, connections
//!     --rounds N --fsync everysec|always|off                     (all)
//!     --only TEXT --batch N --partitions N --requests N          (shapes)
//!     --accounts N --requests N                                  (stores)
//! ```
#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reports on stdout"
)]

mod customers;
#[path = "../common/figures.rs"]
mod figures;
mod load;
mod parts;
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "the gate's bench asks more of a process")]
mod process;
#[path = "../common/redis.rs"]
#[allow(dead_code, reason = "the gate's bench asks more of a Redis")]
mod redis;
mod shapes;
mod stores;

use std::io;
use std::str::FromStr;

/// The words of the command line.
struct Args(Vec<String>);

impl Args {
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
                .map_err(|_| io::Error::other(format!("{name} {text}: not a number")))
        };
        self.text(name).map(parse).transpose()
    }
}

fn main() -> io::Result<()> {
    let args = Args(std::env::args().skip(1).filter(|arg| arg != "--bench").collect());
    let rounds = args.number("--rounds")?;
    let fsync = args.text("--fsync").unwrap_or("everysec");
    match args.0.first().map(String::as_str) {
        Some("parts") => parts::run(rounds.unwrap_or(5), fsync),
        Some("shapes") => shapes::run(&shapes::Plan {
            rounds: rounds.unwrap_or(3),
            fsync,
            only: args.text("--only").unwrap_or_default(),
            batches: args
                .number("--batch")?
                .map_or_else(|| vec![1, 4, 16], |batch| vec![batch]),
            partitions: args
                .number("--partitions")?
                .map_or_else(|| vec![64, 4, 1], |count| vec![count]),
            requests: args.number("--requests")?.unwrap_or(20_000),
        }),
        Some("stores") => stores::run(&stores::Plan {
            rounds: rounds.unwrap_or(3),
            fsync: fsync.to_owned(),
            accounts: args.number("--accounts")?.unwrap_or(1_000_000),
            requests: args.number("--requests")?.unwrap_or(40_000),
        }),
        other => Err(io::Error::other(format!(
            "scenario {other:?}: there are `parts`, `shapes` and `stores`"
        ))),
    }
}
