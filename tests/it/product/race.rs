//! Many at once, and the plug pulled: no overdraft, nothing lost, nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::shop::{EMBEDDED, Shop};
use crate::rig::client::HttpConn;
use crate::rig::process::Faregate;
use crate::rig::{within, within_time};

/// A thousandth of a credit a request.
pub(super) const ROUTE: &str =
    "\n[[routes]]\nmatch = \"POST /v1/rerank\"\nupstream = \"models\"\ncost = 0.001\n";

/// What an account of one round can pay.
const PAYS_FOR: u64 = 1_000;

/// Requests of one round, all in flight at once.
const ASKED: usize = 5_000;

/// Streams that one HTTP/2 connection carries at once, as configured by default.
const STREAMS: usize = 100;

/// Clients under whom it is killed.
const CLIENTS: usize = 8;

/// How often, unless the environment says otherwise: the long run takes 100 rounds and 50 kills.
pub(super) fn times(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|times| times.parse().ok())
        .unwrap_or(default)
}

/// Sends [`ASKED`] requests through these proxies at once; returns how many were let through, and how many refused for want of credits.
async fn rush(proxies: &[&Faregate], key: &str) -> (u64, u64) {
    let mut conns = Vec::new();
    for n in 0..ASKED / STREAMS {
        conns.push(
            proxies[n % proxies.len()]
                .client()
                .http2()
                .bearer(key)
                .connect()
                .await,
        );
    }
    let (paid, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for conn in conns.iter().flat_map(|conn| std::iter::repeat_n(conn, STREAMS)) {
        let (conn, paid, refused): (HttpConn, _, _) = (conn.clone(), Arc::clone(&paid), Arc::clone(&refused));
        tasks.spawn(async move {
            let answer = conn.post("/v1/rerank", "{}").send().await;
            let counter = match answer.status() {
                200 => &paid,
                402 => &refused,
                other => panic!("{other} is neither paid nor refused"),
            };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
    within_time(Duration::from_secs(60), "all answers", tasks.join_all()).await;
    (paid.load(Ordering::Relaxed), refused.load(Ordering::Relaxed))
}

/// Rounds of the race; each on an account of its own.
pub(super) async fn race(shop: &Shop, proxies: &[&Faregate], rounds: usize) {
    for round in 0..rounds {
        let account = format!("racer{round}");
        let key = shop.customer(&account, "1").await;
        let before = shop.upstream.reached();
        let (paid, refused) = rush(proxies, &key).await;
        assert_eq!(
            (paid, refused),
            (PAYS_FOR, ASKED as u64 - PAYS_FOR),
            "round {round}"
        );
        assert_eq!(shop.upstream.reached() - before, PAYS_FOR, "round {round}");
        let settled = shop.settled(&account).await;
        assert_eq!(settled["available"], "0.000000", "round {round}");
        assert_eq!(settled["spent"], "1.000000", "round {round}");
    }
    shop.verify().await;
}

#[tokio::test]
async fn t3_five_thousand_at_once_on_an_embedded_ledger_pay_exactly_a_thousand_times() {
    // Debug builds on a busy machine are slow: what is asked here is who pays, not how fast.
    let shop = Shop::with(EMBEDDED, ROUTE).await;
    race(&shop, &[&shop.faregate], times("FAREGATE_RACES", 1)).await;
}

#[tokio::test]
async fn a19_killed_at_random_under_load_it_never_charges_more_than_was_granted_and_the_books_verify() {
    let ledger = format!("{EMBEDDED}\nhold_ttl = \"2s\"");
    killed_at_random(Shop::with(&ledger, ROUTE).await, None).await;
}

/// Kills the shop's proxy again and again while customers buy from it, and from another one if there is one. `hold_ttl` is two seconds.
pub(super) async fn killed_at_random(mut shop: Shop, second: Option<Faregate>) {
    let key = shop.customer("acme", "1000").await;
    let served = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let client = match &second {
            Some(second) if n % 2 == 0 => second.client().bearer(&key),
            _ => shop.client(&key),
        };
        let (served, stop) = (Arc::clone(&served), Arc::clone(&stop));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // Refused connections and broken answers are what is asked for here.
                match client.post_json("/v1/rerank", &json!({})).try_send().await {
                    Ok(answer) if answer.status() == 200 => drop(served.fetch_add(1, Ordering::Relaxed)),
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        });
    }
    let kills = times("FAREGATE_KILLS", 5);
    for kill in 0..kills {
        let wanted = served.load(Ordering::Relaxed) + 20;
        within("requests get through between two kills", async {
            while served.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        // Somewhere in the next milliseconds, another place each time.
        tokio::time::sleep(Duration::from_micros(700 * (kill as u64 * 7 % 11))).await;
        shop.faregate.kill9_and_restart();
        shop.faregate.wait_ready().await;
    }
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
    let account = within_time(
        Duration::from_secs(10),
        "unfinished holds end",
        shop.settled("acme"),
    )
    .await;
    let spent = thousandths(&account["spent"]);
    // An answer that went out just before a kill may be free: its hold ended by time, and `on_expiry` gave it back.
    let unsettled = (CLIENTS * kills) as u64;
    assert!(
        spent + unsettled >= served.load(Ordering::Relaxed),
        "answered {served:?}, charged {spent}"
    );
    assert!(
        spent <= shop.upstream.reached(),
        "the upstream saw {}, charged {spent}",
        shop.upstream.reached()
    );
    shop.verify().await;
}

fn thousandths(credits: &serde_json::Value) -> u64 {
    let (whole, fraction) = credits
        .as_str()
        .and_then(|c| c.split_once('.'))
        .expect("a decimal");
    format!("{whole}{}", &fraction[..3]).parse().expect("a number")
}
