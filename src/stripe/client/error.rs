//! What a call comes to that was not done, or of which it isn't known.

use std::fmt;

use serde_json::Value;

use crate::config::Secret;

/// Characters of a text of Stripe's that are kept.
const TEXT_MAX: usize = 500;

/// Why there is no reply.
#[derive(Clone, PartialEq, Debug)]
pub enum ApiError {
    /// It is not known whether it was done, or it is known that it was not and may be later: make the same call again, with pauses. After a day Stripe
    /// has forgotten its idempotency key: look for what it should have made before it is made again.
    Unknown {
        /// What happened. For an operator's log.
        what: String,
        /// What Stripe's support asks for.
        request_id: Option<String>,
    },
    /// It was not done, and will not be: the same call again is refused again.
    Refused(Box<Refused>),
    /// A list has more items than the caller takes.
    TooMany {
        /// As many as the caller takes.
        max: usize,
    },
}

/// What Stripe said when it refused.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// `card_error`, `invalid_request_error`, `idempotency_error`, or what there may be one day.
    pub kind: String,
    /// What is wrong, in a word: `resource_missing`, `card_declined`, ...
    pub code: Option<String>,
    /// Why the card's bank said no.
    pub decline_code: Option<String>,
    /// What to do about it: `do_not_try_again`, `try_again_later`, `confirm_card_data`.
    pub advice_code: Option<String>,
    /// Which parameter.
    pub param: Option<String>,
    /// In words, cut short; without keys. Only a card error's is for the customer.
    pub message: String,
    /// What Stripe's support asks for.
    pub request_id: Option<String>,
    /// The payment as it is now, where it was one; without its `client_secret`, which is not for logs.
    pub payment_intent: Option<Value>,
}

impl ApiError {
    pub(super) fn unknown(what: impl Into<String>) -> ApiError {
        ApiError::Unknown {
            what: what.into(),
            request_id: None,
        }
    }

    /// What Stripe said, if it refused.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            ApiError::Refused(refused) => Some(refused),
            ApiError::Unknown { .. } | ApiError::TooMany { .. } => None,
        }
    }

    /// The same call may come to something else, later.
    pub fn is_unknown(&self) -> bool {
        matches!(self, ApiError::Unknown { .. })
    }

    /// In a word, to count by: `unknown`, `declined`, `forbidden`, `missing`, `refused`, `too_many`.
    pub fn outcome(&self) -> &'static str {
        match self {
            ApiError::Unknown { .. } => "unknown",
            ApiError::TooMany { .. } => "too_many",
            ApiError::Refused(refused) if refused.is_card() => "declined",
            ApiError::Refused(refused) if refused.is_permission() || refused.is_key() => "forbidden",
            ApiError::Refused(refused) if refused.is_missing() => "missing",
            ApiError::Refused(_) => "refused",
        }
    }
}

impl std::error::Error for ApiError {}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Unknown { what, request_id } => {
                write!(f, "not known whether it was done: {what}")?;
                request_id.iter().try_for_each(|id| write!(f, " ({id})"))
            }
            ApiError::Refused(refused) => refused.fmt(f),
            ApiError::TooMany { max } => write!(f, "the list has more than {max} items"),
        }
    }
}

impl Refused {
    /// Reads an error's body; `None` for one that Stripe does not write.
    pub(super) fn read(
        body: &Value,
        status: u16,
        request_id: Option<String>,
        key: &Secret,
    ) -> Option<Refused> {
        let error = body.get("error")?.as_object()?;
        let text = |name: &str| {
            let text = error.get(name)?.as_str()?;
            Some(scrub(text, key))
        };
        Some(Refused {
            status,
            kind: text("type").unwrap_or_default(),
            code: text("code"),
            decline_code: text("decline_code"),
            advice_code: text("advice_code"),
            param: text("param"),
            message: text("message").unwrap_or_default(),
            request_id,
            payment_intent: error.get("payment_intent").and_then(without_secret),
        })
    }

    /// The key has no right to this; the message names the right that it needs.
    pub fn is_permission(&self) -> bool {
        self.status == 403
    }

    /// The key is none, or no more.
    pub fn is_key(&self) -> bool {
        self.status == 401
    }

    /// There is no such object, or it is of another mode or account.
    pub fn is_missing(&self) -> bool {
        self.status == 404 || self.code.as_deref() == Some("resource_missing")
    }

    /// The card's bank, or Stripe for it, said no.
    pub fn is_card(&self) -> bool {
        self.kind == "card_error" || self.status == 402
    }

    /// The bank wants the customer to be there.
    pub fn wants_customer(&self) -> bool {
        [&self.code, &self.decline_code]
            .into_iter()
            .any(|code| code.as_deref() == Some("authentication_required"))
    }

    /// This card will never do.
    pub fn is_final_for_card(&self) -> bool {
        self.advice_code.as_deref() == Some("do_not_try_again")
    }

    /// The idempotency key was used for another call: a fault of ours.
    pub fn is_other_call(&self) -> bool {
        self.kind == "idempotency_error"
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stripe refused it with {}", self.status)?;
        if !self.kind.is_empty() {
            write!(f, " {}", self.kind)?;
        }
        for (name, text) in [
            ("code", &self.code),
            ("decline_code", &self.decline_code),
            ("advice_code", &self.advice_code),
            ("param", &self.param),
        ] {
            text.iter().try_for_each(|text| write!(f, ", {name} {text}"))?;
        }
        write!(f, ": {}", self.message)?;
        if self.is_permission() {
            f.write_str(
                " -- give the restricted key this right in the dashboard, under Developers, API keys",
            )?;
        }
        if self.is_key() {
            f.write_str(" -- is api_key of this account and mode, and not rolled?")?;
        }
        self.request_id.iter().try_for_each(|id| write!(f, " ({id})"))
    }
}

fn without_secret(intent: &Value) -> Option<Value> {
    let mut intent = intent.as_object()?.clone();
    intent.remove("client_secret");
    Some(Value::Object(intent))
}

/// A text from outside, fit for a log: cut short, on one line, and without what could be a key, ours or another.
pub(super) fn scrub(text: &str, key: &Secret) -> String {
    let text: String = text.replace(key.expose(), "***").chars().take(TEXT_MAX).collect();
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !is_of_key(c)).unwrap_or(rest.len());
        if word == 0 {
            clean.push(if c.is_control() { ' ' } else { c });
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (own, after) = rest.split_at(word);
        let secret = ["sk_", "rk_", "whsec_"]
            .iter()
            .any(|prefix| own.starts_with(prefix));
        clean.push_str(if secret { "***" } else { own });
        rest = after;
    }
    clean
}

/// Stripe stars most of a key when it repeats it.
fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '*'
}
