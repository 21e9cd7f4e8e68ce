//! HTTP/1.1, HTTP/2 and TLS, on both sides; trailers; upgraded connections.

use std::time::Duration;

use http::Version;

use super::gatehouse::{Gatehouse, KEY};
use super::{routes, simple};
use crate::rig::client::HttpClient;
use crate::rig::raw::{End, RawClient};
use crate::rig::temp::TempDir;
use crate::rig::tls::TestCa;
use crate::rig::upstream::{FakeUpstream, Gate, Reply, UpstreamOptions};

pub(super) fn tls(toml: &str, ca: &TestCa, dir: &TempDir) -> String {
    let files = ca.write(&ca.loopback(), dir);
    format!(
        "{toml}\n[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\ntls = {{ cert = {:?}, key = {:?} }}\n",
        files.cert, files.key
    )
}

#[tokio::test]
async fn h18_the_same_request_is_the_same_over_every_protocol() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo().header("x-model", "m"));
    let (ca, dir) = (TestCa::new(), TempDir::new());
    let plain = Gatehouse::start("1", &simple(&upstream)).await;
    let secure = Gatehouse::start("1", &tls(&simple(&upstream), &ca, &dir)).await;
    let clients: [(HttpClient, Version); 4] = [
        (plain.client(), Version::HTTP_11),
        (plain.client().http2(), Version::HTTP_2),
        (secure.tls_client(&ca), Version::HTTP_11),
        (secure.tls_client(&ca).http2(), Version::HTTP_2),
    ];
    let mut seen = Vec::new();
    for (client, version) in clients {
        let mut answer = client
            .post("/v1/x?q=%41", r#"{"a":1}"#)
            .header("x-own", "kept")
            .send()
            .await;
        assert_eq!((answer.status(), answer.version()), (200, version));
        assert_eq!(answer.header("x-credits-charged"), Some("0.002000"));
        assert_eq!(answer.header("x-model"), Some("m"));
        assert_eq!(answer.text().await, r#"{"a":1}"#);
        let request = upstream.next_request().await;
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        headers.sort();
        seen.push((
            request.method.clone(),
            request.target().to_owned(),
            request.body.clone(),
            headers,
        ));
        for path in ["/v1//x", "/v1/./x", "/v1/x/%2e%2e", "/v1/x%2fy"] {
            assert_eq!(
                client.post(path, "{}").send().await.status(),
                400,
                "{path} {version:?}"
            );
        }
        assert_eq!(client.post("/v1/X", "{}").send().await.status(), 404);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:#?}");
    assert_eq!(
        (plain.settled().await, secure.settled().await),
        ("0.996000".to_owned(), "0.996000".to_owned())
    );
}

#[tokio::test]
async fn http2_carries_many_requests_at_once_on_either_side() {
    let upstream = FakeUpstream::start().await;
    let toml = simple(&upstream).replace("headers =", "http2 = true\nheaders =")
        + "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
    let house = Gatehouse::start("1", &toml).await;
    let gate = Gate::new();
    upstream.answer(Reply::echo().when(&gate));
    let client = house.client().http2().connect().await;
    let sending: Vec<_> = (0..50)
        .map(|n| tokio::spawn(client.post("/v1/x", format!("body {n}")).send()))
        .collect();
    upstream.wait_reached(50).await;
    gate.open();
    for (n, sending) in sending.into_iter().enumerate() {
        assert_eq!(sending.await.unwrap().text().await, format!("body {n}"));
    }
    assert_eq!(upstream.counts().connections, 1);
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.version == Version::HTTP_2)
    );
    assert_eq!(house.settled().await, "0.900000");
}

