//! A breaker in front of a ledger that does not answer: after a while of that, requests are told so at once instead of waiting as long as they may, and
//! one of them after the other is let through to see whether it answers again. It knows nothing of open and shut, only since when there is silence.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::LedgerError;
use crate::telemetry::metrics::LedgerMeters;

/// How long there has been no answer before requests are turned away. A connection that breaks fails many questions at once, and is soon replaced.
const LASTING: Duration = Duration::from_millis(400);

/// Meanwhile one request is let through so often. It asks again and again as long as it may, so what comes back is noticed sooner; and less than clients
/// are told to wait, so that one who comes again finds out.
const PAUSE: Duration = Duration::from_secs(1);

/// When the last question that had no answer is as old, nothing is known any more.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// Questions in a row that were not answered.
#[derive(Clone, Copy, Debug)]
struct Silence {
    first: Instant,
    last: Instant,
    /// No other request is let through before.
    next: Instant,
}

impl Silence {
    fn new(now: Instant) -> Silence {
        Silence {
            first: now,
            last: now,
            next: now,
        }
    }

    fn lasts(&self) -> bool {
        self.last.duration_since(self.first) >= LASTING
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= FORGOTTEN
    }

    /// One more.
    fn goes_on(&mut self, now: Instant) {
        if self.is_forgotten(now) {
            self.first = now;
        }
        self.last = now;
    }

    /// Whether a request may ask.
    fn lets_ask(&mut self, now: Instant) -> bool {
        let may = !self.lasts() || self.is_forgotten(now) || now >= self.next;
        if may {
            self.next = now + PAUSE;
        }
        may
    }
}

/// A breaker for each partition of a ledger, since a cluster can be away in part. Where all is well it costs one look at a flag.
#[derive(Debug)]
pub(super) struct Breaker {
    /// By partition; none for those that answer.
    silences: Mutex<HashMap<u32, Silence>>,
    calm: AtomicBool,
    meters: Arc<LedgerMeters>,
}

impl Breaker {
    pub(super) fn new(meters: Arc<LedgerMeters>) -> Breaker {
        Breaker {
            silences: Mutex::default(),
            calm: AtomicBool::new(true),
            meters,
        }
    }

    fn silences(&self) -> MutexGuard<'_, HashMap<u32, Silence>> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request ask about a partition, or says that the ledger has not been answering.
    pub(super) fn pass(&self, partition: u32) -> Result<(), LedgerError> {
        if self.calm.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = Instant::now();
        let mut silences = self.silences();
        if silences
            .get_mut(&partition)
            .is_none_or(|silence| silence.lets_ask(now))
        {
            return Ok(());
        }
        self.meters.shed.inc();
        Err(LedgerError::Unavailable("it has not been answering".to_owned()))
    }

    /// What became of a question. Whatever the ledger says of an account or of itself is an answer.
    pub(super) fn heard<T>(&self, partition: u32, answer: &Result<T, LedgerError>) {
        match answer {
            Err(error) if error.is_transient() => self.unanswered(partition, error),
            _ if self.calm.load(Ordering::Relaxed) => {}
            _ => self.answered(partition),
        }
    }

    fn unanswered(&self, partition: u32, error: &LedgerError) {
        let now = Instant::now();
        let mut silences = self.silences();
        let silence = silences.entry(partition).or_insert_with(|| Silence::new(now));
        let before = silence.lasts();
        silence.goes_on(now);
        if silence.lasts() && !before {
            tracing::warn!(partition, %error, "the ledger does not answer: requests are turned away at once");
        }
        self.calm.store(false, Ordering::Relaxed);
    }

