//! The whole product on a Redis Cluster.

use std::time::Duration;

use super::shop::{ROUTES, Shop};
use crate::rig::cluster::RedisCluster;
use crate::rig::redis::{Persistence, RedisOptions};
use crate::rig::within;

fn ledger(cluster: &RedisCluster) -> String {
    format!(
        "backend = \"redis\"\nurls = {:?}\ntimeout = \"5s\"",
        cluster.urls()
    )
}

#[tokio::test]
async fn b14_a_cluster_serves_keys_and_requests_until_nothing_is_left() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let shop = Shop::with(&ledger(&cluster), ROUTES).await;
    let second = shop.second(&ledger(&cluster), ROUTES).await;
    for n in 0..6 {
        let account = format!("customer-{n}");
        let key = shop.customer(&account, "1").await;
        for _ in 0..2 {
            assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
            let there = second
                .client()
                .bearer(&key)
                .post_json("/v1/rerank", &serde_json::json!({}));
            assert_eq!(there.send().await.status(), 200);
        }
        let mut answer = shop.buy(&key, "/v1/chat/completions").await;
        assert_eq!(answer.status(), 402);
        assert_eq!(answer.json().await["error"]["code"], "insufficient_credits");
        let shown = shop.settled(&account).await;
        assert_eq!(
            (&shown["spent"], &shown["available"]),
            (&"1.000000".into(), &"0.000000".into())
        );
    }
    let listed = shop.cli(["account", "list"]).await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(6), "{listed:#}");
    shop.verify().await;
}

#[tokio::test]
async fn b14_a_master_that_goes_closes_the_gate_for_its_accounts_alone() {
    let options = RedisOptions::default()
        .persistence(Persistence::Always)
        .line("cluster-require-full-coverage no");
    let mut cluster = RedisCluster::start(options).await;
    let quick = ledger(&cluster).replace("5s", "800ms");
    let shop = Shop::with(&quick, ROUTES).await;
    let mut customers = Vec::new();
    for n in 0..12 {
        let account = format!("customer-{n}");
        let key = shop.customer(&account, "10").await;
        // So that the gate knows the key, on each of its workers.
        for _ in 0..4 {
            assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
        }
        customers.push((account, key));
    }
    let served = shop.upstream.reached();
    cluster.node_mut(0).kill9();
    let (mut open, mut closed) = (0, 0);
    for (_, key) in &customers {
        let asked = std::time::Instant::now();
        match shop.buy(key, "/v1/rerank").await.status() {
            200 => open += 1,
            503 => closed += 1,
            other => panic!("{other}"),
        }
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    }
    assert!(open > 0 && closed > 0, "{open} served, {closed} refused");
    assert_eq!(shop.upstream.reached(), served + open);

    cluster.node_mut(0).restart().await;
    cluster.wait_ok().await;
    for (account, key) in &customers {
        within("the gate opens again", async {
            while shop.buy(key, "/v1/rerank").await.status() != 200 {}
        })
        .await;
        shop.settled(account).await;
    }
    shop.verify().await;
}
