//! Postpaid: what is owed is charged in slices, and a slice that is not paid takes the line away.

use std::time::Duration;

use faregate::domain::credits::Credits;
use http::Method;
use serde_json::{Value, json};

use super::fake::chance::Chance;
use super::fake::{Card, Delivering, FakeStripe, Fault, Outcome};
use super::till::{GRANTS, LEDGER, Setup, Till, config};
use super::top_up_laws::Buyer;
use crate::rig::body::RigBody;
use crate::rig::within;

const LINE: &str = r#"
plan = "post"

[plans.post]
credit_line = 2
bill_every = 1

[stripe.checkout]
success_url = "https://example.com/bought"
cancel_url = "https://example.com/credits"

[[stripe.packs]]
id = "starter"
name = "Ten dollars of credits"
price = 10.00
currency = "usd"
"#;

const CHARGE: &str = "POST /v1/payment_intents";

const POST: Setup = Setup { more: LINE, ..LEDGER };

const HOUR: i64 = 3_600;

/// A customer who has paid a dollar and used it, and whose card is kept.
struct Debtor {
    till: Till,
    customer: String,
    key: String,
}

impl Debtor {
    async fn new(setup: Setup) -> Debtor {
        let till = Till::open(setup).await;
        let customer = till.stripe.customer(&[]);
        till.pay(&customer, 100, json!({"faregate_credits": "1"}));
        till.stripe.deliver(&Delivering::well()).await;
        till.has(&customer, "1.000000").await;
        let key = till.shop.key(&customer).await;
        let debtor = Debtor { till, customer, key };
        for _ in 0..4 {
            debtor.uses().await;
        }
        debtor
    }

    /// Uses a quarter of a credit.
    async fn uses(&self) {
        let answer = self.till.shop.buy(&self.key, "/v1/rerank").await;
        assert_eq!(answer.status(), 200);
    }

    async fn has(&self, available: &str) -> Value {
        self.till.has(&self.customer, available).await
    }

    fn charges(&self) -> usize {
        let calls = self.till.stripe.calls_of(CHARGE);
        calls.iter().filter(|call| !call.replayed).count()
    }

    fn card_does(&self, outcome: &Outcome) {
        let mut world = self.till.stripe.world();
        let default = world.object(&self.customer)["invoice_settings"]["default_payment_method"].clone();
        world.set_outcome(default.as_str().expect("a card"), outcome.clone());
    }

