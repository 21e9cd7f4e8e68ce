//! Answers kept for a while, to be given again to retries under the same idempotency key. In the memory of this proxy, for all its workers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::domain::ids::HoldId;

/// The longest body that is kept.
pub(super) const ANSWER_MAX: usize = 1024 * 1024;

/// What an answer takes beside its body and its headers, roughly.
const OVERHEAD: usize = 512;

/// An answer as it was given.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// All that are kept or being written down, within so many bytes together: the oldest make room.
#[derive(Debug)]
pub(super) struct Answers {
    max: AtomicUsize,
    taken: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the request that each answers; how many bytes it takes, and until when it is kept.
    by_request: HashMap<HoldId, (Answer, usize, Instant)>,
    /// As they came.
    order: VecDeque<HoldId>,
}

impl Answers {
    pub(super) fn new(max: usize) -> Arc<Answers> {
        Arc::new(Answers {
            max: AtomicUsize::new(max),
            taken: AtomicUsize::new(0),
            kept: Mutex::default(),
        })
    }

    /// From now on, for so many bytes. What is more goes when room is needed.
    pub(super) fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer that a request got.
    pub(super) fn get(&self, request: HoldId) -> Option<Answer> {
        let kept = self.kept();
        let (answer, _, until) = kept.by_request.get(&request)?;
        (Instant::now() < *until).then(|| answer.clone())
    }

    /// Lets those go whose time is over.
    pub(super) fn tidy(&self) {
        if self.taken.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept();
        let over = |(_, _, until): &(Answer, usize, Instant)| *until <= now;
        while let Some(first) = kept.order.front().copied()
            && kept.by_request.get(&first).is_none_or(over)
        {
            self.drop_first(&mut kept);
        }
    }

    fn drop_first(&self, kept: &mut Kept) -> bool {
        let Some(first) = kept.order.pop_front() else {
            return false;
        };
        if let Some((_, bytes, _)) = kept.by_request.remove(&first) {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
        true
    }

    /// Takes so many bytes more, if need be from the oldest.
    fn take(&self, bytes: usize) -> bool {
        loop {
            let max = self.max.load(Ordering::Relaxed);
            let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= max);
            let taken = self
                .taken
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            if taken.is_ok() {
                return true;
            }
            if !self.drop_first(&mut self.kept()) {
                return false;
            }
        }
    }
}

/// An answer that is being written down while it passes.
#[derive(Debug)]
pub(super) struct Record {
    answers: Arc<Answers>,
    request: HoldId,
    /// How long it is kept once it is whole.
    keeps: Duration,
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
    /// What it takes of all that there is.
    bytes: usize,
}

impl Record {
    /// Begins with the head; none where there is no room for it.
    pub(super) fn begin(
        answers: &Arc<Answers>,
        request: HoldId,
        keeps: Duration,
        (status, headers): (StatusCode, HeaderMap),
    ) -> Option<Record> {
        let lines = headers.iter();
        let bytes = lines.fold(OVERHEAD, |sum, (name, value)| {
            sum + name.as_str().len() + value.len()
        });
        answers.take(bytes).then(|| Record {
            answers: Arc::clone(answers),
            request,
            keeps,
            status,
            headers,
            body: BytesMut::new(),
            bytes,
        })
    }

    /// Adds what passes; whether it may still be kept.
    pub(super) fn add(&mut self, data: &[u8]) -> bool {
        let fits = self.body.len() + data.len() <= ANSWER_MAX && self.answers.take(data.len());
        if fits {
            self.bytes += data.len();
            self.body.extend_from_slice(data);
        }
        fits
    }

    /// All of it, at once.
    pub(super) fn keep_whole(mut self, body: &[u8]) {
        if self.add(body) {
            self.keep();
        }
    }

    /// It is whole.
    pub(super) fn keep(mut self) {
        let answer = Answer {
            status: self.status,
            headers: std::mem::take(&mut self.headers),
            body: std::mem::take(&mut self.body).freeze(),
        };
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = self.answers.kept();
        kept.order.push_back(self.request);
        kept.by_request
            .insert(self.request, (answer, bytes, Instant::now() + self.keeps));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.answers.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(n: i64) -> HoldId {
        HoldId::new(n, [0; 10])
    }

    fn record(answers: &Arc<Answers>, n: i64) -> Option<Record> {
        let (head, ()) = ::http::Response::builder()
            .status(201)
            .header("x-a", "b")
            .body(())
            .unwrap()
            .into_parts();
        Record::begin(
            answers,
            request(n),
            Duration::from_secs(60),
            (head.status, head.headers),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_given_again_as_it_was_until_its_time_is_over() {
        let answers = Answers::new(1 << 20);
        let mut one = record(&answers, 1).unwrap();
        assert!(one.add(b"hel") && one.add(b"lo"));
        assert!(answers.get(request(1)).is_none(), "it is not whole");
        one.keep();
        let mut broken = record(&answers, 2).unwrap();
        assert!(broken.add(b"hel"));
        drop(broken);
        for _ in 0..2 {
            let again = answers.get(request(1)).unwrap();
            assert_eq!((again.status.as_u16(), &*again.body), (201, &b"hello"[..]));
            assert_eq!(again.headers["x-a"], "b");
        }
        assert!(answers.get(request(2)).is_none());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(answers.get(request(1)).is_none());
        answers.tidy();
        assert_eq!(answers.taken.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room_and_nothing_takes_more_than_there_is() {
        let answers = Answers::new(10 * 2_000);
        for n in 0..50 {
            let mut one = record(&answers, n).unwrap();
            assert!(one.add(&[b'x'; 1_400]));
            one.keep();
            assert!(answers.taken.load(Ordering::Relaxed) <= 20_000);
        }
        assert!(answers.get(request(0)).is_none() && answers.get(request(49)).is_some());
        let counts = |kept: &Kept| (kept.by_request.len(), kept.order.len());
        let (by_request, order) = counts(&answers.kept());
        assert_eq!(by_request, order);
        // One that is too long for all takes the rest away, and is not kept.
        let mut long = record(&answers, 50).unwrap();
        assert!(!long.add(&[b'x'; 20_000]));
        drop(long);
        let mut many = Vec::new();
        while let Some(one) = record(&answers, 100 + many.len() as i64) {
            many.push(one);
        }
        assert!(many.len() > 30 && answers.kept().order.is_empty());
        drop(many);
        assert_eq!(answers.taken.load(Ordering::Relaxed), 0);
        answers.resize(0);
        assert!(record(&answers, 1).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_is_not_kept_however_much_room_there_is() {
        let answers = Answers::new(1 << 30);
        let mut one = record(&answers, 1).unwrap();
        assert!(one.add(&vec![b'x'; ANSWER_MAX]) && !one.add(b"x"));
    }
}
