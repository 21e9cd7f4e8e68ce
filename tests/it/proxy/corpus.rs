//! One request, one reading, whatever brings it (H18): HTTP/1.1 and HTTP/2, in the clear and over TLS.

use std::fmt::Write;

use http::Method;

use super::gatehouse::{Gatehouse, KEY};
use super::{protocols, routes};
use crate::rig::body::RigBody;
use crate::rig::client::HttpClient;
use crate::rig::temp::TempDir;
use crate::rig::tls::TestCa;
use crate::rig::upstream::{FakeUpstream, Reply};

const ROUTES: &str = r#"
[[routes]]
id = "x"
match = "POST /v1/x"
upstream = "models"
cost = 0.002
api = "openai"
body_max = "64KiB"

[[routes]]
id = "units"
match = "POST /v1/units"
upstream = "models"
cost = { each = 0.001, times = "n" }

[[routes]]
id = "told"
match = "POST /v1/told/*"
upstream = "models"
cost = { header = "x-cost", hold = 0.01 }

[[routes]]
id = "free"
match = "GET /v1/free"
upstream = "models"
cost = 0

[[routes]]
id = "page"
match = "POST /v1/page"
upstream = "models"
cost = 0.001
cors = ["https://app.example"]
"#;

/// Method, target, headers (over the usual ones where they have the same name), body.
type Ask = (&'static str, String, Vec<(&'static str, String)>, String);

fn asks() -> Vec<Ask> {
    let mut asks: Vec<Ask> = Vec::new();
    let post = |target: &str| ("POST", target.to_owned(), Vec::new(), "{}".to_owned());
    let with = |name, value: &str| {
        (
            "POST",
            "/v1/x".to_owned(),
            vec![(name, value.to_owned())],
            "{}".to_owned(),
        )
    };
    let key_in_query = format!("/v1/x?key={KEY}");
    let (long, longer) = (
        format!("/v1/{}", "x".repeat(4_000)),
        format!("/v1/{}", "x".repeat(9_000)),
    );
    for target in [
        "/v1/x",
        "/v1/x?",
        "/v1/x?a=1&a=2&b=%20%2f",
        "/v1/x?a=%zz",
        "/v1/%78",
        "/v1/%58",
        "/v1/X",
        "/v1/x/",
        "/v1/x.",
        "/v1//x",
        "//v1/x",
        "/v1/./x",
        "/v1/../v1/x",
        "/v1/%2e/x",
        "/v1/%2E%2e/x",
        "/v1/x%2f",
        "/v1/x%2Fy",
        "/v1%5cx",
        "/v1/x%00",
        "/v1/x%0d%0a",
        "/v1/x;a=b",
        "/v1/x%3ba",
        "/v1/x%25",
        "/v1/%252e",
        "/v1/%c3%a9",
        "/v1/%c0%ae",
        "/v1/x%",
        "/v1/x%4",
        "/",
        "/v1",
        "/v2/x",
        "/v1/free",
        "/v1/told/a:b",
        "/v1/told/a%3Ab",
        "/v1/told/a/b?c",
        "/v1/told/",
        "/faregate/v1/quote",
        "/faregate/v1/nowhere",
        "/faregate/",
        "/admin/v1/accounts",
        "/metrics",
        &key_in_query,
        &long,
        &longer,
    ] {
        asks.push(post(target));
    }
    for method in [
        "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "post", "Post", "PO-ST",
    ] {
        for target in ["/v1/x", "/v1/free"] {
            asks.push((method, target.to_owned(), Vec::new(), String::new()));
        }
    }
    for (name, value) in [
        ("x-own", "kept"),
        ("x_own", "1"),
        ("content_length", "3"),
        ("x-http-method-override", "GET"),
        ("x-method-override", "GET"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=1"),
        ("x-original-url", "/v1/free"),
        ("x-rewrite-url", "/v1/free"),
        ("x-real-ip", "1"),
        ("x-credits-charged", "0"),
        ("x-credits-remaining", "9"),
        ("x-cost", "0"),
        ("cookie", "a=b"),
        ("proxy-authorization", "Basic eA=="),
        ("x-api-key", "another-key-of-somebody"),
        ("x-api-key", KEY),
        ("api-key", KEY),
        ("authorization", "Basic eA=="),
        ("authorization", "Bearer "),
        ("authorization", "Bearer sk-unknown-0123456789abcdef"),
        ("authorization", KEY),
        ("expect", "tea"),
        ("te", "trailers"),
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("accept-encoding", "br"),
        ("x-request-id", "mine"),
        ("via", "1.1 a"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"a\""),
        ("origin", "https://evil.example"),
        ("x-empty", ""),
        ("x-odd", "a \t b;,\"'\\"),
        ("user-agent", "x"),
    ] {
        asks.push(with(name, value));
    }
    asks.push(with("x-long", &"v".repeat(12_000)));
    for body in [
        "{\"n\":2}",
        "{}",
        "{\"n\":1,\"n\":2}",
        "{\"N\":3}",
        "{\"n\":1.0}",
        "{\"n\":0}",
        "{\"n\":-1}",
        "{\"n\":\"1\"}",
        "{\"\\u006e\":4}",
        "{\"n\":1}{\"n\":2}",
        "[{\"n\":1}]",
        "",
        "null",
        "\u{feff}{\"n\":1}",
        "{\"n\":99999}",
        "{\"n\":18446744073709551616}",
        "{\"a\":{\"n\":5},\"n\":3}",
        "{\"n\":1,}",
    ] {
        let json = vec![("content-type", "application/json".to_owned())];
        asks.push(("POST", "/v1/units".to_owned(), json, body.to_owned()));
        asks.push(("POST", "/v1/units".to_owned(), Vec::new(), body.to_owned()));
    }
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1] {
        asks.push(("POST", "/v1/x".to_owned(), Vec::new(), "y".repeat(size)));
    }
    let preflight = |origin: &str, path: &str| {
        let headers = vec![
            ("origin", origin.to_owned()),
            ("access-control-request-method", "POST".to_owned()),
        ];
        ("OPTIONS", path.to_owned(), headers, String::new())
    };
    for origin in ["https://app.example", "https://evil.example", "null"] {
        asks.push(preflight(origin, "/v1/page"));
        asks.push(preflight(origin, "/v1/x"));
        asks.push((
            "POST",
            "/v1/page".to_owned(),
            vec![("origin", origin.to_owned())],
            "{}".to_owned(),
        ));
    }
    asks
}

