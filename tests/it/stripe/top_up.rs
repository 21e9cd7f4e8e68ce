//! Automatic top-ups, with real gates.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::fake::{Card, Delivering, FakeStripe, Fault, Outcome};
use super::till::{GRANTS, LEDGER, Setup, Till, config};
use crate::rig::body::RigBody;
use crate::rig::client::Answer;
use crate::rig::within;
use tokio::task::JoinSet;

const SHOP: &str = r#"
[stripe.checkout]
success_url = "https://example.com/bought"
cancel_url = "https://example.com/credits"

[[stripe.packs]]
id = "starter"
name = "Ten dollars of credits"
price = 10.00
currency = "usd"
credits = 11

[stripe.top_up]
"#;

const TOP_UP: &str = "/faregate/v1/top-up";
const CHARGE: &str = "POST /v1/payment_intents";

const SELLS: Setup = Setup { more: SHOP, ..LEDGER };

/// A customer who has bought a pack, and what of.
struct Buyer {
    till: Till,
    key: String,
}

impl Buyer {
    /// With 11 credits, and a card that is kept.
    async fn new(setup: Setup) -> Buyer {
        let till = Till::open(setup).await;
        let key = till.shop.customer("acme", "0").await;
        let buyer = Buyer { till, key };
        buyer.buys_a_pack("11.000000").await;
        buyer
    }

    /// Buys one on Stripe's page, with a good card.
    async fn buys_a_pack(&self, has: &str) {
        let client = self.till.shop.client(&self.key);
        let ask = client.post_json("/faregate/v1/checkout", &json!({"pack": "starter"}));
        let page = ask.send().await.json().await;
        let session = page["id"].as_str().expect("an id");
        self.till.stripe.buy(session, &Card::good());
        self.till.stripe.deliver(&Delivering::well()).await;
        self.till.has("acme", has).await;
    }

    async fn set(&self, ask: &Value) -> Answer {
        let client = self.till.shop.client(&self.key);
        let put = client.request(Method::PUT, TOP_UP);
        put.body(RigBody::whole(ask.to_string())).send().await
    }

    /// Has a pack bought below so many credits.
    async fn below(&self, below: &str) {
        let mut answer = self.set(&json!({"pack": "starter", "below": below})).await;
        let said = answer.json().await;
        assert_eq!((answer.status(), &said["on"]), (200, &json!(true)), "{said}");
    }

    async fn stands(&self) -> Value {
        let client = self.till.shop.client(&self.key);
        client.get(TOP_UP).send().await.json().await
    }

    /// Uses a quarter of a credit.
    async fn uses(&self) {
        let answer = self.till.shop.buy(&self.key, "/v1/rerank").await;
        assert_eq!(answer.status(), 200);
    }

    /// The charges that were made, repeats left out.
    fn charges(&self) -> usize {
        let calls = self.till.stripe.calls_of(CHARGE);
        calls.iter().filter(|call| !call.replayed).count()
    }

    /// From now on the card that the customer is charged with does this.
    fn card_does(&self, outcome: &Outcome) {
        let methods: Vec<String> = {
            let world = self.till.stripe.world();
            let methods = world.all("payment_method");
            methods
                .filter_map(|method| method["id"].as_str().map(str::to_owned))
                .collect()
        };
        for method in methods {
            self.till.stripe.world().set_outcome(&method, outcome.clone());
        }
    }

