//! `EVAL`: scripts on the real Lua 5.1, each one step.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, MultiValue, StdLib, Table, Value};

use super::commands::{self, Condition, Core, Session};
use super::reply::Reply;
use super::structs;

mod sha1;

/// The scripts a server knows.
pub(crate) struct Scripts {
    lua: Lua,
    run: Function,
    core: Rc<RefCell<Core>>,
    under_way: Rc<RefCell<UnderWay>>,
    known: RefCell<BTreeMap<String, Script>>,
    /// What is run in place of a script.
    spoil: Spoil,
}

/// Changes a script as it is loaded; it keeps its name.
pub(crate) type Spoil = Box<dyn Fn(&str) -> String>;

#[derive(Clone)]
struct Script {
    function: Function,
    /// It begins with `#!lua`: what it may do is checked before it starts.
    declared: bool,
    reads_only: bool,
}

/// What the script under way may do.
#[derive(Debug, Default)]
struct UnderWay {
    session: Session,
    keys: BTreeSet<Vec<u8>>,
    reads_only: bool,
    /// From its first write on nothing can stop it.
    wrote: bool,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts")
            .field("known", &self.known.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Scripts {
    pub(super) fn new(core: Rc<RefCell<Core>>, spoil: Spoil) -> Scripts {
        let under_way = Rc::new(RefCell::new(UnderWay::default()));
        let (lua, run) = environment(&core, &under_way).expect("the prelude is sound");
        Scripts {
            lua,
            run,
            core,
            under_way,
            known: RefCell::default(),
            spoil,
        }
    }

    /// `SCRIPT LOAD|EXISTS|FLUSH`.
    pub(super) fn manage(&self, args: &[Vec<u8>]) -> Reply {
        match (args[1].to_ascii_uppercase().as_slice(), args.len()) {
            (b"LOAD", 3) => match self.load(&args[2]) {
                Ok(sha) => Reply::bulk(sha),
                Err(refusal) => refusal,
            },
            (b"EXISTS", n) if n >= 3 => {
                let known = self.known.borrow();
                let is_known =
                    |sha: &Vec<u8>| known.contains_key(&String::from_utf8_lossy(sha).to_ascii_lowercase());
                Reply::Array(
                    args[2..]
                        .iter()
                        .map(|sha| Reply::Int(i64::from(is_known(sha))))
                        .collect(),
                )
            }
            (b"FLUSH", _) => {
                self.known.borrow_mut().clear();
                Reply::ok()
            }
            (b"KILL", 2) => Reply::error("NOTBUSY No scripts in execution right now."),
            _ => Reply::error("ERR Unknown subcommand or wrong number of arguments for 'SCRIPT'"),
        }
    }

    fn load(&self, text: &[u8]) -> Result<String, Reply> {
        let sha = sha1::hex(text);
        if !self.known.borrow().contains_key(&sha) {
            let spoilt = (self.spoil)(&String::from_utf8_lossy(text));
            let script = self.compile(spoilt.as_bytes())?;
            self.known.borrow_mut().insert(sha.clone(), script);
        }
        Ok(sha)
    }

    fn compile(&self, text: &[u8]) -> Result<Script, Reply> {
        let declared = text.starts_with(b"#!");
        let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
        // The first line's break stays, so that lines are counted right.
        let (shebang, body) = if declared {
            text.split_at(end)
        } else {
            text.split_at(0)
        };
        let shebang = String::from_utf8_lossy(shebang);
        let mut words = shebang.split_whitespace();
        if declared && words.next() != Some("#!lua") {
            return Err(Reply::Error(format!(
                "ERR Unexpected engine in script shebang: {shebang}"
            )));
        }
        let mut reads_only = false;
        for word in words {
            for flag in word.strip_prefix("flags=").unwrap_or(word).split(',') {
                match flag {
                    "no-writes" => reads_only = true,
                    "allow-oom" | "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                    _ => {
                        return Err(Reply::Error(format!(
                            "ERR Unexpected flag in script shebang: {flag}"
                        )));
                    }
                }
            }
        }
        let chunk = self.lua.load(body).set_name("@user_script");
        let function = chunk.into_function().map_err(|error| {
            let what = match error {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            Reply::Error(format!("ERR Error compiling script (new function): {what}"))
        })?;
        Ok(Script {
            function,
            declared,
            reads_only,
        })
    }

    /// `EVAL script numkeys key ... arg ...`, or the same by the script's hash.
    pub(super) fn eval(&self, session: &Session, args: &[Vec<u8>]) -> Reply {
        let name = args[0].to_ascii_uppercase();
        let numkeys = std::str::from_utf8(&args[2])
            .ok()
            .and_then(|n| n.parse::<i64>().ok());
        let Some(numkeys) = numkeys else {
            return Reply::error("ERR value is not an integer or out of range");
        };
        let Ok(numkeys) = usize::try_from(numkeys) else {
            return Reply::error("ERR Number of keys can't be negative");
        };
        if numkeys > args.len() - 3 {
            return Reply::error("ERR Number of keys can't be greater than number of args");
        }
        let sha = if name.starts_with(b"EVALSHA") {
            String::from_utf8_lossy(&args[1]).to_ascii_lowercase()
        } else {
            match self.load(&args[1]) {
                Ok(sha) => sha,
                Err(refusal) => return refusal,
            }
        };
        let Some(script) = self.known.borrow().get(&sha).cloned() else {
            return Reply::error("NOSCRIPT No matching script. Please use EVAL.");
        };
        if let Some(denial) = self.denial(&script) {
            return denial;
        }
        let (keys, argv) = args[3..].split_at(numkeys);
        *self.under_way.borrow_mut() = UnderWay {
            session: session.clone(),
            keys: keys.iter().cloned().collect(),
            reads_only: script.reads_only || name.ends_with(b"_RO"),
            wrote: false,
        };
        self.answer(&script, &sha, keys, argv)
            .unwrap_or_else(|error| Reply::Error(format!("ERR the simulated Redis failed: {error}")))
    }

    /// Why a script that declares itself cannot start now.
    fn denial(&self, script: &Script) -> Option<Reply> {
        if !script.declared || script.reads_only {
            return None;
        }
        let text = match self.core.borrow().condition? {
            Condition::Full => {
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
            }
            Condition::ReadOnly => "READONLY You can not run script with write flag on readonly replica.",
            Condition::DiskError => "MISCONF Errors writing to the AOF file: No space left on device",
            Condition::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Condition::Loading | Condition::Busy => return None,
        };
        Some(Reply::error(text))
    }

    fn answer(&self, script: &Script, sha: &str, keys: &[Vec<u8>], argv: &[Vec<u8>]) -> mlua::Result<Reply> {
        let list = |items: &[Vec<u8>]| {
            let table = self.lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, self.lua.create_string(item)?)?;
            }
            mlua::Result::Ok(table)
        };
        let (went_well, value): (bool, Value) =
            self.run
                .call((script.function.clone(), list(keys)?, list(argv)?))?;
        if went_well {
            return reply(&value);
        }
        let Value::Table(error) = value else {
            return Ok(Reply::error("ERR the script failed and does not say how"));
        };
        let message: mlua::LuaString = error.get("err")?;
        let message = String::from_utf8_lossy(&message.as_bytes()).into_owned();
        Ok(
            match (
                error.get::<Option<String>>("source")?,
                error.get::<Option<i64>>("line")?,
            ) {
                (Some(source), Some(line)) => {
                    Reply::Error(format!("{message} script: {sha}, on {source}:{line}."))
                }
                _ => Reply::Error(message),
            },
        )
    }
}

