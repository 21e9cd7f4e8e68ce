//! Every ending of a metered answer, and what it is charged (rows A7 to A9, A13 to A15 of the failure matrix).

use serde_json::json;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame, literal};
use super::*;
use crate::rig::upstream::{Gate, Step};

/// What the upstream says of a stream before it is over.
const HELLO: [&str; 3] = ["Hel", "lo ", "you"];

/// A chunked answer, as far as it comes.
fn cut_after(body: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    Reply::raw([
        Step::send(format!("{head}{:x}\r\n{body}\r\n", body.len())),
        Step::Reset,
    ])
}

#[tokio::test]
async fn a7_a_client_that_leaves_before_the_first_byte_pays_for_what_was_sent() {
    for ask in [ask(), ask_streamed()] {
        let house = House::open("1", "").await;
        house.upstream.answer(Reply::stall());
        let client = house.gate.client();
        let sending = {
            let ask = ask.clone();
            tokio::spawn(async move { client.post_json("/v1/chat/completions", &ask).send().await })
        };
        house.upstream.wait_reached(1).await;
        sending.abort();
        house.upstream.wait_cancelled(1).await;
        assert_eq!(house.charged_of(1_000_000).await, bytes(&ask));
        assert_eq!(
            house.detail()["usage"],
            json!({ "input": bytes(&ask), "estimated": true })
        );
    }
}

#[tokio::test]
async fn a7_with_finish_the_answer_is_read_on_and_charged_exactly() {
    for (ask, reply) in [
        (
            ask(),
            Reply::json(&completion(
                &json!({ "prompt_tokens": 10, "completion_tokens": 2 }),
            )),
        ),
        (
            ask_streamed(),
            streams(&[
                chunk("Hello"),
                last_chunk(),
                usage_chunk(10, 2),
                "[DONE]".to_owned(),
            ]),
        ),
    ] {
        let house = House::open("1", "on_disconnect = \"finish\"").await;
        let gate = Gate::new();
        house.upstream.answer(reply.when(&gate));
        let client = house.gate.client();
        let sending =
            tokio::spawn(async move { client.post_json("/v1/chat/completions", &ask).send().await });
        house.upstream.wait_reached(1).await;
        sending.abort();
        house.gate.wait_metric("faregate_connections", &[], 0.0).await;
        gate.open();
        assert_eq!(house.charged_of(1_000_000).await, 18);
        assert_eq!(house.upstream.counts().cancelled, 0);
    }
}

#[tokio::test]
async fn a8_a_client_that_leaves_in_mid_stream_pays_for_what_was_passed_on() {
    for k in 0..HELLO.len() {
        let house = House::open("1", "").await;
        let sender = house.steps();
        let mut answer = house.chat(&ask_streamed()).await;
        for text in &HELLO[..=k] {
            assert!(sender.send(sse(&[chunk(text)])).await);
            answer.chunk().await.unwrap();
        }
        // In the middle of an event, of which nothing has passed.
        assert!(sender.send(format!("data: {}", &chunk("more")[..40])).await);
        drop(answer);
        house.upstream.wait_cancelled(1).await;
        let written: usize = HELLO[..=k].iter().map(|text| text.len()).sum();
        let charge = bytes(&ask_streamed()) + 4 * i64::try_from(written).unwrap();
        assert_eq!(house.charged_of(1_000_000).await, charge, "{k}");
        house.gate.wait_metric("faregate_streams_open", &[], 0.0).await;
    }
}

#[tokio::test]
async fn a8_usage_that_was_reported_before_the_client_left_is_what_it_pays() {
    let house = House::kind("1", "", "vllm").await;
    let sender = house.steps();
    let mut answer = house.chat(&ask_streamed()).await;
    for (n, text) in (1..).zip(HELLO) {
        let mut event: Value = serde_json::from_str(&chunk(text)).unwrap();
        event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": n, "total_tokens": 10 + n });
        assert!(sender.send(sse(&[event.to_string()])).await);
        // Which the client does not see.
        assert_eq!(answer.chunk().await.unwrap(), sse(&[chunk(text)]));
    }
    drop(answer);
    house.upstream.wait_cancelled(1).await;
    assert_eq!(house.charged_of(1_000_000).await, 10 + 3 * 4);
}

