//! The webhook endpoint against those who cannot sign, and against bodies that are none of Stripe's.

use std::time::{Duration, Instant};

use serde_json::json;

use super::fake::webhook::Signed;
use super::rules::event;
use super::till::{GRANTS, Setup, Till, WEBHOOK};
use crate::rig::body::RigBody;
use crate::rig::client::Answer;
use crate::rig::raw::RawClient;

const SILENT: Setup = Setup { api: false, ..GRANTS };

/// The longest event that is taken, in bytes.
const EVENT_MAX: usize = 256 * 1024;

/// A signature that nobody made.
const FORGED: &str = "t=1795000000,v1=00";

impl Till {
    async fn send_as(&self, signed: &Signed, name: &str, value: &str) -> Answer {
        let mut headers = signed.headers.clone();
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.to_owned(), value.to_owned()));
        self.send_raw(&headers, signed.body.clone()).await
    }

    fn signed(&self, body: String) -> Signed {
        self.stripe.sign("evt_1", "x", body)
    }
}

#[tokio::test]
async fn w6_an_event_of_256_kib_is_taken_and_none_that_is_longer() {
    let till = Till::open(SILENT).await;
    for (length, status) in [(EVENT_MAX, 200), (EVENT_MAX + 1, 413)] {
        let mut long = event("a.type.that.nobody.listens.to", json!({}));
        long["data"]["object"]["filled_with"] = json!("");
        let more = length - long.to_string().len();
        long["data"]["object"]["filled_with"] = json!("x".repeat(more));
        let signed = till.signed(long.to_string());
        assert_eq!(signed.body.len(), length);
        let answer = till.send_raw(&signed.headers, signed.body).await;
        assert_eq!(answer.status(), status, "{length}");
    }
}

#[tokio::test]
async fn w6_a_body_that_does_not_come_is_not_waited_for_longer_than_five_seconds() {
    let till = Till::open(SILENT).await;
    let signed = till.signed(event("a.type.that.nobody.listens.to", json!({})).to_string());
    let mut raw = RawClient::connect(till.shop.faregate.listen()).await;
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nhost: gate\r\nstripe-signature: {FORGED}\r\ncontent-length: {}\r\n\r\n",
        signed.body.len()
    );
    let began = Instant::now();
    raw.send(head + &signed.body[..signed.body.len() - 1]).await;
    let answer = raw.response().await;
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(8),
        "{took:?}"
    );
}

/// What a body claims to be decides nothing: it is read as it came, and only once the signature holds.
#[tokio::test]
async fn w6_nothing_is_unpacked_or_read_before_the_signature_holds() {
    let till = Till::open(SILENT).await;
    let good = event("a.type.that.nobody.listens.to", json!({})).to_string();
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-encoding", "gzip"),
    ] {
        let answer = till.send_as(&till.signed(good.clone()), name, value).await;
        assert_eq!(answer.status(), 200, "{name}: {value}");
    }
    // No JSON, and JSON that goes deep: signed by nobody, it is not even found to be unreadable.
    let odd = ["\u{1f}\u{8}\u{8}".to_owned(), "[".repeat(100_000), String::new()];
    for body in &odd {
        let answer = till
            .send_as(&till.signed(body.clone()), "stripe-signature", FORGED)
            .await;
        assert_eq!(answer.status(), 400);
    }
    assert_eq!(till.counted("other", "unreadable").await, 0);
    for body in odd {
        let signed = till.signed(body);
        assert_eq!(till.send_raw(&signed.headers, signed.body).await.status(), 400);
    }
    assert_eq!(till.counted("other", "unreadable").await, 3);
}

/// Bodies that nobody signed take a part of the room for bodies, and leave the rest to those who pay.
#[tokio::test]
async fn w14_a_flood_of_large_bodies_has_a_limit_of_its_own_and_takes_no_ones_room() {
    let till = Till::open(SILENT).await;
    let small = |text: String| text.replacen("[server]", "[server]\nbodies_max = \"2MiB\"", 1);
    let rest = super::till::config(&SILENT, &till.stripe);
    till.shop.configure_with(SILENT.ledger, &rest, small);
    till.shop.cli(["reload"]).await;
    let key = till.shop.customer("acme", "10").await;
    let client = till.shop.faregate.client();
    let mut flood = Vec::new();
    for _ in 0..16 {
        let (upload, body) = RigBody::stepped();
        let request = client.request(http::Method::POST, WEBHOOK);
        let request = request.header("stripe-signature", FORGED).body(body);
        let sending = tokio::spawn(request.try_send());
        assert!(upload.send("x".repeat(200 * 1024)).await);
        flood.push((upload, sending));
    }
    // Half of the room is theirs at most: the others are told so while those are still waited for.
    let turned_away = || flood.iter().filter(|(_, sending)| sending.is_finished()).count();
    let enough = async {
        while turned_away() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(4), enough).await;
    assert!(in_time.is_ok(), "{} of 16", turned_away());
    let body = json!({ "n": 1, "prompt": "x".repeat(400 * 1024) });
    let request = till.shop.client(&key).post_json("/v1/images/generations", &body);
    assert_eq!(request.send().await.status(), 200);
    let mut told = Vec::new();
    for (upload, sending) in flood {
        drop(upload);
        told.extend(sending.await.expect("no panic").map(|answer| answer.status()));
    }
    let away = told.iter().filter(|status| **status == 503).count();
    assert!(away >= 10 && !told.contains(&200), "{told:?}");
}
