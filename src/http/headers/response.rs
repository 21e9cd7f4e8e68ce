//! Response headers and trailers, from the upstream to the client.

use ::http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{is_end_to_end, is_forbidden_in_trailers, is_hop};

/// Which of the upstream's headers are the operator's and not the customer's.
#[derive(Debug, Clone)]
pub struct ResponseRules {
    /// Stripped by name.
    pub strip: Vec<HeaderName>,
    /// Stripped by the beginning of the name, in lower case.
    pub strip_prefixes: Vec<Box<str>>,
    /// Lets `Set-Cookie` pass. The default strips it: a provider's cookies belong to its session with the operator.
    pub keep_set_cookie: bool,
}

impl Default for ResponseRules {
    /// Provider's rate limits and organisation names, `Alt-Svc` (which would lead clients around the gate), cookies, and
    /// `x-credits-*`, which only the gate may say.
    fn default() -> Self {
        let names = [
            "openai-organization",
            "openai-project",
            "anthropic-organization-id",
            "alt-svc",
        ];
        let prefixes = ["x-ratelimit-", "anthropic-ratelimit-", "ratelimit", "x-credits-"];
        Self {
            strip: names.map(HeaderName::from_static).to_vec(),
            strip_prefixes: prefixes.map(Box::from).to_vec(),
            keep_set_cookie: false,
        }
    }
}

impl ResponseRules {
    fn strips(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        (text == "set-cookie" && !self.keep_set_cookie)
            || self.strip.contains(name)
            || self
                .strip_prefixes
                .iter()
                .any(|prefix| text.starts_with(&**prefix))
    }
}

/// Leaves the headers that are for the client (H8): without those for this hop, those that `Connection` nominates and
/// those of the rules.
///
/// Read what only the gate needs (a cost, a protocol to switch to) before. `Trailer` stays, since it is what lets
/// trailers through on HTTP/1.1; of what it names, only what passes.
pub fn clean_response(headers: &mut HeaderMap, rules: &ResponseRules) {
    let mut drop: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if is_hop(name.as_str()) || rules.strips(name) {
            drop.push(name.clone());
        }
    }
    if drop.contains(&CONNECTION) {
        nominated(headers, &mut drop);
    }
    if drop.contains(&TRANSFER_ENCODING) {
        // The coding goes before it (RFC 9112 section 6.3): it may say anything, and the client would be given that much.
        drop.push(CONTENT_LENGTH);
    }
    for name in drop {
        headers.remove(name);
    }
    if headers.contains_key(TRAILER) {
        promise(headers, rules);
    }
}

/// Leaves of `Trailer` what [`clean_trailers`] leaves of the trailers.
fn promise(headers: &mut HeaderMap, rules: &ResponseRules) {
    let values = headers.get_all(TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let names = names.map(|name| HeaderName::from_bytes(name.trim_ascii()));
    let (mut kept, mut all) = (String::new(), true);
    for name in names {
        match name.ok().filter(|name| passes_behind(name, rules)) {
            Some(name) if kept.is_empty() => kept.push_str(name.as_str()),
            Some(name) => kept.extend([", ", name.as_str()]),
            None => all = false,
        }
    }
    match HeaderValue::try_from(kept) {
        _ if all => {}
        Ok(kept) if !kept.is_empty() => drop(headers.insert(TRAILER, kept)),
        _ => drop(headers.remove(TRAILER)),
    }
}

/// Whether a trailer of this name is for the client.
fn passes_behind(name: &HeaderName, rules: &ResponseRules) -> bool {
    !is_forbidden_in_trailers(name.as_str()) && !rules.strips(name)
}

/// Leaves the trailers that are for the client (H7): none that frames, routes or authenticates a message, none that
/// would be stripped as a header. Request trailers are not passed at all.
pub fn clean_trailers(trailers: &mut HeaderMap, rules: &ResponseRules) {
    let drop: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| !passes_behind(name, rules))
        .cloned()
        .collect();
    for name in drop {
        trailers.remove(name);
    }
}

/// Adds what the upstream's `Connection` nominates; what it has no business to name stays.
fn nominated(headers: &HeaderMap, drop: &mut Vec<HeaderName>) {
    let names = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .filter(|name| !is_end_to_end(name.as_str()));
    drop.extend(names);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn h8_what_is_the_operators_stays_with_the_operator() {
        let mut headers = map(&[
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("trailer", "grpc-status"),
            ("retry-after", "3"),
            ("x-request-id", "r"),
            ("openai-processing-ms", "3"),
            ("x-should-retry", "true"),
            ("connection", "keep-alive, x-hop, content-type"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("x-hop", "1"),
            ("set-cookie", "__cf_bm=1"),
            ("alt-svc", "h3=\":443\""),
            ("openai-organization", "acme"),
            ("x-ratelimit-remaining-tokens", "1"),
            ("anthropic-ratelimit-requests-limit", "1"),
            ("ratelimit-policy", "1"),
            ("x-credits-remaining", "1000000"),
        ]);
        headers.append("set-cookie", "b=2".parse().unwrap());
        clean_response(&mut headers, &ResponseRules::default());
        let kept = [
            "content-type",
            "content-length",
            "trailer",
            "retry-after",
            "x-request-id",
            "openai-processing-ms",
        ];
        assert_eq!(names(&headers).len(), kept.len() + 1);
        assert!(
            kept.iter()
                .chain(&["x-should-retry"])
                .all(|name| headers.contains_key(*name))
        );
    }

    #[test]
    fn h8_a_length_beside_a_coding_is_not_passed_on() {
        let mut headers = map(&[("content-length", "5"), ("transfer-encoding", "chunked")]);
        clean_response(&mut headers, &ResponseRules::default());
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn h8_lists_are_the_operators_to_change() {
        let rules = ResponseRules {
            strip: vec![HeaderName::from_static("x-internal")],
            strip_prefixes: vec!["x-debug-".into()],
            keep_set_cookie: true,
        };
        let mut headers = map(&[
            ("set-cookie", "a=1"),
            ("x-internal", "1"),
            ("x-debug-a", "1"),
            ("x-ratelimit-a", "1"),
        ]);
        clean_response(&mut headers, &rules);
        assert_eq!(names(&headers), ["set-cookie", "x-ratelimit-a"]);
    }

    #[test]
    fn h7_no_trailer_is_promised_that_is_dropped() {
        for (said, kept) in [
            (&["grpc-status, X-Sum"][..], &["grpc-status, X-Sum"][..]),
            (&["x-up, x-credits-charged, content-length"], &["x-up"]),
            (&["X-Up, authorization", "x-more,"], &["x-up, x-more"]),
            (&["x-credits-charged"], &[]),
            (&["set-cookie", "two words"], &[]),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append("trailer", line.parse().unwrap());
            }
            clean_response(&mut headers, &ResponseRules::default());
            let left: Vec<_> = headers.get_all("trailer").iter().collect();
            assert_eq!(left, kept, "{said:?}");
        }
    }

    #[test]
    fn h7_trailers_that_frame_route_or_authenticate_are_dropped() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("server-timing", "x"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("authorization", "Bearer x"),
            ("x-api-key", "x"),
            ("set-cookie", "a=1"),
            ("cache-control", "public"),
            ("access-control-allow-origin", "*"),
            ("x-credits-charged", "0"),
            ("x-ratelimit-limit", "1"),
        ]);
        clean_trailers(&mut trailers, &ResponseRules::default());
        assert_eq!(names(&trailers), ["grpc-status", "server-timing"]);
    }
}
