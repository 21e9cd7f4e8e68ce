//! What nobody has reported is counted by the model's tokenizer, where it has one: by exact amounts.

use serde_json::json;

use super::*;
use crate::rig::upstream::Step;

/// What the upstream says, and how many tokens of `o200k_base` it is in all, up to here.
const FOX: [(&str, i64); 4] = [
    ("The quick", 2),
    (" brown fox", 4),
    (" jumps over", 6),
    (" the lazy dog.", 10),
];
/// Tokens at the end of a part that leave no text of their own: one that ends it, one that is cut.
const SEAM: i64 = 2;

impl House {
    /// With a tokenizer for its model.
    async fn tokenized(credits: &str, settings: &str, kind: &str) -> House {
        let upstream = FakeUpstream::start().await;
        let text = config(&upstream, settings)
            .replace("aliases = [\"mini\"]", "tokenizer = \"o200k_base\"")
            .replace(
                "[upstreams.models]\n",
                &format!("[upstreams.models]\nkind = \"{kind}\"\n"),
            );
        let gate = Gatehouse::start(credits, &text).await;
        House { gate, upstream }
    }

    /// What the request of an answer is held for, apart from the 1,000 tokens that it may write.
    fn input(answer: &Answer) -> i64 {
        micros(answer.header("x-credits-held").unwrap()) - 4_000
    }
}

#[tokio::test]
async fn a8_a_client_that_leaves_pays_for_the_tokens_that_were_passed_on() {
    for k in 0..FOX.len() {
        let house = House::tokenized("1", "", "generic").await;
        let sender = house.steps();
        let mut answer = house.chat(&ask_streamed()).await;
        let input = House::input(&answer);
        for (text, _) in &FOX[..=k] {
            assert!(sender.send(sse(&[chunk(text)])).await);
            answer.chunk().await.unwrap();
        }
        drop(answer);
        house.upstream.wait_cancelled(1).await;
        assert_eq!(house.charged_of(1_000_000).await, input + 4 * (FOX[k].1 + SEAM));
        let usage = json!({ "input": input, "output": FOX[k].1 + SEAM, "estimated": true });
        assert_eq!(house.detail()["usage"], usage, "{k}");
        house
            .gate
            .wait_metric("faregate_requests_total", &[("outcome", "client_gone")], 1.0)
            .await;
    }
}

#[tokio::test]
async fn a13_an_upstream_that_breaks_off_is_paid_for_the_tokens_that_came() {
    for k in 0..=FOX.len() {
        let house = House::tokenized("1", "", "generic").await;
        let events: Vec<String> = FOX[..k].iter().map(|(text, _)| chunk(text)).collect();
        let (head, body) = (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            sse(&events) + ": and\n\n",
        );
        house.upstream.answer(Reply::raw([
            Step::send(format!("{head}{:x}\r\n{body}\r\n", body.len())),
            Step::Reset,
        ]));
        let mut answer = house.chat(&ask_streamed()).await;
        let input = House::input(&answer);
        assert!(answer.try_bytes().await.is_err());
        let charge = match k {
            0 => 0,
            _ => input + 4 * (FOX[k - 1].1 + SEAM),
        };
        assert_eq!(house.charged_of(1_000_000).await, charge, "{k}");
    }
}

#[tokio::test]
async fn an_upstream_that_never_reports_is_paid_for_the_tokens_that_it_wrote() {
    let house = House::tokenized("1", "", "plain").await;
    let mut events: Vec<String> = FOX.iter().map(|(text, _)| chunk(text)).collect();
    events.extend([last_chunk(), "[DONE]".to_owned()]);
    house.upstream.answer(streams(&events));
    let request = house
        .gate
        .client()
        .post_json("/v1/chat/completions", &ask_streamed())
        .header("te", "trailers");
    let mut answer = request.send().await;
    let charge = House::input(&answer) + 4 * (10 + SEAM);
    assert_eq!(answer.text().await, sse(&events));
    assert_eq!(house.charged_of(1_000_000).await, charge);
    let said = answer
        .trailers()
        .and_then(|trailers| trailers.get("x-credits-charged"));
    assert_eq!(said.map(|said| micros(said.to_str().unwrap())), Some(charge));

    // Not streamed: its head says it.
    let whole: String = FOX.iter().map(|(text, _)| *text).collect();
    let mut reply = completion(&json!(null));
    reply["choices"][0]["message"]["content"] = json!(whole);
    house.upstream.answer(Reply::json(&reply));
    let answer = house.chat(&ask()).await;
    let before = 1_000_000 - charge;
    // The body says nothing of streams, all of whose bytes count.
    let charge = charge - (bytes(&ask_streamed()) - bytes(&ask()));
    assert_eq!(micros(answer.header("x-credits-charged").unwrap()), charge);
    assert_eq!(house.charged_of(before).await, charge);
}

