//! A sorted map for the many small collections of a book.
//!
//! A B-tree's node has room for eleven values at once: with a grant, a key and a hold each lying in such a node, an account would take 7 KiB. Here
//! only pointers lie in the nodes, and an account takes what its things take.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::Index;

/// As a [`BTreeMap`], of few and large values.
#[derive(Clone, PartialEq, Eq)]
pub struct Shelf<K, V>(BTreeMap<K, Box<V>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Shelf(BTreeMap::new())
    }
}

impl<K: Ord, V> Shelf<K, V> {
    /// Nothing.
    pub const fn new() -> Self {
        Shelf(BTreeMap::new())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|value| &**value)
    }

    /// The value of a key, to change.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key).map(|value| &mut **value)
    }

    /// Whether there is a value of this key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Puts a value in; returns the one it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.0.entry(key) {
            btree_map::Entry::Vacant(place) => {
                place.insert(Box::new(value));
                None
            }
            btree_map::Entry::Occupied(mut place) => Some(std::mem::replace(&mut **place.get_mut(), value)),
        }
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).map(|value| *value)
    }

    /// Keeps only what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(|key, value| keep(key, value));
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.0.iter().map(|(key, value)| (key, &**value))
    }

    /// Keys and values to change, by key.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> + ExactSizeIterator {
        self.0.iter_mut().map(|(key, value)| (key, &mut **value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.0.keys()
    }

    /// The values, by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.0.values().map(|value| &**value)
    }

    /// The values to change, by key.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.0.values_mut().map(|value| &mut **value)
    }

    /// The values, by key.
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> + ExactSizeIterator {
        self.0.into_values().map(|value| *value)
    }
}

/// The value of a key; panics when there is none, as a map does.
impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for Shelf<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        &self.0[key]
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Shelf<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Self {
        let boxed = items.into_iter().map(|(key, value)| (key, Box::new(value)));
        Shelf(boxed.collect())
    }
}

impl<K: Ord, V> Extend<(K, V)> for Shelf<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, items: I) {
        let boxed = items.into_iter().map(|(key, value)| (key, Box::new(value)));
        self.0.extend(boxed);
    }
}

impl<K, V> IntoIterator for Shelf<K, V> {
    type Item = (K, V);
    type IntoIter = std::iter::Map<btree_map::IntoIter<K, Box<V>>, fn((K, Box<V>)) -> (K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, value)| (key, *value))
    }
}

impl<'a, K, V> IntoIterator for &'a Shelf<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = std::iter::Map<btree_map::Iter<'a, K, Box<V>>, fn((&'a K, &'a Box<V>)) -> (&'a K, &'a V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, &**value))
    }
}

impl<'a, K, V> IntoIterator for &'a mut Shelf<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter =
        std::iter::Map<btree_map::IterMut<'a, K, Box<V>>, fn((&'a K, &'a mut Box<V>)) -> (&'a K, &'a mut V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(key, value)| (key, &mut **value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_a_map_holds_in_its_order() {
        let mut shelf: Shelf<String, u32> = [("b", 2), ("a", 1)]
            .map(|(k, v)| (k.to_owned(), v))
            .into_iter()
            .collect();
        assert_eq!(shelf.insert("c".to_owned(), 3), None);
        assert_eq!(shelf.insert("a".to_owned(), 10), Some(1));
        assert_eq!(
            shelf.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(),
            [("a", 10), ("b", 2), ("c", 3)]
        );
        assert_eq!((shelf.get("b"), shelf.get("x"), shelf.len()), (Some(&2), None, 3));
        shelf.retain(|_, v| *v != 2);
        for (_, value) in &mut shelf {
            *value += 1;
        }
        assert_eq!(shelf.remove("c"), Some(4));
        assert_eq!(shelf.values().collect::<Vec<_>>(), [&11]);
        assert_eq!(shelf.clone().into_iter().collect::<Shelf<_, _>>(), shelf);
        assert!(!shelf.is_empty() && shelf.contains_key("a"));
    }
}
