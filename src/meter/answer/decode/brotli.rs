//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BUFFER, Decode, Out, Unreadable};

/// The largest window that is read, in bits: 4 MiB, the most that encoders take by themselves.
const WINDOW_BITS_MAX: u8 = 22;

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// What decodes.
pub(super) struct Brotli {
    state: Box<State>,
    begun: bool,
    over: bool,
    buffer: Vec<u8>,
}

impl Brotli {
    pub(super) fn new() -> Brotli {
        let state = State::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        Brotli {
            state: Box::new(state),
            begun: false,
            over: false,
            buffer: vec![0; BUFFER],
        }
    }
}

impl Decode for Brotli {
    fn feed(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<(), Unreadable> {
        let Some(first) = bytes.first().filter(|_| !self.over) else {
            return Ok(());
        };
        if !std::mem::replace(&mut self.begun, true) && window_bits(*first) > WINDOW_BITS_MAX {
            return Err(Unreadable);
        }
        let (mut left, mut at) = (bytes.len(), 0);
        loop {
            let (mut room, mut written, mut total) = (self.buffer.len(), 0, 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut at,
                bytes,
                &mut room,
                &mut written,
                &mut self.buffer,
                &mut total,
                &mut self.state,
            );
            out.give(self.buffer.get(..written).unwrap_or_default())?;
            match result {
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::ResultSuccess => {
                    self.over = true;
                    return Ok(());
                }
                BrotliResult::ResultFailure => return Err(Unreadable),
            }
        }
    }
}

/// The window that a stream's first byte tells (RFC 7932, 9.1).
fn window_bits(first: u8) -> u8 {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        // 1 is a larger one than the format has.
        (_, 0, 1) => u8::MAX,
        (_, 0, few) => 8 + few,
        (_, many, _) => 17 + many,
    }
}
