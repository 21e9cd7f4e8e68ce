//! Processes that die: Redis, the proxy.

use std::time::Duration;

use serde_json::json;

use super::{Load, PRICE, Scene, charged_what_was_served, durable_redis, ledger, patient, recovers, redis};
use crate::product::race::{self, ROUTE};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::upstream::{Gate, Reply};
use crate::rig::{within, within_time};

#[tokio::test]
async fn b4_redis_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let mut redis = durable_redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "1000000").await;
    let load = Load::start(&shop, &key, 8);
    for kill in 0..race::times("FAREGATE_KILLS", 6) {
        load.pays(20).await;
        // Somewhere in the next milliseconds, another place each time.
        tokio::time::sleep(Duration::from_micros(900 * (kill as u64 * 7 % 11))).await;
        redis.kill9();
        redis.restart_without_waiting();
    }
    load.pays(20).await;
    let (paid, _) = load.stop().await;
    assert_eq!(paid, shop.upstream.reached());
    charged_what_was_served(&shop, "acme", PRICE).await;
}

#[tokio::test]
async fn b4_a_redis_that_loads_its_data_is_waited_for() {
    let persistence = crate::rig::redis::Persistence::Always;
    // A millisecond for each command that it loads, in microseconds.
    let slow = RedisOptions::default()
        .persistence(persistence)
        .line("key-load-delay 1000");
    let mut redis = RedisServer::start(slow).await;
    let scene = Scene::open(&redis).await;
    let fill = "for i = 1, 9000 do redis.call('SET', 'elsewhere' .. i, i) end";
    redis.command::<()>(&["EVAL", fill, "0"]).await;
    redis.kill9();
    redis.restart_without_waiting();
    within("Redis to load", async {
        loop {
            match redis.try_command::<String>(&["PING"]).await {
                Err(error) if error.code() == Some("LOADING") => return,
                Ok(_) => panic!("it has loaded already"),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await;
    recovers(scene.refuses().await).await;
}

#[tokio::test]
async fn a18_told_to_stop_while_redis_is_down_it_says_what_is_not_settled_and_time_ends_the_hold() {
    let mut redis = durable_redis().await;
    let short = format!("{}\nhold_ttl = \"2s\"", ledger(&redis));
    let shop = Shop::with(&short, ROUTES).await;
    let key = shop.customer("acme", "1").await;
    let answer = Gate::new();
    shop.upstream.answer_next(Reply::ok("late").when(&answer));
    let running = tokio::spawn(shop.client(&key).post_json("/v1/rerank", &json!({})).send());
    shop.upstream.next_request().await;
    redis.kill9();
    answer.open();
    assert_eq!(running.await.unwrap().text().await, "late");
    shop.faregate.process().terminate();
    let status = shop
        .faregate
        .process()
        .wait_exit_within(Duration::from_secs(25))
        .await;
    assert_eq!(status.code(), Some(1));
    let said = shop.faregate.process().said();
    assert!(said.contains("1 requests not settled"), "{said}");
    redis.restart().await;
    let next = shop.second(&short, ROUTES).await;
    let shop = Shop {
        faregate: next,
        ..shop
    };
    let account = within_time(Duration::from_secs(20), "the hold's end", shop.settled("acme")).await;
    assert_eq!(account["available"], "1.000000");
    shop.verify().await;
}

#[tokio::test]
async fn a19_one_of_two_proxies_killed_at_random_under_load_never_charges_more_than_was_served() {
    let redis = redis().await;
    let short = format!("{}\nhold_ttl = \"2s\"", patient(&ledger(&redis)));
    let shop = Shop::with(&short, ROUTE).await;
    let second = shop.second(&short, ROUTE).await;
    race::killed_at_random(shop, Some(second)).await;
}
