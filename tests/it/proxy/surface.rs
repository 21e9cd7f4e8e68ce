//! The gate's own surface: who reaches the operator's side (S5), what names may do to the store (S7), and what a key tells of other accounts
//! (S10).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::Method;
use serde_json::{Value, json};

use super::process::on_its_own;
use super::simple;
use crate::rig::body::RigBody;
use crate::rig::client::{Answer, HttpClient};
use crate::rig::process::Faregate;
use crate::rig::raw::RawClient;
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::temp::TempDir;
use crate::rig::tls::TestCa;
use crate::rig::upstream::{FakeUpstream, Gate, Reply};
use crate::rig::within;

#[tokio::test]
async fn s5_an_admin_listener_for_the_network_takes_a_token_and_a_word_about_the_clear() {
    let upstream = FakeUpstream::start().await;
    let whole = on_its_own(&simple(&upstream), "");
    let open = whole.replace("listen = \"@ADMIN@\"", "listen = \"0.0.0.0:0\"");
    let without = |text: &str| text.replace("token = \"${FAREGATE_ADMIN_TOKEN}\"\n", "");
    let in_the_clear = |text: &str| text.replace("[admin]\n", "[admin]\ncleartext = true\n");
    for (text, says) in [
        (without(&open), "token"),
        (in_the_clear(&without(&open)), "token"),
        (open.clone(), "cleartext"),
        (
            in_the_clear(&open).replace("${FAREGATE_ADMIN_TOKEN}", "short"),
            "16",
        ),
    ] {
        let gate = Faregate::start(&text, |spawn| spawn);
        let status = gate.process().wait_exit().await;
        let said = gate.process().said();
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("admin") && said.contains(says), "{says}: {said}");
    }
}

#[tokio::test]
async fn s5_the_admin_side_answers_no_browser_and_is_nowhere_but_on_its_listener() {
    let upstream = FakeUpstream::start().await;
    let gate = Faregate::serve(&on_its_own(&simple(&upstream), "")).await;
    // Not on another address of this machine, and not on the data plane.
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), gate.admin().port()));
    assert!(tokio::net::TcpStream::connect(elsewhere).await.is_err());
    assert_eq!(gate.admin().ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let outside = gate.client().bearer("rig-admin-token-0123456789abcdef");
    for path in [
        "/admin/v1/accounts",
        "/metrics",
        "/healthz",
        "/readyz",
        "/admin/v1/openapi.json",
    ] {
        assert_eq!(outside.get(path).send().await.status(), 404, "{path}");
    }
    let admin = gate.admin_client();
    let put = || admin.request(Method::PUT, "/admin/v1/accounts/acme");
    for (name, value, status) in [
        ("host", "evil.example", 403),
        ("host", "evil.example:9091", 403),
        ("host", "127.0.0.1.evil.example", 403),
        ("origin", "http://127.0.0.1", 403),
        ("origin", "null", 403),
        ("authorization", "Bearer rig-admin-token-0123456789abcdeg", 401),
        ("authorization", "Bearer rig-admin-token-0123456789abcde", 401),
        ("authorization", "Basic cmlnLWFkbWluLXRva2Vu", 401),
        ("authorization", "", 401),
    ] {
        let answer = put().header(name, value).send().await;
        assert_eq!(answer.status(), status, "{name}: {value}");
        assert_silent_about_origins(&answer);
    }
    let preflight = admin
        .request(Method::OPTIONS, "/admin/v1/accounts/acme")
        .header("origin", "http://127.0.0.1")
        .header("access-control-request-method", "PUT");
    let preflight = preflight.send().await;
    assert!(preflight.status() >= 400);
    assert_silent_about_origins(&preflight);
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let form = admin.post("/admin/v1/accounts/acme/pause", r#"{"reason":"manual"}"#);
        assert_eq!(
            form.header("content-type", kind).send().await.status(),
            415,
            "{kind}"
        );
    }
    let accounts = admin.get("/admin/v1/accounts").send().await.json().await;
    assert_eq!(
        accounts["items"],
        json!([]),
        "nothing of that has made an account"
    );
}

