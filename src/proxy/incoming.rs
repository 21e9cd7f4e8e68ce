//! A request's body as it comes in.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Version;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What of a body that nobody wants is still taken: so many bytes, for so long.
const UNWANTED: (usize, Duration) = (64 * 1024, Duration::from_secs(1));

/// A client's body. One over HTTP/2 that is dropped before its end is read a little further, since the library resets a stream whose body is dropped,
/// remembers ten such streams a second, and closes the connection after a hundred frames for those that it has forgotten: a client whose requests are
/// refused quickly would lose all others that it has under way there. Over HTTP/1 the connection lingers instead (`http/framing`).
pub(super) struct ClientBody {
    /// None once it is dropped.
    body: Option<Incoming>,
    /// What was read before, where it is given on from memory.
    read: Bytes,
    http2: bool,
}

impl ClientBody {
    pub(super) fn new(body: Incoming, version: Version) -> ClientBody {
        ClientBody {
            body: Some(body),
            read: Bytes::new(),
            http2: version == Version::HTTP_2,
        }
    }

    /// One that was read to its end before.
    pub(super) fn read_before(bytes: Bytes) -> ClientBody {
        ClientBody {
            body: None,
            read: bytes,
            http2: false,
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.http2
            && !body.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(tokio::time::timeout(UNWANTED.1, read_on(body))));
        }
    }
}

async fn read_on(mut body: Incoming) {
    let mut left = UNWANTED.0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else {
            return;
        };
        left = rest;
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let ClientBody { body, read, .. } = &mut *self;
        match body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None if read.is_empty() => Poll::Ready(None),
            None => Poll::Ready(Some(Ok(Frame::data(std::mem::take(read))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .map_or(self.read.is_empty(), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.len() as u64;
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(read), Body::size_hint)
    }
}
