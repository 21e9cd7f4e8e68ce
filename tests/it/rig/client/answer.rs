//! An answer, read whole, chunk by chunk, or event by event.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, Version, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::ClientError;
use crate::rig::within;

/// An answer whose head has come. Dropping it before its end hangs up (HTTP/1: closes the
/// connection; HTTP/2: resets the stream).
#[derive(Debug)]
pub(crate) struct Answer {
    head: response::Parts,
    body: Incoming,
    trailers: Option<HeaderMap>,
    /// Read, but not yet handed out as an event.
    pending: BytesMut,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event:` field, empty when there is none.
    pub(crate) name: String,
    /// The `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

impl Answer {
    pub(super) fn new(response: Response<Incoming>) -> Answer {
        let (head, body) = response.into_parts();
        Answer {
            head,
            body,
            trailers: None,
            pending: BytesMut::new(),
        }
    }

    /// The status as a number.
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// The protocol it came by.
    pub(crate) fn version(&self) -> Version {
        self.head.version
    }

    /// All headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// One header as text; panics when it is there twice or is not text.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("a text header"));
        assert!(
            values.next().is_none(),
            "{name} is there more than once: {:?}",
            self.head.headers
        );
        value
    }

    /// The trailers; they come after the body has been read to its end.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next piece of the body, as it arrives; none at its end.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> impl Future<Output = Option<Bytes>> {
        let chunk = async {
            self.try_chunk()
                .await
                .unwrap_or_else(|e| panic!("the body broke off: {e} ({e:?})"))
        };
        within("a piece of the body", chunk)
    }

    /// The next piece of the body, none at its end, an error when it breaks off. Not bounded.
    pub(crate) async fn try_chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            match frame?.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
            }
        }
        Ok(None)
    }

    /// The rest of the body.
    #[track_caller]
    pub(crate) fn bytes(&mut self) -> impl Future<Output = Bytes> {
        let bytes = async {
            self.try_bytes()
                .await
                .unwrap_or_else(|e| panic!("the body broke off: {e} ({e:?})"))
        };
        within("the end of the body", bytes)
    }

    /// The rest of the body, or why it broke off. Not bounded.
    pub(crate) async fn try_bytes(&mut self) -> Result<Bytes, ClientError> {
        let mut bytes = self.pending.split();
        while let Some(chunk) = self.try_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// The rest of the body as text.
    pub(crate) async fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes().await).into_owned()
    }

    /// The rest of the body as JSON.
    pub(crate) async fn json(&mut self) -> serde_json::Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: not JSON ({e}): {text}", self.status()))
    }

    /// The next server-sent event, as soon as it is complete; none at the end of the stream.
    #[track_caller]
    pub(crate) fn event(&mut self) -> impl Future<Output = Option<Event>> {
        let event = async {
            loop {
                if let Some(event) = take_event(&mut self.pending) {
                    return Some(event);
                }
                match self
                    .try_chunk()
                    .await
                    .unwrap_or_else(|e| panic!("the stream broke off: {e} ({e:?})"))
                {
                    Some(chunk) => self.pending.extend_from_slice(&chunk),
                    None => {
                        assert!(
                            self.pending.is_empty(),
                            "the stream ended inside an event: {:?}",
                            self.pending
                        );
                        return None;
                    }
                }
            }
        };
        within("a server-sent event", event)
    }

    /// After a 101: the connection's bytes.
    pub(crate) async fn upgraded(self) -> TokioIo<Upgraded> {
        let response = Response::from_parts(self.head, self.body);
        let upgraded = within("the upgrade", hyper::upgrade::on(response)).await;
        TokioIo::new(upgraded.unwrap_or_else(|e| panic!("no upgrade: {e}")))
    }
}

/// Takes one whole event off the front. Comments and blank lines before it are skipped.
fn take_event(pending: &mut BytesMut) -> Option<Event> {
    loop {
        let text = String::from_utf8_lossy(pending).into_owned();
        let lf = text.find("\n\n").map(|at| (at, 2));
        let crlf = text.find("\r\n\r\n").map(|at| (at, 4));
        let (at, gap) = [lf, crlf].into_iter().flatten().min()?;
        let block = pending.split_to(at + gap);
        let block = String::from_utf8_lossy(&block[..at]).into_owned();
        let field = |name: &str| -> Vec<String> {
            let values = block
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values
                .map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
                .collect()
        };
        let data = field("data");
        let name = field("event").pop().unwrap_or_default();
        if !data.is_empty() || !name.is_empty() {
            return Some(Event {
                name,
                data: data.join("\n"),
            });
        }
    }
}

#[test]
fn events_are_taken_whole() {
    let mut pending = BytesMut::from(": hi\n\nevent: delta\ndata: a\ndata: b\n\ndata:c\r\n\r\ndata: d\n");
    let event = |name: &str, data: &str| Event {
        name: name.to_owned(),
        data: data.to_owned(),
    };
    assert_eq!(take_event(&mut pending), Some(event("delta", "a\nb")));
    assert_eq!(take_event(&mut pending), Some(event("", "c")));
    assert_eq!(take_event(&mut pending), None);
    assert_eq!(&pending[..], b"data: d\n");
}
