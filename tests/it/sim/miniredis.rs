//! A Redis in the process, for simulations: the part of Redis 7.0 that the ledger uses, one step at a time and the same every time. A differential test
//! holds it against a real `redis-server`, so that it cannot drift.
//!
//! | Part | Is |
//! |---|---|
//! | [`reply`] | RESP2, in and out |
//! | [`keyspace`] | what is stored: strings, hashes, lists, sets, sorted sets, streams |
//! | [`commands`] | what a client or a script may ask |
//! | [`script`] | `EVAL` and what a script finds there (`redis.*`, `struct`), on the real Lua 5.1 |
//! | [`disk`] | the append-only file, which may lose its end |
//! | [`serve`] | connections, and what can go wrong on them |

//!
//! Stricter than Redis: a script may touch only keys in `KEYS`, also outside of a cluster. What it does not know it answers with an error, loudly.

pub(crate) mod commands;
pub(crate) mod disk;
pub(crate) mod keyspace;
pub(crate) mod reply;
pub(crate) mod script;
pub(crate) mod serve;

mod structs;

#[cfg(test)]
mod differential;

use std::cell::RefCell;
use std::rc::Rc;

use commands::{Core, Session};
use disk::Disk;
use reply::Reply;
use script::Scripts;

/// A running server. When it ends, only its disk is left.
#[derive(Debug)]
pub(crate) struct MiniRedis {
    core: Rc<RefCell<Core>>,
    scripts: Scripts,
}

impl MiniRedis {
    /// Starts on what the disk has; `now` tells the time in microseconds since the epoch.
    pub(crate) fn start(disk: Disk, now: impl Fn() -> i64 + 'static) -> MiniRedis {
        MiniRedis::spoilt(disk, now, |script| script.to_owned())
    }

    /// The same, but it runs something else in place of the scripts that it is given.
    pub(crate) fn spoilt(
        disk: Disk,
        now: impl Fn() -> i64 + 'static,
        spoil: impl Fn(&str) -> String + 'static,
    ) -> MiniRedis {
        let core = Rc::new(RefCell::new(Core::new(disk, Box::new(now))));
        MiniRedis {
            scripts: Scripts::new(Rc::clone(&core), Box::new(spoil)),
            core,
        }
    }

    pub(crate) fn core(&self) -> &Rc<RefCell<Core>> {
        &self.core
    }

    /// Does what one client asks, as one step.
    pub(crate) fn execute(&self, session: &mut Session, args: &[Vec<u8>]) -> Reply {
        let refusal = self.core.borrow().refusal(session, args);
        if let Some(refusal) = refusal {
            return refusal;
        }
        let reply = match args.first().map(|name| name.to_ascii_uppercase()).as_deref() {
            Some(b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO") => self.scripts.eval(session, args),
            Some(b"SCRIPT") => self.scripts.manage(args),
            _ => self.core.borrow_mut().command(session, args),
        };
        self.core.borrow_mut().step_done();
        reply
    }
}
