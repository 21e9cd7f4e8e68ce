//! Zstandard (RFC 8878).

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{BUFFER, Decode, Out, Unreadable};

/// The largest window that is read, in bytes (RFC 9659, 3).
const WINDOW_MAX: u64 = 8 << 20;
/// The most bytes of a block.
const BLOCK_MAX: usize = 128 << 10;
/// The head of a block.
const BLOCK_HEAD: usize = 3;
/// Raw, the last one, and empty: it ends a frame.
const LAST_BLOCK: [u8; BLOCK_HEAD] = [1, 0, 0];
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const CHECKSUM: usize = 4;

/// What is next.
#[derive(Clone, Copy)]
enum Due {
    Frame,
    /// A block, in a frame that ends with a checksum or not.
    Block {
        checksum: bool,
    },
}

/// What decodes.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    due: Due,
    /// What was fed and is not a whole head or block yet.
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

impl Zstd {
    pub(super) fn new() -> Zstd {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Zstd {
            decoder,
            due: Due::Frame,
            pending: Vec::new(),
            buffer: vec![0; BUFFER],
        }
    }

    /// Reads one head or block; how many bytes it had, or `None` where it is not whole.
    fn one(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<Option<usize>, Unreadable> {
        let (length, next) = match self.due {
            Due::Frame => {
                let Some((length, checksum)) = frame_head(bytes)? else {
                    return Ok(None);
                };
                let Some(head) = bytes.get(..length) else {
                    return Ok(None);
                };
                self.decoder.reset(head).map_err(|_| Unreadable)?;
                (length, Due::Block { checksum })
            }
            Due::Block { checksum } => {
                let Some((length, last)) = block(bytes)? else {
                    return Ok(None);
                };
                let length = length + if last && checksum { CHECKSUM } else { 0 };
                let Some(block) = bytes.get(..length) else {
                    return Ok(None);
                };
                // One at a time: a few bytes may stand for a whole block.
                self.decode(block, out)?;
                (length, if last { Due::Frame } else { self.due })
            }
        };
        self.due = next;
        Ok(Some(length))
    }

    fn decode(&mut self, block: &[u8], out: &mut Out<'_>) -> Result<(), Unreadable> {
        self.decoder
            .decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(|_| Unreadable)?;
        loop {
            let read = self.decoder.read(&mut self.buffer).map_err(|_| Unreadable)?;
            if read == 0 {
                return Ok(());
            }
            out.give(self.buffer.get(..read).unwrap_or_default())?;
        }
    }
}

impl Decode for Zstd {
    fn feed(&mut self, bytes: &[u8], out: &mut Out<'_>) -> Result<(), Unreadable> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = self.one(pending.get(at..).unwrap_or_default(), out)? {
            at += length;
        }
        pending.drain(..at);
        self.pending = pending;
        Ok(())
    }

    /// A frame that breaks off is ended, since its decoder keeps a whole window until then.
    fn end(&mut self, out: &mut Out<'_>) -> Result<(), Unreadable> {
        match self.due {
            Due::Frame => Ok(()),
            Due::Block { checksum: true } => self.decode(&[&LAST_BLOCK[..], &[0; CHECKSUM]].concat(), out),
            Due::Block { checksum: false } => self.decode(&LAST_BLOCK, out),
        }
    }
}

/// The length of a frame's head, and whether the frame ends with a checksum (RFC 8878, 3.1.1.1).
fn frame_head(bytes: &[u8]) -> Result<Option<(usize, bool)>, Unreadable> {
    if bytes.iter().zip(MAGIC).any(|(own, wanted)| *own != wanted) {
        return Err(Unreadable);
    }
    let Some(descriptor) = bytes.get(MAGIC.len()) else {
        return Ok(None);
    };
    let single = descriptor >> 5 & 1;
    let window = usize::from(1 - single);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = match descriptor >> 6 {
        0 => usize::from(single),
        flag => 1 << flag,
    };
    let length = MAGIC.len() + 1 + window + dictionary + size;
    Ok(Some((length, descriptor >> 2 & 1 == 1)))
}

/// The length of a block with its head, and whether it is its frame's last.
fn block(bytes: &[u8]) -> Result<Option<(usize, bool)>, Unreadable> {
    let Some([low, middle, high]) = bytes.first_chunk::<BLOCK_HEAD>() else {
        return Ok(None);
    };
    let head = u32::from_le_bytes([*low, *middle, *high, 0]);
    let size = usize::try_from(head >> 3).map_err(|_| Unreadable)?;
    let content = match head >> 1 & 3 {
        // One byte that is repeated.
        1 => 1,
        0 | 2 => size,
        _ => return Err(Unreadable),
    };
    if size > BLOCK_MAX {
        return Err(Unreadable);
    }
    Ok(Some((BLOCK_HEAD + content, head & 1 == 1)))
}
