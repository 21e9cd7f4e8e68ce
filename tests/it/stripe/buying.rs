//! Packs, bought on Stripe's page.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::{Card, Delivering, Fault, Outcome};
use super::till::{GRANTS, LEDGER, Setup, Till};
use crate::rig::client::Answer;
use crate::rig::within;

const SHOP: &str = r#"
[stripe.checkout]
success_url = "https://example.com/bought?session={CHECKOUT_SESSION_ID}"
cancel_url = "https://example.com/credits"

[[stripe.packs]]
id = "starter"
name = "Ten dollars of credits"
price = 10.00
currency = "usd"
credits = 11
expires_after = "365d"

[[stripe.packs]]
id = "small"
name = "One dollar of credits"
price = 1
currency = "usd"
"#;

const CHECKOUT: &str = "/faregate/v1/checkout";

fn ledger() -> Setup {
    Setup { more: SHOP, ..LEDGER }
}

fn grants() -> Setup {
    Setup { more: SHOP, ..GRANTS }
}

impl Till {
    async fn checkout(&self, key: &str, pack: &str, once: Option<&str>) -> Answer {
        let mut request = self
            .shop
            .client(key)
            .post_json(CHECKOUT, &json!({ "pack": pack }));
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        request.send().await
    }

    /// A page for the pack `starter`.
    async fn page(&self, key: &str) -> String {
        let mut answer = self.checkout(key, "starter", None).await;
        assert_eq!(answer.status(), 200);
        answer.json().await["id"].as_str().expect("an id").to_owned()
    }

    async fn look(&self, key: &str, session: &str) -> Answer {
        self.shop
            .client(key)
            .get(&format!("{CHECKOUT}/{session}"))
            .send()
            .await
    }

    async fn looked(&self, key: &str, session: &str) -> Value {
        let mut answer = self.look(key, session).await;
        assert_eq!(answer.status(), 200);
        answer.json().await
    }

    /// Events are lost.
    fn lose(&self) {
        self.stripe.take_undelivered();
    }

    async fn done(&self) {
        self.stripe.assert_clean();
        self.shop.verify().await;
    }
}

fn good() -> Card {
    Card::new(Outcome::Paid)
}

#[tokio::test]
async fn a_pack_that_is_paid_is_usable_by_the_event_alone() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 402);
    let mut answer = till.checkout(&key, "starter", None).await;
    let page = answer.json().await;
    let session = page["id"].as_str().expect("an id").to_owned();
    assert_eq!(page["pack"], "starter");
    assert_eq!(page["credits"], "11.000000");
    assert_eq!(
        (&page["price"], &page["currency"]),
        (&json!("10.00"), &json!("usd"))
    );
    assert!(page["url"].as_str().expect("a url").contains(&session), "{page}");
    assert!(
        page["expires_at"].as_str().expect("a time").ends_with('Z'),
        "{page}"
    );
    till.stripe.buy(&session, &good());
    till.stripe.deliver_all().await;
    let shown = till.has("acme", "11.000000").await;
    assert!(shown["grants"][0]["expires_at"].is_string(), "{shown:#}");
    till.shop.opens(&key).await;
    let mut metrics = till.shop.faregate.admin_client().get("/metrics").send().await;
    let metrics = metrics.text().await;
    let line = "faregate_stripe_paid_to_usable_seconds_count 1";
    assert!(metrics.contains(line), "{metrics}");
    till.done().await;
}

#[tokio::test]
async fn a_pack_that_is_paid_is_usable_by_the_return_page_alone_and_by_both_once() {
    for setup in [ledger(), grants()] {
        let till = Till::open(setup).await;
        let key = till.shop.customer("acme", "0").await;
        let session = till.page(&key).await;
        assert_eq!(till.looked(&key, &session).await["status"], "open");
        till.stripe.buy(&session, &good());
        let events = till.stripe.take_undelivered();
        let standing = till.looked(&key, &session).await;
        let paid = json!({ "status": "paid", "credits": "11.000000", "available": "11.000000" });
        assert_eq!(standing, paid);
        till.shop.opens(&key).await;
        till.shop.settled("acme").await;
        let available = till.show("acme").await["available"].clone();
        // The events were only late.
        for event in &events {
            till.stripe.send_signed(event).await;
        }
        till.stripe.deliver_all().await;
        assert_eq!(till.looked(&key, &session).await["status"], "paid");
        let shown = till.show("acme").await;
        assert_eq!(
            (&shown["granted"], &shown["available"]),
            (&json!("11.000000"), &available)
        );
        till.done().await;
    }
}

