//! Floods over HTTP/2 (H10, H11): the connection that brings one ends, memory stays, and everyone else is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, SETTINGS, WINDOW_UPDATE,
    connect, frame, next_frame, open, post, pour, reset, stream,
};
use super::gatehouse::{Gatehouse, KEY};
use super::process::{customer, on_its_own};
use super::simple;
use crate::rig::client::HttpClient;
use crate::rig::process::Faregate;
use crate::rig::raw::RawClient;
use crate::rig::upstream::{FakeUpstream, Gate, Reply};

/// Asks again and again, and wants to be served each time, until told to stop.
struct Neighbour {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Neighbour {
    fn new(client: HttpClient) -> Neighbour {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut answer = client.post("/v1/good", "{}").send().await;
                    let (status, text) = (answer.status(), answer.text().await);
                    assert_eq!(status, 200, "{text}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Neighbour { stop, served, task }
    }

    /// How often it was served.
    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.served.load(Ordering::Relaxed)
    }
}

/// `/v1/x` waits for ever, `/v1/good` is answered; both cost 0.001.
fn two_routes(upstream: &FakeUpstream) -> String {
    upstream.answer_with(|request| match request.target() {
        "/v1/good" => Reply::ok("good"),
        _ => Reply::stall().early(),
    });
    simple(upstream)
        .replace("0.002", "0.001")
        .replace("match = \"POST /v1/x\"", "match = \"POST /v1/*\"")
}

#[tokio::test]
async fn h10_a_million_resets_leave_memory_flat_and_others_served() {
    let upstream = FakeUpstream::start().await;
    let gate = Faregate::serve(&on_its_own(&two_routes(&upstream), "")).await;
    let key = customer(&gate).await;
    let neighbour = Neighbour::new(gate.client().bearer(&key));
    let block = post("/v1/x", &key);
    let before = gate.process().rss_kib();
    for _ in 0..100 {
        let mut raw = connect(gate.listen()).await;
        let requests = (0..10_000).map(|n| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream(n), &block);
            [head, reset(n)].concat()
        });
        pour(&mut raw, requests).await;
        drop(raw.ends_within(Duration::from_secs(10)).await);
    }
    let grown = gate.process().rss_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    let served = neighbour.end().await;
    assert!(served > 0);
    let settled = crate::rig::within("every hold to end", async {
        loop {
            let shown = gate
                .cli(["account", "show", "acme", "--json"])
                .run()
                .await
                .ok()
                .json();
            if shown["held"] == "0.000000" {
                return shown;
            }
        }
    })
    .await;
    let spent: f64 = settled["spent"].as_str().unwrap().parse().unwrap();
    // What was taken back when the upstream had it is charged, and nothing else.
    let reached = upstream.reached();
    assert!(
        reached - served < 100 * 120,
        "{reached} of a million reached the upstream"
    );
    assert!(spent <= reached as f64 * 0.001 + 1e-9, "{spent} for {reached}");
    assert!(gate.cli(["ledger", "verify"]).run().await.status.success());
}

