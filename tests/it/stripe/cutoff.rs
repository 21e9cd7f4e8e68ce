//! What shuts an account, on its next request; and what opens it again, which is nothing else than its own counterpart or the operator.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::world::{Complaint, LastAction, MONTH};
use super::fake::{Card, Delivering, FakeStripe, Fault, Outcome};
use super::rules::event;
use super::till::{GRANTS, LEDGER, Setup, Till, config};
use crate::rig::within;

/// Somebody with credits, a key, and a payment that can get into trouble.
struct Payer {
    till: Till,
    customer: String,
    charge: String,
    key: String,
}

impl Payer {
    async fn new(setup: Setup) -> Payer {
        let till = Till::open(setup).await;
        let customer = till.stripe.customer(&[]);
        let (_, charge) = till.pay(&customer, 1000, json!({}));
        till.stripe.deliver_all().await;
        till.has(&customer, "10.000000").await;
        let key = till.shop.key(&customer).await;
        Payer {
            till,
            customer,
            charge,
            key,
        }
    }

    async fn tell(&self, event: Value) {
        assert_eq!(self.till.send(&event).await.status(), 200, "{event}");
    }

    /// Everything is told; what the gate does about it meanwhile is told the next time.
    async fn hear_all(&self) {
        self.till.stripe.deliver(&Delivering::well()).await;
    }

    /// The account is shut for these reasons and no others, and its next request says so.
    #[track_caller]
    fn is_shut_for(&self, reasons: &[&str]) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let found = self.till.reasons(&self.customer).await;
            assert_eq!(found, reasons, "{at}");
            if reasons.is_empty() {
                self.till.shop.opens(&self.key).await;
            } else {
                let mut answer = self.till.shop.buy(&self.key, "/v1/rerank").await;
                assert_eq!(answer.status(), 403, "{at}");
                assert_eq!(answer.json().await["code"], "account_paused", "{at}");
            }
        }
    }

    async fn resume(&self, reason: &str) {
        let args = ["account", "resume", &self.customer, "--reason", reason];
        self.till.shop.cli(args).await;
    }

    fn invoice(&self, id: &str, status: &str) -> Value {
        invoice(id, &self.customer, status)
    }

    fn subscription(&self, id: &str, status: &str) -> Value {
        json!({"id": id, "object": "subscription", "customer": self.customer, "status": status, "pause_collection": null})
    }

    /// A subscription's telling, of this many seconds from now.
    async fn stands(&self, id: &str, status: &str, at: i64) {
        let kind = if status == "canceled" {
            "customer.subscription.deleted"
        } else {
            "customer.subscription.updated"
        };
        self.tell(later(event(kind, self.subscription(id, status)), at))
            .await;
    }
}

fn invoice(id: &str, customer: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "invoice", "customer": customer, "status": status, "attempt_count": 1, "amount_due": 500,
        "currency": "usd", "parent": {"subscription_details": {"subscription": "sub_made"}},
    })
}

fn later(mut event: Value, seconds: i64) -> Value {
    event["created"] = json!(event["created"].as_i64().expect("a time") + seconds);
    event
}

fn setup(more: &'static str) -> Setup {
    Setup { more, ..LEDGER }
}

#[tokio::test]
async fn a_failed_invoice_shuts_and_its_payment_opens_for_good() {
    let payer = Payer::new(LEDGER).await;
    let failed = event("invoice.payment_failed", payer.invoice("in_1", "open"));
    payer.tell(failed.clone()).await;
    payer.is_shut_for(&["invoice:in_1"]).await;
    // Another one's payment is not this one's.
    payer
        .tell(event("invoice.paid", payer.invoice("in_2", "paid")))
        .await;
    payer.is_shut_for(&["invoice:in_1"]).await;
    payer
        .tell(event("invoice.paid", payer.invoice("in_1", "paid")))
        .await;
    payer.is_shut_for(&[]).await;
    // Late, repeated, and another event of the same failure.
    payer.tell(failed).await;
    for late in ["invoice.payment_failed", "invoice.overdue"] {
        payer.tell(event(late, payer.invoice("in_1", "open"))).await;
    }
    payer.is_shut_for(&[]).await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_2", "open")))
        .await;
    payer.is_shut_for(&[]).await;
    payer.till.shop.verify().await;
}