#[tokio::test]
async fn a_stream_that_the_gates_own_end_breaks_off_is_not_said_to_be_the_clients_doing() {
    let house = House::open("1", "").await;
    let sender = house.steps();
    let mut answer = house.chat(&ask_streamed()).await;
    assert!(sender.send(sse(&[chunk("Hello")])).await);
    answer.chunk().await.unwrap();
    house.gate.server.stop();
    assert!(answer.try_bytes().await.is_err());
    let charge = bytes(&ask_streamed()) + 4 * 5;
    assert_eq!(house.charged_of(1_000_000).await, charge);
    assert_eq!(house.detail()["cause"], "gate_stopped");
}

/// What each event uses is asked for by the gate alone.
#[tokio::test]
async fn p11_a_client_that_asked_for_usage_at_the_end_sees_it_there_alone() {
    let house = House::kind("1", "", "vllm").await;
    let mut event: Value = serde_json::from_str(&chunk("Hello")).unwrap();
    event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12 });
    for (options, seen) in [
        (json!({ "include_usage": true }), chunk("Hello")),
        (
            json!({ "include_usage": true, "continuous_usage_stats": false }),
            chunk("Hello"),
        ),
        (
            json!({ "include_usage": true, "continuous_usage_stats": true }),
            event.to_string(),
        ),
    ] {
        let last = [last_chunk(), usage_chunk(10, 2), "[DONE]".to_owned()];
        let said = [&[event.to_string()][..], &last].concat();
        house.upstream.answer_next(streams(&said));
        let mut ask = ask_streamed();
        ask["stream_options"] = options;
        let text = house.chat(&ask).await.text().await;
        assert_eq!(text, sse(&[&[seen][..], &last].concat()));
        let told: Value = house.upstream.next_request().await.json();
        assert_eq!(told["stream_options"]["continuous_usage_stats"], true);
    }
}

#[tokio::test]
async fn a8_with_finish_a_stream_is_read_to_its_end_and_charged_exactly() {
    let house = House::open("1", "on_disconnect = \"finish\"").await;
    let sender = house.steps();
    let mut answer = house.chat(&ask_streamed()).await;
    assert!(sender.send(sse(&[chunk("Hel")])).await);
    answer.chunk().await.unwrap();
    drop(answer);
    house.gate.wait_metric("faregate_connections", &[], 0.0).await;
    assert!(
        sender
            .send(sse(&[
                chunk("lo"),
                last_chunk(),
                usage_chunk(10, 2),
                "[DONE]".to_owned()
            ]))
            .await
    );
    drop(sender);
    assert_eq!(house.charged_of(1_000_000).await, 18);
    assert_eq!(house.upstream.counts().cancelled, 0);
}

/// Whoever has the last word of an answer may leave before its usage is told: that is read all the same, but not waited for without end.
#[tokio::test]
async fn a8_a_client_that_leaves_when_it_has_all_pays_what_is_reported_then() {
    let usage = || {
        let mut usage: Value = serde_json::from_str(&usage_chunk(10, 102)).unwrap();
        usage["usage"]["completion_tokens_details"] = json!({ "reasoning_tokens": 100 });
        usage.to_string()
    };
    let estimate = bytes(&ask_streamed()) + 4 * 5;
    for (told, charge) in [(Some(usage()), 10 + 4 * 2 + 3 * 100), (None, estimate)] {
        let house = House::open("1", "").await;
        let sender = house.steps();
        let mut answer = house.chat(&ask_streamed()).await;
        assert!(sender.send(sse(&[chunk("Hello"), last_chunk()])).await);
        answer.chunk().await.unwrap();
        drop(answer);
        house.gate.wait_metric("faregate_connections", &[], 0.0).await;
        if let Some(usage) = told {
            assert!(sender.send(sse(&[usage, "[DONE]".to_owned()])).await);
            drop(sender);
        } else {
            house.upstream.wait_cancelled(1).await;
        }
        assert_eq!(house.charged_of(1_000_000).await, charge);
        house.gate.wait_metric("faregate_streams_open", &[], 0.0).await;
    }
}

