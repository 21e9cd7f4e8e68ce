//! Every ending settles, once: the A rows of the failure matrix that concern one proxy.

use std::sync::Arc;
use std::time::Duration;

use faregate::domain::entry::EntryKind;
use faregate::proxy::{Own, OwnAnswer, OwnCall};

use super::gatehouse::{Gatehouse, KEY, Options};
use super::process::{customer, on_its_own};
use super::{frames, routes, simple};
use crate::rig::body::RigBody;
use crate::rig::client::HttpClient;
use crate::rig::process::Faregate;
use crate::rig::raw::RawClient;
use crate::rig::upstream::{FakeUpstream, Gate, Reply, Step};
use crate::rig::within;

/// How often each end of a hold is in the journal: captures, releases.
fn endings(house: &Gatehouse) -> (usize, usize) {
    let entries = house.ledger.entries();
    let of = |kind| entries.iter().filter(|entry| entry.kind == kind).count();
    (of(EntryKind::Capture), of(EntryKind::Release))
}

#[tokio::test]
async fn a5_a_client_that_leaves_before_admission_costs_nothing() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"n\"\nmatch = \"POST /v1/n\"\nupstream = \"models\"\ncost = { each = 0.1, times = \"n\" }\n";
    let house = Gatehouse::start("1", &routes(&upstream, route)).await;
    let mut raw = house.raw().await;
    raw.send(format!("POST /v1/n HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"n\":")).await;
    house.wait_metric("faregate_requests_under_way", &[], 1.0).await;
    raw.reset();
    house
        .line("of a client that left", |line| line["outcome"] == "client_gone")
        .await;
    // The same in the middle of a head, and of a body that is passed on as it comes.
    let whole = format!("POST /v1/n HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\n\r\n");
    for cut in [1, 20, whole.len() / 2, whole.len() - 1] {
        let mut raw = house.raw().await;
        raw.send(&whole[..cut]).await;
        raw.reset();
    }
    house.wait_metric("faregate_connections", &[], 0.0).await;
    assert_eq!((house.ledger.admits(), upstream.reached()), (0, 0));
    assert_eq!(house.available(), "1.000000");
}

#[tokio::test]
async fn a6_a_client_that_leaves_during_admission_gets_its_hold_back() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let gate = Gate::new();
    house.ledger.hold_back(&gate);
    let sending = tokio::spawn(house.client().post("/v1/x", "{}").send());
    house
        .ledger
        .wait_balance("the hold", &house.account, |balance| !balance.held.is_zero())
        .await;
    sending.abort();
    house
        .line("of a client that left", |line| line["outcome"] == "client_gone")
        .await;
    gate.open();
    house.wait_available("1.000000").await;
    assert_eq!((endings(&house), upstream.reached()), ((0, 1), 0));
}

#[tokio::test]
async fn a7_a_client_that_leaves_before_the_answer_stops_the_upstream_and_pays() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::stall());
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let sending = tokio::spawn(house.client().post("/v1/x", "{}").send());
    upstream.wait_reached(1).await;
    sending.abort();
    upstream.wait_cancelled(1).await;
    house.wait_available("0.998000").await;
    assert_eq!(endings(&house), (1, 0));
}

#[tokio::test]
async fn a7_with_finish_the_upstream_ends_and_says_whether_it_is_charged() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"f\"\nmatch = \"POST /v1/f\"\nupstream = \"models\"\ncost = 0.1\non_disconnect = \"finish\"\n";
    let house = Gatehouse::start("1", &routes(&upstream, route)).await;
    for (status, left, ended) in [(200, "0.900000", (1, 0)), (500, "0.900000", (1, 1))] {
        let gate = Gate::new();
        upstream.answer_next(Reply::status(status).when(&gate));
        let reached = upstream.reached();
        let sending = tokio::spawn(house.client().post("/v1/f", "{}").send());
        upstream.wait_reached(reached + 1).await;
        sending.abort();
        house.wait_metric("faregate_connections", &[], 0.0).await;
        gate.open();
        house.wait_available(left).await;
        assert_eq!(endings(&house), ended);
    }
    assert_eq!(upstream.counts().cancelled, 0);
}

