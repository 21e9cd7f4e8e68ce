//! What the operator does takes effect on the next request.

use serde_json::json;

use super::shop::{EMBEDDED, ROUTES, Shop};
use crate::rig::body::RigBody;
use crate::rig::process::Finished;

#[tokio::test]
async fn a_revoked_key_and_a_paused_account_stop_at_once() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "10").await;
    let other = shop.key("acme").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);

    let keys = shop.cli(["key", "list", "--account", "acme"]).await;
    assert_eq!(keys["items"].as_array().map(Vec::len), Some(2));
    shop.cli(["account", "pause", "acme", "--reason", "dispute:dp_1"])
        .await;
    shop.cli(["account", "pause", "acme", "--reason", "manual"]).await;
    let mut paused = shop.buy(&key, "/v1/chat/completions").await;
    assert_eq!(paused.status(), 403);
    let error = paused.json().await["error"].clone();
    assert_eq!(error["code"], "account_paused");
    assert_eq!(error["reasons"], json!(["dispute", "manual"]), "{error}");
    assert!(!error.to_string().contains("dp_1"), "{error}");
    // One reason cleared does not lift the other.
    shop.cli(["account", "resume", "acme", "--reason", "manual"])
        .await;
    assert_eq!(shop.buy(&other, "/v1/rerank").await.status(), 403);
    shop.cli(["account", "resume", "acme", "--reason", "dispute:dp_1"])
        .await;
    shop.opens(&key).await;

    let id = first_key_id(&shop, &key).await;
    shop.cli(["key", "revoke", &id, "--account", "acme"]).await;
    // Never 200 again; a worker that saw the pause a moment ago may still say that for a quarter of a second.
    crate::rig::within("the key is no key", async {
        loop {
            match shop.buy(&key, "/v1/rerank").await.status() {
                401 => break,
                status => assert_eq!(status, 403),
            }
        }
    })
    .await;
    shop.opens(&other).await;
    shop.verify().await;
}

/// The id of a key follows from its digest: it is the one that importing it again names.
async fn first_key_id(shop: &Shop, key: &str) -> String {
    let import = shop
        .faregate
        .cli(["key", "import", "--account", "acme", "--json"])
        .stdin(format!("{key}\n"));
    import.run().await.ok().json()["imported"][0]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[tokio::test]
async fn existing_keys_are_imported_and_bad_lines_are_said_by_number() {
    let shop = Shop::open().await;
    shop.customer("acme", "1").await;
    let lines = "sk-existing-key-of-another-gateway\nshort\n\nsk-another-existing-key-0001\n";
    let done = shop
        .faregate
        .cli(["key", "import", "--account", "acme", "--json"])
        .stdin(lines)
        .run()
        .await;
    assert_eq!(done.code(), 1);
    let answer = done.json();
    assert_eq!(answer["imported"].as_array().map(Vec::len), Some(2), "{answer}");
    assert!(
        answer["problems"][0].as_str().unwrap().starts_with("line 2:"),
        "{answer}"
    );
    assert_eq!(
        shop.buy("sk-existing-key-of-another-gateway", "/v1/rerank")
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn the_same_grant_told_twice_is_given_once_and_voiding_takes_only_what_is_left() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "0").await;
    for _ in 0..2 {
        shop.cli(["grant", "add", "--account", "acme", "--amount", "1", "--id", "g1"])
            .await;
    }
    let other_amount = shop
        .faregate
        .cli(["grant", "add", "--account", "acme", "--amount", "2", "--id", "g1"])
        .run()
        .await;
    assert_eq!(other_amount.code(), 1);
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    let dry = shop
        .cli(["grant", "add", "--account", "acme", "--amount", "5", "--dry-run"])
        .await;
    assert_eq!(dry["dry_run"], true);
    let account = shop.cli(["grant", "void", "g1", "--account", "acme"]).await;
    assert_eq!(account["granted"], "1.000000");
    assert_eq!(account["available"], "0.000000");
    let history = shop.cli(["ledger", "history", "acme"]).await;
    let kinds: Vec<_> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["kind"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"void") && kinds.contains(&"grant") && kinds.contains(&"hold"),
        "{kinds:?}"
    );
    shop.verify().await;
}

