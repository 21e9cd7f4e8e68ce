//! Requests that are priced by tokens: what reading them and their answers costs beside a pass-through, on the same bytes.

use super::measure::Load;
use super::report::column;
use super::streams::{EVENTS, EVERY, GIVEN_BACK, open_and_close};
use super::{COSTS, Plan, RATIOS, Upstream, compare, wanted};
use crate::systems::{self, System};
use std::io;
use std::time::Duration;

pub(super) fn run(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(upstream.port, wanted(plan))?;
    for (title, body) in [("chat of 200 bytes", 200), ("chat of 100 KiB", 100 * 1024)] {
        let requests = if body > 1024 {
            plan.requests / 10
        } else {
            plan.requests
        };
        let load = Load::closed(title, 64, requests, body).by_tokens();
        compare(plan, upstream, &mut systems, &load)?.print(
            &format!("Priced by tokens: {title}, unstreamed, 64 kept connections"),
            COSTS,
            RATIOS,
        );
    }
    // The time to the first event, with nothing else to do, is the time to open a stream and read it.
    let load = Load::streams("short streams", 64, 1, Duration::from_millis(1)).by_tokens();
    let columns = [
        column("CPU us proxy", |sample| sample.proxy_us).with_spread(),
        column("CPU us Redis", |sample| sample.store_us).with_spread(),
        column("whole stream p50 us", |sample| sample.p50_us),
        column("p99 us", |sample| sample.p99_us),
    ];
    compare(plan, upstream, &mut systems, &load)?.print(
        "Priced by tokens: 64 streams of one event",
        &columns,
        RATIOS,
    );
    let load = Load::streams("streams read", plan.streams_read, EVENTS, EVERY).by_tokens();
    let title = format!(
        "Priced by tokens: {} streams at once, each of {EVENTS} events at {EVERY:?}",
        plan.streams_read
    );
    compare(plan, upstream, &mut systems, &load)?.print(&title, &columns, RATIOS);
    systems.iter().try_for_each(System::verify)?;
    memory(plan, upstream)
}

/// Open streams in memory. Their clients leave in the middle, so what they cost is estimated, and not verified here.
fn memory(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    println!(
        "\n### Priced by tokens: {} open streams\n\n| | KiB per open stream | left {GIVEN_BACK:?} after |\n|---|---:|---:|",
        plan.streams_held
    );
    let load = Load::hold("open streams", plan.streams_held).by_tokens();
    for system in &mut systems::start(upstream.port, wanted(plan))? {
        let first = Load::hold("first streams", 64).by_tokens();
        open_and_close(system, upstream, &first, Duration::from_millis(500))?;
        let [before, open, after] = open_and_close(system, upstream, &load, GIVEN_BACK)?;
        let each = |kib: u64| kib.saturating_sub(before) as f64 / plan.streams_held as f64;
        println!("| {} | {:.1} | {:.1} |", system.name, each(open), each(after));
    }
    Ok(())
}
