//! A panic in one request's way stays in it (A16): the client gets a 500, the hold ends as its guard says, the process lives.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use ::http::header::{CONTENT_TYPE, HeaderValue};
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use tower::{ServiceExt, service_fn};

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
            let caught = catch(inner.oneshot(received)).await;
            Ok::<_, Infallible>(caught.unwrap_or_else(|| {
                tracing::error!(%request, "a request's way panicked");
                let body = if bare {
                    ReplyBody::empty()
                } else {
                    ReplyBody::orphan(Bytes::from(rescue::internal(request)))
                };
                let mut reply: Reply = Response::new(body);
                *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                reply
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
                reply
                    .headers_mut()
                    .insert(&rescue::X_REQUEST_ID, super::reply::text(&request));
                reply
            }))
        }
    })
}

/// The answer, or none where the future panicked.
async fn catch<F: Future<Output = Result<Reply, Infallible>>>(future: F) -> Option<Reply> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        // After a panic the future is only dropped.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(Ok(reply))) => Poll::Ready(Some(reply)),
            Ok(Poll::Ready(Err(never))) => match never {},
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}
