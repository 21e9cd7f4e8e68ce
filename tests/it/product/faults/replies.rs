//! Replies that do not arrive: what was asked is asked again under the same id until it is decided.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Load, PRICE, charged_what_was_served, patient, redis};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::fault::{Cut, Fault, FaultProxy};

/// Replies of one scenario that are lost, one after the other.
const REPLIES: u64 = 14;

#[tokio::test]
async fn b3_whichever_reply_is_lost_the_same_question_is_asked_again_and_counts_once() {
    let redis = redis().await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let ledger = patient(&format!(
        "backend = \"redis\"\nurl = \"redis://{}\"",
        proxy.addr()
    ));
    let shop = Shop::with(&ledger, ROUTES).await;
    let key = shop.customer("acme", "1000").await;
    // Keys that no worker knows yet.
    let fresh: Vec<_> = (0..2 * REPLIES)
        .map(|n| format!("sk-a-key-of-before-{n:04}"))
        .collect();
    let import = shop.faregate.cli(["key", "import", "--account", "acme"]);
    import.stdin(fresh.join("\n")).run().await.ok();
    let mut fresh = fresh.iter();
    for nth in 1..=REPLIES {
        for cut in [Cut::Close, Cut::Reset] {
            let struck = proxy.counts().struck;
            proxy.arm_with(Fault::DropReply { nth }, cut);
            let fresh = fresh.next().unwrap();
            while proxy.counts().struck == struck {
                assert_eq!(shop.buy(fresh, "/v1/rerank").await.status(), 200, "reply {nth}");
                assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200, "reply {nth}");
            }
        }
    }
    charged_what_was_served(&shop, "acme", PRICE).await;
}

#[tokio::test]
async fn b3_whichever_reply_to_an_operator_is_lost_his_grant_counts_once() {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let redis = redis().await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let ledger = patient(&format!(
        "backend = \"redis\"\nurl = \"redis://{}\"",
        proxy.addr()
    ));
    let shop = Shop::with(&ledger, ROUTES).await;
    shop.customer("acme", "0").await;
    for nth in 1..=6 {
        let struck = proxy.counts().struck;
        proxy.arm(Fault::DropReply { nth });
        while proxy.counts().struck == struck {
            let id = format!("g{}", GIVEN.fetch_add(1, Ordering::Relaxed));
            let words = ["grant", "add", "--account", "acme", "--amount", "1", "--id", &id];
            let give = shop.faregate.cli(words);
            // Told that the answer is not known, the operator says the same again.
            while give.run().await.code() != 0 {}
        }
    }
    let account = shop.account("acme").await;
    let given = GIVEN.load(Ordering::Relaxed) * 1_000_000;
    assert_eq!(
        (
            super::micros(&account["granted"]),
            super::micros(&account["available"])
        ),
        (given, given)
    );
    shop.verify().await;
}

#[tokio::test]
async fn b3_b17_an_operator_hears_nothing_of_a_connection_that_ends_before_its_reply() {
    let redis = redis().await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let ledger = patient(&format!(
        "backend = \"redis\"\nurl = \"redis://{}\"",
        proxy.addr()
    ));
    let shop = Shop::with(&ledger, ROUTES).await;
    shop.customer("acme", "1").await;
    for nth in 1..=3 {
        for cut in [Cut::Close, Cut::Reset] {
            let struck = proxy.counts().struck;
            proxy.arm_with(Fault::DropReply { nth }, cut);
            while proxy.counts().struck == struck {
                shop.account("acme").await;
            }
        }
    }
    shop.verify().await;
}

#[tokio::test]
async fn b3_b17_connections_cut_again_and_again_under_load_lose_and_double_nothing() {
    let redis = redis().await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let ledger = patient(&format!(
        "backend = \"redis\"\nurl = \"redis://{}\"",
        proxy.addr()
    ));
    let shop = Shop::with(&ledger, ROUTES).await;
    let key = shop.customer("acme", "1000000").await;
    let load = Load::start(&shop, &key, 8);
    for round in 0..20 {
        load.pays(5).await;
        proxy.cut([Cut::Close, Cut::Reset][round % 2]).await;
        proxy.arm(Fault::DropReply {
            nth: 1 + round as u64 % 7,
        });
    }
    let (paid, away) = load.stop().await;
    proxy.disarm();
    assert_eq!((paid, away), (shop.upstream.reached(), 0));
    charged_what_was_served(&shop, "acme", PRICE).await;
}
