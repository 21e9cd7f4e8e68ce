//! The libraries that do it: `tiktoken-rs` with OpenAI's vocabularies in it, `tokenizers` for files.

use tiktoken_rs::CoreBPE;

/// A tokenizer of either library.
pub(super) enum Inner {
    OpenAi(&'static CoreBPE),
    File(Box<tokenizers::Tokenizer>),
}

impl Inner {
    /// By a name or a file; the error is a sentence.
    pub(super) fn load(name: &str, is_file: bool) -> Result<Inner, String> {
        if is_file {
            return file(name).map_err(|error| error.to_string());
        }
        Ok(Inner::OpenAi(match name {
            "o200k_base" => tiktoken_rs::o200k_base_singleton(),
            "o200k_harmony" => tiktoken_rs::o200k_harmony_singleton(),
            "cl100k_base" => tiktoken_rs::cl100k_base_singleton(),
            "p50k_base" => tiktoken_rs::p50k_base_singleton(),
            "r50k_base" => tiktoken_rs::r50k_base_singleton(),
            _ => {
                return Err("there is none of that name; there are o200k_base, o200k_harmony, cl100k_base, p50k_base, r50k_base, and files that end in .json".to_owned());
            }
        }))
    }

    /// Tokens of a text; `None` where it cannot be encoded.
    pub(super) fn count(&self, text: &str) -> Option<u64> {
        Some(match self {
            Inner::OpenAi(tokenizer) => tokenizer.encode_ordinary(text).len() as u64,
            Inner::File(tokenizer) => tokenizer.encode_fast(text, false).ok()?.len() as u64,
        })
    }
}

/// A file's. What it may say of how long a text is cut or padded to is for those who run the model: here, every token of a text counts, and no other.
fn file(name: &str) -> tokenizers::Result<Inner> {
    let mut file = tokenizers::Tokenizer::from_file(name)?;
    file.with_truncation(None)?;
    file.with_padding(None);
    Ok(Inner::File(Box::new(file)))
}