/// All that is said in answer, and all that reached the upstream, as text.
async fn verdict(
    client: &HttpClient,
    upstream: &FakeUpstream,
    (method, target, headers, body): &Ask,
) -> String {
    let before = upstream.requests().len();
    let method: Method = method.parse().unwrap();
    let mut request = client.request(method, target);
    if !body.is_empty() {
        request = request.body(RigBody::whole(body.clone()));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut answer = request.send().await;
    let mut told = format!("{}\n", answer.status());
    let own = [
        "date",
        "x-request-id",
        "connection",
        "content-length",
        "transfer-encoding",
    ];
    let mut lines: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()) && *name != "x-credits-remaining")
        .map(|(name, value)| format!("{name}: {value:?}\n"))
        .collect();
    lines.sort();
    let id = answer.header("x-request-id").unwrap_or("none").to_owned();
    told.extend(lines);
    told.push_str(&answer.text().await.replace(&id, "ID"));
    let reached = upstream.requests();
    for seen in &reached[before..] {
        // How long the body is, clients say differently where there is none.
        let said = seen.headers.iter().filter(|(name, _)| *name != "content-length");
        let mut lines: Vec<String> = said.map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        let _ = write!(
            told,
            "\n-> {} {} {lines:?} {:?} {}",
            seen.method,
            seen.target(),
            seen.body,
            seen.complete
        );
    }
    told
}

#[tokio::test]
async fn h18_every_trick_has_the_same_answer_price_and_bytes_over_every_protocol() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(
        Reply::echo()
            .header("x-model", "m")
            .header("x-cost", "0.003")
            .header("set-cookie", "a=b"),
    );
    let (ca, dir) = (TestCa::new(), TempDir::new());
    let toml = routes(&upstream, ROUTES);
    // An account for each, so that what is left can be compared too.
    let plain = [
        Gatehouse::start("10", &toml).await,
        Gatehouse::start("10", &toml).await,
    ];
    let secure = protocols::tls(&toml, &ca, &dir);
    let secure = [
        Gatehouse::start("10", &secure).await,
        Gatehouse::start("10", &secure).await,
    ];
    let clients = [
        ("HTTP/1.1", plain[0].client()),
        ("HTTP/2", plain[1].client().http2()),
        ("HTTP/1.1 over TLS", secure[0].tls_client(&ca)),
        ("HTTP/2 over TLS", secure[1].tls_client(&ca).http2()),
    ];
    let mut passed = 0;
    for ask in asks() {
        let first = verdict(&clients[0].1, &upstream, &ask).await;
        for (protocol, client) in &clients[1..] {
            let other = verdict(client, &upstream, &ask).await;
            let shown = (ask.0, ask.1.get(..60).unwrap_or(&ask.1), &ask.2);
            assert_eq!(other, first, "{protocol} differs from HTTP/1.1 for {shown:?}");
        }
        passed += usize::from(first.contains("\n-> "));
    }
    assert!(passed > 30, "only {passed} reached the upstream");
    let mut left = Vec::new();
    for house in plain.iter().chain(&secure) {
        left.push(house.settled().await);
    }
    left.dedup();
    assert_eq!(left.len(), 1, "{left:?}");
}
