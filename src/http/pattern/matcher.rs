//! Many patterns, one answer per request.

use std::collections::{BTreeSet, HashMap};

use super::Pattern;

/// Finds the most specific of many patterns. Built once, then only read; a lookup allocates nothing unless the answer
/// is [`Lookup::OtherMethods`].
///
/// Paths without wildcards are found by hash; of the patterns with wildcards, which few configurations have many of,
/// the most specific is tried first.
#[derive(Debug, Clone)]
pub struct Matcher<T> {
    /// Most specific first.
    routes: Vec<(Pattern, T)>,
    /// Path to the range of `routes` that have exactly this path.
    exact: HashMap<Box<str>, std::ops::Range<usize>>,
    /// Indices into `routes`, most specific first.
    wild: Vec<usize>,
    /// Whether some pattern itself has a spelling that looser servers take for another: then each path is suspect.
    odd: bool,
}

/// The answer to a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<'m, T> {
    /// The most specific pattern that matches, and what was stored with it.
    Found(&'m Pattern, &'m T),
    /// The path is known, with these other methods only (sorted; for 405 and `Allow`).
    OtherMethods(Vec<&'m str>),
    /// Only a wildcard matches, and the path differs from that of the more specific pattern given here merely by case
    /// or by what stands at its end (`/`, `.`, a space). Some servers (Express, ASP.NET) take both for one path, which
    /// would then be served at the wildcard's price: refuse with 404.
    Lookalike(&'m Pattern),
    /// No pattern has this path.
    Unknown,
}

/// Two patterns that are equal, by their places in the list given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is there twice")]
pub struct Conflict {
    /// The pattern in question.
    pub pattern: Pattern,
    /// Place of the first, counted from 0.
    pub first: usize,
    /// Place of the second, counted from 0.
    pub second: usize,
}

impl<T> Matcher<T> {
    /// Builds the matcher; the order given does not matter.
    ///
    /// # Errors
    /// The first two equal patterns.
    pub fn new(routes: impl IntoIterator<Item = (Pattern, T)>) -> Result<Self, Conflict> {
        let mut numbered: Vec<_> = routes.into_iter().enumerate().collect();
        // Stable: of equal patterns, the first given stays first.
        numbered.sort_by(|(_, (a, _)), (_, (b, _))| a.specificity(b));
        for pair in numbered.windows(2) {
            if let [(first, (a, _)), (second, (b, _))] = pair
                && a.conflicts(b)
            {
                return Err(Conflict {
                    pattern: a.clone(),
                    first: *first,
                    second: *second,
                });
            }
        }
        let routes: Vec<_> = numbered.into_iter().map(|(_, route)| route).collect();
        let mut exact: HashMap<Box<str>, std::ops::Range<usize>> = HashMap::new();
        let mut wild = Vec::new();
        for (at, (pattern, _)) in routes.iter().enumerate() {
            if pattern.is_exact() {
                // Equal paths are neighbours in the order of specificity.
                exact.entry(pattern.path().into()).or_insert(at..at).end = at + 1;
            } else {
                wild.push(at);
            }
        }
        let odd = routes.iter().any(|(pattern, _)| is_odd(pattern.path()));
        Ok(Self {
            routes,
            exact,
            wild,
            odd,
        })
    }

    /// Finds the route of a request. `path` is in normal form.
    pub fn find(&self, method: &str, path: &str) -> Lookup<'_, T> {
        let exact = self
            .exact
            .get(path)
            .and_then(|range| self.routes.get(range.clone()))
            .unwrap_or_default();
        if let Some((pattern, found)) = exact.iter().find(|(pattern, _)| pattern.accepts(method)) {
            return Lookup::Found(pattern, found);
        }
        let wild = self.wild.iter().filter_map(|&at| self.routes.get(at));
        let mut found = wild.filter(|(pattern, _)| pattern.matches(method, path));
        match found.next() {
            Some((pattern, found)) => match self.lookalike(method, path, pattern) {
                Some(dearer) => Lookup::Lookalike(dearer),
                None => Lookup::Found(pattern, found),
            },
            None => self.other_methods(path),
        }
    }

    /// Every pattern with its value, most specific first.
    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, &T)> {
        self.routes.iter().map(|(pattern, value)| (pattern, value))
    }

    /// The pattern, more specific than `found`, that a looser server would see in `path`.
    fn lookalike(&self, method: &str, path: &str, found: &Pattern) -> Option<&Pattern> {
        if !self.odd && !is_odd(path) {
            return None;
        }
        let loose = trim_end(path);
        self.iter()
            .map(|(pattern, _)| pattern)
            .take_while(|pattern| !std::ptr::eq(*pattern, found))
            .find(|pattern| pattern.accepts(method) && pattern.resembles(loose))
    }

    fn other_methods(&self, path: &str) -> Lookup<'_, T> {
        let methods: BTreeSet<_> = self
            .iter()
            .filter(|(pattern, _)| pattern.covers(path))
            .filter_map(|(pattern, _)| pattern.method())
            .collect();
        if methods.is_empty() {
            Lookup::Unknown
        } else {
            Lookup::OtherMethods(methods.into_iter().collect())
        }
    }
}

fn is_odd(path: &str) -> bool {
    trim_end(path).len() != path.len() || path.bytes().any(|b| b.is_ascii_uppercase())
}

/// `path` without what looser servers ignore at its end.
pub(super) fn trim_end(path: &str) -> &str {
    let mut loose = path;
    while let Some(shorter) = loose
        .strip_suffix(['/', '.'])
        .or_else(|| loose.strip_suffix("%20"))
    {
        loose = shorter;
    }
    loose
}
