//! The grammar, without recursion.

use super::ends::{self, Ends};
use super::names::{Mark, Names};
use super::text::{hex, pair, plain_until};
use super::{DEPTH_MAX, MEMBERS_MAX, NAMES_MAX, Value};
use crate::meter::problem::{Problem, Quoted};

/// What may be, apart from the grammar.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    depth_max: usize,
    /// Whatever has more than one reading.
    doubtful: bool,
}

pub(super) const STRICT: Rules = Rules {
    depth_max: DEPTH_MAX,
    doubtful: false,
};

pub(super) const LOOSE: Rules = Rules {
    depth_max: 128,
    doubtful: true,
};

/// Levels of most texts.
const DEPTH_USUAL: usize = 8;

/// Numbers of fewer digits, without an exponent, are far from the end of the doubles.
const DIGITS_FEW: usize = 100;
/// What is beyond is refused: near their end, parsers differ in what is still a double.
const DOUBLE_MAX: f64 = 1e300;

pub(super) fn check<'a>(
    bytes: &'a [u8],
    rules: Rules,
    ends: Option<&mut Ends>,
) -> Result<Value<'a>, Problem> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(Problem::new(
            "it begins with a byte order mark: send the JSON without one",
        ));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(format!("it is not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut checker = Checker {
        bytes,
        text,
        at: 0,
        rules,
        names: Names::new(text),
        open: Vec::with_capacity(DEPTH_USUAL),
        ends,
    };
    checker.blanks();
    let start = checker.at;
    checker.value()?;
    let end = checker.at;
    checker.blanks();
    match bytes.get(checker.at) {
        None => Ok(Value {
            text,
            start,
            end,
            ends: ends::NONE,
        }),
        Some(_) => Err(checker.wrong("there is more behind the JSON value")),
    }
}

/// What is open, and where its end is noted.
#[derive(Clone, Copy)]
struct Open {
    kind: Bracket,
    noted: Option<usize>,
}

#[derive(Clone, Copy)]
enum Bracket {
    Array,
    Object(Mark),
}

struct Checker<'a, 'e> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    rules: Rules,
    names: Names<'a>,
    open: Vec<Open>,
    ends: Option<&'e mut Ends>,
}

