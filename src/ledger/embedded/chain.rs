//! The journal's hash chain: each entry's hash covers the entry and the hash before it, so that no row can be changed, moved, added or
//! taken out of the middle unnoticed.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::domain::entry::Entry;

/// The end of the chain so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chain {
    /// Of the last entry; of none, the store's id.
    pub(super) hash: String,
    /// For building an entry's text.
    text: String,
}

impl Chain {
    pub(super) fn new(hash: String) -> Chain {
        Chain {
            hash,
            text: String::new(),
        }
    }

    /// Adds an entry: the first 16 bytes, in hexadecimal, of the SHA-256 of the hash before it and the entry's fields, each but the last ended by a
    /// line feed (only the detail, which comes last, could contain one).
    pub(super) fn add(&mut self, entry: &Entry) {
        let text = &mut self.text;
        text.clear();
        let _ = write!(
            text,
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.hash,
            entry.seq,
            entry.number,
            entry.previous,
            entry.time.micros(),
            entry.account,
            entry.kind.as_str(),
            entry.subject,
            entry.amount.micros(),
            entry.held.micros(),
            entry.available.micros(),
            entry.detail.as_str(),
        );
        let digest = Sha256::digest(text.as_bytes());
        self.hash.clear();
        for byte in &digest[..16] {
            let _ = write!(self.hash, "{byte:02x}");
        }
    }
}
