//! The store's own record: which store it is, and whether it serves. While it is rebuilt or copied into, it is closed: it has another generation than
//! its users know, so that whatever they ask is answered with "of another generation", and they read here why.

use std::collections::BTreeMap;

use redis::Value;

use super::calls::Context;
use super::fault::Fault;
use super::keys::{Keys, META};
use super::layout::{self, Writer};
use super::router::Router;
use super::script::{Script, Scripts};
use crate::domain::credits::Credits;
use crate::ledger::LedgerError;

/// Whether the store serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It does.
    Open,
    /// Its balances are being rebuilt, or that was begun and has not come to its end.
    Rebuilding,
    /// A ledger is being copied into it, or that was begun and has not come to its end.
    Copying,
}

/// States, as written; an open store says nothing.
const STATES: [(State, &str); 2] = [(State::Rebuilding, "rebuilding"), (State::Copying, "copying")];

/// The record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    pub(super) partitions: u32,
    pub(super) epoch: u32,
    pub(super) generation: u32,
    /// All partitions were made; from then on one that is missing is a loss.
    ready: bool,
    pub(super) state: State,
}

impl Meta {
    /// Epoch and generation in one number, which every call carries.
    pub(super) fn stamp(self) -> i64 {
        i64::from(self.epoch) << 20 | i64::from(self.generation & 0xf_ffff)
    }

    /// What users' calls carry: nobody but whoever closed a store has its stamp, the others have the one before.
    pub(super) fn users_stamp(self) -> i64 {
        match self.state {
            State::Open => self.stamp(),
            State::Rebuilding | State::Copying => self.stamp() - 1,
        }
    }

    fn text(self) -> String {
        let state = STATES.iter().find(|(state, _)| *state == self.state);
        format!(
            "layout={} partitions={} epoch={} generation={} ready={}{}",
            layout::VERSION,
            self.partitions,
            self.epoch,
            self.generation,
            u8::from(self.ready),
            state.map_or_else(String::new, |(_, name)| format!(" state={name}")),
        )
    }

    fn read(stored: &[u8]) -> Result<Meta, LedgerError> {
        let text = String::from_utf8_lossy(stored);
        let fields: BTreeMap<_, _> = text
            .split(' ')
            .filter_map(|field| field.split_once('='))
            .collect();
        let number = |name| fields.get(name).and_then(|n: &&str| n.parse::<u32>().ok());
        let layout = number("layout");
        if layout != Some(layout::VERSION) {
            return Err(LedgerError::Misconfigured(format!(
                "the Redis store was written with layout {layout:?}, this program has layout {}: use the program that fits, or copy the ledger",
                layout::VERSION
            )));
        }
        let state = || match fields.get("state") {
            None => Some(State::Open),
            Some(name) => STATES.iter().find(|(_, n)| n == name).map(|(state, _)| *state),
        };
        let meta = || {
            Some(Meta {
                partitions: number("partitions")?,
                epoch: number("epoch")?,
                generation: number("generation")?,
                ready: number("ready")? == 1,
                state: state()?,
            })
        };
        meta()
            .ok_or_else(|| LedgerError::LostHistory(format!("the store's own record {META} cannot be read")))
    }

    /// Why a store that is not open is not used.
    pub(super) fn check_open(self) -> Result<(), LedgerError> {
        match self.state {
            State::Open => Ok(()),
            State::Rebuilding => Err(LedgerError::Unavailable(
                "its balances are being rebuilt; where no rebuild runs any more, run `faregate ledger rebuild` again".to_owned(),
            )),
            State::Copying => Err(half_copied()),
        }
    }

    /// The record of a partition without entries.
    pub(super) fn empty_part(self) -> Vec<u8> {
        Writer::default()
            .number(self.stamp(), 7)
            .number(0, 6)
            .number(0, 7)
            .number(Credits::MAX.micros(), 7)
            .bytes(&[b'0'; 16])
            .0
    }
}

fn half_copied() -> LedgerError {
    LedgerError::Misconfigured(
        "a ledger is being copied into this Redis, or that was begun and did not come to its end: the ledger that was copied is the true one. Where no copy runs any more, empty this Redis and copy again".to_owned(),
    )
}

fn missing() -> LedgerError {
    LedgerError::LostHistory(format!("its own record {META} is missing"))
}

fn failed(fault: Fault) -> LedgerError {
    fault.for_caller("", 0)
}

async fn ask(router: &Router, partition: Option<u32>, cmd: &redis::Cmd) -> Result<Value, LedgerError> {
    router.ask(partition, cmd).await.map_err(failed)
}

/// A new store, should there be none.
#[derive(Clone, Copy, Debug)]
pub(super) struct New {
    /// How many partitions were asked for.
    pub(super) wanted: Option<u32>,
    /// How many it gets otherwise.
    pub(super) default: u32,
    /// Chance: its name.
    pub(super) epoch: u32,
}

