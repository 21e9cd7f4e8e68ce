//! A pretend Stripe for `faregate demo`, and a pretend shop in front of it: nothing is charged, nobody is asked for a card. It answers the few calls that
//! buying a pack takes, and tells the gate of payments by signed events, so that all of the gate's own way is the real one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::{Clock, SystemClock};
use crate::config::Secret;
use crate::service::request_ids::kernel_entropy;
use crate::service::stripe::WEBHOOK;
use crate::stripe::signature::{WebhookSecrets, sign};

use super::AppError;

/// The longest body it reads.
const BODY_MAX: usize = 64 * 1024;

/// The most things it remembers; beyond that it sells nothing more.
const OBJECTS_MAX: usize = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The pretend Stripe.
pub(super) struct Till {
    pub(super) address: SocketAddr,
    /// What its events are signed with.
    pub(super) secret: String,
    secrets: WebhookSecrets,
    gate: OnceLock<(SocketAddr, String)>,
    objects: Mutex<HashMap<String, Value>>,
}

/// Serves on a free port of loopback until the runtime ends.
pub(super) async fn start() -> Result<Arc<Till>, AppError> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(AppError::failed)?;
    let mut random = [0; 16];
    kernel_entropy()(&mut random);
    let secret = format!("whsec_demo{:032x}", u128::from_be_bytes(random));
    let till = Arc::new(Till {
        address: listener.local_addr().map_err(AppError::failed)?,
        secrets: WebhookSecrets::new(vec![Secret::new(&secret)]).map_err(AppError::failed)?,
        secret,
        gate: OnceLock::new(),
        objects: Mutex::default(),
    });
    let serving = Arc::clone(&till);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let till = Arc::clone(&serving);
            let service = service_fn(move |request| {
                let till = Arc::clone(&till);
                async move { Ok::<_, Infallible>(till.answer(request).await) }
            });
            let serve =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                // A client that leaves is nothing to report.
                let _ = serve.await;
            });
        }
    });
    Ok(till)
}

