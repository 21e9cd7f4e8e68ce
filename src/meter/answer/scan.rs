//! A JSON text of any length, read in pieces with bounded memory: a few members are kept, and strings counted.

use memchr::memchr2;

/// What is kept of a text, by names of members of the outermost object.
#[derive(Debug)]
pub(in crate::meter) struct Wanted {
    /// Kept whole.
    pub(in crate::meter) kept: &'static [&'static str],
    /// An object of which the same members are kept.
    pub(in crate::meter) parent: &'static str,
    /// What the model wrote is in the strings in these.
    pub(in crate::meter) text: &'static [&'static str],
}

/// The most that is kept, in bytes.
const KEPT_MAX: usize = 64 << 10;
/// The longest name that is looked at, in bytes.
const NAME_MAX: usize = 64;
/// Strings of these names are not what the model wrote.
pub(in crate::meter) const NO_TEXT: [&str; 7] = [
    "role",
    "id",
    "type",
    "object",
    "status",
    "finish_reason",
    "signature",
];

/// Reads a text in pieces. Its grammar is not checked: what is no JSON gives nothing to keep.
#[derive(Debug)]
pub(super) struct Scan {
    wanted: &'static Wanted,
    depth: u32,
    string: Option<Escape>,
    /// The string that came last, as far as it is looked at, and how much of it is not said yet; `None` once it is known what it was.
    last: Option<(Vec<u8>, u64)>,
    /// Bytes of text that were found and are not said yet.
    found: u64,
    /// The text's first byte.
    first: Option<u8>,
    /// The name that came last.
    name: Vec<u8>,
    /// Within the member whose strings are text.
    in_text: bool,
    /// Within the parent.
    in_parent: bool,
    /// Where the member begins in `kept` that is being kept, and the depth it is at.
    keeping: Option<(usize, u32)>,
    kept: Vec<u8>,
    kept_of_parent: Vec<u8>,
    over: bool,
    /// Members were there that are text, should they have any.
    has_text: bool,
    /// Bytes that were read.
    read: u64,
}

/// Where a string stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    None,
    Backslash,
    /// So many digits of a `\u` are read, and their value.
    Unicode(u8, u32),
}

impl Scan {
    pub(super) fn new(wanted: &'static Wanted) -> Scan {
        Scan {
            wanted,
            depth: 0,
            string: None,
            last: None,
            found: 0,
            first: None,
            name: Vec::new(),
            in_text: false,
            in_parent: false,
            keeping: None,
            kept: Vec::new(),
            kept_of_parent: Vec::new(),
            over: false,
            has_text: false,
            read: 0,
        }
    }

