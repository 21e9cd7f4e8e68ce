//! Addresses: where to listen, where to forward to, and where never to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

/// An upstream's base address: scheme, host, port and a path in front of every request's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseUrl {
    /// Over TLS (`https`).
    pub tls: bool,
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: Arc<str>,
    /// The port, by default 80 or 443.
    pub port: u16,
    /// Put before each request's path; empty, or `/` and segments without a `/` at the end.
    pub path: Arc<str>,
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl BaseUrl {
    /// What goes into `Host` and `:authority`: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        if self.port == if self.tls { 443 } else { 80 } {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// What is wrong with an address, and what to do.
pub(super) type BadAddress = (String, String);

fn bad(what: impl Into<String>, advice: impl Into<String>) -> BadAddress {
    (what.into(), advice.into())
}

/// Reads an upstream's address. Never repeats it: it may hold a password that does not belong there.
pub(super) fn parse_base(text: &str) -> Result<BaseUrl, BadAddress> {
    const FORM: &str = "write it like \"http://127.0.0.1:8000\" or \"https://api.example.com/v1\"";
    if text.contains('#') {
        return Err(bad("has a fragment (`#...`)", FORM));
    }
    let uri: Uri = text.parse().map_err(|_| bad("is not an http address", FORM))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad("does not begin with http:// or https://", FORM)),
    };
    let authority = uri.authority().ok_or_else(|| bad("names no host", FORM))?;
    if authority.as_str().contains('@') {
        return Err(bad(
            "has a user or a password",
            "send credentials as a header: headers = { authorization = \"...\" }",
        ));
    }
    if uri.query().is_some() {
        return Err(bad(
            "has a query (`?...`)",
            "leave it out: each request brings its own",
        ));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    check_host(host)?;
    let port_said = authority
        .as_str()
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let port = match authority.port_u16() {
        Some(0) => return Err(bad("has the port 0", "name the port of the server")),
        Some(port) => port,
        None if port_said => return Err(bad("has a port that is no port", "ports go from 1 to 65535")),
        None if tls => 443,
        None => 80,
    };
    let path = uri.path().trim_end_matches('/');
    let normal = path.is_empty() || crate::http::target::normalise(path).is_ok_and(|normal| normal == path);
    if !normal {
        return Err(bad(
            "has a path that is not in its normal form",
            "leave out `//`, `.` and `..` segments and needless escapes",
        ));
    }
    Ok(BaseUrl {
        tls,
        host: host.to_ascii_lowercase().into(),
        port,
        path: path.into(),
    })
}

/// A host name or an IP address in its usual form. Resolvers also take `2130706433` or `0x7f.1` for addresses: those are refused, so that what is
/// checked here is what is connected to.
fn check_host(host: &str) -> Result<(), BadAddress> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let number = |label: &str| {
        let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        label.bytes().all(|b| b.is_ascii_digit())
            || hex.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if host.is_empty() || host.len() > 253 || !host.bytes().all(fits) || last.is_empty() {
        return Err(bad(
            "names no host",
            "use letters, digits, `-` and `.`, or an IP address (IPv6 in brackets)",
        ));
    }
    if number(last) {
        return Err(bad(
            "names a host that is neither a name nor a whole IP address",
            "write all four numbers: 127.0.0.1",
        ));
    }
    Ok(())
}

/// Reads an address to listen at: an IP address and a port.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, BadAddress> {
    let port = text.rsplit_once(':').map_or("8080", |(_, port)| port);
    let instead = match text.rsplit_once(':').map(|(host, _)| host) {
        Some("localhost") => "127.0.0.1",
        _ => "0.0.0.0",
    };
    SocketAddr::from_str(text).map_err(|_| {
        bad(
            "is not an IP address and a port",
            format!("write it like \"{instead}:{port}\" or \"[::]:{port}\""),
        )
    })
}