#[tokio::test]
async fn h10_requests_taken_back_after_they_were_forwarded_are_settled_and_end_the_connection() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let neighbour = Neighbour::new(house.client());
    // A client that takes its requests back; one that makes the gate do so, by a window that overflows.
    let overflow = |n| frame(WINDOW_UPDATE, 0, stream(n), &0x7fff_ffff_u32.to_be_bytes());
    type Trick<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let tricks: [(u8, Trick<'_>); 2] = [(END_STREAM, &reset), (0, &overflow)];
    for (flags, take_back) in tricks {
        let mut raw = connect(house.addr()).await;
        let mut asked = 0;
        let stalled = || {
            upstream
                .requests()
                .iter()
                .filter(|seen| seen.target() == "/v1/x")
                .count()
        };
        let at_first = stalled();
        // Ten at a time, each of which has reached the upstream before it is taken back.
        let cut = loop {
            if pour(&mut raw, (asked..asked + 10).map(|n| open(n, flags))).await < 10 || asked > 2_000 {
                break asked;
            }
            asked += 10;
            let all = crate::rig::within_time(Duration::from_secs(5), "", async {
                while stalled() < at_first + asked as usize {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            if tokio::time::timeout(Duration::from_secs(1), all).await.is_err() {
                break asked;
            }
            pour(&mut raw, (asked - 10..asked).map(take_back)).await;
        };
        assert!((20..=220).contains(&cut), "cut off after {cut}");
        drop(raw.ends_within(Duration::from_secs(10)).await);
    }
    let served = neighbour.end().await;
    assert!(served > 0);
    let settled = house.settled().await;
    let spent = 10_000 - thousandths(&settled);
    assert_eq!(
        spent,
        upstream.reached(),
        "each that reached the upstream is paid, and no other"
    );
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    assert!(house.metric("faregate_connections_turned_away_total", &[]) >= 1.0);
}

fn thousandths(credits: &str) -> u64 {
    let (whole, fraction) = credits.split_once('.').unwrap();
    format!("{whole}{}", &fraction[..3]).parse().unwrap()
}

#[tokio::test]
async fn h10_requests_taken_back_before_the_ledger_has_answered_give_their_holds_back() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let slow = Gate::new();
    house.ledger.hold_back(&slow);
    let mut raw = connect(house.addr()).await;
    let mut asked = 0;
    while asked < 2_000 {
        if pour(&mut raw, (asked..asked + 10).map(|n| open(n, END_STREAM))).await < 10 {
            break;
        }
        asked += 10;
        let admitted = async {
            while house.ledger.admits() < u64::from(asked) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), admitted)
            .await
            .is_err()
        {
            break;
        }
        pour(&mut raw, (asked - 10..asked).map(reset)).await;
    }
    // Under way at once is no more than that, however slow the ledger is.
    assert!((200..=220).contains(&asked), "cut off after {asked}");
    drop(raw.ends_within(Duration::from_secs(10)).await);
    slow.open();
    house.wait_available("10.000000").await;
    assert_eq!(upstream.reached(), 0);
    assert_eq!(house.client().post("/v1/good", "").send().await.status(), 200);
}

#[tokio::test]
async fn h10_clients_that_change_their_mind_now_and_then_are_left_alone() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let conn = house.client().http2().connect().await;
    for n in 1..=300 {
        for _ in 0..2 {
            let mut answer = conn.post("/v1/good", "").send().await;
            assert_eq!((answer.status(), answer.bytes().await.len()), (200, 4));
        }
        let (reached, asking) = (upstream.reached(), tokio::spawn(conn.post("/v1/x", "").send()));
        upstream.wait_reached(reached + 1).await;
        asking.abort();
        upstream.wait_cancelled(n).await;
    }
}

#[tokio::test]
async fn h11_floods_of_frames_end_the_connection_and_nobody_else_notices() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let neighbour = Neighbour::new(house.client());
    let many = |what: Vec<u8>| std::iter::repeat_n(what, 200_000);
    let first = |what: Vec<u8>, then: Vec<u8>| std::iter::once(what).chain(many(then)).collect::<Vec<_>>();
    let floods = [
        ("PING", many(frame(PING, 0, 0, b"flooding")).collect()),
        ("SETTINGS", many(frame(SETTINGS, 0, 0, &[])).collect()),
        (
            "PRIORITY",
            many(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])).collect(),
        ),
        ("unknown frames", many(frame(0xee, 0, 0, &[])).collect()),
        ("empty DATA", first(open(0, 0), frame(DATA, 0, 1, &[]))),
        (
            "CONTINUATION",
            first(frame(HEADERS, 0, 1, &[0x83]), frame(CONTINUATION, 0, 1, &[])),
        ),
        (
            "long CONTINUATION",
            first(
                frame(HEADERS, 0, 1, &[0x83]),
                frame(CONTINUATION, 0, 1, &[0; 4_096]),
            ),
        ),
    ];
    for (turned_away, (what, flood)) in (1..).zip(floods) {
        let mut raw = connect(house.addr()).await;
        pour(&mut raw, flood).await;
        // This end stays open: it is the gate that ends it, long before it would for want of requests.
        let ended = tokio::time::timeout(Duration::from_secs(15), raw.read_to_end()).await;
        assert!(ended.is_ok(), "{what}: the connection goes on");
        drop(raw);
        house
            .wait_metric(
                "faregate_connections_turned_away_total",
                &[],
                f64::from(turned_away),
            )
            .await;
    }
    assert!(neighbour.end().await > 0);
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    house.settled().await;
}

#[tokio::test]
async fn h11_a_small_head_that_unfolds_into_a_large_one_is_refused() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let mut raw = connect(house.addr()).await;
    // One header of 3 KB is kept in the table, then named 4,000 times: 12 MB.
    let mut block = post("/v1/x", KEY);
    block.extend([0x40, 1, b'a', 0x7f, 0xb9, 0x16]);
    block.extend([b'b'; 3_000]);
    block.extend([0xbe; 4_000]);
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
        .await;
    let _ = raw.half_close().await;
    let (heard, _) = raw.ends_within(Duration::from_secs(10)).await;
    assert!(heard.len() < 10_000);
    assert_eq!((upstream.reached(), house.ledger.admits()), (0, 0));
    assert_eq!(house.client().post("/v1/good", "").send().await.status(), 200);
}

/// A refusal comes before the body that belongs to it, three hundred times within a second: no flood, and nothing else on the connection suffers.
#[tokio::test]
async fn refusals_whose_bodies_come_late_do_not_close_the_connection() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &two_routes(&upstream)).await;
    let mut raw = connect(house.addr()).await;
    let head = |n| frame(HEADERS, END_HEADERS, stream(n), &post("/v1/x", "sk-nobody"));
    let answered = async |raw: &mut RawClient, n| {
        while let Some((kind, id, _)) = next_frame(raw).await {
            assert_ne!(kind, GOAWAY, "after {n} requests");
            if (kind, id) == (HEADERS, stream(n)) {
                return;
            }
        }
        panic!("the connection was closed after {n} requests");
    };
    for n in 0..300 {
        raw.send(&head(n)).await;
        answered(&mut raw, n).await;
        raw.send(frame(DATA, END_STREAM, stream(n), b"{}")).await;
    }
    raw.send(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream(300),
        &post("/v1/good", KEY),
    ))
    .await;
    answered(&mut raw, 300).await;
}
