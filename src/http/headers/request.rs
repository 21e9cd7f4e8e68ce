//! Request headers, from the client to the upstream.

use ::http::header::{CONNECTION, EXPECT, TE, UPGRADE};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::host::{HostError, check_host};
use super::names::{RequestKind, is_end_to_end, is_hop, request_kind};

/// What a deployment adds to the rules that hold everywhere.
#[derive(Debug, Clone)]
pub struct RequestRules {
    /// Most header lines. The default is 100.
    pub lines_max: usize,
    /// Most bytes of names and values, each line counted with 4 more. The default is 16 KiB.
    pub bytes_max: usize,
    /// More names that clients may not set, such as one that carries a cost.
    pub strip: Vec<HeaderName>,
    /// More names that `Connection` may not nominate, such as those that carry keys. They are left for the caller to read and remove.
    pub end_to_end: Vec<HeaderName>,
}

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            lines_max: 100,
            bytes_max: 16 * 1024,
            strip: Vec::new(),
            end_to_end: Vec::new(),
        }
    }
}

/// What a request's headers said to this hop. The headers that said it are gone by then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// The value of `Upgrade`, where the client also nominated it in `Connection`; HTTP/1.1 only.
    pub upgrade: Option<HeaderValue>,
    /// The client reads trailers (`TE: trailers`, which is then the whole of the header that passes).
    pub accepts_trailers: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Why a request's headers were refused. The text is meant for the person who sent them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// More lines than [`RequestRules::lines_max`].
    #[error("the request has more than {0} header lines")]
    TooMany(usize),
    /// More bytes than [`RequestRules::bytes_max`].
    #[error("the request's headers are longer than {0} bytes")]
    TooLarge(usize),
    /// Host or authority.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `content_length`: servers that turn names into variables take it for `content-length`.
    #[error("the header name `{0}` has an underscore; write `-`")]
    Underscore(HeaderName),
    /// `x-http-method-override` and its like.
    #[error("the header `{0}` asks for another method; send that method itself")]
    MethodOverride(HeaderName),
    /// `Connection: authorization`
    #[error("`Connection` names `{0}`, which is not its to name")]
    Nominated(HeaderName),
    /// A `Connection` header that is not a list of names.
    #[error("`Connection` is not a list of names")]
    Connection,
    /// `Upgrade` more than once.
    #[error("the request has more than one `Upgrade` header")]
    DoubleUpgrade,
    /// An `Expect` other than `100-continue`.
    #[error("the only expectation met here is `100-continue`")]
    Expectation,
}

impl HeaderError {
    /// The status to answer with: 431, 417, or 400 for all others.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooMany(_) | Self::TooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks a request's headers, tells what they say to this hop, and leaves those that are for the upstream.
///
/// `Content-Length` stays (the body's framing is the HTTP library's business), `Host` stays for the caller to replace,
/// keys stay for the caller to read and remove.
///
/// # Errors
/// The first thing found wrong; the headers are then untouched.
pub fn clean_request(parts: &mut Parts, rules: &RequestRules) -> Result<RequestFacts, HeaderError> {
    let seen = Seen::look(&parts.headers, rules)?;
    check_host(parts.version, &parts.uri, &parts.headers)?;
    let mut facts = RequestFacts::default();
    let mut drop = seen.drop;
    if seen.connection {
        let upgrade = nominated(&parts.headers, rules, &mut drop)?;
        if upgrade && seen.upgrade && parts.version == Version::HTTP_11 {
            facts.upgrade = single(&parts.headers)?;
        }
    }
    if seen.expect {
        facts.expects_continue = expects_continue(&parts.headers, parts.version)?;
    }
    // Nothing is refused from here on.
    let headers = &mut parts.headers;
    for (there, name) in [
        (seen.connection, CONNECTION),
        (seen.upgrade, UPGRADE),
        (seen.expect, EXPECT),
    ] {
        if there {
            headers.remove(name);
        }
    }
    if seen.te {
        facts.accepts_trailers = lists(headers, &TE, "trailers");
        if facts.accepts_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        } else {
            headers.remove(TE);
        }
    }
    for name in drop.iter().chain(&rules.strip) {
        headers.remove(name);
    }
    Ok(facts)
}

/// What one walk over the headers found.
#[derive(Default)]
struct Seen {
    connection: bool,
    te: bool,
    expect: bool,
    upgrade: bool,
    /// To be removed. Empty, and so without memory of its own, for an ordinary request.
    drop: Vec<HeaderName>,
}

impl Seen {
    fn look(headers: &HeaderMap, rules: &RequestRules) -> Result<Self, HeaderError> {
        if headers.len() > rules.lines_max {
            return Err(HeaderError::TooMany(rules.lines_max));
        }
        let mut seen = Self::default();
        let mut bytes = 0_usize;
        for (name, value) in headers {
            let text = name.as_str();
            bytes = bytes.saturating_add(text.len() + value.len() + 4);
            if text.as_bytes().contains(&b'_') {
                return Err(HeaderError::Underscore(name.clone()));
            }
            match request_kind(text) {
                RequestKind::Plain => {}
                RequestKind::Connection => seen.connection = true,
                RequestKind::Te => seen.te = true,
                RequestKind::Expect => seen.expect = true,
                RequestKind::Upgrade => seen.upgrade = true,
                RequestKind::Hop | RequestKind::Forged => seen.drop.push(name.clone()),
                RequestKind::Operators if rules.end_to_end.contains(name) => {}
                RequestKind::Operators => seen.drop.push(name.clone()),
                RequestKind::MethodOverride => return Err(HeaderError::MethodOverride(name.clone())),
            }
        }
        if bytes > rules.bytes_max {
            Err(HeaderError::TooLarge(rules.bytes_max))
        } else {
            Ok(seen)
        }
    }
}

/// Reads `Connection`, adding to `drop` what it nominates beyond the headers that are stripped anyway. Says whether it
/// nominates `Upgrade`.
fn nominated(
    headers: &HeaderMap,
    rules: &RequestRules,
    drop: &mut Vec<HeaderName>,
) -> Result<bool, HeaderError> {
    let mut upgrade = false;
    for token in headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
    {
        let token = token.trim_ascii();
        if token.is_empty()
            || token.eq_ignore_ascii_case(b"keep-alive")
            || token.eq_ignore_ascii_case(b"close")
        {
            continue;
        }
        let name = HeaderName::from_bytes(token).map_err(|_| HeaderError::Connection)?;
        match name.as_str() {
            "upgrade" => upgrade = true,
            hop if is_hop(hop) => {}
            far if is_end_to_end(far) || rules.end_to_end.contains(&name) => {
                return Err(HeaderError::Nominated(name));
            }
            _ => drop.push(name),
        }
    }
    Ok(upgrade)
}

fn single(headers: &HeaderMap) -> Result<Option<HeaderValue>, HeaderError> {
    let mut lines = headers.get_all(UPGRADE).iter();
    let first = lines.next().cloned();
    if lines.next().is_some() {
        Err(HeaderError::DoubleUpgrade)
    } else {
        Ok(first)
    }
}

fn expects_continue(headers: &HeaderMap, version: Version) -> Result<bool, HeaderError> {
    if version < Version::HTTP_11 {
        return Ok(false);
    }
    if headers
        .get_all(EXPECT)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        Ok(true)
    } else {
        Err(HeaderError::Expectation)
    }
}

/// Whether a header that is a list has this member, parameters aside.
fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|item| item.split(|&b| b == b';').next())
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
}

#[cfg(test)]
mod tests;
