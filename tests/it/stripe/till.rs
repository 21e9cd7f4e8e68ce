//! A gate whose credits come from a fake Stripe.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{FakeStripe, Options};
use crate::product::shop::{EMBEDDED, ROUTES, Shop};
use crate::rig::client::Answer;
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::within;

/// Where events go.
pub(super) const WEBHOOK: &str = "/faregate/stripe/webhook";

/// A shop, and the Stripe that fills it.
pub(super) struct Till {
    pub(super) shop: Shop,
    pub(super) stripe: FakeStripe,
}

/// How a till is set up.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) mode: &'static str,
    pub(super) ledger: &'static str,
    /// Without it, the gate has webhooks only.
    pub(super) api: bool,
    /// Further lines of `[stripe]`, then further sections.
    pub(super) more: &'static str,
}

impl Setup {
    /// The same on a Redis, so that a second gate can be beside the first. The Redis goes when it is dropped.
    pub(super) async fn on_redis(self) -> (RedisServer, Setup) {
        let redis = RedisServer::start(RedisOptions::default().persistence(Persistence::EverySec)).await;
        let url = redis.url();
        let ledger = format!("backend = \"redis\"\nurl = \"{url}\"\ntimeout = \"10s\"");
        let setup = Setup {
            ledger: Box::leak(ledger.into_boxed_str()),
            ..self
        };
        (redis, setup)
    }
}

/// Grants are what credits, and the API can be asked.
pub(super) const GRANTS: Setup = Setup {
    mode: "grants",
    ledger: EMBEDDED,
    api: true,
    more: "",
};

/// Payments are what credits.
pub(super) const LEDGER: Setup = Setup {
    mode: "ledger",
    ..GRANTS
};

impl Till {
    pub(super) async fn open(setup: Setup) -> Till {
        let stripe = FakeStripe::start(Options::real_time()).await;
        let shop = Shop::with(setup.ledger, &config(&setup, &stripe)).await;
        stripe.deliver_to(shop.faregate.listen(), WEBHOOK);
        let till = Till { shop, stripe };
        if setup.api {
            till.has_looked().await;
        }
        till
    }

    /// Waits until the gate has looked at all there is at Stripe, as it does at its start: what is looked at is no longer the test's to time.
    async fn has_looked(&self) {
        within("the first look at Stripe", async {
            while !self.metrics().await.lines().any(|line| {
                let count = line.strip_prefix("faregate_stripe_syncs_total{");
                count.is_some_and(|count| !count.ends_with(" 0"))
            }) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub(super) async fn metrics(&self) -> String {
        let mut metrics = self.shop.faregate.admin_client().get("/metrics").send().await;
        metrics.text().await
    }

    /// A customer of Stripe's, and the grant of so many cents that it was given.
    pub(super) fn grant(&self, customer: &str, cents: i64, more: Value) -> String {
        let mut asked = json!({
            "customer": customer,
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": cents}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            asked[key] = value.clone();
        }
        let grant = self.stripe.world().create_grant(&asked).expect("a grant");
        grant["id"].as_str().expect("an id").to_owned()
    }

    /// Sends any event, signed.
    pub(super) async fn send(&self, event: &Value) -> Answer {
        let id = event["id"].as_str().unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or_default();
        let signed = self.stripe.sign(id, kind, event.to_string());
        self.send_raw(&signed.headers, signed.body).await
    }

    pub(super) async fn send_raw(&self, headers: &[(String, String)], body: String) -> Answer {
        let mut request = self.shop.faregate.client().post(WEBHOOK, body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await
    }

    /// What an account has, once it has `available`.
    pub(super) async fn has(&self, account: &str, available: &str) -> Value {
        within(format!("{account} has {available}"), async {
            loop {
                let shown = self.show(account).await;
                if shown["available"] == available {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// An account, or null.
    pub(super) async fn show(&self, account: &str) -> Value {
        let done = self
            .shop
            .faregate
            .cli(["account", "show", account, "--json"])
            .run()
            .await;
        if done.stdout.is_empty() {
            return Value::Null;
        }
        done.json()
    }

    /// Why an account is paused.
    pub(super) async fn reasons(&self, account: &str) -> Vec<String> {
        let shown = self.show(account).await;
        let reasons = shown["reasons"].as_array().cloned().unwrap_or_default();
        reasons
            .iter()
            .filter_map(|reason| reason.as_str().map(str::to_owned))
            .collect()
    }

    /// How often events of a type came to a result.
    pub(super) async fn counted(&self, kind: &str, result: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = format!("faregate_stripe_events_total{{result=\"{result}\",type=\"{kind}\"}} ");
        let found = metrics.lines().find_map(|known| known.strip_prefix(&line));
        found.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

pub(super) fn config(setup: &Setup, stripe: &FakeStripe) -> String {
    let key = if setup.api {
        format!(
            "api_key = \"{}\"\napi_base = \"{}\"\n",
            stripe.key(),
            stripe.base()
        )
    } else {
        String::new()
    };
    format!(
        "{ROUTES}\n[stripe]\nmode = \"{}\"\nwebhook_secrets = [\"{}\"]\ncredits_per_unit = {{ usd = 1, jpy = 0.01 }}\n{key}{}\n",
        setup.mode,
        super::fake::SECRET,
        setup.more
    )
}
