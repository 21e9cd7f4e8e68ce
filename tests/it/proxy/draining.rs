//! The end: what runs is finished, nothing new is taken (A17).

use std::time::{Duration, Instant};

use super::gatehouse::Gatehouse;
use super::simple;
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
