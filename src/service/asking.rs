//! Questions under way: who asks for what is being asked waits for that answer. Nothing is kept once nobody waits, so that no flood fills memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::domain::ids::KeyDigest;

/// What is being asked about digests.
#[derive(Debug)]
pub(super) struct Asking<T>(Mutex<Questions<T>>);

type Questions<T> = HashMap<KeyDigest, Arc<OnceCell<T>>>;

impl<T> Default for Asking<T> {
    fn default() -> Asking<T> {
        Asking(Mutex::default())
    }
}

impl<T: Clone> Asking<T> {
    /// The answer to the question that is under way, or to this one. Where the one who asks is gone (dropped) or has no answer, it is the next one's
    /// turn: a failure is nobody's but his who has waited for it.
    pub(super) async fn or_ask<E, F: Future<Output = Result<T, E>>>(
        &self,
        digest: KeyDigest,
        ask: impl FnOnce() -> F,
    ) -> Result<T, E> {
        // Dropped in the other order: first we do not wait any more, then it is seen whether anybody does.
        let _leaving = Leaving { asking: self, digest };
        let question = Arc::clone(self.lock().entry(digest).or_default());
        let answer = question.get_or_try_init(ask).await?.clone();
        // Who comes from now on wants to know how it is then.
        let mut questions = self.lock();
        if questions
            .get(&digest)
            .is_some_and(|known| Arc::ptr_eq(known, &question))
        {
            questions.remove(&digest);
        }
        drop(questions);
        Ok(answer)
    }
}

impl<T> Asking<T> {
    fn lock(&self) -> MutexGuard<'_, Questions<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a question away for which nobody waits.
struct Leaving<'a, T> {
    asking: &'a Asking<T>,
    digest: KeyDigest,
}

impl<T> Drop for Leaving<'_, T> {
    fn drop(&mut self) {
        let mut questions = self.asking.lock();
        if questions
            .get(&self.digest)
            .is_some_and(|question| Arc::strong_count(question) == 1)
        {
            questions.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    fn digest(n: u32) -> KeyDigest {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        KeyDigest(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn five_thousand_who_ask_at_once_are_one_question_and_later_ones_are_another() {
        let asking = Arc::new(Asking::default());
        let questions = Arc::new(AtomicUsize::new(0));
        for round in 1..=2 {
            let mut waiting = tokio::task::JoinSet::new();
            for _ in 0..5_000 {
                let (asking, questions) = (Arc::clone(&asking), Arc::clone(&questions));
                waiting.spawn(async move {
                    let ask = || async {
                        sleep(Duration::from_millis(1)).await;
                        Ok::<_, ()>(questions.fetch_add(1, Ordering::Relaxed) + 1)
                    };
                    asking.or_ask(digest(1), ask).await
                });
            }
            let answers = waiting.join_all().await;
            assert!(answers.iter().all(|answer| *answer == Ok(round)));
            assert!(asking.lock().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_asks_when_the_one_who_asked_is_gone_or_has_failed() {
        let asking = Asking::default();
        let gone = timeout(
            Duration::from_millis(1),
            asking.or_ask(digest(1), std::future::pending::<Result<u8, &str>>),
        );
        let fails = asking.or_ask(digest(1), || async {
            sleep(Duration::from_millis(1)).await;
            Err("no answer")
        });
        let third = asking.or_ask(digest(1), || async { Ok::<_, &str>(7) });
        let (gone, fails, third) = tokio::join!(gone, fails, third);
        assert!(gone.is_err());
        assert_eq!((fails, third), (Err("no answer"), Ok(7)));
        assert!(asking.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_that_nobody_knows_leaves_nothing() {
        let asking = Asking::default();
        for n in 0..10_000 {
            let pending = asking.or_ask(digest(n), std::future::pending::<Result<(), ()>>);
            // Given up at once, as by a client that leaves.
            assert!(timeout(Duration::ZERO, pending).await.is_err());
        }
        assert!(asking.lock().is_empty());
    }
}
