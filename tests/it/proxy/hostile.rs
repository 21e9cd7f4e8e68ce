//! Hostile clients: the H rows of the failure matrix. Whatever they do, the upstream never sees what was not priced.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, connect, frame, literal, next_frame,
};
use super::gatehouse::{Gatehouse, KEY};
use super::process::{customer, on_its_own};
use super::{routes, simple};
use crate::rig::body::RigBody;
use crate::rig::client::HttpClient;
use crate::rig::process::Faregate;
use crate::rig::raw::RawClient;
use crate::rig::upstream::{FakeUpstream, Reply};

const GATE: &str = "host: gate\r\nauthorization: Bearer ";

/// A request's bytes: line, more header lines, body. Host and key are added.
fn request(line: &str, headers: &str, body: &str) -> String {
    format!("{line}\r\n{GATE}{KEY}\r\n{headers}\r\n{body}")
}

async fn status_of(house: &Gatehouse, bytes: &str) -> u16 {
    let mut raw = house.raw().await;
    raw.send(bytes).await;
    raw.response().await.status
}

#[tokio::test]
async fn h1_h2_a_request_whose_end_is_in_doubt_is_400_and_the_connection_closes() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let post = "POST /v1/x HTTP/1.1";
    let smuggled = request("GET /v1/models HTTP/1.1", "", "");
    for (headers, body) in [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("content-length: 0\r\ncontent-length: 0\r\n", ""),
        ("content-length: 0\r\ncontent-length: 9\r\n", ""),
        ("content-length: +0\r\n", ""),
        ("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"),
        ("transfer-encoding: identity\r\n", ""),
        ("transfer-encoding : chunked\r\n", "0\r\n\r\n"),
        ("content-length: 0\n", ""),
    ] {
        let mut raw = house.raw().await;
        raw.send(request(post, headers, body) + &smuggled).await;
        assert_eq!(raw.response().await.status, 400, "{headers:?}");
        let (rest, _) = raw.read_to_end().await;
        assert!(rest.is_empty(), "{headers:?}: {}", String::from_utf8_lossy(&rest));
    }
    assert_eq!((upstream.reached(), house.ledger.admits()), (0, 0));
}

#[tokio::test]
async fn h2_a_cut_or_spilling_body_never_looks_whole_to_the_upstream() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for (headers, body) in [
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n"),
        ("transfer-encoding: chunked\r\n", "5\r\nhelloSPILL\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "ffffffffffffffff1\r\nx"),
        ("transfer-encoding: chunked\r\n", "-1\r\nx\r\n0\r\n\r\n"),
        ("content-length: 10\r\n", "short"),
    ] {
        let mut raw = house.raw().await;
        raw.send(request("POST /v1/x HTTP/1.1", headers, body)).await;
        raw.half_close().await;
        drop(raw.read_to_end().await);
    }
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    assert!(upstream.requests().iter().all(|request| !request.complete));
    assert_eq!(house.settled().await, "1.000000");
}

#[tokio::test]
async fn h3_h4_h5_one_host_plain_targets_and_no_nominated_credentials() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let key = format!("authorization: Bearer {KEY}\r\ncontent-length: 0\r\n");
    for (bytes, status) in [
        (format!("POST /v1/x HTTP/1.1\r\n{key}\r\n"), 400),
        (
            format!("POST /v1/x HTTP/1.1\r\nhost: a\r\nhost: b\r\n{key}\r\n"),
            400,
        ),
        (format!("POST /v1/x HTTP/1.1\r\nhost: a@b\r\n{key}\r\n"), 400),
        (
            format!("POST http://evil/v1/x HTTP/1.1\r\nhost: gate\r\n{key}\r\n"),
            400,
        ),
        (
            format!("POST http://gate/v1/x HTTP/1.1\r\nhost: gate\r\n{key}\r\n"),
            200,
        ),
        (request("OPTIONS * HTTP/1.1", "content-length: 0\r\n", ""), 400),
        (request("CONNECT gate HTTP/1.1", "content-length: 0\r\n", ""), 405),
        (request("TRACE /v1/x HTTP/1.1", "", ""), 405),
        (request("post /v1/x HTTP/1.1", "content-length: 0\r\n", ""), 400),
        (
            request(
                "POST /v1/x HTTP/1.1",
                "content-length: 0\r\nx-http-method-override: GET\r\n",
                "",
            ),
            400,
        ),
        (
            request(
                "POST /v1/x HTTP/1.1",
                "content-length: 0\r\nconnection: authorization\r\n",
                "",
            ),
            400,
        ),
        (
            request(
                "POST /v1/x HTTP/1.1",
                "content-length: 0\r\ncontent_length: 3\r\n",
                "",
            ),
            400,
        ),
        (
            request("POST /v1/x HTTP/1.1", "content-length: 0\r\nexpect: tea\r\n", ""),
            417,
        ),
    ] {
        assert_eq!(status_of(&house, &bytes).await, status, "{bytes}");
    }
    assert_eq!(upstream.reached(), 1);
    assert_eq!(house.settled().await, "0.998000");
}

