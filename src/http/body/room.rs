//! Memory for bodies that are read whole, over all requests (H14).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How many bytes of bodies may be held at once. A body counts as it comes, since a length is easily claimed, until the last copy of it is gone.
#[derive(Debug)]
pub struct Room {
    max: AtomicUsize,
    taken: AtomicUsize,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(max: usize) -> Arc<Room> {
        Arc::new(Room {
            max: AtomicUsize::new(max),
            taken: AtomicUsize::new(0),
        })
    }

    /// From now on, for so many. What is held stays.
    pub fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Bytes held now.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A body's part, empty at first.
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            room: Arc::clone(self),
            bytes: 0,
        }
    }
}

/// What one body takes.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Share {
    /// Whether so many bytes more have room just now. One body alone always has.
    pub(super) fn fits(&self, more: usize) -> bool {
        self.fits_beside(self.room.taken(), more)
    }

    fn fits_beside(&self, taken: usize, more: usize) -> bool {
        taken <= self.bytes || taken.saturating_add(more) <= self.room.max.load(Ordering::Relaxed)
    }

    /// Takes so many bytes more, if they have room.
    pub fn grow(&mut self, more: usize) -> bool {
        let grown = |taken: usize| self.fits_beside(taken, more).then(|| taken.saturating_add(more));
        let done = self
            .room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .is_ok();
        if done {
            self.bytes += more;
        }
        done
    }

    /// The body, which takes its part until it is dropped, here or wherever a copy of it went.
    #[must_use]
    pub fn keep(self, bytes: Bytes) -> Bytes {
        struct Kept(Bytes, #[allow(dead_code, reason = "held for its drop")] Share);
        impl AsRef<[u8]> for Kept {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(Kept(bytes, self))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h14_what_is_held_is_bounded_until_the_last_copy_is_gone() {
        let room = Room::new(10);
        let (mut a, mut b) = (room.share(), room.share());
        assert!(a.grow(6) && b.grow(4));
        assert!(!a.grow(1) && !b.fits(1));
        let bytes = a.keep(Bytes::from_static(b"abcdef"));
        let (copy, part) = (bytes.clone(), bytes.slice(2..3));
        drop((bytes, copy));
        assert_eq!((room.taken(), &part[..]), (10, &b"c"[..]));
        drop(part);
        assert_eq!(room.taken(), 4);
        // Alone it may pass the bound: a body of a size that is allowed must have a chance.
        assert!(b.grow(20));
        let mut c = room.share();
        assert!(!c.grow(1));
        drop(b);
        assert!(c.grow(1));
        room.resize(1);
        assert!(!room.share().grow(1));
        drop(c.keep(Bytes::new()));
        assert_eq!(room.taken(), 0);
    }
}