#[tokio::test]
async fn a13_an_upstream_that_breaks_off_is_paid_for_what_came_and_the_client_sees_it() {
    let events: Vec<String> = HELLO
        .iter()
        .map(|text| format!("data: {}\n\n", chunk(text)))
        .collect();
    let whole = events.concat();
    // After each event, and in the middle of each.
    let ends: Vec<usize> = events
        .iter()
        .scan(0, |at, event| {
            *at += event.len();
            Some(*at)
        })
        .collect();
    for cut in ends.iter().flat_map(|end| [end - 5, *end]) {
        let house = House::open("1", "").await;
        house.upstream.answer(cut_after(&whole[..cut]));
        let mut answer = house.chat(&ask_streamed()).await;
        assert!(answer.try_bytes().await.is_err(), "a clean end after {cut} bytes");
        let passed = ends.iter().filter(|end| **end <= cut).count();
        let written: usize = HELLO[..passed].iter().map(|text| text.len()).sum();
        let charge = match passed {
            // Nothing was done for the client.
            0 => 0,
            _ => bytes(&ask_streamed()) + 4 * i64::try_from(written).unwrap(),
        };
        assert_eq!(house.charged_of(1_000_000).await, charge, "{cut}");
    }
}

#[tokio::test]
async fn a13_an_answer_that_breaks_off_before_it_was_whole_costs_nothing() {
    let house = House::open("1", "").await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"usage\":";
    house.upstream.answer(Reply::raw([Step::send(head), Step::Reset]));
    let mut answer = house.chat(&ask()).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json().await["error"]["code"], "upstream_broken");
    assert_eq!(house.charged_of(1_000_000).await, 0);
}

#[tokio::test]
async fn a13_an_upstream_that_says_in_its_stream_that_it_failed_is_paid_for_what_came() {
    let error = json!({ "error": { "message": "out of memory", "type": "server_error" } }).to_string();
    for (events, written) in [(vec![], None), (vec![chunk("Hello")], Some(5))] {
        let house = House::open("1", "").await;
        let events = [&events[..], std::slice::from_ref(&error)].concat();
        house.upstream.answer(streams(&events));
        assert_eq!(house.chat(&ask_streamed()).await.text().await, sse(&events));
        let charge = written.map_or(0, |written| bytes(&ask_streamed()) + 4 * written);
        assert_eq!(house.charged_of(1_000_000).await, charge);
    }
}

#[tokio::test]
async fn a14_what_an_upstream_reports_is_believed_as_far_as_it_can_be() {
    let input = bytes(&ask());
    for (name, usage, charge) in [
        ("missing", json!(null), input + 4 * 5),
        (
            "none written",
            json!({ "prompt_tokens": 10, "completion_tokens": 0 }),
            10 + 4 * 5,
        ),
        (
            "negative",
            json!({ "prompt_tokens": 10, "completion_tokens": -3 }),
            10 + 4 * 5,
        ),
        (
            "fraction",
            json!({ "prompt_tokens": 10.5, "completion_tokens": 2 }),
            input + 8,
        ),
        (
            "text",
            json!({ "prompt_tokens": "10", "completion_tokens": "2" }),
            input + 4 * 5,
        ),
        (
            "huge",
            json!({ "prompt_tokens": 10, "completion_tokens": 1_u64 << 60 }),
            10 + 4 * 5,
        ),
        ("wrong type", json!([1, 2]), input + 4 * 5),
        // More than was held: that much was paid before, and no more is taken.
        (
            "more than the hold",
            json!({ "prompt_tokens": 10, "completion_tokens": 5_000 }),
            input + 4_000,
        ),
        (
            "cached more than read",
            json!({ "prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": { "cached_tokens": 20 } }),
            10 + 10 + 8,
        ),
    ] {
        let house = House::open("1", "").await;
        house.upstream.answer(Reply::json(&completion(&usage)));
        let answer = house.chat(&ask()).await;
        assert_eq!(
            micros(answer.header("x-credits-charged").unwrap()),
            charge,
            "{name}"
        );
        assert_eq!(house.charged_of(1_000_000).await, charge, "{name}");
    }
}

