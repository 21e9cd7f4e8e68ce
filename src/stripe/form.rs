//! What a call says, as Stripe reads it: pairs of a key with brackets (`amount[monetary][value]`, `line_items[0][price]`) and a text.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Texts attached to an object, by name.
pub type Metadata = BTreeMap<String, String>;

/// The most texts that an object takes.
pub const METADATA_MAX: usize = 50;
/// The longest name of such a text, in characters.
pub const METADATA_KEY_MAX: usize = 40;
/// The longest such text, in characters.
pub const METADATA_VALUE_MAX: usize = 500;

/// Pairs in the order in which they were put. An empty text unsets what is there; `true`, `false` and whole numbers are written as such.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Form(Vec<(String, String)>);

/// Metadata that Stripe would refuse. For whoever set it; says its name, cut short.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadMetadata {
    /// More than [`METADATA_MAX`].
    #[error("an object takes {METADATA_MAX} metadata at most, these are {0}")]
    TooMany(usize),
    /// Empty, longer than [`METADATA_KEY_MAX`], or with a bracket, which would end it.
    #[error(
        "metadata {0:?} has a name that Stripe does not take: 1 to {METADATA_KEY_MAX} characters, no [ and no ]"
    )]
    Name(String),
    /// Longer than [`METADATA_VALUE_MAX`].
    #[error("metadata {0:?} is longer than {METADATA_VALUE_MAX} characters")]
    Long(String),
}

impl Form {
    /// One that says nothing.
    pub fn new() -> Form {
        Form::default()
    }

    /// Adds a pair.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Display) -> Form {
        self.0.push((key.into(), value.to_string()));
        self
    }

    /// Adds a pair if there is something to say.
    #[must_use]
    pub fn maybe(self, key: impl Into<String>, value: Option<impl Display>) -> Form {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Adds `key[0]`, `key[1]`, ...
    #[must_use]
    pub fn list<T: Display>(self, key: &str, values: impl IntoIterator<Item = T>) -> Form {
        let values = values.into_iter().enumerate();
        values.fold(self, |form, (at, value)| form.put(format!("{key}[{at}]"), value))
    }

    /// Adds `key[<name>]` for each text; `key` is `metadata`, or where else it belongs. An empty text takes the one away that is there.
    ///
    /// # Errors
    /// Too many, or one that is too long or has a name that cannot be written.
    pub fn metadata(self, key: &str, texts: &Metadata) -> Result<Form, BadMetadata> {
        if texts.len() > METADATA_MAX {
            return Err(BadMetadata::TooMany(texts.len()));
        }
        texts.iter().try_fold(self, |form, (name, text)| {
            let shown = || name.chars().take(METADATA_KEY_MAX).collect();
            if !(1..=METADATA_KEY_MAX).contains(&name.chars().count()) || name.contains(['[', ']']) {
                return Err(BadMetadata::Name(shown()));
            }
            if text.chars().count() > METADATA_VALUE_MAX {
                return Err(BadMetadata::Long(shown()));
            }
            Ok(form.put(format!("{key}[{name}]"), text))
        })
    }

    /// The first text under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(own, _)| own == key);
        pair.map(|(_, value)| value.as_str())
    }

    /// All pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it goes into a body or a query: `application/x-www-form-urlencoded`.
    pub fn encode(&self) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(self.pairs());
        text.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(name: &str, text: &str) -> Result<Form, BadMetadata> {
        Form::new().metadata("metadata", &Metadata::from([(name.to_owned(), text.to_owned())]))
    }

    #[test]
    fn pairs_are_written_in_their_order_and_escaped() {
        let form = Form::new()
            .put("amount[monetary][value]", 5_000)
            .put("confirm", true)
            .maybe("name", None::<&str>)
            .maybe("description", Some("Zürich & sons=1"))
            .list("types", ["invoice.paid", "invoice.voided"])
            .put("expires_at", "");
        assert_eq!(
            form.encode(),
            "amount%5Bmonetary%5D%5Bvalue%5D=5000&confirm=true&description=Z%C3%BCrich+%26+sons%3D1\
             &types%5B0%5D=invoice.paid&types%5B1%5D=invoice.voided&expires_at="
        );
        assert_eq!(form.get("types[1]"), Some("invoice.voided"));
        assert_eq!(form.get("name"), None);
        assert!(Form::new().is_empty() && Form::new().encode().is_empty());
    }

    #[test]
    fn metadata_that_stripe_would_refuse_is_refused_before_it_is_sent() {
        assert_eq!(one("a", "b").unwrap().encode(), "metadata%5Ba%5D=b");
        for name in ["", "a[b", "a]b", &"n".repeat(41)] {
            assert!(matches!(one(name, ""), Err(BadMetadata::Name(_))), "{name}");
        }
        // Characters, not bytes.
        assert!(one(&"ü".repeat(40), &"ü".repeat(500)).is_ok());
        assert_eq!(
            one("note", &"x".repeat(501)).unwrap_err(),
            BadMetadata::Long("note".into())
        );
        let many = |n: usize| (0..n).map(|i| (i.to_string(), String::new())).collect();
        assert!(Form::new().metadata("metadata", &many(50)).is_ok());
        assert_eq!(
            Form::new().metadata("metadata", &many(51)).unwrap_err(),
            BadMetadata::TooMany(51)
        );
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_what_is_read(pairs in proptest::collection::vec((".{0,20}", ".{0,40}"), 0..10)) {
            let form = pairs.iter().fold(Form::new(), |form, (key, value)| form.put(key.as_str(), value));
            let read: Vec<(String, String)> = form_urlencoded::parse(form.encode().as_bytes()).into_owned().collect();
            prop_assert_eq!(&read, &pairs);
            let kept = serde_json::to_string(&form).unwrap();
            prop_assert_eq!(serde_json::from_str::<Form>(&kept).unwrap(), form);
        }
    }
}
