//! Several servers behind one upstream, and how many connections each gets.

use std::time::Duration;

use super::gatehouse::Gatehouse;
use super::simple;
use crate::rig::upstream::{FakeUpstream, Gate, Reply};

const ONE_WORKER: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";

fn several(upstreams: &[&FakeUpstream], more: &str) -> String {
    let urls: Vec<_> = upstreams
        .iter()
        .map(|upstream| format!("{:?}", upstream.url()))
        .collect();
    let first = format!("url = {:?}", upstreams[0].url());
    simple(upstreams[0]).replace(&first, &format!("urls = [{}]\n{more}", urls.join(", "))) + ONE_WORKER
}

#[tokio::test]
async fn requests_are_spread_and_the_busy_get_fewer() {
    let (a, b, c) = (
        FakeUpstream::start().await,
        FakeUpstream::start().await,
        FakeUpstream::start().await,
    );
    let house = Gatehouse::start("10", &several(&[&a, &b, &c], "")).await;
    for _ in 0..30 {
        assert_eq!(house.client().post("/v1/x", "").send().await.status(), 200);
    }
    assert_eq!([a.reached(), b.reached(), c.reached()], [10, 10, 10]);
    let gate = Gate::new();
    a.answer(Reply::ok("").when(&gate));
    let before = a.reached();
    let mut held = Vec::new();
    // The first that meets the slow one stays there; the others go past it.
    while a.reached() == before {
        held.push(tokio::spawn(house.client().post("/v1/x", "").send()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..10 {
        assert_eq!(house.client().post("/v1/x", "").send().await.status(), 200);
    }
    assert_eq!(a.reached(), before + 1);
    gate.open();
    for answer in held {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a10_unreachable_servers_are_passed_over_and_come_back() {
    let (mut a, b) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let house = Gatehouse::start("10", &several(&[&a, &b], "")).await;
    a.refuse().await;
    for _ in 0..20 {
        assert_eq!(house.client().post("/v1/x", "").send().await.status(), 200);
    }
    assert_eq!((a.reached(), b.reached()), (0, 20));
    let tries = house.metric("faregate_upstream_errors_total", &[("kind", "unreachable")]);
    assert!(
        (1.0..=3.0).contains(&tries),
        "it was tried {tries} times in a moment"
    );
    a.resume().await;
    crate::rig::within("the server to be used again", async {
        while a.reached() == 0 {
            assert_eq!(house.client().post("/v1/x", "").send().await.status(), 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_sent_is_never_sent_to_another() {
    let (a, b) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let house = Gatehouse::start("10", &several(&[&a, &b], "")).await;
    for upstream in [&a, &b] {
        upstream.answer(Reply::raw([crate::rig::upstream::Step::Reset]));
    }
    for n in 1..=10 {
        let answer = house.client().post("/v1/x", "").send().await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.header("x-credits-charged"), Some("0.000000"));
        assert!(answer.header("x-credits-remaining").is_some());
        assert_eq!(a.reached() + b.reached(), n);
    }
    assert_eq!(house.settled().await, "10.000000");
}

#[tokio::test]
async fn connections_are_bounded_and_waiting_for_them_is_too() {
    let upstream = FakeUpstream::start().await;
    let toml = several(&[&upstream], "connections_max = 2\nconnect_timeout = \"500ms\"\n");
    let house = Gatehouse::start("10", &toml).await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("").when(&gate));
    let sending: Vec<_> = (0..2)
        .map(|_| tokio::spawn(house.client().post("/v1/x", "").send()))
        .collect();
    upstream.wait_reached(2).await;
    let mut waiting = house.client().post("/v1/x", "").send().await;
    assert_eq!(
        (waiting.status(), waiting.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(waiting.json().await["error"]["code"], "overloaded");
    let later = tokio::spawn(house.client().post("/v1/x", "").send());
    house.wait_metric("faregate_upstream_waits_total", &[], 2.0).await;
    gate.open();
    for answer in sending.into_iter().chain([later]) {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!((upstream.counts().connections, upstream.reached()), (2, 3));
    assert_eq!(house.settled().await, "9.994000");
}

#[tokio::test]
async fn connections_are_kept_and_the_last_used_is_used_next() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &several(&[&upstream], "")).await;
    let gate = Gate::new();
    for _ in 0..5 {
        upstream.answer_next(Reply::ok("").when(&gate));
    }
    let sending: Vec<_> = (0..5)
        .map(|_| tokio::spawn(house.client().post("/v1/x", "").send()))
        .collect();
    upstream.wait_reached(5).await;
    gate.open();
    for answer in sending {
        assert_eq!(answer.await.unwrap().bytes().await.len(), 0);
    }
    for _ in 0..20 {
        house.client().post("/v1/x", "").send().await.bytes().await;
    }
    assert_eq!(upstream.counts().connections, 5);
    let used: std::collections::BTreeSet<_> = upstream.requests()[10..]
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(used.len(), 1, "{used:?}");
}

#[tokio::test]
async fn the_path_in_front_of_an_upstream_is_put_before_the_requests() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream).replace(&upstream.url(), &format!("{}/base/v2", upstream.url()));
    let house = Gatehouse::start("1", &toml).await;
    assert_eq!(house.client().post("/v1/x?q=1", "").send().await.status(), 200);
    assert_eq!(upstream.next_request().await.target(), "/base/v2/v1/x?q=1");
}

#[tokio::test]
async fn s4_redirects_are_passed_and_never_followed() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::status(307).header("location", "http://169.254.169.254/latest"));
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let answer = house.client().post("/v1/x", "").send().await;
    assert_eq!((answer.status(), upstream.reached()), (307, 1));
}
