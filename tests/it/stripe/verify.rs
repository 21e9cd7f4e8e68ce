//! Plans that a card opens: once per person, by the webhook or without it.

mod crashes;
mod paying;

use serde_json::{Value, json};

use super::fake::{Card, Delivering, Outcome};
use super::till::{LEDGER, Setup, Till};
use crate::rig::client::Answer;
use crate::rig::within;

const VERIFY: &str = "/faregate/v1/verify";

const BY_CARD: &str = r#"
[stripe.checkout]
success_url = "https://example.com/verified"
cancel_url = "https://example.com/"

[plans.free]
routes = ["GET /v1/models"]

[plans.free.verify]
by = "card"
opens = "trial"
credits = 1
expires_after = "14d"

[plans.trial]
routes = ["GET /v1/models", "POST /v1/rerank", "POST /v1/images/generations"]
"#;

const CARD: Setup = Setup {
    more: BY_CARD,
    ..LEDGER
};

impl Till {
    /// A new account on the plan that verifying leads away from.
    async fn newcomer(&self, account: &str) -> String {
        self.shop
            .cli(["account", "create", account, "--plan", "free"])
            .await;
        self.shop.key(account).await
    }

    async fn ask_to_verify(&self, key: &str) -> Answer {
        self.shop.client(key).post_json(VERIFY, &json!({})).send().await
    }

    /// A page to show a card at.
    async fn verify_page(&self, key: &str) -> String {
        let mut answer = self.ask_to_verify(key).await;
        let page = answer.json().await;
        assert_eq!(answer.status(), 200, "{page}");
        page["id"].as_str().expect("an id").to_owned()
    }

    /// How it stands with verifying.
    async fn verified(&self, key: &str) -> Value {
        let mut answer = self.shop.client(key).get(VERIFY).send().await;
        let standing = answer.json().await;
        assert_eq!(answer.status(), 200, "{standing}");
        standing
    }

    /// Shows a card, and has all events of it delivered.
    async fn show_card(&self, key: &str, card: &Card) {
        let page = self.verify_page(key).await;
        self.stripe.buy(&page, card);
        // What the gate does about it (a refund) is told meanwhile.
        self.stripe.deliver(&Delivering::well()).await;
    }

    async fn plan_of(&self, account: &str) -> Value {
        self.show(account).await["plan"].clone()
    }

