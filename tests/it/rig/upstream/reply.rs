//! What the upstream answers.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;

use super::Recorded;
use crate::rig::body::{BodySender, RigBody};
use crate::rig::within;

/// An answer in the making. Unless it says otherwise, the request's body is read whole first.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(super) kind: Kind,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) delay: Duration,
    pub(super) gate: Option<Gate>,
    pub(super) early: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Bytes(Bytes),
    Echo,
    EchoStream,
    Events {
        events: Arc<[Bytes]>,
        interval: Duration,
        written: Arc<AtomicU64>,
    },
    Stepped(Arc<Mutex<Option<RigBody>>>),
    Raw(Vec<Step>),
    Stall,
    Upgrade(String),
}

/// One step of a raw answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Write these bytes.
    Send(Bytes),
    /// Go on when the test opens the gate.
    Wait(Gate),
    /// Go on after this time.
    Sleep(Duration),
    /// End the connection with a reset.
    Reset,
    /// Do nothing more until the client goes away.
    Stall,
}

impl Step {
    /// Write these bytes.
    pub(crate) fn send(bytes: impl Into<Bytes>) -> Step {
        Step::Send(bytes.into())
    }
}

/// Something waits until the test opens this.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Gate {
        Gate(watch::Sender::new(false))
    }

    /// Opens it for all who wait and all who come.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub(crate) async fn passed(&self) {
        let mut open = self.0.subscribe();
        within("the test to open a gate", async {
            drop(open.wait_for(|open| *open).await)
        })
        .await;
    }
}

impl Reply {
    fn of(kind: Kind) -> Reply {
        Reply {
            kind,
            status: 200,
            headers: Vec::new(),
            trailers: None,
            delay: Duration::ZERO,
            gate: None,
            early: false,
        }
    }

    /// 200 with this body.
    pub(crate) fn ok(body: impl Into<Bytes>) -> Reply {
        Reply::of(Kind::Bytes(body.into()))
    }

    /// This status, with its number as the body.
    pub(crate) fn status(status: u16) -> Reply {
        Reply {
            status,
            ..Reply::ok(status.to_string())
        }
    }

    /// 200 with JSON.
    pub(crate) fn json(json: &serde_json::Value) -> Reply {
        Reply::ok(json.to_string()).header("content-type", "application/json")
    }

    /// 200 with the request's own body, after it has come whole.
    pub(crate) fn echo() -> Reply {
        Reply::of(Kind::Echo)
    }

    /// 200 at once, then the request's own body and trailers as they come.
    pub(crate) fn echo_stream() -> Reply {
        Reply::of(Kind::EchoStream)
    }

    /// A server-sent event stream: each text as one `data:` event, `interval` apart.
    pub(crate) fn events<T: AsRef<str>>(data: impl IntoIterator<Item = T>, interval: Duration) -> Reply {
        Reply::events_counted(data, interval, Arc::default())
    }

    /// The same; counts the events that were given to the connection, over all answers.
    pub(crate) fn events_counted<T: AsRef<str>>(
        data: impl IntoIterator<Item = T>,
        interval: Duration,
        written: Arc<AtomicU64>,
    ) -> Reply {
        let events = data
            .into_iter()
            .map(|data| Bytes::from(format!("data: {}\n\n", data.as_ref())))
            .collect();
        Reply::of(Kind::Events {
            events,
            interval,
            written,
        })
        .header("content-type", "text/event-stream")
    }

    /// A body that the test sends piece by piece; it ends when the sender is dropped, and stalls
    /// while the sender is kept. For one request only.
    pub(crate) fn stepped() -> (BodySender, Reply) {
        let (sender, body) = RigBody::stepped();
        (sender, Reply::of(Kind::Stepped(Arc::new(Mutex::new(Some(body))))))
    }

    /// Reads the request, never answers.
    pub(crate) fn stall() -> Reply {
        Reply::of(Kind::Stall)
    }

    /// Bytes straight onto the connection (HTTP/1 without TLS), then an orderly close: short bodies,
    /// broken heads, an unasked 101, resets at any byte.
    pub(crate) fn raw(steps: impl IntoIterator<Item = Step>) -> Reply {
        Reply::of(Kind::Raw(steps.into_iter().collect()))
    }

    /// 101 to this protocol, then echoes every byte. Without `Upgrade` in the request: 426.
    pub(crate) fn upgrade_echo(protocol: &str) -> Reply {
        Reply {
            status: 101,
            ..Reply::of(Kind::Upgrade(protocol.to_owned()))
        }
    }

    /// Another status.
    pub(crate) fn with_status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    /// Adds a header, such as `x-credits-used`; may be called twice with one name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a trailer behind a whole body.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Reply {
        let name: http::HeaderName = name.parse().expect("a header name");
        let trailers = self.trailers.get_or_insert_default();
        trailers.append(name, value.parse().expect("a header value"));
        self
    }

    /// Waits this long before the head.
    pub(crate) fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// Waits for the test before the head.
    pub(crate) fn when(mut self, gate: &Gate) -> Reply {
        self.gate = Some(gate.clone());
        self
    }

    /// Answers without reading the request's body.
    pub(crate) fn early(mut self) -> Reply {
        self.early = true;
        self
    }
}

/// Which reply is for whom.
pub(super) struct Script {
    pub(super) next: VecDeque<Reply>,
    pub(super) choose: Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            next: VecDeque::new(),
            choose: Arc::new(|_| Reply::ok("ok")),
        }
    }
}
