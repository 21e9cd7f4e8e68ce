//! gzip (RFC 1952) and deflate (RFC 1950, 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::{BUFFER, Decode, Out, Unreadable};

/// The longest head of a gzip member, in bytes: it has room for a file's name.
const HEAD_MAX: usize = 4096;
/// A gzip member ends with a checksum and a length.
const TAIL: usize = 8;

enum State {
    /// In a head, of which these bytes were read.
    Head(Vec<u8>),
    Body(Decompress),
    /// So many bytes of a tail are due.
    Tail(usize),
    /// Whatever follows says nothing.
    Over,
}

/// What inflates.
pub(super) struct Inflate {
    state: State,
    gzip: bool,
    buffer: Vec<u8>,
}

impl Inflate {
    pub(super) fn gzip() -> Inflate {
        Inflate {
            state: State::Head(Vec::new()),
            gzip: true,
            buffer: vec![0; BUFFER],
        }
    }

    pub(super) fn zlib() -> Inflate {
        Inflate {
            gzip: false,
            ..Inflate::gzip()
        }
    }

    /// Reads a head on; how many of these bytes belong to it, and whether it is whole.
    fn head(&self, head: &mut Vec<u8>, bytes: &[u8]) -> Result<(usize, Option<State>), Unreadable> {
        let before = head.len();
        head.extend_from_slice(bytes.get(..bytes.len().min(HEAD_MAX)).unwrap_or_default());
        if !self.gzip {
            // Two bytes tell zlib's head, which is then read again as part of it.
            let Some([first, second]) = head.first_chunk::<2>() else {
                return Ok((bytes.len(), None));
            };
            let zlib = first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0;
            return Ok((0, Some(State::Body(Decompress::new(zlib)))));
        }
        match gzip_head(head)? {
            Some(length) => Ok((
                length.saturating_sub(before),
                Some(State::Body(Decompress::new(false))),
            )),
            None if head.len() >= HEAD_MAX => Err(Unreadable),
            None => Ok((bytes.len(), None)),
        }
    }

    /// Inflates on; how many bytes were read, and whether the body is over.
    fn body(
        &mut self,
        body: &mut Decompress,
        bytes: &[u8],
        out: &mut Out<'_>,
    ) -> Result<(usize, bool), Unreadable> {
        let mut at = 0;
        loop {
            let (read, written) = (body.total_in(), body.total_out());
            let rest = bytes.get(at..).unwrap_or_default();
            let status = body
                .decompress(rest, &mut self.buffer, FlushDecompress::None)
                .map_err(|_| Unreadable)?;
            let read = usize::try_from(body.total_in() - read).unwrap_or(rest.len());
            let written = usize::try_from(body.total_out() - written).unwrap_or(0);
            at += read;
            out.give(self.buffer.get(..written).unwrap_or_default())?;
            if status == Status::StreamEnd {
                return Ok((at, true));
            }
            if read == 0 && written == 0 {
                // With room for output, only more input helps.
                return if at == bytes.len() {
                    Ok((at, false))
                } else {
                    Err(Unreadable)
                };
            }
        }
    }
}

impl Decode for Inflate {
    fn feed(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<(), Unreadable> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (read, next) = match std::mem::replace(&mut self.state, State::Over) {
                State::Head(mut head) => {
                    let kept = head.clone();
                    let (read, body) = self.head(&mut head, rest)?;
                    match body {
                        // zlib's two bytes may have come apart.
                        Some(State::Body(mut body)) if !self.gzip && !kept.is_empty() => {
                            self.body(&mut body, &kept, out)?;
                            (read, State::Body(body))
                        }
                        Some(body) => (read, body),
                        None => (read, State::Head(head)),
                    }
                }
                State::Body(mut body) => match self.body(&mut body, rest, out)? {
                    (read, false) => (read, State::Body(body)),
                    (read, true) if self.gzip => (read, State::Tail(TAIL)),
                    (read, true) => (read, State::Over),
                },
                State::Tail(due) => match due.checked_sub(rest.len()) {
                    Some(due) if due > 0 => (rest.len(), State::Tail(due)),
                    _ => (due, State::Head(Vec::new())),
                },
                State::Over => (rest.len(), State::Over),
            };
            self.state = next;
            rest = rest.get(read..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The length of a member's head, once it is whole.
fn gzip_head(head: &[u8]) -> Result<Option<usize>, Unreadable> {
    const FIXED: usize = 10;
    let magic = [0x1f, 0x8b, 8];
    if head.iter().zip(magic).any(|(own, wanted)| *own != wanted) {
        return Err(Unreadable);
    }
    let Some(flags) = head.get(3).filter(|_| head.len() >= FIXED) else {
        return Ok(None);
    };
    let mut at = FIXED;
    if flags & 4 != 0 {
        let Some(length) = head.get(at..at + 2).and_then(|bytes| bytes.first_chunk()) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes(*length));
    }
    // A name, then a comment, each with a zero at its end.
    for flag in [8, 16] {
        if flags & flag != 0 {
            let rest = head.get(at..).unwrap_or_default();
            let Some(zero) = memchr::memchr(0, rest) else {
                return Ok(None);
            };
            at += zero + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((at <= head.len()).then_some(at))
}