#[tokio::test]
async fn a_failed_invoice_shuts_on_all_proxies_of_a_redis() {
    let (_redis, setup) = LEDGER.on_redis().await;
    let rest = |stripe: &FakeStripe| config(&setup, stripe);
    let payer = Payer::new(Setup { ..setup }).await;
    let second = payer
        .till
        .shop
        .second(setup.ledger, &rest(&payer.till.stripe))
        .await;
    let on_second = || {
        let client = second.client().bearer(&payer.key);
        async move { client.post_json("/v1/rerank", &json!({})).send().await.status() }
    };
    assert_eq!(on_second().await, 200);
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_1", "open")))
        .await;
    assert_eq!(on_second().await, 403);
    payer.is_shut_for(&["invoice:in_1"]).await;
    payer
        .tell(event("invoice.paid", payer.invoice("in_1", "paid")))
        .await;
    payer.is_shut_for(&[]).await;
    within("the second opens", async { while on_second().await != 200 {} }).await;
    payer.till.shop.verify().await;
}

#[tokio::test]
async fn a_void_invoice_opens_and_one_that_was_given_up_does_not() {
    let payer = Payer::new(LEDGER).await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_1", "open")))
        .await;
    payer
        .tell(event(
            "invoice.marked_uncollectible",
            payer.invoice("in_2", "uncollectible"),
        ))
        .await;
    payer.is_shut_for(&["invoice:in_1", "invoice:in_2"]).await;
    payer
        .tell(event("invoice.voided", payer.invoice("in_1", "void")))
        .await;
    payer.is_shut_for(&["invoice:in_2"]).await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_2", "open")))
        .await;
    payer.is_shut_for(&["invoice:in_2"]).await;
    payer
        .tell(event("invoice.paid", payer.invoice("in_2", "paid")))
        .await;
    payer.is_shut_for(&[]).await;
}

#[tokio::test]
async fn a_subscription_shuts_by_its_status() {
    let payer = Payer::new(LEDGER).await;
    let reason = ["subscription:sub_1"];
    for (at, status) in ["past_due", "unpaid", "paused", "incomplete"].iter().enumerate() {
        let at = 10 * i64::try_from(at).expect("few");
        payer.stands("sub_1", status, at).await;
        assert_eq!(payer.till.reasons(&payer.customer).await, reason, "{status}");
        payer.stands("sub_1", "active", at + 5).await;
        assert_eq!(payer.till.reasons(&payer.customer).await, [""; 0], "{status}");
    }
    let mut held = payer.subscription("sub_1", "active");
    held["pause_collection"] = json!({"behavior": "keep_as_draft", "resumes_at": null});
    payer
        .tell(later(event("customer.subscription.updated", held), 50))
        .await;
    payer.is_shut_for(&reason).await;
    payer.stands("sub_1", "trialing", 60).await;
    payer.is_shut_for(&[]).await;
    // What was before is told after.
    payer.stands("sub_1", "past_due", 55).await;
    payer.is_shut_for(&[]).await;
    // Of one second, the stricter, in either order.
    payer.stands("sub_1", "past_due", 60).await;
    payer.is_shut_for(&reason).await;
    payer.stands("sub_1", "active", 60).await;
    payer.is_shut_for(&reason).await;
}

