//! A call of Stripe's API as a value: it is kept until it has succeeded, and made again as often as needed, always the same.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::form::{BadMetadata, Form};

/// The longest id, and the longest idempotency key, in bytes.
pub const ID_MAX: usize = 255;

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads; the form is the query.
    Get,
    /// Changes something, once per idempotency key; the form is the body.
    Post,
    /// Ends something, which can be done only once; the form is the query.
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        })
    }
}

/// A call. It can be made any number of times: each POST has an idempotency key, by construction and also where it is read back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Call {
    method: Method,
    path: String,
    form: Form,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
}

/// A call as it was kept, which anybody may have written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    method: Method,
    path: String,
    form: Form,
    idempotency_key: Option<String>,
}

/// Why there is no such call. Nothing was sent.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCall {
    /// What should be an id cannot be one, so the path would be another.
    #[error("{0:?} is no id of Stripe's: 1 to {ID_MAX} letters, digits and _")]
    Id(String),
    /// Metadata that would be refused.
    #[error(transparent)]
    Metadata(#[from] BadMetadata),
    /// Something else that Stripe would refuse.
    #[error("{what} is {found}: {wanted}")]
    Refused {
        /// Which parameter.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A kept call that is none of ours.
    #[error("a kept call of {0} is not as it was written")]
    Kept(String),
}

impl Call {
    /// A call that reads. `path` in its segments: `["v1", "customers", "cus_1"]`.
    ///
    /// # Errors
    /// A segment is no id.
    pub fn get(path: &[&str], form: Form) -> Result<Call, BadCall> {
        Call::new(Method::Get, path, form, None)
    }

    /// A call that changes something, once per key.
    ///
    /// # Errors
    /// A segment is no id.
    pub fn post(path: &[&str], form: Form, key: Key) -> Result<Call, BadCall> {
        Call::new(Method::Post, path, form, Some(key.0))
    }

    /// A call that ends something.
    ///
    /// # Errors
    /// A segment is no id.
    pub fn delete(path: &[&str], form: Form) -> Result<Call, BadCall> {
        Call::new(Method::Delete, path, form, None)
    }

    fn new(
        method: Method,
        segments: &[&str],
        form: Form,
        idempotency_key: Option<String>,
    ) -> Result<Call, BadCall> {
        let mut path = String::new();
        for segment in segments {
            check_id(segment)?;
            path.push('/');
            path.push_str(segment);
        }
        Ok(Call {
            method,
            path,
            form,
            idempotency_key,
        })
    }

    /// How it is made.
    pub fn method(&self) -> Method {
        self.method
    }

    /// `/v1/...`, without the query; letters, digits, `_` and `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it says.
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// The same for each time it is made; there for every POST, and for nothing else.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// The path with the query, where there is one.
    pub fn target(&self) -> String {
        if self.method == Method::Post || self.form.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.form.encode())
        }
    }

    /// What is done, without whom to: `POST /v1/customers/:id`. There are few of them, so that calls can be counted by it.
    pub fn operation(&self) -> String {
        let segments = self
            .path
            .split('/')
            .skip(1)
            .map(|segment| if WORDS.contains(&segment) { segment } else { ":id" });
        let path: String = segments.flat_map(|segment| ["/", segment]).collect();
        format!("{} {path}", self.method)
    }

    /// The same call, with objects in place of these ids in its answer: `["latest_charge"]`.
    #[must_use]
    pub fn expanded(mut self, parts: &[&str]) -> Call {
        self.form = self.form.list("expand", parts);
        self
    }

    /// The same call with one more parameter: where a list goes on.
    pub fn with(&self, key: &str, value: &str) -> Call {
        Call {
            form: self.form.clone().put(key, value),
            ..self.clone()
        }
    }
}

impl TryFrom<Stored> for Call {
    type Error = BadCall;

    fn try_from(stored: Stored) -> Result<Call, BadCall> {
        let kept = || BadCall::Kept(stored.path.chars().take(ID_MAX).collect());
        let key = stored.idempotency_key.as_deref();
        let key_fits = match (stored.method, key) {
            (Method::Post, Some(key)) => is_key(key),
            (Method::Post, None) => false,
            (_, key) => key.is_none(),
        };
        let path = stored
            .path
            .strip_prefix('/')
            .filter(|_| key_fits)
            .ok_or_else(kept)?;
        let segments: Vec<&str> = path.split('/').collect();
        Call::new(stored.method, &segments, stored.form, stored.idempotency_key).map_err(|_| kept())
    }
}

/// The segments of paths that are no ids.
const WORDS: [&str; 32] = [
    "v1",
    "v2",
    "account",
    "active_entitlements",
    "billing",
    "charges",
    "checkout",
    "core",
    "credit_balance_summary",
    "credit_balance_transactions",
    "credit_grants",
    "customers",
    "disputes",
    "entitlements",
    "event_summaries",
    "events",
    "expire",
    "invoice_payments",
    "invoices",
    "meter_events",
    "meters",
    "pause",
    "payment_intents",
    "payment_methods",
    "refunds",
    "resume",
    "sessions",
    "setup_intents",
    "subscription_items",
    "subscriptions",
    "void",
    "webhook_endpoints",
];