    /// How often what was shown came to this.
    async fn outcomes(&self, outcome: &str) -> u64 {
        let mut metrics = self.shop.faregate.admin_client().get("/metrics").send().await;
        let metrics = metrics.text().await;
        let line = format!("faregate_stripe_verifications_total{{outcome=\"{outcome}\"}} ");
        let found = metrics.lines().find_map(|known| known.strip_prefix(&line));
        found.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// Nothing was given, and no route opened.
    async fn is_still_shut(&self, account: &str, key: &str) {
        let shown = self.show(account).await;
        assert_eq!(
            (&shown["plan"], &shown["granted"]),
            (&json!("free"), &json!("0.000000")),
            "{shown:#}"
        );
        assert_eq!(self.shop.buy(key, "/v1/rerank").await.status(), 403);
    }

    async fn all_is_well(&self) {
        self.stripe.assert_clean();
        self.shop.verify().await;
    }
}

#[tokio::test]
async fn a_verified_card_opens_the_next_plan_and_gives_what_comes_with_it() {
    let till = Till::open(CARD).await;
    let key = till.newcomer("acme").await;
    let mut refused = till.shop.buy(&key, "/v1/rerank").await;
    assert_eq!(refused.status(), 403);
    let refused = refused.json().await;
    assert_eq!(
        (&refused["code"], &refused["verify_by"], &refused["opens"]),
        (&json!("not_entitled"), &json!("card"), &json!("trial")),
        "{refused}"
    );
    // What no plan opens, verifying does not either.
    let mut message = till.shop.buy(&key, "/v1/messages").await;
    let message = message.json().await;
    assert_eq!(message["error"]["verify_by"], Value::Null, "{message}");
    assert_eq!(till.verified(&key).await["status"], "wanted");
    let mut page = till.ask_to_verify(&key).await;
    let page = page.json().await;
    assert_eq!((&page["by"], &page["opens"]), (&json!("card"), &json!("trial")));
    let id = page["id"].as_str().expect("an id").to_owned();
    assert_eq!(till.verified(&key).await["status"], "wanted");
    till.stripe.buy(&id, &Card::good());
    till.stripe.deliver_all().await;
    let shown = till.has("acme", "1.000000").await;
    assert_eq!(
        (&shown["grants"][0]["id"], &shown["grants"][0]["category"]),
        (&json!("verify:free"), &json!("promotional"))
    );
    assert!(shown["grants"][0]["expires_at"].is_string(), "{shown:#}");
    till.shop.opens(&key).await;
    assert_eq!(till.plan_of("acme").await, "trial");
    assert_eq!(till.verified(&key).await["status"], "verified");
    assert_eq!(till.outcomes("opened").await, 1);
    assert_eq!(till.ask_to_verify(&key).await.status(), 404);
    // The operator is told the same.
    let path = "/admin/v1/accounts/acme/verify";
    let mut seen = till.shop.faregate.admin_client().get(path).send().await;
    assert_eq!(seen.json().await["status"], "verified");
    till.all_is_well().await;
}

#[tokio::test]
async fn it_works_without_the_webhook_and_with_both_once() {
    let till = Till::open(CARD).await;
    let key = till.newcomer("acme").await;
    let page = till.verify_page(&key).await;
    till.stripe.buy(&page, &Card::good());
    let late = till.stripe.take_undelivered();
    assert_eq!(till.verified(&key).await["status"], "verified");
    let shown = till.show("acme").await;
    assert_eq!(
        (&shown["plan"], &shown["granted"]),
        (&json!("trial"), &json!("1.000000"))
    );
    for _ in 0..2 {
        for event in &late {
            till.stripe.send_signed(event).await;
        }
    }
    // The operator's word is the last.
    till.shop.cli(["account", "plan", "acme", "free"]).await;
    let second = till.ask_to_verify(&key).await;
    assert_eq!(second.status(), 404);
    let shown = till.show("acme").await;
    assert_eq!(
        (&shown["plan"], &shown["granted"]),
        (&json!("free"), &json!("1.000000"))
    );
    assert_eq!(till.outcomes("opened").await, 1);
    till.all_is_well().await;
}

#[tokio::test]
async fn a_page_that_was_left_open_is_looked_at_before_there_is_another() {
    let till = Till::open(CARD).await;
    let key = till.newcomer("acme").await;
    let page = till.verify_page(&key).await;
    let second = till.verify_page(&key).await;
    assert_ne!(page, second, "nobody had shown anything");
    // It is shown on the first after all, and the webhook is lost.
    till.stripe.buy(&page, &Card::good());
    till.stripe.take_undelivered();
    assert_eq!(till.ask_to_verify(&key).await.status(), 404);
    let shown = till.show("acme").await;
    assert_eq!(
        (&shown["plan"], &shown["granted"]),
        (&json!("trial"), &json!("1.000000"))
    );
    assert_eq!(till.stripe.calls_of("POST /v1/checkout/sessions").len(), 2);
    till.all_is_well().await;
}

#[tokio::test]
async fn an_operator_makes_the_page_for_an_account_too() {
    let till = Till::open(CARD).await;
    till.newcomer("acme").await;
    let admin = till.shop.faregate.admin_client();
    let ask = |account: &str| {
        let path = format!("/admin/v1/accounts/{account}/verify");
        let request = admin
            .post_json(&path, &json!({}))
            .header("idempotency-key", "once");
        async move {
            let mut answer = request.send().await;
            (answer.status(), answer.json().await)
        }
    };
    let (status, page) = ask("acme").await;
    assert_eq!(
        (status, &page["by"], &page["opens"]),
        (200, &json!("card"), &json!("trial")),
        "{page}"
    );
    assert_eq!(ask("acme").await, (200, page.clone()));
    assert_eq!(ask("nobody").await.0, 404);
    till.stripe
        .buy(page["id"].as_str().expect("an id"), &Card::good());
    till.stripe.deliver(&Delivering::well()).await;
    till.has("acme", "1.000000").await;
    assert_eq!(ask("acme").await.0, 404, "there is nothing more to show");
    till.all_is_well().await;
}

#[tokio::test]
async fn a_second_account_with_the_same_card_gets_nothing_and_is_told_why() {
    let till = Till::open(CARD).await;
    let (one, two) = (till.newcomer("one").await, till.newcomer("two").await);
    till.show_card(&one, &Card::good()).await;
    till.has("one", "1.000000").await;
    till.show_card(&two, &Card::good()).await;
    let standing = till.verified(&two).await;
    assert_eq!(standing["status"], "refused");
    let message = standing["message"].as_str().expect("a sentence").to_owned();
    assert!(
        message.contains("this card was used for a trial before"),
        "{message}"
    );
    till.is_still_shut("two", &two).await;
    assert_eq!(till.outcomes("used_before").await, 1);
    // Another card of another person is welcome.
    till.show_card(&two, &Card::good().fingerprint("FpOther")).await;
    till.has("two", "1.000000").await;
    assert_eq!(till.verified(&two).await["status"], "verified");
    till.all_is_well().await;
}

#[tokio::test]
async fn the_same_address_written_otherwise_is_the_same_person() {
    let till = Till::open(CARD).await;
    let (one, two) = (till.newcomer("one").await, till.newcomer("two").await);
    till.show_card(&one, &Card::good().email("ada@example.com")).await;
    till.has("one", "1.000000").await;
    let other = Card::good().fingerprint("FpOther").email("Ada+2@Example.com");
    till.show_card(&two, &other).await;
    let standing = till.verified(&two).await;
    assert_eq!(standing["status"], "refused");
    let message = standing["message"].as_str().expect("a sentence").to_owned();
    assert!(message.contains("this e-mail address was used"), "{message}");
    till.is_still_shut("two", &two).await;
    // The card was not taken by the attempt.
    let three = till.newcomer("three").await;
    till.show_card(&three, &Card::good().fingerprint("FpOther")).await;
    till.has("three", "1.000000").await;
    till.all_is_well().await;
}

#[tokio::test]
async fn cards_that_fail_are_prepaid_or_cannot_be_checked_open_nothing() {
    let till = Till::open(CARD).await;
    let key = till.newcomer("acme").await;
    let page = till.verify_page(&key).await;
    let declined = till.stripe.world().buy(
        &page,
        &Card::new(Outcome::Declined("generic_decline", "confirm_card_data")),
    );
    assert!(declined.is_err());
    till.stripe.deliver_all().await;
    assert_eq!(till.verified(&key).await["status"], "wanted");
    till.is_still_shut("acme", &key).await;
    let prepaid = Card {
        funding: "prepaid",
        ..Card::good()
    };
    let unchecked = Card {
        cvc_check: "unchecked",
        ..Card::good()
    };
    let elsewhere = Card {
        postal_code_check: "fail",
        ..Card::good()
    };
    for (card, outcome) in [
        (prepaid, "prepaid"),
        (unchecked, "not_checked"),
        (elsewhere, "not_checked"),
    ] {
        till.stripe.advance(1);
        let before = till.outcomes(outcome).await;
        till.show_card(&key, &card).await;
        let standing = till.verified(&key).await;
        assert_eq!(standing["status"], "refused", "{standing}");
        till.is_still_shut("acme", &key).await;
        assert_eq!(till.outcomes(outcome).await, before + 1);
    }
    // None of them has cost the person anything.
    till.show_card(&key, &Card::good()).await;
    till.has("acme", "1.000000").await;
    till.all_is_well().await;
}

#[tokio::test]
async fn accounts_on_the_default_plan_verify_too_and_other_plans_ask_for_nothing() {
    let till = Till::open(CARD).await;
    till.shop
        .configure_with(CARD.ledger, &super::till::config(&CARD, &till.stripe), |text| {
            format!("default_plan = \"free\"\n{text}")
        });
    till.shop.cli(["reload"]).await;
    till.shop.cli(["account", "create", "acme"]).await;
    let key = till.shop.key("acme").await;
    till.show_card(&key, &Card::good()).await;
    till.has("acme", "1.000000").await;
    assert_eq!(till.plan_of("acme").await, "trial");
    till.shop
        .cli(["account", "create", "other", "--plan", "trial"])
        .await;
    let other = till.shop.key("other").await;
    assert_eq!(till.verified(&other).await["status"], "not_needed");
    assert_eq!(till.ask_to_verify(&other).await.status(), 404);
}

/// The story that started it.
#[tokio::test]
async fn a_trial_runs_up_gpu_heavy_usage_its_card_bounces_and_the_next_request_is_refused_at_no_more_loss_than_the_cap()
 {
    let till = Till::open(CARD).await;
    let key = till.newcomer("acme").await;
    till.show_card(&key, &Card::good()).await;
    till.has("acme", "1.000000").await;
    assert_eq!(till.verified(&key).await["status"], "verified");
    // Everything at once, as a script would: pictures by the dozen, each of which keeps a GPU busy.
    let connection = till.shop.client(&key).connect().await;
    let ask = |body: String| {
        let request = connection.post("/v1/images/generations", body);
        request.header("content-type", "application/json")
    };
    let images = |n: u32| ask(json!({ "n": n }).to_string());
    // A worker may go by the plan before for a moment; what cannot be read costs nothing.
    within("the plan opens", async {
        while ask("[".to_owned()).send().await.status() != 400 {}
    })
    .await;
    let mut paid = 0;
    for _ in 0..20 {
        let request = images(12);
        match request.send().await.status() {
            200 => paid += 1,
            402 => {}
            other => panic!("{other}"),
        }
    }
    // 0.48 each: the trial's one credit is all that it can cost.
    assert_eq!((paid, till.shop.upstream.reached()), (2, 2));
    let shown = till.shop.settled("acme").await;
    assert_eq!(
        (&shown["available"], &shown["spent"]),
        (&json!("0.040000"), &json!("0.960000"))
    );
    let customer = till.stripe.newest("customer").expect("a customer")["id"].clone();
    // It wants to go on, and the card bounces.
    let bounced = json!({
        "id": "in_first", "object": "invoice", "customer": customer, "status": "open", "currency": "usd",
        "attempt_count": 1, "amount_due": 2000,
    });
    let event = super::rules::event("invoice.payment_failed", bounced);
    assert_eq!(till.send(&event).await.status(), 200);
    let mut refused = images(1).send().await;
    assert_eq!(refused.status(), 403, "though one more would have been paid for");
    assert!(refused.text().await.contains("account_paused"));
    assert_eq!(till.shop.upstream.reached(), 2);
    let shown = till.show("acme").await;
    assert_eq!(
        (&shown["plan"], &shown["granted"]),
        (&json!("trial"), &json!("1.000000")),
        "a payment that failed makes nobody a payer"
    );
    till.all_is_well().await;
}

#[tokio::test]
async fn two_accounts_of_one_person_on_two_proxies_of_a_redis_have_one_trial() {
    let (_redis, setup) = CARD.on_redis().await;
    let till = Till::open(setup).await;
    let second = till
        .shop
        .second(setup.ledger, &super::till::config(&setup, &till.stripe))
        .await;
    let (one, two) = (till.newcomer("one").await, till.newcomer("two").await);
    for key in [&one, &two] {
        let page = till.verify_page(key).await;
        till.stripe.buy(&page, &Card::good());
    }
    till.stripe.take_undelivered();
    let on_second = second.client().bearer(&two);
    let (_, answer) = tokio::join!(till.verified(&one), on_second.get(VERIFY).send());
    assert_eq!(answer.status(), 200);
    let mut standings = Vec::new();
    for key in [&one, &two] {
        standings.push(till.verified(key).await["status"].clone());
    }
    standings.sort_by_key(Value::to_string);
    assert_eq!(standings, ["refused", "verified"]);
    let plans = [till.plan_of("one").await, till.plan_of("two").await];
    let trials = plans.iter().filter(|plan| **plan == "trial");
    assert_eq!(trials.count(), 1, "{plans:?}");
    till.all_is_well().await;
}
