//! `ledger copy`: from the embedded ledger to Redis, whole or not at all.

use std::time::Duration;

use faregate::clock::{Clock, SystemClock};
use faregate::domain::time::Span;
use serde_json::{Value, json};

use super::shop::{EMBEDDED, ROUTES, Shop};
use crate::rig::cluster::RedisCluster;
use crate::rig::fault::{Fault, FaultProxy};
use crate::rig::process::{Finished, Spawn};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::tls::TestCa;
use crate::rig::upstream::{Gate, Reply};
use crate::rig::within;

const PLANS: &str = r#"
[plans.pro]
requests_per_minute = 1000
credit_line = 1
"#;

fn rest() -> String {
    format!("{ROUTES}{PLANS}")
}

fn on(redis: &RedisServer) -> String {
    format!("backend = \"redis\"\nurl = \"{}\"", redis.url())
}

fn copying(shop: &Shop, to: &str) -> Spawn {
    let config = shop.faregate.dir().join("config.toml");
    let config = config.to_str().unwrap();
    shop.faregate
        .cli(["ledger", "copy", "--config", config, "--to", to, "--json"])
}

async fn copy(shop: &Shop, to: &str) -> Finished {
    copying(shop, to).run().await
}

/// Refused, and it says all of this.
#[track_caller]
fn refused(done: &Finished, parts: &[&str]) {
    assert_eq!(done.code(), 1, "{}{}", done.stdout, done.stderr);
    for part in parts {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}

/// Starts the proxy again, on another ledger.
async fn go_on(shop: &mut Shop, ledger: &str) {
    shop.configure(ledger, &rest());
    shop.faregate.kill9_and_restart();
    shop.faregate.wait_ready().await;
}

/// What a proxy says that must not serve.
async fn why_not(shop: &Shop, ledger: &str) -> String {
    let other = shop.try_second(ledger, &rest());
    let status = other.process().wait_exit().await;
    assert_eq!(status.code(), Some(1), "{}", other.process().said());
    other.process().said()
}

/// Accounts that have one of everything; the key that buys.
async fn lived(shop: &mut Shop) -> String {
    shop.cli(["account", "create", "acme", "--plan", "pro"]).await;
    let second = |n| {
        let at = SystemClock.now().plus(Span::from_secs(n)).micros();
        jiff::Timestamp::from_microsecond(at).unwrap().to_string()
    };
    let soon = second(1);
    let later = second(1_000_000);
    for more in [
        &["--id", "bought", "--amount", "10"][..],
        &[
            "--id",
            "given",
            "--amount",
            "2",
            "--category",
            "promotional",
            "--priority",
            "10",
        ],
        &["--id", "short", "--amount", "3", "--expires", &soon],
        &["--id", "void", "--amount", "4"],
        &["--id", "next", "--amount", "5", "--effective", &later],
    ] {
        let add = ["grant", "add", "--account", "acme"].iter().chain(more);
        shop.faregate.cli(add.copied()).run().await.ok();
    }
    shop.cli(["grant", "void", "void", "--account", "acme"]).await;
    let gift = shop
        .faregate
        .admin_client()
        .request(http::Method::PUT, "/admin/v1/accounts/acme/adjustments/gift");
    let gift = gift
        .header("content-type", "application/json")
        .body(crate::rig::body::RigBody::whole(
            json!({ "amount": "0.5", "reason": "sorry" }).to_string(),
        ));
    assert_eq!(gift.send().await.status(), 200);
    let key = shop.key("acme").await;
    let gone = shop.cli(["key", "create", "--account", "acme"]).await;
    shop.cli(["key", "revoke", gone["id"].as_str().unwrap(), "--account", "acme"])
        .await;
    let import = shop.faregate.cli(["key", "import", "--account", "acme"]);
    import
        .stdin("sk-existing-key-of-another-gateway\n")
        .run()
        .await
        .ok();
    within("the short grant to expire", async {
        while shop.account("acme").await["expired"] == "0.000000" {}
    })
    .await;
    for _ in 0..30 {
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    shop.upstream.answer_next(Reply::status(500));
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 500);
    shop.customer("paused", "1").await;
    shop.cli(["account", "pause", "paused", "--reason", "dispute:dp_1"])
        .await;
    shop.cli(["account", "pause", "paused", "--reason", "manual"])
        .await;
    shop.settled("acme").await;
    // A proxy that is killed leaves a hold open.
    let key_of_killed = shop.customer("killed", "1").await;
    let served = shop.upstream.reached();
    let never = Gate::new();
    shop.upstream.answer_next(Reply::ok("never").when(&never));
    let request = tokio::spawn(
        shop.client(&key_of_killed)
            .post_json("/v1/rerank", &json!({}))
            .try_send(),
    );
    shop.upstream.wait_reached(served + 1).await;
    shop.faregate.kill9_and_restart();
    let _ = request.await;
    shop.faregate.wait_ready().await;
    assert_eq!(shop.account("killed").await["held"], "0.250000");
    key
}

/// All that people see of the accounts, but for the time and the places of entries in the journal.
async fn seen(shop: &Shop, key: &str) -> Value {
    let mut all = Vec::new();
    for id in ["acme", "paused", "killed"] {
        let mut history = shop.cli(["ledger", "history", id, "--limit", "1000"]).await;
        for entry in history["entries"].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().remove("seq");
        }
        let mut account = shop.account(id).await;
        account.as_object_mut().unwrap().remove("as_of");
        all.push(json!({
            "account": account,
            "grants": shop.cli(["grant", "list", "--account", id]).await,
            "keys": shop.cli(["key", "list", "--account", id]).await,
            "history": history,
        }));
    }
    let usage = shop
        .client(key)
        .get("/faregate/v1/usage")
        .send()
        .await
        .json()
        .await;
    json!({ "accounts": all, "usage": usage })
}

