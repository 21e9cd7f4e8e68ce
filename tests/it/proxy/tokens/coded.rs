//! Answers that come compressed although none was asked for (H16): read from a copy, passed on as they are.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::*;

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn h16_a_compressed_answer_is_charged_by_what_is_in_it_and_passes_as_it_is() {
    let whole = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 })).to_string();
    let events = [
        chunk("Hello"),
        last_chunk(),
        usage_chunk(10, 2),
        "[DONE]".to_owned(),
    ];
    for (ask, content_type, body) in [
        (ask(), "application/json", whole),
        (ask_streamed(), "text/event-stream", sse(&events)),
    ] {
        let house = House::open("1", "").await;
        let sent = gzip(&body);
        let reply = Reply::ok(sent.clone()).header("content-type", content_type);
        house.upstream.answer(reply.header("content-encoding", "gzip"));
        let mut answer = house.chat(&ask).await;
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert_eq!(answer.bytes().await, sent);
        assert_eq!(house.charged_of(1_000_000).await, 18);
    }
}

#[tokio::test]
async fn h16_an_answer_that_nobody_here_can_read_costs_all_that_is_held() {
    for (coding, body) in [
        ("compress", b"\x1f\x9d\x90".to_vec()),
        ("gzip, br", b"whatever".to_vec()),
        ("gzip", b"no gzip at all".to_vec()),
    ] {
        let house = House::open("1", "").await;
        let reply = Reply::ok(body.clone()).header("content-type", "application/json");
        house.upstream.answer(reply.header("content-encoding", coding));
        let mut answer = house.chat(&ask()).await;
        let held = bytes(&ask()) + 4_000;
        assert_eq!(
            micros(answer.header("x-credits-charged").unwrap()),
            held,
            "{coding}"
        );
        assert_eq!(answer.bytes().await, body);
        assert_eq!(house.charged_of(1_000_000).await, held);
    }
}

#[tokio::test]
async fn a13_half_a_compressed_text_is_no_answer() {
    let whole = gzip(&completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 })).to_string());
    let house = House::open("1", "").await;
    let reply = Reply::ok(whole[..whole.len() / 2].to_vec()).header("content-type", "application/json");
    house.upstream.answer(reply.header("content-encoding", "gzip"));
    assert_eq!(house.chat(&ask()).await.status(), 502);
    assert_eq!(house.charged_of(1_000_000).await, 0);
}

#[tokio::test]
async fn h16_a_hold_that_was_to_grow_covers_all_that_one_such_text_may_cost() {
    let most = bytes(&ask_streamed()) + 4_000;
    for (had, status, charge) in [(1_000_000, 200, most), (most - 1, 402, 0)] {
        let credits = format!("{}.{:06}", had / 1_000_000, had % 1_000_000);
        let house = House::open(&credits, "hold = \"growing\"\nslice = 10\noutput_min = 1").await;
        let reply = Reply::ok("whatever").header("content-type", "application/json");
        house
            .upstream
            .answer(reply.header("content-encoding", "compress"));
        assert_eq!(house.chat(&ask_streamed()).await.status(), status);
        assert_eq!(house.charged_of(had).await, charge);
    }
}

#[tokio::test]
async fn h16_a_hold_does_not_grow_for_what_nobody_here_can_read() {
    let house = House::open("1", "hold = \"growing\"\nslice = 10\noutput_min = 1").await;
    let reply = Reply::ok("whatever").header("content-type", "text/event-stream");
    house
        .upstream
        .answer(reply.header("content-encoding", "compress"));
    let mut answer = house.chat(&ask_streamed()).await;
    assert!(answer.try_bytes().await.is_err());
    assert_eq!(house.charged_of(1_000_000).await, bytes(&ask_streamed()) + 40);
}
