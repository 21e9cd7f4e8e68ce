//! Which codings of a body a client takes.

use ::http::HeaderMap;
use ::http::header::ACCEPT_ENCODING;

/// Whether a client takes a body in this coding (RFC 9110 section 12.5.3). `identity` it takes unless it says otherwise (`identity;q=0`, or `*;q=0` without another
/// word on it); any other only where it says so: to one that says nothing, any may be sent by that section, and few such clients can read it.
pub fn accepts_coding(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    let mut accepted = coding.eq_ignore_ascii_case("identity");
    for listed in codings {
        let mut parts = listed.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let none = parts.any(|weight| {
            let weight = weight.to_ascii_lowercase();
            let digits = weight.strip_prefix(b"q=").map(<[u8]>::trim_ascii);
            digits.is_some_and(|digits| {
                digits.starts_with(b"0") && digits.iter().all(|b| matches!(b, b'0' | b'.'))
            })
        });
        if name.eq_ignore_ascii_case(coding.as_bytes()) {
            return !none;
        }
        if name == b"*" {
            accepted = !none;
        }
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes() {
        for (said, identity, gzip) in [
            (&[][..], true, false),
            (&["gzip, deflate, br, zstd"], true, true),
            (&["br", "GZIP;q=0.1"], true, true),
            (&["identity"], true, false),
            (&["gzip;q=1.0, identity; q=0.5, *;q=0"], true, true),
            (&["gzip, identity; Q=0.000"], false, true),
            (&["gzip;q=0, *"], true, false),
            (&["br, *;q=0"], false, false),
            (&["*"], true, true),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(ACCEPT_ENCODING, line.parse().unwrap());
            }
            let takes = ["identity", "gzip"].map(|coding| accepts_coding(&headers, coding));
            assert_eq!(takes, [identity, gzip], "{said:?}");
        }
    }
}