#[tokio::test]
async fn a14_of_two_reports_the_last_counts() {
    let house = House::open("1", "").await;
    let events = [
        chunk("Hello"),
        usage_chunk(10, 9),
        usage_chunk(10, 2),
        "[DONE]".to_owned(),
    ];
    house.upstream.answer(streams(&events));
    house.chat(&ask_streamed()).await.text().await;
    assert_eq!(house.charged_of(1_000_000).await, 18);
}

#[tokio::test]
async fn a14_a_stream_that_reports_nothing_is_charged_by_its_text() {
    let house = House::open("1", "").await;
    let events = [chunk("Hel"), chunk("lo"), last_chunk(), "[DONE]".to_owned()];
    house.upstream.answer(streams(&events));
    assert_eq!(house.chat(&ask_streamed()).await.text().await, sse(&events));
    assert_eq!(house.charged_of(1_000_000).await, bytes(&ask_streamed()) + 4 * 5);
    assert_eq!(house.detail()["usage"]["estimated"], true);
}

#[tokio::test]
async fn a14_an_answer_that_is_not_what_it_calls_itself_is_charged_all_the_same() {
    let answer = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 })).to_string();
    for (body, content_type, charge) in [
        (answer.clone(), "text/event-stream", 10 + 2 * 4),
        (format!("{answer}\n\n"), "text/event-stream", 10 + 2 * 4),
        (
            "Hello you".to_owned(),
            "text/event-stream",
            bytes(&ask_streamed()) + 9 * 4,
        ),
        (
            "Hello you".to_owned(),
            "text/plain",
            bytes(&ask_streamed()) + 9 * 4,
        ),
        (
            r#"[{"generated_text":"Hello"}]"#.to_owned(),
            "application/json",
            bytes(&ask_streamed()) + 28 * 4,
        ),
    ] {
        for hold in ["", "hold = \"growing\""] {
            let house = House::open("1", hold).await;
            house
                .upstream
                .answer(Reply::ok(body.clone()).header("content-type", content_type));
            assert!(house.chat(&ask_streamed()).await.text().await.contains("Hello"));
            assert_eq!(
                house.charged_of(1_000_000).await,
                charge,
                "{content_type} {hold} {body}"
            );
        }
    }
}

