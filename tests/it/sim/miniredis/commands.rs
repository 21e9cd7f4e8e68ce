//! What a client or a script may ask: a table of commands, each a function over the keyspace.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::{Disk, Effects};
use super::keyspace::{Db, Value};
use super::reply::Reply;

mod hashes;
mod keys;
mod lists;
mod server;
mod sets;
mod streams;
mod strings;

/// The version it says it is.
pub(crate) const VERSION: &str = "7.0.15";

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const SYNTAX: &str = "ERR syntax error";
const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// A connection's own state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) db: usize,
    pub(crate) name: Vec<u8>,
}

/// Why the server cannot do all it is asked just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Loading,
    Busy,
    Full,
    ReadOnly,
    DiskError,
    NoReplicas,
}

/// A server's memory.
pub(crate) struct Core {
    pub(crate) dbs: BTreeMap<usize, Db>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) condition: Option<Condition>,
    pub(crate) run_id: String,
    /// How many commands it did, those of scripts included.
    pub(crate) commands_done: u64,
    now: Box<dyn Fn() -> i64>,
    disk: Disk,
    /// What the step under way has written so far.
    effects: Effects,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("dbs", &self.dbs)
            .finish_non_exhaustive()
    }
}

/// A command as it is known.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// Words, the name included; below zero: at least so many.
    pub(crate) arity: i32,
    pub(crate) writes: bool,
    /// Refused when memory is full.
    pub(crate) grows: bool,
    /// Not from a script.
    pub(crate) noscript: bool,
    /// Where keys are among the words: first, last (below zero: from the end), step. Zero for none.
    pub(crate) keys: (usize, i32, usize),
    run: fn(&mut Call<'_>) -> Result<Reply, Reply>,
}

/// A command being done.
pub(crate) struct Call<'a> {
    core: &'a mut Core,
    session: &'a mut Session,
    pub(crate) args: &'a [Vec<u8>],
    /// Something changed.
    dirty: bool,
    /// What the file gets instead of the words, so that it says the same at any time.
    as_written: Option<Vec<Vec<u8>>>,
}

type Answer = Result<Reply, Reply>;

fn refuse<T>(text: &str) -> Result<T, Reply> {
    Err(Reply::error(text))
}

/// The command of this name, in whatever case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    let name = name.to_ascii_lowercase();
    let tables = [
        strings::SPECS,
        keys::SPECS,
        hashes::SPECS,
        lists::SPECS,
        sets::SPECS,
        streams::SPECS,
        server::SPECS,
    ];
    tables
        .into_iter()
        .flatten()
        .find(|spec| spec.name.as_bytes() == name)
}

impl Spec {
    pub(crate) fn fits(&self, words: usize) -> bool {
        let arity = usize::try_from(self.arity.unsigned_abs()).expect("a few");
        if self.arity < 0 {
            words >= arity
        } else {
            words == arity
        }
    }

    /// The keys among a command's words.
    pub(crate) fn keys_of<'a>(&self, args: &'a [Vec<u8>]) -> Vec<&'a Vec<u8>> {
        let (first, last, step) = self.keys;
        if first == 0 {
            return Vec::new();
        }
        let last = if last < 0 {
            args.len() - usize::try_from(-last).expect("a few")
        } else {
            usize::try_from(last).expect("a few")
        };
        (first..=last)
            .step_by(step)
            .filter_map(|at| args.get(at))
            .collect()
    }
}

impl Core {
    pub(super) fn new(disk: Disk, now: Box<dyn Fn() -> i64>) -> Core {
        let mut core = Core {
            dbs: BTreeMap::new(),
            config: server::defaults(disk.fsync()),
            condition: None,
            run_id: server::run_id(now()),
            commands_done: 0,
            now,
            disk: Disk::default(),
            effects: Vec::new(),
        };
        let mut session = Session::default();
        for (db, args) in disk.steps().into_iter().flatten() {
            session.db = db;
            let reply = core.command(&mut session, &args);
            assert!(
                !matches!(reply, Reply::Error(_)),
                "the file says {args:?}: {reply:?}"
            );
        }
        core.effects.clear();
        core.disk = disk;
        core
    }