/// Reads the record of a store that is to be used, or makes the store.
pub(super) async fn find_or_make(router: &Router, new: New) -> Result<Meta, LedgerError> {
    router.learn(0).await.map_err(failed)?;
    let stored = ask(router, None, redis::cmd("GET").arg(META)).await?;
    let meta = match stored {
        Value::BulkString(stored) => Meta::read(&stored)?,
        _ => begin(router, new, State::Open).await?,
    };
    if meta.state == State::Copying {
        return Err(half_copied());
    }
    if let Some(wanted) = new.wanted.filter(|wanted| *wanted != meta.partitions) {
        return Err(LedgerError::Misconfigured(format!(
            "the Redis store has {} partitions, {wanted} are asked for: the number cannot be changed",
            meta.partitions
        )));
    }
    make_parts(router, meta).await
}

/// Makes a store to copy into, closed to everybody else. A Redis that has a store already, however little is in it, is refused.
pub(super) async fn make_closed(router: &Router, new: New) -> Result<Meta, LedgerError> {
    router.learn(0).await.map_err(failed)?;
    if ask(router, None, redis::cmd("EXISTS").arg(META)).await? != Value::Int(0) {
        let meta = again(router).await?;
        return Err(match meta.state {
            State::Copying => half_copied(),
            _ => LedgerError::Misconfigured(
                "the Redis to copy to has a ledger already: give an empty one, or another database of it"
                    .to_owned(),
            ),
        });
    }
    let partitions = new.wanted.unwrap_or(new.default);
    router.learn(partitions).await.map_err(failed)?;
    for n in 0..partitions {
        if ask(router, Some(n), &redis::cmd("DBSIZE")).await? != Value::Int(0) {
            return Err(LedgerError::Misconfigured(
                "the Redis to copy to is not empty, though it has no ledger: give an empty one, or another database of it"
                    .to_owned(),
            ));
        }
    }
    let meta = begin(router, new, State::Copying).await?;
    if (meta.epoch, meta.state) != (new.epoch, State::Copying) {
        return Err(LedgerError::Misconfigured(
            "somebody else has just begun a ledger in the Redis to copy to".to_owned(),
        ));
    }
    make_parts(router, meta).await
}

async fn make_parts(router: &Router, meta: Meta) -> Result<Meta, LedgerError> {
    if meta.ready {
        return Ok(meta);
    }
    // Made by nobody yet, or by one who did not get to the end: there cannot be anything to lose.
    router.learn(meta.partitions).await.map_err(failed)?;
    let part = meta.empty_part();
    for n in 0..meta.partitions {
        let key = Keys(n).part();
        let mut set = redis::cmd("SET");
        set.arg(&key).arg(part.as_slice()).arg("NX");
        ask(router, Some(n), &set).await?;
    }
    let ready = Meta { ready: true, ..meta };
    ask(router, None, redis::cmd("SET").arg(META).arg(ready.text())).await?;
    Ok(ready)
}

/// Writes the record of a new store; of two who do so at once the first counts.
async fn begin(router: &Router, new: New, state: State) -> Result<Meta, LedgerError> {
    let partitions = new.wanted.unwrap_or(new.default);
    router.learn(partitions).await.map_err(failed)?;
    for n in 0..partitions {
        let key = Keys(n).part();
        if ask(router, Some(n), redis::cmd("EXISTS").arg(&key)).await? != Value::Int(0) {
            return Err(LedgerError::LostHistory(format!(
                "its own record {META} is missing and partition {n} is there"
            )));
        }
    }
    let meta = Meta {
        partitions,
        epoch: new.epoch,
        generation: 1,
        ready: false,
        state,
    };
    let mut set = redis::cmd("SET");
    set.arg(META).arg(meta.text()).arg("NX");
    ask(router, None, &set).await?;
    again(router).await
}

/// Reads the record of a store that was opened before.
pub(super) async fn again(router: &Router) -> Result<Meta, LedgerError> {
    match ask(router, None, redis::cmd("GET").arg(META)).await? {
        Value::BulkString(stored) => Meta::read(&stored),
        _ => Err(missing()),
    }
}

/// Gives the store another generation and state, unless somebody else does just then.
async fn replace(
    router: &Router,
    scripts: &Scripts,
    context: Context,
    (old, new): (Meta, Meta),
) -> Result<Meta, LedgerError> {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(scripts.hash(Script::Meta))
        .arg(1)
        .arg(META)
        .arg(context.head(0, 0))
        .arg(old.text())
        .arg(new.text());
    match router.call_home(Script::Meta, &cmd).await.map_err(failed)? {
        Value::Int(1) => Ok(new),
        _ => Err(LedgerError::Unavailable(
            "somebody else is rebuilding it just now".to_owned(),
        )),
    }
}

/// Closes the store to all its users, who know the generation before.
pub(super) async fn close(
    router: &Router,
    scripts: &Scripts,
    context: Context,
    state: State,
) -> Result<Meta, LedgerError> {
    let old = again(router).await?;
    let new = Meta {
        generation: old.generation + 1,
        state,
        ..old
    };
    replace(router, scripts, context, (old, new)).await
}

/// Opens a store that was closed; its users learn the generation.
pub(super) async fn open(
    router: &Router,
    scripts: &Scripts,
    context: Context,
    closed: Meta,
) -> Result<Meta, LedgerError> {
    let new = Meta {
        state: State::Open,
        ..closed
    };
    replace(router, scripts, context, (closed, new)).await
}
