//! A Redis that is away for a while: who waits, who is turned away, when it goes on.

use std::time::{Duration, Instant};

use super::{PRICE, SOON, charged_what_was_served, durable_redis, ledger, metric, redis};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::client::HttpConn;
use crate::rig::within;

/// Nobody has waited for Redis who was answered within this: a fraction of what a request may wait.
const AT_ONCE: Duration = Duration::from_millis(200);

async fn buy(conn: &HttpConn) -> (u16, Duration) {
    let asked = Instant::now();
    let answer = conn.post("/v1/rerank", "{}").send().await;
    if answer.status() == 503 {
        assert!(answer.header("retry-after").is_some());
    }
    (answer.status(), asked.elapsed())
}

#[tokio::test]
async fn b1_b15_while_redis_is_away_requests_are_turned_away_at_once_and_served_soon_after() {
    let mut redis = durable_redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let key = shop.customer("acme", "100").await;
    // On one connection, so that all meet the same worker.
    let conn = shop.client(&key).http2().connect().await;
    assert_eq!(buy(&conn).await.0, 200);
    shop.settled("acme").await;
    assert_eq!(metric(&shop, "faregate_ledger_shed_total").await, 0.0);

    redis.kill9();
    let (status, took) = buy(&conn).await;
    assert_eq!(status, 503);
    assert!(took < SOON, "{took:?}");
    // From now on at most one a second waits to see whether it is back.
    let (mut at_once, mut waited) = (0, 0);
    let since = Instant::now();
    while at_once < 200 || since.elapsed() < Duration::from_secs(2) {
        let (status, took) = buy(&conn).await;
        assert_eq!(status, 503);
        assert!(took < SOON, "{took:?}");
        *(if took < AT_ONCE { &mut at_once } else { &mut waited }) += 1;
    }
    let seconds = since.elapsed().as_secs() + 1;
    assert!(waited <= seconds, "{waited} waited in {seconds} s");
    assert!(metric(&shop, "faregate_ledger_shed_total").await >= 200.0);

    redis.restart().await;
    let back = Instant::now();
    within("the gate opens again", async {
        while buy(&conn).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    let shed = metric(&shop, "faregate_ledger_shed_total").await;
    for _ in 0..20 {
        assert_eq!(buy(&conn).await.0, 200);
    }
    assert_eq!(metric(&shop, "faregate_ledger_shed_total").await, shed);
    charged_what_was_served(&shop, "acme", PRICE).await;
}

#[tokio::test]
async fn b16_who_it_is_and_what_it_costs_share_one_patience_with_a_redis_that_does_not_answer() {
    let redis = redis().await;
    let shop = Shop::with(&ledger(&redis), ROUTES).await;
    let keys = [shop.customer("acme", "100").await, shop.key("acme").await];
    assert_eq!(shop.buy(&keys[0], "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    redis.freeze();
    // A key that is known and one that is not, many at once.
    let mut asking = tokio::task::JoinSet::new();
    for key in keys.iter().cycle().take(40) {
        let conn = shop.client(key).connect().await;
        asking.spawn(async move { buy(&conn).await });
    }
    for (status, took) in asking.join_all().await {
        assert_eq!(status, 503);
        assert!(took < SOON, "{took:?}");
    }
    redis.thaw();
    for key in &keys {
        shop.opens(key).await;
    }
    charged_what_was_served(&shop, "acme", PRICE).await;
}