#[tokio::test]
async fn h5_h8_p15_what_is_for_one_hop_or_ours_to_say_does_not_pass() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(
        Reply::ok("")
            .header("set-cookie", "session=1")
            .header("x-ratelimit-remaining-requests", "1")
            .header("openai-organization", "acme")
            .header("x-credits-remaining", "99999")
            .header("keep-alive", "timeout=1")
            .header("x-kept", "1"),
    );
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let answer = house
        .client()
        .post("/v1/x", "")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "1")
        .header("proxy-authorization", "Basic eA==")
        .header("cookie", "a=b")
        .header("x-credits-charged", "0")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-original-url", "/v1/models")
        .header("openai-project", "the-dear-one")
        .header("x-litellm-api-key", "sk-1")
        .header("x-kept", "1")
        .send()
        .await;
    let seen = upstream.next_request().await;
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "cookie",
        "x-credits-charged",
        "x-forwarded-for",
        "x-original-url",
        "openai-project",
        "x-litellm-api-key",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x-kept"), Some("1"));
    for name in [
        "set-cookie",
        "x-ratelimit-remaining-requests",
        "openai-organization",
        "keep-alive",
    ] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(
        (answer.header("x-kept"), answer.header("x-credits-remaining")),
        (Some("1"), Some("0.998000"))
    );
}

#[tokio::test]
async fn h9_each_pipelined_request_is_judged_for_itself() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("0.002", &simple(&upstream)).await;
    let mut raw = house.raw().await;
    let paid = request("POST /v1/x HTTP/1.1", "content-length: 2\r\n", "{}");
    let stranger = "GET /v1/models HTTP/1.1\r\nhost: gate\r\n\r\n";
    raw.send(format!(
        "{paid}{paid}{stranger}{}",
        request("GET /v1/models HTTP/1.1", "", "")
    ))
    .await;
    for status in [200, 402, 401, 200] {
        assert_eq!(raw.response().await.status, status);
    }
    // An early refusal with a body that has not come: what comes of it is not taken for a request.
    let mut raw = house.raw().await;
    raw.send(request("POST /v1/x HTTP/1.1", "content-length: 2000000\r\n", ""))
        .await;
    assert_eq!(raw.response().await.status, 402);
    let _ = raw.try_send(request("GET /v1/models HTTP/1.1", "", "")).await;
    let (rest, _) = raw.read_to_end().await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(upstream.reached(), 2);
}

#[tokio::test]
async fn h9_an_early_refusal_is_heard_by_a_client_in_the_middle_of_a_large_body() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("0", &simple(&upstream)).await;
    for client in [house.client(), house.client().http2()] {
        let conn = client.connect().await;
        for (path, status) in [("/v1/x", 402), ("/v1/nowhere", 404)] {
            let (upload, body) = RigBody::stepped();
            let sending = tokio::spawn(client.post(path, "").body(body).send());
            for _ in 0..12 {
                upload.send(vec![b'x'; 16 * 1024]).await;
            }
            assert_eq!(sending.await.unwrap().status(), status);
            // The same at one stroke, on a connection that goes on where that can be.
            let refused = client.post(path, vec![b'x'; 600 * 1024]).try_send().await;
            assert_eq!(refused.map(|answer| answer.status()).ok(), Some(status));
        }
        assert_eq!(conn.get("/v1/models").send().await.status(), 200);
    }
    // Over HTTP/2 the others on the connection go on.
    let conn = house.client().http2().connect().await;
    for _ in 0..20 {
        assert_eq!(
            conn.post("/v1/x", vec![b'x'; 200 * 1024]).send().await.status(),
            402
        );
        assert_eq!(conn.get("/v1/models").send().await.status(), 200);
    }
}