#[tokio::test]
async fn all_accounts_keys_and_history_are_in_redis_after_a_copy_and_the_old_ledger_serves_no_more() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let mut shop = Shop::with(EMBEDDED, &rest()).await;
    let key = lived(&mut shop).await;
    let before = seen(&shop, &key).await;
    // Not while it runs.
    refused(&copy(&shop, &redis.url()).await, &["in use", "stop it first"]);
    shop.faregate.stop().await;
    let done = copy(&shop, &redis.url()).await.ok().json();
    let said = done["done"].as_str().unwrap();
    assert!(
        said.contains("3 accounts") && said.contains("backend = \"redis\""),
        "{said}"
    );

    let said = why_not(
        &shop,
        &EMBEDDED.replace("@DIR@", shop.faregate.dir().to_str().unwrap()),
    )
    .await;
    for part in ["was copied to Redis at", "ledger.copied", "go back"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    go_on(&mut shop, &on(&redis)).await;
    assert_eq!(seen(&shop, &key).await, before);
    shop.verify().await;

    let again = [
        "grant",
        "add",
        "--account",
        "acme",
        "--id",
        "bought",
        "--amount",
        "10",
    ];
    shop.cli(again).await;
    for key in [key.as_str(), "sk-existing-key-of-another-gateway"] {
        assert_eq!(shop.buy(key, "/v1/rerank").await.status(), 200);
    }
    let (now, was) = (shop.settled("acme").await, &before["accounts"][0]["account"]);
    assert_eq!(now["granted"], was["granted"]);
    assert_eq!(
        (&was["spent"], &now["spent"]),
        (&"7.500000".into(), &"8.000000".into())
    );
    shop.verify().await;
    let rebuilt = shop.cli(["ledger", "rebuild"]).await;
    assert_eq!(rebuilt["differences"], json!([]), "{rebuilt:#}");

    // A second copy over it is refused, also by the way back.
    shop.faregate.stop().await;
    shop.configure(EMBEDDED, &rest());
    refused(&copy(&shop, &redis.url()).await, &["was copied to Redis"]);
    std::fs::remove_file(shop.faregate.dir().join("ledger/ledger.copied")).unwrap();
    refused(&copy(&shop, &redis.url()).await, &["has a ledger already"]);
    go_on(&mut shop, EMBEDDED).await;
    assert_eq!(seen(&shop, &key).await, before);
}

#[tokio::test]
async fn a_copy_to_a_cluster_is_dealt_to_its_partitions() {
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let mut shop = Shop::with(EMBEDDED, &rest()).await;
    let key = lived(&mut shop).await;
    let before = seen(&shop, &key).await;
    shop.faregate.stop().await;
    copy(&shop, &cluster.urls().join(",")).await.ok();
    let ledger = format!(
        "backend = \"redis\"\nurls = {:?}\ntimeout = \"5s\"",
        cluster.urls()
    );
    go_on(&mut shop, &ledger).await;
    assert_eq!(seen(&shop, &key).await, before);
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    shop.verify().await;
}

#[tokio::test]
async fn a_redis_that_is_not_empty_is_not_copied_to() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let shop = Shop::open().await;
    shop.customer("acme", "10").await;
    shop.faregate.stop().await;
    redis.command::<()>(&["SET", "other", "1"]).await;
    refused(&copy(&shop, &redis.url()).await, &["is not empty"]);
    assert_eq!(redis.command::<i64>(&["DBSIZE"]).await, 1);
    // Another database of it does.
    copy(&shop, &redis.url_of_database(1)).await.ok();
}

