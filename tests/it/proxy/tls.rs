//! TLS towards clients (H19): versions, resumption, names, and those who take their time over it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::gatehouse::{Gatehouse, KEY};
use super::simple;
use crate::rig::raw::{End, RawClient};
use crate::rig::temp::TempDir;
use crate::rig::tls::TestCa;
use crate::rig::upstream::FakeUpstream;
use crate::rig::within;

/// A gate that speaks TLS, with these settings of the server.
async fn secure(upstream: &FakeUpstream, ca: &TestCa, server: &str) -> Gatehouse {
    let dir = TempDir::new();
    let files = ca.write(&ca.loopback(), &dir);
    let toml = format!(
        "{}\n[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{server}tls = {{ cert = {:?}, key = {:?} }}\n",
        simple(upstream),
        files.cert,
        files.key
    );
    Gatehouse::start("1", &toml).await
}

/// A ClientHello that offers nothing above this version.
fn hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session; AES-CBC suites that servers of the time had; no compression; no extensions.
    body.push(0);
    body.extend([0, 6, 0xc0, 0x13, 0xc0, 0x09, 0x00, 0x2f]);
    body.extend([1, 0]);
    let mut message = vec![1];
    message.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    record(version.min(0x0301), &message)
}

fn record(version: u16, message: &[u8]) -> Vec<u8> {
    let mut record = vec![22];
    record.extend(version.to_be_bytes());
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend_from_slice(message);
    record
}

const POST: &str = "POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nauthorization: Bearer ";

#[tokio::test]
async fn h19_versions_before_1_2_are_refused_and_1_2_and_1_3_are_spoken() {
    let (upstream, ca) = (FakeUpstream::start().await, TestCa::new());
    let house = secure(&upstream, &ca, "").await;
    for version in [0x0300, 0x0301, 0x0302] {
        let mut raw = house.raw().await;
        raw.send(hello(version)).await;
        let (heard, _) = raw.ends_within(Duration::from_secs(5)).await;
        // A fatal alert (protocol_version or handshake_failure), and no ServerHello.
        assert_eq!(
            (heard.first(), heard.get(5)),
            (Some(&21), Some(&2)),
            "{version:04x}: {heard:02x?}"
        );
        assert_eq!(heard.len(), 7, "{version:04x}: {heard:02x?}");
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        let mut pem = ca.pem().into_bytes();
        let root =
            <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
                &pem,
            );
        roots.add(root.unwrap()).unwrap();
        pem.clear();
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (said, kind, _) = visit(&house, &Arc::new(config), "localhost").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert_eq!(kind, HandshakeKind::Full);
    }
}

