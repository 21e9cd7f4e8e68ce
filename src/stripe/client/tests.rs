use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::api::{self, NewPayment};
use super::super::call::{Call, Key};
use super::super::form::{Form, Metadata};
use super::*;
use crate::clock::ManualClock;
use crate::config::{BaseUrl, Secret};
use crate::domain::time::Timestamp;

mod answers;
mod errors;
mod lists;
mod server;
mod tls;

use server::{Server, Step};

const KEY: &str = "rk_test_hunter2hunter2";

fn options(port: u16) -> ClientOptions {
    let base = BaseUrl {
        tls: false,
        host: "127.0.0.1".into(),
        port,
        path: "".into(),
    };
    let mut options = ClientOptions::new(base, Secret::new(KEY));
    // Time that passes for the sake of a test is lost; what it comes to is tried by itself, below.
    options.back_off = (Duration::from_millis(1), Duration::from_millis(2));
    options.per_second = std::num::NonZeroU32::new(10_000).unwrap();
    options
}

fn client(server: &Server) -> Client {
    Client::new(options(server.port)).unwrap()
}

fn payment() -> Call {
    let payment = NewPayment {
        attempt: "acme-3",
        customer: "cus_1",
        method: "pm_1",
        amount: 1_000,
        currency: "usd".parse().unwrap(),
        description: None,
        metadata: Metadata::new(),
    };
    api::create_payment(&payment).unwrap()
}

fn read() -> Call {
    api::get_customer("cus_1").unwrap()
}

fn cancel() -> Call {
    api::cancel_subscription("sub_1", true).unwrap()
}

/// An error as Stripe writes it.
fn error(kind: &str, message: &str) -> String {
    json!({"error": {"type": kind, "message": message}}).to_string()
}

#[tokio::test]
async fn stripes_time_is_read_off_its_answers() {
    let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT, which RFC 9110 gives as its example.
    let dated = |date: &str| Step::json(200, "{}").header(&format!("Date: {date}"));
    let server = Server::start(vec![
        dated("Sun, 06 Nov 1994 08:48:52 GMT"),
        Step::json(200, "{}"),
        dated("yesterday"),
        dated("Sun, 06 Nov 1994 08:49:39 GMT"),
    ])
    .await;
    let mut options = options(server.port);
    options.clock = Arc::new(ManualClock::new(Timestamp::from_micros(
        now * 1_000_000 + 999_999,
    )));
    let client = Client::new(options).unwrap();
    assert_eq!(client.their_time(now), now);
    for ahead in [-45, -45, -45, 2] {
        client.call(&read()).await.unwrap();
        assert_eq!(client.their_time(now), now + ahead);
    }
}

