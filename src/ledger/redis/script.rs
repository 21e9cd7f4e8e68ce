//! The Lua scripts: which parts each is made of, and how their text is rendered.
//!
//! Bodies name records' fields (`A.held`), formats (`F.account`), lengths (`L.account`), answers (`R.stale` as text, `N.stale` as number), operations
//! (`O.admit`), states (`S.open`), entries' kinds (`E.hold`) and bounds (`M.max`); rendering puts the numbers in their places, so that they cost
//! nothing at run time and no script has a bare one. Comments are left out.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::codes;
use super::layout;
use crate::domain::account::REASONS_MAX;
use crate::domain::claim::CLAIM_LASTS;
use crate::domain::command::{HOLD_ID_SKEW, HOLDS_REMEMBERED};
use crate::domain::credits::Credits;
use crate::domain::grant::{LIVE_GRANTS_MAX, PRIORITY_MAX};
use crate::domain::key::KEYS_MAX;
use crate::domain::time::Span;

/// How long Redis keeps the record of a claim: longer than it counts.
pub(super) const CLAIM_KEPT: Span = Span::from_secs(CLAIM_LASTS.secs_ceil() + 60);

macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        /// The parts by name, which is their file's.
        const PARTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("lua/", $name, ".lua")))),*];
    };
}

parts![
    "lib/clock",
    "lib/test_clock",
    "lib/frame",
    "lib/hot",
    "lib/limits",
    "lib/holds",
    "lib/keys",
    "lib/book",
    "lib/due",
    "lib/time",
    "lib/grants",
    "lib/keep_book",
    "lib/write",
    "op/claim",
    "op/admit",
    "op/extend",
    "op/renew",
    "op/settle",
    "hot",
    "one",
    "cold/put_grant",
    "cold/date_grant",
    "cold/adjust",
    "cold/apply_due",
    "cold/set_account",
    "cold/put_key",
    "cold/revoke_key",
    "lib/read",
    "read/lookup",
    "read/account",
    "read/statement",
    "read/keys",
    "read/hold",
    "read/accounts",
    "read/entries",
    "read/of_hold",
    "read/days",
    "read/journal",
    "read/opened",
    "read/chunk",
    "read/whole",
    "sweep/begin",
    "sweep/visit",
    "memo/write",
    "memo/due",
    "memo/named",
    "memo/read",
    "memo/forget",
    "store/meta",
    "store/fence",
    "store/put",
    "store/drop",
];

/// A script.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Script {
    /// Everything about holds, in batches, for accounts where nothing is due.
    Hot,
    /// The same for one operation, with the account's grants at hand.
    Full,
    PutGrant,
    Adjust,
    ApplyDue,
    SetAccount,
    PutKey,
    RevokeKey,
    Lookup,
    Account,
    Statement,
    Keys,
    Hold,
    Accounts,
    Entries,
    OfHold,
    Days,
    Journal,
    Opened,
    Chunk,
    Whole,
    Begin,
    Visit,
    MemoWrite,
    MemosDue,
    MemosNamed,
    MemosRead,
    MemosForget,
    Meta,
    Fence,
    Put,
    Drop,
}

const OPERATIONS: &[&str] = &[
    "lib/holds",
    "op/claim",
    "op/admit",
    "op/extend",
    "op/renew",
    "op/settle",
    "hot",
];
const BOOK: &[&str] = &["lib/keys", "lib/book", "lib/due", "lib/time"];

impl Script {
    pub(super) const ALL: [Script; 32] = [
        Script::Hot,
        Script::Full,
        Script::PutGrant,
        Script::Adjust,
        Script::ApplyDue,
        Script::SetAccount,
        Script::PutKey,
        Script::RevokeKey,
        Script::Lookup,
        Script::Account,
        Script::Statement,
        Script::Keys,
        Script::Hold,
        Script::Accounts,
        Script::Entries,
        Script::OfHold,
        Script::Days,
        Script::Journal,
        Script::Opened,
        Script::Chunk,
        Script::Whole,
        Script::Begin,
        Script::Visit,
        Script::MemoWrite,
        Script::MemosDue,
        Script::MemosNamed,
        Script::MemosRead,
        Script::MemosForget,
        Script::Meta,
        Script::Fence,
        Script::Put,
        Script::Drop,
    ];

