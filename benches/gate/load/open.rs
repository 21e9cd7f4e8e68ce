//! Open loop: requests leave at their time whether or not earlier ones were answered, and latency counts from that time,
//! so that a slow server cannot hide its slowness by slowing the client down (coordinated omission).

use super::wire::Blocking;
use super::{Tally, Target};
use crate::roles;
use std::io;
use std::time::{Duration, Instant};

/// Threads with a connection each; a request late on one of them counts its wait.
const LANES: u32 = 16;
/// Sleeping wakes up this late at worst; the rest is waited for awake.
const AWAKE: Duration = Duration::from_micros(100);
const WARM_UP: u32 = 20;

pub(super) fn run(target: &Target, rate: u32, seconds: u32) -> io::Result<()> {
    let mut lanes = (0..LANES)
        .map(|_| Blocking::open(target.address))
        .collect::<io::Result<Vec<_>>>()?;
    for (number, lane) in lanes.iter_mut().enumerate() {
        for _ in 0..WARM_UP {
            target
                .check(&lane.exchange(&target.request(number))?)
                .map_err(io::Error::other)?;
        }
    }
    roles::say("ready")?;
    roles::wait_for_go()?;
    let start = Instant::now() + Duration::from_millis(10);
    let each = rate * seconds / LANES;
    let step = Duration::from_secs(1) / rate;
    let tallies = std::thread::scope(|scope| {
        let running: Vec<_> = (0..LANES)
            .zip(lanes)
            .map(|(number, lane)| {
                scope.spawn(move || one(target, lane, start + step * number, step * LANES, each))
            })
            .collect();
        let ended = running
            .into_iter()
            .map(|lane| lane.join().map_err(|_| io::Error::other("a lane panicked"))?);
        ended.collect::<io::Result<Vec<_>>>()
    })?;
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.add(tally));
    sum.say(start.elapsed().as_secs_f64())
}

fn one(target: &Target, mut lane: Blocking, first: Instant, step: Duration, count: u32) -> io::Result<Tally> {
    let request = target.request(0);
    let mut tally = Tally::default();
    for number in 0..count {
        let due = first + step * number;
        std::thread::sleep((due - AWAKE).saturating_duration_since(Instant::now()));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let answer = lane.exchange(&request)?;
        tally.count(target.check(&answer), due.elapsed().as_secs_f64() * 1e6);
    }
    Ok(tally)
}
