//! An expensive answer at a cheap price (P14, P17 to P19), over real sockets.

use std::io::Write;

use http::Method;

use super::gatehouse::{Gatehouse, parse};
use super::process::{customer, on_its_own};
use super::routes;
use crate::rig::process::Faregate;
use crate::rig::upstream::{FakeUpstream, Reply};

/// One path with a price per method, a priced one, a free one.
const ROUTES: &str = r#"
[[routes]]
id = "read"
match = "GET /v1/files"
upstream = "models"
cost = 0

[[routes]]
id = "write"
match = "POST /v1/files"
upstream = "models"
cost = 0.5

[[routes]]
id = "any"
match = "* /v1/any"
upstream = "models"
cost = 0.25

[[routes]]
id = "tiny"
match = "POST /v1/tiny"
upstream = "models"
cost = 0.000001

[[routes]]
id = "each"
match = "POST /v1/each"
upstream = "models"
cost = { each = 0.000001, times = "n" }
"#;

#[tokio::test]
async fn p14_each_method_has_its_own_price_or_none_and_no_other_reaches_the_upstream() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("10", &routes(&upstream, ROUTES)).await;
    for client in [house.client(), house.client().http2()] {
        for method in [
            "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY", "POSTS", "GETT",
        ] {
            let method: Method = method.parse().unwrap();
            let (reached, admits) = (upstream.reached(), house.ledger.admits());
            for path in ["/v1/files", "/v1/tiny"] {
                let answer = client.request(method.clone(), path).send().await;
                assert_eq!(answer.status(), 405, "{method} {path}");
            }
            assert_eq!(
                (upstream.reached(), house.ledger.admits()),
                (reached, admits),
                "{method}"
            );
        }
        let before = thousandths(&house.settled().await);
        for (method, cost) in [("GET", 0), ("POST", 500)] {
            let before = thousandths(&house.settled().await);
            let answer = client.request(method.parse().unwrap(), "/v1/files").send().await;
            assert_eq!(answer.status(), 200);
            assert_eq!(thousandths(&house.settled().await), before - cost, "{method}");
        }
        // Where every method is served, every method is paid: one without a body in its answer too.
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "PROPFIND"] {
            let answer = client.request(method.parse().unwrap(), "/v1/any").send().await;
            assert_eq!(
                (answer.status(), answer.header("x-credits-charged")),
                (200, Some("0.250000")),
                "{method}"
            );
            assert_eq!(upstream.requests().last().unwrap().method, method);
        }
        assert_eq!(thousandths(&house.settled().await), before - 500 - 5 * 250);
    }
}

fn thousandths(credits: &str) -> u64 {
    let (whole, fraction) = credits.split_once('.').unwrap();
    format!("{whole}{}", &fraction[..3]).parse().unwrap()
}

#[tokio::test]
async fn p17_many_tiny_prices_come_to_their_exact_sum() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start("1", &routes(&upstream, ROUTES)).await;
    let conn = house.client().connect().await;
    let mut units = 0;
    for n in 1..=200_u64 {
        let mut answer = conn.post("/v1/tiny", "").send().await;
        assert_eq!(answer.header("x-credits-charged"), Some("0.000001"));
        answer.bytes().await;
        let n = n * 7 % 101 + 1;
        units += n;
        let asks = conn
            .post("/v1/each", format!("{{\"n\":{n}}}"))
            .header("content-type", "application/json");
        let mut answer = asks.send().await;
        assert_eq!(
            answer.header("x-credits-charged"),
            Some(format!("0.{n:06}").as_str())
        );
        answer.bytes().await;
    }
    let left = 1_000_000 - 200 - units;
    assert_eq!(house.settled().await, format!("0.{left:06}"));
    // A price that would have to be rounded is no price.
    let finer = routes(&upstream, ROUTES).replace("0.000001", "0.0000001");
    let refused = std::panic::catch_unwind(|| parse(&finer)).unwrap_err();
    let said = refused.downcast_ref::<String>().unwrap();
    assert!(said.contains("six decimal places"), "{said}");
}

#[tokio::test]
async fn p18_more_units_than_can_be_charged_are_refused_before_anything_is_asked_of_the_ledger() {
    let upstream = FakeUpstream::start().await;
    let route = ROUTES.replace("each = 0.000001", "each = 4096.5");
    let house = Gatehouse::start("10", &routes(&upstream, &route)).await;
    let each = |n: &str| {
        let asks = house.client().post("/v1/each", format!("{{\"n\":{n}}}"));
        asks.header("content-type", "application/json").send()
    };
    for n in [
        "9007199254740991",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "2251799813685249",
        "-1",
        "0",
        "1.0",
        "1e3",
        "\"1\"",
        "null",
        "true",
        "[1]",
    ] {
        let mut answer = each(n).await;
        assert_eq!(
            (answer.status(), answer.json().await["code"].as_str()),
            (400, Some("invalid_request")),
            "{n}"
        );
    }
    assert_eq!(house.ledger.admits(), 0);
    // What can be charged and is not there is another matter.
    let mut dear = each("1000000").await;
    assert_eq!(
        (dear.status(), dear.json().await["required"].as_str()),
        (402, Some("4096500000.000000"))
    );
    assert_eq!(upstream.reached(), 0);
}

