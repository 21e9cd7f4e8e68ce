//! What reading requests and answers takes, and how close the bound of a request is: `cargo bench --bench meter -- bound`, `-- events`, or both.
#![allow(missing_docs, clippy::print_stdout, reason = "a bench reports on stdout")]

mod bound;
#[path = "../common/corpus.rs"]
mod corpus;
mod events;

use std::hint::black_box;
use std::io;
use std::time::Instant;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let wants = |part: &str| args.is_empty() || args.iter().any(|arg| arg == part);
    if wants("bound") {
        bound::run()?;
    }
    if wants("events") {
        events::run()?;
    }
    Ok(())
}

/// Microseconds of the middle one of so many rounds.
pub(crate) fn median(rounds: usize, mut what: impl FnMut() -> bool) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            assert!(black_box(what()), "it is read");
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(rounds / 2).copied().unwrap_or(f64::NAN)
}