#[tokio::test]
async fn a7_a_reported_price_is_waited_for_when_the_client_has_left() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"r\"\nmatch = \"POST /v1/r\"\nupstream = \"models\"\ncost = { header = \"x-cost\", hold = 0.5 }\n";
    let house = Gatehouse::start("1", &routes(&upstream, route)).await;
    let gate = Gate::new();
    upstream.answer(Reply::ok("").header("x-cost", "0.125").when(&gate));
    let sending = tokio::spawn(house.client().post("/v1/r", "{}").send());
    upstream.wait_reached(1).await;
    sending.abort();
    house.wait_metric("faregate_connections", &[], 0.0).await;
    gate.open();
    house.wait_available("0.875000").await;
}

#[tokio::test]
async fn a8_a_client_that_leaves_in_mid_stream_has_paid_and_stops_the_upstream() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for k in 0..4 {
        let (sender, reply) = Reply::stepped();
        upstream.answer_next(reply);
        let mut answer = house.client().post("/v1/x", "{}").send().await;
        for n in 0..k {
            assert!(sender.send(format!("data: {n}\n\n")).await);
            answer.chunk().await.unwrap();
        }
        drop(answer);
        upstream.wait_cancelled(k + 1).await;
        sender.closed().await;
    }
    house.wait_available("0.992000").await;
    assert_eq!(endings(&house), (4, 0));
    house
        .wait_metric("faregate_requests_total", &[("outcome", "client_gone")], 4.0)
        .await;
    house.wait_metric("faregate_streams_open", &[], 0.0).await;
}

#[tokio::test]
async fn a8_with_finish_the_upstream_is_read_to_its_end() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"f\"\nmatch = \"POST /v1/f\"\nupstream = \"models\"\ncost = 0.1\non_disconnect = \"finish\"\n";
    let house = Gatehouse::start("1", &routes(&upstream, route)).await;
    let (sender, reply) = Reply::stepped();
    upstream.answer(reply);
    let mut answer = house.client().post("/v1/f", "{}").send().await;
    assert!(sender.send("one").await);
    answer.chunk().await.unwrap();
    drop(answer);
    house.wait_metric("faregate_connections", &[], 0.0).await;
    for _ in 0..20 {
        assert!(
            sender.send("more".repeat(10_000)).await,
            "the upstream was cut off"
        );
    }
    drop(sender);
    upstream
        .wait_for("the end of its answer", |counts| counts.answered == 1)
        .await;
    house.wait_metric("faregate_streams_open", &[], 0.0).await;
    assert_eq!(house.settled().await, "0.900000");
}

