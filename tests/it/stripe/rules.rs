//! The rules by which Stripe's credits and the ledger's stay the same (R1 to R14 of the reconciliation), one test each at least.

use std::time::Duration;

use faregate::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::till::{GRANTS, Setup, Till};
use crate::rig::within;

#[tokio::test]
async fn r1_a_grant_gives_its_credits_once_whatever_tells_of_it() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let grant = till.grant(&customer, 5000, json!({"category": "paid", "name": "Top-up"}));
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "50.000000").await;
    assert_eq!(shown["grants"][0]["id"], grant.as_str());
    assert_eq!(shown["grants"][0]["category"], "paid");
    // The same event again, another event of the same grant, and a transaction of it.
    let created = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .id
        .clone();
    // One that is not answered in time is sent again as well.
    let before = till.counted("billing.credit_grant.created", "duplicate").await;
    assert_eq!(till.stripe.resend(&created).await.status, Some(200));
    let duplicates = till.counted("billing.credit_grant.created", "duplicate").await;
    assert_eq!(duplicates, before + 1);
    let mut other = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    other["id"] = json!("evt_another_of_the_same");
    assert_eq!(till.send(&other).await.status(), 200);
    till.stripe
        .world()
        .update_grant(&grant, &json!({"metadata": {"seen": "yes"}}))
        .expect("an update");
    till.stripe.deliver_all().await;
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
    till.stripe.assert_clean();
    till.shop.verify().await;
}

#[tokio::test]
async fn r1_a_grant_that_a_look_at_stripe_found_first_is_not_given_again_by_its_event() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 5000, json!({}));
    let late = till.stripe.take_undelivered();
    till.sync().await;
    assert_eq!(till.show(&customer).await["available"], "50.000000");
    for event in &late {
        assert_eq!(till.stripe.send_signed(event).await.status, Some(200));
    }
    assert_eq!(till.show(&customer).await["granted"], "50.000000");
    till.shop.verify().await;
}

#[tokio::test]
async fn r1_an_account_is_the_one_that_the_operator_named() {
    let till = Till::open(GRANTS).await;
    // On the grant, on the customer, and on nothing.
    let by_grant = till.stripe.customer(&[]);
    till.grant(&by_grant, 100, json!({"metadata": {"faregate_account": "acme"}}));
    let by_customer = till.stripe.customer(&[("faregate_account", "initech")]);
    till.grant(&by_customer, 200, json!({}));
    let by_nothing = till.stripe.customer(&[]);
    till.grant(&by_nothing, 300, json!({}));
    till.stripe.deliver_all().await;
    till.has("acme", "1.000000").await;
    till.has("initech", "2.000000").await;
    till.has(&by_nothing, "3.000000").await;
    assert_eq!(till.show(&by_customer).await, Value::Null);
}

#[tokio::test]
async fn r2_what_stripe_applies_to_an_invoice_is_not_charged_again() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let grant = till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    let key = till.shop.key(&customer).await;
    for _ in 0..4 {
        assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    }
    till.has(&customer, "49.000000").await;
    for (id, kind, value) in [
        ("cbtxn_1", "credits_applied", 100),
        ("cbtxn_1", "credits_applied", 100),
        ("cbtxn_2", "credits_applied", 60),
    ] {
        let event = transaction(id, &grant, "debit", kind, value);
        assert_eq!(till.send(&event).await.status(), 200);
    }
    let shown = till.show(&customer).await;
    assert_eq!(
        (&shown["available"], &shown["spent"]),
        (&json!("49.000000"), &json!("1.000000"))
    );
    assert_eq!(till.reasons(&customer).await, [""; 0]);
    till.shop.verify().await;
}

/// An event of a transaction.
fn transaction(id: &str, grant: &str, side: &str, kind: &str, value: i64) -> Value {
    let amount = json!({"type": "monetary", "monetary": {"currency": "usd", "value": value}});
    let about = json!({"invoice": "in_1", "invoice_line_item": "il_1"});
    let mut object = json!({
        "id": id, "object": "billing.credit_balance_transaction", "created": 1, "effective_at": 1,
        "credit": null, "debit": null, "credit_grant": grant, "livemode": false, "test_clock": null, "type": side,
    });
    object[side] = json!({"type": kind, "amount": amount, kind: about});
    event("billing.credit_balance_transaction.created", object)
}

