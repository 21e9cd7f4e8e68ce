//! Who may do what on the admin listener, and what a browser may not.

use bytes::Bytes;
use http::{Request, StatusCode, header};

use crate::api::reply::Problem;
use crate::config::{AdminToken, Role};

/// All tokens. Without any, the listener (which then is on loopback) is open to everyone on this machine.
pub struct Tokens(Vec<AdminToken>);

impl Tokens {
    /// The tokens of the configuration.
    pub fn new(tokens: Vec<AdminToken>) -> Tokens {
        Tokens(tokens)
    }

    /// The name of the token a request bears, if it may do what takes `role`.
    pub(super) fn check(&self, request: &Request<Bytes>, role: Role) -> Result<&str, Problem> {
        if self.0.is_empty() {
            return Ok("loopback");
        }
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", detail);
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok());
        let given = given.and_then(|v| v.strip_prefix("Bearer ")).map(str::trim);
        let given = given.ok_or_else(|| unauthorized("send `Authorization: Bearer <admin token>`"))?;
        // Each in constant time: the time does not tell which was close.
        let found = self.0.iter().find(|token| token.token.matches(given.as_bytes()));
        let token = found.ok_or_else(|| unauthorized("this admin token is not in the configuration"))?;
        if token.role < role {
            let detail = format!(
                "token {:?} has role {}, this takes {}",
                token.name,
                token.role.as_str(),
                role.as_str()
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "role_too_low", detail));
        }
        Ok(&token.name)
    }
}

/// A page in a browser can make its own name point to this machine (DNS rebinding), but cannot choose the Host header: it must be an address or `localhost`,
/// unless a certificate has proved the name before.
pub(super) fn host(request: &Request<Bytes>, named: bool) -> Result<(), Problem> {
    if request.headers().contains_key(header::ORIGIN) {
        let detail = "browsers' cross-site requests are not answered here";
        return Err(Problem::new(StatusCode::FORBIDDEN, "browser_refused", detail));
    }
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    let host = host
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
        .unwrap_or("");
    if named || host.is_empty() || is_own_name(host) {
        return Ok(());
    }
    let detail = format!("address this listener by its IP address or as localhost, not as {host:?}");
    Err(Problem::new(StatusCode::FORBIDDEN, "host_refused", detail))
}

fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    // A name without a dot cannot be registered by anybody else: a container's or a service's name.
    bare.parse::<std::net::IpAddr>().is_ok() || !bare.contains('.')
}

/// Bodies are JSON: what a form or a simple cross-site request sends is refused.
pub(super) fn json_only(request: &Request<Bytes>) -> Result<(), Problem> {
    let kind = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "send `Content-Type: application/json`";
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        detail,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn request(name: &str, value: &str) -> Request<Bytes> {
        Request::builder()
            .uri("/x")
            .header(name, value)
            .body(Bytes::new())
            .unwrap()
    }

    #[test]
    fn s5_a_name_that_somebody_else_could_own_is_refused() {
        for good in [
            "127.0.0.1:9091",
            "[::1]:9091",
            "localhost",
            "localhost:9091",
            "10.0.0.7:9091",
            "faregate:9091",
        ] {
            assert!(host(&request("host", good), false).is_ok(), "{good}");
        }
        for bad in ["evil.example", "evil.example:9091", "localhost.evil.example"] {
            assert!(host(&request("host", bad), false).is_err(), "{bad}");
            assert!(host(&request("host", bad), true).is_ok(), "{bad}");
        }
        for named in [false, true] {
            assert!(host(&request("origin", "http://127.0.0.1"), named).is_err());
        }
    }

    #[test]
    fn roles_include_the_lower_ones_and_the_journal_gets_the_name() {
        let tokens = Tokens::new(vec![AdminToken {
            name: "ops".to_owned(),
            token: Secret::new("secret"),
            role: Role::Operate,
        }]);
        let call = request("authorization", "Bearer secret");
        assert_eq!(tokens.check(&call, Role::Read), Ok("ops"));
        assert_eq!(
            tokens.check(&call, Role::All).unwrap_err().status,
            StatusCode::FORBIDDEN
        );
        let wrong = request("authorization", "Bearer other");
        assert_eq!(
            tokens.check(&wrong, Role::Read).unwrap_err().status,
            StatusCode::UNAUTHORIZED
        );
    }
}
