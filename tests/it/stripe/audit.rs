//! `faregate stripe audit` and `harden`, against the fake: the program alone, without a gate.

use std::path::PathBuf;

use faregate::stripe::facts::HEARD;
use serde_json::{Value, json};

use super::fake::world::MONTH;
use super::fake::{FakeStripe, Fault, Options, SECRET};
use super::till::WEBHOOK;
use crate::rig::process::{Faregate, Finished};
use crate::rig::temp::TempDir;

/// What an account of this mode needs in the configuration to be at no risk.
const SAFE: &str = "account = \"acct_fake000001\"\n[stripe.fail_fast]\nattempts_max = 1\n";

/// An account at Stripe, and a configuration for it.
struct Books {
    stripe: FakeStripe,
    dir: TempDir,
}

impl Books {
    /// Nothing is wrong with it: an endpoint, a meter, a subscription with a threshold.
    async fn kept(mode: &str) -> Books {
        let books = Books::open(mode, SAFE).await;
        books.endpoint(&HEARD);
        books.subscription(Some(1_000));
        books
    }

    /// An empty account.
    async fn open(mode: &str, more: &str) -> Books {
        let stripe = FakeStripe::start(Options::default()).await;
        let books = Books {
            stripe,
            dir: TempDir::new(),
        };
        books.configure(mode, more);
        books
    }

    fn configure(&self, mode: &str, more: &str) {
        let usage = match mode {
            "grants" => "[stripe.usage]\nevent_name = \"credits\"\n",
            _ => "",
        };
        let stripe = format!(
            "[stripe]\nmode = \"{mode}\"\nwebhook_secrets = [\"{SECRET}\"]\ncredits_per_unit = {{ usd = 1 }}\napi_key = \"{}\"\napi_base = \"{}\"\n{more}\n{usage}",
            self.stripe.key(),
            self.stripe.base(),
        );
        self.write(&stripe);
    }

    fn write(&self, stripe: &str) {
        let rest = "[server]\nlisten = \"127.0.0.1:0\"\n[ledger]\nbackend = \"embedded\"\npath = \"data\"\n[upstreams.models]\nurl = \"http://127.0.0.1:9\"\n[[routes]]\nmatch = \"POST /v1/rerank\"\nupstream = \"models\"\ncost = 1\n";
        std::fs::write(self.config(), format!("{rest}{stripe}")).expect("a file");
    }

    fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    fn endpoint(&self, events: &[&str]) -> String {
        let asked = json!({
            "url": format!("https://gate.example{WEBHOOK}"), "enabled_events": events,
        });
        let made = self.stripe.world().create_endpoint(&asked).expect("an endpoint");
        made["id"].as_str().expect("an id").to_owned()
    }

    /// The id of its item.
    fn subscription(&self, threshold: Option<i64>) -> String {
        let customer = self.stripe.customer(&[]);
        let mut world = self.stripe.world();
        let known = world.all("billing.meter").next().cloned();
        let meter = known.unwrap_or_else(|| {
            let asked = json!({
                "display_name": "Credits", "event_name": "credits", "default_aggregation": {"formula": "sum"},
            });
            world.create_meter(&asked).expect("a meter")
        });
        let price = world.add_price(meter["id"].as_str().expect("an id"), "usd", "0.0001");
        let thresholds = threshold.map(|from| json!({"usage_gte": from}));
        let asked = json!({
            "customer": customer, "billing_mode": {"type": "flexible"},
            "items": [{"price": price, "billing_thresholds": thresholds}],
        });
        let made = world.create_subscription(&asked).expect("a subscription");
        let item = &made["items"]["data"][0]["id"];
        item.as_str().expect("an id").to_owned()
    }

    async fn run(&self, words: &[&str]) -> Finished {
        let config = self.config();
        let done = Faregate::command(["stripe"])
            .args(words)
            .args(["--config".into(), config])
            .dir(self.dir.path())
            .run()
            .await;
        let said = format!("{}{}", done.stdout, done.stderr);
        assert!(!said.contains(self.stripe.key()), "the key is shown: {said}");
        done
    }

    /// The checks that found a risk, and the exit code.
    async fn risks(&self) -> (Vec<String>, i32) {
        let done = self.run(&["audit", "--json"]).await;
        let answer = done.json();
        let risks = of(&answer, "risk");
        assert_eq!(answer["risks"], risks.len(), "{answer:#}");
        (risks, done.code())
    }

    fn changes(&self) -> Vec<String> {
        let calls = self.stripe.calls().into_iter();
        calls
            .filter(|call| call.method != "GET")
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }
}

fn of(answer: &Value, state: &str) -> Vec<String> {
    let findings = answer["findings"].as_array().expect("findings").iter();
    findings
        .filter(|finding| finding["state"] == state)
        .map(|finding| finding["check"].as_str().expect("a check").to_owned())
        .collect()
}