#[tokio::test]
async fn an_upstream_over_tls_is_trusted_by_its_ca_only_and_speaks_what_alpn_says() {
    let (ca, other, dir) = (TestCa::new(), TestCa::new(), TempDir::new());
    let upstream = UpstreamOptions::default().tls(&ca).start().await;
    upstream.answer(Reply::echo());
    for (root, status) in [(&ca, 200), (&other, 502)] {
        let file = dir.write("root.pem", root.pem());
        let toml = simple(&upstream).replace("headers =", &format!("ca = {file:?}\nheaders ="));
        let house = Gatehouse::start("1", &toml).await;
        assert_eq!(
            house.client().post("/v1/x", "hello").send().await.status(),
            status
        );
    }
    assert_eq!(upstream.next_request().await.version, Version::HTTP_2);
    let trusting_nobody = Gatehouse::start("1", &simple(&upstream)).await;
    assert_eq!(
        trusting_nobody
            .client()
            .post("/v1/x", "hello")
            .send()
            .await
            .status(),
        502
    );
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_bad_ones_are_left() {
    let upstream = FakeUpstream::start().await;
    let (old, new, dir) = (TestCa::new(), TestCa::new(), TempDir::new());
    let house = Gatehouse::start("1", &tls(&simple(&upstream), &old, &dir)).await;
    let tls = house.server.tls().unwrap();
    assert_eq!(
        house.tls_client(&old).post("/v1/x", "").send().await.status(),
        200
    );
    assert!(!tls.refresh().unwrap());
    let touch = |ca: &TestCa| {
        let files = ca.write(&ca.loopback(), &dir);
        // Some file systems tell times by the second.
        let later = std::time::UNIX_EPOCH + Duration::from_secs(2_200_000_000);
        for file in [&files.cert, &files.key] {
            std::fs::File::options()
                .write(true)
                .open(file)
                .unwrap()
                .set_modified(later)
                .unwrap();
        }
        files
    };
    let files = touch(&new);
    let good = std::fs::read(&files.cert).unwrap();
    std::fs::write(&files.cert, "no certificate").unwrap();
    assert!(tls.refresh().unwrap_err().to_string().contains("cert"));
    assert_eq!(
        house.tls_client(&old).post("/v1/x", "").send().await.status(),
        200
    );
    std::fs::write(&files.cert, good).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&files.cert)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(2_200_000_009))
        .unwrap();
    assert!(tls.refresh().unwrap());
    assert_eq!(
        house.tls_client(&new).post("/v1/x", "").send().await.status(),
        200
    );
    assert!(house.tls_client(&old).post("/v1/x", "").try_send().await.is_err());
}

#[tokio::test]
async fn h7_trailers_pass_by_list() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(
        Reply::ok("body")
            .header("trailer", "grpc-status, set-cookie, x-credits-charged")
            .trailer("grpc-status", "0")
            .trailer("set-cookie", "a=b")
            .trailer("x-credits-charged", "9"),
    );
    let house = Gatehouse::start("1", &simple(&upstream)).await;
    for client in [house.client(), house.client().http2()] {
        let mut answer = client.post("/v1/x", "").header("te", "trailers").send().await;
        assert_eq!(answer.text().await, "body");
        let trailers = answer.trailers().expect("trailers");
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
        assert_eq!(trailers.len(), 1, "{trailers:?}");
    }
}

const UPGRADES: &str = r#"
[[routes]]
id = "socket"
match = "GET /v1/socket"
upstream = "models"
cost = 0.1
upgrade = true

[[routes]]
id = "plain"
match = "GET /v1/plain"
upstream = "models"
cost = 0.1
"#;

fn upgrade(path: &str, protocol: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

async fn open(house: &Gatehouse) -> RawClient {
    let mut raw = house.raw().await;
    raw.send(upgrade("/v1/socket", "WebSocket")).await;
    let answer = raw.head_response().await;
    assert_eq!(
        (answer.status, answer.header("upgrade")),
        (101, Some("websocket"))
    );
    assert_eq!(answer.header("x-credits-charged"), Some("0.100000"));
    raw
}

#[tokio::test]
async fn h6_a_websocket_is_charged_when_it_opens_and_carried_both_ways() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::upgrade_echo("websocket"));
    let house = Gatehouse::start("1", &routes(&upstream, UPGRADES)).await;
    let mut raw = open(&house).await;
    assert_eq!(house.settled().await, "0.900000");
    house.wait_metric("faregate_tunnels_open", &[], 1.0).await;
    for text in ["one", "two", "GET / HTTP/1.1\r\n\r\n"] {
        raw.send(text).await;
        assert_eq!(raw.read_exactly(text.len()).await, text.as_bytes());
    }
    let request = upstream.next_request().await;
    assert_eq!(
        request.header("sec-websocket-key"),
        Some("dGhlIHNhbXBsZSBub25jZQ==")
    );
    assert_eq!(request.header("authorization"), Some("Bearer upstream-secret"));
    raw.half_close().await;
    let (rest, _) = raw.read_to_end().await;
    assert!(rest.is_empty());
    house.wait_metric("faregate_tunnels_open", &[], 0.0).await;
    let line = house.line("of the socket", |line| line["status"] == 101).await;
    assert_eq!(
        (line["charged"].as_str(), line["sent_bytes"].as_u64()),
        (Some("0.100000"), Some(24))
    );
}

