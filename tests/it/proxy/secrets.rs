//! Secrets (S1 to S3): canaries pushed through the running binary in every way that something secret can come, at the most talkative log level; then none
//! of them may stand anywhere that people read.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, connect, frame, post};
use super::gatehouse::{Gatehouse, KEY};
use super::routes;
use crate::rig::body::RigBody;
use crate::rig::client::HttpClient;
use crate::rig::process::{Faregate, Stream};
use crate::rig::raw::RawClient;
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::upstream::{FakeUpstream, Reply, Step};
use crate::rig::within;

/// Things that nobody may read. They have characters that look different when they are encoded.
const OWN_KEY: &str = "sk-canary/own+key=0123456789abcdef0123456789";
const UNKNOWN_KEY: &str = "sk_live_canary/unknown+key=0123456789abcdef";
const UPSTREAM: &str = "canary/upstream+secret=0123456789";
const OPERATOR: &str = "canary/operator+token=0123456789";
const WEBHOOK: &str = "whsec_canary/webhook+secret=0123456789";
const REDIS: &str = "canary-redis-password_0123456789";
const BODY: &str = "canary/body+of=request0123456789";
const ANSWER: &str = "canary/body+of=answer0123456789";
const QUERY: &str = "canary-query-0123456789";
const HEADER: &str = "canary/header+value=0123456789";
const COOKIE: &str = "canary/cookie+value=0123456789";
const INLINE: &str = "canary-inline-token-0123456789";

const ALL: [&str; 12] = [
    OWN_KEY,
    UNKNOWN_KEY,
    UPSTREAM,
    OPERATOR,
    WEBHOOK,
    REDIS,
    BODY,
    ANSWER,
    QUERY,
    HEADER,
    COOKIE,
    INLINE,
];

/// Base64 by either alphabet, without what depends on the neighbours.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let whole = bytes.chunks_exact(3).flat_map(|three| {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        [18, 12, 6, 0].map(|shift| char::from(alphabet[(bits >> shift & 63) as usize]))
    });
    whole.collect()
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Every way in which a secret may stand in a text.
fn forms(secret: &str) -> BTreeSet<String> {
    let bytes = secret.as_bytes();
    let escaped = |lower: bool| -> String {
        bytes
            .iter()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(*byte).to_string(),
                byte if lower => format!("%{byte:02x}"),
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    let mut forms = BTreeSet::from([secret.to_owned(), escaped(true), escaped(false)]);
    forms.insert(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    // As numbers, as a slice of bytes is printed.
    forms.insert(bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", "));
    for (skip, alphabet) in (0..3).flat_map(|skip| [(skip, LETTERS), (skip, FOR_URLS)]) {
        forms.insert(base64(&bytes[skip..], alphabet));
    }
    forms
}

#[track_caller]
fn assert_silent(place: &str, text: &str, secrets: &[&str]) {
    for secret in secrets {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let around = text.get(at.saturating_sub(300)..(at + 100).min(text.len()));
                panic!(
                    "{place} shows {secret} as {form}: ...{}...",
                    around.unwrap_or_default()
                );
            }
        }
    }
}

#[test]
fn s2_the_forms_are_what_encoders_make() {
    assert_eq!(base64(b"canary", LETTERS), "Y2FuYXJ5");
    let found = forms("a/b+c=d");
    for form in [
        "a/b+c=d",
        "a%2Fb%2Bc%3Dd",
        "a%2fb%2bc%3dd",
        "YS9iK2M9",
        "612f622b633d64",
        "97, 47, 98, 43, 99, 61, 100",
    ] {
        assert!(found.contains(form), "{form}: {found:?}");
    }
}

const ROUTES: &str = r#"
[[routes]]
match = "POST /v1/x"
upstream = "models"
cost = 0.002
api = "openai"

[[routes]]
match = "POST /v1/units"
upstream = "models"
cost = { each = 0.001, times = "n" }

