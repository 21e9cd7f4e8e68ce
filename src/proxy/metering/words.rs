//! Tokens that nobody has reported, counted by the model's own tokenizer when an answer is over: on threads that nobody waits on, a few at once.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::http::body::Share;
use crate::meter::answer::{WORDS_MAX, Words};
use crate::tokenizer::Tokenizer;

use super::course::Course;

/// Counting takes some 10 ms for each answer of [`WORDS_MAX`]. Many who leave at once are to wait for one another, and not the rest for them.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What an answer's words may take is asked for in pieces of so many bytes.
const PIECE: usize = 8 << 10;

/// Tokens, when they are counted; `None` where that cannot be.
pub(super) type Counting = Pin<Box<dyn Future<Output = Option<u64>> + Send>>;

/// Counts words that are had by and by.
pub(in crate::proxy) async fn counted(
    words: impl FnOnce() -> Option<Words> + Send + 'static,
    tokenizer: Arc<Tokenizer>,
) -> Option<u64> {
    let _turn = AT_ONCE.acquire().await.ok()?;
    let counted = tokio::task::spawn_blocking(move || Some(words()?.tokens(|text| tokenizer.count(text))));
    counted.await.ok().flatten()
}

/// The memory that an answer's words take, of all that there is for bodies (H14).
pub(super) struct Shelf {
    share: Share,
    allowed: usize,
}

impl Shelf {
    pub(super) fn new(share: Share) -> Shelf {
        Shelf { share, allowed: 0 }
    }

    /// Makes room for what may come out of so many bytes. Where there is none, words are lost, and count by their bytes.
    pub(super) fn make_room(&mut self, course: &mut Course, bytes: usize) {
        let needed = course.words_len().saturating_add(bytes).min(WORDS_MAX);
        while self.allowed < needed && self.share.grow(PIECE) {
            self.allowed += PIECE;
        }
        course.allow_words(self.allowed);
    }
}