#[tokio::test]
async fn a9_a_client_that_reads_nothing_is_cut_off_and_holds_no_more_than_buffers() {
    let upstream = FakeUpstream::start().await;
    let (sender, reply) = Reply::stepped();
    upstream.answer(reply);
    let toml = simple(&upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"1s\"\n";
    let house = Gatehouse::start("1", &toml).await;
    let mut raw = house.raw().await;
    raw.send(format!(
        "POST /v1/x HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\ncontent-length: 0\r\n\r\n"
    ))
    .await;
    let mut sent = 0_usize;
    // As much as the kernel and the gate take; then nobody does, until the connection is closed.
    while sender.send(vec![b'x'; 64 * 1024]).await {
        sent += 64 * 1024;
        assert!(sent < 64 * 1024 * 1024, "there is no end to what is taken");
    }
    upstream.wait_cancelled(1).await;
    house
        .line("of a client that did not read", |line| {
            line["outcome"] == "client_gone"
        })
        .await;
    assert_eq!(house.settled().await, "0.998000");
    drop(raw);
}

#[tokio::test]
async fn a9_over_http2_an_answer_that_nobody_takes_is_cut_off() {
    let upstream = FakeUpstream::start().await;
    let (sender, reply) = Reply::stepped();
    upstream.answer(reply);
    let toml = simple(&upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"1s\"\n";
    let house = Gatehouse::start("1", &toml).await;
    let client = house.client().http2().connect().await;
    let answer = client.post("/v1/x", "").send().await;
    // Another on the same connection, which may be somebody else's behind a load balancer.
    let (other, reply) = Reply::stepped();
    upstream.answer_next(reply);
    let mut reading = client.post("/v1/x", "").send().await;
    let mut sent = 0_usize;
    while sender.send(vec![b'x'; 64 * 1024]).await {
        sent += 64 * 1024;
        assert!(sent < 64 * 1024 * 1024, "there is no end to what is taken");
    }
    upstream.wait_cancelled(1).await;
    house
        .line("of a client that did not read", |line| {
            line["outcome"] == "client_gone"
        })
        .await;
    for n in 0..10 {
        assert!(other.send(n.to_string()).await);
        assert_eq!(reading.chunk().await.unwrap(), n.to_string());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(other);
    assert_eq!(reading.bytes().await, "");
    assert_eq!(upstream.counts().cancelled, 1);
    house.settled().await;
    assert_eq!(endings(&house), (2, 0));
    drop(answer);
}

/// Also one that is short, and one of the gate's own: unread ones would hold its memory and its places.
#[tokio::test]
async fn a9_over_http2_a_short_answer_that_nobody_takes_is_cut_off() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nidle_timeout = \"1s\"\n";
    let house = Gatehouse::start("1", &toml).await;
    for path in ["/nowhere", "/v1/x"] {
        upstream.answer(Reply::ok("done"));
        let mut raw = frames::connect(house.addr()).await;
        // No room for anything.
        let none = frames::frame(frames::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        let asked = frames::frame(
            frames::HEADERS,
            frames::END_HEADERS | frames::END_STREAM,
            frames::stream(0),
            &frames::post(path, KEY),
        );
        raw.send([none, asked].concat()).await;
        loop {
            let (kind, stream, _) = frames::next_frame(&mut raw).await.expect("a frame");
            assert_ne!(kind, frames::DATA);
            if kind == frames::RST_STREAM {
                assert_eq!(stream, frames::stream(0));
                break;
            }
        }
        house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    }
}

#[tokio::test]
async fn a12_an_upstream_that_does_not_read_the_request_is_a_timeout() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::stall().early());
    let toml = simple(&upstream).replace("headers =", "first_byte_timeout = \"500ms\"\nheaders =");
    let house = Gatehouse::start("1", &toml).await;
    let mut answer = house
        .client()
        .post("/v1/x", vec![b'x'; 9 * 1024 * 1024])
        .send()
        .await;
    assert_eq!(
        (answer.status(), answer.json().await["error"]["code"].as_str()),
        (504, Some("upstream_timeout"))
    );
    assert_eq!(house.settled().await, "1.000000");
}

#[tokio::test]
async fn a10_an_unreachable_upstream_is_502_and_costs_nothing() {
    let mut upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    upstream.refuse().await;
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.header("x-should-retry"), Some("true"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.json().await["error"]["code"], "upstream_unreachable");
    assert_eq!(
        (house.settled().await.as_str(), endings(&house)),
        ("1.000000", (0, 1))
    );
    upstream.resume().await;
    assert_eq!(house.client().post("/v1/x", "{}").send().await.status(), 200);
}

#[tokio::test]
async fn a10_whatever_keeps_a_connection_from_being_made_is_502_and_costs_nothing() {
    let (upstream, closing) = (FakeUpstream::start().await, FakeUpstream::start().await);
    closing.answer(Reply::raw([]));
    let rubbish = FakeUpstream::start().await;
    rubbish.answer(Reply::raw([Step::send("220 mail.example ESMTP\r\n")]));
    let https = upstream.url().replace("http://", "https://");
    for (url, code) in [
        (
            "http://no-such-host.invalid:80".to_owned(),
            "upstream_unreachable",
        ),
        // No TLS there, or another protocol.
        (https, "upstream_unreachable"),
        (closing.url(), "upstream_unreachable"),
        (rubbish.url(), "upstream_broken"),
    ] {
        let toml = simple(&upstream).replace(&upstream.url(), &url);
        let house = Gatehouse::start("1", &toml).await;
        for _ in 0..2 {
            let mut answer = house.client().post("/v1/x", "{}").send().await;
            let error = answer.json().await["error"].clone();
            assert_eq!(
                (answer.status(), error["code"].as_str()),
                (502, Some(code)),
                "{url}"
            );
            assert!(!error.to_string().contains("no-such-host"), "{error}");
        }
        assert_eq!(
            (house.settled().await.as_str(), endings(&house)),
            ("1.000000", (0, 2)),
            "{url}"
        );
    }
    assert_eq!(upstream.reached(), 0);
}

#[tokio::test]
async fn a11_failures_pass_and_cost_nothing_but_those_of_our_own_credentials() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for status in [400, 404, 409, 422, 429, 500, 503, 529, 999] {
        upstream.answer_next(
            Reply::status(status)
                .header("retry-after", "7")
                .header("x-should-retry", "false"),
        );
        let mut answer = house.client().post("/v1/x", "{}").send().await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.header("x-credits-charged"), Some("0.000000"));
        assert_eq!(answer.header("x-credits-remaining"), Some("1.000000"));
        assert_eq!(answer.header("retry-after"), Some("7"));
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert_eq!(answer.text().await, status.to_string());
        house.settled().await;
    }
    for status in [401, 403] {
        upstream.answer_next(Reply::status(status).header("www-authenticate", "Bearer upstream-secret"));
        let mut answer = house.client().post("/v1/x", "{}").send().await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.header("www-authenticate"), None);
        let error = answer.json().await;
        assert_eq!(error["error"]["code"], "upstream_refused");
        assert!(!error.to_string().contains("upstream-secret"));
    }
    assert_eq!(
        (house.settled().await.as_str(), endings(&house)),
        ("1.000000", (0, 11))
    );
}

