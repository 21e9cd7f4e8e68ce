//! What is done while the gate is killed. Each may be done again from its beginning, as by a client that asks again, and goes on where the world stands.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::super::fake::Card;
use super::super::till::{GRANTS, LEDGER, Setup};
use super::Stage;
use crate::rig::body::RigBody;
use crate::rig::within;

/// A shop that sells 11 credits for 10 dollars, and what it has besides.
macro_rules! shop {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            r#"
[stripe.checkout]
success_url = "https://example.com/bought"
cancel_url = "https://example.com/credits"

[[stripe.packs]]
id = "starter"
name = "Ten dollars of credits"
price = 10.00
currency = "usd"
credits = 11
"#,
            $after
        )
    };
}

/// What moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// A pack on Stripe's page.
    Purchase,
    /// Grants that are made, voided and ended at Stripe.
    Grants,
    /// Events of a payment that nobody here asked for, of its dispute, and of its refund.
    Webhooks,
    /// A pack that is bought when credits run low.
    TopUp,
    /// What is owed on a credit line.
    Slice,
    /// Usage that Stripe is told.
    Export,
    /// What no event told, found by reading all.
    Sync,
}

/// Of whom.
pub(super) struct Who {
    /// Empty: nobody yet. Named by the customer's id where a payment makes it.
    pub(super) account: String,
    pub(super) key: String,
}

impl Who {
    pub(super) fn nobody() -> Who {
        let account = String::new();
        Who {
            key: account.clone(),
            account,
        }
    }
}

impl Flow {
    pub(super) fn setup(self, mode: &str) -> Setup {
        let of_mode = if mode == "grants" { GRANTS } else { LEDGER };
        let more = match self {
            Flow::Purchase => shop!("", ""),
            Flow::TopUp => shop!("", "[stripe.top_up]"),
            Flow::Slice => shop!(
                "plan = \"post\"\n[plans.post]\ncredit_line = 2\nbill_every = 1",
                ""
            ),
            Flow::Export => "[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1s\"",
            Flow::Grants | Flow::Webhooks | Flow::Sync => "",
        };
        Setup { more, ..of_mode }
    }

    /// What is there before; the gate is not killed in it.
    pub(super) async fn begin(self, stage: &Stage, nth: usize) -> Who {
        let till = &stage.till;
        match self {
            Flow::Purchase | Flow::TopUp => {
                let account = format!("buyer-{nth}");
                let key = till.shop.customer(&account, "0").await;
                let who = Who { account, key };
                if self == Flow::TopUp {
                    purchase(stage, &who).await;
                }
                who
            }
            Flow::Grants | Flow::Webhooks | Flow::Sync => Who {
                account: till.stripe.customer(&[]),
                key: String::new(),
            },
            Flow::Slice => {
                let account = till.stripe.customer(&[]);
                till.pay(&account, 100, json!({"faregate_credits": "1"}));
                let who = customer(stage, account, "1.000000").await;
                spend(stage, &who, 1_000_000).await;
                who
            }
            Flow::Export => {
                let account = subscriber(stage);
                till.grant(&account, 5_000, json!({}));
                customer(stage, account, "50.000000").await
            }
        }
    }

