//! What a request looks like to the upstream: built from the configuration, the path that was matched, and the client's headers less what is not the
//! upstream's business.

use ::http::header::HOST;
use ::http::request::Parts;
use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, Method, Request, Uri, Version};

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

impl Message {
    /// Without the client's keys, with the upstream's own credentials.
    pub(super) fn new(
        head: &mut Parts,
        outbound: Outbound,
        live: &Live,
        upstream: &Upstream,
        upgrade: bool,
    ) -> Message {
        let Outbound { target, upload, .. } = outbound;
        let mut headers = std::mem::take(&mut head.headers);
        for name in &live.key_headers {
            headers.remove(name);
        }
        for (name, value) in &upstream.headers {
            headers.insert(name, value.clone());
        }
        if upgrade {
            tunnel::ask(&mut headers);
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
