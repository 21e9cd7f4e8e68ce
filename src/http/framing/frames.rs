//! HTTP/2 frames as far as their headers (RFC 9113 section 4.1), to count those that only keep the other side busy (H11).

/// Bytes of a frame's header: length, type, flags, stream.
const HEADER: usize = 9;

/// Types that carry requests, end them, or let answers flow: DATA, HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION. Their abuse is limited elsewhere.
const USEFUL: [u8; 5] = [0, 1, 3, 8, 9];

/// Follows one client's frames. Any split of the bytes gives the same count.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes left of the frame.
    left: usize,
    idle: u32,
}

impl Frames {
    /// Takes the next bytes of the connection, behind the preface.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            while self.have < HEADER && self.left == 0 {
                let Some((first, rest)) = bytes.split_first() else {
                    return;
                };
                if let Some(place) = self.header.get_mut(self.have) {
                    *place = *first;
                }
                self.have += 1;
                bytes = rest;
            }
            if self.have == HEADER {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.idle = self.idle.saturating_add(u32::from(!USEFUL.contains(&kind)));
            }
        }
    }

    /// Frames since the count was taken last that ask for nothing: PING, SETTINGS, PRIORITY and unknown ones.
    pub(super) fn idle(&self) -> u32 {
        self.idle
    }

    /// Begins to count anew.
    pub(super) fn forget(&mut self) {
        self.idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h11_frames_that_ask_for_nothing_are_counted_however_they_come() {
        let mut bytes = Vec::new();
        for (kind, length) in [
            (4, 6),
            (6, 8),
            (0, 70_000),
            (1, 20),
            (9, 0),
            (8, 4),
            (3, 4),
            (2, 5),
            (200, 0),
        ] {
            let length: usize = length;
            bytes.extend_from_slice(&length.to_be_bytes()[5..]);
            bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 1]);
            bytes.resize(bytes.len() + length, 0xff);
        }
        for size in [1, 2, 8, 9, 10, 100, bytes.len()] {
            let mut frames = Frames::default();
            bytes.chunks(size).for_each(|part| frames.feed(part));
            assert_eq!(frames.idle(), 4, "in pieces of {size}");
            frames.forget();
            assert_eq!(frames.idle(), 0);
        }
    }
}