/// An event about an object, with an id of its own.
pub(super) fn event(kind: &str, object: Value) -> Value {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("evt_made_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let now = SystemClock.now().micros() / 1_000_000;
    json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": now, "livemode": false,
        "pending_webhooks": 1, "request": null, "type": kind, "data": {"object": object},
    })
}

#[tokio::test]
async fn r4_of_two_tellings_the_newer_counts_and_a_void_is_final_whenever_it_comes() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let grant = till.grant(&customer, 5000, json!({}));
    till.stripe.advance(60);
    till.stripe.world().void_grant(&grant).expect("a void");
    let mut told: Vec<Value> = {
        let world = till.stripe.world();
        world.events().iter().map(|event| event.payload.clone()).collect()
    };
    // The void first: then its creation is of no use any more.
    told.reverse();
    for event in &told {
        assert_eq!(till.send(event).await.status(), 200, "{event}");
    }
    till.has(&customer, "0.000000").await;
    let shown = till.show(&customer).await;
    assert_eq!(shown["granted"], "0.000000", "it never became effective here");
    till.shop.verify().await;
}

#[tokio::test]
async fn r5_what_was_promised_ends_when_it_was_promised_to_and_stripes_own_date_only_ends_it_earlier() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let now = till.stripe.world().now();
    let promise = |at: i64| json!({"metadata": {"faregate_expires_at": at.to_string()}, "expires_at": now + 40 * 86_400});
    till.grant(&customer, 100, promise(now + 3_600));
    let broken = till.grant(&customer, 200, promise(now + 80 * 86_400));
    till.grant(&customer, 300, json!({"expires_at": now + 86_400}));
    till.grant(&customer, 400, json!({}));
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "10.000000").await;
    let mut ends: Vec<(String, Value)> = shown["grants"]
        .as_array()
        .expect("grants")
        .iter()
        .map(|grant| {
            (
                grant["amount"].as_str().unwrap_or_default().to_owned(),
                grant["expires_at"].clone(),
            )
        })
        .collect();
    ends.sort_by(|a, b| a.0.cmp(&b.0));
    let at = |seconds: i64| json!(utc(seconds));
    assert_eq!(
        ends,
        [
            ("1.000000".to_owned(), at(now + 3_600)),
            ("2.000000".to_owned(), at(now + 40 * 86_400)),
            ("3.000000".to_owned(), at(now + 86_400)),
            ("4.000000".to_owned(), Value::Null),
        ]
    );
    // A promise that Stripe's date breaks is told of; the others are kept.
    let said = till.shop.faregate.process().said();
    let warned = said
        .lines()
        .filter(|line| line.contains("before the customer was promised"));
    // Once or more: whoever comes second to the memo reads it again.
    let warned: Vec<&str> = warned.collect();
    let all_of_it = warned.iter().all(|line| line.contains(&broken));
    assert!(!warned.is_empty() && all_of_it, "{said}");
}

fn utc(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).expect("a time").to_string()
}

#[tokio::test]
async fn r6_w11_a_grant_that_starts_later_is_not_spent_before_and_one_that_is_over_never() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let now = till.stripe.world().now();
    till.grant(&customer, 100, json!({"effective_at": now + 3_600}));
    till.stripe.deliver_all().await;
    till.has(&customer, "0.000000").await;
    let mut over = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    over["id"] = json!("evt_over");
    over["data"]["object"]["id"] = json!("credgr_over");
    over["data"]["object"]["effective_at"] = json!(now - 7_200);
    over["data"]["object"]["expires_at"] = json!(now - 3_600);
    assert_eq!(till.send(&over).await.status(), 200);
    assert_eq!(till.show(&customer).await["available"], "0.000000");
    assert_eq!(till.show(&customer).await["granted"], "0.000000");
}