#[tokio::test]
async fn an_account_in_order_has_nothing_but_reminders() {
    for mode in ["grants", "ledger"] {
        let books = Books::kept(mode).await;
        let done = books.run(&["audit"]).await.ok();
        for shown in [
            "STATE",
            "Smart Retries",
            "cannot be read by the API",
            "look",
            "good",
        ] {
            assert!(done.stdout.contains(shown), "{shown}: {}", done.stdout);
        }
        assert_eq!(books.risks().await, (Vec::new(), 0));
        assert_eq!(books.changes(), Vec::<String>::new());
        books.stripe.assert_clean();
    }
}

#[tokio::test]
async fn each_risk_is_a_row_and_the_exit_code_is_1() {
    let books = Books::open("grants", SAFE).await;
    assert_eq!(
        books.risks().await,
        (vec!["endpoint.enabled".into(), "meter.sum".into()], 1)
    );
    let endpoint = books.endpoint(&HEARD[1..]);
    books.subscription(None);
    let risks = ["endpoint.events", "subscription.threshold"].map(String::from);
    assert_eq!(books.risks().await, (risks.to_vec(), 1));
    let shown = books.run(&["audit"]).await;
    assert!(shown.stdout.contains(&format!("not sent: {}", HEARD[0])));
    assert!(shown.stderr.contains("2 risks"), "{}", shown.stderr);
    let disabled = json!({"disabled": true, "enabled_events": ["*"]});
    let disabled = books.stripe.world().update_endpoint(&endpoint, &disabled);
    disabled.expect("an endpoint");
    let risks = ["endpoint.enabled", "subscription.threshold"].map(String::from);
    assert_eq!(books.risks().await, (risks.to_vec(), 1));
    books.stripe.assert_clean();
}

#[tokio::test]
async fn settings_are_audited_too() {
    let books = Books::kept("ledger").await;
    books.configure(
        "ledger",
        "account = \"acct_another\"\n[stripe.on]\ndispute = \"ignore\"\n",
    );
    let risks = ["key.account", "settings.on", "settings.fail_fast"].map(String::from);
    assert_eq!(books.risks().await, (risks.to_vec(), 1));
}

#[tokio::test]
async fn an_invoice_that_is_tried_again_and_again_is_a_risk() {
    let books = Books::open("ledger", SAFE).await;
    books.endpoint(&HEARD);
    books.subscription(None);
    {
        let mut world = books.stripe.world();
        let customer = world.all("customer").next().expect("one")["id"].clone();
        let payload = json!({"stripe_customer_id": customer, "value": "20000000"});
        let used = json!({"event_name": "credits", "payload": payload});
        world.create_meter_event(&used).expect("usage");
        // There is no card to pay with.
        world.advance(MONTH + 3_600);
    }
    let invoice = books.stripe.newest("invoice").expect("one");
    assert_eq!(
        (&invoice["attempt_count"], &invoice["auto_advance"]),
        (&json!(1), &json!(true))
    );
    let risks = ["invoice.retries"].map(String::from);
    assert_eq!(books.risks().await, (risks.to_vec(), 1));
    let patient = "account = \"acct_fake000001\"\n[stripe.fail_fast]\nattempts_max = 2\n";
    books.configure("ledger", patient);
    assert_eq!(books.risks().await, (Vec::new(), 0));
}

#[tokio::test]
async fn a_right_that_the_key_lacks_is_named_in_stripes_words() {
    let books = Books::kept("grants").await;
    for (call, check, code) in [
        ("GET /v1/events", "key.right", 1),
        ("GET /v1/invoices", "key.right", 1),
        ("GET /v1/subscriptions", "key.right", 1),
        ("GET /v1/billing/credit_grants", "key.right", 1),
        ("GET /v1/webhook_endpoints", "endpoint.unseen", 0),
        ("GET /v1/account", "key.account", 0),
    ] {
        books.stripe.fail(call, 1, Fault::Forbidden);
        let done = books.run(&["audit", "--json"]).await;
        assert_eq!(done.code(), code, "{call}");
        let answer = done.json();
        let findings = answer["findings"].as_array().expect("findings");
        let named = |finding: &&Value| finding["found"].to_string().contains("rak_fake_write");
        let finding = findings.iter().find(named).expect(call);
        assert_eq!(finding["check"], check);
        books.stripe.heal();
    }
}

