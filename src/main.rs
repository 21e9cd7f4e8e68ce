//! The `faregate` binary.

use std::process::ExitCode;

/// Cheaper than the system's for many small things that live as long as a request, and it gives back what a rush has left
/// (settings: `.cargo/config.toml`; figures: `benches/RESULTS.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    faregate::cli::run()
}