#[tokio::test]
async fn a_delayed_method_waits_and_grants_when_the_money_comes_or_not_at_all() {
    for comes in [true, false] {
        let till = Till::open(ledger()).await;
        let key = till.shop.customer("acme", "0").await;
        let session = till.page(&key).await;
        let bought = till.stripe.buy(&session, &Card::new(Outcome::Delayed));
        till.stripe.deliver_all().await;
        let standing = till.looked(&key, &session).await;
        assert_eq!(
            (&standing["status"], &standing["available"]),
            (&json!("processing"), &json!("0.000000"))
        );
        till.stripe.advance(5);
        let payment = bought["payment_intent"].as_str().expect("a payment").to_owned();
        till.stripe.world().settle(&payment, comes);
        till.lose();
        let standing = till.looked(&key, &session).await;
        let (status, available) = if comes {
            ("paid", "11.000000")
        } else {
            ("failed", "0.000000")
        };
        assert_eq!(
            (&standing["status"], &standing["available"]),
            (&json!(status), &json!(available))
        );
        till.done().await;
    }
}

#[tokio::test]
async fn a_page_that_nobody_pays_expires_and_grants_nothing() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    let session = till.page(&key).await;
    till.stripe.world().expire_session(&session);
    till.stripe.deliver_all().await;
    let standing = till.looked(&key, &session).await;
    assert_eq!(
        (&standing["status"], &standing["available"]),
        (&json!("expired"), &json!("0.000000"))
    );
    till.done().await;
}

#[tokio::test]
async fn a_page_of_another_account_is_none_and_nothing_is_told_of_it() {
    let till = Till::open(ledger()).await;
    let (key, other) = (
        till.shop.customer("acme", "0").await,
        till.shop.customer("other", "0").await,
    );
    let session = till.page(&key).await;
    till.stripe.buy(&session, &good());
    till.lose();
    for unknown in [&*session, "cs_test_none", "no-id"] {
        let mut answer = till.look(&other, unknown).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.json().await["code"], "not_found");
    }
    assert_eq!(till.show("other").await["available"], "0.000000");
    assert_eq!(till.show("acme").await["available"], "0.000000");
    till.stripe.assert_clean();
}

#[tokio::test]
async fn two_first_purchases_at_the_same_time_make_one_customer() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    let (one, two) = tokio::join!(till.page(&key), till.page(&key));
    assert_ne!(one, two);
    let three = till.page(&key).await;
    let asked = till.stripe.calls_of("POST /v1/checkout/sessions");
    let mut customers: Vec<_> = asked.iter().filter_map(|call| call.get("customer")).collect();
    assert_eq!(customers.len(), asked.len());
    customers.dedup();
    assert_eq!(customers.len(), 1, "{customers:?}");
    assert_eq!(till.stripe.world().events_of("customer.created").len(), 1);
    assert_ne!(three, one);
    till.done().await;
}

#[tokio::test]
async fn a_repeat_with_the_same_key_gets_the_same_page_whatever_happened_to_the_answer() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    till.stripe
        .fail("POST /v1/checkout/sessions", 20, Fault::Unavailable);
    let mut lost = till.checkout(&key, "starter", Some("order-1")).await;
    assert_eq!(lost.status(), 503);
    assert_eq!(lost.json().await["code"], "payments_unavailable");
    till.stripe.heal();
    // Done, and not answered.
    till.stripe
        .fail("POST /v1/checkout/sessions", 1, Fault::CloseAfter);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut answer = till.checkout(&key, "starter", Some("order-1")).await;
        assert_eq!(answer.status(), 200);
        ids.push(answer.json().await["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let made = till.stripe.calls_of("POST /v1/checkout/sessions");
    let keys: BTreeSet<_> = made.iter().map(|call| &call.idempotency_key).collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(till.stripe.world().all("checkout.session").count(), 1);
    // Another order is not the same.
    let mut other = till.checkout(&key, "small", Some("order-1")).await;
    assert_eq!(other.status(), 409);
    assert_eq!(other.json().await["code"], "idempotency_conflict");
    till.done().await;
}

#[tokio::test]
async fn what_cannot_be_bought_is_said_and_nothing_is_charged() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    let mut answer = till.checkout(&key, "huge", None).await;
    assert_eq!(answer.status(), 404);
    let said = answer.json().await;
    assert!(
        said["detail"]
            .as_str()
            .expect("a sentence")
            .contains("starter, small"),
        "{said}"
    );
    till.stripe
        .fail("POST /v1/checkout/sessions", 1, Fault::Forbidden);
    let mut answer = till.checkout(&key, "starter", None).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json().await["code"], "payments_refused");
    let mut packs = till.shop.client(&key).get("/faregate/v1/packs").send().await;
    let packs = packs.json().await;
    assert_eq!(packs["items"][0]["id"], "starter");
    assert_eq!(packs["items"][1]["price"], "1.00");
    // 19 more pages, and it is enough for an hour.
    let mut last = 0_u16;
    for _ in 0..20 {
        last = till.checkout(&key, "small", None).await.status();
    }
    assert_eq!(last, 429);
    till.stripe.assert_clean();
}

