//! Requests priced by tokens, through the built binary: at zero, when it is killed, and by what it reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::redis;
use super::shop::{EMBEDDED, Shop};
use crate::rig::client::HttpConn;
use crate::rig::process::Faregate;
use crate::rig::upstream::Reply;
use crate::rig::within_time;

/// A token costs a micro-credit.
const ROUTES: &str = r#"
[models."small"]
input = 1
output = 1
output_tokens_max = 100000
request_tokens = 0

[[routes]]
match = "POST /v1/chat/completions"
upstream = "models"
api = "openai-chat"
cost = "tokens"
hold = "growing"
slice = 8
output_min = 1

[[routes]]
match = "POST /v1/whole"
upstream = "models"
api = "openai-chat"
cost = "tokens"
"#;

/// Streams of the attack, all open at once.
const STREAMS: u64 = 1_000;

/// Between two tokens of a stream.
const PACE: Duration = Duration::from_millis(20);

/// How long a stream may have to wait until it is looked at, with all the others beside it.
const BUSY: Duration = Duration::from_secs(2);

/// Streams that one HTTP/2 connection carries.
const PER_CONNECTION: u64 = 100;

fn ask() -> Value {
    json!({ "model": "small", "stream": true, "messages": [{ "role": "user", "content": "Hi" }] })
}

fn input() -> u64 {
    ask().to_string().len() as u64
}

/// A token of one byte.
fn chunk() -> String {
    json!({ "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "small",
        "choices": [{ "index": 0, "delta": { "content": "x" }, "finish_reason": null }] })
    .to_string()
}

/// How many of a stream's tokens a client has got, and that its end was one.
fn tokens(text: &str) -> u64 {
    assert!(
        text.contains(r#""finish_reason":"length""#) && text.ends_with("data: [DONE]\n\n"),
        "no end: {}",
        &text[text.len().saturating_sub(300)..]
    );
    text.matches(r#""content":"x""#).count() as u64
}

/// Longer than this nobody waits for the ledger here.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(10);

/// The bound of the fullest bucket in which the ledger answered for more credits.
async fn longest_extension(proxy: &Faregate) -> Duration {
    let text = proxy.admin_client().get("/metrics").send().await.text().await;
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| {
            let line =
                line.strip_prefix("faregate_ledger_operation_seconds_bucket{operation=\"extend\",le=\"")?;
            let (bound, count) = line.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.parse().ok()?))
        })
        .collect();
    let all = buckets.last().unwrap().1;
    let (bound, _) = buckets.iter().find(|(_, count)| *count == all).unwrap();
    assert!(all > 0.0, "{text}");
    LEDGER_TIMEOUT.min(Duration::try_from_secs_f64(*bound).unwrap_or(Duration::MAX))
}

/// The attack that growing holds are for: a thousand streams of one customer at once, each of which could go on until its model stops.
async fn attack(shop: &Shop, proxies: &[&Faregate]) {
    // What all of them have to send, and 75 tokens for each.
    let credits = STREAMS * (input() + 75);
    let key = shop.customer("acme", &format!("0.{credits:06}")).await;
    let written = Arc::new(AtomicU64::new(0));
    let endless = Reply::events_counted(std::iter::repeat_n(chunk(), 2_000), PACE, Arc::clone(&written));
    shop.upstream.answer(endless);
    let mut streams = tokio::task::JoinSet::new();
    for n in 0..STREAMS / PER_CONNECTION {
        let proxy = proxies[n as usize % proxies.len()];
        let conn: HttpConn = proxy.client().http2().bearer(&key).connect().await;
        for _ in 0..PER_CONNECTION {
            let conn = conn.clone();
            streams.spawn(async move {
                let request = conn.post("/v1/chat/completions", ask().to_string());
                let mut answer = request.header("content-type", "application/json").send().await;
                match answer.status() {
                    200 => Some(tokens(&answer.text().await)),
                    402 => None,
                    other => panic!("{other}"),
                }
            });
        }
    }
    let ended = within_time(Duration::from_secs(120), "all streams to end", streams.join_all()).await;
    let served: Vec<u64> = ended.into_iter().flatten().collect();
    let passed: u64 = served.iter().sum();
    let account = shop.settled("acme").await;
    assert_eq!(account["available"], "0.000000");
    assert_eq!(account["spent"], format!("0.{credits:06}"));
    // Each token that was passed on is paid, and nothing else is.
    assert_eq!(served.len() as u64 * input() + passed, credits);
    // Each model was stopped. What it wrote and nobody paid was under way when the ledger said no (docs/metering.md).
    shop.upstream.wait_cancelled(served.len() as u64).await;
    let unpaid = written.load(Ordering::Relaxed) - passed;
    let mut longest = Duration::ZERO;
    for proxy in proxies {
        longest = longest.max(longest_extension(proxy).await);
    }
    // All of these streams and their ledger take turns on the processor.
    let bound = STREAMS * (longest + BUSY).div_duration_f64(PACE) as u64;
    eprintln!("{unpaid} tokens were written and not passed on, beside {passed} that were; at most {bound}");
    assert!(unpaid <= bound);
    shop.verify().await;
}

#[tokio::test]
async fn p13_a_thousand_streams_at_once_end_at_exactly_zero() {
    let shop = Shop::with(EMBEDDED, ROUTES).await;
    attack(&shop, &[&shop.faregate]).await;
}

#[tokio::test]
async fn p13_a_thousand_streams_at_once_through_two_proxies_end_at_exactly_zero() {
    let redis = redis::redis().await;
    let patient = format!("{}\ntimeout = \"10s\"", redis::ledger(&redis));
    let shop = Shop::with(&patient, ROUTES).await;
    let second = shop.second(&patient, ROUTES).await;
    attack(&shop, &[&shop.faregate, &second]).await;
}

#[tokio::test]
async fn a19_a_proxy_killed_in_mid_stream_leaves_its_hold_to_time() {
    for (on_expiry, growing) in [
        ("release", true),
        ("capture", true),
        ("release", false),
        ("capture", false),
    ] {
        let ledger = format!("{EMBEDDED}\nhold_ttl = \"2s\"\non_expiry = \"{on_expiry}\"");
        let mut shop = Shop::with(&ledger, ROUTES).await;
        let key = shop.customer("acme", "1").await;
        let (sender, reply) = Reply::stepped();
        shop.upstream
            .answer(reply.header("content-type", "text/event-stream"));
        let mut ask = ask();
        ask["max_tokens"] = json!(1_000);
        let path = if growing {
            "/v1/chat/completions"
        } else {
            "/v1/whole"
        };
        let mut answer = shop.client(&key).post_json(path, &ask).send().await;
        assert!(sender.send(format!("data: {}\n\n", chunk())).await);
        answer.chunk().await.unwrap();
        let held = answer.header("x-credits-held").unwrap().to_owned();
        let output = if growing { 8 } else { 1_000 };
        assert_eq!(held, format!("0.{:06}", ask.to_string().len() + output));
        shop.faregate.kill9_and_restart();
        shop.faregate.wait_ready().await;
        assert!(answer.try_bytes().await.is_err());
        let charge = if on_expiry == "capture" {
            held.as_str()
        } else {
            "0.000000"
        };
        assert_eq!(shop.settled("acme").await["spent"], charge, "{on_expiry}");
        shop.verify().await;
    }
}