fn assert_silent_about_origins(answer: &Answer) {
    let names = answer.headers().keys();
    assert!(
        names
            .into_iter()
            .all(|name| !name.as_str().starts_with("access-control-"))
    );
}

/// Two accounts, a revoked key and an expired one.
struct Town {
    gate: Faregate,
    alice: String,
    bob: String,
    revoked: String,
    expired: String,
}

async fn town(upstream: &FakeUpstream) -> Town {
    let gate = Faregate::serve(&on_its_own(&simple(upstream), "")).await;
    let cli = async |args: &[&str]| -> Value {
        let args = args.iter().copied().chain(["--json"]);
        gate.cli(args).run().await.ok().json()
    };
    for (account, amount) in [("alice", "7"), ("bob", "3")] {
        cli(&["account", "create", account]).await;
        cli(&["grant", "add", "--account", account, "--amount", amount]).await;
    }
    let key = async |more: &[&str]| cli(&[&["key", "create"], more].concat()).await;
    let text = |made: &Value| made["key"].as_str().unwrap().to_owned();
    let (alice, bob) = (
        key(&["--account", "alice"]).await,
        key(&["--account", "bob"]).await,
    );
    let revoked = key(&["--account", "alice"]).await;
    cli(&[
        "key",
        "revoke",
        revoked["id"].as_str().unwrap(),
        "--account",
        "alice",
    ])
    .await;
    let expired = key(&["--account", "alice", "--expires", "2020-01-01T00:00:00Z"]).await;
    Town {
        alice: text(&alice),
        bob: text(&bob),
        revoked: text(&revoked),
        expired: text(&expired),
        gate,
    }
}

#[tokio::test]
async fn s10_each_key_sees_its_own_account_and_nothing_of_the_other() {
    let upstream = FakeUpstream::start().await;
    let town = town(&upstream).await;
    let client = |key: &str| town.gate.client().bearer(key);
    let mut ids = Vec::new();
    for (key, times) in [(&town.alice, 3), (&town.bob, 1)] {
        for _ in 0..times {
            let answer = client(key).post("/v1/x", "{}").send().await;
            assert_eq!(answer.status(), 200);
            ids.push(answer.header("x-request-id").unwrap().to_owned());
        }
    }
    let tell = async |key: &str, path: &str| {
        let mut answer = client(key).get(path).send().await;
        (answer.status(), answer.json().await)
    };
    within("what was used to be charged", async {
        while tell(&town.alice, "/faregate/v1/balance").await.1["spent"] != "0.006000"
            || tell(&town.bob, "/faregate/v1/balance").await.1["spent"] != "0.002000"
        {}
    })
    .await;
    for (key, granted, charged, requests) in [
        (&town.alice, "7.000000", "0.006000", 3),
        (&town.bob, "3.000000", "0.002000", 1),
    ] {
        let (_, balance) = tell(key, "/faregate/v1/balance").await;
        assert_eq!(
            (&balance["granted"], &balance["spent"]),
            (&json!(granted), &json!(charged))
        );
        // Whatever is asked for besides: the account is the key's.
        for more in ["", "?account=bob", "?account=alice", "?account=alice&account=bob"] {
            let (status, usage) = tell(key, &format!("/faregate/v1/usage{more}")).await;
            if status == 200 {
                assert_eq!(
                    (&usage["charged"], &usage["items"][0]["requests"]),
                    (&json!(charged), &json!(requests)),
                    "{more}"
                );
            } else {
                assert_eq!(status, 400, "{more}");
            }
        }
    }
    for (n, id) in ids.iter().enumerate() {
        let path = format!("/faregate/v1/charges/{id}");
        let (own, other) = if n < 3 {
            (&town.alice, &town.bob)
        } else {
            (&town.bob, &town.alice)
        };
        assert_eq!(tell(own, &path).await.0, 200);
        // Another's charge is as one that never was.
        let (status, mut refused) = tell(other, &path).await;
        let (never, mut unknown) =
            tell(other, "/faregate/v1/charges/0192f0c1-2345-7000-8000-000000000000").await;
        for body in [&mut refused, &mut unknown] {
            body.as_object_mut().unwrap().remove("request_id");
        }
        assert_eq!((status, &refused), (404, &unknown));
        assert_eq!(never, 404);
    }
    let bodies: Vec<_> = [&town.alice, &town.bob]
        .map(|key| client(key).get("/faregate/v1/prices").send())
        .into();
    let mut told = BTreeSet::new();
    for body in bodies {
        told.insert(body.await.text().await);
    }
    assert_eq!(told.len(), 1, "prices do not tell accounts apart");
}