#[tokio::test]
async fn h6_a_websocket_is_carried_over_tls_on_either_side() {
    let (ca, dir) = (TestCa::new(), TempDir::new());
    let upstream = UpstreamOptions::default().tls(&ca).start().await;
    upstream.answer(Reply::upgrade_echo("websocket"));
    let root = dir.write("root.pem", ca.pem());
    let toml = routes(&upstream, UPGRADES).replace("headers =", &format!("ca = {root:?}\nheaders ="));
    let house = Gatehouse::start("1", &tls(&toml, &ca, &dir)).await;
    for alpn in [&["http/1.1"][..], &[]] {
        let mut raw = RawClient::connect_tls(house.addr(), &ca, alpn).await;
        raw.send(upgrade("/v1/socket", "websocket")).await;
        assert_eq!(raw.head_response().await.status, 101);
        for text in [
            "one",
            "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ] {
            raw.send(text).await;
            assert_eq!(raw.read_exactly(text.len()).await, text.as_bytes());
        }
        raw.half_close().await;
        drop(raw.read_to_end().await);
    }
    assert_eq!(house.settled().await, "0.800000");
}

#[tokio::test]
async fn h6_upgrades_elsewhere_and_of_other_kinds_are_refused() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &routes(&upstream, UPGRADES)).await;
    for (request, status, code) in [
        (upgrade("/v1/plain", "websocket"), 501, "upgrade_refused"),
        (upgrade("/v1/socket", "h2c"), 501, "upgrade_refused"),
        (
            format!("GET /v1/socket HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {KEY}\r\n\r\n"),
            426,
            "upgrade_required",
        ),
    ] {
        let mut raw = house.raw().await;
        raw.send(request).await;
        let answer = raw.response().await;
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(code), "{}", answer.text());
        let offered = (status == 426).then_some("websocket");
        assert_eq!(answer.header("upgrade"), offered);
        assert_eq!(answer.header("connection") == Some("upgrade"), status == 426);
    }
    // Bytes behind the request that did not wait for the answer.
    let mut raw = house.raw().await;
    upstream.answer(Reply::upgrade_echo("websocket"));
    raw.send(upgrade("/v1/socket", "websocket") + "early").await;
    let answer = raw.response().await;
    assert_eq!(answer.status, 400);
    assert_eq!(house.settled().await, "1.000000");
}

#[tokio::test]
async fn h6_an_upstream_that_declines_or_was_not_asked() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &routes(&upstream, UPGRADES)).await;
    upstream.answer_next(Reply::status(404));
    let mut raw = house.raw().await;
    raw.send(upgrade("/v1/socket", "websocket")).await;
    let declined = raw.response().await;
    assert_eq!(
        (declined.status, declined.header("connection")),
        (404, Some("close"))
    );
    upstream.answer_next(Reply::upgrade_echo("chat"));
    let mut raw = house.raw().await;
    raw.send(upgrade("/v1/socket", "websocket")).await;
    assert_eq!(raw.response().await.status, 502);
    let unasked =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes";
    upstream.answer_next(Reply::raw([crate::rig::upstream::Step::send(unasked)]));
    let mut answer = house.client().get("/v1/plain").send().await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json().await["code"], "upstream_broken");
    assert_eq!(house.settled().await, "1.000000");
}

#[tokio::test]
async fn a_websocket_that_stands_still_is_closed() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::upgrade_echo("websocket"));
    let toml = routes(&upstream, UPGRADES).replace("headers =", "idle_timeout = \"200ms\"\nheaders =");
    let house = Gatehouse::start("1", &toml).await;
    let mut raw = open(&house).await;
    for _ in 0..10 {
        raw.send("on").await;
        raw.read_exactly(2).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (rest, end) = raw.read_to_end().await;
    assert!(
        rest.is_empty() && matches!(end, End::Closed | End::Reset),
        "{end:?}"
    );
}