fn with_server(upstream: &FakeUpstream, server: &str) -> String {
    simple(upstream) + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n" + server
}

#[tokio::test]
async fn h12_slow_heads_bodies_and_idle_connections_are_closed() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let toml = with_server(
        &upstream,
        "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"3s\"\n",
    );
    let house = Gatehouse::start("1", &toml).await;
    // Nothing at all, a head that does not end, a head that comes byte by byte.
    let silent = house.raw().await;
    let mut half = house.raw().await;
    half.send("POST /v1/x HTTP/1.1\r\nhost: ga").await;
    let mut dripping = house.raw().await;
    let head = request("POST /v1/x HTTP/1.1", "content-length: 0\r\n", "");
    let started = Instant::now();
    let sent = dripping.send_slowly(&head, Duration::from_millis(100)).await;
    assert!(
        sent < head.len() && started.elapsed() < Duration::from_secs(6),
        "{sent} bytes in {:?}",
        started.elapsed()
    );
    for mut raw in [silent, half] {
        drop(raw.ends_within(Duration::from_secs(4)).await);
    }
    // A body that stops coming.
    let mut body = house.raw().await;
    body.send(request("POST /v1/x HTTP/1.1", "content-length: 9\r\n", "half"))
        .await;
    let answer = body.response().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert!(answer.text().contains("request_timeout"));
    // A connection that served well and is then left alone.
    let mut idle = house.raw().await;
    idle.send(request("POST /v1/x HTTP/1.1", "content-length: 2\r\n", "ok"))
        .await;
    assert_eq!(idle.response().await.status, 200);
    idle.stays_silent_for(Duration::from_millis(1500)).await;
    drop(idle.ends_within(Duration::from_secs(5)).await);
    assert_eq!(house.settled().await, "0.998000");
    house.wait_metric("faregate_connections", &[], 0.0).await;
}

#[tokio::test]
async fn h13_bombs_of_heads_are_refused_before_anyone_is_asked_for_a_key() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let many = "x-a: 1\r\n".repeat(120);
    let long = format!("x-a: {}\r\n", "a".repeat(20_000));
    let path = format!("POST /v1/{} HTTP/1.1", "a".repeat(9_000));
    for (bytes, status) in [
        (request("POST /v1/x HTTP/1.1", &many, ""), 431),
        (request("POST /v1/x HTTP/1.1", &long, ""), 431),
        (request(&path, "content-length: 0\r\n", ""), 414),
        (
            request(
                "POST /v1/x HTTP/1.1",
                &format!("x-a: {}\r\n", "a".repeat(1_000_000)),
                "",
            ),
            431,
        ),
    ] {
        let mut raw = house.raw().await;
        let _ = raw.try_send(bytes).await;
        assert_eq!(raw.response().await.status, status);
    }
    assert_eq!(house.ledger.admits(), 0);
}