    pub(super) async fn act(self, stage: &Stage, who: &Who) {
        match self {
            Flow::Purchase => purchase(stage, who).await,
            Flow::Grants => grants(stage, &who.account).await,
            Flow::Webhooks => webhooks(stage, &who.account).await,
            Flow::TopUp => top_up(stage, who).await,
            Flow::Slice => slice(stage, who).await,
            Flow::Export => {
                spend(stage, who, 750_000).await;
                let told = || {
                    told(stage, &who.account)
                        .iter()
                        .map(|(_, value)| value)
                        .sum::<i64>()
                };
                within("usage is told", async {
                    while told() != 750_000 {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                })
                .await;
            }
            Flow::Sync => sync(stage, &who.account).await,
        }
    }

    /// What must be so in the end.
    pub(super) async fn check(self, stage: &Stage, who: &Who) {
        if who.account.is_empty() {
            return;
        }
        let found = stage.account(&who.account).await;
        let micros = |field: &str| micros(&found[field]);
        assert_eq!(micros("held"), 0, "{found:#}");
        match self {
            Flow::Purchase => bought(stage, &who.account, &found, 1),
            Flow::TopUp => bought(stage, &who.account, &found, 2),
            Flow::Grants => assert_eq!(
                (micros("available"), micros("spent")),
                (50_000_000, 0),
                "{found:#}"
            ),
            Flow::Webhooks => {
                assert_eq!(
                    (micros("available"), micros("spent")),
                    (30_000_000, 0),
                    "{found:#}"
                );
                assert_eq!(found["reasons"], json!([]), "{found:#}");
            }
            Flow::Slice => {
                let paid = received(stage, &who.account);
                assert_eq!(micros("available"), paid * 10_000 - micros("spent"), "{found:#}");
                assert!(micros("available") > -1_000_000 && paid > 100, "{found:#}");
                assert_eq!(found["reasons"], json!([]), "{found:#}");
            }
            Flow::Export => {
                let told = told(stage, &who.account);
                let once: BTreeSet<&String> = told.iter().map(|(identifier, _)| identifier).collect();
                assert_eq!(once.len(), told.len(), "{told:?}");
                let sum: i64 = told.iter().map(|(_, value)| value).sum();
                assert_eq!((sum, micros("spent")), (750_000, 750_000), "{told:?}");
            }
            Flow::Sync => {
                // The one that was given; and where grants are what credits, the one of the payment.
                let wanted = match stage.till.stripe.world().grants_of(&who.account).len() {
                    1 => 50_000_000,
                    2 => 57_000_000,
                    other => panic!("{other} grants"),
                };
                assert_eq!(micros("available"), wanted, "{found:#}");
            }
        }
    }
}

/// Whose account is made by the first credits it gets.
async fn customer(stage: &Stage, account: String, has: &str) -> Who {
    stage.deliver().await;
    stage.has(&account, has).await;
    let key = stage.till.shop.key(&account).await;
    Who { account, key }
}

/// Requests, until so many micro-credits were spent.
async fn spend(stage: &Stage, who: &Who, spent: i64) {
    loop {
        let nothing_held = |account: &Value| account["held"] == "0.000000";
        let account = stage.until(&who.account, "nothing is held", nothing_held).await;
        if micros(&account["spent"]) >= spent {
            return;
        }
        let answer = stage.till.shop.buy(&who.key, "/v1/rerank").await;
        assert_eq!(answer.status(), 200);
    }
}

async fn purchase(stage: &Stage, who: &Who) {
    let client = stage.till.shop.client(&who.key);
    let ask = client.post_json("/faregate/v1/checkout", &json!({"pack": "starter"}));
    let page = ask.header("idempotency-key", "buy").send().await.json().await;
    let session = page["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{page:#}"))
        .to_owned();
    if stage.till.stripe.object(&session)["status"] == "open" {
        stage.till.stripe.buy(&session, &Card::good());
    }
    stage.deliver().await;
    let look = format!("/faregate/v1/checkout/{session}");
    let mut answer = client.get(&look).send().await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await);
    stage.has(&who.account, "11.000000").await;
}

async fn grants(stage: &Stage, customer: &str) {
    let stripe = &stage.till.stripe;
    if stripe.world().grants_of(customer).is_empty() {
        for cents in [5_000, 300, 200] {
            stage.till.grant(customer, cents, json!({}));
        }
    }
    stage.deliver().await;
    let all = stripe.world().grants_of(customer);
    let of = |cents: i64| {
        let grant = all
            .iter()
            .find(|grant| grant["amount"]["monetary"]["value"] == cents);
        grant.expect("a grant").clone()
    };
    let (void, ended) = (of(300), of(200));
    let id = |grant: &Value| grant["id"].as_str().expect("an id").to_owned();
    if void["voided_at"].is_null() {
        stage.has(customer, "55.000000").await;
        stripe.world().void_grant(&id(&void)).expect("a void");
    }
    if ended["expires_at"].is_null() {
        stripe.world().expire_grant(&id(&ended)).expect("an end");
    }
    stage.deliver().await;
    stage.has(customer, "50.000000").await;
}

async fn webhooks(stage: &Stage, customer: &str) {
    let stripe = &stage.till.stripe;
    let charge = || {
        let charges = stripe.world().with("charge", "customer", customer);
        charges.first().cloned().unwrap_or(Value::Null)
    };
    if charge().is_null() {
        stage.till.pay(customer, 5_000, json!({}));
    }
    stage.deliver().await;
    let paid = charge();
    let id = paid["id"].as_str().expect("an id");
    let disputes = stripe.world().with("dispute", "charge", id);
    let dispute = match disputes.first() {
        Some(dispute) => dispute["id"].as_str().expect("an id").to_owned(),
        None => {
            stage.has(customer, "50.000000").await;
            stripe.dispute(id)
        }
    };
    stage.deliver().await;
    if stripe.object(&dispute)["status"] != "won" {
        let shut = |account: &Value| account["reasons"] == json!([format!("dispute:{dispute}")]);
        stage.until(customer, "is shut", shut).await;
        stage.has(customer, "0.000000").await;
        stripe.advance(1);
        stripe.world().close_dispute(&dispute, "won");
    }
    stage.deliver().await;
    if paid["amount_refunded"] == 0 {
        stage.has(customer, "50.000000").await;
        stripe.advance(1);
        stripe.world().refund(id, 2_000);
    }
    stage.deliver().await;
    stage.has(customer, "30.000000").await;
}

