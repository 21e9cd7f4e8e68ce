//! L1: real tokenizers, for models that name one: what a request reads is then known closely before it is sent.
//!
//! Counting takes a hundred times as long as bounding by bytes. It is for threads that nobody waits on.

#[cfg(not(feature = "tokenizers"))]
mod none;
#[cfg(feature = "tokenizers")]
mod real;

#[cfg(not(feature = "tokenizers"))]
use none::Inner;
#[cfg(feature = "tokenizers")]
use real::Inner;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The longest text that is given to a tokenizer in one piece, in bytes: some take a time that grows with the square of a word's length.
const PIECE: usize = 1_024;

/// Tokens that a cut between two pieces may add or hide.
const CUT: u64 = 2;

/// Those that are in use: all workers, and a configuration and the next, share one.
static LOADED: Mutex<Option<HashMap<Arc<str>, Weak<Tokenizer>>>> = Mutex::new(None);

/// A tokenizer.
pub struct Tokenizer {
    name: Arc<str>,
    inner: Inner,
}

/// Why there is no such tokenizer.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer {name}: {why}")]
pub struct TokenizerError {
    name: String,
    why: String,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokenizer").field(&self.name).finish()
    }
}

impl Tokenizer {
    /// One of OpenAI's by its name (`o200k_base`, `cl100k_base`, ...), or that of a `tokenizer.json` file as Hugging Face's models have it. Reads the file.
    ///
    /// # Errors
    /// There is none of that name, or the file cannot be read, or is none.
    pub fn load(name: &str) -> Result<Arc<Tokenizer>, TokenizerError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(known) = loaded.get(name).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let inner = Inner::load(name, is_file(name)).map_err(|why| TokenizerError {
            name: name.to_owned(),
            why,
        })?;
        let tokenizer = Arc::new(Tokenizer {
            name: name.into(),
            inner,
        });
        loaded.retain(|_, known| known.strong_count() > 0);
        loaded.insert(Arc::clone(&tokenizer.name), Arc::downgrade(&tokenizer));
        Ok(tokenizer)
    }

    /// How many tokens a text is, at most.
    pub fn count(&self, text: &str) -> u64 {
        let mut tokens = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest));
            // What it cannot encode is bounded by its bytes.
            let counted = self.inner.count(piece).unwrap_or(piece.len() as u64);
            tokens += counted + if after.is_empty() { 0 } else { CUT };
            rest = after;
        }
        tokens
    }
}

/// Whether a name is that of a file.
pub fn is_file(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "json")
}

/// Where a text is cut: before the last blank of its first [`PIECE`] bytes, since words are encoded with the blank before them; where there is none, between two characters.
fn cut(text: &str) -> usize {
    if text.len() <= PIECE {
        return text.len();
    }
    let most = (1..=PIECE)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    let blank = text.get(1..most).and_then(|head| head.rfind([' ', '\n']));
    blank.map_or(most, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_before_blanks_or_between_characters() {
        let words = "word ".repeat(1_000);
        assert_eq!(cut(&words), 1_019);
        assert_eq!(cut(&"x".repeat(5_000)), PIECE);
        assert_eq!(cut(&"一".repeat(5_000)), 1_023);
        assert_eq!(cut("short"), 5);
        assert_eq!(cut(&format!(" {}", "x".repeat(5_000))), PIECE);
    }

    #[cfg(feature = "tokenizers")]
    #[test]
    fn what_is_counted_is_close_and_never_too_low() {
        let tokenizer = Tokenizer::load("o200k_base").unwrap();
        assert_eq!(tokenizer.count("Hello, world!"), 4);
        assert_eq!(tokenizer.count(""), 0);
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(2_000);
        let whole = tiktoken_rs::o200k_base_singleton().encode_ordinary(&text).len() as u64;
        let counted = tokenizer.count(&text);
        assert!(
            whole <= counted && counted <= whole + whole / 50,
            "{counted} for {whole}"
        );
        assert!(Arc::ptr_eq(&tokenizer, &Tokenizer::load("o200k_base").unwrap()));
    }

    #[cfg(feature = "tokenizers")]
    #[test]
    fn a_file_of_hugging_face_is_read_and_what_is_none_is_told() {
        let folder = std::env::temp_dir().join(format!("faregate-tokenizer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("tokenizer.json");
        let model = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},
            "post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"mind":0,"the":1,"gap":2,"[UNK]":3},"unk_token":"[UNK]"}}"#;
        std::fs::write(&file, model).unwrap();
        let name = file.to_str().unwrap();
        assert_eq!(Tokenizer::load(name).unwrap().count("mind the gap"), 3);
        // As the files of models that embed say it: what is longer is cut, what is shorter filled up.
        let cuts =
            r#""truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#;
        let pads = r#""padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":3,"pad_type_id":0,"pad_token":"[UNK]"}"#;
        let cutting = model.replace(r#""truncation":null,"padding":null"#, &format!("{cuts},{pads}"));
        std::fs::write(&file, cutting).unwrap();
        assert_eq!(Tokenizer::load(name).unwrap().count("mind the gap"), 3);
        std::fs::write(&file, "{}").unwrap();
        assert!(
            Tokenizer::load(name)
                .unwrap_err()
                .to_string()
                .contains("tokenizer.json")
        );
        assert!(Tokenizer::load("no/such/tokenizer.json").is_err());
        assert!(
            Tokenizer::load("o201k_base")
                .unwrap_err()
                .to_string()
                .contains("o200k_base")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