#[tokio::test]
async fn h14_bodies_over_the_limit_are_413_announced_or_not() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let toml = simple(&upstream).replace("api = \"openai\"", "api = \"openai\"\nbody_max = \"64KiB\"");
    let house = Gatehouse::start("1", &toml).await;
    let mut announced = house.client().post("/v1/x", vec![b'x'; 65 * 1024]).send().await;
    assert_eq!(announced.status(), 413);
    assert_eq!(announced.json().await["error"]["code"], "body_too_large");
    assert_eq!((upstream.reached(), house.ledger.admits()), (0, 0));
    for client in [house.client(), house.client().http2()] {
        upstream.answer_next(Reply::stall());
        let (upload, body) = RigBody::stepped();
        let sending = tokio::spawn(client.post("/v1/x", "").body(body).send());
        upload.send(vec![b'x'; 1024]).await;
        upstream.wait_reached(upstream.reached() + 1).await;
        for _ in 0..4 {
            upload.send(vec![b'x'; 16 * 1024]).await;
        }
        let mut endless = sending.await.unwrap();
        assert_eq!(endless.status(), 413);
        assert_eq!(endless.json().await["error"]["code"], "body_too_large");
    }
    upstream
        .wait_for("two bodies that were cut", |counts| counts.recorded == 2)
        .await;
    assert!(upstream.requests().iter().all(|request| !request.complete));
    assert_eq!(house.settled().await, "1.000000");
    let whole = house.client().post("/v1/x", vec![b'x'; 64 * 1024]).send().await;
    assert_eq!(whole.status(), 200);
}

const IMAGES: &str = r#"
[[routes]]
id = "images"
match = "POST /v1/images"
upstream = "models"
cost = { each = 0.01, times = "n" }
"#;

#[tokio::test]
async fn h14_bodies_that_are_held_in_memory_are_bounded_over_all_of_an_accounts_requests() {
    let upstream = FakeUpstream::start().await;
    let toml = routes(&upstream, IMAGES)
        + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\nbodies_max = \"2MiB\"\n";
    let house = Gatehouse::start("1", &toml).await;
    let images_of = |client: &HttpClient, body: RigBody| {
        let request = client.request(http::Method::POST, "/v1/images");
        request.header("content-type", "application/json").body(body)
    };
    let images = |body: RigBody| images_of(&house.client(), body);
    let of = |kib: usize| format!("{{\"n\":1,\"prompt\":\"{}\"}}", "x".repeat(kib * 1024));
    // Some come slowly, and hold what has come of them.
    let mut slow = Vec::new();
    for _ in 0..3 {
        let (upload, body) = RigBody::stepped();
        let sending = tokio::spawn(images(body).send());
        assert!(
            upload
                .send(format!("{{\"n\":1,\"prompt\":\"{}", "x".repeat(300 * 1024)))
                .await
        );
        slow.push((upload, sending));
    }
    crate::rig::within("all of that to be read", async {
        while house.server.bodies_held() < 900 * 1024 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // One account has half of the room. One body more has room for a part of it; whether it says so or not.
    let (upload, body) = RigBody::stepped();
    let unannounced = tokio::spawn(images(body).send());
    for _ in 0..40 {
        upload.send(vec![b'x'; 8 * 1024]).await;
    }
    for mut refused in [
        images(RigBody::whole(of(400))).send().await,
        unannounced.await.unwrap(),
    ] {
        assert_eq!(
            (refused.status(), refused.header("retry-after")),
            (503, Some("1"))
        );
        assert_eq!(refused.header("x-should-retry"), Some("true"));
        assert_eq!(refused.json().await["code"], "overloaded");
    }
    assert_eq!((upstream.reached(), house.ledger.admits()), (0, 0));
    // Nobody else is turned away for it.
    let other = house.other_client("other", "1").await;
    assert_eq!(
        images_of(&other, RigBody::whole(of(400))).send().await.status(),
        200
    );
    // One leaves, the others end: there is room again, for one that is larger than all of it too.
    let (gone, sending) = slow.pop().unwrap();
    sending.abort();
    drop(gone);
    for (upload, sending) in slow {
        assert!(upload.send("\"}").await);
        drop(upload);
        assert_eq!(sending.await.unwrap().status(), 200);
    }
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    for _ in 0..2 {
        assert_eq!(images(RigBody::whole(of(5 * 1024))).send().await.status(), 200);
    }
    assert_eq!(house.settled().await, "0.960000");
    assert_eq!(house.server.bodies_held(), 0);
}

#[tokio::test]
async fn h14_bombs_of_json_are_read_or_refused_in_no_time() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &routes(&upstream, IMAGES)).await;
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!("\"k{n}\":0")).collect();
        keys.join(",")
    };
    let objects = |count: usize| vec![format!("{{{}}}", keys(100)); count].join(",");
    for (status, body) in [
        (200, format!("{{\"n\":1,{}}}", keys(16_000))),
        (200, format!("{{\"n\":1,\"x\":[{}]}}", objects(6_000))),
        (400, format!("{{\"n\":1,{}}}", keys(600_000))),
        (400, format!("{{\"n\":1,\"x\":{}}}", "9".repeat(1_000_000))),
        (
            200,
            format!("{{\"n\":1,\"x\":\"{}\"}}", "\\u0041".repeat(500_000)),
        ),
        (400, format!("{{\"n\":{}}}", "9".repeat(1_000_000))),
        (400, format!("{{\"n\":1e{}}}", "9".repeat(1_000))),
        (
            400,
            format!(
                "{{\"x\":{}1{},\"n\":1}}",
                "[".repeat(500_000),
                "]".repeat(500_000)
            ),
        ),
        (
            400,
            format!(
                "{{\"x\":{}1{},\"n\":1}}",
                "{\"a\":".repeat(500_000),
                "}".repeat(500_000)
            ),
        ),
        (400, "[".repeat(1_000_000)),
    ] {
        let started = Instant::now();
        let request = house.client().post("/v1/images", body.clone());
        let answer = request.header("content-type", "application/json").send().await;
        assert_eq!(answer.status(), status, "{}...", &body[..40]);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}: {}...",
            started.elapsed(),
            &body[..40]
        );
    }
    assert_eq!(upstream.reached(), 3);
    assert_eq!(house.settled().await, "0.970000");
}

