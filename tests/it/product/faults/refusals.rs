//! A Redis that is there and does not do what it is asked.

use std::time::Duration;

use super::{Scene, charged_what_was_served, is_ready, metric, recovers, redis};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::within;

/// Runs a script that does not end, beside everything.
async fn occupy(redis: &RedisServer, script: &'static str) {
    let mut connection = redis.connection().await;
    tokio::spawn(async move {
        let _: redis::RedisResult<()> = redis::cmd("EVAL")
            .arg(script)
            .arg(0)
            .query_async(&mut connection)
            .await;
    });
    within("Redis to be busy", async {
        loop {
            match redis.try_command::<String>(&["PING"]).await {
                Err(error) if error.code() == Some("BUSY") => return,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await;
}

fn impatient() -> RedisOptions {
    // Both the name of Redis 6 and of 7.
    RedisOptions::default().line("lua-time-limit 10")
}

#[tokio::test]
async fn b10_a_redis_busy_with_a_script_is_503_until_the_script_is_killed() {
    let redis = RedisServer::start(impatient()).await;
    let scene = Scene::open(&redis).await;
    occupy(&redis, "while true do end").await;
    let shop = scene.refuses().await;
    assert!(!is_ready(&shop.0).await);
    redis.command::<()>(&["SCRIPT", "KILL"]).await;
    recovers(shop).await;
}

#[tokio::test]
async fn b10_a_redis_that_cannot_be_unblocked_is_killed_and_everything_goes_on() {
    let always = crate::rig::redis::Persistence::Always;
    let mut redis = RedisServer::start(impatient().persistence(always)).await;
    let scene = Scene::open(&redis).await;
    occupy(&redis, "redis.call('SET', 'elsewhere', 1) while true do end").await;
    let killed = redis.try_command::<()>(&["SCRIPT", "KILL"]).await;
    assert_eq!(killed.unwrap_err().code(), Some("UNKILLABLE"));
    let shop = scene.refuses().await;
    redis.restart().await;
    recovers(shop).await;
}

#[tokio::test]
async fn b11_a_full_redis_is_503_at_admission_and_captures_are_retried_until_they_are_done() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    redis.config_set("maxmemory", "1").await;
    let shop = scene.refuses().await;
    redis.config_set("maxmemory", "0").await;
    recovers(shop).await;
}

#[tokio::test]
async fn b11_a_redis_that_is_four_fifths_full_is_told_of_before_it_refuses_anything() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    let shows = async |name, wanted: &dyn Fn(f64) -> bool| {
        within(name, async {
            while !wanted(metric(&scene.shop, name).await) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    shows("faregate_ledger_memory_bytes", &|bytes| bytes > 500_000.0).await;
    assert_eq!(metric(&scene.shop, "faregate_ledger_memory_max_bytes").await, 0.0);
    // So much that a connection more or less makes no difference.
    redis
        .command::<i64>(&["SETRANGE", "elsewhere", "30000000", "x"])
        .await;
    let used: u64 = redis.info("used_memory").await.parse().unwrap();
    for (max, told) in [(2 * used, 0), (used * 100 / 90, 1)] {
        redis.config_set("maxmemory", &max.to_string()).await;
        shows("faregate_ledger_memory_max_bytes", &|bytes| bytes == max as f64).await;
        let said = || scene.shop.faregate.process().said();
        within("the line of the log", async {
            while said().matches("more than 80 % full").count() != told {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    redis.config_set("maxmemory", "0").await;
    scene.answer.open();
    assert_eq!(scene.running.await.unwrap().status(), 200);
    charged_what_was_served(&scene.shop, "acme", super::PRICE).await;
}

#[tokio::test]
async fn b12_readonly_is_a_503_never_a_402() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let shop = scene.refuses().await;
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    recovers(shop).await;
}

#[tokio::test]
async fn b12_masterdown_is_a_503_never_a_402() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    redis.config_set("replica-serve-stale-data", "no").await;
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let shop = scene.refuses().await;
    assert!(!is_ready(&shop.0).await);
    redis.command::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    recovers(shop).await;
}

#[tokio::test]
async fn b12_noreplicas_is_a_503_never_a_402() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    redis.config_set("min-replicas-to-write", "1").await;
    let shop = scene.refuses().await;
    redis.config_set("min-replicas-to-write", "0").await;
    recovers(shop).await;
}

#[tokio::test]
async fn b12_misconf_is_a_503_never_a_402() {
    let redis = redis().await;
    let scene = Scene::open(&redis).await;
    // A snapshot that cannot be renamed into its place is one that failed, and then Redis takes no writes.
    let in_the_way = redis.dir().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    redis.config_set("save", "3600 1").await;
    snapshot(&redis, "err").await;
    let shop = scene.refuses().await;
    std::fs::remove_dir(&in_the_way).unwrap();
    snapshot(&redis, "ok").await;
    recovers(shop).await;
}

async fn snapshot(redis: &RedisServer, expected: &str) {
    redis.command::<()>(&["BGSAVE"]).await;
    within(format!("a snapshot that is {expected}"), async {
        while redis.info("rdb_last_bgsave_status").await != expected
            || redis.info("rdb_bgsave_in_progress").await != "0"
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn b13_scripts_forgotten_under_load_are_loaded_again_and_applied_once() {
    let redis = redis().await;
    let shop = super::Shop::with(&super::patient(&super::ledger(&redis)), super::ROUTES).await;
    let key = shop.customer("acme", "1000000").await;
    let load = super::Load::start(&shop, &key, 8);
    for _ in 0..50 {
        load.pays(5).await;
        redis.command::<()>(&["SCRIPT", "FLUSH"]).await;
    }
    let (paid, away) = load.stop().await;
    assert_eq!((paid, away), (shop.upstream.reached(), 0));
    charged_what_was_served(&shop, "acme", super::PRICE).await;
}
