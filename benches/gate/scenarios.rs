//! The scenarios: what is run, round by round, and the tables that come of it.

mod measure;
mod report;
mod streams;
mod tokens;

use crate::Args;
use crate::figures::Figure;
use crate::roles::Role;
use crate::systems::{self, System, Wanted};
use crate::{faregate, redis};
use measure::{Load, Sample, measure};
use report::{Against, Column, Rows, column};
use std::io;

/// Seconds of load, requests and rounds, by how much time there is.
struct Plan<'a> {
    rounds: usize,
    requests: u64,
    rate_seconds: u32,
    paced_seconds: u32,
    streams_read: usize,
    streams_held: usize,
    only: Option<&'a str>,
}

const REQUESTS_PER_SECOND: u32 = 1000;

const COSTS: &[Column] = &[
    column("CPU us proxy", |sample| sample.proxy_us).with_spread(),
    column("CPU us Redis", |sample| sample.store_us).with_spread(),
    column("requests/s", |sample| sample.per_second),
    column("p50 us", |sample| sample.p50_us),
    column("p99 us", |sample| sample.p99_us),
    column("peak RSS MiB", |sample| sample.peak_mib),
];

const RATIOS: &[Against] = &[Against::Floor, Against::Nginx];

pub(crate) fn run(args: &Args) -> io::Result<()> {
    let quick = args.has("--quick");
    let plan = Plan {
        rounds: args.number("--rounds")?.unwrap_or(if quick { 1 } else { 3 }),
        requests: if quick { 5_000 } else { 20_000 },
        rate_seconds: if quick { 1 } else { 3 },
        paced_seconds: if quick { 4 } else { 10 },
        streams_read: if quick { 100 } else { 300 },
        streams_held: args
            .number("--streams")?
            .unwrap_or(if quick { 500 } else { 2000 }),
        only: args.text("--only"),
    };
    let mut upstream = Role::start("upstream", &[])?;
    let upstream = Upstream {
        port: upstream.port()?,
        _role: upstream,
    };
    let scenario = args
        .0
        .first()
        .map(String::as_str)
        .filter(|word| !word.starts_with("--"))
        .unwrap_or("all");
    let mut known = false;
    let steps: [(&str, Scenario); 10] = [
        ("small", small),
        ("rate", rate),
        ("body32k", body),
        ("streams", streams::run),
        ("tokens", tokens::run),
        ("events", tokens::events),
        ("delays", tokens::delays),
        ("memory", tokens::memory),
        ("refuse", refuse),
        ("start", start),
    ];
    for (name, step) in steps {
        if scenario == name || scenario == "all" {
            known = true;
            step(&plan, &upstream)?;
        }
    }
    let names = steps.map(|(name, _)| name).join(", ");
    if known {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "scenario {scenario}: there are {names}, all"
        )))
    }
}

/// From the start of the process to `/readyz`, on empty ledgers.
fn start(plan: &Plan<'_>, _: &Upstream) -> io::Result<()> {
    let Some(binary) = faregate::binary() else {
        return Ok(());
    };
    let store = redis::Server::start("everysec")?;
    let redis = format!(
        "backend = \"redis\"\nurl = \"redis://127.0.0.1:{}\"",
        store.port()
    );
    for (name, ledger) in [
        ("Redis", redis.as_str()),
        ("embedded", "backend = \"embedded\"\npath = \"data\""),
    ] {
        let mut millis = Figure::default();
        for _ in 0..plan.rounds {
            millis.push(faregate::time_to_ready(&binary, ledger)?.as_secs_f64() * 1e3);
        }
        println!("\nstart to ready, {name}: {millis} ms");
    }
    Ok(())
}

type Scenario = fn(&Plan<'_>, &Upstream) -> io::Result<()>;

/// The one upstream behind everything.
struct Upstream {
    port: u16,
    _role: Role,
}

/// Runs one load over all systems in turns, checks the ledgers, and gives the rows.
fn compare(
    plan: &Plan<'_>,
    upstream: &Upstream,
    systems: &mut [System],
    load: &Load<'_>,
) -> io::Result<Rows> {
    let mut rows = Rows::default();
    for round in 1..=plan.rounds {
        let mut samples: Vec<(&'static str, Sample)> = Vec::new();
        for system in &mut *systems {
            samples.push((system.name, measure(system, upstream.port, load)?));
        }
        eprintln!("{}: round {round} of {}", load.title, plan.rounds);
        rows.add(samples);
    }
    systems.iter().try_for_each(System::verify)?;
    Ok(rows)
}

fn wanted<'a>(plan: &Plan<'a>) -> Wanted<'a> {
    Wanted {
        only: plan.only,
        ..Wanted::default()
    }
}

fn small(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(upstream.port, wanted(plan))?;
    for connections in [64, 256] {
        let load = Load::closed("small POST", connections, plan.requests, 200);
        let rows = compare(plan, upstream, &mut systems, &load)?;
        rows.print(
            &format!("Small POST, {connections} kept connections"),
            COSTS,
            RATIOS,
        );
    }
    Ok(())
}

fn body(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(upstream.port, wanted(plan))?;
    let load = Load::closed("body of 32 KiB", 64, plan.requests / 2, 32 * 1024);
    compare(plan, upstream, &mut systems, &load)?.print(
        "Request body of 32 KiB, 64 kept connections",
        COSTS,
        RATIOS,
    );
    Ok(())
}

fn rate(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(
        upstream.port,
        Wanted {
            direct: true,
            ..wanted(plan)
        },
    )?;
    let load = Load::rate("rate", REQUESTS_PER_SECOND, plan.rate_seconds);
    let rows = compare(plan, upstream, &mut systems, &load)?;
    rows.print(
        &format!("{REQUESTS_PER_SECOND} requests/s, open loop"),
        COSTS,
        &[
            Against::Floor,
            Against::Nginx,
            Against::Over("p50 over floor", |sample| sample.p50_us),
            Against::Over("p99 over floor", |sample| sample.p99_us),
        ],
    );
    Ok(())
}

fn refuse(plan: &Plan<'_>, upstream: &Upstream) -> io::Result<()> {
    let mut systems = systems::start(
        upstream.port,
        Wanted {
            gates_only: true,
            ..wanted(plan)
        },
    )?;
    if systems.is_empty() {
        return Ok(());
    }
    let load = Load::closed("refusal", 64, plan.requests, 200).refused();
    compare(plan, upstream, &mut systems, &load)?.print(
        "Refusal at zero credits (402), 64 kept connections",
        COSTS,
        RATIOS,
    );
    Ok(())
}
