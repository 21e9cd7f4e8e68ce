//! Streams that begin at a steady rate, whatever became of those before, on kept connections: when the first event comes, and how late the others are.

use super::streams::{count, length};
use super::wire::Connection;
use super::{Tally, Target, runtime};
use crate::roles;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval};

/// Connections that are opened before.
const KEPT: usize = 64;

pub(super) fn run(target: &Target, rate: u32, seconds: u32, events: usize) -> io::Result<()> {
    runtime()?.block_on(LocalSet::new().run_until(async {
        // Each has carried a stream before: of the first, nothing is told.
        let idle = Rc::new(RefCell::new(Vec::new()));
        let mut warm = JoinSet::new();
        for number in 0..KEPT {
            warm.spawn_local(one(target.clone(), number, Rc::clone(&idle), false));
        }
        while let Some(task) = warm.join_next().await {
            task.map_err(io::Error::other)??;
        }
        roles::say("ready")?;
        roles::wait_for_go()?;
        let start = Instant::now();
        let (mut tally, mut tasks) = (Tally::default(), JoinSet::new());
        let mut ticks = interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let length = length(target, events);
        for number in 0..(rate * seconds) as usize {
            ticks.tick().await;
            let (target, idle) = (target.clone(), Rc::clone(&idle));
            tasks.spawn_local(async move {
                let began = Instant::now();
                let events = one(target.clone(), number, idle, true).await?;
                let mut tally = Tally::default();
                count(&mut tally, &target, length, began, events);
                io::Result::Ok(tally)
            });
        }
        while let Some(task) = tasks.join_next().await {
            tally.add(task.map_err(io::Error::other)??);
        }
        tally.say(start.elapsed().as_secs_f64())
    }))
}

/// One stream, on a kept connection where there is one.
async fn one(
    target: Target,
    number: usize,
    idle: Rc<RefCell<Vec<Connection>>>,
    kept: bool,
) -> io::Result<super::wire::Events> {
    let waiting = if kept { idle.borrow_mut().pop() } else { None };
    let mut connection = match waiting {
        Some(connection) => connection,
        None => Connection::open(target.address).await?,
    };
    connection.send(&target.request(number)).await?;
    let events = connection.events(|| ()).await?;
    idle.borrow_mut().push(connection);
    Ok(events)
}
