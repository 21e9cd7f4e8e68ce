//! Compressed answers (H16): a copy is decoded beside what passes, with bounded output and memory.

mod brotli;
mod deflate;
mod zstd;

use std::borrow::Cow;

use bytes::Bytes;

use super::{Ended, Meter, Setup, Step, Tally};

/// How an answer is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// `gzip`, `x-gzip`.
    Gzip,
    /// `deflate`: zlib's format, or without its head as some servers have it.
    Deflate,
    /// `br`, with a window of up to 4 MiB.
    Brotli,
    /// `zstd`, with a window of up to 8 MiB, as RFC 9659 bounds it. What it says is known late, by up to that window, or when it ends.
    Zstd,
}

impl Coding {
    /// Of an answer with this `content-encoding`: `Ok(None)` where it is not compressed, an error where nobody here can read it (unknown ones, and several
    /// on top of each other).
    pub fn of(content_encoding: Option<&str>) -> Result<Option<Coding>, Unreadable> {
        let coding = content_encoding.unwrap_or_default().trim().to_ascii_lowercase();
        match coding.as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Coding::Gzip)),
            "deflate" => Ok(Some(Coding::Deflate)),
            "br" => Ok(Some(Coding::Brotli)),
            "zstd" => Ok(Some(Coding::Zstd)),
            _ => Err(Unreadable),
        }
    }

    fn decoder(self) -> Box<dyn Decode> {
        match self {
            Coding::Gzip => Box::new(deflate::Inflate::gzip()),
            Coding::Deflate => Box::new(deflate::Inflate::zlib()),
            Coding::Brotli => Box::new(brotli::Brotli::new()),
            Coding::Zstd => Box::new(zstd::Zstd::new()),
        }
    }
}

/// It cannot be decoded: broken, an unknown form, a window that is too large, or far more output than such text has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer's content-encoding cannot be read")]
pub struct Unreadable;

/// Bytes that may come out of each that goes in, over all; streams of events, which repeat themselves a lot, have up to 50.
const RATIO_MAX: u64 = 256;
/// And so many besides.
const OUTPUT_FREE: u64 = 1 << 20;
/// Bytes that are decoded in one go.
const BUFFER: usize = 16 << 10;

/// A decoder, fed with whatever comes.
trait Decode: Send {
    /// Decodes on, and gives what came out to `out`.
    fn feed(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<(), Unreadable>;

    /// Gives what was still kept. Nothing more comes.
    fn end(&mut self, _out: &mut Out<'_>) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// The most that [`whole`] decodes to, in bytes.
const WHOLE_MAX: u64 = 4 << 20;

/// A whole body with this `content-encoding` as it was before: the same where it is not compressed. Of a body that is cut off, what is there of it. An error
/// where it cannot be decoded, or is longer than 4 MiB.
pub fn whole<'b>(content_encoding: &str, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, Unreadable> {
    let Some(coding) = Coding::of(Some(content_encoding))? else {
        return Ok(Cow::Borrowed(bytes));
    };
    let mut decoder = coding.decoder();
    let mut decoded = Vec::new();
    let mut room = OUTPUT_FREE
        .saturating_add((bytes.len() as u64).saturating_mul(RATIO_MAX))
        .min(WHOLE_MAX);
    let mut out = Out {
        sink: &mut |bytes| decoded.extend_from_slice(bytes),
        room: &mut room,
    };
    decoder.feed(bytes, &mut out)?;
    decoder.end(&mut out)?;
    Ok(Cow::Owned(decoded))
}

/// Where decoded bytes go, as many as may come.
struct Out<'o> {
    sink: &'o mut dyn FnMut(&[u8]),
    room: &'o mut u64,
}

impl Out<'_> {
    fn give(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        *self.room = self.room.checked_sub(bytes.len() as u64).ok_or(Unreadable)?;
        (self.sink)(bytes);
        Ok(())
    }
}

/// Reads a compressed answer from a copy of it, while the original passes. So nothing of it can be hidden, stopped or ended.
pub struct Beside {
    /// `None` once it could not go on.
    decoder: Option<Box<dyn Decode>>,
    meter: Meter,
    /// Bytes that may still come out.
    room: u64,
    ended: Option<Result<bool, Unreadable>>,
    late: bool,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside")
            .field("meter", &self.meter)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

impl Beside {
    /// For one answer. What `setup` says of hiding has no effect.
    pub fn new(setup: Setup, coding: Coding) -> Beside {
        Beside {
            decoder: Some(coding.decoder()),
            meter: Meter::new(setup),
            room: OUTPUT_FREE,
            ended: None,
            late: coding == Coding::Zstd,
        }
    }

    /// Whether what was read so far is known only when it ends, so that nobody can tell when it outgrows what is held.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Reads what has been passed on. After an error nothing more is read, and what the answer used is unknown beyond [`Beside::tally`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let length = bytes.len() as u64;
        self.room = self.room.saturating_add(length.saturating_mul(RATIO_MAX));
        self.decode(|decoder, out| decoder.feed(bytes, out))
    }

    /// The answer has come to its end: reads what the decoder still keeps, and the last event, should its end be missing. Whether the answer was complete by
    /// its own words. To be called before the last [`Beside::tally`]; a second time says the same.
    pub fn end(&mut self) -> Result<bool, Unreadable> {
        if let Some(ended) = self.ended {
            return ended;
        }
        let decoded = self.decode(|decoder, out| decoder.end(out));
        let Ended { complete, .. } = self.meter.end();
        let ended = decoded.map(|()| complete);
        self.ended = Some(ended);
        ended
    }

    /// The answer broke off, or nobody reads on: reads what the decoder still keeps. Half an event says nothing. Without effect after [`Beside::end`].
    pub fn close(&mut self) {
        if self.ended.is_none() {
            let decoded = self.decode(|decoder, out| decoder.end(out));
            self.ended = Some(decoded.map(|()| false));
        }
    }

    /// As [`Meter::is_written`].
    pub fn is_written(&self) -> bool {
        self.meter.is_written()
    }

    /// What has been used by what was read; where [`Beside::is_late`], only once it has ended.
    pub fn tally(&self) -> Tally {
        self.meter.tally()
    }

    /// What reads it.
    pub fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// The model that answers, as the upstream names it.
    pub fn model(&self) -> Option<String> {
        self.meter.model()
    }

    fn decode(
        &mut self,
        step: impl FnOnce(&mut dyn Decode, &mut Out<'_>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut decoder = self.decoder.take().ok_or(Unreadable)?;
        let meter = &mut self.meter;
        let mut sink = |bytes: &[u8]| {
            meter.feed(Bytes::copy_from_slice(bytes));
            while let Step::Pass(_) = meter.next(|_| true) {}
        };
        let mut out = Out {
            sink: &mut sink,
            room: &mut self.room,
        };
        step(decoder.as_mut(), &mut out)?;
        self.decoder = Some(decoder);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
