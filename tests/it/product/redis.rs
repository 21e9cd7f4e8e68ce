//! The whole product on a real Redis: two proxies on one account, and a Redis that is away, full or wiped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::race::{ROUTE, race, times};
use super::shop::{ROUTES, Shop};
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::tls::TestCa;
use crate::rig::upstream::{Gate, Reply};
use crate::rig::within;

pub(crate) fn ledger(redis: &RedisServer) -> String {
    format!("backend = \"redis\"\nurl = \"{}\"", redis.url())
}

pub(crate) async fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default().persistence(Persistence::EverySec)).await
}

/// One that loses nothing when it is killed, however busy the disk is.
async fn durable_redis() -> RedisServer {
    RedisServer::start(RedisOptions::default().persistence(Persistence::Always)).await
}

#[tokio::test]
async fn g8_five_thousand_at_once_through_two_proxies_pay_exactly_a_thousand_times() {
    let redis = redis().await;
    // Debug builds on a busy machine are slow: what is asked here is who pays, not how fast.
    let patient = format!("{}\ntimeout = \"10s\"", ledger(&redis));
    let shop = Shop::with(&patient, ROUTE).await;
    let second = shop.second(&patient, ROUTE).await;
    race(&shop, &[&shop.faregate, &second], times("FAREGATE_RACES", 1)).await;
}

#[tokio::test]
async fn a_key_revoked_through_one_proxy_opens_nothing_on_the_other() {
    let redis = redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let second = shop.second(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "10").await;
    let on_second = || {
        second
            .client()
            .bearer(&key)
            .post_json("/v1/rerank", &json!({}))
            .send()
    };
    assert_eq!(on_second().await.status(), 200);
    let keys = shop.cli(["key", "list", "--account", "acme"]).await;
    let id = keys["items"][0]["id"].as_str().unwrap().to_owned();
    shop.cli(["key", "revoke", &id, "--account", "acme"]).await;
    assert_eq!(on_second().await.status(), 401);
    shop.verify().await;
}

#[tokio::test]
async fn b1_with_redis_down_the_answer_is_503_within_a_second_and_nothing_is_served() {
    let mut redis = durable_redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "10").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    let served = shop.upstream.reached();
    redis.kill9();
    for _ in 0..3 {
        let asked = Instant::now();
        let mut answer = shop.buy(&key, "/v1/chat/completions").await;
        assert_eq!(answer.status(), 503);
        assert!(
            asked.elapsed() < Duration::from_millis(1_250),
            "{:?}",
            asked.elapsed()
        );
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.json().await["error"]["code"], "ledger_unavailable");
    }
    assert_eq!(shop.upstream.reached(), served);
    // Where the ledger is, and what ails it, is for the operator.
    let mut balance = shop.client(&key).get("/faregate/v1/balance").send().await;
    assert_eq!(balance.status(), 503);
    assert_eq!(balance.header("x-should-retry"), Some("true"));
    assert!(balance.header("retry-after").is_some());
    let body = balance.json().await;
    assert_eq!(body["code"], "ledger_unavailable");
    assert!(!body.to_string().contains("edis"), "{body}");
    redis.restart().await;
    within("the gate opens again", async {
        while shop.buy(&key, "/v1/rerank").await.status() != 200 {}
    })
    .await;
    shop.settled("acme").await;
    shop.verify().await;
}

#[tokio::test]
async fn b6_a_wiped_redis_serves_nobody() {
    let redis = redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "10").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    let served = shop.upstream.reached();
    redis.flushall().await;
    for _ in 0..3 {
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 503);
    }
    assert_eq!(shop.client(&key).get("/v1/models").send().await.status(), 503);
    assert_eq!(shop.upstream.reached(), served);
}

#[tokio::test]
async fn b2_redis_away_when_the_answer_ends_is_settled_later_exactly_once() {
    let mut redis = durable_redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "10").await;
    // The charge is known when the answer's head comes.
    let gate = Gate::new();
    shop.upstream.answer_next(Reply::ok("late").when(&gate));
    let request = tokio::spawn(shop.client(&key).post_json("/v1/rerank", &json!({})).send());
    shop.upstream.next_request().await;
    redis.kill9();
    gate.open();
    let mut answer = request.await.unwrap();
    assert_eq!((answer.status(), answer.text().await), (200, "late".to_owned()));
    redis.restart().await;
    let account = shop.settled("acme").await;
    assert_eq!(account["spent"], "0.250000");
    shop.verify().await;
}

/// TCP, TLS and a Unix socket; a password, a user with a list of what he may, another database: a request is paid on each, and on no other.
#[tokio::test]
async fn a_redis_is_reached_in_every_way_that_a_url_can_say() {
    let plain = || RedisOptions::default().persistence(Persistence::EverySec);
    let secret = RedisServer::start(plain().password("open-sesame").databases(8)).await;
    let user = RedisServer::start(plain().acl_user("gate", "for-the-gate")).await;
    let tls = RedisServer::start(plain().tls(Arc::new(TestCa::new())).password("open-sesame")).await;
    let trusted = format!("\nca = \"{}\"", tls.dir().join("ca.pem").display());
    for (way, url, more) in [
        ("a password", secret.url(), ""),
        ("another database", secret.url_of_database(5), ""),
        ("a user", user.url(), ""),
        ("a Unix socket and a user", user.unix_url() + "&db=3", ""),
        ("TLS and a password", tls.url(), trusted.as_str()),
    ] {
        let ledger = format!("backend = \"redis\"\nurl = \"{url}\"\ntimeout = \"10s\"{more}");
        let shop = Shop::with(&ledger, ROUTES).await;
        let key = shop.customer("acme", "1").await;
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200, "{way}");
        shop.settled("acme").await;
        let accounts = shop.cli(["account", "list"]).await;
        assert_eq!(accounts["items"], json!(["acme"]), "{way}");
        shop.verify().await;
    }
    // Each in its own database: the first two and the next two share a server.
    for (server, databases) in [(&secret, [0, 5]), (&user, [0, 3])] {
        for database in databases {
            let keys = server.info(&format!("db{database}")).await;
            assert!(keys.starts_with("keys="), "{database}: {keys}");
        }
    }
}
