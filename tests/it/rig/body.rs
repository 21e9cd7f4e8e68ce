//! One HTTP body for both sides of the tests: whole, or frame by frame as the test sends them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// What ends a body badly.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body. `Frames` ends cleanly when its [`BodySender`] is dropped.
#[derive(Debug)]
pub(crate) enum RigBody {
    Whole {
        data: Option<Bytes>,
        trailers: Option<HeaderMap>,
    },
    Frames(mpsc::Receiver<Result<Frame<Bytes>, BodyError>>),
}

/// The test's end of a streamed body.
#[derive(Clone, Debug)]
pub(crate) struct BodySender {
    frames: mpsc::Sender<Result<Frame<Bytes>, BodyError>>,
}

impl RigBody {
    /// These bytes, with their length known.
    pub(crate) fn whole(data: impl Into<Bytes>) -> RigBody {
        RigBody::Whole {
            data: Some(data.into()),
            trailers: None,
        }
    }

    /// A body that the test sends piece by piece.
    pub(crate) fn stepped() -> (BodySender, RigBody) {
        let (frames, receiver) = mpsc::channel(1);
        (BodySender { frames }, RigBody::Frames(receiver))
    }
}

impl BodySender {
    /// Sends one piece; false when the other side is gone.
    pub(crate) async fn send(&self, data: impl Into<Bytes>) -> bool {
        self.frame(Ok(Frame::data(data.into()))).await
    }

    /// Sends the trailers, the last frame of a body.
    pub(crate) async fn trailers(&self, trailers: HeaderMap) -> bool {
        self.frame(Ok(Frame::trailers(trailers))).await
    }

    /// Breaks the body off: HTTP/1 closes without an end, HTTP/2 resets the stream.
    pub(crate) async fn abort(self) -> bool {
        self.frame(Err("broken off by the test".into())).await
    }

    /// Waits until the other side has dropped the body.
    pub(crate) async fn closed(&self) {
        super::within("the other side to drop the body", self.frames.closed()).await;
    }

    async fn frame(&self, frame: Result<Frame<Bytes>, BodyError>) -> bool {
        super::within(
            "room for a body frame (is the other side reading?)",
            self.frames.send(frame),
        )
        .await
        .is_ok()
    }
}

impl Body for RigBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            RigBody::Whole { data, trailers } => Poll::Ready(
                data.take()
                    .filter(|data| !data.is_empty())
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(Frame::trailers))
                    .map(Ok),
            ),
            RigBody::Frames(frames) => frames.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RigBody::Whole { data, trailers } => {
                data.as_ref().is_none_or(Bytes::is_empty) && trailers.is_none()
            }
            RigBody::Frames(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RigBody::Whole { data, trailers: None } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            // Trailers need chunked framing on HTTP/1: no length.
            RigBody::Whole { .. } | RigBody::Frames(_) => SizeHint::default(),
        }
    }
}