    /// The part of a script that only reads.
    fn reads(self) -> Option<&'static str> {
        Some(match self {
            Script::Lookup => "read/lookup",
            Script::Account => "read/account",
            Script::Statement => "read/statement",
            Script::Keys => "read/keys",
            Script::Hold => "read/hold",
            Script::Accounts => "read/accounts",
            Script::Entries => "read/entries",
            Script::OfHold => "read/of_hold",
            Script::Days => "read/days",
            Script::Journal => "read/journal",
            Script::Opened => "read/opened",
            Script::Chunk => "read/chunk",
            Script::Whole => "read/whole",
            Script::MemosDue => "memo/due",
            Script::MemosNamed => "memo/named",
            Script::MemosRead => "memo/read",
            _ => return None,
        })
    }

    fn parts(self) -> Vec<&'static str> {
        if let Some(part) = self.reads() {
            return vec!["lib/read", part];
        }
        let groups: &[&[&'static str]] = match self {
            Script::Hot => &[&["lib/limits", "lib/hot"], OPERATIONS, &["lib/write"]],
            Script::Full => &[&["lib/limits"], BOOK, OPERATIONS, &["lib/keep_book", "lib/write"]],
            Script::PutGrant => &[
                &["lib/limits"],
                BOOK,
                &[
                    "lib/grants",
                    "cold/put_grant",
                    "cold/date_grant",
                    "one",
                    "lib/keep_book",
                    "lib/write",
                ],
            ],
            Script::Adjust => &[
                &["lib/limits"],
                BOOK,
                &["lib/grants", "cold/adjust", "one", "lib/keep_book", "lib/write"],
            ],
            Script::ApplyDue => &[
                &["lib/limits"],
                BOOK,
                &["cold/apply_due", "one", "lib/keep_book", "lib/write"],
            ],
            Script::SetAccount => &[&["lib/keys", "cold/set_account", "one", "lib/write"]],
            Script::PutKey => &[&["lib/keys", "cold/put_key", "one", "lib/write"]],
            Script::RevokeKey => &[&["lib/keys", "cold/revoke_key", "one", "lib/write"]],
            Script::Begin => return vec!["lib/read", "sweep/begin"],
            Script::Visit => return vec!["lib/read", "sweep/visit"],
            Script::MemoWrite => return vec!["lib/read", "memo/write"],
            Script::MemosForget => return vec!["lib/read", "memo/forget"],
            Script::Meta => return vec!["store/meta"],
            Script::Fence => return vec!["store/fence"],
            Script::Drop => return vec!["store/drop"],
            Script::Put => return vec!["lib/read", "store/put"],
            _ => &[],
        };
        std::iter::once("lib/frame").chain(groups.concat()).collect()
    }
}

/// How scripts are rendered for a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Rendering {
    /// From Redis 7 on: read-only servers and full memory refuse the script before it starts, also one that would change nothing.
    pub(super) shebang: bool,
    /// A test sets the time.
    pub(super) test_time: bool,
}

/// The scripts' texts, with the SHA-1 by which each is called.
#[derive(Debug)]
pub(super) struct Scripts(BTreeMap<Script, (String, String)>);

impl Scripts {
    pub(super) fn new(rendering: Rendering) -> Scripts {
        let names = Names::new();
        let rendered = |script: Script| {
            let text = render(script, rendering, &names);
            let hash = redis::Script::new(&text).get_hash().to_owned();
            (text, hash)
        };
        Scripts(Script::ALL.into_iter().map(|s| (s, rendered(s))).collect())
    }

    /// Its SHA-1.
    pub(super) fn hash(&self, script: Script) -> &str {
        self.0.get(&script).map_or("", |(_, hash)| hash)
    }

    /// Its text.
    pub(super) fn text(&self, script: Script) -> &str {
        self.0.get(&script).map_or("", |(text, _)| text)
    }
}

fn part(name: &str) -> &'static str {
    PARTS
        .iter()
        .find(|(n, _)| *n == name)
        .map_or("", |(_, text)| text)
}

fn render(script: Script, rendering: Rendering, names: &Names) -> String {
    let clock = if rendering.test_time {
        "lib/test_clock"
    } else {
        "lib/clock"
    };
    let mut text = String::new();
    if rendering.shebang {
        let flags = if script.reads().is_some() {
            " flags=no-writes"
        } else {
            ""
        };
        let _ = writeln!(text, "#!lua{flags}");
    }
    for name in std::iter::once(clock).chain(script.parts()) {
        for line in part(name)
            .lines()
            .filter(|l| !l.trim_start().starts_with("--") && !l.trim().is_empty())
        {
            names.put(line, &mut text);
            text.push('\n');
        }
    }
    text
}

/// What each name in a script stands for.
struct Names(BTreeMap<String, String>);

