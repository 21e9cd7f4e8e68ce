//! One reading of a request target: the path that is priced is the path that is served.
//!
//! A path reaches the matcher and the upstream only in its *normal form*, in which every character has one spelling:
//! characters that may stand raw in a path stand raw, the few others stay escaped in upper case. Whatever two servers
//! read in two ways (`//`, `/../`, `%2f`, `%252f`, `\`, `;a=b`, ...) is refused, never repaired.
//!
//! - Escapes of characters that may stand raw (RFC 3986 `pchar` without `;`) are decoded, once. That is more than the
//!   unreserved ones on purpose: were `%3A` left alone, `/models/x%3Agenerate` and `/models/x:generate` would be two
//!   paths here and one path upstream, and could carry two prices.
//! - A trailing `/` or `.` is kept: `/v1/x`, `/v1/x/` and `/v1/x.` are three paths, and the upstream gets the one that
//!   was priced. Case counts. Upstreams that are looser than that are the business of
//!   [`Lookup::Lookalike`](crate::http::pattern::Lookup::Lookalike).
//! - A query is checked and handed on byte for byte; it never takes part in matching.

use std::borrow::Cow;

use ::http::uri::PathAndQuery;
use ::http::{Method, StatusCode, Uri};

/// Longest path and query together, in bytes. Longer targets are [`TargetError::TooLong`] (414).
pub const MAX_TARGET: usize = 8 * 1024;

/// Why a request target or method was refused. The text is meant for the person who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetError {
    /// CONNECT or TRACE.
    #[error("this method is not offered here")]
    MethodRefused,
    /// A method that is not all upper-case letters.
    #[error("the method is not written in upper-case letters")]
    OddMethod,
    /// `OPTIONS *`.
    #[error("the target `*` is not offered here; ask for a path")]
    Asterisk,
    /// `example.com:443`, as CONNECT sends it.
    #[error("the target names a host without a path; ask for a path")]
    AuthorityForm,
    /// An absolute target whose scheme is not http or https.
    #[error("the target's scheme is neither http nor https")]
    Scheme,
    /// Over [`MAX_TARGET`] bytes.
    #[error("the path and query are longer than {MAX_TARGET} bytes")]
    TooLong,
    /// No slash in front.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// `//`
    #[error("the path has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..`, raw or escaped.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    /// `%2f`
    #[error("the path has an escaped slash (`%2f`)")]
    EncodedSlash,
    /// `%5c`
    #[error("the path has an escaped backslash (`%5c`)")]
    EncodedBackslash,
    /// `%00`
    #[error("the path has an escaped NUL (`%00`)")]
    EncodedNul,
    /// `%25`, the beginning of a double encoding.
    #[error("the path has an escaped percent sign (`%25`)")]
    EncodedPercent,
    /// `%01` to `%1f` and `%7f`.
    #[error("the path has an escaped control character")]
    EncodedControl,
    /// `%3b`, `%3f`, `%23`: read as the end of the path by servers that decode too early.
    #[error("the path has an escaped `;`, `?` or `#`")]
    EncodedDelimiter,
    /// `%80` to `%ff`: overlong forms, look-alikes and every other spelling that is not ASCII.
    #[error("the path has an escaped character that is not ASCII")]
    EncodedNonAscii,
    /// `%`, `%4`, `%zz`
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    MalformedEscape,
    /// `\`
    #[error("the path has a backslash")]
    Backslash,
    /// A byte above 0x7f.
    #[error("the path has a character that is not ASCII")]
    NonAscii,
    /// A byte below 0x20, or 0x7f.
    #[error("the path has a control character")]
    Control,
    /// `;a=b`
    #[error("the path has a `;` parameter")]
    Parameter,
    /// A character that RFC 3986 does not allow raw in a path, such as a space, `"`, `#` or `{`.
    #[error("the path has a character that must be escaped")]
    NotAllowed,
    /// A query with a byte that is not visible ASCII, or `#`.
    #[error("the query has a character that must be escaped")]
    QueryNotAllowed,
    /// A query with a broken escape.
    #[error("the query has a `%` that is not followed by two hexadecimal digits")]
    QueryMalformedEscape,
}

impl TargetError {
    /// The status to answer with: 414, 405, or 400 for all others.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::URI_TOO_LONG,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A request target in normal form.
#[derive(Debug, Clone)]
pub struct Target<'a>(Cow<'a, PathAndQuery>);

impl<'a> Target<'a> {
    /// Reads the method's and target's form, then the path and query. Copies nothing when the path was sent in normal
    /// form.
    ///
    /// That an absolute target's authority is the `Host` is checked with the headers
    /// ([`check_host`](crate::http::headers::check_host)), which have both.
    pub fn read(method: &Method, uri: &'a Uri) -> Result<Self, TargetError> {
        check_method(method)?;
        if uri
            .scheme_str()
            .is_some_and(|scheme| !matches!(scheme, "http" | "https"))
        {
            return Err(TargetError::Scheme);
        }
        let sent = uri.path_and_query().ok_or(TargetError::AuthorityForm)?;
        if sent.as_str() == "*" {
            return Err(TargetError::Asterisk);
        }
        if sent.as_str().len() > MAX_TARGET {
            return Err(TargetError::TooLong);
        }
        if let Some(query) = sent.query() {
            check_query(query.as_bytes())?;
        }
        let path = normalise(sent.path())?;
        // `http://host?query` has a path, `/`, that was not sent.
        if matches!(path, Cow::Borrowed(_)) && sent.as_str().starts_with('/') {
            return Ok(Self(Cow::Borrowed(sent)));
        }
        let whole = match sent.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        let normal = PathAndQuery::try_from(whole).map_err(|_| TargetError::NotAllowed)?;
        Ok(Self(Cow::Owned(normal)))
    }

