//! What an answer means: done, refused, or not known; and whether to ask again soon.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::error::{Refused, scrub};
use super::{ApiError, Reply, Unsaid};
use crate::config::Secret;

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    /// `Stripe-Should-Retry` where it is there; else what may pass: conflicts, limits, trouble of theirs.
    fn asks_again(&self) -> bool {
        match self.header("stripe-should-retry") {
            Some("true") => true,
            Some("false") => false,
            _ => matches!(self.status, 409 | 424 | 429 | 500..=504),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Judges it. `key` is taken out of whatever is repeated of it.
    pub(super) fn judge(&self, key: &Secret) -> Result<Reply, Unsaid> {
        let request_id = request_id(&self.headers);
        let body = serde_json::from_slice::<Value>(&self.body);
        let unknown = |what: String, again| {
            let request_id = request_id.clone();
            let error = ApiError::Unknown { what, request_id };
            Err(Unsaid { error, again })
        };
        match (self.status, body) {
            (200..=299, Ok(body)) => Ok(Reply { body, request_id }),
            (status @ 200..=299, Err(error)) => {
                unknown(format!("an answer with {status} that is no JSON: {error}"), false)
            }
            // Never followed: wherever it leads, the key does not go there.
            (status @ 300..=399, _) => Err(Unsaid {
                error: ApiError::Refused(Box::new(Refused {
                    status,
                    kind: "redirect".to_owned(),
                    message: "a redirect, which is not followed: api_base is not where Stripe's API is"
                        .to_owned(),
                    request_id,
                    ..Refused::default()
                })),
                again: false,
            }),
            (status, body) => {
                let again = self.asks_again();
                let said = body
                    .ok()
                    .and_then(|body| Refused::read(&body, status, request_id.clone(), key));
                match said {
                    Some(refused) if is_final(status) => Err(Unsaid {
                        error: ApiError::Refused(Box::new(refused)),
                        again,
                    }),
                    Some(refused) => unknown(format!("{}{}", self.trouble(key), refused.message), again),
                    // No error of Stripe's: something on the way answered, which says nothing about the call.
                    None => unknown(format!("{}no answer of Stripe's", self.trouble(key)), again),
                }
            }
        }
    }

    /// What an answer that says nothing for good says about itself.
    fn trouble(&self, key: &Secret) -> String {
        let mut text = format!("{}: ", self.status);
        if let Some(reason) = self.header("stripe-rate-limited-reason") {
            text = format!("{}, limited by {}: ", self.status, scrub(reason, key));
        }
        if self.header("idempotent-replayed") == Some("true") {
            text.push_str("the first answer to this call, given again: ");
        }
        text
    }
}

/// Whether an error with this status says that the call was not done and won't be: not for conflicts and limits, nor for trouble of theirs, after which
/// it may have been done.
fn is_final(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 408 | 409 | 424 | 425 | 429)
}

pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("request-id")?.to_str().ok()?;
    let fits = (1..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| id.to_owned())
}