#[tokio::test]
async fn h17_without_credits_it_is_402_before_the_body_is_asked_for() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let house = Gatehouse::start("0.002", &simple(&upstream)).await;
    let expecting = request(
        "POST /v1/x HTTP/1.1",
        "expect: 100-continue\r\ncontent-length: 5\r\n",
        "",
    );
    let mut raw = house.raw().await;
    raw.send(&expecting).await;
    assert_eq!(raw.read_exactly(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("hello").await;
    assert_eq!(raw.response().await.text(), "hello");
    let mut broke = house.raw().await;
    broke.send(&expecting).await;
    assert_eq!(broke.response().await.status, 402);
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn connections_over_the_cap_wait_their_turn() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &with_server(&upstream, "connections_max = 2\n")).await;
    let (first, mut second) = (house.client().connect().await, house.raw().await);
    assert_eq!(first.post("/v1/x", "").send().await.status(), 200);
    house.wait_metric("faregate_connections", &[], 2.0).await;
    let waiting = tokio::spawn(house.client().post("/v1/x", "").send());
    second.stays_silent_for(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    drop(second);
    assert_eq!(waiting.await.unwrap().status(), 200);
}

#[tokio::test]
async fn h12_thousands_of_slow_connections_cost_little_and_hold_nobody_up() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let server = "connections_per_client_max = 0\nheader_timeout = \"5s\"\nbody_timeout = \"5s\"\n";
    let gate = Faregate::serve(&on_its_own(&simple(&upstream), server)).await;
    let key = customer(&gate).await;
    let client = gate.client().bearer(&key);
    assert_eq!(client.post("/v1/x", "{}").send().await.status(), 200);
    let before = gate.process().rss_kib();
    let head = "POST /v1/x HTTP/1.1\r\nhost: gate\r\nx-slow: ";
    let mut slow = Vec::new();
    let mut waits = Vec::new();
    for n in 0..5_000 {
        let mut raw = RawClient::connect(gate.listen()).await;
        raw.send(&head[..head.len() - n % 20]).await;
        slow.push(raw);
        if n % 100 == 0 {
            let started = Instant::now();
            assert_eq!(client.post("/v1/x", "{}").send().await.status(), 200);
            waits.push(started.elapsed());
        }
    }
    let grown = gate.process().rss_kib().saturating_sub(before);
    // Mostly the two buffers of 8 KiB that hyper gives to each.
    assert!(grown < 5_000 * 40, "{grown} KiB more for 5,000 connections");
    waits.sort();
    assert!(waits[waits.len() / 2] < Duration::from_millis(500), "{waits:?}");
    crate::rig::within("all of them to be closed", async {
        for raw in &mut slow {
            drop(raw.read_to_end().await);
        }
    })
    .await;
    assert_eq!(client.post("/v1/x", "{}").send().await.status(), 200);
}

