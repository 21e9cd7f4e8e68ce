//! The HTTP side: who asks, for what, with which key; what goes wrong on the way.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::error::ApiError;
use super::faults::{Fault, Faults};
use super::idempotency::{Kept, Keys};
use super::schema::Api;
use super::world::{API_VERSION, Asked, World};
use super::{Call, form, lock, route};

const BODY_MAX: usize = 1 << 20;

/// Decides of each call, by its `METHOD path`, what goes wrong with it.
pub(super) type Judge = Box<dyn Fn(&str) -> Option<Fault> + Send + Sync>;

/// What the connections share.
pub(super) struct Shared {
    world: Mutex<World>,
    /// The world's time goes on with the machine's.
    real_time: bool,
    pub(super) faults: Mutex<Faults>,
    pub(super) judge: Mutex<Option<Judge>>,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) violations: Mutex<Vec<String>>,
    pub(super) api_keys: Mutex<Vec<String>>,
    pub(super) keys: Mutex<Keys>,
    pub(super) api: Api,
    /// Customers and meters with a meter event under way.
    metering: Mutex<BTreeSet<String>>,
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Hangup;

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fake hangs up")
    }
}

impl std::error::Error for Hangup {}

/// A request, checked.
struct Checked {
    /// Its place in the record of calls.
    number: usize,
    operation: String,
    names: Vec<String>,
    asked: Value,
    idempotency_key: Option<String>,
    /// All that makes two calls the same.
    what: String,
}

/// An answer, and what is said beside it.
struct Answer {
    status: u16,
    body: Value,
    headers: Vec<(&'static str, String)>,
    /// Something in between answers in its stead.
    garbled: bool,
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Answer {
        Answer {
            status: error.status,
            body: error.body(),
            headers: Vec::new(),
            garbled: false,
        }
    }
}

impl Shared {
    pub(super) fn new(world: World, api_key: String, real_time: bool) -> Shared {
        Shared {
            world: Mutex::new(world),
            real_time,
            faults: Mutex::default(),
            judge: Mutex::default(),
            calls: Mutex::default(),
            violations: Mutex::default(),
            api_keys: Mutex::new(vec![api_key]),
            keys: Mutex::default(),
            api: Api::load(),
            metering: Mutex::default(),
        }
    }

    /// The world as it is now.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = lock(&self.world);
        if self.real_time {
            world.keep_pace(super::machine_time());
        }
        world
    }

    fn violation(&self, call: &Call, what: &str) {
        lock(&self.violations).push(format!("{} {}: {what}", call.method, call.path));
    }
}

