//! Whom a request is meant for has one answer (H3).

use ::http::header::HOST;
use ::http::{HeaderMap, Uri, Version};

/// Why a request's `Host` or `:authority` was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither `Host` nor `:authority`.
    #[error("the request says no host")]
    Missing,
    /// More than one `Host` line.
    #[error("the request has more than one Host header")]
    Double,
    /// Not `name`, `address` or `[address]`, with or without a port.
    #[error("the request's host is malformed")]
    Malformed,
    /// `user:secret@host`
    #[error("the request's host has a user name in it")]
    UserInfo,
    /// `Host` is not the authority of the target (absolute form) or of the HTTP/2 request.
    #[error("the Host header differs from the request's authority")]
    Mismatch,
}

/// Checks host and authority: at least one of them (HTTP/1.0: none is fine; HTTP/1.1: `Host` itself), no `Host` twice,
/// both equal but for case, well-formed, without user information.
pub fn check_host(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), HostError> {
    let mut lines = headers.get_all(HOST).iter();
    let host = lines.next();
    if lines.next().is_some() {
        return Err(HostError::Double);
    }
    if let Some(host) = host {
        check_authority(host.as_bytes())?;
    }
    match (uri.authority(), host) {
        (Some(authority), Some(host))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            // What is wrong with the authority itself says more than that it differs.
            check_authority(authority.as_str().as_bytes())?;
            Err(HostError::Mismatch)
        }
        (Some(authority), None) if version != Version::HTTP_11 => {
            check_authority(authority.as_str().as_bytes())
        }
        (None, None) if version < Version::HTTP_11 => Ok(()),
        (_, None) => Err(HostError::Missing),
        (_, Some(_)) => Ok(()),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn check_authority(authority: &[u8]) -> Result<(), HostError> {
    if authority.contains(&b'@') {
        return Err(HostError::UserInfo);
    }
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|&b| b == b']').map_or(0, |at| at + 1),
        _ => authority
            .iter()
            .position(|&b| b == b':')
            .unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let good = match host {
        [b'[', inside @ .., b']'] => {
            std::str::from_utf8(inside).is_ok_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
        }
        _ => {
            !host.is_empty()
                && host
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    if good && check_port(port) {
        Ok(())
    } else {
        Err(HostError::Malformed)
    }
}

/// Nothing, or `:` and a port number.
fn check_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, uri: &str, hosts: &[&str]) -> Result<(), HostError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        check_host(version, &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn h3_http_1_1() {
        use HostError as E;
        for (uri, hosts, want) in [
            ("/x", &["example.com"][..], Ok(())),
            ("/x", &["example.com:8080"], Ok(())),
            ("/x", &["127.0.0.1:1"], Ok(())),
            ("/x", &["[::1]:8080"], Ok(())),
            ("/x", &["[::ffff:1.2.3.4]"], Ok(())),
            ("/x", &["my_service.internal."], Ok(())),
            ("/x", &[], Err(E::Missing)),
            ("http://example.com/x", &[], Err(E::Missing)),
            ("/x", &["a", "a"], Err(E::Double)),
            ("/x", &["a", "b"], Err(E::Double)),
            ("/x", &[""], Err(E::Malformed)),
            ("/x", &[":80"], Err(E::Malformed)),
            ("/x", &["a:"], Err(E::Malformed)),
            ("/x", &["a:+1"], Err(E::Malformed)),
            ("/x", &["a:65536"], Err(E::Malformed)),
            ("/x", &["a:1:2"], Err(E::Malformed)),
            ("/x", &["::1"], Err(E::Malformed)),
            ("/x", &["[::1"], Err(E::Malformed)),
            ("/x", &["[::1]x"], Err(E::Malformed)),
            ("/x", &["[x]"], Err(E::Malformed)),
            ("/x", &["a, b"], Err(E::Malformed)),
            ("/x", &["a/b"], Err(E::Malformed)),
            ("/x", &["a%00b"], Err(E::Malformed)),
            ("/x", &["a b"], Err(E::Malformed)),
            ("/x", &["user@a"], Err(E::UserInfo)),
            ("/x", &["user:secret@a:80"], Err(E::UserInfo)),
            ("http://a/x", &["A"], Ok(())),
            ("http://a/x", &["b"], Err(E::Mismatch)),
            ("http://a:80/x", &["a"], Err(E::Mismatch)),
            ("http://u@a/x", &["a"], Err(E::UserInfo)),
        ] {
            assert_eq!(check(Version::HTTP_11, uri, hosts), want, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn h3_http_2_and_1_0() {
        use HostError as E;
        for (uri, hosts, want) in [
            ("https://a/x", &[][..], Ok(())),
            ("https://a/x", &["a"], Ok(())),
            ("/x", &["a"], Ok(())),
            ("https://a/x", &["b"], Err(E::Mismatch)),
            ("https://u@a/x", &[], Err(E::UserInfo)),
            ("https://u@a/x", &["u@a"], Err(E::UserInfo)),
            ("/x", &[], Err(E::Missing)),
            ("https://a/x", &["a", "a"], Err(E::Double)),
        ] {
            assert_eq!(check(Version::HTTP_2, uri, hosts), want, "{uri} {hosts:?}");
        }
        assert_eq!(check(Version::HTTP_10, "/x", &[]), Ok(()));
        assert_eq!(check(Version::HTTP_10, "/x", &["a", "b"]), Err(E::Double));
        assert_eq!(check(Version::HTTP_10, "/x", &["@"]), Err(E::UserInfo));
    }
}
