//! Route patterns and the matcher built from them.
//!
//! A pattern is a method and a path: `POST /v1/chat/completions`. A segment that is `*` stands for any one segment, a
//! last segment `*` for one or more remaining segments, a method `*` for every method. Paths are compared in the normal
//! form of [`target`], case-sensitively; HEAD is not GET.
//!
//! **The most specific pattern wins**, whatever the order in a file: reading segment by segment from the left, a
//! literal beats `*`, and `*` beats a trailing `/*`; between equal paths a named method beats `*`. Of two patterns that
//! match the same request one is always more specific, unless they are equal ([`Pattern::conflicts`]).

mod matcher;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::http::target::{self, TargetError};

pub use matcher::{Conflict, Lookup, Matcher};

/// `METHOD /path`, parsed. Two patterns are equal when they match the same requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// `None`: every method.
    method: Option<Box<str>>,
    /// In normal form, wildcards included: `/v1/*/x/*`.
    path: Box<str>,
}

/// Why a pattern could not be read. Says what and where in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No space between method and path.
    #[error("`{0}` is not a method and a path; write it like `POST /v1/chat/completions` or `* /v1/*`")]
    Shape(String),
    /// A method that is not upper-case letters or `*`.
    #[error("`{0}` is not a method; write it in upper case, or `*` for every method")]
    Method(String),
    /// A method that the gate never lets through.
    #[error("{0} is never let through")]
    MethodRefused(String),
    /// The path could never be asked for in normal form.
    #[error("path `{path}`: {reason}")]
    Path {
        /// The path as written.
        path: String,
        /// What a request with this path would be told.
        reason: TargetError,
    },
    /// `*` as a part of a segment.
    #[error("segment {index} of path `{path}` is `{segment}`; a `*` stands for a whole segment")]
    PartialWildcard {
        /// The path as written.
        path: String,
        /// Counted from 1.
        index: usize,
        /// The segment as written.
        segment: String,
    },
    /// A placeholder in braces.
    #[error("segment {index} of path `{path}` is `{segment}`; write `*` for any segment")]
    Braces {
        /// The path as written.
        path: String,
        /// Counted from 1.
        index: usize,
        /// The segment as written.
        segment: String,
    },
}

/// One segment of a pattern, most specific kind first (the derived order is the order of specificity).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'p> {
    Literal(&'p str),
    /// Exactly one segment.
    Any,
    /// One or more segments, always last.
    Rest,
}

impl Pattern {
    /// The method, or `None` for every method.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The path in normal form, wildcards as written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether some request could be meant for both with neither more specific: true only for equal patterns.
    pub fn conflicts(&self, other: &Self) -> bool {
        self == other
    }

    /// Total order, most specific first. [`Ordering::Equal`] only for equal patterns.
    pub fn specificity(&self, other: &Self) -> Ordering {
        self.segments()
            .cmp(other.segments())
            .then_with(|| self.method.is_none().cmp(&other.method.is_none()))
            .then_with(|| self.method.cmp(&other.method))
    }

    /// Whether a request of this method for this normal path is meant.
    pub fn matches(&self, method: &str, path: &str) -> bool {
        self.accepts(method) && self.covers(path)
    }

    fn accepts(&self, method: &str) -> bool {
        self.method.as_deref().is_none_or(|own| own == method)
    }

    fn is_exact(&self) -> bool {
        self.segments()
            .all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// Whether the path part matches.
    fn covers(&self, path: &str) -> bool {
        covers(segments(&self.path), path, |literal, segment| literal == segment)
    }

    /// Whether a server that ignores case and the end of a path would match `loose`, a path without its end.
    fn resembles(&self, loose: &str) -> bool {
        covers(
            segments(matcher::trim_end(&self.path)),
            loose,
            str::eq_ignore_ascii_case,
        )
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        segments(&self.path)
    }
}

fn covers<'p>(
    segments: impl Iterator<Item = Segment<'p>>,
    path: &str,
    same: impl Fn(&str, &str) -> bool,
) -> bool {
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let mut rest = Some(path);
    for own in segments {
        let Some(path) = rest else { return false };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        match own {
            Segment::Literal(literal) if !same(literal, segment) => return false,
            Segment::Any | Segment::Rest if segment.is_empty() => return false,
            Segment::Rest => return true,
            Segment::Literal(_) | Segment::Any => rest = after,
        }
    }
    rest.is_none()
}

fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut parts = path.split('/').peekable();
    std::iter::from_fn(move || {
        let part = parts.next()?;
        Some(match (part, parts.peek()) {
            ("*", None) => Segment::Rest,
            ("*", Some(_)) => Segment::Any,
            (literal, _) => Segment::Literal(literal),
        })
    })
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (method, path) = text
            .split_once(' ')
            .map(|(method, path)| (method, path.trim_start_matches(' ')))
            .filter(|(method, path)| !method.is_empty() && path.starts_with('/'))
            .ok_or_else(|| PatternError::Shape(text.to_owned()))?;
        Ok(Self {
            method: parse_method(method)?,
            path: parse_path(path)?,
        })
    }
}

fn parse_method(method: &str) -> Result<Option<Box<str>>, PatternError> {
    match method {
        "*" => Ok(None),
        "CONNECT" | "TRACE" => Err(PatternError::MethodRefused(method.to_owned())),
        _ if method.bytes().all(|b| b.is_ascii_uppercase()) => Ok(Some(method.into())),
        _ => Err(PatternError::Method(method.to_owned())),
    }
}

fn parse_path(path: &str) -> Result<Box<str>, PatternError> {
    for (at, segment) in path.split('/').enumerate().skip(1) {
        let (path, index, segment) = (path.to_owned(), at, segment.to_owned());
        if segment.contains(['{', '}']) {
            return Err(PatternError::Braces { path, index, segment });
        }
        if segment.contains('*') && segment != "*" {
            return Err(PatternError::PartialWildcard { path, index, segment });
        }
    }
    match target::normalise(path) {
        // An escaped `*` must not come out as a wildcard.
        Ok(normal) if normal.matches('*').count() == path.matches('*').count() => Ok(normal.into()),
        Ok(_) => Err(PatternError::Path {
            path: path.to_owned(),
            reason: TargetError::NotAllowed,
        }),
        Err(reason) => Err(PatternError::Path {
            path: path.to_owned(),
            reason,
        }),
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method().unwrap_or("*"), self.path)
    }
}

#[cfg(test)]
mod tests;