impl Names {
    fn new() -> Names {
        let mut names = BTreeMap::new();
        let mut add = |table: char, name: &str, value: String| {
            names.insert(format!("{table}.{name}"), value);
        };
        for layout in layout::ALL {
            add('F', layout.name, quoted(layout.format().as_bytes()));
            add('L', layout.name, layout.len().to_string());
            add(
                'L',
                &format!("{}_fields", layout.name),
                layout.count().to_string(),
            );
            add(
                'F',
                &format!("no_{}", layout.name),
                quoted(&vec![0; layout.len()]),
            );
            for (at, (field, _)) in layout.fields.iter().enumerate() {
                if let Some(table) = layout.table {
                    add(table, field, (at + 1).to_string());
                }
            }
        }
        // In memory only: a partition's time, answer, entries and what waits for them; an account's cold counters, past the place that `unpack` adds.
        for (at, name) in ["now", "bad", "adds", "after"].into_iter().enumerate() {
            add('P', name, (layout::PART.count() + 1 + at).to_string());
        }
        for (at, (name, _)) in layout::COLD.fields.iter().enumerate() {
            add('A', name, (layout::ACCOUNT.count() + 2 + at).to_string());
        }
        for (name, ask) in codes::ASKS {
            add('O', name, (*ask as u8).to_string());
        }
        for (name, visit) in codes::VISITS {
            add('O', name, (*visit as u8).to_string());
        }
        let holds = codes::HOLD_STATES.iter().map(|(name, n, _)| (*name, *n));
        let grants = codes::GRANT_STATES.iter().map(|(name, n, _)| (*name, *n));
        let categories = codes::CATEGORIES.iter().map(|(name, n, _)| (*name, *n));
        for (name, number) in holds.chain(grants).chain(categories) {
            add('S', name, number.to_string());
        }
        for (name, number, _) in codes::CODES {
            add('R', name, quoted(&[*number]));
            add('N', name, number.to_string());
        }
        for (name, number) in codes::entry_kinds() {
            add('E', name, number.to_string());
        }
        for (name, number) in [
            ("max", Credits::MAX.micros()),
            ("day", 86_400_000_000),
            ("minute", 60_000_000),
            ("remembered", HOLDS_REMEMBERED.micros()),
            ("claim_lasts", CLAIM_LASTS.micros()),
            ("claim_kept", CLAIM_KEPT.micros() / 1_000),
            ("skew", HOLD_ID_SKEW.micros() / 1_000),
            ("grants_max", LIVE_GRANTS_MAX as i64),
            ("priority_max", i64::from(PRIORITY_MAX)),
            ("reasons_max", REASONS_MAX as i64),
            ("keys_max", KEYS_MAX as i64),
        ] {
            add('M', name, number.to_string());
        }
        Names(names)
    }

    /// Writes a line with every name replaced. One that is not known stays and makes the script fail, which a test sees.
    fn put(&self, line: &str, text: &mut String) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut rest = line;
        while let Some(dot) = rest.find('.') {
            let before = &rest[..dot];
            let table = before.chars().next_back();
            let apart = !before.chars().rev().nth(1).is_some_and(is_word);
            let after = &rest[dot + 1..];
            let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
            let name = match table {
                Some(table) if apart => self.0.get(&format!("{table}.{}", &after[..end])),
                _ => None,
            };
            match name {
                Some(value) => {
                    text.push_str(&before[..before.len() - 1]);
                    text.push_str(value);
                }
                None => text.push_str(&rest[..dot + 1 + end]),
            }
            rest = &after[end..];
        }
        text.push_str(rest);
    }
}

/// A Lua string of any bytes.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("'");
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || *byte == b'<' {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "\\{byte:03}");
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn every_name_in_a_script_is_declared_and_every_part_is_used() {
        let names = Names::new();
        let mut used = std::collections::BTreeSet::new();
        for script in Script::ALL {
            let text = render(script, Rendering::default(), &names);
            for (at, _) in text.match_indices('.') {
                let before = &text[..at];
                let table = before.chars().next_back().unwrap_or(' ');
                let apart = !before
                    .chars()
                    .rev()
                    .nth(1)
                    .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                assert!(
                    !(apart && "AFGHLMNOPRSE".contains(table)),
                    "{script:?}: {}",
                    &text[at - 1..(at + 30).min(text.len())]
                );
            }
            used.extend(script.parts());
        }
        used.extend(["lib/clock", "lib/test_clock"]);
        for (name, _) in PARTS {
            assert!(used.contains(name), "{name} is in no script");
        }
    }

    #[test]
    fn scripts_do_not_name_what_lua_cannot_keep_exact() {
        for (name, text) in PARTS {
            assert!(!text.contains("cjson"), "{name}");
            assert!(text.lines().count() < 100, "{name}");
            assert!(text.starts_with("--"), "{name} says what it is for");
        }
    }

    /// The calendar is counted in Rust and in Lua: the same day and month on every day that a time can have.
    #[test]
    fn days_and_months_are_the_same_in_lua_on_every_day() {
        let names = Names::new();
        let mut text = String::from("local floor = math.floor\n");
        for line in part("lib/limits").lines() {
            names.put(line, &mut text);
            text.push('\n');
        }
        text.push_str("return function(now) date(now) return today, month end");
        let lua = mlua::Lua::new();
        let date: mlua::Function = lua.load(&text).eval().unwrap();
        let day = crate::domain::time::Span::from_secs(86_400);
        let last = crate::domain::time::Span::from_micros(day.micros() - 1);
        let mut at = Timestamp::ZERO;
        while at.plus(day) < Timestamp::NEVER {
            for at in [at, at.plus(last)] {
                // As in Redis: a number of Lua, exact below 2^53.
                let found: (f64, f64) = date.call(at.micros() as f64).unwrap();
                assert_eq!(found, (at.day() as f64, at.month() as f64), "{at:?}");
            }
            at = at.plus(day);
        }
    }
}