/// Why nothing is ever forwarded to this address unless `allow_link_local = true`: clouds give credentials away there. To be asked again for each
/// address that a name resolves to.
pub fn denied(address: IpAddr) -> Option<&'static str> {
    const LINK_LOCAL: &str = "a link-local address";
    const METADATA: &str = "a cloud's metadata address";
    match address.to_canonical() {
        IpAddr::V4(v4) if v4 == Ipv4Addr::new(169, 254, 169, 254) => Some(METADATA),
        IpAddr::V4(v4) if v4.is_link_local() => Some(LINK_LOCAL),
        // Alibaba's and Oracle's.
        IpAddr::V4(v4)
            if [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)].contains(&v4) =>
        {
            Some(METADATA)
        }
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => denied_v6(v6),
    }
}

fn denied_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    // Amazon's, Google's.
    let metadata = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if metadata.contains(&address) {
        return Some("a cloud's metadata address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    // An IPv4 address behind a translator (RFC 6052) or in its old compatible form.
    let embeds = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || segments[..6] == [0; 6];
    let [.., a, b] = segments;
    let [a, b, c, d] = [(a >> 8) as u8, a as u8, (b >> 8) as u8, b as u8];
    if embeds {
        denied(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    } else {
        None
    }
}

/// As [`denied`], for a host as it is written.
pub(super) fn denied_host(host: &str) -> Option<&'static str> {
    if let Ok(address) = host.parse() {
        return denied(address);
    }
    let host = host.trim_end_matches('.');
    let names = [
        "metadata.google.internal",
        "metadata.goog",
        "metadata",
        "instance-data",
        "instance-data.ec2.internal",
    ];
    names.contains(&host).then_some("a cloud's metadata server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses_are_read_into_their_parts() {
        for (text, shown, authority) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1:8000"),
            ("http://Models/", "http://models", "models"),
            (
                "https://api.example.com:443/v1/",
                "https://api.example.com/v1",
                "api.example.com",
            ),
            ("http://[::1]:80/a/b", "http://[::1]/a/b", "[::1]"),
            (
                "https://[2001:db8::1]:8443",
                "https://[2001:db8::1]:8443",
                "[2001:db8::1]:8443",
            ),
        ] {
            let base = parse_base(text).unwrap();
            assert_eq!(base.to_string(), shown, "{text}");
            assert_eq!(base.authority(), authority, "{text}");
        }
    }

    #[test]
    fn s4_addresses_with_two_readings_are_refused_and_never_repeated() {
        for text in [
            "",
            "models",
            "models:8000",
            "ftp://models",
            "http://",
            "http:///v1",
            "http://user:hunter2@models",
            "http://models?hunter2=1",
            "http://models#hunter2",
            "http://2130706433",
            "http://0x7f.1",
            "http://127.1",
            "http://0x7f000001/",
            "http://models:0",
            "http://models:99999",
            "http://mo dels",
            "http://models/a/../b",
            "http://models//a",
            "http://models/%2e%2e",
            "unix:///run/models",
            "http://-\u{e4}",
        ] {
            let (what, advice) = parse_base(text).expect_err(text);
            assert!(!what.is_empty() && !advice.is_empty());
            assert!(!format!("{what}{advice}").contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn s4_link_local_and_metadata_addresses_are_denied_in_every_spelling() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "::169.254.169.254",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
        ] {
            assert!(denied(address.parse().unwrap()).is_some(), "{address}");
            assert!(denied_host(address).is_some(), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "::1",
            "::",
            "192.168.1.1",
            "169.253.0.1",
            "2001:db8::1",
            "fd00::1",
        ] {
            assert_eq!(denied(address.parse().unwrap()), None, "{address}");
        }
        assert!(denied_host("metadata.google.internal.").is_some());
        assert_eq!(denied_host("models"), None);
    }

    #[test]
    fn what_is_no_place_to_listen_at_gets_one_that_is() {
        assert_eq!(parse_listen("127.0.0.1:0").unwrap().port(), 0);
        assert_eq!(parse_listen("[::]:8080").unwrap().port(), 8080);
        for (text, instead) in [
            ("localhost:9000", "127.0.0.1:9000"),
            (":9000", "0.0.0.0:9000"),
            ("127.0.0.1", "0.0.0.0:8080"),
        ] {
            assert!(parse_listen(text).unwrap_err().1.contains(instead), "{text}");
        }
    }
}
