//! A panic in one request's way stays in it (A16): the client gets a 500, the hold ends as its guard says, the process lives.

use std::convert::Infallible;

use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

use crate::service::panics::caught;

use super::body::ReplyBody;
use super::rescue;
use super::stage::{Received, Reply, Whole};

/// Outermost.
pub(super) fn layer<S: Whole>(inner: S) -> impl Whole {
    service_fn(move |received: Received| {
        let inner = inner.clone();
        async move {
            let request = received.exchange.request;
            let bare = received.exchange.head.method == Method::HEAD;
            let answer = caught(inner.oneshot(received)).await;
            Ok::<_, Infallible>(answer.map(|Ok(reply)| reply).unwrap_or_else(|| {
                tracing::error!(%request, "a request's way panicked");
                let body = if bare {
                    ReplyBody::empty()
                } else {
                    ReplyBody::orphan(Bytes::from(rescue::internal(request)))
                };
                let mut reply: Reply = Response::new(body);
                *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                rescue::internal_head(reply.headers_mut(), request);
                reply
            }))
        }
    })
}