    /// Reads on; bytes of text that were found.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> u64 {
        let mut at = 0;
        if self.first.is_none() {
            self.first = bytes.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        }
        self.read = self.read.saturating_add(bytes.len() as u64);
        while let Some(byte) = bytes.get(at) {
            if let Some(escape) = self.string {
                let rest = bytes.get(at..).unwrap_or_default();
                let read = self.in_string(escape, rest);
                self.keep(rest.get(..read).unwrap_or_default());
                at += read;
            } else {
                self.between(*byte);
                at += 1;
            }
        }
        std::mem::take(&mut self.found)
    }

    /// It began as an object or array and has not come to its end.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.first, Some(b'{' | b'[')) && !self.over
    }

    /// An object or array was read to its end.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes that were read, where no member has text that the API knows of.
    pub(super) fn unknown(&self) -> u64 {
        if self.has_text || self.wanted.text.is_empty() {
            0
        } else {
            self.read
        }
    }

    /// What was kept, as a JSON object.
    pub(super) fn kept(&self) -> Vec<u8> {
        let mut text = b"{".to_vec();
        text.extend_from_slice(&self.kept);
        text.extend_from_slice(format!("\"{}\":{{", self.wanted.parent).as_bytes());
        text.extend_from_slice(&self.kept_of_parent);
        while text.ends_with(b",") {
            text.pop();
        }
        text.extend_from_slice(b"}}");
        text
    }

    /// Reads on in a string; how many bytes.
    fn in_string(&mut self, escape: Escape, rest: &[u8]) -> usize {
        let byte = rest.first().copied().unwrap_or_default();
        match escape {
            Escape::None => {
                let end = memchr2(b'"', b'\\', rest);
                let plain = end.unwrap_or(rest.len());
                self.grow(rest.get(..plain).unwrap_or_default(), plain as u64);
                let Some(end) = end else {
                    return rest.len();
                };
                self.string = (rest.get(end) == Some(&b'\\')).then_some(Escape::Backslash);
                end + 1
            }
            Escape::Backslash => {
                self.string = Some(if byte == b'u' {
                    Escape::Unicode(0, 0)
                } else {
                    self.grow(&[byte], 1);
                    Escape::None
                });
                1
            }
            Escape::Unicode(digits, value) => {
                let value = value << 4 | char::from(byte).to_digit(16).unwrap_or(0);
                self.string = Some(if digits < 3 {
                    Escape::Unicode(digits + 1, value)
                } else {
                    let length = match value {
                        0..0x80 => 1,
                        // Two halves of a pair are four bytes.
                        0x80..0x800 | 0xd800..0xe000 => 2,
                        _ => 3,
                    };
                    self.grow(b"?", length);
                    Escape::None
                });
                1
            }
        }
    }

    fn grow(&mut self, bytes: &[u8], length: u64) {
        let may_be_text = self.may_be_text();
        if let Some((string, unsaid)) = &mut self.last {
            let room = NAME_MAX.saturating_sub(string.len());
            string.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            *unsaid += length;
            // No name is so long: it need not end to be text.
            if string.len() >= NAME_MAX && may_be_text {
                self.found += std::mem::take(unsaid);
            }
        }
    }

    /// Whether a string that is a value here is text.
    fn may_be_text(&self) -> bool {
        self.in_text && !NO_TEXT.iter().any(|name| name.as_bytes() == self.name)
    }

    /// A byte outside of strings.
    fn between(&mut self, byte: u8) {
        if byte.is_ascii_whitespace() {
            self.keep(&[byte]);
            return;
        }
        let last = self.last.take();
        if byte == b':' {
            if let Some((name, _)) = last {
                self.name = name;
                self.named();
                return;
            }
        } else if let Some((_, unsaid)) = last
            && self.may_be_text()
        {
            self.found += unsaid;
        }
        match byte {
            b'"' => {
                self.string = Some(Escape::None);
                self.last = Some((Vec::new(), 0));
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.member_ends();
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.over = true;
                }
            }
            b',' => self.member_ends(),
            _ => {}
        }
        self.keep(&[byte]);
    }

    /// A member begins; its name was just read.
    fn named(&mut self) {
        let name = self.name.as_slice();
        let is = |names: &[&'static str]| names.iter().find(|own| own.as_bytes() == name).copied();
        let of_parent = self.depth == 2 && self.in_parent;
        if self.depth == 1 {
            self.in_text = is(self.wanted.text).is_some();
            self.has_text |= self.in_text;
            self.in_parent = !self.wanted.parent.is_empty() && name == self.wanted.parent.as_bytes();
        }
        if (self.depth == 1 || of_parent)
            && let Some(name) = is(self.wanted.kept)
        {
            let kept = self.kept_at(self.depth);
            let begin = kept.len();
            kept.extend_from_slice(format!("\"{name}\":").as_bytes());
            self.keeping = Some((begin, self.depth));
        } else {
            self.keep(b":");
        }
    }

    fn member_ends(&mut self) {
        if let Some((_, depth)) = self.keeping
            && depth == self.depth
        {
            self.kept_at(depth).push(b',');
            self.keeping = None;
        }
        if self.depth == 1 {
            self.in_text = false;
            self.in_parent = false;
        }
    }

    fn kept_at(&mut self, depth: u32) -> &mut Vec<u8> {
        if depth == 1 {
            &mut self.kept
        } else {
            &mut self.kept_of_parent
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let Some((begin, depth)) = self.keeping else {
            return;
        };
        let kept = self.kept_at(depth);
        if kept.len() + bytes.len() > KEPT_MAX {
            kept.truncate(begin);
            self.keeping = None;
        } else {
            kept.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::json::loose;

    const WANTED: Wanted = Wanted {
        kept: &["usage", "model", "n"],
        parent: "response",
        text: &["choices", "content"],
    };

    fn scan(text: &[u8], size: usize) -> (String, u64, bool) {
        let mut scan = Scan::new(&WANTED);
        let found = text.chunks(size).map(|piece| scan.feed(piece)).sum();
        let kept = scan.kept();
        assert!(
            loose(&kept).is_ok() || loose(text).is_err(),
            "{}",
            kept.escape_ascii()
        );
        assert_eq!(scan.is_cut(), !scan.is_over() && text.starts_with(b"{"));
        (String::from_utf8_lossy(&kept).into_owned(), found, scan.is_over())
    }

    #[test]
    fn members_are_kept_and_text_is_counted_however_it_comes() {
        for (text, kept, bytes, over) in [
            (
                r#"{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"\u4e2d\ud83d\ude00\n"}}],"usage":{"prompt_tokens":1,"d":{"usage":2}}}"#,
                r#"{"model":"m","usage":{"prompt_tokens":1,"d":{"usage":2}},"response":{}}"#,
                12,
                true,
            ),
            (
                r#"{"type":"response.completed","response":{"usage":{"input_tokens":1},"output":["usage","a"],"model":"m"},"n":7}"#,
                r#"{"n":7,"response":{"usage":{"input_tokens":1},"model":"m"}}"#,
                0,
                true,
            ),
            (
                "{ \"usage\" : null , \"content\" : \"abc\" , \"n\" : 1 }",
                "{\"usage\": null ,\"n\": 1 ,\"response\":{}}",
                3,
                true,
            ),
            (
                r#"{"usage":{"a":1},"usage":{"a":2}"#,
                r#"{"usage":{"a":1},"usage":{"a":2},"response":{}}"#,
                0,
                false,
            ),
            (
                r#"{"choices":["usage","a:b",{"usage":"c"}]}"#,
                r#"{"response":{}}"#,
                9,
                true,
            ),
            ("[]", r#"{"response":{}}"#, 0, true),
            ("", r#"{"response":{}}"#, 0, false),
            (r#"{"a":"\\","n":1}"#, r#"{"n":1,"response":{}}"#, 0, true),
            // A string that does not end, of 70 characters.
            (
                r#"{"choices":[{"id":"x","text":"7890123456789012345678901234567890123456789012345678901234567890123456"#,
                r#"{"response":{}}"#,
                70,
                false,
            ),
        ] {
            for size in 1..=text.len().max(1) {
                let found = scan(text.as_bytes(), size);
                assert_eq!((found.1, found.2), (bytes, over), "{text} in {size}");
                if over {
                    assert_eq!(found.0, kept, "{text} in {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(KEPT_MAX);
        let text = format!(r#"{{"model":"{long}","{long}":1,"usage":{{"a":1}},"n":2}}"#);
        for size in [1, 1000, text.len()] {
            let (kept, ..) = scan(text.as_bytes(), size);
            assert_eq!(kept, r#"{"usage":{"a":1},"n":2,"response":{}}"#);
        }
    }
}
