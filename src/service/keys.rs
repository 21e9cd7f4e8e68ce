//! API keys: made, imported, revoked.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::command::{Command, NewKey};
use crate::domain::ids::{AccountId, KeyDigest, KeyId};
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;
use crate::ledger::Ledger;

use super::accounts::{Actor, Changed, ControlError, send};
use super::request_ids::Entropy;

/// What issued keys begin with, so that scanners find leaked ones.
pub const PREFIX: &str = "fg_live_";

/// The shortest key that may be imported, in bytes: a shorter one could be guessed.
pub const IMPORT_MIN: usize = 16;

/// The longest key that is looked at.
pub const KEY_MAX: usize = 512;

/// A key itself. Shown once, to whoever made it; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a text cannot be imported as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Too short to be safe or too long to be a key.
    #[error("a key has {IMPORT_MIN} to {KEY_MAX} characters")]
    Length,
    /// It could not be sent in a header.
    #[error("a key has visible ASCII characters only")]
    Character,
}

impl SecretKey {
    /// A new key: 186 random bits in base 62 after the prefix.
    pub fn generate(entropy: &Entropy) -> SecretKey {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut key = String::with_capacity(PREFIX.len() + 32);
        key.push_str(PREFIX);
        let mut bytes = [0; 64];
        while key.len() < PREFIX.len() + 32 {
            entropy(&mut bytes);
            // Bytes beyond a multiple of 62 are skipped, so that every letter is equally likely.
            let letters = bytes
                .iter()
                .filter(|b| **b < 248)
                .map(|b| char::from(ALPHABET[usize::from(b % 62)]));
            key.extend(letters.take(PREFIX.len() + 32 - key.len()));
        }
        SecretKey(key)
    }

    /// An existing key of another system.
    pub fn import(text: &str) -> Result<SecretKey, ImportError> {
        if !(IMPORT_MIN..=KEY_MAX).contains(&text.len()) {
            return Err(ImportError::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ImportError::Character);
        }
        Ok(SecretKey(text.to_owned()))
    }

    /// The key itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The public name that follows from it, so that importing a key twice is one key.
    pub fn id(&self) -> KeyId {
        let digest = self.digest().to_hex();
        // Sixteen hexadecimal digits are a name.
        KeyId::new(&format!("key_{}", &digest[..16])).unwrap_or_else(|_| unreachable!("hexadecimal digits"))
    }
}

/// What a key is given besides its secret.
#[derive(Clone, Debug, Default)]
pub struct KeyOptions {
    /// A name for people.
    pub name: Option<Arc<str>>,
    /// When it stops counting.
    pub expires_at: Option<Timestamp>,
    /// Its own caps.
    pub limits: Limits,
}

/// Gives an account a key.
pub async fn put(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    key: &SecretKey,
    options: KeyOptions,
    by: &Actor,
) -> Result<Changed, ControlError> {
    let key = NewKey {
        id: key.id(),
        digest: key.digest(),
        name: options.name,
        expires_at: options.expires_at.unwrap_or(Timestamp::NEVER),
        limits: options.limits,
    };
    let detail = by.note().new_key(&key).detail();
    let account = account.clone();
    send(ledger, &Command::PutKey { account, key, detail }).await
}

/// Revokes a key, for good; from then on it opens nothing on any proxy.
pub async fn revoke(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    key: &KeyId,
    by: &Actor,
) -> Result<Changed, ControlError> {
    let (account, key, detail) = (account.clone(), key.clone(), by.note().detail());
    send(ledger, &Command::RevokeKey { account, key, detail }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::request_ids::kernel_entropy;

    #[test]
    fn issued_keys_differ_and_show_nothing_in_debug() {
        let (a, b) = (
            SecretKey::generate(&kernel_entropy()),
            SecretKey::generate(&kernel_entropy()),
        );
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(a.reveal().len(), PREFIX.len() + 32);
        assert_eq!(format!("{a:?}"), "***");
        assert!(SecretKey::import(a.reveal()).is_ok());
    }

    #[test]
    fn what_could_not_be_sent_or_could_be_guessed_is_not_imported() {
        assert_eq!(SecretKey::import("short"), Err(ImportError::Length));
        assert_eq!(
            SecretKey::import("sixteen or more, with blanks"),
            Err(ImportError::Character)
        );
    }
}