    /// The path in normal form: what to match, price and forward.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The query as it was sent, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// Path and query for the upstream.
    pub fn into_path_and_query(self) -> PathAndQuery {
        self.0.into_owned()
    }
}

/// Only upper-case letters are a method here; CONNECT (a tunnel) and TRACE (echoes credentials) never are.
pub fn check_method(method: &Method) -> Result<(), TargetError> {
    match *method {
        Method::POST | Method::GET => Ok(()),
        Method::CONNECT | Method::TRACE => Err(TargetError::MethodRefused),
        _ if method.as_str().bytes().all(|b| b.is_ascii_uppercase()) => Ok(()),
        _ => Err(TargetError::OddMethod),
    }
}

/// The normal form of a path, without copying when it is in normal form already.
///
/// Idempotent: `normalise(normalise(p)) == normalise(p)`, and a borrowed answer is `path` itself.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, TargetError> {
    if scan(path.as_bytes())? {
        Ok(Cow::Borrowed(path))
    } else {
        Ok(Cow::Owned(rewrite(path)))
    }
}

/// A query is visible ASCII with whole escapes; it is not decoded.
pub fn check_query(query: &[u8]) -> Result<(), TargetError> {
    let mut rest = query;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                escape(tail).ok_or(TargetError::QueryMalformedEscape)?;
                rest = &tail[2..];
            }
            b'#' => return Err(TargetError::QueryNotAllowed),
            0x21..=0x7e => {}
            _ => return Err(TargetError::QueryNotAllowed),
        }
    }
    Ok(())
}

/// The part of a segment seen so far, in decoded characters.
#[derive(Default)]
struct Segment {
    len: usize,
    dots: usize,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        self.len += 1;
        self.dots += usize::from(byte == b'.');
    }

    fn end(&self) -> Result<(), TargetError> {
        if self.len == self.dots && matches!(self.len, 1 | 2) {
            Err(TargetError::DotSegment)
        } else {
            Ok(())
        }
    }
}

/// Refuses what has two readings; says whether the path is in normal form already.
fn scan(path: &[u8]) -> Result<bool, TargetError> {
    if path.len() > MAX_TARGET {
        return Err(TargetError::TooLong);
    }
    let Some((b'/', mut rest)) = path.split_first() else {
        return Err(TargetError::NotAbsolute);
    };
    let mut normal = true;
    let mut segment = Segment::default();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'/' => {
                if segment.len == 0 {
                    return Err(TargetError::EmptySegment);
                }
                segment.end()?;
                segment = Segment::default();
            }
            b'%' => {
                let decoded = escape(tail).ok_or(TargetError::MalformedEscape)?;
                check_escaped(decoded)?;
                normal &= !RAW[usize::from(decoded)] && !tail[..2].iter().any(u8::is_ascii_lowercase);
                segment.push(decoded);
                rest = &tail[2..];
            }
            _ if RAW[usize::from(byte)] => segment.push(byte),
            _ => return Err(refused(byte)),
        }
    }
    segment.end()?;
    Ok(normal)
}

/// `path` has passed `scan`: its escapes are whole.
fn rewrite(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        normal.push_str(before);
        let (sent, after) = tail.split_at_checked(3).unwrap_or((tail, ""));
        match escape(sent.as_bytes().get(1..).unwrap_or_default()) {
            Some(byte) if RAW[usize::from(byte)] => normal.push(char::from(byte)),
            _ => normal.extend(sent.chars().map(|c| c.to_ascii_uppercase())),
        }
        rest = after;
    }
    normal.push_str(rest);
    normal
}

/// The byte that the two hexadecimal digits in front of `digits` stand for.
fn escape(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn check_escaped(byte: u8) -> Result<(), TargetError> {
    match byte {
        b'/' => Err(TargetError::EncodedSlash),
        b'\\' => Err(TargetError::EncodedBackslash),
        b'%' => Err(TargetError::EncodedPercent),
        b';' | b'?' | b'#' => Err(TargetError::EncodedDelimiter),
        0 => Err(TargetError::EncodedNul),
        0x01..=0x1f | 0x7f => Err(TargetError::EncodedControl),
        0x80..=0xff => Err(TargetError::EncodedNonAscii),
        _ => Ok(()),
    }
}

fn refused(byte: u8) -> TargetError {
    match byte {
        b'\\' => TargetError::Backslash,
        b';' => TargetError::Parameter,
        0x00..=0x1f | 0x7f => TargetError::Control,
        0x80..=0xff => TargetError::NonAscii,
        _ => TargetError::NotAllowed,
    }
}

/// Characters that stand raw in a normal path: RFC 3986 `pchar` without `;` and `%`.
const RAW: [bool; 256] = {
    let mut table = [false; 256];
    let raw = b"-._~!$&'()*+,=:@";
    let mut i = 0;
    while i < raw.len() {
        table[raw[i] as usize] = true;
        i += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = true;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
pub(crate) mod tests;