    async fn why(&self, why: &str) -> Value {
        within(format!("the trouble is {why}"), async {
            loop {
                let stands = self.stands().await;
                if stands["trouble"]["why"] == why {
                    return stands;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    async fn done(&self) {
        self.till.stripe.assert_clean();
        self.till.shop.verify().await;
    }
}

#[tokio::test]
async fn credits_that_run_low_are_bought_once_in_both_modes() {
    for setup in [SELLS, Setup { more: SHOP, ..GRANTS }] {
        let buyer = Buyer::new(setup).await;
        let kept = buyer.till.stripe.calls_of("POST /v1/checkout/sessions");
        let kept = kept[0].get("payment_intent_data[setup_future_usage]");
        assert_eq!(kept, Some("off_session"));
        buyer.below("10.6").await;
        buyer.uses().await;
        assert_eq!(buyer.till.stripe.calls_of(CHARGE).len(), 0);
        buyer.uses().await;
        buyer.till.has("acme", "21.500000").await;
        assert_eq!(buyer.charges(), 1);
        // The event of the same payment changes nothing.
        buyer.till.stripe.deliver(&Delivering::well()).await;
        buyer.uses().await;
        buyer.till.has("acme", "21.250000").await;
        assert_eq!(buyer.charges(), 1);
        let stands = buyer.stands().await;
        assert_eq!(stands["trouble"], Value::Null, "{stands}");
        assert_eq!(stands["charges"][0]["price"], "10.00", "{stands}");
        assert_eq!(stands["charges"][0]["paid"], true, "{stands}");
        let mut metrics = buyer
            .till
            .shop
            .faregate
            .admin_client()
            .get("/metrics")
            .send()
            .await;
        let line = "faregate_stripe_top_ups_total{outcome=\"paid\"} 1";
        assert!(metrics.text().await.contains(line));
        buyer.done().await;
    }
}

#[tokio::test]
async fn it_is_bought_once_though_stripes_clock_is_ahead_in_both_modes() {
    for setup in [SELLS, Setup { more: SHOP, ..GRANTS }] {
        let buyer = Buyer::new(setup).await;
        buyer.below("10.6").await;
        buyer.till.stripe.advance(30);
        buyer.uses().await;
        buyer.uses().await;
        buyer.till.has("acme", "21.500000").await;
        buyer.uses().await;
        buyer.till.has("acme", "21.250000").await;
        assert_eq!(buyer.charges(), 1);
        buyer.done().await;
    }
}

#[tokio::test]
async fn what_was_given_back_is_not_charged_again_in_both_modes() {
    for setup in [SELLS, Setup { more: SHOP, ..GRANTS }] {
        let buyer = Buyer::new(setup).await;
        buyer.below("10.6").await;
        buyer.uses().await;
        buyer.uses().await;
        buyer.till.has("acme", "21.500000").await;
        let charges: Vec<String> = {
            let world = buyer.till.stripe.world();
            let ids = world
                .all("charge")
                .map(|charge| charge["id"].as_str().map(str::to_owned));
            ids.map(|id| id.expect("an id")).collect()
        };
        buyer.till.stripe.advance(5);
        let last = charges.last().expect("two charges");
        buyer.till.stripe.world().refund(last, 1000);
        buyer.till.stripe.deliver(&Delivering::well()).await;
        buyer.till.has("acme", "10.500000").await;
        buyer.uses().await;
        let stands = buyer.why("taken_back").await;
        assert_eq!(stands["on"], true, "{stands}");
        buyer.uses().await;
        assert_eq!(buyer.charges(), 1);
        // Its customer asks for it again.
        buyer.below("10.6").await;
        buyer.uses().await;
        buyer.till.has("acme", "20.750000").await;
        assert_eq!(buyer.charges(), 2);
        buyer.done().await;
    }
}

#[tokio::test]
async fn a_burst_over_two_proxies_buys_once() {
    let (_redis, setup) = SELLS.on_redis().await;
    let rest = |stripe: &FakeStripe| config(&setup, stripe);
    let buyer = Buyer::new(Setup { ..setup }).await;
    buyer.below("5").await;
    let shop = &buyer.till.shop;
    // It reads who is to be watched when it starts.
    let second = shop.second(setup.ledger, &rest(&buyer.till.stripe)).await;
    let first = shop.faregate.client().bearer(&buyer.key);
    let second = second.client().bearer(&buyer.key);
    let mut asking = JoinSet::new();
    for number in 0..50 {
        let client = if number % 2 == 0 { &first } else { &second };
        let ask = client.post_json("/v1/rerank", &json!({})).send();
        asking.spawn(async move { ask.await.status() });
    }
    let answers = asking.join_all().await;
    // 11 credits are 44 requests; those that came after the pack was bought are served too.
    let served = answers.iter().filter(|status| **status == 200).count();
    assert!((44..=50).contains(&served), "{answers:?}");
    let left = 22_000_000 - 250_000 * i64::try_from(served).expect("few");
    let left = format!("{}.{:06}", left / 1_000_000, left % 1_000_000);
    buyer.till.has("acme", &left).await;
    buyer.till.stripe.deliver(&Delivering::well()).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(buyer.charges(), 1);
    buyer.till.has("acme", &left).await;
    buyer.done().await;
}

#[tokio::test]
async fn a_card_that_is_declined_is_left_alone_and_the_402_says_so() {
    let buyer = Buyer::new(SELLS).await;
    buyer.card_does(&Outcome::NO_FUNDS);
    buyer.below("12").await;
    let stands = buyer.why("declined").await;
    assert!(stands["trouble"]["again_at"].is_string(), "{stands}");
    assert_eq!(stands["charges"][0]["paid"], false);
    // What is paid for goes on: nothing is paused.
    for _ in 0..44 {
        buyer.uses().await;
    }
    buyer.till.has("acme", "0.000000").await;
    let mut refused = buyer.till.shop.buy(&buyer.key, "/v1/rerank").await;
    assert_eq!(refused.status(), 402);
    let said = refused.json().await;
    assert_eq!(said["top_up"], "declined", "{said}");
    assert_eq!(said["top_up_url"], "https://example.com/buy");
    assert!(
        said["detail"]
            .as_str()
            .expect("words")
            .contains("your card was declined"),
        "{said}"
    );
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(buyer.till.stripe.calls_of(CHARGE).len(), 1);
    // With a good card, and set anew, it goes on at once.
    buyer.card_does(&Outcome::Paid);
    buyer.below("5").await;
    buyer.till.has("acme", "11.000000").await;
    buyer.done().await;
}

#[tokio::test]
async fn where_the_bank_wants_the_customer_a_bought_pack_hands_it_back() {
    let buyer = Buyer::new(SELLS).await;
    buyer.card_does(&Outcome::AuthenticationRequired);
    buyer.below("10.8").await;
    buyer.uses().await;
    let stands = buyer.why("authentication_required").await;
    assert_eq!(stands["trouble"]["again_at"], Value::Null);
    assert_eq!(buyer.till.stripe.calls_of(CHARGE).len(), 1);
    // The customer buys a pack, with a card that is good from then on, and it goes on with that one.
    buyer.buys_a_pack("21.750000").await;
    assert_eq!(buyer.stands().await["trouble"], Value::Null);
    buyer.below("21.6").await;
    buyer.uses().await;
    buyer.till.has("acme", "32.500000").await;
    let charged = buyer.till.stripe.calls_of(CHARGE);
    let [first, second] = &charged[..] else {
        panic!("{charged:?}");
    };
    assert_ne!(first.get("payment_method"), second.get("payment_method"));
    assert_ne!(first.idempotency_key, second.idempotency_key);
    buyer.done().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_charges_and_credits_once() {
    let buyer = Buyer::new(SELLS).await;
    buyer.till.stripe.fail(CHARGE, 4, Fault::CloseAfter);
    buyer.below("12").await;
    buyer.till.has("acme", "22.000000").await;
    assert_eq!(buyer.charges(), 1);
    buyer.till.stripe.deliver(&Delivering::well()).await;
    buyer.till.has("acme", "22.000000").await;
    within("it is over", async {
        while buyer.stands().await["trouble"]["why"] == "under_way" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    buyer.done().await;
}

#[tokio::test]
async fn a_gate_that_dies_while_it_charges_has_charged_once() {
    let mut buyer = Buyer::new(SELLS).await;
    buyer.till.stripe.fail(CHARGE, 1, Fault::HangAfter);
    buyer.below("12").await;
    within("it is charged", async {
        while buyer.till.stripe.calls_of(CHARGE).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    buyer.till.shop.faregate.kill9_and_restart();
    buyer.till.shop.faregate.wait_ready().await;
    // Stripe tells of it meanwhile.
    buyer.till.stripe.deliver(&Delivering::well()).await;
    buyer.till.has("acme", "22.000000").await;
    buyer.uses().await;
    assert_eq!(buyer.charges(), 1);
    buyer.done().await;
}

#[tokio::test]
async fn a_paused_account_is_not_charged() {
    let buyer = Buyer::new(SELLS).await;
    let pause = ["account", "pause", "acme", "--reason", "dispute:du_1"];
    buyer.till.shop.cli(pause).await;
    buyer.below("12").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(buyer.till.stripe.calls_of(CHARGE).len(), 0);
    let resume = ["account", "resume", "acme", "--reason", "dispute:du_1"];
    buyer.till.shop.cli(resume).await;
    buyer.till.shop.opens(&buyer.key).await;
    buyer.till.has("acme", "21.750000").await;
    buyer.done().await;
}

#[tokio::test]
async fn what_cannot_be_set_is_said_and_an_operator_sees_and_stops_it() {
    let buyer = Buyer::new(SELLS).await;
    for (ask, status) in [
        (json!({"pack": "huge", "below": "5"}), 404),
        (json!({"pack": "starter", "below": "0"}), 400),
        (json!({"pack": "starter", "below": "-1"}), 400),
        (json!({"pack": "starter", "below": "5", "per_month": "10"}), 400),
        (json!({"pack": "starter", "below": "5", "more": 1}), 400),
        (json!({"pack": "starter"}), 400),
    ] {
        assert_eq!(buyer.set(&ask).await.status(), status, "{ask}");
    }
    let mut answer = buyer
        .set(&json!({"pack": "starter", "below": "5", "per_month": "11"}))
        .await;
    assert_eq!(answer.json().await["per_month"], "11.000000");
    let admin = buyer.till.shop.faregate.admin_client();
    let path = "/admin/v1/accounts/acme/top-up";
    assert_eq!(admin.get(path).send().await.json().await["on"], true);
    assert_eq!(
        admin.request(Method::DELETE, path).send().await.json().await["on"],
        false
    );
    assert_eq!(buyer.stands().await["on"], false);
    for _ in 0..30 {
        buyer.uses().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(buyer.till.stripe.calls_of(CHARGE).len(), 0);
    let missing = admin.get("/admin/v1/accounts/nobody/top-up").send().await;
    assert_eq!(missing.status(), 404);
    buyer.done().await;
}

#[tokio::test]
async fn without_the_table_nobody_is_charged_unasked() {
    let more = SHOP.split("[stripe.top_up]").next().expect("the rest");
    let buyer = Buyer::new(Setup { more, ..LEDGER }).await;
    assert_eq!(buyer.stands().await["code"], "not_found");
    let sessions = buyer.till.stripe.calls_of("POST /v1/checkout/sessions");
    assert_eq!(sessions[0].get("payment_intent_data[setup_future_usage]"), None);
    buyer.done().await;
}
