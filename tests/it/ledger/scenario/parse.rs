//! Reads stories. Every error says file, line and what was expected.

use faregate::domain::credits::Credits;
use faregate::domain::hold::OnExpiry;
use faregate::domain::limits::Limits;
use faregate::domain::time::Span;

use super::{Line, Story};

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Account(String, Option<String>),
    Key(String, Limits, Option<When>),
    Limits(Limits),
    Grant(String, GrantWords),
    Void(String),
    Hold(String, HoldWords),
    Extend(String, Range),
    Renew(String),
    Capture(String, Credits, Credits),
    Release(String),
    Sweep(OnExpiry),
    Adjust(String, Credits),
    Pause(String),
    Resume(String),
    Plan(Option<String>),
    Revoke(String),
    Remember(String),
    Again,
    Due,
    Tick(Span),
    NextDay,
    NextMonth,
    Balance(Vec<(String, Credits)>),
    GrantIs(String, Vec<(String, Credits)>, Option<String>),
    HoldIs(String, String, Vec<(String, Credits)>),
    Reasons(Vec<String>),
    Exceptions(Vec<(String, Credits)>),
    Journal(Vec<String>),
    Verify,
}

/// A time, told from now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    In(Span),
    Ago(Span),
    Never,
}

/// From the least to the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) least: Credits,
    pub(super) most: Credits,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GrantWords {
    pub(super) amount: Option<Credits>,
    pub(super) priority: Option<u8>,
    pub(super) promotional: bool,
    pub(super) starts: Option<When>,
    pub(super) expires: Option<When>,
    pub(super) older: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct HoldWords {
    pub(super) range: Range,
    pub(super) key: Option<String>,
    pub(super) ttl: Option<Span>,
    pub(super) credit: Credits,
    pub(super) tokens: u64,
    pub(super) remembered: bool,
    pub(super) made: Option<When>,
}

/// All stories of a file; an error is `file:line: what is wrong`.
pub(super) fn stories(file: &str, text: &str) -> Result<Vec<Story>, String> {
    let mut stories: Vec<Story> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if let Some(title) = line.strip_prefix("story ") {
            stories.push(Story {
                title: title.trim().to_owned(),
                lines: Vec::new(),
            });
            continue;
        }
        let Some(story) = stories.last_mut() else {
            return Err(format!(
                "{place}: a file begins with `story <title>`, not with `{line}`"
            ));
        };
        let (said, expected) = match line.split_once("->") {
            Some((said, expected)) => (said, Some(expected)),
            None => (line, None),
        };
        let mut words = Words {
            left: said.split_whitespace().collect(),
        };
        let step = step(&mut words)
            .and_then(|step| words.end().map(|()| step))
            .map_err(|what| format!("{place}: {what} in `{line}`"))?;
        if expected.is_some() && !step.is_done() {
            return Err(format!(
                "{place}: nothing is done here that could be answered: `{line}`"
            ));
        }
        story.lines.push(Line {
            place,
            text: line.to_owned(),
            step,
            expected: expected.map(|e| e.split(',').map(|part| part.trim().to_owned()).collect()),
        });
    }
    Ok(stories)
}

impl Step {
    /// It asks the ledger for something, which has an outcome.
    fn is_done(&self) -> bool {
        use Step::{
            Balance, Due, Exceptions, GrantIs, HoldIs, Journal, NextDay, NextMonth, Reasons, Remember, Tick,
            Verify,
        };
        !matches!(
            self,
            Balance(_)
                | GrantIs(..)
                | HoldIs(..)
                | Reasons(_)
                | Exceptions(_)
                | Journal(_)
                | Tick(_)
                | NextDay
                | NextMonth
                | Remember(_)
                | Due
                | Verify
        )
    }
}

