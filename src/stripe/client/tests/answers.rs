//! Answers that are none, or too much.

use super::*;
use crate::stripe::client::send::ANSWER_MAX;

async fn one(step: Step) -> (ApiError, usize) {
    let server = Server::start(vec![step]).await;
    let mut options = options(server.port);
    options.tries = 1;
    let error = Client::new(options).unwrap().call(&payment()).await.unwrap_err();
    (error, server.seen().len())
}

#[tokio::test]
async fn an_answer_that_is_no_json_leaves_it_unknown() {
    for body in ["", "{", "<html>", "{}{}", "\u{feff}{}"] {
        let server = Server::start(vec![Step::json(200, body).header("Request-Id: req_1")]).await;
        let error = client(&server).call(&payment()).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        assert!(
            error.to_string().contains("no JSON") && error.to_string().ends_with("(req_1)"),
            "{error}"
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let told = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n", ANSWER_MAX + 1);
    let chunked = "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
    for bytes in [
        format!("{told}{}", " ".repeat(ANSWER_MAX + 1)),
        // It never says that it ends.
        format!("{chunked}{}", chunk.repeat(5)),
    ] {
        let (error, seen) = one(Step::Bytes(bytes.into_bytes(), 0)).await;
        assert_eq!(
            error.to_string(),
            "not known whether it was done: an answer longer than 4194304 bytes"
        );
        assert_eq!(seen, 1);
    }
    let fits = format!("\"{}\"", " ".repeat(ANSWER_MAX - 2));
    let server = Server::start(vec![Step::json(200, &fits)]).await;
    assert!(client(&server).call(&read()).await.is_ok());
}

#[tokio::test]
async fn a_head_that_is_too_long_or_none_leaves_it_unknown() {
    let long = format!("HTTP/1.1 200 x\r\nA: {}\r\n\r\n", "a".repeat(100_000));
    for bytes in [
        long.as_bytes(),
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ] {
        let (error, _) = one(Step::BytesThenCut(bytes.to_vec())).await;
        assert!(error.is_unknown(), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let half = Step::BytesThenCut(b"HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\n{\"id\"".to_vec());
    let server = Server::start(vec![half.clone(), Step::json(200, r#"{"id":"pi_1"}"#)]).await;
    assert_eq!(client(&server).call(&payment()).await.unwrap().body["id"], "pi_1");
    assert_eq!(server.seen().len(), 2);
    let (error, _) = one(half).await;
    assert!(error.to_string().contains("broke off"), "{error}");
}

#[tokio::test]
async fn an_error_that_is_not_stripes_says_nothing_about_the_call() {
    // Something on the way: that nothing was done is not for it to say.
    for (status, body) in [
        (400, "<html>"),
        (403, "{}"),
        (404, "\"x\""),
        (402, r#"{"error":"denied"}"#),
        (407, ""),
        (408, "{}"),
    ] {
        let (error, _) = one(Step::json(status, body)).await;
        assert!(error.is_unknown(), "{status}: {error}");
        assert!(
            error
                .to_string()
                .contains(&format!("{status}: no answer of Stripe's")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_told_about_a_limit_or_a_replay_is_in_the_log() {
    let limited = Step::json(429, &error("invalid_request_error", "too many"))
        .header("Stripe-Rate-Limited-Reason: endpoint-rate");
    assert!(
        one(limited)
            .await
            .0
            .to_string()
            .ends_with("429, limited by endpoint-rate: too many")
    );
    let replayed = Step::json(500, &error("api_error", "sorry")).header("Idempotent-Replayed: true");
    let said = one(replayed).await.0.to_string();
    assert!(
        said.ends_with("500: the first answer to this call, given again: sorry"),
        "{said}"
    );
}
