//! Whole admit and settle (key of the partition, limits, balance, hold, journal, chain) in candidate shapes of script and
//! records: processor time of Redis per request.

use crate::figures::Figure;
use crate::load::{ACCOUNTS, Share, account_key, doubles};
use crate::redis::{Client, Reply, Server};
use std::{io, thread};

const CONNECTIONS: u64 = 2;
/// Before the figures count, so that buffers and script are warm.
const WARM_UP: usize = 500;

/// How a script takes its keys and operations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Each,
    Gathered,
    Batch,
}

/// One candidate.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) layout: Layout,
    lua: &'static str,
    flags: &'static [&'static str],
}

impl Shape {
    /// Whether the variant has this flag.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// The script: lines between `--#if NAME` (or `--#if !NAME`) and `--#end` belong to a variant.
    fn script(&self) -> String {
        let mut open = Vec::new();
        let mut text = String::new();
        for line in self.lua.lines() {
            let bare = line.trim_start();
            if let Some(name) = bare.strip_prefix("--#if ") {
                open.push(
                    name.strip_prefix('!')
                        .map_or_else(|| self.has(name), |name| !self.has(name)),
                );
            } else if bare == "--#end" {
                open.pop();
            } else if open.iter().all(|on| *on) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

const fn each(name: &'static str, flags: &'static [&'static str]) -> Shape {
    Shape {
        name,
        layout: Layout::Each,
        lua: include_str!("shapes/each.lua"),
        flags,
    }
}

const fn gathered(name: &'static str, flags: &'static [&'static str]) -> Shape {
    Shape {
        name,
        layout: Layout::Gathered,
        lua: include_str!("shapes/gathered.lua"),
        flags,
    }
}

const fn batch(name: &'static str, flags: &'static [&'static str]) -> Shape {
    Shape {
        name,
        layout: Layout::Batch,
        lua: include_str!("shapes/batch.lua"),
        flags,
    }
}

const fn bare(name: &'static str, flags: &'static [&'static str]) -> Shape {
    Shape {
        name,
        layout: Layout::Batch,
        lua: include_str!("shapes/bare.lua"),
        flags,
    }
}

const SHAPES: &[Shape] = &[
    each("each: chain per entry", &["CHAIN_ENTRY", "JOURNAL_HOLD"]),
    each("each: no chain", &["JOURNAL_HOLD"]),
    each("each: no chain, holds not journaled", &[]),
    each("each: no chain, numbers as text", &["JOURNAL_HOLD", "TEXT"]),
    each(
        "each: no chain, pcall around each operation",
        &["JOURNAL_HOLD", "PCALL"],
    ),
    gathered("gathered: chain per entry", &["CHAIN_ENTRY", "JOURNAL_HOLD"]),
    gathered("gathered: chain per call", &["CHAIN_CALL", "JOURNAL_HOLD"]),
    gathered("gathered: no chain", &["JOURNAL_HOLD"]),
    gathered("gathered: no chain, settings apart", &["JOURNAL_HOLD", "SPLIT"]),
    gathered("gathered: no chain, holds not journaled", &[]),
    batch(
        "batch: chain per entry, XADD per entry",
        &["PER_ENTRY", "CHAIN_EACH"],
    ),
    batch("batch: chain per call, XADD per entry", &["PER_ENTRY", "CHAIN"]),
    batch("batch: chain per call", &["CHAIN"]),
    batch("batch: chain per call, holds in buckets", &["CHAIN", "BUCKET"]),
    batch("batch: no chain", &[]),
    bare("bare: answers only", &[]),
    bare("bare: MGET", &["MGET"]),
    bare("bare: MGET, MSET", &["MGET", "MSET"]),
    bare("bare: MGET, MSET, XADD", &["MGET", "MSET", "XADD"]),
];

/// What to run.
pub(crate) struct Plan<'a> {
    pub(crate) rounds: usize,
    pub(crate) fsync: &'a str,
    pub(crate) only: &'a str,
    pub(crate) batches: Vec<usize>,
    pub(crate) partitions: Vec<usize>,
    pub(crate) requests: usize,
}

/// Partitions and accounts as the shape keeps them.
fn load(client: &mut Client, shape: &Shape, partitions: usize) -> io::Result<()> {
    client.call(&["FLUSHALL"])?;
    for p in 0..partitions {
        let record = [doubles(&[7.0, 3.0, 0.0, 0.0]), vec![b'0'; 16]].concat();
        client.call(&[b"SET".as_slice(), format!("fg:{{{p}}}:p").as_bytes(), &record])?;
    }
    // Changed by operations: version, held, spent, open, rate, day, its spending, month, its spending, overrun.
    let hot = doubles(&[0.0; 10]);
    // Settings: status, due, granted, expired, voided, line, rate, burst, most open, caps of day and month, plan, spare.
    let cold = doubles(&[
        0.0, 9e15, 1e12, 0.0, 0.0, 0.0, 1.0, 6e7, 1000.0, 1e13, 1e13, 1.0, 0.0, 0.0, 0.0,
    ]);
    let record = match (shape.layout, shape.has("SPLIT")) {
        (Layout::Batch, _) => compact(),
        (_, true) => hot,
        _ => [hot, cold.clone()].concat(),
    };
    for first in (0..ACCOUNTS).step_by(1000) {
        let mut set = vec![b"MSET".to_vec()];
        for account in first..first + 1000 {
            let key = account_key(account, partitions);
            if shape.has("SPLIT") {
                set.extend([key.replace(":a:", ":s:").into_bytes(), cold.clone()]);
            }
            set.extend([key.into_bytes(), record.clone()]);
        }
        client.call(&set)?;
    }
    Ok(())
}

/// '<BI4I4ddddI2dI2ddfI4I4ddd': status, version, open, bound, held, spent, rate, day, its spending, month, its spending,
/// due, interval, burst in milliseconds, most open, caps of day and month, overrun.
fn compact() -> Vec<u8> {
    let mut record = vec![0; 9];
    record.extend(doubles(&[1e12, 0.0, 0.0, 0.0]));
    record.extend([0; 2 + 8 + 2]);
    record.extend(doubles(&[0.0, 9e15]));
    record.extend(1_f32.to_le_bytes());
    record.extend(60_000_u32.to_le_bytes());
    record.extend(1000_u32.to_le_bytes());
    record.extend(doubles(&[1e13, 1e13, 0.0]));
    record
}

/// Microseconds of Redis per request (admit and settle).
fn measure(plan: &Plan<'_>, shape: &Shape, partitions: usize, batch: usize) -> io::Result<f64> {
    let server = Server::start(plan.fsync)?;
    let mut client = server.client()?;
    load(&mut client, shape, partitions)?;
    let sha = match client.call(&["SCRIPT", "LOAD", &shape.script()])? {
        Reply::Bulk(sha) => String::from_utf8_lossy(&sha).into_owned(),
        other => return Err(io::Error::other(format!("{}: {other:?}", shape.name))),
    };
    let share = |who, requests| Share {
        sha: &sha,
        shape,
        partitions,
        batch,
        requests,
        who,
    };
    share(CONNECTIONS, WARM_UP).run(&mut client)?;
    let requests = plan.requests / CONNECTIONS as usize;
    let mut clients = (0..CONNECTIONS)
        .map(|_| server.client())
        .collect::<io::Result<Vec<_>>>()?;
    let start = server.cpu()?;
    thread::scope(|scope| {
        let who = 0..CONNECTIONS;
        let runs: Vec<_> = clients
            .iter_mut()
            .zip(who)
            .map(|(client, who)| scope.spawn(move || share(who, requests).run(client)))
            .collect();
        runs.into_iter()
            .try_for_each(|run| run.join().map_err(|_| io::Error::other("a client panicked"))?)
    })?;
    Ok((server.cpu()? - start).as_secs_f64() * 1e6 / (requests * CONNECTIONS as usize) as f64)
}

/// Prints a table per number of partitions: the median of interleaved rounds, and their spread.
pub(crate) fn run(plan: &Plan<'_>) -> io::Result<()> {
    let shapes: Vec<&Shape> = SHAPES
        .iter()
        .filter(|shape| shape.name.contains(plan.only))
        .collect();
    for partitions in &plan.partitions {
        let mut figures = vec![vec![Figure::default(); plan.batches.len()]; shapes.len()];
        for round in 1..=plan.rounds {
            for (shape, row) in shapes.iter().zip(&mut figures) {
                for (batch, figure) in plan.batches.iter().zip(row) {
                    figure.push(measure(plan, shape, *partitions, *batch)?);
                }
            }
            eprintln!("{partitions} partitions: round {round} of {}", plan.rounds);
        }
        let heads: String = plan
            .batches
            .iter()
            .map(|batch| format!(" {batch} a call |"))
            .collect();
        println!(
            "\nCPU us of Redis per request, {partitions} partitions, {}:\n",
            plan.fsync
        );
        println!("| Shape |{heads}\n|---|{}", "---:|".repeat(plan.batches.len()));
        for (shape, row) in shapes.iter().zip(&figures) {
            let cells: String = row.iter().map(|figure| format!(" {figure} |")).collect();
            println!("| {} |{cells}", shape.name);
        }
    }
    Ok(())
}