fn check_id(text: &str) -> Result<(), BadCall> {
    let fits =
        (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let shown = || text.chars().take(ID_MAX).collect();
    fits.then_some(()).ok_or_else(|| BadCall::Id(shown()))
}

/// What makes a change happen once: made of ids, never of time or chance, so that whoever comes to do it again comes with the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key(String);

impl Key {
    /// The key of what is done (`what`, a word) to and because of the things with these ids. Other ids, other key: where they hold more than letters,
    /// digits, `_`, `-` and `.`, or are too long, it is a hash that stands for them.
    pub fn of(what: &'static str, ids: &[&str]) -> Key {
        let plain = |id: &&str| {
            !id.is_empty()
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        let text = format!("{what}:{}", ids.join(":"));
        if ids.iter().all(plain) && is_key(&text) {
            return Key(text);
        }
        let mut hash = Sha256::new();
        for id in ids {
            hash.update(id.len().to_string());
            hash.update(":");
            hash.update(id);
        }
        let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Key(format!("{what}:#{hash}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn void(id: &str) -> Result<Call, BadCall> {
        Call::post(
            &["v1", "billing", "credit_grants", id, "void"],
            Form::new(),
            Key::of("grant-void", &[id]),
        )
    }

    #[test]
    fn a_call_says_what_it_does() {
        let call = void("credgr_1").unwrap();
        assert_eq!(call.target(), "/v1/billing/credit_grants/credgr_1/void");
        assert_eq!(call.operation(), "POST /v1/billing/credit_grants/:id/void");
        assert_eq!(call.idempotency_key(), Some("grant-void:credgr_1"));
        let call = Call::get(&["v1", "events"], Form::new().put("limit", 2)).unwrap();
        assert_eq!(
            call.expanded(&["data.x"]).target(),
            "/v1/events?limit=2&expand%5B0%5D=data.x"
        );
    }

    #[test]
    fn s4_no_id_leads_to_another_path() {
        for id in [
            "",
            ".",
            "..",
            "a/b",
            "../../customers",
            "a?b",
            "a#b",
            "a%2fb",
            "a b",
            "a\r\nX: y",
            "a\\b",
            "ä",
            &"a".repeat(256),
        ] {
            assert!(matches!(void(id), Err(BadCall::Id(_))), "{id}");
        }
        assert!(void(&"a".repeat(255)).is_ok());
    }

    #[test]
    fn a_kept_call_is_the_same_again_and_a_forged_one_is_none() {
        let call = void("credgr_1").unwrap();
        let kept = serde_json::to_value(&call).unwrap();
        assert_eq!(serde_json::from_value::<Call>(kept.clone()).unwrap(), call);
        let reads = Call::get(&["v1", "events"], Form::new().put("a", "b")).unwrap();
        let text = serde_json::to_string(&reads).unwrap();
        assert_eq!(text, r#"{"method":"GET","path":"/v1/events","form":[["a","b"]]}"#);
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), reads);
        for (field, value) in [
            ("idempotency_key", serde_json::Value::Null),
            ("idempotency_key", "".into()),
            ("idempotency_key", "a b".into()),
            ("idempotency_key", "a\nb".into()),
            ("idempotency_key", "k".repeat(256).into()),
            ("method", "GET".into()),
            ("method", "PATCH".into()),
            ("path", "v1/x".into()),
            ("path", "/v1/../x".into()),
            ("path", "/v1//x".into()),
            ("path", "".into()),
            ("path", "/v1/x?y".into()),
            ("path", "@evil".into()),
            ("surprise", "x".into()),
        ] {
            let mut forged = kept.clone();
            forged[field] = value.clone();
            assert!(
                serde_json::from_value::<Call>(forged).is_err(),
                "{field}: {value}"
            );
        }
    }

    #[test]
    fn keys_are_readable_where_they_can_be() {
        assert_eq!(Key::of("grant", &["pi_1"]).as_str(), "grant:pi_1");
        assert_eq!(
            Key::of("topup", &["acme.eu", "2026-11", "3"]).as_str(),
            "topup:acme.eu:2026-11:3"
        );
        for odd in ["a:b", "a b", "", "ä", &"a".repeat(250)] {
            let key = Key::of("grant", &[odd]);
            assert!(
                key.as_str().starts_with("grant:#") && key.as_str().len() == 71,
                "{key:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn other_ids_make_another_key(
            one in proptest::collection::vec("[a:#1 ]{0,3}", 0..4),
            other in proptest::collection::vec("[a:#1 ]{0,3}", 0..4),
        ) {
            let [a, b] = [&one, &other].map(|ids| ids.iter().map(String::as_str).collect::<Vec<_>>());
            let [a, b] = [Key::of("x", &a), Key::of("x", &b)];
            prop_assert_eq!(a == b, one == other, "{:?} {:?}", a, b);
            prop_assert!(is_key(a.as_str()));
        }
    }
}
