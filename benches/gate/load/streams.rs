//! Streams of events: read to their end, or opened and held.

use super::wire::{Connection, Events};
use super::{Tally, Target, runtime};
use crate::roles;
use crate::upstream::{DONE, EVENT_LEN};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, LocalSet};

/// Streams being opened at once.
const OPENING: usize = 64;

/// Bytes of a stream of so many events.
pub(super) fn length(target: &Target, events: usize) -> usize {
    let end = if target.path.starts_with("/v1/chat") {
        DONE.len()
    } else {
        0
    };
    events * EVENT_LEN + end
}

/// Counts a stream that began then and has just come to its end; its first event is told apart.
pub(super) fn count(tally: &mut Tally, target: &Target, length: usize, began: Instant, events: Events) {
    let right = events.status == target.status && events.bytes == length;
    let wrong = || format!("{} with {} of {length} bytes", events.status, events.bytes);
    tally.count(
        if right { Ok(()) } else { Err(wrong()) },
        began.elapsed().as_secs_f64() * 1e6,
    );
    tally.firsts.push((events.first - began).as_secs_f64() * 1e6);
    tally.delays.extend(events.delays.iter().skip(1));
}

/// Opens `count` streams at once, no more than [`OPENING`] being opened at any time, and reads each to its end.
pub(super) fn read(target: &Target, number: usize, events: usize) -> io::Result<()> {
    roles::say("ready")?;
    roles::wait_for_go()?;
    let start = Instant::now();
    let length = length(target, events);
    let mut tally = Tally::default();
    runtime()?.block_on(LocalSet::new().run_until(async {
        let mut tasks = JoinSet::new();
        let opening = Arc::new(Semaphore::new(OPENING));
        for number in 0..number {
            let sent = sent(target, number, Arc::clone(&opening));
            tasks.spawn_local(async move {
                let (began, mut connection, permit) = sent.await?;
                io::Result::Ok((began, connection.events(|| drop(permit)).await?))
            });
        }
        while let Some(task) = tasks.join_next().await {
            let (began, events) = task.map_err(io::Error::other)??;
            count(&mut tally, target, length, began, events);
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
        let opening = Arc::new(Semaphore::new(OPENING));
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let sent = sent(target, number, Arc::clone(&opening));
            tasks.spawn_local(async move {
                let (began, mut connection, _permit) = sent.await?;
                let (status, got) = connection.body_of(EVENT_LEN).await?;
                io::Result::Ok((connection, status, got, began.elapsed().as_secs_f64() * 1e6))
            });
        }
        let mut held = Vec::with_capacity(count);
        let mut tally = Tally::default();
        while let Some(task) = tasks.join_next().await {
            let (connection, status, got, elapsed) = task.map_err(io::Error::other)??;
            let right = status == target.status && got == EVENT_LEN;
            let wrong = || format!("{status} with {got} bytes");
            tally.count(if right { Ok(()) } else { Err(wrong()) }, elapsed);
            held.push(connection);
        }
        tally.say(start.elapsed().as_secs_f64())?;
        roles::wait_for_go()?;
        drop(held);
        roles::say("closed")?;
        roles::wait_for_go()
    }))
}

/// A connection of its own that has sent its request, when it began to wait for its turn, and its permit to be opened.
fn sent(
    target: &Target,
    number: usize,
    opening: Arc<Semaphore>,
) -> impl Future<Output = io::Result<(Instant, Connection, OwnedSemaphorePermit)>> + 'static {
    let (request, address) = (target.request(number), target.address);
    async move {
        let began = Instant::now();
        let permit = opening.acquire_owned().await.map_err(io::Error::other)?;
        let mut connection = Connection::open(address).await?;
        connection.send(&request).await?;
        Ok((began, connection, permit))
    }
}
