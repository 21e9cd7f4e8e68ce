//! Streams: what one costs to carry, what it holds in memory while open, and what is left after.

use super::measure::{Load, Told};
use super::report::column;
use super::{Plan, RATIOS, Upstream, compare, wanted};
use crate::systems::{self, System, upstream_count};
use std::io;
use std::thread;
use std::time::Duration;

pub(super) const EVENTS: usize = 50;
pub(super) const EVERY: Duration = Duration::from_millis(20);
/// Memory must have been given back so long after the clients have left.
pub(super) const GIVEN_BACK: Duration = Duration::from_secs(5);

pub(super) fn run(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(upstream.port, wanted(plan))?;
    println!("\n### {} open streams\n", plan.streams_held);
    println!(
        "| | KiB per open stream | left {GIVEN_BACK:?} after | RSS MiB before | open | after |\n|---|---:|---:|---:|---:|---:|"
    );
    let load = Load::hold("open streams", plan.streams_held);
    for system in &mut systems {
        // Some streams first: what a proxy needs once is not what each stream costs.
        open_and_close(
            system,
            upstream,
            &Load::hold("first streams", 64),
            Duration::from_millis(500),
        )?;
        let [before, open, after] = open_and_close(system, upstream, &load, GIVEN_BACK)?;
        let each = |kib: u64| kib.saturating_sub(before) as f64 / plan.streams_held as f64;
        let mib = |kib: u64| kib as f64 / 1024.0;
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            system.name,
            each(open),
            each(after),
            mib(before),
            mib(open),
            mib(after)
        );
    }
    systems.iter().try_for_each(System::verify)?;
    let load = Load::streams("streams read", plan.streams_read, EVENTS, EVERY);
    let columns = [
        column("CPU us proxy", |sample| sample.proxy_us).with_spread(),
        column("CPU us Redis", |sample| sample.store_us).with_spread(),
        column("whole stream p50 us", |sample| sample.p50_us),
        column("p99 us", |sample| sample.p99_us),
    ];
    let title = format!(
        "{} streams at once, each of {EVENTS} events at {EVERY:?}",
        plan.streams_read
    );
    compare(plan, upstream, &mut systems, &load)?.print(&title, &columns, RATIOS);
    Ok(())
}

/// The proxy's memory before, with all streams open, and some time after all clients have left; KiB.
pub(super) fn open_and_close(
    system: &mut System,
    upstream: &Upstream,
    load: &Load<'_>,
    after: Duration,
) -> io::Result<[u64; 3]> {
    let seen = upstream_count(upstream.port)?;
    let mut role = load.start(system)?;
    let (before, _) = system.memory()?;
    role.go()?;
    Told::read(&mut role, system, load)?;
    let (open, _) = system.memory()?;
    role.go()?;
    role.line()?;
    thread::sleep(after);
    let (left, _) = system.memory()?;
    system.paid += upstream_count(upstream.port)? - seen;
    Ok([before, open, left])
}
