//! Getters for texts: plain ones, words, secrets, lists of them.

use toml::de::DeValue;

use super::super::context::{Place, Placed};
use super::super::schema::{Default, Kind};
use super::super::secret::{self, Secret};
use super::values::{kind_of, shown, text_of};
use super::{Node, Section, declare};

impl<'a> Section<'a> {
    /// A text of 1 to 2,048 characters.
    pub(in crate::config) fn text(&self, name: &'static str, doc: &'static str) -> Option<Placed<String>> {
        let node = self.ask(declare(name, Kind::Text, doc))?;
        self.plain(&node.place, node.value)
    }

    /// As [`Section::text`]; `default` is what an absent key counts as.
    pub(in crate::config) fn text_or(
        &self,
        name: &'static str,
        doc: &'static str,
        default: &str,
    ) -> Option<Placed<String>> {
        let mut declared = declare(name, Kind::Text, doc);
        declared.default = Some(Default::Text(default.to_owned()));
        let node = self.ask(declared)?;
        self.plain(&node.place, node.value)
    }

    /// One of some words.
    pub(in crate::config) fn choice<T: Copy>(
        &self,
        name: &'static str,
        doc: &'static str,
        default: &'static str,
        words: &'static [(&'static str, T)],
    ) -> Option<T> {
        let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let mut declared = declare(name, Kind::Choice(known.clone()), doc);
        declared.default = (!default.is_empty()).then(|| Default::Text(default.to_owned()));
        let find = |text: &str| {
            words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
        };
        let Some(node) = self.ask(declared) else {
            return find(default);
        };
        let text = self.plain(&node.place, node.value)?;
        let value = find(&text.value);
        if value.is_none() {
            let listed = known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
            let what = format!("{} is not known here", shown(node.value));
            self.problem(&node.place, what, format!("use {}", listed.join(", ")));
        }
        value
    }

    /// A secret: the only values in which `${NAME}` and `file:` are put in.
    pub(in crate::config) fn secret(&self, name: &'static str, doc: &'static str) -> Option<Placed<Secret>> {
        let node = self.ask(declare(name, Kind::Secret, doc))?;
        self.resolved(&node.place, node.value)
    }

    pub(in crate::config) fn resolved(&self, place: &Place, value: &DeValue<'_>) -> Option<Placed<Secret>> {
        // Whatever stands here may be a secret: its type is said, never its text.
        let Some(text) = text_of(value) else {
            let what = format!("is {}, not a text", kind_of(value));
            self.problem(place, what, "write it in quotes");
            return None;
        };
        match secret::resolve(text, self.cx.env, self.cx.files) {
            Ok(secret) => Some(Placed::new(secret, place)),
            Err((what, advice)) => {
                self.problem(place, what, advice);
                None
            }
        }
    }

    /// A list of texts, at most `most` of them; `None` when it is absent. What is wrong with an item is said of that item.
    pub(in crate::config) fn texts(
        &self,
        name: &'static str,
        doc: &'static str,
        default: &[&str],
        most: usize,
    ) -> Option<Placed<Vec<Placed<String>>>> {
        let mut declared = declare(name, Kind::Texts, doc);
        if !default.is_empty() {
            declared.default = Some(Default::Texts(
                default.iter().map(|text| (*text).to_owned()).collect(),
            ));
        }
        let node = self.ask(declared)?;
        let items = self.items(&node, most)?;
        let texts = items.iter().filter_map(|(place, value)| self.plain(place, value));
        Some(Placed::new(texts.collect(), &node.place))
    }

    /// A list of secrets, as [`Section::texts`].
    pub(in crate::config) fn secrets(
        &self,
        name: &'static str,
        doc: &'static str,
        most: usize,
    ) -> Option<Placed<Vec<Placed<Secret>>>> {
        let node = self.ask(declare(name, Kind::Secrets, doc))?;
        let items = self.items(&node, most)?;
        let secrets = items
            .iter()
            .filter_map(|(place, value)| self.resolved(place, value));
        Some(Placed::new(secrets.collect(), &node.place))
    }

    /// The text or texts of a key as they are written, references and all.
    pub(in crate::config) fn written(&self, name: &str) -> Vec<&'a str> {
        match self.entry(name).map(|(_, value)| value.get_ref()) {
            Some(DeValue::Array(items)) => {
                let texts = items.iter().map(|item| text_of(item.get_ref()));
                texts.map(Option::unwrap_or_default).collect()
            }
            Some(value) => text_of(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn items(&self, node: &Node<'a>, most: usize) -> Option<Vec<(Place, &'a DeValue<'a>)>> {
        let DeValue::Array(items) = node.value else {
            let what = format!("is {}, not a list", kind_of(node.value));
            self.problem(&node.place, what, "write it in brackets: [\"...\", \"...\"]");
            return None;
        };
        if items.len() > most {
            let what = format!("has {} items", items.len());
            self.problem(&node.place, what, format!("at most {most} are taken"));
            return None;
        }
        let place = |index: usize, at: usize| Place {
            key: format!("{}[{}]", node.place.key, index + 1),
            at,
        };
        let items = items.iter().enumerate();
        Some(
            items
                .map(|(index, item)| (place(index, item.span().start), item.get_ref()))
                .collect(),
        )
    }

    /// A text that is no secret.
    pub(in crate::config) fn plain(&self, place: &Place, value: &DeValue<'_>) -> Option<Placed<String>> {
        const TEXT_MAX: usize = 2_048;
        let Some(text) = text_of(value) else {
            let what = format!("{} is not a text", shown(value));
            self.problem(place, what, "write it in quotes");
            return None;
        };
        let (what, advice) = if text.contains("${") {
            (
                "`${` is put in for secrets only (tokens, header values, ledger addresses), not here",
                "write the value itself",
            )
        } else if text.is_empty() {
            ("is empty", "give a value, or take the key out")
        } else if text.len() > TEXT_MAX {
            ("is longer than 2,048 bytes", "shorten it")
        } else if text.chars().any(char::is_control) {
            (
                "has a control character (a line break, a tab, ...)",
                "take it out",
            )
        } else {
            return Some(Placed::new(text.to_owned(), place));
        };
        self.problem(place, what, advice);
        None
    }
}