#[tokio::test]
async fn what_makes_no_audit_is_one_clear_sentence() {
    let books = Books::kept("grants").await;
    books.stripe.accept_keys(&["rk_test_another"]);
    let done = books.run(&["audit"]).await;
    assert_eq!((done.code(), done.stdout.as_str()), (1, ""));
    assert_eq!(done.stderr.trim().lines().count(), 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("is api_key of this account"),
        "{}",
        done.stderr
    );
    let key = format!("api_key = \"{}\"", books.stripe.key());
    let config = std::fs::read_to_string(books.config()).expect("it");
    let without = config.lines().filter(|line| !line.starts_with("api_"));
    let without: Vec<&str> = without.take_while(|line| !line.starts_with("[stripe.")).collect();
    assert!(config.contains(&key));
    std::fs::write(books.config(), without.join("\n")).expect("a file");
    let done = books.run(&["audit"]).await;
    assert_eq!(done.code(), 78, "{}", done.stderr);
    assert!(done.stderr.contains("[stripe] has no api_key"), "{}", done.stderr);
    books.write("");
    assert_eq!(books.run(&["harden", "--yes"]).await.code(), 78);
    for wrong in [
        ["--url", "http://gate.example/faregate/stripe/webhook"],
        ["--url", "https://gate.example/hook"],
        ["--usage-gte", "0"],
    ] {
        let words = ["harden", wrong[0], wrong[1]];
        assert_eq!(books.run(&words).await.code(), 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn harden_mends_what_it_can_once() {
    let books = Books::open("grants", SAFE).await;
    let endpoint = books.endpoint(&["charge.updated", "invoice.paid"]);
    let disabled = json!({"disabled": true});
    let disabled = books.stripe.world().update_endpoint(&endpoint, &disabled);
    disabled.expect("an endpoint");
    let item = books.subscription(None);
    let risks = ["endpoint.enabled", "endpoint.events", "subscription.threshold"];
    assert_eq!(books.risks().await, (risks.map(String::from).to_vec(), 1));
    // Nobody to ask: it says what it would do.
    let done = books.run(&["harden"]).await;
    assert_eq!(done.code(), 1);
    assert!(done.stdout.contains("would enable webhook endpoint"));
    assert!(done.stdout.contains("Smart Retries"), "{}", done.stdout);
    assert!(done.stderr.contains("--yes"));
    assert_eq!(books.changes(), Vec::<String>::new());
    // Without a threshold to set, that one is left.
    let done = books.run(&["harden", "--yes"]).await.ok();
    assert!(
        done.stdout.contains("done: enable webhook endpoint"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("--usage-gte N"));
    assert_eq!(
        books.risks().await,
        (vec!["subscription.threshold".to_owned()], 1)
    );
    let words = ["harden", "--yes", "--usage-gte", "500", "--json"];
    let answer = books.run(&words).await.ok().json();
    assert_eq!(answer["changes"][0]["result"], "done", "{answer:#}");
    assert_eq!(books.risks().await, (Vec::new(), 0));
    let mended = books.stripe.object(&endpoint);
    assert_eq!(mended["enabled_events"][0], "charge.updated");
    assert!(
        books
            .changes()
            .contains(&format!("POST /v1/subscription_items/{item}"))
    );
    // There is nothing to be done any more.
    let before = books.changes();
    let answer = books.run(&words).await.ok().json();
    assert_eq!(answer["changes"], json!([]));
    assert_eq!(books.changes(), before);
    books.stripe.assert_clean();
}

#[tokio::test]
async fn what_was_undone_is_done_again() {
    let books = Books::kept("ledger").await;
    for _ in 0..2 {
        let endpoint = books.stripe.newest("webhook_endpoint").expect("one");
        let fewer = json!({"enabled_events": ["invoice.paid"]});
        let id = endpoint["id"].as_str().expect("an id");
        books
            .stripe
            .world()
            .update_endpoint(id, &fewer)
            .expect("an endpoint");
        books.run(&["harden", "--yes"]).await.ok();
        assert_eq!(books.risks().await, (Vec::new(), 0));
    }
}

#[tokio::test]
async fn an_endpoint_is_made_where_it_is_asked_for_and_its_secret_shown_once() {
    let books = Books::open("ledger", SAFE).await;
    let url = format!("https://gate.example{WEBHOOK}");
    let words = ["harden", "--yes", "--url", &url];
    let done = books.run(&words).await.ok();
    let made = books.stripe.newest("webhook_endpoint").expect("one");
    let secret = format!("whsec_{}", made["id"].as_str().expect("an id"));
    assert_eq!(done.stdout.matches(&secret).count(), 1, "{}", done.stdout);
    assert_eq!(made["url"], url);
    assert_eq!(books.risks().await, (Vec::new(), 0));
    let again = books.run(&words).await.ok();
    assert!(
        again.stdout.starts_with("nothing was changed"),
        "{}",
        again.stdout
    );
    assert_eq!(books.changes(), ["POST /v1/webhook_endpoints"]);
    books.stripe.assert_clean();
}

#[tokio::test]
async fn what_the_key_may_not_change_is_told_click_by_click() {
    let books = Books::open("grants", SAFE).await;
    let endpoint = books.endpoint(&["invoice.paid"]);
    books.subscription(None);
    let to = format!("POST /v1/webhook_endpoints/{endpoint}");
    books.stripe.fail(&to, 1, Fault::Forbidden);
    let words = ["harden", "--yes", "--usage-gte", "7", "--json"];
    let done = books.run(&words).await;
    assert_eq!(done.code(), 1);
    let answer = done.json();
    assert_eq!(answer["changes"][0]["result"], "failed");
    let why = answer["changes"][0]["why"].as_str().expect("why");
    assert!(why.contains("rak_fake_write") && why.contains("by hand: dashboard"));
    assert!(why.contains("charge.dispute.created"), "{why}");
    // The others are made all the same.
    assert_eq!(answer["changes"][1]["result"], "done");
    assert!(done.stderr.contains("1 change not made"), "{}", done.stderr);
}
