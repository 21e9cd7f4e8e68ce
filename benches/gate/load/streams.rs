//! Streams of events: read to their end, or opened and held.

use super::wire::Connection;
use super::{Tally, Target, runtime};
use crate::roles;
use crate::upstream::{DONE, EVENT};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// Streams being opened at once.
const OPENING: usize = 64;

/// Opens `count` streams at once and reads each to its end.
pub(super) fn read(target: &Target, count: usize, events: usize) -> io::Result<()> {
    roles::say("ready")?;
    roles::wait_for_go()?;
    let start = Instant::now();
    let mut tally = Tally::default();
    let end = if target.path.starts_with("/v1/chat") {
        DONE.len()
    } else {
        0
    };
    let awaited = events * EVENT.len() + end;
    runtime()?.block_on(LocalSet::new().run_until(async {
        for (_, status, got, elapsed) in open(target, count, usize::MAX).await? {
            let right = status == target.status && got == awaited;
            let outcome = if right {
                Ok(())
            } else {
                Err(format!("{status} with {got} of {awaited} bytes"))
            };
            tally.count(outcome, elapsed);
        }
        io::Result::Ok(())
    }))?;
    tally.say(start.elapsed().as_secs_f64())
}

/// Opens `count` streams, reads each one's first event, holds them until the runner says go, closes them, and waits again.
pub(super) fn hold(target: &Target, count: usize) -> io::Result<()> {
    roles::say("ready")?;
    roles::wait_for_go()?;
    let start = Instant::now();
    runtime()?.block_on(LocalSet::new().run_until(async {
        let held = open(target, count, EVENT.len()).await?;
        let mut tally = Tally::default();
        for (_, status, got, elapsed) in &held {
            let right = *status == target.status && *got == EVENT.len();
            tally.count(
                if right {
                    Ok(())
                } else {
                    Err(format!("{status} with {got} bytes"))
                },
                *elapsed,
            );
        }
        tally.say(start.elapsed().as_secs_f64())?;
        roles::wait_for_go()?;
        drop(held);
        roles::say("closed")?;
        roles::wait_for_go()
    }))
}

/// Each stream's connection, status, bytes read (up to `bytes`) and microseconds.
async fn open(target: &Target, count: usize, bytes: usize) -> io::Result<Vec<(Connection, u16, usize, f64)>> {
    let opening = Arc::new(Semaphore::new(OPENING));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (request, address, opening) = (target.request(number), target.address, Arc::clone(&opening));
        tasks.spawn_local(async move {
            let start = Instant::now();
            let permit = opening.acquire().await.map_err(io::Error::other)?;
            let mut connection = Connection::open(address).await?;
            connection.send(&request).await?;
            connection.body_of(EVENT.len()).await?;
            drop(permit);
            let (status, got) = connection.body_of(bytes).await?;
            io::Result::Ok((connection, status, got, start.elapsed().as_secs_f64() * 1e6))
        });
    }
    let mut opened = Vec::with_capacity(count);
    while let Some(task) = tasks.join_next().await {
        opened.push(task.map_err(io::Error::other)??);
    }
    Ok(opened)
}