/// Lua with what a script may use, and the function that runs one.
fn environment(core: &Rc<RefCell<Core>>, under_way: &Rc<RefCell<UnderWay>>) -> mlua::Result<(Lua, Function)> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    let (core, under_way) = (Rc::clone(core), Rc::clone(under_way));
    let raw = lua.create_function(move |lua, args: Table| {
        let mut words = Vec::with_capacity(args.raw_len());
        for word in args.sequence_values::<mlua::LuaString>() {
            words.push(word?.as_bytes().to_vec());
        }
        let reply = called(&mut core.borrow_mut(), &mut under_way.borrow_mut(), &words);
        let bad = matches!(reply, Reply::Error(_));
        Ok((value(lua, &reply)?, bad))
    })?;
    let sha1hex = lua.create_function(|_, text: mlua::LuaString| Ok(sha1::hex(&text.as_bytes())))?;
    let log = lua.create_function(|_, _: MultiValue| Ok(()))?;
    let whereabouts = lua.create_function(|lua, ()| Ok(whereabouts(lua)))?;
    let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude");
    let run = prelude.call((raw, sha1hex, structs::library(&lua)?, log, whereabouts))?;
    Ok((lua, run))
}

/// Source and line of the script's function that is the nearest below on the stack.
fn whereabouts(lua: &Lua) -> (Option<String>, Option<usize>) {
    let place = |level| {
        lua.inspect_stack(level, |debug| {
            let source = debug.source().source.map(|s| s.into_owned());
            let is_script = source
                .as_deref()
                .is_some_and(|s| s.trim_start_matches('@') == "user_script");
            (is_script.then(|| "@user_script".to_owned()), debug.current_line())
        })
    };
    let mut level = 0;
    while let Some((source, line)) = place(level) {
        if source.is_some() {
            return (source, line);
        }
        level += 1;
    }
    (None, None)
}

