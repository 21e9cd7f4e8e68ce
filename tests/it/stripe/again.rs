//! What is told again: after days, after a crash between any two steps, before its time has come.

use serde_json::{Value, json};

use faregate::service::stripe::desk::Received;

use super::fake::webhook::signature;
use super::fake::{Card, Outcome, SECRET};
use super::inside::Inside;
use super::laws::{CENT, text};

const DAY: i64 = 86_400;

impl Inside {
    /// An event of this kind, of a customer who was granted five dollars or has paid them, as the mode has it.
    fn five_dollars(&self, mode: &str) -> (String, Value) {
        let mut world = self.stripe.world();
        let customer = text(&world.create_customer(&json!({})).expect("a customer"), "id");
        let kind = if mode == "grants" {
            let asked = grant_of(&customer, &json!({}));
            world.create_grant(&asked).expect("a grant");
            "billing.credit_grant.created"
        } else {
            let method = world.attach_card(&customer, &Card::new(Outcome::Paid));
            let asked = json!({
                "amount": 500, "currency": "usd", "customer": customer, "payment_method": method, "confirm": true,
                "off_session": true, "error_on_requires_action": true,
            });
            world.create_payment_intent(&asked).expect("a payment");
            "payment_intent.succeeded"
        };
        let event = world.events_of(kind)[0].payload.clone();
        (customer, event)
    }

    /// Once Stripe was asked whose it is.
    async fn has(&self, customer: &str, cents: i64) {
        while self.desk.work().await.expect("nothing fails") > 0 {}
        let (available, reasons) = self.stands(customer).await.expect("an account");
        assert_eq!((available.micros(), reasons.len()), (cents * CENT, 0));
    }

    /// As the endpoint takes it: signed now.
    async fn deliver_signed(&self, event: &Value) -> Received {
        let now = self.stripe.world().now();
        let body = event.to_string();
        let header = signature(now, &body, &[SECRET.to_owned()]);
        let event = self.webhook().believe(header.as_bytes(), body.as_bytes());
        let event = event.expect("it is signed");
        let taken = self.desk.receive(&event, body.as_bytes()).await;
        taken.expect("nothing fails")
    }
}

fn grant_of(customer: &str, more: &Value) -> Value {
    let mut asked = json!({
        "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 500}},
        "applicability_config": {"scope": {"price_type": "metered"}},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        asked[key] = value.clone();
    }
    asked
}

#[tokio::test]
async fn w5_an_event_that_is_signed_anew_after_days_is_accepted_and_gives_nothing_twice() {
    for mode in ["grants", "ledger"] {
        let inside = Inside::open(mode, 5);
        let (customer, event) = inside.five_dollars(mode);
        assert_eq!(inside.deliver_signed(&event).await, Received::Applied);
        inside.has(&customer, 500).await;
        // For three days it is remembered that the event was dealt with.
        inside.advance(3 * DAY);
        assert_eq!(inside.deliver_signed(&event).await, Received::Duplicate);
        // Then only what it told is.
        for _ in 0..2 {
            inside.advance(5 * DAY);
            assert_eq!(inside.deliver_signed(&event).await, Received::Applied, "{mode}");
            inside.has(&customer, 500).await;
        }
        inside.verify().await;
    }
}

/// The store fails once, at its n-th call, before or after it has done it; for all n there are. Stripe gets no 2xx, sends the event again, and then does.
#[tokio::test]
async fn w7_wherever_it_crashes_the_event_comes_again_and_counts_once() {
    for (mode, after) in [
        ("grants", false),
        ("grants", true),
        ("ledger", false),
        ("ledger", true),
    ] {
        let mut crashes = 0;
        for nth in 0.. {
            let inside = Inside::open(mode, 7);
            let (customer, event) = inside.five_dollars(mode);
            inside.store.crash_at(nth, after);
            let first = inside.deliver(&event).await;
            if !inside.store.has_crashed() {
                assert!(first);
                break;
            }
            crashes += usize::from(!first);
            assert!(inside.deliver(&event).await, "{mode} {nth} {after}");
            // It was promised, so it is here by now, or as soon as somebody goes on with it.
            inside.come_to_rest().await;
            inside.has(&customer, 500).await;
            assert_eq!(inside.deliver_signed(&event).await, Received::Duplicate);
            inside.has(&customer, 500).await;
            inside.verify().await;
        }
        assert!(crashes >= 5, "{mode}: {crashes}");
    }
}

#[tokio::test]
async fn w11_a_grant_counts_from_its_start_on_and_no_longer_than_to_its_end() {
    let inside = Inside::open("grants", 11);
    let (customer, start) = {
        let mut world = inside.stripe.world();
        let customer = text(&world.create_customer(&json!({})).expect("a customer"), "id");
        let start = world.now() + 3_600;
        let when = json!({"effective_at": start, "expires_at": start + DAY});
        world.create_grant(&grant_of(&customer, &when)).expect("a grant");
        (customer, start)
    };
    let told = inside.stripe.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    assert!(inside.deliver(&told).await);
    for (at, cents) in [
        (start - 2, 0),
        (start, 500),
        (start + DAY - 2, 500),
        (start + DAY, 0),
    ] {
        let now = inside.stripe.world().now();
        inside.advance(at - now);
        inside.has(&customer, cents).await;
    }
    inside.verify().await;
}
