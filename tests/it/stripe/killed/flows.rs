//! What is done while the gate is killed. Each may be done again from its beginning, as by a client that asks again, and goes on where the world stands.

use serde_json::{Value, json};

use super::super::fake::Card;
use super::super::till::{GRANTS, LEDGER, Setup};
use super::Stage;

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
"#;

/// What moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// A pack on Stripe's page.
    Purchase,
}

/// Of whom.
pub(super) struct Who {
    /// None: nobody yet.
    account: Option<String>,
    key: String,
}

impl Who {
    pub(super) fn nobody() -> Who {
        Who {
            account: None,
            key: String::new(),
        }
    }
}

impl Flow {
    pub(super) fn setup(self, mode: &str) -> Setup {
        let of_mode = if mode == "grants" { GRANTS } else { LEDGER };
        let more = match self {
            Flow::Purchase => SHOP,
        };
        Setup { more, ..of_mode }
    }

    /// What all have in common.
    pub(super) fn prepare(self, _stage: &Stage) {}

    /// What is there before; the gate is not killed in it.
    pub(super) async fn begin(self, stage: &Stage, nth: usize) -> Who {
        match self {
            Flow::Purchase => {
                let account = format!("buyer-{nth}");
                let key = stage.till.shop.customer(&account, "0").await;
                Who {
                    account: Some(account),
                    key,
                }
            }
        }
    }

    pub(super) async fn act(self, stage: &Stage, who: &Who) {
        match self {
            Flow::Purchase => purchase(stage, who).await,
        }
    }

    /// What must be so in the end.
    pub(super) async fn check(self, stage: &Stage, who: &Who) {
        let Some(account) = &who.account else {
            return;
        };
        let found = stage.account(account).await;
        match self {
            Flow::Purchase => {
                bought(stage, account, &found, 1);
            }
        }
    }
}

async fn purchase(stage: &Stage, who: &Who) {
    let page = stage
        .till
        .shop
        .client(&who.key)
        .post_json("/faregate/v1/checkout", &json!({"pack": "starter"}))
        .header("idempotency-key", "buy")
        .send()
        .await
        .json()
        .await;
    let session = page["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{page:#}"))
        .to_owned();
    if stage.till.stripe.object(&session)["status"] == "open" {
        stage.till.stripe.buy(&session, &Card::good());
    }
    stage.deliver().await;
    let look = format!("/faregate/v1/checkout/{session}");
    let mut answer = stage.till.shop.client(&who.key).get(&look).send().await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await);
    stage
        .has(who.account.as_deref().unwrap_or_default(), "11.000000")
        .await;
}

/// The account has 11 credits of each of so many payments of 10 dollars, and nothing else.
fn bought(stage: &Stage, account: &str, found: &Value, wanted: usize) {
    let of = |object: &Value| object["metadata"]["faregate_account"] == account;
    let world = stage.till.stripe.world();
    let paid = |payment: &&Value| of(payment) && payment["amount_received"] == 1000;
    let paid: Vec<&Value> = world.all("payment_intent").filter(paid).collect();
    let customers = world.all("customer").filter(|customer| of(customer)).count();
    assert_eq!((paid.len(), customers), (wanted, 1), "{paid:#?}");
    let credits = 11 * wanted;
    assert_eq!(found["granted"], format!("{credits}.000000"), "{found:#}");
    let lots = found["grants"].as_array().expect("grants");
    assert_eq!(lots.len(), wanted, "{found:#}");
    for payment in paid {
        let id = payment["id"].as_str().expect("an id");
        let at_stripe = world
            .all("billing.credit_grant")
            .filter(|grant| grant["metadata"]["purchase_id"] == id);
        let at_stripe: Vec<&str> = at_stripe.filter_map(|grant| grant["id"].as_str()).collect();
        let own = format!("purchase:{id}");
        let lot = at_stripe.first().copied().unwrap_or(&own);
        assert!(at_stripe.len() <= 1, "{at_stripe:?}");
        assert!(
            lots.iter().any(|known| known["id"] == lot || known["id"] == own),
            "{lot}: {found:#}"
        );
    }
}