/// What a command that a script calls is answered.
fn called(core: &mut Core, under_way: &mut UnderWay, words: &[Vec<u8>]) -> Reply {
    let Some(spec) = commands::find(&words[0]) else {
        return Reply::error("ERR Unknown Redis command called from script");
    };
    if !spec.fits(words.len()) {
        return Reply::error("ERR Wrong number of args calling Redis command from script");
    }
    if spec.noscript {
        return Reply::error("ERR This Redis command is not allowed from script");
    }
    if spec.writes && under_way.reads_only {
        return Reply::error("ERR Write commands are not allowed from read-only scripts.");
    }
    if let Some(key) = spec
        .keys_of(words)
        .into_iter()
        .find(|key| !under_way.keys.contains(*key))
    {
        let key = String::from_utf8_lossy(key);
        return Reply::Error(format!(
            "ERR Script attempted to access the undeclared key '{key}'"
        ));
    }
    if !under_way.wrote
        && let Some(denial) = core.denial(spec)
    {
        return denial;
    }
    under_way.wrote |= spec.writes;
    core.command(&mut under_way.session, words)
}

/// An answer as a script sees it.
fn value(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let single = |field: &str, text: &str| {
        let table = lua.create_table()?;
        table.raw_set(field, text)?;
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Status(text) => single("ok", text),
        Reply::Error(text) => single("err", text),
        #[allow(clippy::cast_precision_loss, reason = "Lua's numbers are doubles")]
        Reply::Int(n) => Ok(Value::Number(*n as f64)),
        Reply::Bulk(bytes) => lua.create_string(bytes).map(Value::String),
        Reply::Nil | Reply::NilArray => Ok(Value::Boolean(false)),
        Reply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (at, item) in items.iter().enumerate() {
                table.raw_set(at + 1, value(lua, item)?)?;
            }
            Ok(Value::Table(table))
        }
    }
}

/// A script's answer as its client sees it: numbers cut to whole ones, tables up to the first hole.
fn reply(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::bulk(text.as_bytes()),
        Value::Boolean(true) => Reply::Int(1),
        Value::Integer(n) => Reply::Int(*n),
        #[allow(clippy::cast_possible_truncation, reason = "as Redis does it")]
        Value::Number(n) => Reply::Int(*n as i64),
        Value::Table(table) => {
            for (field, status) in [("err", false), ("ok", true)] {
                if let Value::String(text) = table.raw_get(field)? {
                    let text = String::from_utf8_lossy(&text.as_bytes()).into_owned();
                    return Ok(if status {
                        Reply::Status(text)
                    } else {
                        Reply::Error(text)
                    });
                }
            }
            let mut items = Vec::new();
            for at in 1.. {
                match table.raw_get(at)? {
                    Value::Nil => break,
                    item => items.push(reply(&item)?),
                }
            }
            Reply::Array(items)
        }
        _ => Reply::Nil,
    })
}