#[tokio::test]
async fn a12_each_timeout_is_504_before_the_head_and_cuts_after_it() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream).replace(
        "headers =",
        "first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nheaders =",
    );
    let house = Gatehouse::start("1", &toml).await;
    upstream.answer_next(Reply::stall());
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.json().await["error"]["code"], "upstream_timeout");
    upstream.wait_cancelled(1).await;
    assert_eq!(
        (house.settled().await.as_str(), endings(&house)),
        ("1.000000", (0, 1))
    );
    let (sender, reply) = Reply::stepped();
    upstream.answer_next(reply);
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(sender.send("on it goes").await);
        answer.chunk().await.unwrap();
    }
    assert!(
        answer.try_bytes().await.is_err(),
        "a stalled stream must not end well"
    );
    upstream.wait_cancelled(2).await;
    assert_eq!(
        (house.settled().await.as_str(), endings(&house)),
        ("0.998000", (1, 1))
    );
    house
        .line("of the stream", |line| line["outcome"] == "upstream_cut")
        .await;
    house
        .wait_metric("faregate_upstream_errors_total", &[("kind", "timeout")], 2.0)
        .await;
}

#[tokio::test]
async fn a12_the_first_byte_is_waited_for_from_the_end_of_the_request() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let toml = simple(&upstream).replace("headers =", "first_byte_timeout = \"400ms\"\nheaders =");
    let house = Gatehouse::start("1", &toml).await;
    let (upload, body) = RigBody::stepped();
    let sending = tokio::spawn(house.client().post("/v1/x", "").body(body).send());
    for _ in 0..6 {
        assert!(upload.send("slowly ").await);
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    // It is not the upstream that is slow here.
    tokio::time::sleep(Duration::from_millis(900)).await;
    drop(upload);
    assert_eq!(sending.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a12_the_total_time_bounds_everything() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream).replace("headers =", "total_timeout = \"500ms\"\nheaders =");
    let house = Gatehouse::start("1", &toml).await;
    let (sender, reply) = Reply::stepped();
    upstream.answer(reply);
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    let busy = tokio::spawn(async move {
        while sender.send("x").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(answer.try_bytes().await.is_err());
    busy.await.unwrap();
}

#[tokio::test]
async fn a13_an_answer_that_is_cut_never_looks_whole() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n";
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    let mut charged = 0;
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let steps = if cut % 2 == 0 {
            vec![Step::send(&whole[..cut])]
        } else {
            vec![Step::send(&whole[..cut]), Step::Reset]
        };
        upstream.answer_next(Reply::raw(steps));
        let mut answer = house.client().post("/v1/x", "{}").send().await;
        if cut < head || answer.status() == 502 {
            // A reset can overtake the head.
            assert_eq!(answer.status(), 502, "cut at {cut}");
        } else {
            charged += 1;
            assert!(answer.try_bytes().await.is_err(), "cut at {cut}");
        }
    }
    house.settled().await;
    assert_eq!(endings(&house).0, charged);
    upstream.answer_next(Reply::raw([Step::send(
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
    )]));
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    assert!(answer.try_bytes().await.is_err());
}

#[derive(Debug)]
struct Panics;

impl Own for Panics {
    fn answer<'a>(&'a self, _: OwnCall<'a>) -> OwnAnswer<'a> {
        Box::pin(async { panic!("planted by the test") })
    }
}