fn step(words: &mut Words<'_>) -> Result<Step, String> {
    let verb = words.next("something to do")?;
    Ok(match verb {
        "account" => Step::Account(words.name()?, words.after("plan", Words::name)?),
        "key" => {
            let (name, expires) = (words.name()?, words.after("expires", Words::when)?);
            Step::Key(name, words.limits()?, expires)
        }
        "limits" => Step::Limits(words.limits()?),
        "grant" => Step::Grant(words.name()?, words.grant()?),
        "void" => Step::Void(words.name()?),
        "hold" => Step::Hold(words.name()?, words.hold()?),
        "extend" => Step::Extend(words.name()?, words.range()?),
        "renew" => Step::Renew(words.name()?),
        "capture" => {
            let (hold, used) = (words.name()?, words.amount()?);
            Step::Capture(
                hold,
                used,
                words.after("credit", Words::amount)?.unwrap_or_default(),
            )
        }
        "release" => Step::Release(words.name()?),
        "sweep" => Step::Sweep(words.on_expiry()?),
        "adjust" => Step::Adjust(words.name()?, words.amount()?),
        "pause" => Step::Pause(words.name()?),
        "resume" => Step::Resume(words.name()?),
        "plan" => Step::Plan(Some(words.name()?).filter(|plan| plan != "none")),
        "revoke" => Step::Revoke(words.name()?),
        "remember" => Step::Remember(words.name()?),
        "again" => Step::Again,
        "due" => Step::Due,
        "tick" => Step::Tick(words.span()?),
        "next-day" => Step::NextDay,
        "next-month" => Step::NextMonth,
        "balance" => Step::Balance(words.amounts(&BALANCE)?),
        "grant-is" => {
            let name = words.name()?;
            let state = words.one_of(&["pending", "active", "ending", "ended"]);
            Step::GrantIs(name, words.amounts(&GRANT)?, state)
        }
        "hold-is" => {
            let name = words.name()?;
            let state = words.one_of(&["open", "captured", "released", "expired", "unknown"]);
            let state = state.ok_or("a state is missing (open, captured, released, expired, unknown)")?;
            Step::HoldIs(name, state, words.amounts(&["held", "charged"])?)
        }
        "reasons" => Step::Reasons(words.rest()),
        "exceptions" => Step::Exceptions(words.amounts(&["overrun", "late", "clawback"])?),
        "journal" => Step::Journal(words.rest()),
        "verify" => Step::Verify,
        other => return Err(format!("`{other}` is none of the words that a line begins with")),
    })
}

const BALANCE: [&str; 6] = ["granted", "available", "held", "spent", "expired", "voided"];
const GRANT: [&str; 4] = ["drawn", "expired", "voided", "left"];

/// The words of a line that are not read yet.
struct Words<'a> {
    left: std::collections::VecDeque<&'a str>,
}

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.left.pop_front().ok_or_else(|| format!("{what} is missing"))
    }

    fn name(&mut self) -> Result<String, String> {
        self.next("a name").map(str::to_owned)
    }

    fn rest(&mut self) -> Vec<String> {
        self.left.drain(..).map(str::to_owned).collect()
    }

    fn end(&mut self) -> Result<(), String> {
        match self.left.front() {
            Some(word) => Err(format!("`{word}` means nothing here")),
            None => Ok(()),
        }
    }

    /// Whether the next word is this; if so it is read.
    fn has(&mut self, word: &str) -> bool {
        let is = self.left.front() == Some(&word);
        if is {
            self.left.pop_front();
        }
        is
    }

    fn one_of(&mut self, words: &[&str]) -> Option<String> {
        let word = words.iter().find(|word| self.has(word))?;
        Some((*word).to_owned())
    }

    /// What follows a word, where that word stands.
    fn after<T>(
        &mut self,
        word: &str,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        if self.has(word) {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let word = self.next("a number")?;
        word.parse()
            .map_err(|_| format!("`{word}` is not a whole number that fits here"))
    }

    fn amount(&mut self) -> Result<Credits, String> {
        amount(self.next("an amount of credits")?)
    }

    fn range(&mut self) -> Result<Range, String> {
        let word = self.next("an amount of credits")?;
        let (least, most) = word.split_once("..").unwrap_or((word, word));
        let (least, most) = (amount(least)?, amount(most)?);
        Ok(Range { least, most })
    }

    fn span(&mut self) -> Result<Span, String> {
        let word = self.next("a time")?;
        let unit = |suffix: &str, micros: i64| {
            let count: i64 = word.strip_suffix(suffix)?.parse().ok()?;
            Some(Span::from_micros(count.checked_mul(micros)?))
        };
        let second = 1_000_000;
        unit("us", 1)
            .or_else(|| unit("ms", 1_000))
            .or_else(|| unit("s", second))
            .or_else(|| unit("m", 60 * second))
            .or_else(|| unit("h", 3_600 * second))
            .or_else(|| unit("d", 86_400 * second))
            .ok_or_else(|| format!("`{word}` is not a time such as 30s, 10m, 2h or 1d"))
    }

    fn when(&mut self) -> Result<When, String> {
        if self.has("never") {
            return Ok(When::Never);
        }
        let span = self.span()?;
        Ok(if self.has("ago") {
            When::Ago(span)
        } else {
            When::In(span)
        })
    }

    fn on_expiry(&mut self) -> Result<OnExpiry, String> {
        match self.one_of(&["release", "capture"]).as_deref() {
            Some("capture") => Ok(OnExpiry::Capture),
            Some(_) => Ok(OnExpiry::Release),
            None => Err("what becomes of holds is missing (release, capture)".to_owned()),
        }
    }

    /// Named amounts up to the end of the line.
    fn amounts(&mut self, names: &[&str]) -> Result<Vec<(String, Credits)>, String> {
        let mut amounts = Vec::new();
        while !self.left.is_empty() {
            let name = self.name()?;
            if !names.contains(&name.as_str()) {
                return Err(format!("`{name}` is none of {}", names.join(", ")));
            }
            amounts.push((name, self.amount()?));
        }
        Ok(amounts)
    }

    fn limits(&mut self) -> Result<Limits, String> {
        let mut limits = Limits::NONE;
        while let Some(word) = self.left.pop_front() {
            match word {
                "none" => {}
                "requests-per-minute" => limits.requests_per_minute = Some(self.number()?),
                "tokens-per-minute" => limits.tokens_per_minute = Some(self.number()?),
                "concurrent" => limits.concurrent = Some(self.number()?),
                "per-day" => limits.spend_per_day = Some(self.amount()?),
                "per-month" => limits.spend_per_month = Some(self.amount()?),
                other => return Err(format!("`{other}` is no cap")),
            }
        }
        Ok(limits)
    }

    fn grant(&mut self) -> Result<GrantWords, String> {
        let mut grant = GrantWords::default();
        while let Some(word) = self.left.front().copied() {
            match word {
                "priority" => grant.priority = self.after(word, Words::number)?,
                "starts" => grant.starts = self.after(word, Words::when)?,
                "expires" => grant.expires = self.after(word, Words::when)?,
                "promotional" => grant.promotional = self.has(word),
                "older" => grant.older = self.has(word),
                _ => grant.amount = Some(self.amount()?),
            }
        }
        Ok(grant)
    }

    fn hold(&mut self) -> Result<HoldWords, String> {
        let mut hold = HoldWords {
            range: self.range()?,
            key: None,
            ttl: None,
            credit: Credits::ZERO,
            tokens: 0,
            remembered: false,
            made: None,
        };
        while let Some(word) = self.left.front().copied() {
            match word {
                "key" => hold.key = self.after(word, Words::name)?,
                "ttl" => hold.ttl = self.after(word, Words::span)?,
                "credit" => hold.credit = self.after(word, Words::amount)?.unwrap_or_default(),
                "tokens" => hold.tokens = self.after(word, Words::number)?.unwrap_or_default(),
                "remembered" => hold.remembered = self.has(word),
                "made" => hold.made = self.after(word, Words::when)?,
                other => return Err(format!("`{other}` means nothing here")),
            }
        }
        Ok(hold)
    }
}

