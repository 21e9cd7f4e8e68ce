//! Units counted in the body: a plain integer in a JSON object, which must have one reading (P3 to P6, H14, H15).
//!
//! The upstream gets the very bytes that were read here, and reads them with a parser of its own. Whatever two parsers read in two ways is therefore refused:
//! a name twice on the way to the number, names that differ in case alone, numbers that are not plain, other encodings.

mod json;

pub(in super::super) use json::units;

use std::borrow::Cow;
use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use bytes::Bytes;

use crate::http::body::{ReadError, ReadLimit, read_within};

use super::super::fault::Fault;
use super::super::incoming::ClientBody;
use super::super::stage::Routed;
use super::super::upload::Upload;
use super::{LONG, apart};

/// How many times the longest pause a whole body may take.
const PAUSES: u32 = 10;

/// The body, read whole, and how many units its member `times` asks for.
pub(super) async fn read(
    routed: &Routed,
    body: Option<ClientBody>,
    times: &str,
) -> Result<(Upload, u64), Fault> {
    let body = whole(routed, body).await?;
    let units = counted(body.clone(), times)
        .await
        .map_err(|what| unreadable(format!("the price of this route is in its body: {what}")))?;
    Ok((Upload::whole(body), units))
}

/// How many units a body asks for.
pub(super) async fn counted(body: Bytes, times: &str) -> Result<u64, String> {
    if body.len() <= LONG {
        return units(&body, times);
    }
    let times = times.to_owned();
    let counted = apart(move || units(&body, &times)).await;
    counted.unwrap_or_else(|| Err("it could not be read".to_owned()))
}

/// A body that says the price, read whole.
pub(super) async fn whole(routed: &Routed, body: Option<ClientBody>) -> Result<Bytes, Fault> {
    check_type(&routed.exchange.head.headers)?;
    let Some(body) = body else {
        return Err(unreadable("there is no body"));
    };
    let idle = routed.exchange.live.body_timeout;
    let limit = limit(routed.route.body_max, idle);
    read_within(body, limit, routed.exchange.body_share())
        .await
        .map_err(fault)
}

pub(in super::super) fn limit(bytes_max: u64, idle: Duration) -> ReadLimit {
    ReadLimit {
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
        idle,
        total: idle.saturating_mul(PAUSES),
    }
}

pub(in super::super) fn fault(error: ReadError) -> Fault {
    match error {
        ReadError::TooLarge(max) => Fault::BodyTooLarge(max as u64),
        ReadError::TooSlow => Fault::BodyStalled,
        ReadError::NoRoom => Fault::NoRoom,
        ReadError::Malformed(violation) => unreadable(violation.to_string()),
        ReadError::Broken(_) => Fault::BodyBroken,
    }
}

fn unreadable(what: impl Into<Cow<'static, str>>) -> Fault {
    Fault::Unreadable(what.into())
}

/// JSON in UTF-8, as it is.
fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(one), None) if is_json(one) && plain => Ok(()),
        (Some(one), None) if is_json(one) => Err(Fault::MediaType("sent without a content encoding")),
        _ => Err(Fault::MediaType("`application/json`")),
    }
}

/// `application/json`, with no parameter but `charset=utf-8`.
fn is_json(value: &HeaderValue) -> bool {
    let mut parts = value.as_bytes().split(|&b| b == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(b"application/json")
        && parts.all(|parameter| {
            parameter.eq_ignore_ascii_case(b"charset=utf-8")
                || parameter.eq_ignore_ascii_case(b"charset=\"utf-8\"")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p4_h15_only_plain_json_is_read() {
        let headers = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            check_type(&headers).is_ok()
        };
        assert!(headers(&[("content-type", "application/json")]));
        assert!(headers(&[("content-type", "Application/JSON; charset=UTF-8")]));
        assert!(headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "identity")
        ]));
        for bad in [
            "text/json",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "application/jsonx",
            "application/json, text/plain",
            "",
        ] {
            assert!(!headers(&[("content-type", bad)]), "{bad}");
        }
        assert!(!headers(&[]));
        assert!(!headers(&[
            ("content-type", "application/json"),
            ("content-type", "application/json")
        ]));
        assert!(!headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip")
        ]));
        assert!(!headers(&[
            ("content-type", "application/json"),
            ("content-encoding", "identity"),
            ("content-encoding", "br")
        ]));
    }
}