[[routes]]
match = "POST /v1/told"
upstream = "models"
cost = { header = "x-cost", hold = 0.01 }

[[routes]]
match = "POST /v1/http2"
upstream = "http2"
cost = 0.002

[[routes]]
match = "GET /v1/gone"
upstream = "gone"
cost = 0.002
"#;

fn config(upstream: &FakeUpstream, http2: &FakeUpstream, redis: &RedisServer, rest: &str) -> String {
    let url = redis.url();
    format!(
        r#"
[server]
listen = "@LISTEN@"
workers = 1
body_timeout = "1s"

[admin]
listen = "@ADMIN@"
{rest}

[[admin.tokens]]
name = "rig"
token = "${{FAREGATE_ADMIN_TOKEN}}"
role = "all"

[[admin.tokens]]
name = "canary"
token = "${{OPERATOR}}"
role = "all"

[ledger]
backend = "redis"
url = "{url}"
timeout = "10s"

[log]
format = "json"
level = "trace"

[upstreams.models]
url = "{}"
headers = {{ authorization = "Bearer ${{UPSTREAM}}" }}
first_byte_timeout = "500ms"

[upstreams.http2]
url = "{}"
http2 = true
headers = {{ authorization = "Bearer ${{UPSTREAM}}" }}

[upstreams.gone]
url = "http://127.0.0.1:9"
headers = {{ x-api-key = "${{UPSTREAM}}" }}
{ROUTES}"#,
        upstream.url(),
        http2.url()
    )
}

