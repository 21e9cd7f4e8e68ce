//! Holds that grow, and what happens at zero.

use std::sync::Arc;

use faregate::domain::command::AccountChange;
use faregate::domain::limits::Limits;
use faregate::ledger::Ledger;
use faregate::service::accounts::{self, Actor};
use serde_json::json;

use super::*;
use crate::rig::upstream::Gate;

const GROWING: &str = "hold = \"growing\"\nslice = 10\noutput_min = 1";

/// Events of one byte each, without an end.
fn endless() -> Reply {
    let events: Vec<String> = (0..5_000).map(|_| chunk("x")).collect();
    streams(&events)
}

#[tokio::test]
async fn a15_a_stream_ends_well_formed_at_zero_and_the_upstream_is_stopped() {
    let mut ask = ask_streamed();
    ask["max_tokens"] = json!(900);
    let input = bytes(&ask);
    // Enough for 100 of the 900 tokens.
    let house = House::open(&format!("0.{:06}", input + 400), GROWING).await;
    let sender = house.steps();
    let mut answer = house.chat(&ask).await;
    let write = async { while sender.send(sse(&[chunk("x")])).await {} };
    let ((), text) = tokio::join!(write, answer.text());
    assert_eq!(text.matches(r#""content":"x""#).count(), 100);
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    let last: Value = serde_json::from_str(events[100].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(last["faregate"]["code"], "insufficient_credits");
    assert_eq!(last["id"], "c1");
    assert_eq!(events.last(), Some(&"data: [DONE]"));
    house.upstream.wait_cancelled(1).await;
    assert_eq!(house.gate.settled().await, "0.000000");
    assert_eq!(house.upstream.next_request().await.json()["max_tokens"], 900);
    house
        .gate
        .wait_metric("faregate_requests_total", &[("outcome", "cut_off")], 1.0)
        .await;
}

#[tokio::test]
async fn a_growing_hold_begins_small_grows_with_the_answer_and_gives_back_what_is_left() {
    let house = House::kind("1", GROWING, "vllm").await;
    let said = 300_u64;
    let mut events: Vec<String> = (1..=said)
        .map(|n| {
            let mut event: Value = serde_json::from_str(&chunk("word ")).unwrap();
            event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": n, "total_tokens": 10 + n });
            event.to_string()
        })
        .collect();
    events.push("[DONE]".to_owned());
    house.upstream.answer(streams(&events));
    let mut answer = house.chat(&ask_streamed()).await;
    let first = bytes(&ask_streamed()) + 40;
    assert_eq!(micros(answer.header("x-credits-held").unwrap()), first);
    assert!(answer.text().await.ends_with("data: [DONE]\n\n"));
    assert_eq!(house.charged_of(1_000_000).await, 10 + 4 * 300);
    // Twice as much each time.
    let extensions = house
        .gate
        .ledger
        .entries()
        .iter()
        .filter(|entry| entry.kind == faregate::domain::entry::EntryKind::Extend)
        .count();
    assert!((4..=9).contains(&extensions), "{extensions}");
}

#[tokio::test]
async fn a_growing_hold_covers_what_is_told_at_the_end_and_has_left_no_text() {
    for (credits, charge) in [("1", 10 + 3 * 700 + 4 * 2), ("0.000500", 500)] {
        let house = House::open(credits, GROWING).await;
        let usage = json!({
            "prompt_tokens": 10, "completion_tokens": 702, "total_tokens": 712,
            "completion_tokens_details": { "reasoning_tokens": 700 },
        });
        let mut last: Value = serde_json::from_str(&usage_chunk(10, 702)).unwrap();
        last["usage"] = usage;
        let events = [
            chunk("Hello"),
            last_chunk(),
            last.to_string(),
            "[DONE]".to_owned(),
        ];
        house.upstream.answer(streams(&events));
        let text = house.chat(&ask_streamed()).await.text().await;
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(house.charged_of(micros(credits)).await, charge);
    }
}

#[tokio::test]
async fn a14_a_growing_hold_does_not_grow_for_a_report_beyond_what_was_asked_for() {
    let house = House::open("1", GROWING).await;
    let events = [chunk("Hello"), usage_chunk(10, 90_000), "[DONE]".to_owned()];
    house.upstream.answer(streams(&events));
    house.chat(&ask_streamed()).await.text().await;
    // As much as a full hold.
    let charged = bytes(&ask_streamed()) + 4 * 1000;
    assert_eq!(house.charged_of(1_000_000).await, charged);
    let unpaid = (10 + 4 * 90_000 - charged) as f64 / 1e6;
    assert_eq!(house.gate.metric("faregate_credits_unpaid_total", &[]), unpaid);
}

#[tokio::test]
async fn what_the_credits_do_not_cover_does_not_pass_at_the_end_either() {
    let input = bytes(&ask_streamed());
    let credits = input + 4 * 100;
    let house = House::open(&format!("0.{credits:06}"), GROWING).await;
    // One event, and no line's end behind it.
    let (begins, rest) = (
        sse(&[chunk("Hello")]),
        format!("data: {}", chunk(&"x".repeat(50_000))),
    );
    house
        .upstream
        .answer(Reply::ok(format!("{begins}{rest}")).header("content-type", "text/event-stream"));
    let text = house.chat(&ask_streamed()).await.text().await;
    assert!(text.starts_with(&begins) && !text.contains("xxx"), "{text}");
    assert!(
        text.contains(r#""finish_reason":"length""#) && text.ends_with("data: [DONE]\n\n"),
        "{text}"
    );
    let left = credits - input - 4 * 5;
    assert!(text.contains(&format!(r#""available":"0.{left:06}""#)), "{text}");
    assert_eq!(house.charged_of(credits).await, input + 4 * 5);
}

#[tokio::test]
async fn an_unstreamed_request_is_held_for_whole() {
    let house = House::open("1", GROWING).await;
    house.upstream.answer(Reply::json(&completion(
        &json!({ "prompt_tokens": 10, "completion_tokens": 900 }),
    )));
    assert_eq!(
        house.chat(&ask()).await.header("x-credits-charged"),
        Some("0.003610")
    );
    assert_eq!(house.charged_of(1_000_000).await, 3_610);
}

#[tokio::test]
async fn the_last_event_says_where_to_buy_only_where_buying_helps() {
    for (credits, paused, asked, code) in [
        ("0.000200", false, 900, "insufficient_credits"),
        ("1", true, 900, "account_paused"),
        ("1", false, 3, "output_limit"),
    ] {
        let upstream = FakeUpstream::start().await;
        let server = "[server]\nlisten = \"127.0.0.1:0\"\ntop_up_url = \"https://example.com/buy\"\n";
        let gate = Gatehouse::start(credits, &(config(&upstream, GROWING) + server)).await;
        let house = House { gate, upstream };
        let sender = house.steps();
        let mut ask = ask_streamed();
        ask["max_tokens"] = json!(asked);
        let mut answer = house.chat(&ask).await;
        if paused {
            change(&house, AccountChange::Pause("manual".parse().unwrap())).await;
        }
        let write = async { while sender.send(sse(&[chunk("x")])).await {} };
        let ((), text) = tokio::join!(write, answer.text());
        let last = text.trim_end().rsplit("\n\n").nth(1).unwrap();
        let last: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        let url = (code == "insufficient_credits").then_some("https://example.com/buy");
        assert_eq!(last["faregate"]["code"], code);
        assert_eq!(last["faregate"]["top_up_url"].as_str(), url);
        house.gate.settled().await;
    }
}

/// A streamed request under a growing hold that is answered by one JSON text, before which something happens to the ledger.
async fn answered_after(happens: impl AsyncFnOnce(&House)) -> (House, Answer) {
    let house = House::open("1", GROWING).await;
    let gate = Gate::new();
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 500 });
    house
        .upstream
        .answer(Reply::json(&completion(&usage)).when(&gate));
    let answer = {
        let body = ask_streamed();
        let upstream_has_it = async {
            house.upstream.wait_reached(1).await;
            happens(&house).await;
            gate.open();
        };
        tokio::join!(house.chat(&body), upstream_has_it).0
    };
    (house, answer)
}

async fn change(house: &House, change: AccountChange) {
    let ledger: Arc<dyn Ledger> = Arc::clone(&house.gate.ledger) as Arc<dyn Ledger>;
    let by = Actor::system("test");
    accounts::set(&ledger, &house.gate.account, change, &by)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_kept_back_is_refused_for_the_reason_that_the_ledger_gave() {
    let pause = AccountChange::Pause("manual".parse().unwrap());
    let cap = AccountChange::Limits(Limits {
        spend_per_day: Some("0.0001".parse().unwrap()),
        ..Limits::NONE
    });
    for (limit, status, code) in [(pause, 403, "account_paused"), (cap, 402, "spend_limit_reached")] {
        let (house, mut answer) = answered_after(async |house: &House| change(house, limit).await).await;
        assert_eq!(answer.status(), status);
        let error = answer.json().await["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error.get("shortfall"), None, "{error}");
        assert_eq!(house.charged_of(1_000_000).await, 0);
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_back_while_the_ledger_is_silent_is_one_to_ask_for_again() {
    let (house, mut answer) = answered_after(async |house: &House| house.gate.ledger.fail(true)).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(answer.json().await["error"]["code"], "ledger_unavailable");
    house.gate.ledger.fail(false);
    assert_eq!(house.charged_of(1_000_000).await, 0);
}

#[tokio::test]
async fn many_streams_at_once_end_at_exactly_zero() {
    let ask = ask_streamed();
    let input = bytes(&ask);
    // Input and one slice for each of the streams, and half of that again for them to grow by.
    let streams = 100;
    let credits = streams * (input + 40) * 3 / 2;
    let house = House::open(&format!("0.{credits:06}"), GROWING).await;
    house.upstream.answer(endless());
    let all: Vec<_> = (0..streams)
        .map(|_| {
            let client = house.gate.client();
            let ask = ask.clone();
            tokio::spawn(async move {
                let mut answer = client.post_json("/v1/chat/completions", &ask).send().await;
                (answer.status(), answer.text().await)
            })
        })
        .collect();
    let mut passed = 0;
    let mut served = 0;
    for one in all {
        let (status, text) = one.await.unwrap();
        if status == 200 {
            served += 1;
            passed += i64::try_from(text.matches(r#""content":"x""#).count()).unwrap();
            assert!(text.ends_with("data: [DONE]\n\n"));
        }
    }
    let left = micros(&house.gate.settled().await);
    // What was passed on was paid, and what was paid was passed on: all that is left is less than a request or a token costs.
    assert_eq!(credits - left, served * input + passed * 4);
    assert!((0..4).contains(&left), "{left}");
}

#[tokio::test]
async fn a_growing_hold_takes_few_trips_to_the_ledger() {
    for (tokens, most) in [(1_000_u64, 5), (4_000, 8)] {
        let upstream = FakeUpstream::start().await;
        let text = config(&upstream, "hold = \"growing\"")
            .replace("output_tokens_max = 1000", "output_tokens_max = 8000");
        let text = text.replace("[upstreams.models]\n", "[upstreams.models]\nkind = \"vllm\"\n");
        let house = Gatehouse::start("1", &text).await;
        let mut events: Vec<String> = (1..=tokens)
            .map(|n| {
                let mut event: Value = serde_json::from_str(&chunk("word ")).unwrap();
                event["usage"] = json!({ "prompt_tokens": 10, "completion_tokens": n });
                event.to_string()
            })
            .collect();
        events.push("[DONE]".to_owned());
        upstream.answer(streams(&events));
        let mut answer = house
            .client()
            .post_json("/v1/chat/completions", &ask_streamed())
            .send()
            .await;
        assert!(answer.text().await.ends_with("data: [DONE]\n\n"));
        house.settled().await;
        // The grant is one more entry; each other is a trip.
        let entries = house.ledger.entries();
        let trips = entries.iter().filter(|entry| {
            use faregate::domain::entry::EntryKind::{Capture, Extend, Hold};
            matches!(entry.kind, Hold | Extend | Capture)
        });
        let trips = trips.count();
        assert!((3..=most).contains(&trips), "{trips} for {tokens}");
    }
}