#[tokio::test]
async fn p19_what_is_free_has_its_limits_all_the_same() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let free = "[[routes]]\nid = \"free\"\nmatch = \"POST /v1/free\"\nupstream = \"models\"\ncost = 0\nbody_max = \"1KiB\"\n";
    let plan = "default_plan = \"all\"\n[plans.all]\nroutes = [\"free\"]\nrequests_per_minute = 20\n";
    let toml = plan.to_owned() + &on_its_own(&routes(&upstream, free), "");
    let gate = Faregate::serve(&toml).await;
    let key = customer(&gate).await;
    let client = gate.client().bearer(&key).connect().await;
    let mut large = client.post("/v1/free", vec![b'x'; 2_000]).send().await;
    assert_eq!(
        (large.status(), large.json().await["code"].as_str()),
        (413, Some("body_too_large"))
    );
    let client = gate.client().bearer(&key);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let answer = client.post("/v1/free", "kept").send().await;
        statuses.push(answer.status());
        if answer.status() == 429 {
            assert!(answer.header("retry-after").is_some());
        }
    }
    let served = statuses.iter().filter(|status| **status == 200).count();
    let limited = statuses.iter().filter(|status| **status == 429).count();
    assert!(
        (20..=25).contains(&served) && served + limited == 30,
        "{statuses:?}"
    );
    assert_eq!(upstream.reached(), served as u64);
    assert_eq!(gate.client().post("/v1/free", "").send().await.status(), 401);
    let checked = gate
        .cli(["check", "--config"])
        .args([gate.dir().join("config.toml")])
        .run()
        .await;
    assert!(
        checked.stdout.contains("free: free costs nothing"),
        "{}",
        checked.stdout
    );
}

/// A transcription as it is streamed.
const STREAMED: &str = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Hi\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Hi\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}\n\n";

#[tokio::test]
async fn units_that_an_answer_reports_are_charged_up_to_the_hold() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"t\"\nmatch = \"POST /v1/t\"\nupstream = \"models\"\napi = \"openai\"\ncost = { each = 0.006, reported = \"usage.seconds\", hold = 0.5 }\n";
    let house = Gatehouse::start("10", &routes(&upstream, route)).await;
    let mut left = 10_000_000;
    let long = format!(
        "{{\"text\":\"{}\",\"usage\":{{\"seconds\":1}}}}",
        "x".repeat(2 << 20)
    );
    for (body, charge) in [
        (r#"{"text":"Hi","usage":{"seconds":12.34}}"#, 74_040),
        (r#"{"text":"","usage":{"seconds":0}}"#, 0),
        (r#"{"error":{"message":"too noisy"}}"#, 0),
        (STREAMED, 18_000),
        // What cannot be believed costs the hold.
        (r#"{"text":"Hi","usage":{"seconds":84}}"#, 500_000),
        (r#"{"text":"Hi","usage":{"seconds":-1}}"#, 500_000),
        (r#"{"text":"Hi"}"#, 500_000),
        ("Hi", 500_000),
        (&long, 500_000),
    ] {
        upstream.answer(Reply::ok(body.to_owned()));
        let mut answer = house
            .client()
            .post("/v1/t", "sound")
            .header("accept-encoding", "gzip")
            .send()
            .await;
        left -= charge;
        let said = |micros: i64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        assert_eq!(answer.header("x-credits-charged"), Some(&*said(charge)));
        assert_eq!(answer.bytes().await, body);
        assert_eq!(
            upstream.next_request().await.header("accept-encoding"),
            Some("identity")
        );
        house.wait_available(&said(left)).await;
    }
    upstream.answer(Reply::status(500));
    assert_eq!(
        house
            .client()
            .post("/v1/t", "sound")
            .send()
            .await
            .header("x-credits-charged"),
        Some("0.000000")
    );
}

/// One raw block, as RFC 8878 has it.
fn zstd(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, length];
    frame.extend_from_slice(&(u32::from(length) << 3 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// One uncompressed piece and an empty one, as RFC 7932 has them.
fn brotli(text: &str) -> Vec<u8> {
    let head = (u32::try_from(text.len()).unwrap() - 1) << 4 | 1 << 20;
    let mut stream = head.to_le_bytes()[..3].to_vec();
    stream.extend_from_slice(text.as_bytes());
    stream.push(3);
    stream
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn h16_units_in_a_compressed_answer_are_charged_and_it_passes_as_it_is() {
    let upstream = FakeUpstream::start().await;
    let route = "[[routes]]\nid = \"t\"\nmatch = \"POST /v1/t\"\nupstream = \"models\"\napi = \"openai\"\ncost = { each = 0.006, reported = \"usage.seconds\", hold = 0.5 }\n";
    let house = Gatehouse::start("10", &routes(&upstream, route)).await;
    let said = r#"{"text":"Hi","usage":{"seconds":12.34}}"#;
    let cut = gzip(said);
    for (coding, body, charge) in [
        ("gzip", gzip(said), "0.074040"),
        ("br", brotli(said), "0.074040"),
        ("zstd", zstd(said), "0.074040"),
        ("identity", said.as_bytes().to_vec(), "0.074040"),
        // What nobody here can read costs the hold.
        ("gzip", cut[..cut.len() / 2].to_vec(), "0.500000"),
        ("compress", gzip(said), "0.500000"),
        ("gzip, gzip", gzip(said), "0.500000"),
    ] {
        upstream.answer(Reply::ok(body.clone()).header("content-encoding", coding));
        let mut answer = house.client().post("/v1/t", "sound").send().await;
        assert_eq!(answer.header("x-credits-charged"), Some(charge), "{coding}");
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.bytes().await, body);
    }
}