    async fn is_shut(&self) {
        within("it is shut", async {
            while self.till.reasons(&self.customer).await != ["line"] {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn done(&self) {
        self.till.stripe.assert_clean();
        self.till.shop.verify().await;
    }
}

#[tokio::test]
async fn a_slice_that_is_paid_opens_the_next_in_both_modes() {
    for setup in [POST, Setup { more: LINE, ..GRANTS }] {
        let debtor = Debtor::new(setup).await;
        debtor.has("0.000000").await;
        for slice in 1..=3 {
            for _ in 0..4 {
                debtor.uses().await;
            }
            debtor.has("0.000000").await;
            assert_eq!(debtor.charges(), slice);
        }
        let charged = debtor.till.stripe.calls_of(CHARGE);
        assert_eq!(charged[0].get("amount"), Some("100"));
        assert_eq!(charged[0].get("currency"), Some("usd"));
        assert_eq!(charged[0].get("off_session"), Some("true"));
        debtor.till.stripe.deliver(&Delivering::well()).await;
        debtor.has("0.000000").await;
        debtor.done().await;
    }
}

#[tokio::test]
async fn what_was_given_back_is_owed_and_not_charged_again() {
    let debtor = Debtor::new(POST).await;
    let charge = {
        let world = debtor.till.stripe.world();
        let first = world.all("charge").next().expect("a charge");
        first["id"].as_str().expect("an id").to_owned()
    };
    debtor.till.stripe.advance(5);
    debtor.till.stripe.world().refund(&charge, 100);
    debtor.till.stripe.deliver(&Delivering::well()).await;
    debtor.has("-1.000000").await;
    debtor.is_shut().await;
    let refused = debtor.till.shop.buy(&debtor.key, "/v1/rerank").await;
    assert_eq!(refused.status(), 403);
    // It opens when the customer has paid.
    debtor
        .till
        .pay(&debtor.customer, 100, json!({"faregate_credits": "1"}));
    debtor.till.stripe.deliver(&Delivering::well()).await;
    debtor.has("0.000000").await;
    within("it is open", async {
        while debtor.till.shop.buy(&debtor.key, "/v1/rerank").await.status() != 200 {}
    })
    .await;
    assert_eq!(debtor.charges(), 0);
    debtor.done().await;
}

#[tokio::test]
async fn a_slice_that_fails_takes_the_line_away_on_all_proxies_and_a_bought_pack_gives_it_back() {
    let (_redis, setup) = POST.on_redis().await;
    let rest = |stripe: &FakeStripe| config(&setup, stripe);
    let debtor = Debtor::new(Setup { ..setup }).await;
    let shop = &debtor.till.shop;
    let second = shop.second(setup.ledger, &rest(&debtor.till.stripe)).await;
    let on_second = || {
        let client = second.client().bearer(&debtor.key);
        async move { client.post_json("/v1/rerank", &json!({})).send().await.status() }
    };
    debtor.card_does(&Outcome::NO_FUNDS);
    assert_eq!(on_second().await, 200);
    for _ in 0..3 {
        debtor.uses().await;
    }
    debtor.is_shut().await;
    assert_eq!(on_second().await, 403);
    let mut refused = shop.buy(&debtor.key, "/v1/rerank").await;
    assert_eq!(refused.status(), 403);
    let said = refused.json().await;
    assert_eq!(said["reasons"], json!(["line"]));
    assert!(
        said["detail"]
            .as_str()
            .expect("words")
            .contains("buying a pack opens it"),
        "{said}"
    );
    assert_eq!(debtor.till.stripe.calls_of(CHARGE).len(), 1);
    // A pack is bought, which an account that is shut may do, and pays what was owed.
    let client = shop.client(&debtor.key);
    let ask = client.post_json("/faregate/v1/checkout", &json!({"pack": "starter"}));
    let page = ask.send().await.json().await;
    let session = page["id"].as_str().expect("an id");
    debtor.till.stripe.buy(session, &Card::good());
    debtor.till.stripe.deliver(&Delivering::well()).await;
    debtor.has("9.000000").await;
    shop.opens(&debtor.key).await;
    within("the second opens", async { while on_second().await != 200 {} }).await;
    assert_eq!(debtor.till.reasons(&debtor.customer).await, [""; 0]);
    assert_eq!(debtor.till.stripe.calls_of(CHARGE).len(), 1);
    debtor.done().await;
}

#[tokio::test]
async fn what_is_owed_is_charged_while_no_pack_may_be_bought() {
    let more = format!("{LINE}\n[stripe.top_up]\ncharges_per_day = 1\n");
    let more: &'static str = Box::leak(more.into_boxed_str());
    let debtor = Debtor::new(Setup { more, ..LEDGER }).await;
    let client = debtor.till.shop.client(&debtor.key);
    let put = client.request(Method::PUT, "/faregate/v1/top-up");
    let ask = json!({"pack": "starter", "below": "5"});
    put.body(RigBody::whole(ask.to_string())).send().await;
    debtor.has("10.000000").await;
    within("the cap is reached", async {
        loop {
            let stands = client.get("/faregate/v1/top-up").send().await.json().await;
            if stands["trouble"]["why"] == "cap_reached" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    for _ in 0..44 {
        debtor.uses().await;
    }
    debtor.has("0.000000").await;
    let charged = debtor.till.stripe.calls_of(CHARGE);
    let amounts: Vec<_> = charged.iter().map(|call| call.get("amount")).collect();
    assert_eq!(amounts, [Some("1000"), Some("100")]);
    debtor.done().await;
}

#[tokio::test]
async fn while_it_is_not_known_whether_a_slice_is_paid_nothing_goes_beyond_the_line() {
    let debtor = Debtor::new(POST).await;
    debtor.till.stripe.fail(CHARGE, 100, Fault::Unavailable);
    for _ in 0..8 {
        debtor.uses().await;
    }
    debtor.has("-2.000000").await;
    let refused = debtor.till.shop.buy(&debtor.key, "/v1/rerank").await;
    assert_eq!(refused.status(), 402);
    debtor.done().await;
}

async fn debtor(mode: &str, seed: u64) -> Buyer {
    Buyer::on(Some("post"), mode, seed, LINE).await
}

impl Buyer {
    async fn stands_at(&self, credits: i64, shut: bool) {
        let found = self.inside.stands(&self.customer).await.expect("an account");
        let credits = Credits::from_micros(credits * 1_000_000).expect("few");
        let reasons: Vec<String> = shut.then(|| "line".to_owned()).into_iter().collect();
        assert_eq!(found, (credits, reasons));
    }
}

#[tokio::test]
async fn what_failed_is_tried_again_after_a_while_and_opens_the_account_when_it_is_paid() {
    let mut buyer = debtor("ledger", 11).await;
    let card = buyer.card.clone();
    buyer.inside.stripe.world().set_outcome(&card, Outcome::NO_FUNDS);
    buyer.uses(2).await;
    buyer.is_looked_at().await;
    buyer.stands_at(-2, true).await;
    for (wait, tried) in [(HOUR - 60, 1), (120, 2), (6 * HOUR - 60, 2)] {
        buyer.inside.advance(wait);
        buyer.inside.desk.watch_all().await.expect("nothing fails");
        buyer.works().await;
        assert_eq!(buyer.tried(), tried, "{wait}");
        buyer.stands_at(-2, true).await;
    }
    buyer.inside.stripe.world().set_outcome(&card, Outcome::Paid);
    buyer.inside.advance(120);
    buyer.inside.desk.watch_all().await.expect("nothing fails");
    buyer.works().await;
    buyer.stands_at(0, false).await;
    assert_eq!(buyer.paid(), 1);
}

#[tokio::test]
async fn credits_that_an_operator_gives_open_it_too_and_another_reason_stays() {
    let mut buyer = debtor("ledger", 12).await;
    let card = buyer.card.clone();
    buyer
        .inside
        .stripe
        .world()
        .set_outcome(&card, Outcome::FRAUDULENT);
    buyer.uses(1).await;
    buyer.is_looked_at().await;
    buyer.stands_at(-1, true).await;
    buyer.uses(-5).await;
    buyer.inside.desk.watch_all().await.expect("nothing fails");
    buyer.works().await;
    buyer.stands_at(4, false).await;
    assert_eq!((buyer.tried(), buyer.paid()), (1, 0));
}

#[tokio::test]
async fn who_has_no_card_has_no_line() {
    let mut buyer = debtor("ledger", 13).await;
    let card = buyer.card.clone();
    buyer.inside.stripe.world().detach_method(&card);
    buyer.uses(1).await;
    buyer.is_looked_at().await;
    buyer.stands_at(-1, true).await;
    assert_eq!(buyer.tried(), 0);
}

/// The operator takes the charging of slices out of the configuration while an account is shut for one.
#[tokio::test]
async fn who_was_shut_for_a_slice_is_let_out_when_slices_are_charged_no_more() {
    for pays in [false, true] {
        let mut buyer = debtor("ledger", 14).await;
        let card = buyer.card.clone();
        buyer
            .inside
            .stripe
            .world()
            .set_outcome(&card, Outcome::FRAUDULENT);
        buyer.uses(1).await;
        buyer.is_looked_at().await;
        buyer.stands_at(-1, true).await;
        let without = LINE.replace("bill_every = 1", "");
        buyer.inside.reload("ledger", &without);
        if pays {
            buyer.inside.stripe.world().set_outcome(&card, Outcome::Paid);
            buyer.pays(3).await;
            buyer.stands_at(2, false).await;
        } else {
            buyer.inside.desk.watch_all().await.expect("nothing fails");
            buyer.works().await;
            buyer.stands_at(-1, false).await;
        }
    }
}

/// The longest name that an account may have.
#[tokio::test]
async fn an_account_with_a_long_name_is_shut_for_a_slice_too() {
    let name = "a".repeat(128);
    let mut buyer = Buyer::named(Some(&name), Some("post"), "ledger", 15, LINE).await;
    let card = buyer.card.clone();
    buyer.inside.stripe.world().set_outcome(&card, Outcome::NO_FUNDS);
    buyer.uses(1).await;
    buyer.is_looked_at().await;
    let (_, reasons) = buyer.inside.stands(&name).await.expect("an account");
    assert_eq!(reasons, ["line"]);
}

/// In whatever state the desk crashes, and whatever call is lost: what is owed is charged once, and in the end less than a slice is owed, or the account is shut.
#[tokio::test]
async fn whatever_crashes_what_is_owed_is_charged_once() {
    let mut charges = 0;
    for (mode, seed) in (0..24_u64).map(|seed| (if seed % 2 == 0 { "ledger" } else { "grants" }, seed)) {
        let mut buyer = debtor(mode, seed).await;
        let mut chance = Chance::new(seed);
        let card = buyer.card.clone();
        let mut used = 0;
        for _ in 0..12 {
            let outcome = if chance.percent(25) {
                Outcome::NO_FUNDS
            } else {
                Outcome::Paid
            };
            buyer.inside.stripe.world().set_outcome(&card, outcome);
            buyer.inside.store.fail(150);
            buyer.inside.stripe.lose(25);
            for _ in 0..chance.next() % 6 {
                buyer.may_be_looked_at().await;
                buyer
                    .inside
                    .advance(1 + i64::try_from(chance.next() % 300).expect("few"));
            }
            buyer.inside.store.fail(0);
            if chance.percent(50) {
                buyer.uses(1).await;
                used += 1;
            }
        }
        buyer.inside.stripe.world().set_outcome(&card, Outcome::Paid);
        buyer.inside.come_to_rest().await;
        let paid: i64 = {
            let world = buyer.inside.stripe.world();
            let intents = world.all("payment_intent");
            intents
                .filter_map(|intent| intent["amount_received"].as_i64())
                .sum()
        };
        charges += buyer.paid();
        let (available, reasons) = buyer.inside.stands(&buyer.customer).await.expect("an account");
        let wanted = Credits::from_micros(paid * 10_000 - used * 1_000_000).expect("few");
        assert_eq!(available, wanted, "{mode} {seed}");
        // Whoever still owes is charged, or shut until the next try.
        buyer.inside.advance(7 * HOUR);
        buyer.inside.desk.watch_all().await.expect("nothing fails");
        buyer.is_looked_at().await;
        buyer.inside.come_to_rest().await;
        let (available, later) = buyer.inside.stands(&buyer.customer).await.expect("an account");
        let settled = !available.is_negative() && later.is_empty();
        let shut = available.is_negative() && !later.is_empty();
        assert!(
            settled || shut,
            "{mode} {seed}: {available} {reasons:?} {later:?}"
        );
        buyer.inside.verify().await;
    }
    assert!(charges > 24, "{charges}");
}