#[tokio::test]
async fn a16_a_panic_is_500_and_the_process_goes_on() {
    let upstream = FakeUpstream::start().await;
    let house = Options::default()
        .own(Arc::new(Panics))
        .start("1", &simple(&upstream))
        .await;
    let client = house.client().connect().await;
    for _ in 0..3 {
        let mut answer = client.get("/faregate/v1/balance").send().await;
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.header("x-should-retry"), Some("true"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json().await["code"], "internal");
        assert_eq!(client.post("/v1/x", "{}").send().await.status(), 200);
    }
    assert_eq!(house.settled().await, "0.994000");
    house
        .line("of the panic", |line| line["outcome"] == "internal")
        .await;
}

#[tokio::test]
async fn a16_a_panic_in_a_ledger_call_is_that_request_s_alone() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let house = Gatehouse::start("1", &toml).await;
    let neighbour = house.stranger().connect().await;
    for (operation, status) in [("identify", 500), ("admit", 503)] {
        house.ledger.panic_in(Some(operation));
        for client in [house.client(), house.client().http2()] {
            let started = std::time::Instant::now();
            let mut answer = client.post("/v1/x", "{}").send().await;
            assert_eq!(answer.status(), status, "{operation}");
            let body = answer.json().await;
            let code = body["code"].as_str().or(body["error"]["code"].as_str());
            assert!(matches!(code, Some("internal" | "ledger_unavailable")), "{body}");
            assert!(
                started.elapsed() < Duration::from_secs(2),
                "{:?}",
                started.elapsed()
            );
        }
        house.ledger.panic_in(None);
        // Whoever else is connected to the same worker has noticed nothing.
        assert_eq!(neighbour.get("/v1/models").send().await.status(), 401);
        within("the gate opens again", async {
            while house.client().post("/v1/x", "{}").send().await.status() != 200 {}
        })
        .await;
    }
    house.wait_available("0.996000").await;
    assert_eq!((upstream.reached(), endings(&house).0), (2, 2));
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
}

#[tokio::test]
async fn a16_a_panic_while_a_hold_is_settled_is_asked_again_and_settled_once() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for (operation, status, left) in [("capture", 200, "0.998000"), ("release", 500, "0.998000")] {
        house.ledger.panic_in(Some(operation));
        upstream.answer_next(Reply::status(status));
        assert_eq!(house.client().post("/v1/x", "{}").send().await.status(), status);
        // It is known as one that is not settled, and asked again.
        let errors = [("operation", operation)];
        house
            .wait_metric("faregate_ledger_errors_total", &errors, 2.0)
            .await;
        house.wait_metric("faregate_open_holds", &[], 1.0).await;
        house.ledger.panic_in(None);
        house.wait_available(left).await;
        house.wait_metric("faregate_open_holds", &[], 0.0).await;
        house.wait_metric("faregate_holds_lost_total", &[], 0.0).await;
    }
    assert_eq!(endings(&house), (1, 1));
    assert_eq!(house.client().post("/v1/x", "{}").send().await.status(), 200);
    assert_eq!(house.settled().await, "0.996000");
}

#[tokio::test]
async fn b1_b2_a_ledger_that_is_away_is_503_within_a_second_and_charges_later() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    assert_eq!(house.client().post("/v1/x", "{}").send().await.status(), 200);
    house.settled().await;
    house.ledger.fail(true);
    let started = std::time::Instant::now();
    let mut answer = house.client().post("/v1/x", "{}").send().await;
    assert_eq!(answer.status(), 503);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.json().await["error"]["code"], "ledger_unavailable");
    house.ledger.fail(false);
    // The client comes again when it was told to; who does is never turned away for what was before.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let gate = Gate::new();
    upstream.answer_next(Reply::ok("late").when(&gate));
    let sending = tokio::spawn(house.client().post("/v1/x", "{}").send());
    upstream.wait_reached(2).await;
    house.ledger.fail(true);
    gate.open();
    assert_eq!(sending.await.unwrap().text().await, "late");
    house.ledger.fail(false);
    house.wait_available("0.996000").await;
    assert_eq!(upstream.reached(), 2);
}

