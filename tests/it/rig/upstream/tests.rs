use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{FakeUpstream, Gate, Reply, Step, UpstreamOptions};
use crate::rig::body::RigBody;
use crate::rig::client::HttpClient;
use crate::rig::raw::{End, RawClient};
use crate::rig::tls::TestCa;

async fn started() -> (FakeUpstream, HttpClient) {
    let upstream = FakeUpstream::start().await;
    let client = HttpClient::new(upstream.addr());
    (upstream, client)
}

#[tokio::test]
async fn a_request_is_recorded_and_answered_as_told() {
    let (upstream, client) = started().await;
    upstream.answer_next(
        Reply::status(429)
            .header("retry-after", "7")
            .header("x-credits-used", "0.02"),
    );
    let mut answer = client
        .post_json("/v1/a?b=c", &json!({"model": "m"}))
        .header("x-a", "1")
        .bearer("k")
        .send()
        .await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.header("x-credits-used"), Some("0.02"));
    assert_eq!(answer.text().await, "429");
    let request = upstream.next_request().await;
    assert_eq!((request.method.as_str(), request.target()), ("POST", "/v1/a?b=c"));
    assert_eq!(
        (request.header("x-a"), request.header("authorization")),
        (Some("1"), Some("Bearer k"))
    );
    assert_eq!(request.json(), json!({"model": "m"}));
    assert!(request.complete);
    // The next one gets the default, on another connection.
    assert_eq!(client.get("/").send().await.text().await, "ok");
    assert_eq!(upstream.next_request().await.connection, 2);
    assert_eq!(
        (
            upstream.counts().reached,
            upstream.counts().answered,
            upstream.counts().cancelled
        ),
        (2, 2, 0)
    );
}

#[tokio::test]
async fn answers_may_depend_on_the_request() {
    let (upstream, client) = started().await;
    upstream.answer_with(|request| Reply::status(if request.target() == "/a" { 201 } else { 404 }));
    assert_eq!(client.get("/a").send().await.status(), 201);
    assert_eq!(client.get("/b").send().await.status(), 404);
}

#[tokio::test]
async fn http2_without_tls_streams_both_ways_with_trailers() {
    let (upstream, client) = started().await;
    upstream.answer(Reply::echo_stream());
    let (body, stream) = RigBody::stepped();
    let mut answer = client
        .http2()
        .request(Method::POST, "/echo")
        .body(stream)
        .send()
        .await;
    assert_eq!(answer.version(), Version::HTTP_2);
    for piece in ["one", "two"] {
        body.send(piece).await;
        assert_eq!(answer.chunk().await, Some(Bytes::from(piece)));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "2".parse().unwrap());
    body.trailers(trailers.clone()).await;
    drop(body);
    assert_eq!(answer.chunk().await, None);
    assert_eq!(answer.trailers(), Some(&trailers));
    let request = upstream.next_request().await;
    assert_eq!(
        (&request.body[..], request.trailers),
        (&b"onetwo"[..], Some(trailers))
    );
}

#[tokio::test]
async fn tls_with_alpn() {
    let ca = TestCa::new();
    let upstream = UpstreamOptions::default().tls(&ca).start().await;
    let client = HttpClient::new(upstream.addr()).tls(&ca);
    assert_eq!(client.get("/").send().await.version(), Version::HTTP_11);
    assert_eq!(client.http2().get("/").send().await.version(), Version::HTTP_2);
    let stranger = HttpClient::new(upstream.addr()).tls(&TestCa::new());
    assert!(stranger.get("/").try_send().await.is_err());
    assert_eq!(
        upstream.url(),
        format!("https://localhost:{}", upstream.addr().port())
    );
}

