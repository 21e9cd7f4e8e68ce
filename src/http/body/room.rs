//! Memory for bodies that are read whole, over all requests (H14).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bodies up to this size are nobody's in particular, while there is room: to look their owner up would cost more than they take.
const UNOWNED_MAX: usize = 64 * 1024;

/// The same where half of the room is taken.
const UNOWNED_MAX_CROWDED: usize = 2 * 1024;

/// The part of the room that one owner may have once half of it is taken: one in so many.
const OWNERS_PART: usize = 4;

/// How many bytes of bodies may be held at once, and how many of these may be one owner's. A body counts as it comes, since a length is easily claimed, until the last copy
/// of it is gone.
#[derive(Debug)]
pub struct Room {
    max: AtomicUsize,
    taken: AtomicUsize,
    owners: Mutex<HashMap<u64, usize>>,
    hasher: RandomState,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(max: usize) -> Arc<Room> {
        Arc::new(Room {
            max: AtomicUsize::new(max),
            taken: AtomicUsize::new(0),
            owners: Mutex::default(),
            hasher: RandomState::new(),
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
        self.part(None)
    }

    /// The same, of which one owner (a name of any kind) has half of the room at most, over all bodies, and a quarter where others have the rest of that half; or one body.
    pub fn share_of(self: &Arc<Self>, owner: &str) -> Share {
        self.part(Some(self.hasher.hash_one(owner)))
    }

    fn part(self: &Arc<Self>, owner: Option<u64>) -> Share {
        Share {
            room: Arc::clone(self),
            bytes: 0,
            owner,
            owned: 0,
        }
    }
}

/// What one body takes.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    bytes: usize,
    owner: Option<u64>,
    /// What of it counts as the owner's.
    owned: usize,
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
        let bytes = self.bytes.saturating_add(more);
        let max = self.room.max.load(Ordering::Relaxed);
        let crowded = self.room.taken().saturating_add(more) > max / 2;
        let unowned = if crowded { UNOWNED_MAX_CROWDED } else { UNOWNED_MAX };
        if bytes > unowned && !self.own(bytes, crowded.then_some(max / OWNERS_PART)) {
            return false;
        }
        let grown = |taken: usize| self.fits_beside(taken, more).then(|| taken.saturating_add(more));
        let done = self
            .room
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .is_ok();
        if done {
            self.bytes = bytes;
        }
        done
    }

    /// Counts so many bytes as the owner's, if these may have them: `most` in all. One body alone always may.
    fn own(&mut self, bytes: usize, most: Option<usize>) -> bool {
        let Some(owner) = self.owner else { return true };
        let mut owners = self.room.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let all = owners.entry(owner).or_default();
        let others = *all - self.owned;
        let all_bytes = others.saturating_add(bytes);
        let done = others == 0 || most.is_none_or(|most| all_bytes <= most);
        if done {
            (*all, self.owned) = (all_bytes, bytes);
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
        let Some(owner) = self.owner.filter(|_| self.owned > 0) else {
            return;
        };
        let mut owners = self.room.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = owners.get_mut(&owner) {
            *all -= self.owned;
            if *all == 0 {
                owners.remove(&owner);
            }
        }
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

    #[test]
    fn h14_one_owner_leaves_half_of_the_room_to_others() {
        let room = Room::new(40 * UNOWNED_MAX);
        let mut theirs: Vec<Share> = (0..3).map(|_| room.share_of("them")).collect();
        assert!(theirs[0].grow(11 * UNOWNED_MAX) && theirs[1].grow(9 * UNOWNED_MAX));
        // A few small ones always fit.
        assert!(theirs[2].grow(UNOWNED_MAX_CROWDED) && !theirs[2].grow(1));
        let (mut ours, mut more) = (room.share_of("us"), room.share_of("us"));
        assert!(ours.grow(7 * UNOWNED_MAX) && more.grow(3 * UNOWNED_MAX) && !more.grow(1));
        drop(theirs.remove(0));
        // Half of it is free again.
        assert!(theirs[1].grow(1));
        drop((theirs, ours, more));
        assert!(room.owners.lock().unwrap().is_empty());
        // One body may have any size that there is room for.
        assert!(room.share_of("them").grow(40 * UNOWNED_MAX));
        assert!(room.owners.lock().unwrap().is_empty());
    }
}