impl Checker<'_, '_> {
    /// One value, with all that is in it.
    fn value(&mut self) -> Result<(), Problem> {
        loop {
            self.blanks();
            match self.bytes.get(self.at) {
                Some(b'{') => {
                    let mark = self.names.mark();
                    self.opens(Bracket::Object(mark))?;
                    if self.bytes.get(self.at) != Some(&b'}') {
                        self.name(mark)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.opens(Bracket::Array)?;
                    if self.bytes.get(self.at) != Some(&b']') {
                        continue;
                    }
                }
                Some(b'"') => drop(self.string()?),
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(b'N') if self.rules.doubtful => self.literal("NaN")?,
                Some(b'I') if self.rules.doubtful => self.literal("Infinity")?,
                Some(_) => return Err(self.wrong("there is no JSON value")),
                None => return Err(self.wrong("it ends too early")),
            }
            if !self.goes_on()? {
                return Ok(());
            }
        }
    }

    /// Behind a value: closes what closes. Whether another value is due, or it is over.
    fn goes_on(&mut self) -> Result<bool, Problem> {
        while let Some(open) = self.open.last().copied() {
            self.blanks();
            match (self.bytes.get(self.at), open.kind) {
                (Some(b','), Bracket::Array) => {
                    self.at += 1;
                    return Ok(true);
                }
                (Some(b','), Bracket::Object(mark)) => {
                    self.at += 1;
                    self.blanks();
                    self.name(mark)?;
                    return Ok(true);
                }
                (Some(b']'), Bracket::Array) => {}
                (Some(b'}'), Bracket::Object(mark)) => self.closes(mark)?,
                (None, _) => return Err(self.wrong("it ends too early")),
                (Some(_), _) => return Err(self.wrong("there is no comma or closing bracket")),
            }
            self.at += 1;
            self.open.pop();
            if let (Some(ends), Some(noted)) = (&mut self.ends, open.noted) {
                ends.close(noted, self.at);
            }
        }
        Ok(false)
    }

    /// A bracket, and the blanks behind it.
    fn opens(&mut self, kind: Bracket) -> Result<(), Problem> {
        if self.open.len() >= self.rules.depth_max {
            let deep = format!("it is nested deeper than {} levels", self.rules.depth_max);
            return Err(self.wrong(&deep));
        }
        let noted = self.ends.as_mut().and_then(|ends| ends.open(self.at));
        self.open.push(Open { kind, noted });
        self.at += 1;
        self.blanks();
        Ok(())
    }

    fn closes(&mut self, mark: Mark) -> Result<(), Problem> {
        match self.names.close(mark) {
            Some(twice) => Err(self.twice(&twice)),
            None => Ok(()),
        }
    }

    /// A name and its colon.
    fn name(&mut self, mark: Mark) -> Result<(), Problem> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.wrong("there is no name in quotes"));
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let end = self.at - 1;
        if !self.rules.doubtful {
            if self.names.count(mark) >= MEMBERS_MAX {
                let many = format!("an object has more than {MEMBERS_MAX} members");
                return Err(self.wrong(&many));
            }
            if self.names.len() >= NAMES_MAX {
                let many = format!("objects within one another have more than {NAMES_MAX} members");
                return Err(self.wrong(&many));
            }
            if self.names.add(mark, start, end, escaped) {
                let name = super::text::decoded(self.text.get(start..end).unwrap_or_default());
                return Err(self.twice(&name));
            }
        }
        self.blanks();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.wrong("there is no colon behind a name"));
        }
        self.at += 1;
        Ok(())
    }

    /// A string, up to behind its closing quote. Whether it has escapes.
    fn string(&mut self) -> Result<bool, Problem> {
        let mut escaped = false;
        let start = self.at;
        self.at += 1;
        loop {
            self.at = plain_until(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    if let Some(ends) = &mut self.ends {
                        ends.note(start, self.at);
                    }
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.wrong("a string has a control character that is not escaped")),
                None => return Err(self.wrong("it ends within a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Problem> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(first) = hex(self.bytes.get(self.at + 2..self.at + 6)) else {
                    return Err(self.wrong("`\\u` is not followed by four hexadecimal digits"));
                };
                let half = (0xd800..0xe000).contains(&first);
                if half && !self.rules.doubtful {
                    let follows = self.bytes.get(self.at + 6..self.at + 8) == Some(b"\\u");
                    let second = follows.then(|| hex(self.bytes.get(self.at + 8..self.at + 12)));
                    if second.flatten().and_then(|second| pair(first, second)).is_none() {
                        return Err(self.wrong("there is half of a surrogate pair"));
                    }
                    self.at += 6;
                }
                self.at += 6;
            }
            _ => return Err(self.wrong("a string has an unknown escape")),
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), Problem> {
        let there = self.bytes.get(self.at..).unwrap_or_default();
        if !there.starts_with(word.as_bytes()) {
            return Err(self.wrong("there is no JSON value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Problem> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
            if self.rules.doubtful && self.bytes.get(self.at) == Some(&b'I') {
                return self.literal("Infinity");
            }
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.bytes.get(self.at), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        if (exponent || self.at - start > DIGITS_FEW) && !self.rules.doubtful {
            let number = self.text.get(start..self.at).unwrap_or_default();
            if !number
                .parse::<f64>()
                .is_ok_and(|number| number.abs() <= DOUBLE_MAX)
            {
                return Err(self.wrong("a number is too large"));
            }
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Problem> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let digits = rest
            .iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(rest.len());
        if digits == 0 {
            return Err(self.wrong("a number lacks digits"));
        }
        self.at += digits;
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn twice(&self, name: &str) -> Problem {
        self.wrong(&format!("{} is there twice in one object", Quoted(name)))
    }

    fn wrong(&self, what: &str) -> Problem {
        Problem::new(format!("{what} (at byte {})", self.at))
    }
}