    /// Microseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        (self.now)()
    }

    /// What a client is told instead of an answer: the command is not known, has not the right number of words, or cannot be done now.
    pub(super) fn refusal(&self, _: &Session, args: &[Vec<u8>]) -> Option<Reply> {
        let name = args.first()?;
        let Some(spec) = find(name) else {
            let shown: String = args[1..]
                .iter()
                .map(|arg| format!("'{}' ", String::from_utf8_lossy(arg)))
                .collect();
            let name = String::from_utf8_lossy(name);
            return Some(Reply::Error(format!(
                "ERR unknown command '{name}', with args beginning with: {shown}"
            )));
        };
        if !spec.fits(args.len()) {
            return Some(Reply::Error(format!(
                "ERR wrong number of arguments for '{}' command",
                spec.name
            )));
        }
        self.denial(spec)
    }

    /// Why a command cannot be done now.
    pub(super) fn denial(&self, spec: &Spec) -> Option<Reply> {
        let always = matches!(
            spec.name,
            "info" | "config" | "client" | "hello" | "select" | "auth" | "script"
        );
        let text = match self.condition? {
            Condition::Loading if !always => "LOADING Redis is loading the dataset in memory",
            Condition::Busy if !matches!(spec.name, "script" | "auth" | "hello") => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
            }
            Condition::Full if spec.grows => "OOM command not allowed when used memory > 'maxmemory'.",
            Condition::ReadOnly if spec.writes => "READONLY You can't write against a read only replica.",
            Condition::DiskError if spec.writes => {
                "MISCONF Errors writing to the AOF file: No space left on device"
            }
            Condition::NoReplicas if spec.writes => "NOREPLICAS Not enough good replicas to write.",
            _ => return None,
        };
        Some(Reply::error(text))
    }

    /// Does a command that was not refused.
    pub(super) fn command(&mut self, session: &mut Session, args: &[Vec<u8>]) -> Reply {
        let Some(spec) = find(&args[0]) else {
            return Reply::error("ERR unknown command");
        };
        self.commands_done += 1;
        let mut call = Call {
            core: self,
            session,
            args,
            dirty: false,
            as_written: None,
        };
        for key in spec.keys_of(args) {
            call.drop_if_over(key);
        }
        let reply = (spec.run)(&mut call).unwrap_or_else(|refusal| refusal);
        let Call {
            dirty, as_written, ..
        } = call;
        if dirty {
            let words = as_written.unwrap_or_else(|| args.to_vec());
            self.effects.push((session.db, words));
        }
        reply
    }

    /// The step is over: what it wrote goes to the file together.
    pub(super) fn step_done(&mut self) {
        if !self.effects.is_empty() {
            self.disk.append(std::mem::take(&mut self.effects));
        }
    }
}

impl Call<'_> {
    fn db(&mut self) -> &mut Db {
        self.core.dbs.entry(self.session.db).or_default()
    }

    fn get(&mut self, key: &[u8]) -> Option<&mut Value> {
        self.db().values.get_mut(key)
    }

    fn put(&mut self, key: &[u8], value: Value) {
        self.dirty = true;
        self.db().values.insert(key.to_vec(), value);
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let db = self.db();
        db.expires.remove(key);
        let there = db.values.remove(key).is_some();
        self.dirty |= there;
        there
    }

    /// After something was taken out of a value: an empty one goes.
    fn changed(&mut self, key: &[u8]) {
        self.dirty = true;
        if self.get(key).is_some_and(|value| value.is_gone()) {
            self.remove(key);
        }
    }

    /// Takes a key away whose time is over, as Redis does when it is asked for.
    fn drop_if_over(&mut self, key: &[u8]) {
        let now = self.core.now() / 1_000;
        let over = self.db().expires.get(key).is_some_and(|at| *at <= now);
        if over {
            let db = self.db();
            db.expires.remove(key);
            db.values.remove(key);
            let effect = vec![b"DEL".to_vec(), key.to_vec()];
            self.core.effects.push((self.session.db, effect));
        }
    }

    fn int(&self, at: usize) -> Result<i64, Reply> {
        integer(&self.args[at]).ok_or_else(|| Reply::error(NOT_AN_INTEGER))
    }

    /// The word at a place in capitals, to tell options by.
    fn word(&self, at: usize) -> Vec<u8> {
        self.args
            .get(at)
            .map(|w| w.to_ascii_uppercase())
            .unwrap_or_default()
    }
}

/// A number as Redis takes it: no sign but minus, no leading zeros, no blanks.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let n: i64 = text.parse().ok()?;
    (n.to_string() == text).then_some(n)
}

/// First and last of a range that may count from the end, as positions from `from` to before `to`.
fn range(first: i64, last: i64, len: usize) -> std::ops::Range<usize> {
    let len = i64::try_from(len).expect("a length");
    let first = if first < 0 { (first + len).max(0) } else { first };
    let last = if last < 0 { last + len } else { last }.min(len - 1);
    if first > last {
        return 0..0;
    }
    let place = |n: i64| usize::try_from(n).expect("within the length");
    place(first)..place(last + 1)
}