#[tokio::test]
async fn a_canceled_subscription_shuts_unless_another_goes_on() {
    let payer = Payer::new(LEDGER).await;
    payer.stands("sub_1", "canceled", 0).await;
    payer.is_shut_for(&["subscription:sub_1"]).await;
    payer.stands("sub_2", "active", 1).await;
    payer.is_shut_for(&[]).await;
    payer.stands("sub_2", "past_due", 2).await;
    payer
        .is_shut_for(&["subscription:sub_1", "subscription:sub_2"])
        .await;
    payer.stands("sub_2", "active", 3).await;
    payer.is_shut_for(&[]).await;
    // Nothing brings back one that has ended.
    payer.stands("sub_2", "canceled", 4).await;
    payer.stands("sub_2", "active", 5).await;
    payer
        .is_shut_for(&["subscription:sub_1", "subscription:sub_2"])
        .await;
}

#[tokio::test]
async fn a_question_of_the_bank_moves_nothing_and_a_lost_dispute_stays() {
    let payer = Payer::new(LEDGER).await;
    let stripe = &payer.till.stripe;
    let dispute = stripe.world().dispute(&payer.charge, &Complaint::inquiry());
    payer.hear_all().await;
    payer.is_shut_for(&[]).await;
    assert_eq!(payer.till.show(&payer.customer).await["granted"], "10.000000");
    stripe.advance(5);
    stripe.world().escalate(&dispute);
    payer.hear_all().await;
    let reason = format!("dispute:{dispute}");
    payer.is_shut_for(&[&reason]).await;
    payer.till.has(&payer.customer, "-0.250000").await;
    stripe.advance(5);
    stripe.world().submit_evidence(&dispute);
    stripe.world().close_dispute(&dispute, "lost");
    payer.hear_all().await;
    payer.is_shut_for(&[&reason]).await;
    payer.resume(&reason).await;
    payer
        .tell({
            let world = stripe.world();
            let mut again = world.events_of("charge.dispute.closed")[0].payload.clone();
            again["id"] = json!("evt_again");
            again
        })
        .await;
    assert_eq!(payer.till.reasons(&payer.customer).await, [""; 0]);
    payer.till.has(&payer.customer, "-0.250000").await;
    payer.till.shop.verify().await;
}

#[tokio::test]
async fn a_warning_of_fraud_stays_until_the_operator_opens_and_then_is_over() {
    let payer = Payer::new(LEDGER).await;
    let warning = payer.till.stripe.world().early_fraud_warning(&payer.charge);
    payer.hear_all().await;
    let reason = format!("fraud_warning:{warning}");
    payer.is_shut_for(&[&reason]).await;
    payer.resume(&reason).await;
    payer
        .till
        .stripe
        .world()
        .tell_of(&warning, "radar.early_fraud_warning.created");
    payer.hear_all().await;
    payer.is_shut_for(&[]).await;
}

#[tokio::test]
async fn a_review_opens_when_it_is_approved_and_only_then() {
    let payer = Payer::new(LEDGER).await;
    let stripe = &payer.till.stripe;
    let approved = stripe.world().open_review(&payer.charge);
    let refused = stripe.world().open_review(&payer.charge);
    payer.hear_all().await;
    let (one, other) = (format!("review:{approved}"), format!("review:{refused}"));
    payer.is_shut_for(&[&one, &other]).await;
    stripe.world().close_review(&approved, "approved");
    stripe.world().close_review(&refused, "refunded_as_fraud");
    payer.hear_all().await;
    payer.is_shut_for(&[&other]).await;
    payer.resume(&other).await;
    payer.is_shut_for(&[]).await;
    // Closed before it is told that it was opened.
    let third = stripe.world().open_review(&payer.charge);
    stripe.world().close_review(&third, "approved");
    let mut told = stripe.take_undelivered();
    told.reverse();
    for signed in &told {
        assert_eq!(stripe.send_signed(signed).await.status, Some(200));
    }
    payer.is_shut_for(&[]).await;
}

