//! Getters for tables: one, named ones, a list of them, or a map of secrets.

use toml::Spanned;
use toml::de::DeValue;

use super::super::context::{Place, Placed};
use super::super::schema::Kind;
use super::super::secret::Secret;
use super::values::{Bounds, kind_of};
use super::{Node, Section, declare, join, shorten};
use crate::domain::credits::Credits;

/// Amounts by name; `None` for one that could not be read.
pub(in crate::config) type Amounts = Vec<(Placed<String>, Option<Credits>)>;

impl<'a> Section<'a> {
    /// A table that need not be there: absent, its keys are absent.
    pub(in crate::config) fn section<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        with: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        let node = self.ask(declare(name, Kind::Table, doc));
        self.read(name, node, with)
    }

    /// A table, or `None` when it is absent or none.
    pub(in crate::config) fn table<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        with: impl FnOnce(&Section<'a>) -> Option<T>,
    ) -> Option<T> {
        let node = self.ask(declare(name, Kind::Table, doc));
        if !self.describing() {
            self.as_table(node.as_ref()?)?;
        }
        self.read(name, node, with)
    }

    fn read<T>(&self, name: &str, node: Option<Node<'a>>, with: impl FnOnce(&Section<'a>) -> T) -> T {
        let table = node.as_ref().and_then(|node| self.as_table(node));
        let place = match node {
            Some(node) => node.place,
            None => Place {
                key: join(&self.place.key, name),
                at: self.place.at,
            },
        };
        let inner = self.inner(place, join(&self.shape, name), table);
        let value = with(&inner);
        inner.finish();
        value
    }

    fn as_table(&self, node: &Node<'a>) -> Option<&'a toml::de::DeTable<'a>> {
        if let DeValue::Table(table) = node.value {
            return Some(table);
        }
        let what = format!("is {}, not a table", kind_of(node.value));
        self.problem(
            &node.place,
            what,
            format!(
                "write [{}] on a line of its own and its settings below",
                node.place.key
            ),
        );
        None
    }

    /// A value that may be of several kinds. The keys of the table it may be are written down by `table`.
    pub(in crate::config) fn either(
        &self,
        name: &'static str,
        doc: &'static str,
        table: impl Fn(&Section<'a>),
    ) -> Option<Node<'a>> {
        let node = self.ask(declare(name, Kind::Cost, doc));
        if self.describing() {
            self.read(name, None, table);
        }
        node
    }

    /// The table that a node is.
    pub(in crate::config) fn within<T>(
        &self,
        name: &'static str,
        node: Node<'a>,
        with: impl FnOnce(&Section<'a>) -> T,
    ) -> T {
        self.read(name, Some(node), with)
    }

    /// Tables by name: `[upstreams.NAME]`, each `None` where it could not be read; `None` for all where there is something else.
    pub(in crate::config) fn named<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        most: usize,
        mut with: impl FnMut(&Placed<String>, &Section<'a>) -> Option<T>,
    ) -> Option<Vec<(String, Option<T>)>> {
        let node = self.ask(declare(name, Kind::Named, doc));
        let shape = join(&join(&self.shape, name), "*");
        if self.describing() {
            let place = Place {
                key: String::new(),
                at: 0,
            };
            let inner = self.inner(place.clone(), shape, None);
            with(&Placed::new(String::new(), &place), &inner);
            return Some(Vec::new());
        }
        let Some(node) = node else { return Some(Vec::new()) };
        let DeValue::Table(tables) = node.value else {
            let what = format!("is {}, not a table of tables", kind_of(node.value));
            self.problem(
                &node.place,
                what,
                format!(
                    "write [{}.NAME] on a line of its own and its settings below",
                    node.place.key
                ),
            );
            return None;
        };
        self.counted(&node.place, tables.len(), most);
        let mut values = Vec::new();
        for (key, value) in tables.iter().take(most) {
            let place = Place {
                key: join(&node.place.key, key.get_ref()),
                at: key.span().start,
            };
            self.cx.seen(&place);
            let inner = Node {
                place: place.clone(),
                value: value.get_ref(),
            };
            let name = Placed::new(key.get_ref().clone().into_owned(), &place);
            let read = self.as_table(&inner).and_then(|table| {
                let inner = self.inner(place.clone(), shape.clone(), Some(table));
                let value = with(&name, &inner);
                inner.finish();
                value
            });
            values.push((name.value, read));
        }
        Some(values)
    }

    /// A list of tables: `[[routes]]`. One is called by its key `called` where it has that, else by its number.
    pub(in crate::config) fn tables<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        called: &str,
        most: usize,
        mut with: impl FnMut(&Section<'a>) -> T,
    ) -> Vec<T> {
        let node = self.ask(declare(name, Kind::Tables, doc));
        let shape = format!("{}[]", join(&self.shape, name));
        if self.describing() {
            let place = Place {
                key: String::new(),
                at: 0,
            };
            with(&self.inner(place, shape, None));
            return Vec::new();
        }
        let Some(node) = node else { return Vec::new() };
        let wrong = |place: &Place, value| {
            let what = format!("is {}, not a list of tables", kind_of(value));
            self.problem(
                place,
                what,
                format!(
                    "write [[{}]] on a line of its own and its settings below",
                    node.place.key
                ),
            );
        };
        let DeValue::Array(items) = node.value else {
            wrong(&node.place, node.value);
            return Vec::new();
        };
        self.counted(&node.place, items.len(), most);
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate().take(most) {
            let said = match item
                .get_ref()
                .get(called)
                .and_then(|value| value.get_ref().as_str())
            {
                Some(text) => shorten(text),
                None => format!("#{}", index + 1),
            };
            let place = Place {
                key: format!("{}[{said}]", node.place.key),
                at: item.span().start,
            };
            self.cx.seen(&place);
            let DeValue::Table(table) = item.get_ref() else {
                wrong(&place, item.get_ref());
                continue;
            };
            let inner = self.inner(place, shape.clone(), Some(table));
            values.push(with(&inner));
            inner.finish();
        }
        values
    }

    /// A table of secrets by free names: `headers = { authorization = "..." }`.
    pub(in crate::config) fn secret_map(
        &self,
        name: &'static str,
        doc: &'static str,
        most: usize,
    ) -> Vec<(Placed<String>, Placed<Secret>)> {
        let Some(node) = self.ask(declare(name, Kind::SecretMap, doc)) else {
            return Vec::new();
        };
        let entries = self.entries(name, &node, "{ name = \"value\" }", most);
        let secrets = entries
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((self.resolved(&name.place, value)?, name)));
        secrets.map(|(secret, name)| (name, secret)).collect()
    }

    /// A table of amounts by free names: `credits_per_unit = { usd = 1 }`.
    pub(in crate::config) fn amounts(
        &self,
        name: &'static str,
        doc: &'static str,
        most: usize,
        bounds: Bounds<Credits>,
    ) -> Option<Placed<Amounts>> {
        let node = self.ask(declare(name, Kind::AmountMap, doc))?;
        let entries = self.entries(name, &node, "{ usd = 1 }", most)?;
        let amounts = entries.into_iter().map(|(name, value)| {
            let amount = self.amount(&name.place, value, &bounds);
            (name, amount)
        });
        Some(Placed::new(amounts.collect(), &node.place))
    }

    /// The values of a table of free names; `None` where there is something else.
    fn entries(
        &self,
        name: &str,
        node: &Node<'a>,
        form: &str,
        most: usize,
    ) -> Option<Vec<(Placed<String>, &'a DeValue<'a>)>> {
        let DeValue::Table(table) = node.value else {
            let what = format!("is {}, not a table", kind_of(node.value));
            self.problem(&node.place, what, format!("write {name} = {form}"));
            return None;
        };
        self.counted(&node.place, table.len(), most);
        let entry = |(key, value): (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            let place = Place {
                key: join(&node.place.key, key.get_ref()),
                at: key.span().start,
            };
            self.cx.seen(&place);
            (
                Placed::new(key.get_ref().clone().into_owned(), &place),
                value.get_ref(),
            )
        };
        Some(table.iter().take(most).map(entry).collect())
    }

    fn counted(&self, place: &Place, number: usize, most: usize) {
        if number > most {
            self.problem(
                place,
                format!("has {number} entries"),
                format!("at most {most} are taken"),
            );
        }
    }
}
