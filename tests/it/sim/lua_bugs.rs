//! Bugs planted into the rendered Lua of the Redis ledger as it is loaded, to see that the checks find them. In what is looked for, `#` stands for a number.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A bug: its name, and what becomes of what. All of a script's edits are made, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LuaBug {
    pub(crate) name: &'static str,
    edits: &'static [(&'static str, &'static str)],
}

pub(crate) const ALL: &[LuaBug] = &[
    LuaBug {
        name: "an admit that comes again opens a second hold",
        edits: &[(
            "  if values[hi] then\n    return again",
            "  if false then\n    return again",
        )],
    },
    LuaBug {
        name: "more is held than there is",
        edits: &[
            ("  if left < least then\n", "  if false then\n"),
            ("  return left < most and left or most\n", "  return most\n"),
        ],
    },
    LuaBug {
        name: "an ended hold gives nothing back",
        edits: &[("late and 0 or h[#]", "0")],
    },
    LuaBug {
        name: "what is held beyond the charge is kept",
        edits: &[("late and 0 or h[#]", "late and 0 or charge")],
    },
    LuaBug {
        name: "a capture that comes again charges again",
        edits: &[(
            "  elseif state == # or state == # then\n    return used",
            "  elseif true then\n    return used",
        )],
    },
    LuaBug {
        name: "a refused admit leaves its hold",
        edits: &[
            (
                "    amount, answer = affordable(a, g, limits, line, least, now)\n",
                "    amount, answer = affordable(a, g, limits, line, least, now)\n    \
                 values.refused, answer, amount = answer, nil, amount or least\n",
            ),
            ("  return written\nend", "  return values.refused or written\nend"),
        ],
    },
    LuaBug {
        name: "an extension that comes again adds again",
        edits: &[
            (
                "  elseif number == h[#] and number > 0 then\n",
                "  elseif false then\n",
            ),
            ("  elseif number ~= h[#] + 1 then\n", "  elseif false then\n"),
        ],
    },
    LuaBug {
        name: "renewals do not count",
        edits: &[("  if at > h[#] then\n", "  if false then\n")],
    },
    LuaBug {
        name: "the sweep sees nothing that ran out",
        edits: &[("    if h[#] <= at then\n", "    if false then\n")],
    },
    LuaBug {
        name: "an outdated caller is let in",
        edits: &[("  elseif version ~= a[#] then\n", "  elseif false then\n")],
    },
    LuaBug {
        name: "an adjustment that comes again is made again",
        edits: &[("  if first then\n", "  if false then\n")],
    },
    LuaBug {
        name: "a charge takes more than was used",
        edits: &[(
            "    charge, answer = judged(kind, p, a, h, used)\n",
            "    charge, answer = judged(kind, p, a, h, used)\n    charge = charge and charge + 7\n",
        )],
    },
    LuaBug {
        name: "the chain leaves the entry out",
        edits: &[(
            "redis.sha1hex(table.concat(adds, '', 5))",
            "redis.sha1hex(adds[5])",
        )],
    },
    LuaBug {
        name: "the journal skips a number",
        edits: &[(
            "local seq, number, adds = p[#] + 1, a[#] + 1,",
            "local seq, number, adds = p[#] + 2, a[#] + 1,",
        )],
    },
    LuaBug {
        name: "some records are not written",
        edits: &[(
            "    puts[n + 1], puts[n + 2] = KEYS[i], value\n",
            "    puts[n + 1], puts[n + 2] = KEYS[i], clock % 7 == 0 and values[i] or value\n",
        )],
    },
];

/// What was found of a bug's edits, to be sure that it was planted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planted(Arc<Mutex<BTreeSet<&'static str>>>);

impl LuaBug {
    /// The script with this bug in it, where it has a place for it.
    pub(crate) fn plant(self, script: &str, planted: &Planted) -> String {
        let mut text = script.to_owned();
        for (find, replace) in self.edits {
            match replaced(&text, find, replace) {
                Some(new) => text = new,
                None => return script.to_owned(),
            }
        }
        planted
            .0
            .lock()
            .expect("nothing panics with it")
            .insert(self.name);
        text
    }
}

impl Planted {
    pub(crate) fn is_in_place(&self, bug: LuaBug) -> bool {
        self.0.lock().expect("nothing panics with it").contains(bug.name)
    }
}

/// The text with its first match replaced; a `#` in the replacement is the next number that was matched.
fn replaced(text: &str, find: &str, replace: &str) -> Option<String> {
    let starts = text.char_indices().map(|(at, _)| at);
    let (start, end, numbers) = starts.into_iter().find_map(|start| {
        let (len, numbers) = matched(&text[start..], find)?;
        Some((start, start + len, numbers))
    })?;
    let mut numbers = numbers.into_iter();
    let mut new = text[..start].to_owned();
    for (n, part) in replace.split('#').enumerate() {
        if n > 0 {
            new.push_str(numbers.next()?);
        }
        new.push_str(part);
    }
    new.push_str(&text[end..]);
    Some(new)
}

/// Whether the text begins with the pattern: how long that is, and its numbers.
fn matched<'a>(text: &'a str, pattern: &str) -> Option<(usize, Vec<&'a str>)> {
    let (mut at, mut numbers) = (0, Vec::new());
    for (n, part) in pattern.split('#').enumerate() {
        if n > 0 {
            let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            numbers.push(&text[at..at + digits]);
            at += digits;
        }
        at += text[at..].starts_with(part).then_some(part.len())?;
    }
    Some((at, numbers))
}

#[test]
fn a_number_is_found_and_put_back() {
    let text = "x = a[12] + b[3]; y = a[4]";
    assert_eq!(
        replaced(text, "a[#] + b[#]", "b[#] - a[#]").unwrap(),
        "x = b[12] - a[3]; y = a[4]"
    );
    assert_eq!(replaced(text, "c[#]", ""), None);
}