#[tokio::test]
async fn a_copy_that_was_killed_leaves_the_old_ledger_the_true_one_and_the_redis_shut() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let mut shop = Shop::with(EMBEDDED, &rest()).await;
    let key = lived(&mut shop).await;
    let before = seen(&shop, &key).await;
    shop.faregate.stop().await;
    let slow = FaultProxy::start(redis.addr()).await;
    slow.latency(Duration::from_millis(100));
    let through = format!("redis://{}", slow.addr());
    for there in ["fg:meta", "fg:{0}:j", "fg:{0}:a:acme"] {
        let mut running = copying(&shop, &through).start();
        within(there, async {
            while redis.command::<i64>(&["EXISTS", there]).await == 0 {
                assert!(running.is_running(), "{}", running.said());
            }
        })
        .await;
        running.kill9();
        let meta: String = redis.command(&["GET", "fg:meta"]).await;
        assert!(meta.contains("state=copying"), "{there}: {meta}");

        let said = why_not(&shop, &on(&redis)).await;
        for part in ["did not come to its end", "empty this Redis and copy again"] {
            assert!(said.contains(part), "{there}: {said}");
        }
        refused(&copy(&shop, &redis.url()).await, &["empty this Redis"]);
        go_on(&mut shop, EMBEDDED).await;
        assert_eq!(seen(&shop, &key).await, before, "{there}");
        shop.faregate.stop().await;
        redis.flushall().await;
    }
    copy(&shop, &redis.url()).await.ok();
    go_on(&mut shop, &on(&redis)).await;
    assert_eq!(seen(&shop, &key).await, before);
    shop.verify().await;
}

/// The old ledger is marked as copied, then the Redis is told to serve. Whoever stops between leaves both shut, never both open.
#[tokio::test]
async fn a_copy_that_ends_before_the_redis_is_told_to_serve_leaves_both_shut_and_says_what_to_do() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let mut shop = Shop::with(EMBEDDED, &rest()).await;
    let key = lived(&mut shop).await;
    let before = seen(&shop, &key).await;
    shop.faregate.stop().await;
    let between = FaultProxy::start(redis.addr()).await;
    let through = format!("redis://{}", between.addr());
    let marker = shop.faregate.dir().join("ledger/ledger.copied");
    let embedded = EMBEDDED.replace("@DIR@", shop.faregate.dir().to_str().unwrap());
    for (struck, killed) in [(2, true), (4, false)] {
        // The store's record is written twice as it is made, and the third time to open it; what is lost is asked for once more.
        for _ in 0..2 {
            between.arm(Fault::DropRequestOf {
                nth: 3,
                containing: b"state=copying".to_vec(),
            });
        }
        let mut running = copying(&shop, &through).start();
        between.wait_struck(struck).await;
        if killed {
            running.kill9();
        } else {
            assert_eq!(running.wait_exit().await.code(), Some(1));
            let said = running.said();
            for part in ["not told to serve", "remove ledger.copied", "copy again"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        let meta: String = redis.command(&["GET", "fg:meta"]).await;
        assert!(meta.contains("state=copying"), "{meta}");
        let said = why_not(&shop, &on(&redis)).await;
        assert!(said.contains("did not come to its end"), "{said}");
        let said = why_not(&shop, &embedded).await;
        for part in ["was copied to Redis at", "to copy again", "ledger.copied"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        refused(&copy(&shop, &redis.url()).await, &["was copied to Redis at"]);
        // As it was told: then the old ledger is what it was.
        std::fs::remove_file(&marker).unwrap();
        redis.flushall().await;
        go_on(&mut shop, EMBEDDED).await;
        assert_eq!(seen(&shop, &key).await, before);
        shop.faregate.stop().await;
    }
    between.disarm();
    copy(&shop, &through).await.ok();
    go_on(&mut shop, &on(&redis)).await;
    assert_eq!(seen(&shop, &key).await, before);
    shop.verify().await;
}

#[tokio::test]
async fn a_copy_over_tls_trusts_the_authority_it_is_given_and_no_other() {
    let authority = std::sync::Arc::new(TestCa::new());
    let redis = RedisServer::start(RedisOptions::default().tls(authority.clone())).await;
    let mut shop = Shop::open().await;
    let key = shop.customer("acme", "10").await;
    shop.faregate.stop().await;
    let file = |name: &str, authority: &TestCa| {
        let file = shop.faregate.dir().join(name);
        std::fs::write(&file, authority.pem()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right.pem", &authority), file("wrong.pem", &TestCa::new()));
    let config = shop.faregate.dir().join("config.toml");
    let config = config.to_str().unwrap().to_owned();
    let url = redis.url();
    let copy = ["ledger", "copy", "--config", &config, "--to", &url, "--json"];
    for ca in [None, Some(["--ca", wrong.as_str()])] {
        let done = shop
            .faregate
            .cli(copy.iter().copied().chain(ca.into_iter().flatten()));
        refused(&done.run().await, &["certificate"]);
    }
    let missing = shop.faregate.cli(copy.into_iter().chain(["--ca", "missing.pem"]));
    refused(&missing.run().await, &["missing.pem"]);
    let done = shop
        .faregate
        .cli(copy.into_iter().chain(["--ca", right.as_str()]));
    done.run().await.ok();
    let ledger = format!("backend = \"redis\"\nurl = \"{url}\"\nca = \"{right}\"");
    go_on(&mut shop, &ledger).await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    assert_eq!(shop.settled("acme").await["spent"], "0.250000");
    shop.verify().await;
}