#[tokio::test]
async fn plans_open_routes_and_cap_rates() {
    let plans = r#"
[plans.free]
routes = ["GET /v1/models"]

[plans.pro]
requests_per_minute = 2
"#;
    let shop = Shop::with(EMBEDDED, &format!("{ROUTES}{plans}")).await;
    shop.cli(["account", "create", "acme", "--plan", "free"]).await;
    shop.cli(["grant", "add", "--account", "acme", "--amount", "5"])
        .await;
    let key = shop.key("acme").await;
    let mut refused = shop.buy(&key, "/v1/chat/completions").await;
    assert_eq!(
        (refused.status(), refused.json().await["error"]["code"].clone()),
        (403, json!("not_entitled"))
    );
    assert_eq!(shop.client(&key).get("/v1/models").send().await.status(), 200);
    // Nor is it told of what it may not use.
    let mut prices = shop.client(&key).get("/faregate/v1/prices").send().await;
    let prices = prices.json().await;
    let told: Vec<_> = prices["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["match"])
        .collect();
    assert_eq!(told, ["GET /v1/models"], "{prices}");

    shop.cli(["account", "plan", "acme", "pro"]).await;
    // A worker that has just refused may do so for another quarter of a second; two pass, whichever serves them.
    let mut passed = 0;
    let limited = crate::rig::within("the cap is reached", async {
        loop {
            let answer = shop.buy(&key, "/v1/chat/completions").await;
            match answer.status() {
                200 => passed += 1,
                403 => {}
                429 => break answer,
                other => panic!("{other}"),
            }
        }
    })
    .await;
    assert_eq!(passed, 2);
    assert!(
        limited
            .header("retry-after")
            .is_some_and(|after| after.parse::<u32>().is_ok())
    );
    assert_eq!(limited.header("x-should-retry"), Some("true"));
}

#[tokio::test]
async fn a_reload_changes_prices_whole_or_not_at_all() {
    let shop = Shop::open().await;
    let key = shop.customer("acme", "10").await;
    shop.configure(EMBEDDED, &ROUTES.replacen("cost = 0.25", "cost = 0.5", 1));
    let done = shop.cli(["reload"]).await;
    assert!(done["changes"][0].as_str().unwrap().contains("0.5"), "{done}");
    assert_eq!(
        shop.buy(&key, "/v1/rerank").await.header("x-credits-charged"),
        Some("0.500000")
    );

    shop.configure(
        EMBEDDED,
        &ROUTES
            .replacen("upstream = \"models\"", "upstream = \"modles\"", 1)
            .replacen("cost = 0.25", "cost = 9", 1),
    );
    let refused = shop.faregate.cli(["reload"]).run().await;
    assert_eq!(refused.code(), 1);
    assert_eq!(
        shop.buy(&key, "/v1/rerank").await.header("x-credits-charged"),
        Some("0.500000")
    );
}

#[tokio::test]
async fn a_backup_made_while_it_runs_is_restored_and_verifies() {
    let mut shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    shop.buy(&key, "/v1/rerank").await;
    shop.settled("acme").await;
    let dir = shop.faregate.dir().to_owned();
    let file = dir.join("backup.db");
    let file = file.to_str().unwrap();
    shop.cli(["backup", file]).await;
    shop.buy(&key, "/v1/rerank").await;
    shop.settled("acme").await;
    let config = dir.join("config.toml");
    let restore = ["restore", file, "--config", config.to_str().unwrap(), "--json"];
    let said = |done: &Finished| done.stderr.clone();
    // Not while it runs, nor over what is there.
    let running = shop.faregate.cli(restore).run().await;
    assert_eq!(running.code(), 1, "{}", said(&running));
    assert_eq!(shop.faregate.stop().await, Some(0));
    let over = shop.faregate.cli(restore).run().await;
    assert_eq!(over.code(), 1, "{}", said(&over));
    assert!(said(&over).contains("Move it"), "{}", said(&over));
    std::fs::rename(dir.join("ledger"), dir.join("ledger-before")).unwrap();
    let done = shop.faregate.cli(restore).run().await.ok().json();
    assert!(done["done"].as_str().unwrap().starts_with("1 accounts"), "{done}");
    shop.faregate.kill9_and_restart();
    shop.faregate.wait_ready().await;
    // What happened after the backup is not in it.
    assert_eq!(shop.account("acme").await["spent"], "0.250000");
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    shop.verify().await;
}

#[tokio::test]
async fn s6_a_grant_too_large_is_caught_and_one_given_twice_counts_once() {
    let shop = Shop::open().await;
    shop.customer("acme", "1").await;
    let grant = |amount| {
        [
            "grant",
            "add",
            "--account",
            "acme",
            "--id",
            "g",
            "--amount",
            amount,
        ]
    };
    let refused = shop.faregate.cli(grant("1000000.000001")).run().await;
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("admin.grant_max"), "{}", refused.stderr);

    let config = shop.faregate.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("[admin]", "[admin]\ngrant_max = 5", 1)).unwrap();
    let done = shop.cli(["reload"]).await;
    assert_eq!(
        done["changes"][0], "admin.grant_max: 1000000.000000 -> 5.000000",
        "{done}"
    );
    assert_eq!(shop.faregate.cli(grant("5.000001")).run().await.code(), 1);
    for _ in 0..2 {
        assert_eq!(shop.cli(grant("5")).await["granted"], "6.000000");
    }
    let adjust = async |id: &str, amount: &str| {
        let admin = shop.faregate.admin_client();
        let body = json!({ "amount": amount, "reason": "a test" }).to_string();
        let path = format!("/admin/v1/accounts/acme/adjustments/{id}");
        admin
            .request(http::Method::PUT, &path)
            .body(RigBody::whole(body))
            .header("content-type", "application/json")
            .send()
            .await
            .status()
    };
    assert_eq!(adjust("down", "-5.000001").await, 400);
    assert_eq!(adjust("down", "-5").await, 200);
    assert_eq!(adjust("up", "5.000001").await, 400);
    assert_eq!(shop.account("acme").await["available"], "1.000000");
    shop.verify().await;
}