    fn answered(&self, partition: u32) {
        let mut silences = self.silences();
        if silences.remove(&partition).is_some_and(|silence| silence.lasts()) {
            tracing::info!(partition, "the ledger answers again");
        }
        self.calm.store(silences.is_empty(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Event {
        Wait(u64),
        Ask,
        Answered,
        Unanswered,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (0_u64..2_500).prop_map(Event::Wait),
            3 => Just(Event::Ask),
            1 => Just(Event::Answered),
            5 => Just(Event::Unanswered),
        ]
    }

    fn meters() -> Arc<LedgerMeters> {
        let metrics = crate::telemetry::metrics::Metrics::new(&["ok"]).unwrap();
        Arc::clone(&metrics.ledger)
    }

    fn silence() -> Result<(), LedgerError> {
        Err(LedgerError::TimedOut(500))
    }

    proptest! {
        /// Against the plain words: who is turned away had silence before him that lasted, and somebody was let through a moment ago.
        #[test]
        fn it_turns_away_after_lasting_silence_only_and_never_all(
            events in prop::collection::vec(any_event(), 1..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let breaker = Breaker::new(meters());
                let (mut unheard, mut passed) = (Vec::<Instant>::new(), Vec::<Instant>::new());
                for event in events {
                    let now = Instant::now();
                    match event {
                        Event::Wait(millis) => tokio::time::advance(Duration::from_millis(millis)).await,
                        Event::Ask => {
                            let lasting = unheard.last().is_some_and(|last| *last - unheard[0] >= LASTING);
                            let recent = passed.last().is_some_and(|last| now - *last < PAUSE);
                            match breaker.pass(0) {
                                Ok(()) => passed.push(now),
                                Err(_) => prop_assert!(lasting && recent, "turned away after {:?}", unheard),
                            }
                        }
                        Event::Answered => {
                            breaker.heard(0, &Ok(()));
                            unheard.clear();
                            prop_assert!(breaker.pass(0).is_ok() && breaker.pass(0).is_ok());
                        }
                        Event::Unanswered => {
                            if unheard.last().is_some_and(|last| now - *last >= FORGOTTEN) {
                                unheard.clear();
                            }
                            unheard.push(now);
                            breaker.heard(0, &silence());
                            if now - unheard[0] >= LASTING {
                                let both = [breaker.pass(0).is_ok(), breaker.pass(0).is_ok()];
                                prop_assert!(!both[1], "two let through at once");
                                if both[0] {
                                    passed.push(now);
                                }
                            }
                        }
                    }
                }
                tokio::time::advance(PAUSE).await;
                prop_assert!(breaker.pass(0).is_ok());
                Ok(())
            })?;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_at_once_are_one_broken_connection_and_other_partitions_go_on() {
        let meters = meters();
        let breaker = Breaker::new(Arc::clone(&meters));
        for _ in 0..1_000 {
            breaker.heard(7, &silence());
        }
        assert!(breaker.pass(7).is_ok() && breaker.pass(7).is_ok());
        tokio::time::advance(LASTING).await;
        breaker.heard(7, &silence());
        assert!(breaker.pass(7).is_err());
        tokio::time::advance(PAUSE).await;
        assert!(breaker.pass(7).is_ok() && breaker.pass(7).is_err());
        assert!(breaker.pass(8).is_ok() && breaker.pass(8).is_ok());
        breaker.heard(8, &Ok(()));
        assert!(breaker.pass(7).is_err());
        // What is no use to the one who asked is an answer all the same.
        breaker.heard::<()>(7, &Err(LedgerError::Misconfigured("NOAUTH".to_owned())));
        assert!(breaker.pass(7).is_ok() && breaker.pass(7).is_ok());
        assert_eq!(meters.shed.get(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_long_after_the_last_failure_is_not_turned_away_for_it() {
        let breaker = Breaker::new(meters());
        breaker.heard(0, &silence());
        tokio::time::advance(LASTING).await;
        breaker.heard(0, &silence());
        assert!(breaker.pass(0).is_ok() && breaker.pass(0).is_err());
        tokio::time::advance(FORGOTTEN).await;
        assert!(breaker.pass(0).is_ok() && breaker.pass(0).is_ok());
        breaker.heard(0, &silence());
        assert!(breaker.pass(0).is_ok() && breaker.pass(0).is_ok());
    }
}
