//! Processes being measured: started, read in `/proc`, ended.

use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// How long a process has to end when asked.
const GRACE: Duration = Duration::from_secs(3);

/// A child process of ours; ended on drop: asked first, since one that is killed cannot end its own children.
#[derive(Debug)]
pub(crate) struct Owned(Child);

impl Owned {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command
            .spawn()
            .map(Self)
            .map_err(|e| io::Error::other(format!("{program}: {e}")))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// The child itself, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        // What follows fails only for a process that has ended.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let until = Instant::now() + GRACE;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Processor time so far of a process and of those below it.
///
/// The threads' `schedstat` counts nanoseconds but forgets threads that have ended; `stat` remembers them in ticks of
/// 10 ms. The larger of the two is right to within one tick.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for pid in family(pid)? {
        total += by_threads(pid)?.max(by_ticks(pid)?);
    }
    Ok(total)
}

fn by_threads(pid: u32) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let line = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += number(line.split(' ').next());
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn by_ticks(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in brackets, user and system time are the 12th and 13th words.
    let mut words = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11);
    Ok(Duration::from_millis(
        10 * (number(words.next()) + number(words.next())),
    ))
}

/// Resident memory now and at its highest, in KiB, of a process and of those below it.
pub(crate) fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let mut sum = (0, 0);
    for pid in family(pid)? {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            number(line.and_then(|rest| rest.split_whitespace().next()))
        };
        sum = (sum.0 + of("VmRSS:"), sum.1 + of("VmHWM:"));
    }
    Ok(sum)
}

/// A process and all below it.
fn family(pid: u32) -> io::Result<Vec<u32>> {
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(pid) = family.get(at) {
        at += 1;
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.collect::<Vec<_>>() {
            let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
    }
    Ok(family)
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}
