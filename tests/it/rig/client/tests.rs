use http::HeaderMap;

use super::{Event, HttpClient};
use crate::rig::body::RigBody;
use crate::rig::upstream::{FakeUpstream, Reply};

#[tokio::test]
async fn default_headers_go_with_every_request_and_may_be_overridden() {
    let upstream = FakeUpstream::start().await;
    let client = HttpClient::new(upstream.addr()).bearer("one").header("x-a", "1");
    client
        .get("/")
        .bearer("two")
        .also_header("x-b", "1")
        .also_header("x-b", "2")
        .send()
        .await;
    let request = upstream.next_request().await;
    assert_eq!(
        (request.header("authorization"), request.header("x-a")),
        (Some("Bearer two"), Some("1"))
    );
    assert_eq!(request.headers.get_all("x-b").iter().count(), 2);
    assert_eq!(request.header("host").unwrap(), upstream.addr().to_string());
}

#[tokio::test]
async fn one_connection_carries_many_requests_in_turn_or_at_once() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    for client in [
        HttpClient::new(upstream.addr()),
        HttpClient::new(upstream.addr()).http2(),
    ] {
        let before = upstream.counts().connections;
        let conn = client.connect().await;
        let both = tokio::join!(conn.post("/", "a").send(), async {
            conn.post("/", "b").send().await.text().await
        });
        assert_eq!(both.1, "b");
        assert_eq!(upstream.counts().connections, before + 1);
    }
}

#[tokio::test]
async fn streamed_request_bodies_and_trailers_over_http1() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo().trailer("x-charged", "1"));
    let (body, stream) = RigBody::stepped();
    let client = HttpClient::new(upstream.addr());
    let request = client
        .post("/", "")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(stream);
    let (mut answer, ()) = tokio::join!(request.send(), async {
        body.send("one ").await;
        body.send("two").await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "2".parse().unwrap());
        body.trailers(trailers).await;
        drop(body);
    });
    assert_eq!(answer.text().await, "one two");
    let request = upstream.next_request().await;
    assert_eq!(request.trailers.unwrap()["x-sum"], "2");
}

#[tokio::test]
async fn events_split_anywhere_are_put_together() {
    let upstream = FakeUpstream::start().await;
    let (steps, reply) = Reply::stepped();
    upstream.answer_next(reply);
    let mut answer = HttpClient::new(upstream.addr()).get("/").send().await;
    let (event, ()) = tokio::join!(answer.event(), async {
        for byte in "data: {\"a\":\"é\"}\n\n".bytes() {
            steps.send(vec![byte]).await;
        }
        drop(steps);
    });
    assert_eq!(
        event,
        Some(Event {
            name: String::new(),
            data: "{\"a\":\"é\"}".to_owned()
        })
    );
    assert_eq!(answer.event().await, None);
}

#[tokio::test]
async fn a_refused_connection_is_an_error_not_a_panic() {
    let client = HttpClient::new(crate::rig::ports::refused());
    assert!(client.get("/").try_send().await.is_err());
}
