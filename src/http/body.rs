//! Bodies: reading one whole, within limits, and answering with one.

mod room;

use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::framing::{self, Violation};

pub use room::{Room, Share};

/// Any error, to be sent between threads.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Most memory set aside for a body before its bytes are there: a length is easily claimed.
const TRUST: usize = 64 * 1024;

/// How much, and how slowly, a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Most bytes.
    pub bytes_max: usize,
    /// Longest time without any byte.
    pub idle: Duration,
    /// Longest time in all, from the first wait.
    pub total: Duration,
}

/// Why a body was not read to its end. The text is meant for the person who sent it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More bytes than [`ReadLimit::bytes_max`], or a `Content-Length` that says so.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// Nothing came for [`ReadLimit::idle`], or not all within [`ReadLimit::total`].
    #[error("the body came too slowly")]
    TooSlow,
    /// No room for it beside other bodies ([`Room`]).
    #[error("there is no room for the body just now")]
    NoRoom,
    /// The body breaks the rules of framing.
    #[error("the body is malformed: {0}")]
    Malformed(Violation),
    /// The connection ended in the middle, or the HTTP library refused what came.
    #[error("the body did not come to its end")]
    Broken(#[source] BoxError),
}

impl ReadError {
    /// The status to answer with: 413, 408, 503, or 400.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Malformed(_) | Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body to its end; trailers are dropped (H7). A body that comes as one frame is not copied, and one that is
/// there already costs no look at the clock.
///
/// # Errors
/// As soon as a limit is passed; what was read until then is dropped. A body of a greater announced length is refused
/// unread.
pub async fn read<B>(body: B, limit: ReadLimit) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    read_all(body, limit, &mut None).await
}

/// The same, within the room that there is for the bodies of all requests, and of one owner's: [`ReadError::NoRoom`] where that is full. The body takes its share
/// until the last copy of what is returned is gone.
///
/// # Errors
/// As for [`read`].
pub async fn read_within<B>(body: B, limit: ReadLimit, share: Share) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut share = Some(share);
    let bytes = read_all(body, limit, &mut share).await?;
    Ok(share.map_or_else(Bytes::new, |share| share.keep(bytes)))
}

async fn read_all<B>(body: B, limit: ReadLimit, share: &mut Option<Share>) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let too_large = ReadError::TooLarge(limit.bytes_max);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit.bytes_max {
        return Err(too_large);
    }
    if share.as_ref().is_some_and(|share| !share.fits(announced)) {
        return Err(ReadError::NoRoom);
    }
    let mut body = body;
    let mut clock = Clock { limit, end: None };
    let mut whole = Whole::Empty;
    while !body.is_end_stream() {
        let Some(frame) = clock.next(&mut body).await? else {
            break;
        };
        let Ok(data) = frame.map_err(read_error)?.into_data() else {
            continue;
        };
        if data.len() > limit.bytes_max - whole.len() {
            return Err(too_large);
        }
        if share.as_mut().is_some_and(|share| !share.grow(data.len())) {
            return Err(ReadError::NoRoom);
        }
        whole.push(data, announced.min(TRUST));
    }
    Ok(whole.into_bytes())
}

fn read_error(error: impl Into<BoxError>) -> ReadError {
    let error = error.into();
    match framing::violation(error.as_ref()) {
        Some(violation) => ReadError::Malformed(violation),
        None => ReadError::Broken(error),
    }
}

struct Clock {
    limit: ReadLimit,
    /// Set at the first wait.
    end: Option<Instant>,
}

impl Clock {
    /// The next frame, if it comes in time.
    async fn next<B>(&mut self, body: &mut B) -> Result<Option<Result<Frame<Bytes>, B::Error>>, ReadError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let at_once = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(frame) = at_once.await {
            return Ok(frame);
        }
        let now = Instant::now();
        let end = *self.end.get_or_insert(now + self.limit.total);
        timeout_at(end.min(now + self.limit.idle), body.frame())
            .await
            .map_err(|_| ReadError::TooSlow)
    }
}

