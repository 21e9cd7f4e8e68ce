//! Finds the key and whom it identifies.

use std::borrow::Cow;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, HeaderName};

use crate::service::denial::Denial;

use super::fault::{Fault, Rejected};
use super::stage::{Identified, Routed};

/// The longest key that is looked at, in bytes.
const KEY_MAX: usize = 4_096;

/// [`Routed`] → [`Identified`].
pub(super) async fn identify(mut routed: Routed) -> Result<Identified, Rejected> {
    let exchange = &mut *routed.exchange;
    let known = match presented(&exchange.head.headers, &exchange.live.key_headers) {
        Ok(key) if repeats(routed.target.query(), key) => Err(Fault::Unreadable(Cow::Borrowed(
            "the API key stands in the query too, where it would be passed on; send it in the header only",
        ))),
        Ok(key) => exchange
            .worker
            .gate
            .identify(&exchange.live.plans, key, &mut exchange.patience)
            .await
            .map_err(Fault::Denied),
        Err(fault) => Err(fault),
    };
    match known {
        Ok(known) => Ok(routed.identified(known)),
        Err(fault) => Err(routed.exchange.reject(fault)),
    }
}

/// The one key that a request carries.
pub(super) fn presented<'h>(headers: &'h HeaderMap, names: &[HeaderName]) -> Result<&'h [u8], Fault> {
    let mut found: Option<&[u8]> = None;
    for name in names {
        for value in headers.get_all(name) {
            let value = value.as_bytes();
            let key = if *name == AUTHORIZATION {
                bearer(value)
            } else {
                value.trim_ascii()
            };
            if key.is_empty() {
                continue;
            }
            match found {
                Some(other) if other != key => return Err(Fault::TwoKeys),
                _ => found = Some(key),
            }
        }
    }
    match found {
        Some(key) if key.len() <= KEY_MAX => Ok(key),
        // No key is as long: as unknown as any other (S10).
        Some(_) => Err(Fault::Denied(Denial::InvalidKey)),
        None => Err(Fault::NoKey),
    }
}

/// The credential of `Bearer`; nothing for other schemes.
fn bearer(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
        _ => b"",
    }
}

/// Whether the key would reach the upstream in the query.
fn repeats(query: Option<&str>, key: &[u8]) -> bool {
    query.is_some_and(|query| {
        query.len() >= key.len() && query.as_bytes().windows(key.len()).any(|part| part == key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(lines: &[(&'static str, &'static str)]) -> Result<String, &'static str> {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let names = ["authorization", "x-api-key", "api-key"].map(HeaderName::from_static);
        match presented(&headers, &names) {
            Ok(key) => Ok(String::from_utf8(key.to_vec()).unwrap()),
            Err(Fault::TwoKeys) => Err("two"),
            Err(_) => Err("none"),
        }
    }

    #[test]
    fn a_key_is_found_wherever_it_may_stand() {
        assert_eq!(find(&[("authorization", "Bearer fg_1")]).unwrap(), "fg_1");
        assert_eq!(find(&[("authorization", "bearer  fg_1 ")]).unwrap(), "fg_1");
        assert_eq!(find(&[("x-api-key", "fg_1")]).unwrap(), "fg_1");
        assert_eq!(
            find(&[("api-key", "fg_1"), ("authorization", "Basic eA==")]).unwrap(),
            "fg_1"
        );
        assert_eq!(
            find(&[("api-key", "fg_1"), ("authorization", "Bearer fg_1")]).unwrap(),
            "fg_1"
        );
    }

    #[test]
    fn two_different_keys_and_none_are_refused() {
        assert_eq!(
            find(&[("api-key", "fg_1"), ("authorization", "Bearer fg_2")]),
            Err("two")
        );
        for none in [
            &[][..],
            &[("authorization", "Basic eA==")],
            &[("authorization", "Digest fg_1")],
            &[("authorization", "fg_1")],
            &[("authorization", "Bearer ")],
            &[("x-api-key", "")],
        ] {
            assert_eq!(find(none), Err("none"));
        }
    }

    #[test]
    fn s10_a_key_that_is_too_long_is_not_looked_up() {
        let found = |length: usize| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", "k".repeat(length).parse().unwrap());
            let names = [HeaderName::from_static("x-api-key")];
            presented(&headers, &names).map(<[u8]>::len).ok()
        };
        assert_eq!(found(KEY_MAX), Some(KEY_MAX));
        assert_eq!(found(KEY_MAX + 1), None);
    }

    #[test]
    fn s3_a_key_in_the_query_is_noticed() {
        assert!(repeats(Some("a=1&key=fg_1"), b"fg_1"));
        assert!(!repeats(Some("a=1&key=fg_2"), b"fg_1"));
        assert!(!repeats(None, b"fg_1"));
    }
}
