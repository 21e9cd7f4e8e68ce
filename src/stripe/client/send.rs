//! One try: a request on a connection, its answer read whole, within a time and a size.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};

use super::answer::{Answered, request_id};
use super::connect::{Dial, Sender};
use super::options::{API_VERSION, ClientError, ClientOptions};
use super::{ApiError, Reply, Unsaid};
use crate::clock::Clock;
use crate::config::Secret;
use crate::stripe::call::{Call, Method};

/// The longest answer. A page of 100 large objects has less than half a mebibyte.
pub(super) const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// In a second.
const MICROS: i64 = 1_000_000;

const AGENT: &str = concat!("faregate/", env!("CARGO_PKG_VERSION"));

/// The way to the API.
pub(super) struct Wire {
    dial: Dial,
    authority: String,
    /// Put before each path; may be empty.
    base_path: String,
    authorization: HeaderValue,
    key: Secret,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    /// By how many seconds Stripe's clock is ahead of ours.
    ahead: AtomicI64,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority, self.base_path)
    }
}

/// Why a request got no answer.
enum Lost {
    /// Before anything of an answer came.
    Before(hyper::Error),
    /// In the middle of it, or it is too long.
    Within(Unsaid),
}

impl Wire {
    pub(super) fn new(options: ClientOptions) -> Result<Wire, ClientError> {
        let key = options.api_key;
        if key.expose().is_empty() || !key.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ClientError::Key);
        }
        if key.expose().starts_with("pk_") {
            return Err(ClientError::Publishable);
        }
        let bearer = format!("Bearer {}", key.expose());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| ClientError::Key)?;
        authorization.set_sensitive(true);
        Ok(Wire {
            authority: options.api_base.authority(),
            base_path: options.api_base.path.to_string(),
            dial: Dial::new(
                options.api_base,
                options.trusted,
                options.connect_timeout,
                options.at_once,
            )?,
            authorization,
            key,
            timeout: options.timeout,
            clock: options.clock,
            ahead: AtomicI64::new(0),
        })
    }

    /// Tries once.
    pub(super) async fn send(&self, call: &Call) -> Result<Reply, Unsaid> {
        let answered = tokio::time::timeout(self.timeout, self.exchange(call)).await;
        let late = || again(format!("no answer within {} s", self.timeout.as_secs_f64()));
        answered.unwrap_or_else(|_| Err(late()))?.judge(&self.key)
    }

    async fn exchange(&self, call: &Call) -> Result<Answered, Unsaid> {
        if let Some(sender) = self.dial.free() {
            match self.ask(sender, call).await {
                Ok(answered) => return Ok(answered),
                // The server has closed it in the meantime, most likely without having read this; and every call can be made twice.
                Err(Lost::Before(_)) => {}
                Err(Lost::Within(unsaid)) => return Err(unsaid),
            }
        }
        let sender = self.dial.connect().await.map_err(|error| Unsaid {
            again: error.kind() != io::ErrorKind::PermissionDenied,
            error: ApiError::unknown(format!("cannot connect to {}: {error}", self.authority)),
        })?;
        self.ask(sender, call).await.map_err(|lost| match lost {
            Lost::Before(error) => again(format!("no answer from {}: {error}", self.authority)),
            Lost::Within(unsaid) => unsaid,
        })
    }

    /// Asks on one connection, which is kept if it can be used again.
    async fn ask(&self, mut sender: Sender, call: &Call) -> Result<Answered, Lost> {
        let request = self.request(call).map_err(Lost::Within)?;
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let (head, body) = answer.await.map_err(Lost::Before)?.into_parts();
        let body = match Limited::new(body, ANSWER_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                let long = error.is::<LengthLimitError>();
                let what = if long {
                    format!("an answer longer than {ANSWER_MAX} bytes")
                } else {
                    format!("the answer broke off: {error}")
                };
                let request_id = request_id(&head.headers);
                let error = ApiError::Unknown { what, request_id };
                return Err(Lost::Within(Unsaid { error, again: !long }));
            }
        };
        self.dial.keep(sender);
        self.compare_clocks(&head.headers);
        Ok(Answered {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    /// Stripe's time, as of when ours was this.
    pub(super) fn their_time(&self, ours: i64) -> i64 {
        ours.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    fn compare_clocks(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
            return;
        };
        let since = theirs.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let theirs = i64::try_from(since).unwrap_or(i64::MAX);
        let ours = self.clock.now().micros() / MICROS;
        self.ahead.store(theirs.saturating_sub(ours), Ordering::Relaxed);
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Unsaid> {
        let mut request = Request::builder()
            .method(match call.method() {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
                Method::Delete => http::Method::DELETE,
            })
            .uri(format!("{}{}", self.base_path, call.target()))
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.authorization)
            .header(USER_AGENT, AGENT)
            .header("stripe-version", API_VERSION);
        if let Some(key) = call.idempotency_key() {
            request = request.header("idempotency-key", key);
        }
        let mut body = Bytes::new();
        if call.method() == Method::Post {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            body = call.form().encode().into();
        }
        request.body(Full::new(body)).map_err(|error| Unsaid {
            error: ApiError::unknown(format!("it cannot be written as a request: {error}")),
            again: false,
        })
    }
}

fn again(what: String) -> Unsaid {
    Unsaid {
        error: ApiError::unknown(what),
        again: true,
    }
}