#[tokio::test]
async fn a15_an_upstream_that_writes_more_than_it_was_told_is_cut_off() {
    for settings in ["", "hold = \"growing\"\nslice = 2\noutput_min = 1"] {
        for (reports, passes) in [(true, 3), (false, 3 * 4 + 64)] {
            let house = House::kind("1", settings, "vllm").await;
            let sender = house.steps();
            let mut ask = ask_streamed();
            ask["max_tokens"] = json!(3);
            let mut answer = house.chat(&ask).await;
            let endless = async {
                for n in 1.. {
                    let mut event: Value = serde_json::from_str(&chunk("x")).unwrap();
                    if reports {
                        event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": n });
                    }
                    if !sender.send(sse(&[event.to_string()])).await {
                        break;
                    }
                }
            };
            let ((), text) = tokio::join!(endless, answer.text());
            assert_eq!(
                text.matches(r#""content":"x""#).count(),
                passes,
                "{settings} {reports}"
            );
            assert!(
                text.contains(r#""finish_reason":"length""#) && text.ends_with("data: [DONE]\n\n"),
                "{text}"
            );
            let read = if reports { 10 } else { bytes(&ask) };
            assert_eq!(house.charged_of(1_000_000).await, read + 3 * 4);
            house.upstream.wait_cancelled(1).await;
        }
    }
}

#[tokio::test]
async fn a_growing_hold_is_paid_for_what_is_known_at_the_end_only() {
    let growing = "hold = \"growing\"\nslice = 10\noutput_min = 1";
    // Reasoning that nobody sees; then the same without an end of the last line.
    for end in ["data: [DONE]\n\n", ""] {
        for (credits, charge) in [(1_000_000, 10 + 4 * 500), (1_000, 1_000)] {
            let house = House::open(
                &format!("{}.{:06}", credits / 1_000_000, credits % 1_000_000),
                growing,
            )
            .await;
            let text = sse(&[chunk("Hi")])
                + "data: "
                + &usage_chunk(10, 500)
                + if end.is_empty() { "" } else { "\n\n" }
                + end;
            house
                .upstream
                .answer(Reply::ok(text).header("content-type", "text/event-stream"));
            house.chat(&ask_streamed()).await.text().await;
            assert_eq!(house.charged_of(credits).await, charge, "{end:?} {credits}");
        }
    }
}

#[tokio::test]
async fn a_growing_hold_covers_a_streamed_request_that_is_answered_by_one_text() {
    for (credits, status, charge) in [(1_000_000, 200, 10 + 4 * 500), (1_000, 402, 0)] {
        let growing = "hold = \"growing\"\nslice = 10\noutput_min = 1";
        let house = House::open(
            &format!("{}.{:06}", credits / 1_000_000, credits % 1_000_000),
            growing,
        )
        .await;
        house.upstream.answer(Reply::json(&completion(
            &json!({ "prompt_tokens": 10, "completion_tokens": 500 }),
        )));
        assert_eq!(house.chat(&ask_streamed()).await.status(), status);
        assert_eq!(house.charged_of(credits).await, charge);
    }
}

#[tokio::test]
async fn a_hold_of_nothing_does_not_hang_the_gate() {
    let upstream = FakeUpstream::start().await;
    let text = config(&upstream, "hold = \"growing\"\nslice = 10\noutput_min = 1");
    let text = text
        .replace(
            "input = 1\ncached_input = 0.5\noutput = 4\n",
            "input = 0\noutput = 0\n",
        )
        .replace(
            "reasoning = 3",
            "reasoning = 0\nlong = { above = 20, input = 1, output = 1 }",
        );
    let gate = Gatehouse::start("1", &text).await;
    upstream.answer(streams(&[
        chunk("Hello"),
        usage_chunk(3_000, 2),
        "[DONE]".to_owned(),
    ]));
    let answer = gate
        .client()
        .post_json("/v1/chat/completions", &ask_streamed())
        .send();
    assert!(answer.await.text().await.ends_with("data: [DONE]\n\n"));
    assert_eq!(gate.client().get("/v1/none").send().await.status(), 404);
}

#[tokio::test]
async fn a14_text_of_which_nobody_says_what_it_was_costs_as_reasoning_where_that_is_dearer() {
    let upstream = FakeUpstream::start().await;
    let dearer = config(&upstream, "").replace("reasoning = 3", "reasoning = 6");
    let gate = Gatehouse::start("1", &dearer).await;
    let house = House { gate, upstream };
    house
        .upstream
        .answer(streams(&[chunk("Hello"), last_chunk(), "[DONE]".to_owned()]));
    house.chat(&ask_streamed()).await.text().await;
    assert_eq!(house.charged_of(1_000_000).await, bytes(&ask_streamed()) + 6 * 5);
    assert_eq!(house.detail()["usage"]["reasoning"], 5);
}

/// Long answers are read whole before they pass while there is memory for it; else they pass as they come, and cost the same.
#[tokio::test]
async fn h14_an_answer_for_which_there_is_no_room_is_passed_on_as_it_comes() {
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 2 });
    let answer = |kib: usize| {
        let mut answer = completion(&usage);
        answer["padding"] = json!("x".repeat(kib * 1024));
        answer
    };
    let upstream = FakeUpstream::start().await;
    let text =
        config(&upstream, "") + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\nbodies_max = \"1MiB\"\n";
    let gate = Gatehouse::start("1", &text).await;
    let house = House { gate, upstream };
    let (sender, reply) = Reply::stepped();
    house
        .upstream
        .answer(reply.header("content-type", "application/json"));
    let waiting = answer(900).to_string();
    let first = {
        let (client, ask) = (house.gate.client(), ask());
        tokio::spawn(async move { client.post_json("/v1/chat/completions", &ask).send().await })
    };
    assert!(sender.send(waiting[..800 * 1024].to_owned()).await);
    crate::rig::within("all of that to be read", async {
        while house.gate.server.answers_held() < 800 * 1024 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    house.upstream.answer(Reply::json(&answer(700)));
    let mut second = house.chat(&ask()).await;
    assert_eq!((second.status(), second.header("x-credits-charged")), (200, None));
    assert_eq!(second.text().await, answer(700).to_string());
    assert!(sender.send(waiting[800 * 1024..].to_owned()).await);
    drop(sender);
    let mut first = first.await.unwrap();
    assert_eq!(first.header("x-credits-charged"), Some("0.000018"));
    assert_eq!(first.text().await, waiting);
    assert_eq!(house.charged_of(1_000_000).await, 36);
}

#[tokio::test]
async fn a13_half_a_json_text_is_no_answer() {
    let whole = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 })).to_string();
    let half = &whole[..whole.find("llo").unwrap()];
    // It comes without a length, so that nothing else tells.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let house = House::open("1", "").await;
    house
        .upstream
        .answer(Reply::raw([Step::send(format!("{head}{half}"))]));
    let mut answer = house.chat(&ask()).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json().await["error"]["code"], "upstream_broken");
    assert_eq!(house.charged_of(1_000_000).await, 0);
    // Too long to be read before it passes: paid as far as it came, and seen to have broken off.
    let long = format!("{half}{}", "x".repeat(2 * 1024 * 1024));
    house
        .upstream
        .answer(Reply::raw([Step::send(format!("{head}{long}"))]));
    let mut answer = house.chat(&ask()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.try_bytes().await.is_err());
    assert_eq!(house.charged_of(1_000_000).await, bytes(&ask()) + 4 * 1_000);
}

