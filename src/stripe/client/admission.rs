//! Which calls go out when: so many in a second, so many at once, and nobody waits for ever.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Calls that may go out together after a while without any: with these, no second has more than Stripe takes in a sandbox.
const BURST: u32 = 5;

/// See the module.
pub(super) struct Admission {
    bucket: Mutex<Bucket>,
    at_once: Semaphore,
    patience: Duration,
}

impl Admission {
    pub(super) fn new(per_second: NonZeroU32, at_once: u32, patience: Duration) -> Admission {
        let at_once = usize::try_from(at_once.max(1)).unwrap_or(1);
        Admission {
            bucket: Mutex::new(Bucket {
                apart: Duration::from_secs(1) / per_second.get(),
                next: None,
            }),
            at_once: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)),
            patience,
        }
    }

    /// Waits for a turn, which lasts until it is dropped; `None` when it would not come in time. So no more wait than go out within that time.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let entered = Instant::now();
        let turn = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(entered, self.patience)?
        };
        tokio::time::sleep_until(turn).await;
        let place = tokio::time::timeout_at(entered + self.patience, self.at_once.acquire());
        place.await.ok()?.ok()
    }
}

/// Turns `apart` from each other, [`BURST`] of them ahead of time.
struct Bucket {
    apart: Duration,
    /// When the next turn would be if none could be ahead.
    next: Option<Instant>,
}

impl Bucket {
    /// When one's turn is, taken; `None`, and not taken, if that is later than `patience` from `now`.
    fn take(&mut self, now: Instant, patience: Duration) -> Option<Instant> {
        let next = self.next.map_or(now, |next| next.max(now));
        let ahead = self.apart * (BURST - 1);
        let turn = next.checked_sub(ahead).map_or(now, |turn| turn.max(now));
        if turn.duration_since(now) > patience {
            return None;
        }
        self.next = Some(next + self.apart);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_turns_are_apart_from_each_other_and_no_second_has_more_than_stripe_takes() {
        let mut bucket = Bucket {
            apart: Duration::from_millis(50),
            next: None,
        };
        let start = Instant::now();
        let patience = Duration::from_secs(10);
        let turns: Vec<Duration> = std::iter::from_fn(|| bucket.take(start, patience))
            .map(|turn| turn - start)
            .collect();
        // As many as go out in 10 s, and the burst.
        assert_eq!(turns.len(), 205);
        assert_eq!(turns[4], Duration::ZERO);
        assert_eq!(turns[5], Duration::from_millis(50));
        for (at, turn) in turns.iter().enumerate() {
            let within = turns[at..]
                .iter()
                .take_while(|later| **later < *turn + Duration::from_secs(1))
                .count();
            assert!(within <= 25, "{within} from {turn:?} on");
        }
        // After a while without any there is a burst again, no larger.
        let later = start + Duration::from_secs(60);
        let turns: Vec<Instant> = (0..6).filter_map(|_| bucket.take(later, patience)).collect();
        assert_eq!(turns[4], later);
        assert_eq!(turns[5], later + Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn w13_nobody_waits_for_ever_for_a_place() {
        let admission = Admission::new(NonZeroU32::new(1_000).unwrap(), 2, Duration::from_secs(10));
        let one = admission.enter().await.unwrap();
        let _two = admission.enter().await.unwrap();
        let start = Instant::now();
        assert!(admission.enter().await.is_none());
        assert_eq!(start.elapsed(), Duration::from_secs(10));
        drop(one);
        assert!(admission.enter().await.is_some());
    }
}