/// One paid request over a connection of its own: what was said, how the handshake went, whether the server takes data before it is over.
async fn visit(
    house: &Gatehouse,
    config: &Arc<rustls::ClientConfig>,
    name: &'static str,
) -> (String, HandshakeKind, bool) {
    let tcp = TcpStream::connect(house.addr()).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    let mut early = false;
    let connecting = TlsConnector::from(Arc::clone(config))
        .connect_with(name, tcp, |tls| early = tls.early_data().is_some());
    let mut tls = within("a handshake", connecting).await.unwrap();
    tls.write_all(format!("{POST}{KEY}\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut said = String::new();
    within("an answer", tls.read_to_string(&mut said)).await.unwrap();
    let kind = tls.get_ref().1.handshake_kind().unwrap();
    (said, kind, early)
}

#[tokio::test]
async fn h19_a_resumed_session_offers_no_early_data() {
    let (upstream, ca) = (FakeUpstream::start().await, TestCa::new());
    let house = secure(&upstream, &ca, "").await;
    let mut config = ca.client_config(&["http/1.1"]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let (said, kind, early) = visit(&house, &config, "localhost").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(
            !early,
            "a request in early data can be played again by whoever saw it"
        );
        kinds.push(kind);
    }
    assert_eq!(kinds[2], HandshakeKind::Resumed, "{kinds:?}");
    // Data that a client sends early all the same does not become a request.
    assert_eq!(house.settled().await, "0.994000");
}

#[tokio::test]
async fn h19_slow_and_odd_handshakes_end_and_hold_nobody_up() {
    let (upstream, ca) = (FakeUpstream::start().await, TestCa::new());
    let house = secure(&upstream, &ca, "tls_timeout = \"1s\"\n").await;
    let silent = house.raw().await;
    let mut half = house.raw().await;
    half.send(&hello(0x0303)[..20]).await;
    let mut dripping = house.raw().await;
    let drip = tokio::spawn(async move {
        let started = Instant::now();
        // A record that says it goes on for 16 KiB.
        let sent = dripping
            .send_slowly(
                [&[22, 3, 1, 0x40, 0][..], &[1; 100]].concat(),
                Duration::from_millis(100),
            )
            .await;
        (sent, started.elapsed())
    });
    for junk in [
        b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n".to_vec(),
        vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        vec![0xff; 4_096],
        record(0x0301, &[1, 0xff, 0xff, 0xff, 3, 3]),
    ] {
        let mut raw = house.raw().await;
        raw.send(&junk).await;
        let (heard, _) = raw.ends_within(Duration::from_secs(5)).await;
        assert!(!heard.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&heard));
    }
    assert_eq!(house.tls_client(&ca).post("/v1/x", "").send().await.status(), 200);
    for raw in [silent, half] {
        let mut raw = raw;
        drop(raw.ends_within(Duration::from_secs(4)).await);
    }
    let (sent, took) = drip.await.unwrap();
    assert!(
        sent < 105 && took < Duration::from_secs(4),
        "{sent} bytes in {took:?}"
    );
    house.wait_metric("faregate_connections", &[], 0.0).await;
}

#[tokio::test]
async fn h19_whatever_name_is_asked_for_it_is_one_gate_with_one_certificate() {
    let (upstream, ca) = (FakeUpstream::start().await, TestCa::new());
    let house = secure(&upstream, &ca, "").await;
    for name in ["127.0.0.1", "localhost"] {
        let (said, _, _) = visit(&house, &Arc::new(ca.client_config(&[])), name).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    }
    // Another name gets the same certificate, which is not valid for it.
    let tcp = TcpStream::connect(house.addr()).await.unwrap();
    let name = ServerName::try_from("metadata.internal.example").unwrap();
    let refused = TlsConnector::from(Arc::new(ca.client_config(&[])))
        .connect(name, tcp)
        .await;
    assert!(refused.unwrap_err().to_string().contains("not valid for name"));
}

#[tokio::test]
async fn h1_h19_a_connection_is_read_as_what_it_sends_whatever_alpn_agreed_upon() {
    let (upstream, ca) = (FakeUpstream::start().await, TestCa::new());
    let house = secure(&upstream, &ca, "").await;
    let smuggled = format!("{POST}{KEY}\r\n\r\n");
    for (alpn, headers) in [
        (&["h2"][..], "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (&["h2"], "content-length: 0\r\n\r\n"),
        (&["http/1.1"], "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (&[], "x: y\n\r\n"),
    ] {
        let mut raw = RawClient::connect_tls(house.addr(), &ca, alpn).await;
        raw.send(format!("{POST}{KEY}\r\n{headers}{smuggled}")).await;
        let (heard, end) = raw.ends_within(Duration::from_secs(5)).await;
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            heard.is_empty() || heard.starts_with("HTTP/1.1 400"),
            "{alpn:?} {headers:?}: {heard}"
        );
        assert!(!heard.contains(" 200 "), "{alpn:?} {headers:?}: {heard}");
        assert!(matches!(end, End::Closed | End::Reset));
    }
    assert_eq!((upstream.reached(), house.ledger.admits()), (0, 0));
    // Plain HTTP/1 on a connection that agreed upon h2 is no harm.
    let mut raw = RawClient::connect_tls(house.addr(), &ca, &["h2"]).await;
    raw.send(&smuggled).await;
    assert_eq!(raw.response().await.status, 200);
}
