//! Server-sent events: where one ends, and what it says (WHATWG HTML, 9.2).
//!
//! Lines end with LF, CR or CRLF, mixed as the sender likes; a blank line ends an event.

use std::borrow::Cow;

use memchr::memchr2;

/// Finds where events end, however the bytes are cut into frames.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::meter) struct Splitter {
    /// The line that is being read has bytes.
    filled: bool,
    /// What was read last is a CR, which may be half of a CRLF.
    cr: bool,
    /// Lines end with LF somewhere in this stream, so that a CR at the end of a frame is half of a CRLF.
    lf: bool,
    /// The event is over, but for an LF that may follow.
    over: bool,
}

impl Splitter {
    /// Reads on. `Some(n)`: an event ends after `n` of these bytes (0 is possible), and the rest is to be given again. `None`: all were read, and none ends.
    pub(in crate::meter) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.cr {
                self.cr = false;
                let over = std::mem::take(&mut self.over);
                if bytes[at] == b'\n' {
                    self.lf = true;
                    at += 1;
                }
                if over {
                    return Some(at);
                }
                continue;
            }
            let Some(line) = memchr2(b'\n', b'\r', &bytes[at..]) else {
                self.filled = true;
                return None;
            };
            let blank = line == 0 && !self.filled;
            at += line + 1;
            self.filled = false;
            if bytes[at - 1] == b'\r' {
                self.cr = true;
                self.over = blank;
                // Whoever never sent an LF is not waited for: its CR ends the event.
                if blank && !self.lf && at == bytes.len() {
                    self.over = false;
                    return Some(at);
                }
            } else {
                self.lf = true;
                if blank {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Whether an LF that comes next belongs to the event before.
    pub(super) fn owes_lf(self) -> bool {
        self.cr && !self.over
    }
}

/// What an event says.
#[derive(Debug, Default)]
pub(in crate::meter) struct Event<'e> {
    /// Its type; empty where it names none.
    pub(in crate::meter) name: &'e [u8],
    /// Its data, lines joined with LF. `None` where it has none, as a comment.
    pub(in crate::meter) data: Option<Cow<'e, [u8]>>,
    /// It has lines that are none of a stream's.
    pub(super) strange: bool,
}

/// Reads a whole event. A byte order mark is only one where the stream begins, but nothing else begins with its bytes.
pub(in crate::meter) fn event(bytes: &[u8]) -> Event<'_> {
    let mut event = Event::default();
    for line in lines(bytes) {
        match field(line) {
            (b"event", value) => event.name = value,
            (b"data", value) => {
                event.data = Some(match event.data.take() {
                    None => Cow::Borrowed(value),
                    Some(before) => {
                        let mut joined = before.into_owned();
                        joined.push(b'\n');
                        joined.extend_from_slice(value);
                        Cow::Owned(joined)
                    }
                });
            }
            (b"" | b"id" | b"retry", _) => {}
            _ => event.strange = true,
        }
    }
    event
}

/// The same event with other data: its other lines as they were, the new data in the place of the first line of the old.
pub(super) fn with_data(bytes: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut written = false;
    for line in lines(bytes) {
        if field(line).0 != b"data" {
            out.extend_from_slice(line);
        } else if written {
            continue;
        } else {
            written = true;
            for (at, part) in data.split(|byte| *byte == b'\n').enumerate() {
                if at > 0 {
                    out.push(b'\n');
                }
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(part);
            }
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// Lines that are not blank, without what ends them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    });
    lines.filter(|line| !line.is_empty())
}

/// A line's name and value; a comment's name is empty.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else {
        return (line, b"");
    };
    let value = &line[colon + 1..];
    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream that comes in frames of these sizes.
    fn split(stream: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let (mut events, mut event) = (Vec::new(), Vec::new());
        for frame in stream.chunks(size) {
            let mut rest = frame;
            while let Some(end) = splitter.find(rest) {
                event.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
                events.push(std::mem::take(&mut event));
            }
            event.extend_from_slice(rest);
        }
        events.push(event);
        events
    }

    #[test]
    fn events_end_with_a_blank_line_of_any_kind() {
        for (stream, events) in [
            ("data: 1\n\ndata: 2\n\n", vec!["data: 1\n\n", "data: 2\n\n", ""]),
            (
                "data: 1\r\n\r\ndata: 2\r\n\r\n",
                vec!["data: 1\r\n\r\n", "data: 2\r\n\r\n", ""],
            ),
            ("data: 1\r\rdata: 2\r\r", vec!["data: 1\r\r", "data: 2\r\r", ""]),
            ("a\n\r\nb\r\n\nc\n\rd", vec!["a\n\r\n", "b\r\n\n", "c\n\r", "d"]),
            ("\n\n:x\n\ndata", vec!["\n", "\n", ":x\n\n", "data"]),
            (
                "data: a\r\ndata: b\r\n\r\n",
                vec!["data: a\r\ndata: b\r\n\r\n", ""],
            ),
            ("", vec![""]),
        ] {
            for size in 1..=stream.len().max(1) {
                let found: Vec<String> = split(stream.as_bytes(), size)
                    .into_iter()
                    .map(|event| String::from_utf8(event).unwrap())
                    .collect();
                assert_eq!(found, events, "{stream:?} in frames of {size}");
            }
        }
    }

    #[test]
    fn a_lone_cr_ends_an_event_at_once_where_no_lf_was_seen() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.find(b"data: 1\r\r"), Some(9));
        assert!(splitter.owes_lf());
        assert_eq!(splitter.find(b"data: 2\r\n"), None);
        assert_eq!(splitter.find(b"\r"), None);
        assert_eq!(splitter.find(b"data: 3"), Some(0));
    }

    #[test]
    fn fields_are_read_with_and_without_a_space() {
        for (bytes, name, data) in [
            ("data: {}\n\n", "", Some("{}")),
            ("data:{}\r\n\r\n", "", Some("{}")),
            ("data:  {}\r\r", "", Some(" {}")),
            ("data: {\ndata:  \"a\":1\ndata: }\n\n", "", Some("{\n \"a\":1\n}")),
            (
                "event:message_stop\nid: 1\ndata: {}\nretry: 3\n\n",
                "message_stop",
                Some("{}"),
            ),
            ("\u{feff}data: {}\n\n", "", Some("{}")),
            (": ping\n\n", "", None),
            ("data\n\n", "", Some("")),
            ("data\ndata\n\n", "", Some("\n")),
            ("\n", "", None),
            ("dat: 1\nDATA: 2\n data: 3\n\n", "", None),
        ] {
            let event = event(bytes.as_bytes());
            assert_eq!(event.name, name.as_bytes(), "{bytes:?}");
            assert_eq!(
                event.data.as_deref(),
                data.map(|data: &str| data.as_bytes()),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn data_is_replaced_and_the_other_lines_stay() {
        let edited = with_data(b": hi\r\nid: 4\r\ndata: {\r\ndata: }\r\nx\r\n\r\n", b"{\n \n}");
        assert_eq!(edited, b": hi\nid: 4\ndata: {\ndata:  \ndata: }\nx\n\n");
        assert_eq!(event(&edited).data.as_deref(), Some(&b"{\n \n}"[..]));
    }
}
