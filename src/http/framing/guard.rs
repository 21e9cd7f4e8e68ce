//! The lexer: which bytes are heads, which are bodies.

use super::Violation;
use super::chunked::Chunked;
use super::frames::Frames;
use super::head::{Body, Head};

/// What a client sends first when it speaks HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8; PREFACE_LEN] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of it.
pub const PREFACE_LEN: usize = 24;

/// Follows the bytes that one client sends on one connection. Sans I/O: any split of the bytes gives the same verdict.
///
/// It holds no more of the connection than the beginning of one line.
#[derive(Debug, Clone)]
pub struct FrameGuard {
    state: State,
    upgrade: Upgrade,
}

#[derive(Debug, Clone)]
enum State {
    /// The connection's first bytes, as many as are the HTTP/2 preface.
    Preface(usize),
    Head(Head),
    /// Bytes left of a body with `Content-Length`.
    Length(u64),
    Chunked(Chunked),
    /// Behind the HTTP/2 preface.
    Http2(Frames),
    Transparent,
    Refused(Violation),
}

/// What followed the first head that asked for an upgrade. Only ever moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// There was no such head.
    Unasked,
    /// Nothing yet: the next byte may belong to another protocol.
    Waiting,
    /// Bytes that came before any answer, and were read as HTTP.
    Overrun,
}

/// A verdict: the bytes break a rule and must not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// How many bytes of this feed may be passed on: those before the offending head, or before the offending byte of a
    /// body.
    pub good: usize,
    /// Whether the rule was broken in a head, so that the request has not begun for anyone.
    pub in_head: bool,
    /// The rule.
    pub violation: Violation,
}

impl Default for FrameGuard {
    fn default() -> Self {
        Self {
            state: State::Preface(0),
            upgrade: Upgrade::Unasked,
        }
    }
}

impl FrameGuard {
    /// From here on, everything passes: the connection speaks another protocol.
    pub fn pass_through(&mut self) {
        self.state = State::Transparent;
    }

    /// Whether everything passes.
    pub fn is_transparent(&self) -> bool {
        matches!(self.state, State::Transparent | State::Http2(_))
    }

    /// Whether the client speaks HTTP/2; not known before its first [`PREFACE_LEN`] bytes at the latest.
    pub fn is_http2(&self) -> Option<bool> {
        match self.state {
            State::Preface(_) => None,
            State::Http2(_) => Some(true),
            _ => Some(false),
        }
    }

    /// The frames of a connection that speaks HTTP/2.
    pub(super) fn frames(&mut self) -> Option<&mut Frames> {
        match &mut self.state {
            State::Http2(frames) => Some(frames),
            _ => None,
        }
    }

    /// Whether a request has begun and not ended, or was refused: its client may still be sending.
    pub fn is_inside_request(&self) -> bool {
        match &self.state {
            State::Preface(seen) => *seen > 0,
            State::Head(head) => head.has_begun(),
            State::Length(_) | State::Chunked(_) | State::Refused(_) => true,
            State::Transparent | State::Http2(_) => false,
        }
    }

    pub(super) fn upgrade(&self) -> Upgrade {
        self.upgrade
    }

    /// Takes the next bytes of the connection.
    ///
    /// # Errors
    /// The first violation, for good: later bytes are refused too.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut at = 0;
        let mut head_at = 0;
        while at < bytes.len() {
            if matches!(&self.state, State::Head(head) if !head.has_begun()) {
                head_at = at;
                if self.upgrade == Upgrade::Waiting {
                    self.upgrade = Upgrade::Overrun;
                }
            }
            match self.step(&bytes[at..]) {
                Ok(used) => at += used,
                Err((good, violation)) => {
                    let in_head = matches!(self.state, State::Head(_));
                    self.state = State::Refused(violation);
                    return Err(Refused {
                        good: if in_head { head_at } else { at + good },
                        in_head,
                        violation,
                    });
                }
            }
        }
        Ok(())
    }

    /// Takes some of the bytes and says how many; or how many were good before the rule was broken. Takes none only when
    /// it turns from the preface to a head.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, (usize, Violation)> {
        match &mut self.state {
            State::Transparent => Ok(bytes.len()),
            State::Http2(frames) => {
                frames.feed(bytes);
                Ok(bytes.len())
            }
            State::Refused(violation) => Err((0, *violation)),
            State::Preface(_) => self.preface(bytes),
            State::Head(head) => {
                let (used, end) = head.feed(bytes).map_err(|violation| (0, violation))?;
                if let Some(end) = end {
                    if end.upgrade && end.body == Body::None && self.upgrade == Upgrade::Unasked {
                        self.upgrade = Upgrade::Waiting;
                    }
                    self.state = match end.body {
                        Body::None => State::Head(Head::default()),
                        Body::Length(length) => State::Length(length),
                        Body::Chunked => State::Chunked(Chunked::default()),
                    };
                }
                Ok(used)
            }
            State::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= used as u64;
                if *left == 0 {
                    self.state = State::Head(Head::default());
                }
                Ok(used)
            }
            State::Chunked(chunked) => {
                let (used, ended) = chunked.feed(bytes)?;
                if ended {
                    self.state = State::Head(Head::default());
                }
                Ok(used)
            }
        }
    }

    fn preface(&mut self, bytes: &[u8]) -> Result<usize, (usize, Violation)> {
        let State::Preface(seen) = self.state else {
            return Ok(0);
        };
        let (before, want) = PREFACE.split_at(seen);
        let same = bytes
            .iter()
            .zip(want)
            .take_while(|(byte, want)| byte == want)
            .count();
        if same == want.len() {
            self.state = State::Http2(Frames::default());
            Ok(same)
        } else if same == bytes.len() {
            self.state = State::Preface(seen + same);
            Ok(same)
        } else {
            // Not HTTP/2: what went before was the beginning of a head.
            self.state = State::Head(Head::default());
            self.feed(before).map_err(|refused| (0, refused.violation))?;
            Ok(0)
        }
    }
}