#[tokio::test]
async fn events_come_one_by_one_and_under_the_tests_control() {
    let (upstream, client) = started().await;
    upstream.answer_next(Reply::events(["a", "b", "[DONE]"], Duration::from_millis(1)));
    let mut answer = client.get("/").send().await;
    for data in ["a", "b", "[DONE]"] {
        assert_eq!(answer.event().await.unwrap().data, data);
    }
    assert_eq!(answer.event().await, None);

    let (steps, reply) = Reply::stepped();
    upstream.answer_next(reply.header("content-type", "text/event-stream"));
    let mut answer = client.get("/").send().await;
    for n in 0..3 {
        assert!(steps.send(format!("event: e\ndata: {n}\n\n")).await);
        let event = answer.event().await.unwrap();
        assert_eq!((event.name.as_str(), event.data), ("e", n.to_string()));
    }
    steps.abort().await;
    assert!(answer.try_chunk().await.is_err());
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_wherever_it_leaves() {
    let (upstream, client) = started().await;
    // Before the head.
    upstream.answer_next(Reply::stall());
    let waiting = tokio::spawn(async move { client.get("/").try_send().await.map(drop) });
    upstream.wait_reached(1).await;
    waiting.abort();
    upstream.wait_cancelled(1).await;
    // In mid-stream, by both protocols.
    for client in [
        HttpClient::new(upstream.addr()),
        HttpClient::new(upstream.addr()).http2(),
    ] {
        let before = upstream.counts().cancelled;
        let (steps, reply) = Reply::stepped();
        upstream.answer_next(reply);
        let mut answer = client.get("/").send().await;
        steps.send("x").await;
        answer.chunk().await;
        drop(answer);
        steps.closed().await;
        upstream.wait_cancelled(before + 1).await;
    }
    assert_eq!(upstream.counts().answered, 0);
    // An answer without a body is an answer.
    let client = HttpClient::new(upstream.addr());
    client.request(Method::HEAD, "/").send().await;
    upstream.answer_next(Reply::ok("").with_status(204));
    client.get("/").send().await.bytes().await;
    assert_eq!((upstream.counts().answered, upstream.counts().cancelled), (2, 3));
}

#[tokio::test]
async fn the_head_waits_for_a_gate() {
    let (upstream, client) = started().await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("late").when(&gate));
    let waiting = tokio::spawn(async move { client.get("/").send().await.text().await });
    upstream.next_request().await;
    assert!(!waiting.is_finished());
    gate.open();
    assert_eq!(waiting.await.unwrap(), "late");
}

#[tokio::test]
async fn raw_bytes_resets_and_short_bodies() {
    let (upstream, client) = started().await;
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort";
    upstream.answer_next(Reply::raw([Step::send(short)]));
    let mut answer = client.get("/").send().await;
    assert!(answer.try_bytes().await.is_err());

    upstream.answer_next(Reply::raw([Step::send(short), Step::Reset]));
    let mut raw = RawClient::connect(upstream.addr()).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.read_to_end().await.1, End::Reset);

    let unasked = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    upstream.answer_next(Reply::raw([Step::send(unasked)]));
    let mut raw = RawClient::connect(upstream.addr()).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(
        raw.read_to_end().await,
        (unasked.as_bytes().to_vec(), End::Closed)
    );
    assert_eq!(upstream.counts().cancelled, 0);
}

#[tokio::test]
async fn idle_connections_close_and_connecting_is_refused_while_told() {
    let (mut upstream, client) = started().await;
    let conn = client.connect().await;
    conn.get("/").send().await.bytes().await;
    conn.get("/").send().await.bytes().await;
    assert_eq!(upstream.counts().connections, 1);
    upstream.close_connections().await;
    assert_eq!(upstream.counts().open, 0);
    assert!(conn.get("/").try_send().await.is_err());

    upstream.refuse().await;
    assert!(client.get("/").try_send().await.is_err());
    upstream.resume().await;
    assert_eq!(client.get("/").send().await.status(), 200);
}

#[tokio::test]
async fn an_upgrade_echoes_bytes() {
    let (upstream, client) = started().await;
    upstream.answer(Reply::upgrade_echo("websocket"));
    let request = client
        .get("/ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let answer = request.send().await;
    assert_eq!(
        (answer.status(), answer.header("upgrade")),
        (101, Some("websocket"))
    );
    let mut bytes = answer.upgraded().await;
    bytes.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    bytes.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    assert_eq!(client.get("/ws").send().await.status(), 426);
    // The upgraded connection is still one of the upstream's.
    upstream.reset_connections().await;
    assert!(matches!(bytes.read(&mut echo).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let (upstream, client) = started().await;
    upstream.answer(Reply::status(413).early());
    let (body, stream) = RigBody::stepped();
    let answer = client.request(Method::POST, "/").body(stream).send().await;
    assert_eq!(answer.status(), 413);
    assert!(!upstream.next_request().await.complete);
    drop(body);
}

#[tokio::test]
async fn load_is_counted_without_a_record() {
    let upstream = UpstreamOptions::default().count_only().start().await;
    HttpClient::new(upstream.addr())
        .get("/")
        .send()
        .await
        .bytes()
        .await;
    assert_eq!((upstream.reached(), upstream.requests().len()), (1, 0));
}