/// Accepts until aborted; all connections end with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((tcp, _)) = accepted {
                connections.spawn(connection(tcp, Arc::clone(&shared)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(tcp: TcpStream, shared: Arc<Shared>) {
    let _ = tcp.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // What goes wrong with a connection shows at its client.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Hangup> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return Err(Hangup);
    };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let mut form = form::pairs(head.uri.query().unwrap_or_default());
    form.extend(form::pairs(&body));
    let idempotency_key = header(&head.headers, "idempotency-key");
    let call = Call {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        form,
        idempotency_key: idempotency_key.clone(),
        status: None,
        replayed: false,
    };
    let number = {
        let mut calls = lock(&shared.calls);
        calls.push(call.clone());
        calls.len() - 1
    };
    let answer = match check(&shared, &head.headers, &call, number) {
        Ok(checked) => faulty(&shared, checked, &format!("{} {}", call.method, call.path)).await?,
        Err(error) => error.into(),
    };
    lock(&shared.calls)[number].status = Some(answer.status);
    let seconds = u64::try_from(shared.world().now()).unwrap_or_default();
    let now = UNIX_EPOCH + Duration::from_secs(seconds);
    Ok(response(answer, number, idempotency_key, now))
}

fn check(shared: &Shared, headers: &HeaderMap, call: &Call, number: usize) -> Result<Checked, ApiError> {
    let key = header(headers, "authorization");
    let key = key.as_deref().and_then(|key| key.strip_prefix("Bearer "));
    if !key.is_some_and(|key| lock(&shared.api_keys).iter().any(|known| known == key)) {
        return Err(ApiError::new(
            401,
            "invalid_request_error",
            "Invalid API Key provided",
        ));
    }
    match header(headers, "stripe-version").as_deref() {
        Some(API_VERSION) => {}
        other => shared.violation(call, &format!("Stripe-Version is {other:?}")),
    }
    let judged = judge(shared, call);
    if let Err(error) = &judged {
        shared.violation(call, &error.body().to_string());
    }
    let (operation, names, asked) = judged?;
    let kind = header(headers, "content-type").unwrap_or_default();
    if call.method == "POST"
        && !call.form.is_empty()
        && !kind.starts_with("application/x-www-form-urlencoded")
    {
        shared.violation(call, &format!("Content-Type is {kind:?}"));
    }
    if call.method == "POST" && call.idempotency_key.is_none() {
        shared.violation(call, "a POST without Idempotency-Key");
    }
    let what = format!("{} {} {asked}", call.method, call.path);
    let idempotency_key = call.idempotency_key.clone().filter(|_| call.method == "POST");
    Ok(Checked {
        number,
        operation,
        names,
        asked,
        idempotency_key,
        what,
    })
}

/// Holds the call against the operations there are.
fn judge(shared: &Shared, call: &Call) -> Result<(String, Vec<String>, Value), ApiError> {
    let Some((operation, names)) = shared.api.find(&call.method, &call.path) else {
        let message = format!("Unrecognized request URL ({}: {})", call.method, call.path);
        return Err(ApiError::invalid(message));
    };
    let asked = operation.check(form::tree(&call.form)?)?;
    Ok((operation.name.clone(), names, asked))
}

/// Lets the call fail if it is to fail, else makes it.
async fn faulty(shared: &Arc<Shared>, checked: Checked, call: &str) -> Result<Answer, Hangup> {
    let judged = lock(&shared.judge).as_ref().and_then(|judge| judge(call));
    let fault = judged.or_else(|| lock(&shared.faults).next(call));
    match fault {
        Some(Fault::HangBefore) => pending().await,
        Some(Fault::CloseBefore) => Err(Hangup),
        Some(Fault::RateLimited) => {
            let mut answer = Answer::from(
                ApiError::new(429, "invalid_request_error", "Too many requests").code("rate_limit"),
            );
            answer
                .headers
                .push(("stripe-rate-limited-reason", "global-rate".into()));
            Ok(answer)
        }
        Some(Fault::LockTimeout) => {
            let message = "This object cannot be accessed right now";
            Ok(ApiError::new(429, "invalid_request_error", message)
                .code("lock_timeout")
                .into())
        }
        Some(Fault::Unavailable) => Ok(ApiError::new(503, "api_error", "Come back later").into()),
        Some(Fault::Status(status, retry)) => {
            let mut answer = Answer::from(ApiError::new(status, "api_error", "Something is wrong"));
            let told = retry.map(|retry| ("stripe-should-retry", retry.to_string()));
            answer.headers.extend(told);
            Ok(answer)
        }
        Some(Fault::Forbidden) => {
            let message = "The provided key does not have the required permissions: rak_fake_write";
            Ok(ApiError::new(403, "invalid_request_error", message).into())
        }
        other => keyed(shared, checked, other).await,
    }
}

/// Makes the call, unless its key has an answer.
async fn keyed(shared: &Arc<Shared>, checked: Checked, fault: Option<Fault>) -> Result<Answer, Hangup> {
    let key = checked.idempotency_key.clone();
    if let Some(key) = &key {
        let now = shared.world().now();
        match lock(&shared.keys).begin(key, &checked.what, now) {
            Ok(None) => {}
            Ok(Some(kept)) => {
                lock(&shared.calls)[checked.number].replayed = true;
                let headers = vec![("idempotent-replayed", "true".to_owned())];
                return Ok(Answer {
                    status: kept.status,
                    body: kept.body,
                    headers,
                    garbled: false,
                });
            }
            Err(error) => return Ok(error.into()),
        }
    }
    // The work goes on when the client hangs up, as it would.
    let (shared, number) = (Arc::clone(shared), checked.number);
    let work = tokio::spawn(async move { work(&shared, &checked, key.as_deref(), fault).await });
    let answer = work
        .await
        .unwrap_or_else(|e| panic!("call {number} panicked: {e}"));
    match fault {
        Some(Fault::HangAfter) => pending().await,
        Some(Fault::CloseAfter) => Err(Hangup),
        Some(Fault::Garbled) => Ok(Answer {
            garbled: true,
            ..answer
        }),
        _ => Ok(answer),
    }
}

async fn work(shared: &Shared, checked: &Checked, key: Option<&str>, fault: Option<Fault>) -> Answer {
    let Some(_turn) = Turn::take(shared, checked) else {
        if let Some(key) = key {
            lock(&shared.keys).forget(key);
        }
        let message = "Another meter event of this customer is under way";
        let mut answer =
            Answer::from(ApiError::new(429, "invalid_request_error", message).code("rate_limit"));
        answer
            .headers
            .push(("stripe-rate-limited-reason", "endpoint-concurrency".into()));
        return answer;
    };
    let broken = || ApiError::new(500, "api_error", "Something went wrong on Stripe's end.");
    let reply = match fault {
        Some(Fault::ErrorBefore) => Err(broken()),
        _ => make(shared, checked),
    };
    let reply = match fault {
        Some(Fault::ErrorAfter) => Err(broken()),
        _ => reply,
    };
    if let Some(Fault::Slow(time)) = fault {
        tokio::time::sleep(time).await;
    }
    let kept = match reply {
        Ok(body) => Kept { status: 200, body },
        Err(error) => Kept {
            status: error.status,
            body: error.body(),
        },
    };
    if let Some(key) = key {
        lock(&shared.keys).keep(key, kept.clone());
    }
    Answer {
        status: kept.status,
        body: kept.body,
        headers: Vec::new(),
        garbled: false,
    }
}

fn make(shared: &Shared, checked: &Checked) -> super::world::Reply {
    let mut world = shared.world();
    if checked.operation.starts_with("POST") || checked.operation.starts_with("DELETE") {
        world.asked = Asked {
            id: Some(request_id(checked.number)),
            idempotency_key: checked.idempotency_key.clone(),
        };
    }
    let reply = route::call(&mut world, &checked.operation, &checked.names, &checked.asked);
    world.asked = Asked::default();
    reply
}

/// The right to report a meter event of a customer; one at a time.
struct Turn<'a> {
    shared: &'a Shared,
    of: Option<String>,
}