/// Everything that clients may do, with secrets wherever they fit.
async fn press(gate: &Faregate, upstream: &FakeUpstream) {
    let body = format!("{{\"n\":1,\"text\":\"{BODY}\"}}");
    let query = format!("?q={QUERY}");
    for client in [gate.client(), gate.client().http2()] {
        let known = client.clone().bearer(OWN_KEY);
        let dressed = |client: &HttpClient, path: &str| {
            let request = client.post(&format!("{path}{query}"), body.clone());
            let request = request.header("content-type", "application/json");
            request
                .header("x-secret", HEADER)
                .header("cookie", &format!("session={COOKIE}"))
        };
        for reply in [
            Reply::ok(ANSWER)
                .header("x-secret", HEADER)
                .header("set-cookie", &format!("s={COOKIE}")),
            Reply::ok(format!("your key {UPSTREAM} is wrong"))
                .with_status(401)
                .header("www-authenticate", UPSTREAM),
            Reply::ok(ANSWER).with_status(500),
            Reply::ok(ANSWER).header("x-cost", WEBHOOK),
            Reply::raw([Step::send(format!("{ANSWER} is no answer"))]),
            Reply::raw([Step::send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: 999\r\nx-secret: {HEADER}\r\n\r\n{ANSWER}"
            ))]),
            Reply::stall(),
        ] {
            for path in ["/v1/x", "/v1/units", "/v1/told"] {
                upstream.answer(reply.clone());
                if let Ok(mut answer) = dressed(&known, path).try_send().await {
                    let _ = answer.try_bytes().await;
                }
            }
        }
        upstream.answer(Reply::ok(ANSWER));
        for path in [
            "/v1/http2",
            "/v1/nowhere",
            "/v1//x",
            "/faregate/v1/quote",
            "/faregate/v1/balance",
        ] {
            drop(dressed(&known, path).send().await.bytes().await);
        }
        drop(known.get(&format!("/v1/gone{query}")).send().await);
        drop(known.get(&format!("/faregate/v1/charges/{QUERY}")).send().await);
        // Keys that are wrong, twofold, in the query, in odd places.
        let stranger = client.clone().bearer(UNKNOWN_KEY);
        drop(dressed(&stranger, "/v1/x").send().await);
        drop(
            dressed(&client, "/v1/x")
                .header("x-api-key", WEBHOOK)
                .send()
                .await,
        );
        drop(dressed(&known, "/v1/x").header("x-api-key", WEBHOOK).send().await);
        drop(
            known
                .post(&format!("/v1/x?key={QUERY}{OWN_KEY}"), "")
                .send()
                .await,
        );
        drop(
            dressed(&known, "/v1/x")
                .header("authorization", &format!("Basic {UNKNOWN_KEY}"))
                .send()
                .await,
        );
        drop(
            dressed(&known, "/v1/x")
                .header("connection", HEADER.split('/').next().unwrap())
                .try_send()
                .await,
        );
        // Bodies that cannot be read.
        for body in [
            format!("{{\"n\":\"{BODY}\"}}"),
            format!("{{\"n\":1,\"{BODY}"),
            format!("{{\"{BODY}\":1,\"n\":2,\"n\":1}}"),
            BODY.to_owned(),
        ] {
            let request = known
                .post("/v1/units", body)
                .header("content-type", "application/json");
            drop(request.send().await);
        }
        let (upload, stalled) = RigBody::stepped();
        let sending = tokio::spawn(known.post("/v1/x", "").body(stalled).send());
        upload.send(BODY).await;
        drop(sending.await);
        // One that leaves in the middle.
        let (upload, cut) = RigBody::stepped();
        let sending = tokio::spawn(known.post("/v1/x", "").body(cut).try_send());
        upload.send(BODY).await;
        upload.abort().await;
        drop(sending.await);
    }
    // What no library sends.
    for bytes in [
        format!("POST /v1/x?q={QUERY} HTTP/1.1\r\nhost: {HEADER}\r\nauthorization: Bearer {OWN_KEY}\r\n\r\n"),
        format!(
            "POST /v1/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {OWN_KEY}\r\nbad header {HEADER}\r\n\r\n"
        ),
        format!("{OWN_KEY} {QUERY} {HEADER}\r\n\r\n"),
        format!(
            "POST /v1/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {OWN_KEY}\r\ncontent-length: {HEADER}\r\n\r\n"
        ),
        format!(
            "POST /v1/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {OWN_KEY}\r\ntransfer-encoding: chunked\r\n\r\n{BODY}\r\n"
        ),
    ] {
        let mut raw = RawClient::connect(gate.listen()).await;
        raw.send(bytes).await;
        raw.half_close().await;
        drop(raw.read_to_end().await);
    }
    let mut raw = connect(gate.listen()).await;
    raw.send(frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &post("/v1/x", OWN_KEY),
    ))
    .await;
    raw.send(frame(HEADERS, 0, 3, &post("/v1/x", OWN_KEY))).await;
    raw.send(frame(CONTINUATION, END_HEADERS, 5, BODY.as_bytes()))
        .await;
    drop(raw.read_to_end().await);
}