#[tokio::test]
async fn s10_a_key_that_does_not_count_is_told_nothing_of_why() {
    let upstream = FakeUpstream::start().await;
    let town = town(&upstream).await;
    let long = "k".repeat(5_000);
    let keys = [
        town.revoked.as_str(),
        "fg_live_00000000000000000000000000000000",
        "sk-another-gateway-0123456789abcdef",
        "fg_live_",
        "x",
        "not a key at all",
        &town.alice[..town.alice.len() - 1],
        &long,
    ];
    for (method, path) in [
        ("POST", "/v1/x"),
        ("GET", "/v1/models"),
        ("GET", "/faregate/v1/balance"),
        ("GET", "/faregate/v1/usage"),
        ("GET", "/faregate/v1/prices"),
        ("POST", "/faregate/v1/quote"),
        ("GET", "/faregate/v1/charges/0192f0c1-2345-7000-8000-000000000000"),
        ("GET", "/faregate/v1/nowhere"),
    ] {
        let mut told = BTreeSet::new();
        for key in keys {
            let client = HttpClient::new(town.gate.listen()).bearer(key);
            told.insert(refusal(client.request(method.parse().unwrap(), path).send().await).await);
        }
        assert_eq!(told.len(), 1, "{method} {path}: {told:#?}");
        let (status, _, body) = told.into_iter().next().unwrap();
        assert!(
            status == 401 && body.contains("invalid_api_key"),
            "{method} {path}: {status} {body}"
        );
    }
    // A key that has expired is known to the ledger's clock alone: where something is to be paid.
    let answer = town
        .gate
        .client()
        .bearer(&town.expired)
        .post("/v1/x", "{}")
        .send()
        .await;
    let unknown = town
        .gate
        .client()
        .bearer(keys[1])
        .post("/v1/x", "{}")
        .send()
        .await;
    assert_eq!(refusal(answer).await, refusal(unknown).await);
    // Bytes that are no text.
    let mut raw = RawClient::connect(town.gate.listen()).await;
    raw.send(b"POST /v1/x HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer \xff\xfe\xfd\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(raw.response().await.status, 401);
    assert_eq!(upstream.reached(), 0);
}

/// Status, headers and body of a refusal, less what is each request's own.
async fn refusal(mut answer: Answer) -> (u16, Vec<String>, String) {
    let status = answer.status();
    let own = ["x-request-id", "date", "content-length"];
    let mut headers: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    let mut body = answer.json().await;
    body.as_object_mut().unwrap().remove("request_id");
    (status, headers, body.to_string())
}

/// As the admin API takes a name in a path.
fn escaped(name: &[u8]) -> String {
    name.iter().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn s7_no_name_reaches_a_key_of_redis_that_is_not_its_own() {
    let (upstream, redis) = (
        FakeUpstream::start().await,
        RedisServer::start(RedisOptions::default()).await,
    );
    let embedded = "backend = \"embedded\"\npath = \"@DIR@/data\"\n";
    let ledger = format!("backend = \"redis\"\nurl = \"{}\"\npartitions = 4\n", redis.url());
    let gate = Faregate::serve(&on_its_own(&simple(&upstream), "").replace(embedded, &ledger)).await;
    let admin = gate.admin_client();
    let mut names: Vec<Vec<u8>> = [
        "a",
        "a/b",
        "a-b_c.d",
        "{17}",
        "{",
        "}",
        "a:b",
        "fg:{0}:a:x",
        "*",
        "?",
        "[a]",
        "\\",
        "a b",
        "",
        ".",
        "..",
        "a\r\nFLUSHALL\r\n",
        "\0",
        "a\0b",
        "ä",
        "'; return redis.call('FLUSHALL') --",
        "%7b",
        "KEYS[1]",
        "__proto__",
        "-1",
        "9007199254740993",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.extend((0..=255).map(|byte| vec![b'n', byte, b'n']));
    names.extend([vec![b'l'; 128], vec![b'l'; 129], vec![b'l'; 2_000], vec![0xff; 8]]);
    let mut taken = BTreeSet::new();
    for name in &names {
        let path = format!("/admin/v1/accounts/{}", escaped(name));
        let answer = admin.request(Method::PUT, &path).send().await;
        assert!(
            matches!(answer.status(), 200..=299 | 400..=499),
            "{name:?}: {}",
            answer.status()
        );
        if answer.status() < 300 {
            let name = String::from_utf8(name.clone()).unwrap();
            let plain = name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"{}:*?[]\\".contains(&byte));
            assert!(
                plain && !name.is_empty() && name.len() <= 128,
                "{name:?} was taken"
            );
            taken.insert(name);
        }
        // The same as a grant's id, and as a plan.
        for path in [
            format!("/admin/v1/accounts/a/grants/{}", escaped(name)),
            format!("/admin/v1/accounts/{}/grants/g", escaped(name)),
        ] {
            let put = admin
                .request(Method::PUT, &path)
                .body(RigBody::whole(r#"{"amount":"1"}"#));
            let status = put
                .header("content-type", "application/json")
                .send()
                .await
                .status();
            assert!(matches!(status, 200..=299 | 400..=499), "{path}: {status}");
        }
    }
    assert!(taken.contains("a/b") && taken.len() > 60, "{taken:?}");
    let mut connection = redis.client().get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let mut accounts = BTreeSet::new();
    for key in &keys {
        let key = std::str::from_utf8(key.split(|byte| *byte == 0 || *byte > 0x7f).next().unwrap()).unwrap();
        if key == "fg:meta" {
            continue;
        }
        let parts = key.strip_prefix("fg:{").and_then(|rest| rest.split_once("}:"));
        let (tag, rest) = parts.unwrap_or_else(|| panic!("{key:?}"));
        assert!(tag.parse::<u8>().is_ok_and(|partition| partition < 4), "{key:?}");
        if let Some(account) = rest.strip_prefix("a:") {
            assert!(accounts.insert(account.to_owned()), "{account} is in two places");
        }
    }
    assert_eq!(accounts, taken);
    assert!(gate.cli(["ledger", "verify"]).run().await.status.success());
}

#[tokio::test]
async fn s5_the_admin_side_speaks_tls_and_nothing_else_where_it_says_so() {
    let (upstream, ca, dir) = (FakeUpstream::start().await, TestCa::new(), TempDir::new());
    let files = ca.write(&ca.server(&["localhost", "gate.example"]), &dir);
    let tls = format!(
        "[admin.tls]\ncert = {:?}\nkey = {:?}\n[ledger]",
        files.cert, files.key
    );
    let gate = Faregate::start(
        &on_its_own(&simple(&upstream), "").replace("[ledger]", &tls),
        |spawn| spawn,
    );
    let admin = gate.admin_client().tls(&ca);
    within("the gate to be ready", async {
        while !admin
            .get("/readyz")
            .try_send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    // No token, and no answer, goes over the network in the clear.
    assert!(
        gate.admin_client()
            .get("/admin/v1/accounts")
            .try_send()
            .await
            .is_err()
    );
    let mut raw = RawClient::connect(gate.admin()).await;
    raw.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let (heard, _) = raw.read_to_end().await;
    assert!(!String::from_utf8_lossy(&heard).contains("HTTP/"), "{heard:?}");
    // By any name that the certificate has; still not from a browser.
    let named = admin
        .get("/admin/v1/accounts")
        .header("host", "gate.example:9091");
    assert_eq!(named.send().await.status(), 200);
    let from_a_page = admin
        .get("/admin/v1/accounts")
        .header("origin", "https://gate.example");
    assert_eq!(from_a_page.send().await.status(), 403);
    let url = format!("https://localhost:{}", gate.admin().port());
    let create = || {
        gate.cli(["account", "create", "acme", "--json"])
            .env("FAREGATE_ADMIN_URL", &url)
    };
    let distrusting = create().run().await;
    assert_eq!(distrusting.code(), 1);
    assert!(
        distrusting.stderr.contains("certificate"),
        "{}",
        distrusting.stderr
    );
    assert_eq!(
        create()
            .env("FAREGATE_ADMIN_CA", &files.ca)
            .run()
            .await
            .ok()
            .json()["id"],
        "acme"
    );
    let clear = gate.cli(["account", "list"]).run().await;
    assert_eq!(clear.code(), 1, "{}", clear.stdout);
}

#[tokio::test]
async fn the_limits_that_are_configured_are_those_that_hold() {
    let upstream = FakeUpstream::start().await;
    let gate_open = Gate::new();
    upstream.answer(Reply::ok("").when(&gate_open));
    let server = "requests_max = 3\nstreams_max = 2\nheaders_max = 12\nheader_max = \"8KiB\"\nbody_max = \"2KiB\"\nkey_headers = [\"x-team-key\"]\n";
    let gate = Faregate::serve(&on_its_own(&simple(&upstream), server)).await;
    let key = super::process::customer(&gate).await;
    let client = gate.client().header("x-team-key", &key);
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("x-{n}")).collect();
        names
            .iter()
            .fold(client.get("/v1/models"), |request, name| {
                request.header(name, "1")
            })
            .send()
    };
    gate_open.open();
    // Two more are its own: the host and the key.
    assert_eq!((many(10).await.status(), many(11).await.status()), (200, 431));
    let long = |length: usize| {
        client
            .get("/v1/models")
            .header("x-long", &"x".repeat(length))
            .send()
    };
    assert_eq!(
        (long(7_000).await.status(), long(8_200).await.status()),
        (200, 431)
    );
    let body = |length: usize| client.post("/v1/x", vec![b'x'; length]).send();
    assert_eq!(
        (body(2_048).await.status(), body(2_049).await.status()),
        (200, 413)
    );
    // The key counts where it is configured to stand, and nowhere else.
    assert_eq!(
        gate.client().bearer(&key).get("/v1/models").send().await.status(),
        401
    );
    let seen = upstream.requests();
    assert!(
        seen.iter().all(|request| request.header("x-team-key").is_none()),
        "{seen:?}"
    );

    // By its first answer a client knows how many streams it may have.
    let shared = client.clone().http2().connect().await;
    assert_eq!(shared.get("/v1/models").send().await.status(), 200);
    let closed = Gate::new();
    upstream.answer(Reply::ok("").when(&closed));
    let before = upstream.reached();
    let mut running: Vec<_> = (0..3)
        .map(|_| tokio::spawn(shared.post("/v1/x", "").send()))
        .collect();
    // The third waits for one of the two streams that the connection may have.
    upstream.wait_reached(before + 2).await;
    running.push(tokio::spawn(client.post("/v1/x", "").send()));
    upstream.wait_reached(before + 3).await;
    let mut refused = client.post("/v1/x", "").send().await;
    assert_eq!(
        (refused.status(), refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(refused.json().await["error"]["code"], "overloaded");
    assert_eq!(upstream.reached(), before + 3);
    closed.open();
    let mut served = 0;
    for answer in running {
        // The one that waited for a stream may come before the others are settled.
        match answer.await.unwrap().status() {
            200 => served += 1,
            status => assert_eq!(status, 503),
        }
    }
    assert!(served >= 3);
}