impl Turn<'_> {
    fn take<'a>(shared: &'a Shared, checked: &Checked) -> Option<Turn<'a>> {
        let metered = checked.operation == "POST /v1/billing/meter_events";
        let of = metered.then(|| {
            let mut payload = checked.asked["payload"].clone();
            payload["value"] = Value::Null;
            format!("{} {payload}", checked.asked["event_name"])
        });
        let free = of
            .as_ref()
            .is_none_or(|of| lock(&shared.metering).insert(of.clone()));
        free.then_some(Turn { shared, of })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(of) = &self.of {
            lock(&self.shared.metering).remove(of);
        }
    }
}

fn response(
    answer: Answer,
    number: usize,
    idempotency_key: Option<String>,
    now: SystemTime,
) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", "application/json")
        .header("date", httpdate::fmt_http_date(now))
        .header("request-id", request_id(number))
        .header("stripe-version", API_VERSION);
    if let Some(key) = idempotency_key {
        response = response.header("idempotency-key", key);
    }
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = match answer.garbled {
        true => "<html><body>Please log in to this network</body></html>".to_owned(),
        false => answer.body.to_string(),
    };
    let body = Full::new(Bytes::from(body));
    response.body(body).expect("all headers are text")
}

fn request_id(number: usize) -> String {
    format!("req_fake{number:06}")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