#[tokio::test]
async fn each_reason_is_lifted_by_its_own_counterpart_alone() {
    let payer = Payer::new(LEDGER).await;
    let stripe = &payer.till.stripe;
    let dispute = stripe.dispute(&payer.charge);
    let review = stripe.world().open_review(&payer.charge);
    payer.hear_all().await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_1", "open")))
        .await;
    payer.stands("sub_1", "past_due", 0).await;
    let (dispute_reason, review_reason) = (format!("dispute:{dispute}"), format!("review:{review}"));
    let all = [
        &*dispute_reason,
        "invoice:in_1",
        &review_reason,
        "subscription:sub_1",
    ];
    payer.is_shut_for(&all).await;
    payer.stands("sub_1", "active", 5).await;
    payer.is_shut_for(&all[..3]).await;
    stripe.world().close_review(&review, "approved");
    payer.hear_all().await;
    payer.is_shut_for(&all[..2]).await;
    payer
        .tell(event("invoice.paid", payer.invoice("in_1", "paid")))
        .await;
    payer.is_shut_for(&all[..1]).await;
    stripe.advance(5);
    stripe.world().close_dispute(&dispute, "won");
    payer.hear_all().await;
    payer.is_shut_for(&[]).await;
    payer.till.shop.verify().await;
}

#[tokio::test]
async fn what_the_operator_opened_repeats_do_not_shut_but_new_trouble_does() {
    let payer = Payer::new(LEDGER).await;
    let failed = || event("invoice.payment_failed", payer.invoice("in_1", "open"));
    payer.tell(failed()).await;
    payer.stands("sub_1", "past_due", 0).await;
    payer.resume("invoice:in_1").await;
    payer.resume("subscription:sub_1").await;
    payer.tell(failed()).await;
    payer.stands("sub_1", "past_due", 0).await;
    payer.is_shut_for(&[]).await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_2", "open")))
        .await;
    payer.is_shut_for(&["invoice:in_2"]).await;
    payer.stands("sub_1", "active", 3).await;
    payer.stands("sub_1", "past_due", 4).await;
    payer.is_shut_for(&["invoice:in_2", "subscription:sub_1"]).await;
}

#[tokio::test]
async fn what_is_to_be_ignored_shuts_nobody_and_takes_nothing() {
    let payer = Payer::new(setup(
        "[stripe.on]\npayment_failed = \"ignore\"\nsubscription = \"ignore\"\ndispute = \"ignore\"\nrefund = \"ignore\"\nfraud_warning = \"ignore\"\nreview = \"ignore\"",
    ))
    .await;
    let stripe = &payer.till.stripe;
    stripe.world().open_review(&payer.charge);
    stripe.world().early_fraud_warning(&payer.charge);
    stripe.world().refund(&payer.charge, 100);
    stripe.dispute(&payer.charge);
    payer.hear_all().await;
    payer
        .tell(event("invoice.payment_failed", payer.invoice("in_1", "open")))
        .await;
    payer.stands("sub_1", "unpaid", 0).await;
    payer.is_shut_for(&[]).await;
    assert_eq!(payer.till.show(&payer.customer).await["granted"], "10.000000");
}