#[tokio::test]
async fn a_call_goes_out_as_stripe_wants_it_and_its_answer_comes_back() {
    let server = Server::start(vec![
        Step::json(200, r#"{"id":"pi_1"}"#).header("Request-Id: req_1"),
        Step::json(200, "{}"),
        Step::json(200, "{}"),
    ])
    .await;
    let client = client(&server);
    let reply = client.call(&payment()).await.unwrap();
    assert_eq!(reply.body["id"], "pi_1");
    assert_eq!(reply.request_id.as_deref(), Some("req_1"));
    client.call(&read().expanded(&["default_source"])).await.unwrap();
    client.call(&cancel()).await.unwrap();

    let [post, get, delete] = <[_; 3]>::try_from(server.seen()).unwrap();
    assert_eq!(post.line, "POST /v1/payment_intents HTTP/1.1");
    assert_eq!(
        post.header("host"),
        Some(format!("127.0.0.1:{}", server.port)).as_deref()
    );
    assert_eq!(post.header("stripe-version"), Some("2026-10-28.endive"));
    assert_eq!(
        post.header("authorization"),
        Some(format!("Bearer {KEY}")).as_deref()
    );
    assert_eq!(post.header("idempotency-key"), Some("payment:acme-3"));
    assert_eq!(
        post.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert!(post.header("user-agent").unwrap().starts_with("faregate/"));
    assert_eq!(post.header("accept-encoding"), None);
    assert!(
        post.body
            .contains("off_session=true&confirm=true&error_on_requires_action=true")
    );
    assert_eq!(
        get.line,
        "GET /v1/customers/cus_1?expand%5B0%5D=default_source HTTP/1.1"
    );
    assert_eq!((get.header("idempotency-key"), get.body.as_str()), (None, ""));
    assert_eq!(get.header("stripe-version"), Some("2026-10-28.endive"));
    assert_eq!(
        delete.line,
        "DELETE /v1/subscriptions/sub_1?invoice_now=true HTTP/1.1"
    );
    assert_eq!(delete.header("idempotency-key"), None);
    // All of it over one connection.
    assert_eq!([post.connection, get.connection, delete.connection], [0, 0, 0]);
}

#[tokio::test]
async fn what_is_before_the_paths_at_the_base_stays_there() {
    let server = Server::start(vec![Step::json(200, "{}")]).await;
    let mut options = options(server.port);
    options.api_base.path = "/stripe".into();
    Client::new(options).unwrap().call(&read()).await.unwrap();
    assert_eq!(server.seen()[0].line, "GET /stripe/v1/customers/cus_1 HTTP/1.1");
}

#[tokio::test]
async fn w13_what_may_pass_is_asked_again_each_time_with_the_same_key() {
    for (status, body) in [
        (409, error("idempotency_error", "in use")),
        (424, error("api_error", "x")),
        (429, error("invalid_request_error", "slow down")),
        (500, error("api_error", "x")),
        (502, "<html>".to_owned()),
        (503, String::new()),
        (504, "{".to_owned()),
    ] {
        let again = || Step::json(status, &body);
        let server = Server::start(vec![again(), again(), Step::json(200, r#"{"id":"pi_1"}"#)]).await;
        let reply = client(&server).call(&payment()).await.unwrap();
        assert_eq!(reply.body["id"], "pi_1", "{status}");
        let seen = server.seen();
        assert_eq!(seen.len(), 3, "{status}");
        for request in &seen {
            assert_eq!(request.header("idempotency-key"), Some("payment:acme-3"));
            assert_eq!(request.body, seen[0].body);
        }
    }
}

#[tokio::test]
async fn w13_after_enough_tries_it_is_not_known() {
    let again = || Step::json(500, &error("api_error", "x")).header("Request-Id: req_9");
    let server = Server::start((0..9).map(|_| again()).collect()).await;
    let error = client(&server).call(&payment()).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert!(error.to_string().ends_with("(req_9)"), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn w13_stripe_says_itself_whether_to_ask_again() {
    let no = |status| Step::json(status, &error("api_error", "x")).header("Stripe-Should-Retry: false");
    for status in [409, 429, 500, 503] {
        let server = Server::start(vec![no(status), Step::json(200, "{}")]).await;
        let error = client(&server).call(&payment()).await.unwrap_err();
        assert!(error.is_unknown(), "{status}: {error}");
        assert_eq!(server.seen().len(), 1, "{status}");
    }
    let yes = Step::json(400, &error("invalid_request_error", "x")).header("Stripe-Should-Retry: true");
    let server = Server::start(vec![yes, Step::json(200, "{}")]).await;
    client(&server).call(&payment()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn w13_a_silent_api_is_not_waited_for_and_what_it_did_is_not_known() {
    let server = Server::start(vec![Step::Silence, Step::Silence]).await;
    let mut options = options(server.port);
    options.timeout = Duration::from_millis(400);
    options.tries = 2;
    let error = Client::new(options).unwrap().call(&payment()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not known whether it was done: no answer within 0.4 s"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[0].header("idempotency-key"),
        seen[1].header("idempotency-key")
    );
}

#[tokio::test]
async fn w13_one_that_cannot_be_reached_is_not_known_either() {
    let server = Server::start(vec![Step::Cut, Step::Cut, Step::Cut, Step::json(200, "{}")]).await;
    let client = client(&server);
    let error = client.call(&payment()).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert_eq!(server.seen().len(), 3);
    client.call(&payment()).await.unwrap();

    // A port that is taken, and that nobody listens at.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Client::new(options(port))
        .unwrap()
        .call(&read())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("cannot connect to 127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_costs_no_try() {
    let server = Server::start(vec![Step::json(200, "{}"), Step::Cut, Step::json(200, "{}")]).await;
    let mut options = options(server.port);
    options.tries = 1;
    let client = Client::new(options).unwrap();
    client.call(&payment()).await.unwrap();
    client.call(&payment()).await.unwrap();
    let connections: Vec<usize> = server.seen().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn no_more_calls_are_made_at_once_than_said() {
    let server = Server::start((0..8).map(|_| Step::json(200, "{}").after(30)).collect()).await;
    let mut options = options(server.port);
    options.at_once = 2;
    let client = std::sync::Arc::new(Client::new(options).unwrap());
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = std::sync::Arc::clone(&client);
            tokio::spawn(async move { client.call(&read()).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.at_once(), 2);
}

#[tokio::test]
async fn s4_a_redirect_is_an_error_and_the_key_goes_nowhere_else() {
    let elsewhere = Server::start(vec![Step::json(200, "{}")]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://127.0.0.1:{}/v1/x", elsewhere.port);
        let server = Server::start(vec![Step::json(status, "{}").header(&location)]).await;
        let error = client(&server).call(&read()).await.unwrap_err();
        let refused = error.refused().expect("refused");
        assert_eq!((refused.status, refused.kind.as_str()), (status, "redirect"));
        assert_eq!(server.seen().len(), 1);
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_is_logged_has_the_key_in_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let server = Server::start(vec![
        Step::Cut,
        Step::json(429, &error("api_error", &format!("{KEY} {KEY}"))),
        Step::json(
            401,
            &error(
                "invalid_request_error",
                &format!("Invalid API Key provided: {KEY}"),
            ),
        ),
    ])
    .await;
    let refused = client(&server).call(&payment()).await.unwrap_err();
    assert_eq!(server.seen().len(), 3);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("POST /v1/payment_intents") && logged.contains("401"),
        "{logged}"
    );
    for text in [logged, refused.to_string(), format!("{refused:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn pauses_double_up_to_the_longest_and_differ_by_chance() {
    let usual = options(1);
    let usual = ClientOptions::new(usual.api_base, usual.api_key).back_off;
    let between = |tried| [0, u32::MAX].map(|chance| pause(usual, tried, chance).as_millis());
    assert_eq!(between(1), [500, 1_000]);
    assert_eq!(between(2), [500, 2_000]);
    assert_eq!(between(3), [500, 4_000]);
    assert_eq!(between(4), [500, 5_000]);
    assert_eq!(between(u32::MAX), [500, 5_000]);
}

#[test]
fn keys_that_cannot_be_are_refused_and_none_is_ever_shown() {
    for (key, expected) in [
        ("", "empty"),
        ("rk_a b", "a space"),
        ("rk_a\r\nX: y", "a space"),
        ("pk_live_1", "publishable"),
    ] {
        let mut options = options(1);
        options.api_key = Secret::new(key);
        let error = Client::new(options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let shown = format!("{:?} {:?}", options(1), Client::new(options(1)).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.ends_with("Client of 127.0.0.1:1"), "{shown}");
}