#[tokio::test]
async fn what_follows_a_report_is_counted_by_itself() {
    let house = House::tokenized("1", "", "vllm").await;
    let sender = house.steps();
    let mut answer = house.chat(&ask_streamed()).await;
    let mut reported: Value = serde_json::from_str(&chunk(FOX[0].0)).unwrap();
    reported["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13 });
    assert!(sender.send(sse(&[reported.to_string()])).await);
    answer.chunk().await.unwrap();
    for (text, _) in &FOX[1..3] {
        assert!(sender.send(sse(&[chunk(text)])).await);
        answer.chunk().await.unwrap();
    }
    drop(answer);
    house.upstream.wait_cancelled(1).await;
    let charge = 10 + 4 * (3 + FOX[2].1 - FOX[0].1 + SEAM);
    assert_eq!(house.charged_of(1_000_000).await, charge);
}

#[tokio::test]
async fn tokens_are_no_fewer_than_the_events_that_brought_them() {
    let house = House::tokenized("1", "", "plain").await;
    let letters: Vec<String> = "The quick brown fox"
        .chars()
        .map(|letter| chunk(&letter.to_string()))
        .collect();
    let events = [&letters[..], &[chunk(" jumps over"), "[DONE]".to_owned()]].concat();
    house.upstream.answer(streams(&events));
    let mut answer = house.chat(&ask_streamed()).await;
    let input = House::input(&answer);
    answer.text().await;
    assert_eq!(house.charged_of(1_000_000).await, input + 4 * (19 + 1));
}

#[tokio::test]
async fn each_answer_and_what_it_thinks_are_counted_for_themselves() {
    let house = House::tokenized("1", "", "plain").await;
    let said = |index: u64, name: &str, text: &str| {
        let choice = json!({ "index": index, "delta": { name: text }, "finish_reason": null });
        json!({ "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "small", "choices": [choice] }).to_string()
    };
    let events = [
        said(0, "reasoning_content", "The quick"),
        said(1, "content", "The quick"),
        said(0, "reasoning_content", " brown fox"),
        said(0, "content", " jumps over"),
        said(1, "content", " brown fox"),
        "[DONE]".to_owned(),
    ];
    house.upstream.answer(streams(&events));
    let mut ask = ask_streamed();
    ask["n"] = json!(2);
    let mut answer = house.chat(&ask).await;
    let input = House::input(&answer) - 4_000;
    answer.text().await;
    let written = (4 + SEAM) + (2 + SEAM) + (4 + SEAM);
    assert_eq!(house.charged_of(1_000_000).await, input + 4 * written);
}

#[tokio::test]
async fn h16_compressed_words_are_counted_too() {
    let house = House::tokenized("1", "", "plain").await;
    let mut events: Vec<String> = FOX.iter().map(|(text, _)| chunk(text)).collect();
    events.push("[DONE]".to_owned());
    let reply = Reply::ok(super::coded::gzip(&sse(&events))).header("content-type", "text/event-stream");
    house.upstream.answer(reply.header("content-encoding", "gzip"));
    let mut answer = house.chat(&ask_streamed()).await;
    let input = House::input(&answer);
    answer.bytes().await;
    assert_eq!(house.charged_of(1_000_000).await, input + 4 * (10 + SEAM));
}

#[tokio::test]
async fn a15_a_hold_that_runs_out_is_charged_by_bytes_as_the_client_was_told() {
    let mut ask = ask_streamed();
    ask["max_tokens"] = json!(900);
    let settings = "hold = \"growing\"\nslice = 10\noutput_min = 1";
    let rich = House::tokenized("1", settings, "generic").await;
    rich.upstream.answer(streams(&[chunk("x")]));
    let held = micros(rich.chat(&ask).await.header("x-credits-held").unwrap());
    let input = held - 40;
    // Enough for 100 bytes.
    let house = House::tokenized(&format!("0.{:06}", input + 400), settings, "generic").await;
    let sender = house.steps();
    let mut answer = house.chat(&ask).await;
    let write = async { while sender.send(sse(&[chunk(" fox")])).await {} };
    let ((), text) = tokio::join!(write, answer.text());
    assert_eq!(text.matches(" fox").count(), 25);
    assert!(
        text.contains(&format!("\"charged\":\"0.{:06}\"", input + 400)),
        "{text}"
    );
    assert_eq!(house.gate.settled().await, "0.000000");
}

#[tokio::test]
async fn a_hold_that_grew_by_bytes_gives_back_what_is_no_token() {
    let settings = "hold = \"growing\"\nslice = 10\noutput_min = 1";
    let house = House::tokenized("1", settings, "plain").await;
    let mut events: Vec<String> = (0..100).map(|_| chunk(" fox jumps")).collect();
    events.push("[DONE]".to_owned());
    house.upstream.answer(streams(&events));
    let mut answer = house.chat(&ask_streamed()).await;
    let input = micros(answer.header("x-credits-held").unwrap()) - 40;
    answer.text().await;
    assert_eq!(house.charged_of(1_000_000).await, input + 4 * (200 + SEAM));
}

#[tokio::test]
async fn many_who_leave_at_once_each_pay_for_their_tokens() {
    let house = House::tokenized("1", "", "generic").await;
    let many = 100;
    let text: String = FOX.iter().map(|(text, _)| *text).collect();
    let (mut waiting, mut senders) = (Vec::new(), Vec::new());
    let mut input = 0;
    for _ in 0..many {
        let sender = house.steps();
        let mut answer = house.chat(&ask_streamed()).await;
        assert!(sender.send(sse(&[chunk(&text)])).await);
        answer.chunk().await.unwrap();
        input = House::input(&answer);
        waiting.push(answer);
        senders.push(sender);
    }
    drop(waiting);
    house.upstream.wait_cancelled(many).await;
    drop(senders);
    let each = input + 4 * (10 + SEAM);
    assert_eq!(
        house.charged_of(1_000_000).await,
        each * i64::try_from(many).unwrap()
    );
}