/// A server that speaks HTTP/2 by hand: it answers the first request with these events, and then ends the stream with this frame.
async fn by_hand(events: String, end: Vec<u8>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut said = frame(SETTINGS, 0, 0, &[]);
        said.extend(frame(SETTINGS, 1, 0, &[]));
        socket.write_all(&said).await.unwrap();
        let mut read = Vec::new();
        while !read.windows(8).any(|window| window == b"messages") {
            assert!(socket.read_buf(&mut read).await.unwrap() > 0);
        }
        // :status 200.
        let mut head = vec![0x88];
        head.extend(literal("content-type", "text/event-stream"));
        let mut answer = frame(HEADERS, END_HEADERS, 1, &head);
        answer.extend(frame(DATA, 0, 1, events.as_bytes()));
        answer.extend(end);
        socket.write_all(&answer).await.unwrap();
        // Until the gate goes.
        while socket.read_buf(&mut read).await.unwrap_or(0) > 0 {}
    });
    address
}

/// An HTTP/2 stream that is reset without an error looks as if it had ended.
#[tokio::test]
async fn a13_a_stream_over_http2_that_was_reset_is_not_taken_for_whole() {
    let ended = || frame(DATA, END_STREAM, 1, &[]);
    let reset = || frame(RST_STREAM, 0, 1, &[0; 4]);
    for (events, end, breaks) in [
        (sse(&[chunk("Hello")]), reset(), true),
        (sse(&[chunk("Hello")]), ended(), false),
        // It has said that it is over, one way or another.
        (sse(&[chunk("Hello"), last_chunk()]), reset(), false),
        (sse(&[chunk("Hello"), "[DONE]".to_owned()]), reset(), false),
    ] {
        let address = by_hand(events.clone(), end).await;
        let upstream = FakeUpstream::start().await;
        let text = config(&upstream, "").replace(&upstream.addr().to_string(), &address.to_string());
        let text = text.replace("[upstreams.models]\n", "[upstreams.models]\nhttp2 = true\n");
        let gate = Gatehouse::start("1", &text).await;
        let house = House { gate, upstream };
        let mut answer = house.chat(&ask_streamed()).await;
        let read = answer.try_bytes().await;
        assert_eq!(read.is_err(), breaks, "{events}");
        assert_eq!(house.charged_of(1_000_000).await, bytes(&ask_streamed()) + 4 * 5);
    }
}

