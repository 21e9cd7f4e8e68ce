//! A running Faregate in front of a fake model server, with an account to buy from.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::client::{Answer, HttpClient};
use crate::rig::process::Faregate;
use crate::rig::upstream::{FakeUpstream, Reply};
use crate::rig::within;

/// A proxy, its upstream, and the client that the customer uses.
pub(crate) struct Shop {
    pub(crate) faregate: Faregate,
    pub(crate) upstream: FakeUpstream,
}

/// What every shop begins with; `@...@` is filled in.
const CONFIG: &str = r#"
[server]
listen = "@LISTEN@"
top_up_url = "https://example.com/buy"
shutdown_grace = "5s"

[admin]
listen = "@ADMIN@"
token = "${FAREGATE_ADMIN_TOKEN}"

[ledger]
@LEDGER@

[upstreams.models]
url = "@UPSTREAM@"
headers = { authorization = "Bearer upstream-secret" }
connect_timeout = "10s"
"#;

/// Routes of most tests.
pub(crate) const ROUTES: &str = r#"
[[routes]]
match = "POST /v1/rerank"
upstream = "models"
cost = 0.25

[[routes]]
match = "POST /v1/chat/completions"
upstream = "models"
api = "openai-chat"
cost = 0.25

[[routes]]
match = "POST /v1/messages"
upstream = "models"
api = "anthropic"
cost = 0.25

[[routes]]
match = "POST /v1/images/generations"
upstream = "models"
api = "openai"
cost = { each = 0.04, times = "n" }

[[routes]]
match = "GET /v1/models"
upstream = "models"
api = "openai"
cost = 0
"#;

/// The embedded ledger in the proxy's own folder. Patient: how fast it answers on a busy machine is not what is asked.
pub(crate) const EMBEDDED: &str = "backend = \"embedded\"\npath = \"@DIR@/ledger\"\ntimeout = \"10s\"";

impl Shop {
    /// With the usual routes and an embedded ledger.
    pub(crate) async fn open() -> Shop {
        Shop::with(EMBEDDED, ROUTES).await
    }

    /// With a ledger and routes (and whatever else) of the test's own.
    pub(crate) async fn with(ledger: &str, rest: &str) -> Shop {
        let upstream = FakeUpstream::start().await;
        upstream.answer(Reply::json(&json!({ "ok": true })));
        let faregate = Faregate::serve(&config(ledger, &upstream, rest)).await;
        Shop { faregate, upstream }
    }

    /// Another proxy in front of the same upstream; with Redis, on the same ledger.
    pub(crate) async fn second(&self, ledger: &str, rest: &str) -> Faregate {
        Faregate::serve(&config(ledger, &self.upstream, rest)).await
    }

    /// A proxy that need not get ready.
    pub(crate) fn try_second(&self, ledger: &str, rest: &str) -> Faregate {
        Faregate::start(&config(ledger, &self.upstream, rest), |spawn| spawn)
    }

    /// Another configuration for the running proxy.
    pub(crate) fn configure(&self, ledger: &str, rest: &str) {
        self.faregate.configure(&config(ledger, &self.upstream, rest));
    }

    /// The same, changed.
    pub(crate) fn configure_with(&self, ledger: &str, rest: &str, change: impl FnOnce(String) -> String) {
        let text = config(ledger, &self.upstream, rest);
        self.faregate.configure(&change(text));
    }

    /// An account with credits; returns its key.
    pub(crate) async fn customer(&self, account: &str, credits: &str) -> String {
        self.cli(["account", "create", account]).await;
        if credits != "0" {
            self.cli(["grant", "add", "--account", account, "--amount", credits])
                .await;
        }
        self.key(account).await
    }

    pub(crate) async fn key(&self, account: &str) -> String {
        let made = self.cli(["key", "create", "--account", account]).await;
        made["key"].as_str().expect("a key is shown once").to_owned()
    }

    /// Runs a command of the CLI, which must succeed, and returns its JSON.
    pub(crate) async fn cli<const N: usize>(&self, args: [&str; N]) -> Value {
        self.faregate
            .cli(args.into_iter().chain(["--json"]))
            .run()
            .await
            .ok()
            .json()
    }

    /// Waits until a key opens the gate: good news is felt within a quarter of a second by a worker that has just given bad news.
    pub(crate) async fn opens(&self, key: &str) {
        within("the key opens the gate", async {
            while self.buy(key, "/v1/rerank").await.status() != 200 {}
        })
        .await;
    }

    pub(crate) async fn account(&self, id: &str) -> Value {
        self.cli(["account", "show", id]).await
    }

    /// An account once nothing of it is held: settling happens off the customer's path.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        within("nothing held", async {
            loop {
                let account = self.when_answered(["account", "show", id]).await;
                if account["held"] == "0.000000" {
                    return account;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// A command's JSON, once the ledger answers: one that is just coming back may say 503 for a while.
    async fn when_answered<const N: usize>(&self, args: [&str; N]) -> Value {
        within("an answer from the ledger", async {
            loop {
                let done = self.faregate.cli(args.into_iter().chain(["--json"])).run().await;
                if !done.stderr.contains("(503)") {
                    return done.ok().json();
                }
            }
        })
        .await
    }

    /// The customer's client.
    pub(crate) fn client(&self, key: &str) -> HttpClient {
        self.faregate.client().bearer(key)
    }

    pub(crate) async fn buy(&self, key: &str, path: &str) -> Answer {
        self.client(key).post_json(path, &json!({})).send().await
    }

    /// The books must be in order.
    pub(crate) async fn verify(&self) {
        let report = self.when_answered(["ledger", "verify"]).await;
        assert_eq!(report["ok"], true, "{report:#}");
    }
}

fn config(ledger: &str, upstream: &FakeUpstream, rest: &str) -> String {
    CONFIG
        .replace("@LEDGER@", ledger)
        .replace("@UPSTREAM@", &upstream.url())
        + rest
}