impl Till {
    /// From now on it sells what this gate sells, to whoever has this key.
    pub(super) fn open(&self, gate: SocketAddr, key: &str) {
        // Opened once.
        let _ = self.gate.set((gate, key.to_owned()));
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let key = head.headers.get("idempotency-key");
        let key = key.and_then(|key| key.to_str().ok()).map(str::to_owned);
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        match (&head.method, &path[..]) {
            (&Method::GET, ["buy"] | ["pay", _]) => page(),
            (&Method::POST, ["buy"]) => said(self.buy().await),
            (&Method::POST, ["pay", id]) => said(self.pay(id).await),
            (&Method::GET, ["bought"]) => text(StatusCode::OK, "Thank you. Run the same curl again.\n"),
            (&Method::POST, ["v1", "customers"]) => self.make(key, |id| customer(id, &form(&body))),
            (&Method::POST, ["v1", "checkout", "sessions"]) => {
                let address = self.address;
                self.make(key, |id| session(id, &form(&body), address))
            }
            // Whoever compares finds nothing to make up for: all is told by webhooks.
            (&Method::GET, ["v1", "events" | "payment_intents"]) => {
                whole(&json!({ "object": "list", "data": [], "has_more": false }))
            }
            (&Method::GET, ["v1", .., id]) => self.find(id).map_or_else(missing, |found| whole(&found)),
            _ => missing(),
        }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> Option<Value> {
        self.objects().get(id).cloned()
    }

    /// Makes an object, once for each key.
    fn make(&self, key: Option<String>, object: impl FnOnce(usize) -> Value) -> Response<Full<Bytes>> {
        let mut objects = self.objects();
        let key = format!("key {}", key.unwrap_or_default());
        if let Some(known) = objects.get(&key) {
            return whole(known);
        }
        if objects.len() >= OBJECTS_MAX {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the pretend till is full\n");
        }
        let object = object(objects.len());
        objects.insert(key, object.clone());
        objects.insert(id_of(&object).to_owned(), object.clone());
        whole(&object)
    }

    /// What a shop's page does: asks the gate for a payment page, and here pays it at once.
    async fn buy(&self) -> Result<String, Failure> {
        let (gate, key) = self.gate.get().ok_or("the gate is not open yet")?;
        let request = Request::post("/faregate/v1/checkout")
            .header(header::HOST, gate.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .body(Full::new(Bytes::from_static(br#"{"pack":"starter"}"#)))?;
        let page: Value = serde_json::from_slice(&send(*gate, request).await?)?;
        self.pay(id_of(&page)).await
    }

    /// Pays a page, and tells the gate.
    async fn pay(&self, id: &str) -> Result<String, Failure> {
        let (gate, _) = self.gate.get().ok_or("the gate is not open yet")?;
        let now = SystemClock.now().micros() / 1_000_000;
        let payment = {
            let mut objects = self.objects();
            let number = objects.len();
            let page = objects.get_mut(id).ok_or("there is no such page")?;
            if page["status"] != "open" {
                return Err("this page is paid already".into());
            }
            let payment = json!({
                "id": format!("pi_demo{number}"), "object": "payment_intent", "status": "succeeded", "created": now,
                "amount": page["amount_total"], "amount_received": page["amount_total"], "currency": page["currency"],
                "customer": page["customer"], "metadata": page["metadata"], "livemode": false,
            });
            page["status"] = "complete".into();
            page["payment_status"] = "paid".into();
            page["payment_intent"] = payment["id"].clone();
            objects.insert(id_of(&payment).to_owned(), payment.clone());
            payment
        };
        let event = json!({
            "id": format!("evt_{}", id_of(&payment)), "object": "event", "type": "payment_intent.succeeded",
            "created": now, "livemode": false, "data": { "object": payment },
        });
        let body = event.to_string();
        let request = Request::post(WEBHOOK)
            .header(header::HOST, gate.to_string())
            .header("stripe-signature", sign(&self.secrets, body.as_bytes(), now))
            .body(Full::new(Bytes::from(body)))?;
        send(*gate, request).await?;
        Ok("Paid with pretend money, one credit more. Run the same curl again.\n".to_owned())
    }
}

/// Sends one request to the gate; the answer's body, where all went well.
async fn send(gate: SocketAddr, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
    let stream = TokioIo::new(TcpStream::connect(gate).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), BODY_MAX).collect().await?;
    let body = body.to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    Err(format!("the gate said {status}: {}", String::from_utf8_lossy(&body)).into())
}

fn form(body: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

fn metadata(form: &HashMap<String, String>) -> Map<String, Value> {
    let named = form.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((name.to_owned(), Value::from(value.as_str())))
    });
    named.collect()
}

fn customer(number: usize, form: &HashMap<String, String>) -> Value {
    json!({ "id": format!("cus_demo{number}"), "object": "customer", "metadata": metadata(form), "livemode": false })
}

fn session(number: usize, form: &HashMap<String, String>, till: SocketAddr) -> Value {
    let now = SystemClock.now().micros() / 1_000_000;
    let id = format!("cs_test_demo{number}");
    let amount = form.get("line_items[0][price_data][unit_amount]");
    json!({
        "id": id, "object": "checkout.session", "mode": "payment", "status": "open", "payment_status": "unpaid",
        "url": format!("http://{till}/pay/{id}"), "created": now, "expires_at": now + 86_400, "livemode": false,
        "customer": form.get("customer"), "amount_total": amount.and_then(|amount| amount.parse::<i64>().ok()),
        "currency": form.get("line_items[0][price_data][currency]"), "metadata": metadata(form), "payment_intent": null,
    })
}

fn id_of(object: &Value) -> &str {
    object["id"].as_str().unwrap_or_default()
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn whole(object: &Value) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, "application/json", object.to_string())
}

fn missing() -> Response<Full<Bytes>> {
    let error = json!({ "error": { "type": "invalid_request_error", "code": "resource_missing", "message": "the pretend Stripe has none" } });
    answer(StatusCode::NOT_FOUND, "application/json", error.to_string())
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body.to_owned())
}

fn said(done: Result<String, Failure>) -> Response<Full<Bytes>> {
    match done {
        Ok(what) => text(StatusCode::OK, &what),
        Err(error) => text(StatusCode::CONFLICT, &format!("Nothing was bought: {error}\n")),
    }
}

/// A page with one button, which posts to where the page is.
fn page() -> Response<Full<Bytes>> {
    let body = "<!doctype html><title>A pretend till</title><p>One credit for one pretend dollar: no card is asked for, nothing is charged.</p>\
                <form method=\"post\"><button>Pay</button></form>\n";
    answer(StatusCode::OK, "text/html; charset=utf-8", body.to_owned())
}