#[tokio::test]
async fn a_shop_that_sells_nothing_says_so() {
    let till = Till::open(LEDGER).await;
    let key = till.shop.customer("acme", "0").await;
    let mut answer = till.checkout(&key, "starter", None).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.text().await.contains("[stripe.checkout]"));
}

#[tokio::test]
async fn an_operator_buys_for_an_account_and_a_paused_account_may_buy() {
    let till = Till::open(ledger()).await;
    let key = till.shop.customer("acme", "0").await;
    till.shop
        .cli(["account", "pause", "acme", "--reason", "manual"])
        .await;
    till.page(&key).await;
    let admin = till.shop.faregate.admin_client();
    let ask = |account: &str| {
        let path = format!("/admin/v1/accounts/{account}/checkout");
        admin.post_json(&path, &json!({ "pack": "small" }))
    };
    let mut answer = ask("acme").send().await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json().await["pack"], "small");
    assert_eq!(ask("nobody").send().await.status(), 404);
    till.done().await;
}

#[tokio::test]
async fn r8_at_stripes_limit_of_grants_what_was_bought_is_credited_here_and_told_to_stripe_later() {
    let till = Till::open(grants()).await;
    let key = till.shop.customer("acme", "0").await;
    let session = till.page(&key).await;
    let customer = till.stripe.newest("customer").expect("a customer")["id"].clone();
    let customer = customer.as_str().expect("an id");
    let given: Vec<String> = (0..100).map(|_| till.grant(customer, 1, json!({}))).collect();
    till.stripe.buy(&session, &good());
    till.stripe.deliver(&Delivering::well()).await;
    // A hundred cents, and the pack.
    till.has("acme", "12.000000").await;
    till.try_sync().await;
    assert_eq!(till.meter("faregate_stripe_parked ").await, 1.0);
    let made = |till: &Till| till.stripe.world().grants_of(customer).len();
    assert_eq!(made(&till), 100);
    // One that is gone makes room: the grant stands at Stripe for what was credited, and credits nothing more.
    till.stripe.world().void_grant(&given[0]).expect("a void");
    till.stripe.deliver(&Delivering::well()).await;
    till.sync().await;
    assert_eq!(made(&till), 101);
    till.stripe.deliver(&Delivering::well()).await;
    assert_eq!(till.show("acme").await["available"], "11.990000");
    assert_eq!(till.meter("faregate_stripe_parked ").await, 0.0);
    till.done().await;
}

#[tokio::test]
async fn r5_where_grants_are_what_credits_a_purchase_makes_one_at_stripe_and_a_refund_takes_of_it() {
    let till = Till::open(grants()).await;
    let key = till.shop.customer("acme", "0").await;
    let session = till.page(&key).await;
    let bought = till.stripe.buy(&session, &good());
    let payment = bought["payment_intent"].as_str().expect("a payment").to_owned();
    // The gate makes the grant meanwhile.
    till.stripe.deliver(&Delivering::well()).await;
    let shown = till.has("acme", "11.000000").await;
    till.stripe.deliver_all().await;
    let made = till.stripe.calls_of("POST /v1/billing/credit_grants");
    assert_eq!(made.iter().filter(|call| !call.replayed).count(), 1);
    assert_eq!(made[0].get("metadata[purchase_id]"), Some(&*payment));
    let grant = shown["grants"][0]["id"].as_str().expect("an id").to_owned();
    assert!(grant.starts_with("credgr_"), "{grant}");
    // The customer was promised a year; Stripe may apply it until the last month is invoiced.
    let at_stripe = till.stripe.world().object(&grant).clone();
    let promised = at_stripe["metadata"]["faregate_expires_at"]
        .as_str()
        .expect("a promise");
    let promised: i64 = promised.parse().expect("seconds");
    assert_eq!(at_stripe["expires_at"], promised + 35 * 86_400);
    let year = promised - bought["created"].as_i64().expect("a time");
    assert!((365 * 86_400..365 * 86_400 + 60).contains(&year), "{year}");
    let ends: jiff::Timestamp = shown["grants"][0]["expires_at"]
        .as_str()
        .expect("an end")
        .parse()
        .expect("a time");
    assert_eq!(ends.as_second(), promised);
    till.stripe.advance(5);
    let intent = till.stripe.world().object(&payment).clone();
    let charge = intent["latest_charge"].as_str().expect("a charge").to_owned();
    till.stripe.world().refund(&charge, 1000);
    till.stripe.deliver_all().await;
    let shown = till.has("acme", "0.000000").await;
    assert_eq!(shown["grants"][0]["id"], grant.as_str());
    within(
        "nothing more comes",
        tokio::time::sleep(Duration::from_millis(50)),
    )
    .await;
    till.done().await;
}