#[tokio::test]
async fn p4_an_embedded_ledger_that_does_not_start_is_rebuilt_from_its_journal() {
    let mut shop = Shop::with(EMBEDDED, ROUTES).await;
    let key = shop.customer("acme", "1").await;
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    let config = shop.faregate.dir().join("config.toml");
    let config = config.to_str().unwrap().to_owned();
    let rebuild = ["ledger", "rebuild", "--config", &config, "--json"];
    let refused = shop.faregate.cli(rebuild).run().await;
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("in use"), "{}", refused.stderr);
    shop.faregate.stop().await;

    let file = shop.faregate.dir().join("ledger/ledger.db");
    let hands = rusqlite::Connection::open(file).unwrap();
    let more = "UPDATE accounts SET granted = granted + 5000000 WHERE id = 'acme'";
    assert_eq!(hands.execute(more, []).unwrap(), 1);
    drop(hands);
    let ledger = EMBEDDED.replace("@DIR@", shop.faregate.dir().to_str().unwrap());
    let broken = shop.try_second(&ledger, ROUTES);
    assert_eq!(broken.process().wait_exit().await.code(), Some(1));
    let said = broken.process().said();
    assert!(said.contains("faregate ledger rebuild --config"), "{said}");

    let found = shop.faregate.cli(rebuild).run().await.ok().json();
    assert_eq!(
        (&found["accounts"], &found["ok"]),
        (&json!(1), &json!(false)),
        "{found}"
    );
    assert!(
        found["differences"][0].as_str().unwrap().contains("acme"),
        "{found}"
    );
    let again = shop.faregate.cli(rebuild).run().await.ok().json();
    assert_eq!(again["differences"], json!([]), "{again}");
    shop.faregate.kill9_and_restart();
    shop.faregate.wait_ready().await;
    assert_eq!(shop.account("acme").await["available"], "0.750000");
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    shop.verify().await;
}