/// Asks from this address of the loopback network.
async fn ask_from(address: [u8; 4], house: &Gatehouse) -> std::io::Result<String> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind((std::net::Ipv4Addr::from(address), 0).into())?;
    let mut tcp = socket.connect(house.addr()).await?;
    let asks = request(
        "POST /v1/x HTTP/1.1",
        "content-length: 0\r\nconnection: close\r\n",
        "",
    );
    tcp.write_all(asks.as_bytes()).await?;
    let mut said = String::new();
    crate::rig::within("the end of an answer", tcp.read_to_string(&mut said)).await?;
    Ok(said)
}

#[tokio::test]
async fn h12_one_address_does_not_get_all_connections() {
    let upstream = FakeUpstream::start().await;
    let toml = |max: u32| {
        simple(&upstream)
            + &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\nconnections_per_client_max = {max}\n"
            )
    };
    let house = Gatehouse::start("1", &toml(4)).await;
    let served =
        |said: &std::io::Result<String>| said.as_ref().is_ok_and(|said| said.starts_with("HTTP/1.1 200"));
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let conn = house.client().connect().await;
        assert_eq!(conn.post("/v1/x", "").send().await.status(), 200);
        crowd.push(conn);
    }
    for _ in 0..3 {
        let refused = ask_from([127, 0, 0, 1], &house).await;
        assert!(refused.as_ref().map_or(true, String::is_empty), "{refused:?}");
        assert!(served(&ask_from([127, 0, 0, 2], &house).await));
    }
    assert_eq!(house.metric("faregate_connections_turned_away_total", &[]), 3.0);
    // Those that are there go on, and one that leaves makes room.
    for conn in &crowd {
        assert_eq!(conn.post("/v1/x", "").send().await.status(), 200);
    }
    crowd.pop();
    house.wait_metric("faregate_connections", &[], 3.0).await;
    assert!(served(&ask_from([127, 0, 0, 1], &house).await));
    house.reload(&toml(0));
    crowd.extend([house.client().connect().await, house.client().connect().await]);
    assert!(served(&ask_from([127, 0, 0, 1], &house).await));
}

#[tokio::test]
async fn browsers_are_answered_on_routes_that_list_origins() {
    let upstream = FakeUpstream::start().await;
    let route = r#"
[[routes]]
id = "open"
match = "POST /v1/open"
upstream = "models"
cost = 0.002
cors = ["https://app.example"]

[[routes]]
id = "shut"
match = "POST /v1/shut"
upstream = "models"
cost = 0.002
"#;
    let house = Gatehouse::start("0.002", &routes(&upstream, route)).await;
    let preflight = |path: &str, origin: &str| {
        let request = house.stranger().request(http::Method::OPTIONS, path);
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization, content-type")
            .send()
    };
    let allowed = preflight("/v1/open", "https://app.example").await;
    assert_eq!(allowed.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization, content-type"),
        ("vary", "origin"),
    ] {
        assert_eq!(allowed.header(name), Some(value));
    }
    for (path, origin, status) in [
        ("/v1/open", "https://evil.example", 403),
        ("/v1/shut", "https://app.example", 403),
        ("/v1/none", "https://app.example", 404),
    ] {
        let refused = preflight(path, origin).await;
        assert_eq!(
            (refused.status(), refused.header("access-control-allow-origin")),
            (status, None),
            "{path} {origin}"
        );
    }
    // The answer and the refusal can be read by the page; nothing was admitted for preflights.
    assert_eq!(house.ledger.admits(), 0);
    for status in [200, 402] {
        let answer = house
            .client()
            .post("/v1/open", "{}")
            .header("origin", "https://app.example")
            .send()
            .await;
        assert_eq!(
            (answer.status(), answer.header("access-control-allow-origin")),
            (status, Some("https://app.example"))
        );
        assert!(
            answer
                .header("access-control-expose-headers")
                .unwrap()
                .contains("x-credits-remaining")
        );
    }
    assert_eq!(upstream.reached(), 1);
}