/// Who left between two answers, or two parts of one, pays for what was sent to it, and for nothing that came when it had gone.
#[tokio::test]
async fn a8_a_client_that_leaves_between_two_choices_pays_for_what_it_got() {
    let house = House::open("1", "").await;
    let sender = house.steps();
    let mut ask = ask_streamed();
    ask["n"] = json!(2);
    let mut answer = house.chat(&ask).await;
    assert!(sender.send(sse(&[chunk("Hello"), last_chunk()])).await);
    answer.chunk().await.unwrap();
    drop(answer);
    house.upstream.wait_cancelled(1).await;
    assert_eq!(house.charged_of(1_000_000).await, bytes(&ask) + 4 * 5);

    let events = [
        r#"{"type":"message_start","message":{"id":"m1","model":"small","usage":{"input_tokens":10,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
    ];
    let house = House::open("1", "").await;
    let sender = house.steps();
    let ask = json!({ "model": "small", "max_tokens": 100, "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let client = house.gate.client();
    let mut answer = client.post_json("/v1/messages", &ask).send().await;
    assert!(sender.send(sse(&events.map(str::to_owned))).await);
    answer.chunk().await.unwrap();
    drop(answer);
    house.gate.wait_metric("faregate_connections", &[], 0.0).await;
    let more = r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"and so on"}}"#;
    assert!(sender.send(sse(&[more.to_owned()])).await);
    house.upstream.wait_cancelled(1).await;
    assert_eq!(house.charged_of(1_000_000).await, 10 + 4 * 5);
    assert_eq!(house.detail()["cause"], "client_gone");
}

#[tokio::test]
async fn a8_a_long_text_is_paid_as_far_as_it_was_passed_on() {
    let begin = completion(&json!({})).to_string();
    let begin = begin[..begin.find("llo").unwrap()].to_owned();
    let megabyte = "x".repeat(1024 * 1024);
    for (settings, credits) in [
        ("", 1_000_000),
        ("hold = \"growing\"\nslice = 10\noutput_min = 1", 1_000),
    ] {
        let house = House::open(
            &format!("{}.{:06}", credits / 1_000_000, credits % 1_000_000),
            settings,
        )
        .await;
        let (sender, reply) = Reply::stepped();
        house
            .upstream
            .answer(reply.header("content-type", "application/json"));
        let gate = house.gate.client();
        let asked = ask_streamed();
        let sending =
            tokio::spawn(async move { gate.post_json("/v1/chat/completions", &asked).send().await });
        house.upstream.wait_reached(1).await;
        assert!(sender.send(begin.clone()).await);
        for _ in 0..3 {
            if !sender.send(megabyte.clone()).await {
                break;
            }
        }
        let mut answer = sending.await.unwrap();
        if credits == 1_000 {
            // Less than its beginning costs.
            assert!(answer.try_bytes().await.is_err());
            assert!(house.charged_of(credits).await <= credits);
        } else {
            answer.chunk().await.unwrap();
            drop(answer);
            house.upstream.wait_cancelled(1).await;
            let most = bytes(&ask_streamed()) + 4 * 1_000;
            assert_eq!(house.charged_of(credits).await, most);
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_is_passed_on_and_charged() {
    let house = House::open("10", "").await;
    let body = completion(&json!({ "prompt_tokens": 10, "completion_tokens": 2 })).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    // It closes with most of the request unread, which resets the connection.
    house.upstream.answer(Reply::raw([Step::send(answer)]).early());
    let mut ask = ask();
    ask["messages"][0]["content"] = json!("x".repeat(6_000_000));
    for n in 1..=8 {
        let mut answer = house.chat(&ask).await;
        assert_eq!((answer.status(), answer.text().await), (200, body.clone()), "{n}");
        assert_eq!(house.charged_of(10_000_000).await, n * 18);
    }
}