#[tokio::test]
async fn trouble_from_before_there_is_an_account_is_raised_when_there_is_one() {
    // With a key these, which are not at Stripe, would be found to be gone.
    let till = Till::open(Setup { api: false, ..GRANTS }).await;
    let customer = till.stripe.customer(&[]);
    let unpaid = json!({"id": "sub_1", "object": "subscription", "customer": customer, "status": "unpaid"});
    for event in [
        event("invoice.payment_failed", invoice("in_1", &customer, "open")),
        event("invoice.payment_failed", invoice("in_2", &customer, "open")),
        event("customer.subscription.updated", unpaid),
    ] {
        assert_eq!(till.send(&event).await.status(), 200);
    }
    assert_eq!(till.show(&customer).await, Value::Null);
    let paid = event("invoice.paid", invoice("in_2", &customer, "paid"));
    assert_eq!(till.send(&paid).await.status(), 200);
    till.grant(&customer, 100, json!({}));
    till.stripe.deliver_all().await;
    till.has(&customer, "1.000000").await;
    within("both are raised", async {
        while till.reasons(&customer).await != ["invoice:in_1", "subscription:sub_1"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn trouble_finds_the_account_that_the_operator_made_and_the_customer_names() {
    let till = Till::open(GRANTS).await;
    let customer = till.stripe.customer(&[("faregate_account", "acme")]);
    till.shop.cli(["account", "create", "acme"]).await;
    let unpaid = json!({"id": "sub_1", "object": "subscription", "customer": customer, "status": "unpaid"});
    let told = event("customer.subscription.updated", unpaid);
    assert_eq!(till.send(&told).await.status(), 200);
    within("it is raised", async {
        while till.reasons("acme").await != ["subscription:sub_1"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A subscription of the payer's whose first invoice the bank refuses to pay: its id, and the invoice's.
fn unpaid_subscription(payer: &Payer) -> (String, String) {
    let mut world = payer.till.stripe.world();
    world.billing.last = LastAction::LeavePastDue;
    let meter = world
        .create_meter(&json!({"display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"}}))
        .expect("a meter");
    let price = world.add_price(meter["id"].as_str().expect("an id"), "usd", "0.0001");
    let broke = world.attach_card(&payer.customer, &Card::new(Outcome::NO_FUNDS));
    let settings = json!({"invoice_settings": {"default_payment_method": broke}});
    world
        .update_customer(&payer.customer, &settings)
        .expect("a default");
    let subscription = world.subscribe(&payer.customer, &price);
    let used = json!({"stripe_customer_id": payer.customer, "value": "31200000"});
    world
        .create_meter_event(&json!({"event_name": "ai_spend", "payload": used}))
        .expect("usage");
    world.advance(MONTH + 3_600);
    let invoice = world.invoices_of(&subscription).pop().expect("an invoice");
    assert_eq!(
        (&invoice["status"], &invoice["attempt_count"]),
        (&json!("open"), &json!(1)),
        "{invoice}"
    );
    (subscription, invoice["id"].as_str().expect("an id").to_owned())
}

async fn becomes(stripe: &FakeStripe, id: &str, field: &str, wanted: Value) {
    within(format!("{field} of {id} is {wanted}"), async {
        while stripe.object(id)[field] != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn fail_fast_ends_the_tries_and_the_subscription_once_whatever_becomes_of_the_answers() {
    for fault in [
        None,
        Some(Fault::CloseAfter),
        Some(Fault::ErrorAfter),
        Some(Fault::Unavailable),
    ] {
        let payer = Payer::new(setup(
            "[stripe.fail_fast]\nattempts_max = 1\nafter_last = \"cancel\"",
        ))
        .await;
        let stripe = &payer.till.stripe;
        let (subscription, invoice) = unpaid_subscription(&payer);
        if let Some(fault) = fault {
            stripe.fail("POST /v1/invoices", 1, fault);
            stripe.fail("DELETE /v1/subscriptions", 1, fault);
        }
        payer.hear_all().await;
        becomes(stripe, &subscription, "status", json!("canceled")).await;
        assert_eq!(stripe.object(&invoice)["auto_advance"], false, "{fault:?}");
        payer.hear_all().await;
        let reasons = [
            format!("invoice:{invoice}"),
            format!("subscription:{subscription}"),
        ];
        within("both reasons", async {
            while payer.till.reasons(&payer.customer).await != reasons {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        // Told again: nothing is asked again, once it was written down that it is done.
        let asked = || {
            (
                stripe.calls_of("POST /v1/invoices").len(),
                stripe.calls_of("DELETE /v1/sub").len(),
            )
        };
        let mut before = asked();
        within("quiet", async {
            loop {
                stripe.world().tell_of(&invoice, "invoice.payment_failed");
                payer.hear_all().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                if asked() == before {
                    return;
                }
                before = asked();
            }
        })
        .await;
        let (stops, ends) = before;
        // An error of its own Stripe says again to the same key, three times to one call of the client.
        let times = if fault.is_some() { 4 } else { 1 };
        assert!(stops <= times && ends <= times, "{fault:?}: {stops} {ends}");
        assert_eq!(stripe.world().events_of("customer.subscription.deleted").len(), 1);
    }
}

/// The customer pays an invoice with another card.
fn pay(payer: &Payer, invoice: &str) {
    let mut world = payer.till.stripe.world();
    let card = world.attach_card(&payer.customer, &Card::good());
    let paid = world.pay_invoice(invoice, &json!({"payment_method": card}));
    paid.expect("a payment");
}

#[tokio::test]
async fn fail_fast_does_nothing_to_who_has_paid_meanwhile_or_has_no_account() {
    let more = "[stripe.fail_fast]\nattempts_max = 1\nafter_last = \"cancel\"\n[stripe.on]\npayment_failed = \"ignore\"\nsubscription = \"ignore\"";
    let payer = Payer::new(setup(more)).await;
    let stripe = &payer.till.stripe;
    let (subscription, invoice) = unpaid_subscription(&payer);
    let waiting = stripe.take_undelivered();
    let failed = waiting
        .iter()
        .find(|one| one.kind == "invoice.payment_failed")
        .expect("a failure");
    pay(&payer, &invoice);
    // Only now it is told that the payment had failed.
    assert_eq!(stripe.send_signed(failed).await.status, Some(200));
    let stranger = stripe.customer(&[]);
    let theirs = event(
        "invoice.payment_failed",
        super::cutoff::invoice("in_9", &stranger, "open"),
    );
    payer.tell(theirs).await;
    within("the invoice is looked at", async {
        while stripe.calls_of("GET /v1/invoices/").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(stripe.calls_of("POST /v1/invoices").len(), 0);
    assert_eq!(stripe.calls_of("DELETE").len(), 0);
    assert_eq!(stripe.object(&subscription)["pause_collection"], Value::Null);
    assert_eq!(stripe.calls_of("GET /v1/invoices/in_9").len(), 0);
}

#[tokio::test]
async fn fail_fast_waits_for_as_many_attempts_as_it_is_told() {
    let payer = Payer::new(setup(
        "[stripe.fail_fast]\nattempts_max = 2\nafter_last = \"pause\"",
    ))
    .await;
    let stripe = &payer.till.stripe;
    let (subscription, invoice) = unpaid_subscription(&payer);
    payer.hear_all().await;
    let reasons = [
        format!("invoice:{invoice}"),
        format!("subscription:{subscription}"),
    ];
    within("shut at the first", async {
        while payer.till.reasons(&payer.customer).await != reasons {}
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stripe.calls_of("POST /v1/invoices").len(), 0);
    stripe.advance(3 * 86_400);
    payer.hear_all().await;
    let held = json!({"behavior": "keep_as_draft", "resumes_at": null});
    becomes(stripe, &subscription, "pause_collection", held).await;
    assert_eq!(stripe.object(&invoice)["auto_advance"], false);
    assert_eq!(stripe.calls_of("POST /v1/invoices").len(), 1);
    assert_eq!(stripe.calls_of("POST /v1/subscriptions").len(), 1);
    assert_eq!(stripe.calls_of("DELETE").len(), 0);
    // What the gate has paused goes on when the invoice is paid, and the account with it.
    payer.hear_all().await;
    stripe.advance(5);
    pay(&payer, &invoice);
    payer.hear_all().await;
    becomes(stripe, &subscription, "pause_collection", Value::Null).await;
    payer.hear_all().await;
    within("open again", async {
        while !payer.till.reasons(&payer.customer).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    stripe.assert_clean();
}

#[tokio::test]
async fn a_subscription_that_never_began_shuts_nobody_for_good() {
    let payer = Payer::new(LEDGER).await;
    payer.stands("sub_1", "incomplete", 0).await;
    payer.is_shut_for(&["subscription:sub_1"]).await;
    payer.stands("sub_1", "incomplete_expired", 10).await;
    payer.is_shut_for(&[]).await;
}