#[tokio::test]
async fn a22_out_of_descriptors_it_neither_spins_nor_forgets_its_operator() {
    let upstream = FakeUpstream::start().await;
    let gate = Faregate::start(
        &on_its_own(&simple(&upstream), "header_timeout = \"2s\"\n"),
        |spawn| spawn.open_files_max(64),
    );
    gate.wait_ready().await;
    let key = customer(&gate).await;
    let served = gate.client().bearer(&key).connect().await;
    assert_eq!(served.get("/v1/models").send().await.status(), 200);
    upstream.close_connections().await;
    let mut crowd = Vec::new();
    for _ in 0..500 {
        crowd.push(RawClient::connect(gate.listen()).await);
    }
    let before = gate.process().cpu_micros();
    for _ in 0..10 {
        // The operator, the ledger and the upstream get theirs, whoever else is waiting.
        assert_eq!(gate.admin_client().get("/healthz").send().await.status(), 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let spent = gate.process().cpu_micros() - before;
    assert!(
        spent < 500_000,
        "{spent} us of processor time in a second of nothing"
    );
    assert_eq!(served.post("/v1/x", "{}").send().await.status(), 200);
    drop(crowd);
    assert_eq!(gate.client().get("/v1/models").send().await.status(), 401);
    assert_eq!(gate.stop().await, Some(0));
}

/// A head over HTTP/2, with these headers after the usual pseudo headers and key.
fn head(pseudo: &[(&str, &str)], headers: &[(&str, &str)]) -> Vec<u8> {
    let key = format!("Bearer {KEY}");
    let mut block = Vec::new();
    for (name, value) in pseudo
        .iter()
        .chain(&[("authorization", key.as_str())])
        .chain(headers)
    {
        block.extend(literal(name, value));
    }
    block
}

/// Sends one request over HTTP/2; whether it is served, and not refused by a status, a reset or the end of the connection.
async fn is_served_over_http2(house: &Gatehouse, block: &[u8], body: &[u8]) -> bool {
    let mut raw = connect(house.addr()).await;
    let last = if body.is_empty() { END_STREAM } else { 0 };
    raw.send(frame(HEADERS, END_HEADERS | last, 1, block)).await;
    if !body.is_empty() {
        let _ = raw.try_send(frame(DATA, END_STREAM, 1, body)).await;
    }
    crate::rig::within("an answer over HTTP/2", async {
        loop {
            match next_frame(&mut raw).await {
                None | Some((RST_STREAM, 1, _) | (GOAWAY, _, _)) => return false,
                // `:status 200` has a number of its own.
                Some((HEADERS, 1, head)) => return head[0] == 0x88,
                Some(_) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn h3_h4_h5_h6_over_http2_what_has_two_readings_is_refused_too() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1/x"),
        (":authority", "gate"),
    ];
    let without = |name: &str| -> Vec<(&str, &str)> {
        usual
            .iter()
            .copied()
            .filter(|(other, _)| *other != name)
            .collect()
    };
    let instead = |name: &'static str, value: &'static str| -> Vec<(&str, &str)> {
        usual
            .iter()
            .map(|(other, was)| {
                if *other == name {
                    (name, value)
                } else {
                    (*other, *was)
                }
            })
            .collect()
    };
    for (pseudo, headers, body, served) in [
        (usual.to_vec(), vec![], "", true),
        (usual.to_vec(), vec![("host", "gate")], "", true),
        (without(":authority"), vec![("host", "gate")], "", true),
        // One host.
        (usual.to_vec(), vec![("host", "evil")], "", false),
        (
            usual.to_vec(),
            vec![("host", "gate"), ("host", "gate")],
            "",
            false,
        ),
        (without(":authority"), vec![], "", false),
        (instead(":authority", "user@gate"), vec![], "", false),
        (instead(":authority", "gate:http"), vec![], "", false),
        // Pseudo headers once, and no others.
        (
            [&usual[..], &[(":path", "/v1/models")]].concat(),
            vec![],
            "",
            false,
        ),
        ([&usual[..], &[(":odd", "x")]].concat(), vec![], "", false),
        (without(":path"), vec![], "", false),
        (without(":method"), vec![], "", false),
        (usual.to_vec(), vec![(":path", "/v1/models")], "", false),
        // An extended CONNECT, which was not offered, and a plain one.
        (
            [&instead(":method", "CONNECT")[..], &[(":protocol", "websocket")]].concat(),
            vec![],
            "",
            false,
        ),
        // What belongs to HTTP/1, and what could end up as another line there.
        (usual.to_vec(), vec![("connection", "close")], "", false),
        (usual.to_vec(), vec![("transfer-encoding", "chunked")], "", false),
        (usual.to_vec(), vec![("upgrade", "h2c")], "", false),
        (usual.to_vec(), vec![("te", "gzip")], "", false),
        (usual.to_vec(), vec![("X-Upper", "1")], "", false),
        (usual.to_vec(), vec![("x-a", "1\r\nx-b: 2")], "", false),
        (usual.to_vec(), vec![("x-a", "1\nx-b: 2")], "", false),
        (usual.to_vec(), vec![("x-a", "\0")], "", false),
        (usual.to_vec(), vec![("x a", "1")], "", false),
        (usual.to_vec(), vec![("content_length", "0")], "", false),
        // A length that is not that of the body.
        (usual.to_vec(), vec![("content-length", "5")], "longer", false),
        (usual.to_vec(), vec![("content-length", "9")], "short", false),
        (usual.to_vec(), vec![("content-length", "5")], "", false),
        (usual.to_vec(), vec![("content-length", "+5")], "hello", false),
        (
            usual.to_vec(),
            vec![("content-length", "5"), ("content-length", "6")],
            "hello",
            false,
        ),
    ] {
        let found = is_served_over_http2(&house, &head(&pseudo, &headers), body.as_bytes()).await;
        assert_eq!(found, served, "{pseudo:?} {headers:?} {body:?}");
    }
    house.wait_metric("faregate_requests_under_way", &[], 0.0).await;
    let whole = upstream
        .requests()
        .into_iter()
        .filter(|seen| seen.complete)
        .count();
    assert_eq!(whole, 3, "{:#?}", upstream.requests());
    // One whose body is broken after the upstream had its head is paid, like any whose client leaves then.
    let left: f64 = house.settled().await.parse().unwrap();
    let paid = ((1.0 - left) / 0.002).round();
    assert!(
        (3.0..=upstream.reached() as f64).contains(&paid),
        "{paid} of {}",
        upstream.reached()
    );
}

#[tokio::test]
async fn p1_what_is_the_gates_own_is_never_forwarded_however_it_is_spelled() {
    let upstream = FakeUpstream::start().await;
    let all = "[[routes]]\nmatch = \"* /*\"\nupstream = \"models\"\ncost = 0\n";
    let house = Gatehouse::start("1", &routes(&upstream, all)).await;
    for path in [
        "/faregate/v1/balance",
        "/f%61regate/v1/balance",
        "/%66%61%72%65%67%61%74%65/v1/balance",
        "/fareg%61te/",
        "/faregate/%76",
    ] {
        let line = format!("GET {path} HTTP/1.1");
        let status = status_of(&house, &request(&line, "", "")).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    assert_eq!(upstream.reached(), 0);
    let other = request("GET /farewell HTTP/1.1", "", "");
    assert_eq!((status_of(&house, &other).await, upstream.reached()), (200, 1));
}

#[tokio::test]
async fn h5_a_header_that_carries_keys_here_cannot_be_nominated_away() {
    let upstream = FakeUpstream::start().await;
    let toml = with_server(&upstream, "key_headers = [\"x-team-key\"]\n");
    let house = Gatehouse::start("1", &toml).await;
    let ask = |connection: &str| {
        format!(
            "POST /v1/x HTTP/1.1\r\nhost: gate\r\nx-team-key: {KEY}\r\n{connection}content-length: 0\r\n\r\n"
        )
    };
    assert_eq!(status_of(&house, &ask("")).await, 200);
    assert_eq!(status_of(&house, &ask("connection: x-team-key\r\n")).await, 400);
    assert_eq!(upstream.reached(), 1);
}