#[tokio::test]
async fn a20_a_request_keeps_the_price_it_began_with() {
    let upstream = FakeUpstream::start().await;
    let (cheap, dear) = (simple(&upstream), simple(&upstream).replace("0.002", "0.5"));
    let house = Gatehouse::start("10", &cheap).await;
    let gate = Gate::new();
    upstream.answer_next(Reply::ok("").when(&gate));
    let sending = tokio::spawn(house.client().post("/v1/x", "{}").send());
    upstream.wait_reached(1).await;
    house.reload(&dear);
    let after = house.client().post("/v1/x", "{}").send().await;
    assert_eq!(after.header("x-credits-charged"), Some("0.500000"));
    gate.open();
    assert_eq!(
        sending.await.unwrap().header("x-credits-charged"),
        Some("0.002000")
    );
    house.wait_available("9.498000").await;
    assert_eq!(
        upstream.counts().connections,
        2,
        "connections to an upstream that did not change are kept"
    );
}

#[tokio::test]
async fn a24_a_stale_connection_is_noticed_and_the_request_sent_once() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let house = Gatehouse::start("1", &toml).await;
    let client: HttpClient = house.client();
    for n in 1..=20 {
        assert_eq!(
            client.post("/v1/x", "{}").send().await.status(),
            200,
            "request {n}"
        );
        upstream.close_connections().await;
    }
    assert_eq!(
        (house.settled().await.as_str(), upstream.reached()),
        ("0.960000", 20)
    );
    assert_eq!(endings(&house), (20, 0));
}

/// A request over HTTP/2 for `path`, on a connection of its own whose windows stay as small as they begin.
async fn ask_over_http2(gate: &Faregate, path: &str, key: &str, flags: u8) -> RawClient {
    let mut raw = frames::connect(gate.listen()).await;
    let head = frames::frame(
        frames::HEADERS,
        frames::END_HEADERS | flags,
        1,
        &frames::post(path, key),
    );
    raw.send(head).await;
    raw
}

#[tokio::test]
async fn a9_clients_and_upstreams_that_stand_still_cost_bounded_memory() {
    let upstream = FakeUpstream::start().await;
    let large = bytes::Bytes::from(vec![b'x'; 16 * 1024 * 1024]);
    upstream.answer_with(move |request| match request.target() {
        "/v1/down" => Reply::ok(large.clone()),
        _ => Reply::stall().early(),
    });
    let toml = simple(&upstream).replace("match = \"POST /v1/x\"", "match = \"POST /v1/*\"");
    let gate = Faregate::serve(&on_its_own(&toml, "")).await;
    let key = customer(&gate).await;
    let before = gate.process().rss_kib();
    // Answers of 16 MiB that nobody reads.
    let mut still = Vec::new();
    for n in 0..100 {
        if n % 2 == 0 {
            still.push(ask_over_http2(&gate, "/v1/down", &key, frames::END_STREAM).await);
        } else {
            let mut raw = RawClient::connect(gate.listen()).await;
            raw.send(format!("POST /v1/down HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\ncontent-length: 0\r\n\r\n"))
                .await;
            still.push(raw);
        }
    }
    upstream.wait_reached(100).await;
    // Bodies of 9 MiB that the upstream does not read: as much of each as the gate takes.
    for n in 0..100 {
        let mut raw = if n % 2 == 0 {
            ask_over_http2(&gate, "/v1/up", &key, 0).await
        } else {
            let mut raw = RawClient::connect(gate.listen()).await;
            raw.send(format!("POST /v1/up HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\ncontent-length: 9000000\r\n\r\n"))
                .await;
            raw
        };
        upstream.wait_reached(101 + n).await;
        for _ in 0..16 {
            let piece = vec![b'y'; 16 * 1024];
            let piece = if n % 2 == 0 {
                frames::frame(frames::DATA, 0, 1, &piece)
            } else {
                piece
            };
            // A socket that is full takes no more.
            let taken = tokio::time::timeout(Duration::from_millis(50), raw.try_send(piece)).await;
            if !matches!(taken, Ok(Ok(()))) {
                break;
            }
        }
        still.push(raw);
    }
    let grown = gate.process().rss_kib().saturating_sub(before);
    assert!(
        grown < 200 * 512,
        "{grown} KiB more for 200 requests that stand still"
    );
    let client = gate.client().bearer(&key);
    assert!(client.get("/v1/down").try_send().await.is_ok());
    drop(still);
}
