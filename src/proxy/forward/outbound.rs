//! What a request looks like to the upstream: built from the configuration, the path that was matched, and the client's headers less what is not the
//! upstream's business.

use ::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue};
use ::http::request::Parts;
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, Method, Request, Uri, Version};

use crate::http::headers::accepts_coding;

use super::super::live::Live;
use super::super::stage::Outbound;
use super::super::upload::Upload;
use super::endpoint::Endpoint;
use super::tunnel;
use super::upstream::Upstream;

/// The same request for whichever server it goes to.
pub(super) struct Message {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    upload: Upload,
}

/// What is special about a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// Nothing.
    Plain,
    /// Its answer is read on its way, and its body may have been changed.
    Read,
    /// It asks for an upgrade.
    Upgrade,
}

/// An answer that is to be read comes uncompressed, unless the client insists. The body's length is that of what is sent.
fn readable(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    if accepts_coding(headers, "identity") {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}

impl Message {
    /// Without the client's keys, with the upstream's own credentials.
    pub(super) fn new(
        head: &mut Parts,
        outbound: Outbound,
        live: &Live,
        upstream: &Upstream,
        way: Way,
    ) -> Message {
        let Outbound { target, upload, .. } = outbound;
        let mut headers = std::mem::take(&mut head.headers);
        // It lies in the connection's buffer, which is not to be kept for as long as an answer streams.
        head.uri = Uri::default();
        for name in &live.key_headers {
            headers.remove(name);
        }
        for (name, value) in &upstream.headers {
            headers.insert(name, value.clone());
        }
        match way {
            Way::Plain => {}
            Way::Read => readable(&mut headers),
            Way::Upgrade => tunnel::ask(&mut headers),
        }
        Message {
            method: head.method.clone(),
            target,
            headers,
            upload,
        }
    }

    /// For a server that speaks HTTP/1.1 or HTTP/2.
    pub(super) fn address(
        self,
        endpoint: &Endpoint,
        upstream: &Upstream,
        h2: bool,
    ) -> Option<Request<Upload>> {
        let Message {
            method,
            target,
            mut headers,
            upload,
        } = self;
        let target = if endpoint.path.is_empty() {
            target
        } else {
            PathAndQuery::try_from(format!("{}{target}", endpoint.path)).ok()?
        };
        let mut request = Request::new(upload);
        if h2 {
            if !upstream.sets_host() {
                headers.remove(HOST);
            }
            *request.uri_mut() = Uri::builder()
                .scheme(endpoint.scheme.clone())
                .authority(endpoint.authority.clone())
                .path_and_query(target)
                .build()
                .ok()?;
            *request.version_mut() = Version::HTTP_2;
        } else {
            if !upstream.sets_host() {
                headers.insert(HOST, endpoint.host.clone());
            }
            *request.uri_mut() = Uri::from(target);
        }
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        Some(request)
    }

    /// What came back unsent, for another server. The path in front of the target is taken off again.
    pub(super) fn again(request: Request<Upload>, endpoint: &Endpoint) -> Option<Message> {
        let (head, upload) = request.into_parts();
        let target = head.uri.into_parts().path_and_query?;
        let target = match target.as_str().strip_prefix(&*endpoint.path) {
            Some(rest) if !endpoint.path.is_empty() => PathAndQuery::try_from(rest).ok()?,
            _ => target,
        };
        Some(Message {
            method: head.method,
            target,
            headers: head.headers,
            upload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_read_come_uncompressed_unless_the_client_insists() {
        for (asked, sent) in [
            (&[][..], "identity"),
            (&["gzip, deflate, br, zstd"], "identity"),
            (&["gzip", "br"], "identity"),
            (&["gzip;q=1.0, identity; q=0.5, *;q=0"], "identity"),
            (&["gzip, identity;q=0"], "gzip, identity;q=0"),
            (&["gzip, identity; Q=0.000"], "gzip, identity; Q=0.000"),
            (&["br, *;q=0"], "br, *;q=0"),
            (&["*"], "identity"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
            for line in asked {
                headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            readable(&mut headers);
            let lines: Vec<_> = headers.get_all(ACCEPT_ENCODING).iter().collect();
            assert_eq!(lines, [sent], "{asked:?}");
            assert!(!headers.contains_key(CONTENT_LENGTH));
        }
    }
}
