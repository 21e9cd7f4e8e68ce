//! The admin listener: who may do what, and what it says of itself.

use serde_json::json;

use super::shop::Shop;
use crate::rig::process::Faregate;

#[tokio::test]
async fn without_a_token_only_health_and_metrics_answer() {
    let shop = Shop::open().await;
    let admin = shop.faregate.admin_client();
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/admin/v1/openapi.json", 200),
    ] {
        assert_eq!(
            crate::rig::client::HttpClient::new(shop.faregate.admin())
                .get(path)
                .send()
                .await
                .status(),
            status,
            "{path}"
        );
    }
    let bare = crate::rig::client::HttpClient::new(shop.faregate.admin());
    assert_eq!(bare.get("/admin/v1/accounts").send().await.status(), 401);
    assert_eq!(
        bare.get("/admin/v1/accounts")
            .bearer("wrong")
            .send()
            .await
            .status(),
        401
    );
    assert_eq!(admin.get("/admin/v1/accounts").send().await.status(), 200);
    assert_eq!(
        admin
            .get("/admin/v1/accounts")
            .header("host", "evil.example")
            .send()
            .await
            .status(),
        403
    );
    let form = admin
        .post("/admin/v1/accounts/a/pause", r#"{"reason":"x"}"#)
        .header("content-type", "text/plain");
    assert_eq!(form.send().await.status(), 415);
}

#[tokio::test]
async fn accounts_come_in_pages_and_each_once() {
    let shop = Shop::open().await;
    for n in 0..7 {
        shop.faregate
            .admin_client()
            .request(http::Method::PUT, &format!("/admin/v1/accounts/team%2Fa{n}"))
            .send()
            .await;
    }
    let mut seen = Vec::new();
    let mut path = "/admin/v1/accounts?limit=3".to_owned();
    loop {
        let page = shop.faregate.admin_client().get(&path).send().await.json().await;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/admin/v1/accounts?limit=3&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    let expected: Vec<String> = (0..7).map(|n| format!("team/a{n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn bad_input_says_what_and_where() {
    let shop = Shop::open().await;
    shop.customer("acme", "0").await;
    let admin = shop.faregate.admin_client();
    for (path, body, says) in [
        (
            "/admin/v1/accounts/acme/grants/g",
            json!({ "amount": "1.0000001" }),
            "six decimal places",
        ),
        (
            "/admin/v1/accounts/acme/grants/g",
            json!({ "amount": 5 }),
            "expected a string",
        ),
        (
            "/admin/v1/accounts/acme/grants/g",
            json!({ "amount": "5", "expires": "x" }),
            "unknown field `expires`",
        ),
        (
            "/admin/v1/accounts/acme/grants/g",
            json!({ "amount": "5", "expires_at": "tomorrow" }),
            "expires_at",
        ),
        (
            "/admin/v1/accounts/nobody/grants/g",
            json!({ "amount": "5" }),
            "nobody",
        ),
        (
            "/admin/v1/accounts/a%7Bb/grants/g",
            json!({ "amount": "5" }),
            "account",
        ),
    ] {
        let request = admin
            .request(http::Method::PUT, path)
            .body(crate::rig::body::RigBody::whole(body.to_string()));
        let mut answer = request.header("content-type", "application/json").send().await;
        assert!((400..500).contains(&answer.status()), "{path}");
        let text = answer.text().await;
        assert!(text.contains(says), "{path} {body}: {text}");
    }
}

#[tokio::test]
async fn a_bad_configuration_ends_with_78_and_every_problem() {
    let faregate = Faregate::start(
        "[server]\nlisten = \"@LISTEN@\"\nlisen = 1\n[[routes]]\nmatch = \"POST x\"\n",
        |spawn| spawn,
    );
    let status = faregate.process().wait_exit().await;
    assert_eq!(status.code(), Some(78));
    let said = faregate.process().said();
    assert!(said.contains("lisen") && said.contains("upstream"), "{said}");
}

#[tokio::test]
async fn what_is_no_configuration_file_is_told_and_not_read_for_ever() {
    let shop = Shop::open().await;
    for (file, says) in [
        ("/dev/zero", "longer than 16 MiB"),
        ("/nowhere", "--config"),
        ("/", "directory"),
    ] {
        let answer = shop.faregate.cli(["check", "--config", file]).run().await;
        assert_eq!(answer.code(), 1);
        assert!(answer.stderr.contains(says), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn check_tells_what_models_cost_and_which_tokenizer_there_is_not() {
    let shop = Shop::open().await;
    let file = shop.faregate.dir().join("tokens.toml");
    for (tokenizer, code, says) in [
        ("o200k_base", 0, "input 2.500000"),
        ("o201k_base", 1, "o200k_base"),
    ] {
        let text = format!(
            "[models.\"big\"]\ninput = 2.5\noutput = 10\noutput_tokens_max = 100\ntokenizer = \"{tokenizer}\"\n\
             [upstreams.m]\nurl = \"http://127.0.0.1:1\"\n\
             [[routes]]\nmatch = \"POST /v1/chat/completions\"\nupstream = \"m\"\napi = \"openai-chat\"\ncost = \"tokens\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let answer = shop.faregate.cli(["check", "--config", file]).run().await;
        assert_eq!(answer.code(), code);
        let said = format!("{}{}", answer.stdout, answer.stderr);
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn completions_and_man_pages_come_with_the_binary() {
    let shop = Shop::open().await;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shop.faregate.cli(["completions", shell]).run().await;
        assert_eq!(script.code(), 0);
        assert!(script.stdout.contains("rebuild"), "{shell}: {}", script.stdout);
    }
    let pages = shop.faregate.dir().join("man");
    std::fs::create_dir(&pages).unwrap();
    let pages = pages.to_str().unwrap();
    assert_eq!(shop.faregate.cli(["man", pages]).run().await.code(), 0);
    for page in ["faregate.1", "faregate-ledger-rebuild.1"] {
        let text = std::fs::read_to_string(format!("{pages}/{page}")).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let nowhere = shop.faregate.cli(["man", "/nowhere"]).run().await;
    assert_eq!(nowhere.code(), 1);
    assert!(nowhere.stderr.contains("/nowhere"), "{}", nowhere.stderr);
}

#[tokio::test]
async fn stopping_is_clean_and_a_restart_has_everything() {
    let mut shop = Shop::open().await;
    let key = shop.customer("acme", "1").await;
    shop.buy(&key, "/v1/rerank").await;
    assert_eq!(shop.faregate.stop().await, Some(0));
    shop.faregate.kill9_and_restart();
    shop.faregate.wait_ready().await;
    assert_eq!(shop.account("acme").await["spent"], "0.250000");
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.verify().await;
}
