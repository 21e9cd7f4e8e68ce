//! Who sent a webhook: `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>][,v0=...]`, where each `v1` is the HMAC-SHA256 of `<t>.<raw body>`.
//!
//! A secret's whole text is its key. Other schemes than `v1` are passed over, so that nobody can fall back on a weaker one. An old telling, or one
//! from the future, is refused even where it is signed: Stripe signs each of its tries anew, so what is old was kept by somebody.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::config::Secret;
use crate::domain::time::{Span, Timestamp};

/// How long ago a telling may have been signed.
pub const AGE_MAX: Span = Span::from_secs(300);
/// How far ahead of ours the clock may be by which it was signed.
pub const AHEAD_MAX: Span = Span::from_secs(60);
/// The most secrets: one per endpoint, and twice as many while they are rolled.
pub const SECRETS_MAX: usize = 16;
/// The most `v1` values that are looked at; Stripe sends one per secret that is alive, and at most two are.
pub const SIGNATURES_MAX: usize = 16;

/// Digits of a time in seconds, for the next 30,000 years.
const TIME_DIGITS_MAX: usize = 12;

/// The secrets of all endpoints, old and new ones while they are rolled. Shows nothing of them.
#[derive(Clone)]
pub struct WebhookSecrets(Vec<Hmac<Sha256>>);

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} webhook secrets", self.0.len())
    }
}

/// Why secrets cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecretsError {
    /// There is none.
    #[error("there is no webhook secret: copy it from the endpoint's page, it begins with whsec_")]
    None,
    /// More than [`SECRETS_MAX`].
    #[error("there are more than {SECRETS_MAX} webhook secrets: take out those that were rolled")]
    TooMany,
    /// Empty, or with a space or a control character in it: anyone can sign with an empty one, and nobody with the others.
    #[error("webhook secret {number} is empty, or has a space in it: copy it from the endpoint's page")]
    Unusable {
        /// Which one, counted from 1.
        number: usize,
    },
}

/// Why a telling is not believed. None of them is worth an answer with more than "no": whoever sent it is a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// The header is not what Stripe writes.
    #[error("Stripe-Signature is not t=<seconds>,v1=<hex>")]
    Malformed,
    /// Nothing in it is signed by a scheme that counts.
    #[error("Stripe-Signature has no v1 signature")]
    Unsigned,
    /// Signed more than [`AGE_MAX`] ago.
    #[error(
        "it was signed {seconds} s ago, 300 s at most: sent by another than Stripe, or this machine's clock is ahead"
    )]
    Old {
        /// How long ago.
        seconds: i64,
    },
    /// Signed more than [`AHEAD_MAX`] from now.
    #[error(
        "it was signed {seconds} s from now, 60 s at most: sent by another than Stripe, or this machine's clock is behind"
    )]
    Ahead {
        /// How far ahead.
        seconds: i64,
    },
    /// No signature is one of ours.
    #[error("no signature was made with one of the webhook secrets for this body")]
    Forged,
}

impl WebhookSecrets {
    /// Takes the secrets of all endpoints whose tellings are to be believed, in any order.
    pub fn new(secrets: Vec<Secret>) -> Result<WebhookSecrets, SecretsError> {
        if secrets.is_empty() {
            return Err(SecretsError::None);
        }
        if secrets.len() > SECRETS_MAX {
            return Err(SecretsError::TooMany);
        }
        let keys = secrets.iter().enumerate().map(|(at, secret)| {
            let unusable = SecretsError::Unusable { number: at + 1 };
            let text = secret.expose();
            if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(unusable);
            }
            Hmac::new_from_slice(text.as_bytes()).map_err(|_| unusable)
        });
        Ok(WebhookSecrets(keys.collect::<Result<_, _>>()?))
    }
}

/// Whether `body`, byte by byte as it came, was signed by one who has one of the secrets, and lately. Takes as long for a near miss as for a far one.
pub fn verify(
    secrets: &WebhookSecrets,
    header: &[u8],
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let signed = Signed::read(header)?;
    let age = now.micros() / 1_000_000 - signed.seconds;
    if age > AGE_MAX.micros() / 1_000_000 {
        return Err(SignatureError::Old { seconds: age });
    }
    if -age > AHEAD_MAX.micros() / 1_000_000 {
        return Err(SignatureError::Ahead { seconds: -age });
    }
    let mut genuine = Choice::from(0);
    for key in &secrets.0 {
        let mut mac = key.clone();
        mac.update(signed.time);
        mac.update(b".");
        mac.update(body);
        let own = hex(&mac.finalize().into_bytes().into());
        for signature in &signed.signatures {
            genuine |= own.ct_eq(*signature);
        }
    }
    if bool::from(genuine) {
        Ok(())
    } else {
        Err(SignatureError::Forged)
    }
}

/// What the header says.
struct Signed<'a> {
    /// The time as it is written: that is what was signed.
    time: &'a [u8],
    seconds: i64,
    /// At most [`SIGNATURES_MAX`].
    signatures: Vec<&'a [u8]>,
}

impl Signed<'_> {
    fn read(header: &[u8]) -> Result<Signed<'_>, SignatureError> {
        let mut time = None;
        let mut signatures = Vec::new();
        for part in header.split(|b| *b == b',') {
            let at = part.iter().position(|b| *b == b'=');
            let (scheme, value) = part.split_at(at.ok_or(SignatureError::Malformed)?);
            match (scheme, &value[1..]) {
                // With two times there would be two readings of what was signed.
                (b"t", _) if time.is_some() => return Err(SignatureError::Malformed),
                (b"t", value) => time = Some(value),
                (b"v1", value) if signatures.len() < SIGNATURES_MAX => signatures.push(value),
                _ => {}
            }
        }
        let time = time.ok_or(SignatureError::Malformed)?;
        let seconds = seconds(time).ok_or(SignatureError::Malformed)?;
        if signatures.is_empty() {
            return Err(SignatureError::Unsigned);
        }
        Ok(Signed {
            time,
            seconds,
            signatures,
        })
    }
}

fn seconds(digits: &[u8]) -> Option<i64> {
    let fits = (1..=TIME_DIGITS_MAX).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| fits)?;
    text.parse().ok()
}

/// As Stripe writes it: in lower case.
fn hex(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// A header for `body`, as Stripe signs it at `seconds` with each of these secrets: for tests, and for a pretended Stripe.
pub fn sign(secrets: &WebhookSecrets, body: &[u8], seconds: i64) -> String {
    let mut header = format!("t={seconds}");
    for key in &secrets.0 {
        let mut mac = key.clone();
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        header.push_str(",v1=");
        header.extend(hex(&mac.finalize().into_bytes().into()).map(char::from));
    }
    header
}

#[cfg(test)]
mod tests;