fn amount(word: &str) -> Result<Credits, String> {
    word.parse().map_err(|e| format!("`{word}` is {e}"))
}

#[cfg(test)]
mod tests {
    use super::{Step, stories};

    #[test]
    fn a_story_is_read() {
        let read = stories(
            "x.txt",
            "story One\n\n  grant g 1.5 expires 10m # a note\nhold h 1..2 -> ok 1, available 0\n",
        );
        let read = read.unwrap();
        assert_eq!((read.len(), read[0].title.as_str()), (1, "One"));
        assert_eq!(read[0].lines[1].place, "x.txt:4");
        assert_eq!(
            read[0].lines[1].expected.as_deref().unwrap(),
            ["ok 1", "available 0"]
        );
        assert!(matches!(&read[0].lines[1].step, Step::Hold(name, _) if name == "h"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, error) in [
            (
                "hold h 1",
                "x.txt:1: a file begins with `story <title>`, not with `hold h 1`",
            ),
            (
                "story s\nholt h 1",
                "x.txt:2: `holt` is none of the words that a line begins with in `holt h 1`",
            ),
            (
                "story s\n\nhold h",
                "x.txt:3: an amount of credits is missing in `hold h`",
            ),
            (
                "story s\nhold h x",
                "x.txt:2: `x` is not a decimal number: write it like 12.5 in `hold h x`",
            ),
            (
                "story s\ntick 5",
                "x.txt:2: `5` is not a time such as 30s, 10m, 2h or 1d in `tick 5`",
            ),
            (
                "story s\ntick 5s soon",
                "x.txt:2: `soon` means nothing here in `tick 5s soon`",
            ),
            (
                "story s\nbalance 5",
                "x.txt:2: `5` is none of granted, available, held, spent, expired, voided in `balance 5`",
            ),
            (
                "story s\ntick 5s -> ok",
                "x.txt:2: nothing is done here that could be answered: `tick 5s -> ok`",
            ),
            (
                "story s\nkey k often 3",
                "x.txt:2: `often` is no cap in `key k often 3`",
            ),
        ] {
            assert_eq!(stories("x.txt", text).unwrap_err(), error);
        }
    }
}
