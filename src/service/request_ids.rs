//! Ids for requests, by the store's clock.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::domain::ids::HoldId;
use crate::domain::time::Timestamp;

/// Fills a buffer with random bytes. Passed in, so that a simulation can repeat itself.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

const BUFFER: usize = 2_000;

/// Makes request ids. They carry the store's time (the ledger refuses ids that are far from it), learnt from its receipts.
pub struct RequestIds {
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    /// The store's time less ours, in microseconds.
    offset: AtomicI64,
    /// Random bytes not used yet: asking the kernel for a few at a time would cost more than the rest of an id.
    random: Mutex<(Box<[u8; BUFFER]>, usize)>,
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds")
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl RequestIds {
    /// Ids by this clock until the store's is known.
    pub fn new(clock: Arc<dyn Clock>, entropy: Entropy) -> RequestIds {
        RequestIds {
            clock,
            entropy,
            offset: AtomicI64::new(0),
            random: Mutex::new((Box::new([0; BUFFER]), BUFFER)),
        }
    }

    /// A new id.
    pub fn next(&self) -> HoldId {
        let millis = (self.clock.now().micros() + self.offset.load(Ordering::Relaxed)) / 1_000;
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let (buffer, used) = &mut *random;
        if *used + 10 > BUFFER {
            (self.entropy)(&mut buffer[..]);
            *used = 0;
        }
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&buffer[*used..*used + 10]);
        // What was given out is not kept.
        buffer[*used..*used + 10].fill(0);
        *used += 10;
        HoldId::new(millis, bytes)
    }

    /// The store said what time it is.
    pub fn observe(&self, store: Timestamp) {
        self.offset
            .store(store.micros() - self.clock.now().micros(), Ordering::Relaxed);
    }
}

/// The kernel's randomness.
pub fn kernel_entropy() -> Entropy {
    Arc::new(|buffer| {
        // Without randomness keys could be guessed: there is nothing sensible to go on with.
        #[allow(
            clippy::expect_used,
            reason = "the kernel's generator does not fail once the system is up"
        )]
        getrandom::fill(buffer).expect("the kernel gives random bytes");
    })
}
