//! The end: what runs is finished, nothing new is taken (A17).

use std::time::{Duration, Instant};

use super::gatehouse::Gatehouse;
use super::process::{customer, on_its_own};
use super::simple;
use crate::rig::process::Faregate;
use crate::rig::upstream::{FakeUpstream, Gate, Reply};
use crate::rig::within;

#[tokio::test]
async fn a17_what_runs_is_finished_and_settled_and_nothing_new_is_taken() {
    let upstream = FakeUpstream::start().await;
    let mut house = Gatehouse::start("10", &simple(&upstream)).await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("to the end").when(&gate));
    let idle = house.client().connect().await;
    let mut running: Vec<_> = (0..40)
        .map(|_| tokio::spawn(house.client().post("/v1/x", "").send()))
        .collect();
    let http2 = house.client().http2().connect().await;
    running.extend((0..10).map(|_| tokio::spawn(http2.post("/v1/x", "").send())));
    upstream.wait_reached(50).await;
    house.server.drain(Duration::from_secs(20));
    within("new connections to be refused", async {
        while house.client().try_connect().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    within("an idle connection to be closed", async {
        while idle.post("/v1/x", "").try_send().await.is_ok() {}
    })
    .await;
    gate.open();
    for answer in running {
        let mut answer = answer.await.unwrap();
        assert_eq!(
            (answer.status(), answer.text().await.as_str()),
            (200, "to the end")
        );
    }
    within("the workers to end", house.server.ended()).await;
    assert_eq!(house.available(), "9.900000");
    assert_eq!(house.metric("faregate_connections", &[]), 0.0);
}

#[tokio::test]
async fn a17_what_does_not_end_in_time_is_cut_off_and_settled() {
    let upstream = FakeUpstream::start().await;
    let mut house = Gatehouse::start("10", &simple(&upstream)).await;
    let (sender, reply) = Reply::stepped();
    upstream.answer_next(reply);
    let mut streaming = house.client().post("/v1/x", "").send().await;
    assert!(sender.send("one").await);
    assert_eq!(streaming.chunk().await.unwrap(), "one");
    upstream.answer(Reply::stall());
    let waiting = tokio::spawn(house.client().post("/v1/x", "").try_send());
    upstream.wait_reached(2).await;
    let started = Instant::now();
    house.server.drain(Duration::from_millis(500));
    assert!(streaming.try_bytes().await.is_err());
    assert!(waiting.await.unwrap().is_err());
    within("the workers to end", house.server.ended()).await;
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(5)).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    upstream.wait_cancelled(2).await;
    let balance = house.ledger.balance(&house.account);
    assert!(balance.held.is_zero());
    assert_eq!(house.available(), "9.996000");
}

#[tokio::test]
async fn a17_a_second_signal_ends_everything_now() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::stall());
    let mut house = Gatehouse::start("10", &simple(&upstream)).await;
    let waiting = tokio::spawn(house.client().post("/v1/x", "").try_send());
    upstream.wait_reached(1).await;
    let started = Instant::now();
    house.server.drain(Duration::from_secs(600));
    house.server.stop();
    within("the workers to end", house.server.ended()).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(waiting.await.unwrap().is_err());
    assert!(house.ledger.balance(&house.account).held.is_zero());
}

#[tokio::test]
async fn a18_a_ledger_that_is_away_does_not_keep_the_end_from_coming() {
    let upstream = FakeUpstream::start().await;
    let mut house = Gatehouse::start("10", &simple(&upstream)).await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("").when(&gate));
    let sending = tokio::spawn(house.client().post("/v1/x", "").send());
    upstream.wait_reached(1).await;
    house.ledger.fail(true);
    house.server.drain(Duration::from_secs(1));
    gate.open();
    assert_eq!(sending.await.unwrap().status(), 200);
    within("the workers to end", house.server.ended()).await;
    assert!(
        !house.ledger.balance(&house.account).held.is_zero(),
        "the hold is left to its time"
    );
}

#[tokio::test]
async fn a17_a_process_that_is_told_to_stop_finishes_two_hundred_streams_and_has_charged_for_each() {
    let upstream = FakeUpstream::start().await;
    upstream.answer_with(|_| Reply::events((0..20).map(|n| n.to_string()), Duration::from_millis(50)));
    let mut gate = Faregate::serve(&on_its_own(&simple(&upstream), "shutdown_grace = \"20s\"\n")).await;
    let key = customer(&gate).await;
    let mut streams = tokio::task::JoinSet::new();
    for http2 in [false, true].repeat(100) {
        let client = gate.client().bearer(&key);
        let client = if http2 { client.http2() } else { client };
        streams.spawn(async move {
            let mut answer = client.post("/v1/x", "{}").send().await;
            assert_eq!(answer.status(), 200);
            let mut events = 0;
            while answer.event().await.is_some() {
                events += 1;
            }
            events
        });
    }
    upstream.wait_reached(200).await;
    // They are all somewhere else in their second.
    assert!(gate.process().terminate());
    assert_eq!(within("the streams", streams.join_all()).await, [20; 200]);
    assert_eq!(gate.process().wait_exit().await.code(), Some(0));
    gate.kill9_and_restart();
    gate.wait_ready().await;
    let shown = gate
        .cli(["account", "show", "acme", "--json"])
        .run()
        .await
        .ok()
        .json();
    assert_eq!(
        (shown["spent"].as_str(), shown["held"].as_str()),
        (Some("0.400000"), Some("0.000000"))
    );
    assert!(gate.cli(["ledger", "verify"]).run().await.status.success());
}

#[tokio::test]
async fn a17_a_second_signal_to_a_process_ends_it_at_once_and_settles_what_it_cuts() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::stall());
    let mut gate = Faregate::serve(&on_its_own(&simple(&upstream), "shutdown_grace = \"600s\"\n")).await;
    let key = customer(&gate).await;
    let waiting = tokio::spawn(gate.client().bearer(&key).post("/v1/x", "").try_send());
    upstream.wait_reached(1).await;
    assert!(gate.process().terminate());
    gate.process()
        .wait_for_line(|line| line.contains("finish") || line.contains("stopping"))
        .await;
    assert!(gate.process().is_running());
    // Whoever balances load is told to look elsewhere, and nobody to restart it.
    let told = async |path| {
        let mut answer = gate.admin_client().get(path).send().await;
        (answer.status(), answer.text().await)
    };
    assert_eq!(told("/readyz").await, (503, "not ready: draining\n".to_owned()));
    assert_eq!(told("/healthz").await.0, 200);
    let again = Instant::now();
    assert!(gate.process().terminate());
    assert_eq!(
        gate.process().wait_exit().await.code(),
        Some(0),
        "{}",
        gate.process().said()
    );
    assert!(again.elapsed() < Duration::from_secs(5), "{:?}", again.elapsed());
    assert!(waiting.await.unwrap().is_err());
    gate.kill9_and_restart();
    gate.wait_ready().await;
    // The upstream had it.
    let shown = gate
        .cli(["account", "show", "acme", "--json"])
        .run()
        .await
        .ok()
        .json();
    assert_eq!(
        (shown["spent"].as_str(), shown["held"].as_str()),
        (Some("0.002000"), Some("0.000000"))
    );
}
