//! Requests that are priced by tokens: what reading them and their answers costs beside a pass-through, on the same bytes.

use super::measure::Load;
use super::report::{Against, column};
use super::streams::{EVENTS, EVERY, GIVEN_BACK, open_and_close};
use super::{COSTS, Plan, RATIOS, Upstream, compare, wanted};
use crate::systems::{self, Wanted};
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
    Ok(())
}

/// What streams cost: what those of many events cost more than those of one is the events' own.
pub(super) fn events(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(upstream.port, wanted(plan))?;
    for events in [1, EVENTS] {
        let load = Load::streams("streams read", plan.streams_read, events, EVERY).by_tokens();
        let title = format!(
            "{} streams at once, of {events} events at {EVERY:?}",
            plan.streams_read
        );
        let columns = [
            column("CPU us proxy", |sample| sample.proxy_us).with_spread(),
            column("CPU us Redis", |sample| sample.store_us).with_spread(),
            column("event p50 us", |sample| sample.event.p50_us),
            column("event p99 us", |sample| sample.event.p99_us),
        ];
        compare(plan, upstream, &mut systems, &load)?.print(
            &format!("Priced by tokens: {title}"),
            &columns,
            RATIOS,
        );
    }
    Ok(())
}

/// Streams begun each second, and their events.
const RATE: u32 = 50;
const PACED: usize = 20;

/// What is added to the time until the first event, and to each event's, where there is room for all.
pub(super) fn delays(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let direct = Wanted {
        direct: true,
        ..wanted(plan)
    };
    let mut systems = systems::start(upstream.port, direct)?;
    let load = Load::paced("paced streams", RATE, plan.paced_seconds, PACED, EVERY).by_tokens();
    let columns = [
        column("first p50 us", |sample| sample.first.p50_us).with_spread(),
        column("first p99 us", |sample| sample.first.p99_us).with_spread(),
        column("event p50 us", |sample| sample.event.p50_us).with_spread(),
        column("event p99 us", |sample| sample.event.p99_us).with_spread(),
    ];
    let over = [
        Against::Over("first p50 over floor", |sample| sample.first.p50_us),
        Against::Over("first p99 over floor", |sample| sample.first.p99_us),
        Against::Over("event p50 over floor", |sample| sample.event.p50_us),
        Against::Over("event p99 over floor", |sample| sample.event.p99_us),
    ];
    let title = format!("Priced by tokens: {RATE} streams a second, of {PACED} events at {EVERY:?}");
    compare(plan, upstream, &mut systems, &load)?.print(&title, &columns, &over);
    Ok(())
}

/// Open streams in memory. Their clients leave in the middle, so what they cost is estimated, and not verified here.
pub(super) fn memory(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
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
