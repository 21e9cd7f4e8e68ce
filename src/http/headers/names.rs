//! What each header name means to a gate. Names arrive in lower case (`HeaderName` keeps them so).

/// What to do about a request header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// Passes.
    Plain,
    /// `Connection`: stripped, and what it nominates.
    Connection,
    /// `TE`: reduced to `trailers`.
    Te,
    /// `Expect`: answered here.
    Expect,
    /// `Upgrade`: told to the caller, then stripped.
    Upgrade,
    /// Meant for the next hop only: stripped.
    Hop,
    /// What a client says that only a gate may say: stripped.
    Forged,
    /// Says who pays the upstream, by which way and at which tier, which the operator says: stripped, but where this gate's own keys may stand.
    Operators,
    /// Would make the upstream run another method than the one that was priced.
    MethodOverride,
}

pub(super) fn request_kind(name: &str) -> RequestKind {
    use RequestKind as K;
    match name.as_bytes().first() {
        Some(b'x') => return x_kind(name),
        Some(b'c' | b'e' | b'f' | b'h' | b'k' | b'o' | b'p' | b't' | b'u') => {}
        _ => return K::Plain,
    }
    match name {
        "connection" => K::Connection,
        "te" => K::Te,
        "expect" => K::Expect,
        "upgrade" => K::Upgrade,
        "forwarded" => K::Forged,
        // Request trailers are dropped, so announcing them would be untrue.
        "trailer" | "http2-settings" => K::Hop,
        _ if is_hop(name) => K::Hop,
        _ if OPERATORS.contains(&name) || begins_with(name, &OPERATORS_PREFIXES) => K::Operators,
        _ => K::Plain,
    }
}

fn x_kind(name: &str) -> RequestKind {
    match name {
        "x-http-method" | "x-http-method-override" | "x-method-override" => RequestKind::MethodOverride,
        "x-real-ip" => RequestKind::Forged,
        _ if begins_with(name, &FORGED_PREFIXES) => RequestKind::Forged,
        _ if name.ends_with("-api-key")
            || OPERATORS.contains(&name)
            || begins_with(name, &OPERATORS_PREFIXES) =>
        {
            RequestKind::Operators
        }
        _ => RequestKind::Plain,
    }
}

fn begins_with(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Who sent it, what was asked for, what it costs: said by gates, believed by servers.
const FORGED_PREFIXES: [&str; 4] = ["x-forwarded-", "x-original-", "x-rewrite-", "x-credits-"];

/// Which of the operator's projects or subscriptions at a provider pays, as those providers document it.
const OPERATORS: [&str; 4] = [
    "openai-organization",
    "openai-project",
    "ocp-apim-subscription-key",
    "x-goog-user-project",
];

/// What gateways between this one and the models take orders by (keys, routes, caches, prices of their own), and in what Bedrock, Vertex AI and DashScope take a tier,
/// a workspace or the wish to answer later.
const OPERATORS_PREFIXES: [&str; 8] = [
    "cf-aig-",
    "helicone-",
    "x-litellm-",
    "x-portkey-",
    "x-bf-",
    "x-amzn-bedrock-",
    "x-vertex-ai-",
    "x-dashscope-",
];

/// RFC 9110 section 7.6.1 and its forerunners, for either direction. `Trailer` is not one: it is true end to end.
pub(super) fn is_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Names that are meant for the far end, so that a `Connection` header must not have them taken away on the way (H5).
pub(super) fn is_end_to_end(name: &str) -> bool {
    const PREFIXES: [&str; 6] = ["accept", "content-", "if-", "sec-", "openai-", "anthropic-"];
    matches!(
        name,
        "authorization"
            | "api-key"
            | "x-api-key"
            | "x-goog-api-key"
            | "cache-control"
            | "cookie"
            | "date"
            | "expect"
            | "from"
            | "host"
            | "idempotency-key"
            | "max-forwards"
            | "origin"
            | "pragma"
            | "prefer"
            | "range"
            | "referer"
            | "traceparent"
            | "tracestate"
            | "user-agent"
            | "via"
            | "x-request-id"
    ) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Fields that must not come after the body, since they would change how the message is framed, routed, authenticated
/// or kept (RFC 9110 section 6.5.1).
pub(super) fn is_forbidden_in_trailers(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["proxy-", "if-", "accept", "access-control-", "sec-"];
    matches!(
        name,
        "age"
            | "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "date"
            | "expect"
            | "expires"
            | "host"
            | "location"
            | "max-forwards"
            | "pragma"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "trailer"
            | "vary"
            | "warning"
            | "www-authenticate"
            | "api-key"
            | "x-api-key"
    ) || is_hop(name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