#[tokio::test]
async fn r7_a_void_takes_what_is_unspent_and_no_more_and_what_was_spent_is_told() {
    let reports = "[stripe.usage]\nevent_name = \"ai_spend\"\nevery = \"1h\"";
    let till = Till::open(Setup {
        more: reports,
        ..GRANTS
    })
    .await;
    let customer = till.stripe.customer(&[]);
    let grant = till.grant(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    let key = till.shop.key(&customer).await;
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 200);
    till.has(&customer, "0.750000").await;
    till.stripe.world().void_grant(&grant).expect("a void");
    till.stripe.deliver_all().await;
    let shown = till.has(&customer, "0.000000").await;
    assert_eq!(
        (&shown["voided"], &shown["spent"]),
        (&json!("0.750000"), &json!("0.250000"))
    );
    assert_eq!(till.shop.buy(&key, "/v1/rerank").await.status(), 402);
    let told = "a grant was voided at Stripe of which some was spent";
    within("it is told", async {
        while !till.shop.faregate.process().said().contains(told) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    till.shop.verify().await;
}

#[tokio::test]
async fn r9_credits_that_come_back_from_a_void_invoice_were_never_charged_twice() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[]);
    let grant = till.grant(&customer, 5000, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "50.000000").await;
    // Out of order: what came back before what was applied.
    for event in [
        transaction(
            "cbtxn_2",
            &grant,
            "credit",
            "credits_application_invoice_voided",
            100,
        ),
        transaction("cbtxn_1", &grant, "debit", "credits_applied", 100),
    ] {
        assert_eq!(till.send(&event).await.status(), 200);
    }
    assert_eq!(till.show(&customer).await["available"], "50.000000");
}

#[tokio::test]
async fn r14_w8_events_of_another_mode_or_account_do_nothing_and_are_counted() {
    let till = Till::open(super::till::Setup {
        more: "account = \"acct_ours\"",
        api: false,
        ..GRANTS
    })
    .await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let created = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    let mut live = created.clone();
    live["livemode"] = json!(true);
    let mut foreign = created.clone();
    foreign["account"] = json!("acct_other");
    for (event, result) in [(live, "wrong_mode"), (foreign, "wrong_account")] {
        let mut answer = till.send(&event).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json().await["result"], result);
        assert_eq!(till.counted("billing.credit_grant.created", result).await, 1);
    }
    assert_eq!(till.show(&customer).await, Value::Null);
    let mut ours = created;
    ours["account"] = json!("acct_ours");
    assert_eq!(till.send(&ours).await.status(), 200);
    till.has(&customer, "1.000000").await;
}

/// What is tried out in a sandbox, by a test clock or not, never fills a live gate; nor does a thin event of somebody else's.
#[tokio::test]
async fn w8_a_live_gate_takes_nothing_of_a_sandbox_and_no_thin_event_of_another_account() {
    let till = Till::open(super::till::Setup {
        more: "livemode = true\naccount = \"acct_ours\"",
        api: false,
        ..GRANTS
    })
    .await;
    let customer = till.stripe.customer(&[]);
    till.grant(&customer, 100, json!({}));
    let tried = till.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    assert_eq!(tried["livemode"], false);
    let mut clocked = tried.clone();
    clocked["data"]["object"]["test_clock"] = json!("clock_1");
    let thin = json!({
        "id": "evt_thin", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found", "livemode": true,
        "created": "2026-11-24T00:00:00.000Z", "context": "acct_other", "related_object": null,
    });
    for (event, result) in [
        (&tried, "wrong_mode"),
        (&clocked, "wrong_mode"),
        (&thin, "wrong_account"),
    ] {
        let mut answer = till.send(event).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json().await["result"], result, "{event}");
    }
    assert_eq!(till.show(&customer).await, Value::Null);
    let mut live = tried;
    live["livemode"] = json!(true);
    live["data"]["object"]["livemode"] = json!(true);
    assert_eq!(till.send(&live).await.status(), 200);
    till.has(&customer, "1.000000").await;
}