async fn top_up(stage: &Stage, who: &Who) {
    let ask = json!({"pack": "starter", "below": "10.9"}).to_string();
    let put = stage
        .till
        .shop
        .client(&who.key)
        .request(Method::PUT, "/faregate/v1/top-up");
    let mut answer = put.body(RigBody::whole(ask)).send().await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await);
    comes(stage, who, |available| available > 11_000_000).await;
}

async fn slice(stage: &Stage, who: &Who) {
    if received(stage, &who.account) == 100 {
        spend(stage, who, 2_000_000).await;
    }
    comes(stage, who, |available| available > -1_000_000).await;
}

/// Uses a quarter of a credit unless the account has what is wanted, and waits until it has; where a gate died that had seen it run low, it takes another request.
async fn comes(stage: &Stage, who: &Who, wanted: impl Fn(i64) -> bool) {
    let is = |account: &Value| wanted(micros(&account["available"])) && account["held"] == "0.000000";
    within("credits come", async {
        while !is(&stage.account(&who.account).await) {
            let answer = stage.till.shop.buy(&who.key, "/v1/rerank").await;
            assert_eq!(answer.status(), 200);
            for _ in 0..150 {
                if is(&stage.account(&who.account).await) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
}

async fn sync(stage: &Stage, customer: &str) {
    if received(stage, customer) == 0 {
        stage.till.pay(customer, 5_000, json!({"faregate_credits": "50"}));
        stage.till.grant(customer, 700, json!({}));
        // Nothing of it is told.
        stage.till.stripe.take_undelivered();
    }
    let sync = stage.till.shop.faregate.cli(["stripe", "sync", "--json"]);
    sync.run().await.ok();
}

/// A customer on a subscription whose usage is metered in millionths of a dollar.
fn subscriber(stage: &Stage) -> String {
    let known = stage.till.stripe.newest("price");
    let Some(price) = known else {
        return stage.till.subscribed().0;
    };
    let customer = stage.till.stripe.customer(&[]);
    let price = price["id"].as_str().expect("an id");
    stage.till.stripe.world().subscribe(&customer, price);
    customer
}

/// What of a customer's usage Stripe counts: identifiers, and micro-credits.
fn told(stage: &Stage, customer: &str) -> Vec<(String, i64)> {
    let world = stage.till.stripe.world();
    let mine = world.usage().iter().filter(|usage| usage.customer == customer);
    mine.map(|usage| (usage.identifier.clone(), usage.value.floor()))
        .collect()
}

/// What a customer has paid, in cents.
fn received(stage: &Stage, customer: &str) -> i64 {
    let world = stage.till.stripe.world();
    let payments = world.with("payment_intent", "customer", customer);
    payments
        .iter()
        .filter_map(|payment| payment["amount_received"].as_i64())
        .sum()
}

/// The account has 11 credits of each of so many payments of 10 dollars, and nothing else.
fn bought(stage: &Stage, account: &str, found: &Value, wanted: usize) {
    let of = |object: &Value| object["metadata"]["faregate_account"] == account;
    let world = stage.till.stripe.world();
    let payments = world.all("payment_intent").filter(|payment| of(payment));
    let paid: Vec<&Value> = payments
        .filter(|payment| payment["amount_received"] == 1_000)
        .collect();
    let customers = world.all("customer").filter(|customer| of(customer)).count();
    assert_eq!((paid.len(), customers), (wanted, 1), "{paid:#?}");
    assert_eq!(found["granted"], format!("{}.000000", 11 * wanted), "{found:#}");
    let lots = found["grants"].as_array().expect("grants");
    assert_eq!(lots.len(), wanted, "{found:#}");
    for payment in paid {
        let id = payment["id"].as_str().expect("an id");
        let made = world
            .all("billing.credit_grant")
            .filter(|grant| grant["metadata"]["purchase_id"] == id);
        let made: Vec<&str> = made.filter_map(|grant| grant["id"].as_str()).collect();
        assert!(made.len() <= 1, "{made:?}");
        let own = format!("purchase:{id}");
        let here = |lot: &&Value| lot["id"] == own.as_str() || made.iter().any(|id| lot["id"] == *id);
        assert_eq!(lots.iter().filter(here).count(), 1, "{made:?} {found:#}");
    }
}

/// Micro-credits of a decimal text.
pub(super) fn micros(credits: &Value) -> i64 {
    let text = credits.as_str().unwrap_or("0").replace('.', "");
    text.parse().expect("a number")
}