/// What was read so far.
enum Whole {
    Empty,
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    /// `room`: how many bytes there will be at least, as far as that is trusted.
    fn push(&mut self, data: Bytes, room: usize) {
        match self {
            Self::Empty if data.is_empty() => {}
            Self::Empty => *self = Self::One(data),
            Self::One(first) => {
                let mut many = BytesMut::with_capacity(room.max(first.len() + data.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(&data);
                *self = Self::Many(many);
            }
            Self::Many(bytes) => bytes.extend_from_slice(&data),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// The body of an answer: one piece that is there, without an allocation of its own, or whatever else.
pub enum AnyBody {
    /// One piece; `None` when it was sent or is empty.
    Full(Option<Bytes>),
    /// Something that goes on.
    Boxed(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl AnyBody {
    /// No bytes.
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// Any other body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::Boxed(Box::pin(body.map_err(Into::into)))
    }
}

impl<T: Into<Bytes>> From<T> for AnyBody {
    fn from(piece: T) -> Self {
        Self::Full(Some(piece.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl std::fmt::Debug for AnyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Bodies are not for logs.
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Boxed(_) => f.write_str("Boxed"),
        }
    }
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;

    use ::http::HeaderMap;
    use http_body_util::Full;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: ReadLimit = ReadLimit {
        bytes_max: 10,
        idle: Duration::from_secs(30),
        total: Duration::from_secs(100),
    };

    /// Frames, each after a wait.
    struct Script {
        frames: VecDeque<(Duration, Result<Frame<Bytes>, io::Error>)>,
        wait: Option<Pin<Box<tokio::time::Sleep>>>,
        announced: u64,
    }

    fn script(frames: impl IntoIterator<Item = (u64, Result<Frame<Bytes>, io::Error>)>) -> Script {
        let frames = frames
            .into_iter()
            .map(|(wait, frame)| (Duration::from_secs(wait), frame))
            .collect();
        Script {
            frames,
            wait: None,
            announced: 0,
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, io::Error> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    impl Body for Script {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            if let Some((wait, _)) = self.frames.front()
                && !wait.is_zero()
            {
                let wait = *wait;
                let sleep = self
                    .wait
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
                std::task::ready!(sleep.as_mut().poll(cx));
                self.wait = None;
            }
            Poll::Ready(self.frames.pop_front().map(|(_, frame)| frame))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.announced)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_frame_is_not_copied() {
        let sent = Bytes::from("hello".to_owned());
        let got = read(Full::new(sent.clone()), LIMIT).await.unwrap();
        assert_eq!((got.as_ptr(), &got), (sent.as_ptr(), &sent));
        let frames = script([
            (0, data("")),
            (0, Ok(Frame::data(sent.clone()))),
            (0, Ok(Frame::trailers(HeaderMap::new()))),
        ]);
        assert_eq!(read(frames, LIMIT).await.unwrap().as_ptr(), sent.as_ptr());
        assert_eq!(read(Full::<Bytes>::default(), LIMIT).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn h14_a_body_over_the_limit_is_413_as_soon_as_that_is_known() {
        let exact = script([(0, data("01234")), (1, data("56789"))]);
        assert_eq!(read(exact, LIMIT).await.unwrap(), "0123456789");
        let never = || (9, data("never read"));
        let over = script([(0, data("01234")), (0, data("567890")), never()]);
        let announced = Script {
            announced: 11,
            ..script([never()])
        };
        let lied = Script {
            announced: u64::MAX,
            ..script([never()])
        };
        for body in [over, announced, lied] {
            let start = Instant::now();
            let error = read(body, LIMIT).await.unwrap_err();
            assert!(matches!(error, ReadError::TooLarge(10)));
            assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(start.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn h12_a_body_without_progress_or_without_end_is_408() {
        let steady = script([(29, data("0")), (29, data("1")), (29, data("2"))]);
        assert_eq!(read(steady, LIMIT).await.unwrap(), "012");
        for (body, seconds) in [
            (script([(0, data("0")), (31, data("1"))]), 30),
            (
                script([
                    (25, data("0")),
                    (25, data("1")),
                    (25, data("2")),
                    (25, data("3")),
                    (25, data("4")),
                ]),
                100,
            ),
        ] {
            let start = Instant::now();
            let error = read(body, LIMIT).await.unwrap_err();
            assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn h2_a_broken_body_is_400_and_says_why() {
        let cut = script([(0, data("0")), (0, Err(io::ErrorKind::UnexpectedEof.into()))]);
        let error = read(cut, LIMIT).await.unwrap_err();
        assert!(matches!(error, ReadError::Broken(_)));
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        let bad = script([(0, Err(io::Error::other(Violation::ChunkSpill)))]);
        let error = read(bad, LIMIT).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the body is malformed: a chunk is longer than its size says"
        );
    }

    #[tokio::test]
    async fn an_answer_is_one_piece_or_a_stream() {
        let limit = ReadLimit {
            bytes_max: 100,
            ..LIMIT
        };
        for (body, want, exact) in [
            (AnyBody::empty(), "", Some(0)),
            (AnyBody::from(""), "", Some(0)),
            (AnyBody::from("ok"), "ok", Some(2)),
            (AnyBody::from(b"ok".to_vec()), "ok", Some(2)),
            (
                AnyBody::boxed(Full::new(Bytes::from("streamed"))),
                "streamed",
                Some(8),
            ),
        ] {
            assert_eq!(body.size_hint().exact(), exact);
            assert_eq!(body.is_end_stream(), want.is_empty());
            assert!(!format!("{body:?}").contains("ok"));
            assert_eq!(read(body, limit).await.unwrap(), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_sent(parts in prop::collection::vec("[a-z]{0,6}", 0..6), bytes_max in 0_usize..40) {
            let frames = parts.iter().cloned().map(|part| (0, Ok(Frame::data(Bytes::from(part)))));
            let sent = parts.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            match runtime.block_on(read(script(frames), ReadLimit { bytes_max, ..LIMIT })) {
                Ok(got) => prop_assert_eq!(got, sent),
                Err(error) => prop_assert!(matches!(error, ReadError::TooLarge(_)) && sent.len() > bytes_max),
            }
        }
    }
}
