use std::time::Duration;

use super::{End, RawClient};
use crate::rig::tls::TestCa;
use crate::rig::upstream::{FakeUpstream, Reply, Step, UpstreamOptions};

async fn answer_to(bytes: &str) -> Result<super::RawResponse, String> {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::raw([Step::send(bytes.to_owned())]));
    let mut raw = RawClient::connect(upstream.addr()).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    crate::rig::within("an answer", raw.try_response()).await
}

#[tokio::test]
async fn answers_are_read_by_their_framing() {
    let fixed = answer_to("HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 ")
        .await
        .unwrap();
    assert_eq!(
        (fixed.status, fixed.reason.as_str(), fixed.text().as_str()),
        (200, "OK", "ok")
    );
    assert_eq!(fixed.header("x-a"), Some("1"));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\none\r\n0\r\nx-t: 1\r\n\r\n";
    let chunked = answer_to(chunked).await.unwrap();
    assert_eq!(chunked.text(), "one");
    assert_eq!(chunked.trailers, [("x-t".to_owned(), "1".to_owned())]);
    assert_eq!(
        answer_to("HTTP/1.0 200 OK\r\n\r\nby close").await.unwrap().text(),
        "by close"
    );
    assert_eq!(
        answer_to("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap().text(),
        ""
    );
}

#[tokio::test]
async fn wrong_answers_are_named() {
    for (bytes, wrong) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
            "5 bytes of body",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
            "ambiguous framing",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "chunk size \"zz\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
            "header name \"bad name\"",
        ),
        ("nonsense\r\n\r\n", "status line \"nonsense\""),
        ("HTTP/1.1 200 OK\r\n", "closed before"),
    ] {
        let error = answer_to(bytes).await.unwrap_err();
        assert!(error.contains(wrong), "{error:?} for {bytes:?}");
    }
}

#[tokio::test]
async fn requests_in_a_row_byte_by_byte_and_half_closed() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let mut raw = RawClient::connect(upstream.addr()).await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    assert_eq!(raw.send_slowly(request, Duration::ZERO).await, request.len());
    assert_eq!(raw.response().await.text(), "abc");
    raw.send(format!(
        "{request}HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.response().await.text(), "abc");
    assert_eq!(raw.head_response().await.status, 200);
    raw.half_close().await;
    assert_eq!(raw.read_to_end().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn silence_is_noticed_and_a_reset_reaches_the_other_side() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::stall());
    let mut raw = RawClient::connect(upstream.addr()).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    upstream.wait_reached(1).await;
    raw.stays_silent_for(Duration::from_millis(20)).await;
    raw.reset();
    upstream.wait_cancelled(1).await;
    upstream
        .wait_for("the connection close", |counts| counts.open == 0)
        .await;
}

#[tokio::test]
async fn tls_carries_raw_bytes() {
    let ca = TestCa::new();
    let upstream = UpstreamOptions::default().tls(&ca).start().await;
    let mut raw = RawClient::connect_tls(upstream.addr(), &ca, &["http/1.1"]).await;
    raw.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.response().await.text(), "ok");
}