#[tokio::test]
async fn s2_no_secret_stands_in_any_log_metric_or_answer_of_the_operator_at_any_level() {
    let redis = RedisServer::start(RedisOptions::default().password(REDIS)).await;
    let (upstream, http2) = (FakeUpstream::start().await, FakeUpstream::start().await);
    let good = config(&upstream, &http2, &redis, "");
    let gate = Faregate::start(&good, |spawn| {
        let spawn = spawn.env("UPSTREAM", UPSTREAM).env("OPERATOR", OPERATOR);
        spawn
            .env("STRIPE_WEBHOOK_SECRET", WEBHOOK)
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
    });
    gate.wait_ready().await;
    let mut told = String::new();
    for args in [
        &["account", "create", "acme"][..],
        &["grant", "add", "--account", "acme", "--amount", "10"],
    ] {
        gate.cli(args.iter().copied()).run().await.ok();
    }
    let imported = gate
        .cli(["key", "import", "--account", "acme", "--json"])
        .stdin(format!("{OWN_KEY}\n"))
        .run()
        .await
        .ok();
    told.push_str(&imported.stdout);
    let made = gate
        .cli(["key", "create", "--account", "acme", "--json"])
        .run()
        .await
        .ok()
        .json();
    let issued = made["key"].as_str().unwrap().to_owned();
    let secrets: Vec<&str> = ALL.iter().copied().chain([issued.as_str()]).collect();
    press(&gate, &upstream).await;
    assert_eq!(
        gate.client()
            .bearer(&issued)
            .post("/v1/http2", "{}")
            .send()
            .await
            .status(),
        200
    );

    // The operator's side: good tokens and bad, good bodies and bad.
    let admin = HttpClient::new(gate.admin());
    for (token, path) in [
        (OPERATOR, "/admin/v1/accounts"),
        (OPERATOR, "/admin/v1/accounts/acme/keys"),
        (OPERATOR, "/admin/v1/accounts/acme/entries"),
        (OPERATOR, "/admin/v1/nowhere"),
        (UNKNOWN_KEY, "/admin/v1/accounts"),
        (OPERATOR, "/metrics"),
        (OPERATOR, "/readyz"),
        (OPERATOR, "/admin/v1/openapi.json"),
    ] {
        told.push_str(&admin.get(path).bearer(token).send().await.text().await);
    }
    let twice = admin.post_json(
        "/admin/v1/accounts/acme/keys",
        &serde_json::json!({ "key": OWN_KEY, "nmae": WEBHOOK }),
    );
    told.push_str(&twice.bearer(OPERATOR).send().await.text().await);
    // Reloads: one that is refused with secrets all over the broken lines, one that changes a secret.
    for bad in [
        format!("token = \"{INLINE}"),
        format!("[[admin.tokens]]\nname = \"x\"\ntoken = \"{INLINE}\"\nrole = \"{INLINE}x\""),
        format!("tokn = \"{INLINE}\""),
        format!("token = {INLINE}"),
        format!("[[admin.tokens]]\nname = \"x\"\ntoken = [\"{INLINE}\"]\nrole = \"all\""),
    ] {
        gate.configure(&config(&upstream, &http2, &redis, &bad));
        let refused = gate.cli(["reload"]).run().await;
        assert_ne!(refused.status.code(), Some(0), "{bad}");
        // What is not where a secret is written may be shown: a key's name, a role.
        if !bad.contains("role = \"canary") {
            told.push_str(&(refused.stdout + &refused.stderr));
        }
    }
    gate.configure(&good.replace("Bearer ${UPSTREAM}", "Basic ${UPSTREAM}"));
    let reloaded = gate.cli(["reload"]).run().await.ok();
    assert!(reloaded.stdout.contains("another secret"), "{}", reloaded.stdout);
    told.push_str(&(reloaded.stdout + &reloaded.stderr));
    assert_eq!(gate.stop().await, Some(0));

    let said = gate.process().said();
    assert!(
        said.contains("\"TRACE\"") && said.contains("/v1/units"),
        "the log is not talkative"
    );
    let log: String = said
        .lines()
        .filter(|line| !line.contains("canary-inline-token-0123456789x"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_silent("the log", &log, &secrets);
    assert_silent("an answer to the operator", &told, &secrets);
    for line in gate.process().lines(Stream::Stdout) {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
    // Nothing that is stored can open the gate.
    let mut connection = redis.client().get_connection().unwrap();
    let names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let mut stored = Vec::new();
    for name in &names {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(name).query(&mut connection).unwrap();
        stored.extend([name, &dump].map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    assert!(stored.len() > 4);
    assert_silent("Redis", &stored.join("\n"), &secrets);
}

#[tokio::test]
async fn s2_a_ledger_that_cannot_be_reached_is_named_without_its_password() {
    for url in [
        "redis://:PASSWORD@127.0.0.1:9/0",
        "redis://user:PASSWORD@no-such-host.invalid/0",
        "rediss://:PASSWORD@127.0.0.1:9",
    ] {
        let text = format!(
            "[server]\nlisten = \"@LISTEN@\"\n[admin]\nlisten = \"@ADMIN@\"\n[log]\nlevel = \"trace\"\n[ledger]\nbackend = \"redis\"\nurl = \"{}\"\n[upstreams.m]\nurl = \"http://127.0.0.1:9\"\n[[routes]]\nmatch = \"GET /m\"\nupstream = \"m\"\ncost = 0\n",
            url.replace("PASSWORD", INLINE)
        );
        let gate = Faregate::start(&text, |spawn| spawn);
        let said = || gate.process().said();
        within("something about the ledger", async {
            while gate.process().is_running() && !said().to_lowercase().contains("ledger") {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        gate.process().terminate();
        gate.process().wait_exit().await;
        assert!(said().to_lowercase().contains("ledger"), "{url}: {}", said());
        assert_silent(url, &said(), &[INLINE]);
    }
}

#[tokio::test]
async fn s3_no_key_of_a_client_reaches_the_upstream_in_any_header() {
    let upstream = FakeUpstream::start().await;
    let house = Gatehouse::start(
        "1",
        &routes(
            &upstream,
            ROUTES
                .replace("\"http2\"", "\"models\"")
                .replace("\"gone\"", "\"models\"")
                .as_str(),
        ),
    )
    .await;
    for client in [house.stranger(), house.stranger().http2()] {
        for name in ["authorization", "x-api-key", "api-key"] {
            let bearer = if name == "authorization" { "Bearer " } else { "" };
            let answer = client
                .post("/v1/x", "{}")
                .header(name, &format!("{bearer}{KEY}"))
                .header("proxy-authorization", &format!("Bearer {KEY}"))
                .header("cookie", &format!("key={KEY}"))
                .send()
                .await;
            assert_eq!(answer.status(), 200, "{name}");
            let seen = upstream.next_request().await;
            assert!(
                !format!("{:?} {}", seen.headers, seen.target()).contains(KEY),
                "{:?}",
                seen.headers
            );
            assert_eq!(seen.header("authorization"), Some("Bearer upstream-secret"));
            // The same key twice is one key; none of the copies passes.
            let twice = client
                .post("/v1/x", "{}")
                .bearer(KEY)
                .header("x-api-key", KEY)
                .header("api-key", KEY);
            assert_eq!(twice.send().await.status(), 200);
            let seen = upstream.next_request().await;
            assert!(!format!("{:?}", seen.headers).contains(KEY), "{:?}", seen.headers);
        }
        for query in [
            format!("?key={KEY}"),
            format!("?{KEY}"),
            format!("?a=1&api_key=x{KEY}y"),
        ] {
            let refused = client
                .post(&format!("/v1/x{query}"), "{}")
                .bearer(KEY)
                .send()
                .await;
            assert_eq!(refused.status(), 400, "{query}");
        }
    }
    assert_eq!(upstream.reached(), 12);
}

#[tokio::test]
async fn s1_a_key_is_looked_up_by_its_digest_and_is_too_random_to_guess() {
    use faregate::service::keys::SecretKey;
    use faregate::service::request_ids::kernel_entropy;
    let entropy = kernel_entropy();
    let keys: BTreeSet<String> = (0..1_000)
        .map(|_| SecretKey::generate(&entropy).reveal().to_owned())
        .collect();
    assert_eq!(keys.len(), 1_000);
    for key in &keys {
        let random = key.strip_prefix("fg_live_").unwrap();
        assert!(
            random.len() >= 31 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{key}"
        );
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        assert_eq!(SecretKey::import(key).unwrap().digest().0, digest);
    }
    // Each letter at each place: a constant or a counter in it would show.
    for place in 0..31 {
        let seen: BTreeSet<u8> = keys
            .iter()
            .map(|key| key.as_bytes()["fg_live_".len() + place])
            .collect();
        assert!(seen.len() > 40, "place {place} has only {seen:?}");
    }
}
