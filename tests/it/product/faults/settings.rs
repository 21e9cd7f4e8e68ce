//! A Redis whose settings are changed, or wrong.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use super::{Load, PRICE, Scene, charged_what_was_served, is_ready, ledger, patient, recovers, redis};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::within;

async fn tell(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    cmd.query_async::<redis::Value>(connection)
        .await
        .unwrap_or_else(|e| panic!("{words:?}: {e}"));
}

/// Every connection of clients but the one that says so.
const KILL_ALL: [&str; 4] = ["CLIENT", "KILL", "TYPE", "normal"];

#[tokio::test]
async fn b17_connections_killed_by_redis_are_made_again_and_nothing_is_lost_or_doubled() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    let key = shop.customer("acme", "1000000").await;
    let load = Load::start(&shop, &key, 8);
    let mut beside = redis.connection().await;
    for _ in 0..30 {
        load.pays(5).await;
        tell(&mut beside, &KILL_ALL).await;
    }
    let (paid, away) = load.stop().await;
    assert_eq!((paid, away), (shop.upstream.reached(), 0));
    charged_what_was_served(&shop, "acme", PRICE).await;
}

#[tokio::test]
async fn b17_connections_that_redis_closes_for_idleness_are_made_again_unseen() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    let key = shop.customer("acme", "100").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    let open = clients(&redis).await;
    assert!(!open.is_empty());
    redis.config_set("timeout", "1").await;
    // The sweep keeps one of them busy.
    within("idle connections to be closed", async {
        loop {
            let now = clients(&redis).await;
            if open.iter().filter(|id| now.contains(id)).count() <= 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for _ in 0..4 {
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    charged_what_was_served(&shop, "acme", PRICE).await;
}

/// The ids of the proxy's connections.
async fn clients(redis: &RedisServer) -> Vec<String> {
    let list: String = redis.command(&["CLIENT", "LIST"]).await;
    let ours = list.lines().filter(|line| !line.contains("cmd=client"));
    ours.filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn b17_a_redis_that_takes_no_more_connections_is_503_and_not_ready_until_it_does() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    let mut beside = redis.connection().await;
    tell(&mut beside, &["CONFIG", "SET", "maxclients", "1"]).await;
    tell(&mut beside, &KILL_ALL).await;
    let shop = scene.refuses().await;
    assert!(!is_ready(&shop.0).await);
    tell(&mut beside, &["CONFIG", "SET", "maxclients", "1000"]).await;
    recovers(shop).await;
}

#[tokio::test]
async fn b17_a_password_that_is_rotated_is_503_and_not_ready_until_it_fits_again() {
    let options = RedisOptions::default().persistence(Persistence::EverySec);
    let redis = RedisServer::start(options.password("first-password")).await;
    let scene = Scene::open(&redis).await;
    let mut beside = redis.connection().await;
    tell(&mut beside, &["CONFIG", "SET", "requirepass", "second-password"]).await;
    tell(&mut beside, &KILL_ALL).await;
    let shop = scene.refuses().await;
    // It is said what is wrong, and no password with it.
    within("the reason", async {
        loop {
            let mut ready = shop.0.faregate.admin_client().get("/readyz").send().await;
            assert_eq!(ready.status(), 503);
            let why = ready.text().await;
            assert!(!why.contains("first-password"), "{why}");
            if why.contains("Check user, password") {
                return;
            }
        }
    })
    .await;
    // The running proxy goes on with the password of its configuration.
    tell(&mut beside, &["CONFIG", "SET", "requirepass", "first-password"]).await;
    recovers(shop).await;
}

#[tokio::test]
async fn b18_a_redis_that_throws_records_out_is_refused_at_start() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    for policy in ["allkeys-lru", "volatile-ttl"] {
        redis.config_set("maxmemory-policy", policy).await;
        let refused = shop.try_second(&ledger(&redis), ROUTES);
        let status = refused.process().wait_exit().await;
        assert_eq!(status.code(), Some(1));
        let said = refused.process().said();
        assert!(said.contains(policy) && said.contains("noeviction"), "{said}");
    }
}

#[tokio::test]
async fn b18_no_record_ever_has_a_time_to_live_and_one_that_gets_it_is_told() {
    let redis = redis().await;
    let short = format!("{}\nhold_ttl = \"1s\"", ledger(&redis));
    let shop = Shop::with(&short, ROUTES).await;
    let key = shop.customer("acme", "100").await;
    let load = Load::start(&shop, &key, 4);
    load.pays(100).await;
    load.stop().await;
    let dated = [
        "--account",
        "acme",
        "--amount",
        "1",
        "--expires",
        "2099-01-01T00:00:00Z",
    ];
    shop.faregate
        .cli(["grant", "add"].into_iter().chain(dated))
        .run()
        .await
        .ok();
    let grants = shop.cli(["grant", "list", "--account", "acme"]).await;
    let first = grants["items"][0]["id"].as_str().unwrap().to_owned();
    shop.cli(["grant", "void", &first, "--account", "acme"]).await;
    shop.settled("acme").await;
    let keys: Vec<Vec<u8>> = redis.command(&["KEYS", "*"]).await;
    assert!(keys.len() > 100, "{}", keys.len());
    let mut connection = redis.connection().await;
    for key in &keys {
        let left: i64 = redis::cmd("PTTL")
            .arg(key.as_slice())
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(left, -1, "{}", String::from_utf8_lossy(key));
    }
    shop.verify().await;
    for kind in ["a", "g", "s", "e"] {
        let name = format!("fg:{{0}}:{kind}:acme");
        let set: i64 = redis.command(&["EXPIRE", &name, "100000"]).await;
        assert_eq!(set, 1, "{name}");
        let report = shop.faregate.cli(["ledger", "verify", "--json"]).run().await;
        assert_eq!(report.code(), 1);
        assert!(
            report.stdout.contains(&format!("{name} has a time to live")),
            "{report:?}"
        );
        redis.command::<i64>(&["PERSIST", &name]).await;
    }
    shop.verify().await;
}

#[tokio::test]
async fn b18_a_redis_that_will_forget_records_of_the_ledger_is_refused_at_start() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    let key = shop.customer("acme", "100").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    for name in [
        "fg:meta",
        "fg:{0}:p",
        "fg:{0}:j",
        "fg:{0}:a:acme",
        "fg:{0}:s:acme",
    ] {
        let set: i64 = redis.command(&["EXPIRE", name, "100000"]).await;
        assert_eq!(set, 1, "{name}");
        let refused = shop.try_second(&ledger(&redis), ROUTES);
        let status = refused.process().wait_exit().await;
        assert_eq!(status.code(), Some(1), "{name}");
        let said = refused.process().said();
        assert!(said.contains(&format!("(EXPIRE): {name}.")), "{said}");
        redis.command::<i64>(&["PERSIST", name]).await;
    }
    // What others keep in the same database is not the ledger's, and told of.
    redis
        .command::<()>(&["SET", "elsewhere", "1", "EX", "100000"])
        .await;
    let beside = shop.second(&ledger(&redis), ROUTES).await;
    let said = beside.process().said();
    assert!(
        said.contains("1 records in the ledger's Redis database"),
        "{said}"
    );
    assert_eq!(
        beside
            .client()
            .bearer(&key)
            .post("/v1/rerank", "{}")
            .send()
            .await
            .status(),
        200
    );
    charged_what_was_served(&shop, "acme", PRICE).await;
}
