//! All that is told of one grant or one dispute, in all orders.

use serde_json::{Value, json};

use super::fake::world::Complaint;
use super::fake::{Card, Outcome};
use super::inside::Inside;
use super::laws::{CENT, text};

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for place in 0..count {
            let mut one = shorter.clone();
            one.insert(place, count - 1);
            all.push(one);
        }
    }
    all
}

/// Tells a story in all orders, each with customers of its own; each ends with so many micro-credits and reasons.
async fn in_all_orders(
    mode: &str,
    story: impl Fn(&Inside, &str) -> String,
    heard: &[&str],
    micros: i64,
    shut: bool,
) {
    let inside = Inside::open(mode, 1);
    let mut count = None;
    let mut nth = 0;
    loop {
        let made = inside.stripe.world().create_customer(&json!({}));
        let customer = text(&made.expect("a customer"), "id");
        let from = inside.stripe.world().events().len();
        let object = story(&inside, &customer);
        inside.advance(0);
        let told: Vec<Value> = {
            let world = inside.stripe.world();
            let new = world.events()[from..].iter();
            new.filter(|event| heard.contains(&&*event.kind))
                .map(|event| event.payload.clone())
                .collect()
        };
        let all = count.get_or_insert_with(|| orders(told.len()));
        for at in &all[nth] {
            assert!(inside.deliver(&told[*at]).await);
            assert!(inside.deliver(&told[*at]).await);
        }
        while inside.desk.work().await.expect("nothing fails") > 0 {}
        let (available, reasons) = inside.stands(&customer).await.expect("an account");
        let order = &all[nth];
        assert_eq!(available.micros(), micros, "{order:?}");
        assert_eq!(!reasons.is_empty(), shut, "{order:?}: {reasons:?}");
        if mode == "grants" {
            let end = inside.stripe.world().object(&object)["expires_at"].clone();
            let end = end.as_i64().expect("an end");
            let end = faregate::domain::time::Timestamp::from_micros(end * 1_000_000);
            assert_eq!(inside.ends_of(&customer).await, [end], "{order:?}");
        }
        nth += 1;
        if nth == all.len() {
            break;
        }
    }
    inside.verify().await;
}

#[tokio::test]
async fn w1_w2_r4_a_grants_tellings_come_to_the_same_in_all_orders() {
    let story = |inside: &Inside, customer: &str| {
        let mut world = inside.stripe.world();
        let end = world.now() + 500_000_000;
        let asked = json!({
            "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 500}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        let grant = text(&world.create_grant(&asked).expect("a grant"), "id");
        for more in [0, 1] {
            world.advance(more);
            world
                .update_grant(&grant, &json!({"expires_at": end + more}))
                .expect("an update");
        }
        world.advance(1);
        grant
    };
    let heard = [
        "billing.credit_grant.created",
        "billing.credit_grant.updated",
        "billing.credit_balance_transaction.created",
    ];
    in_all_orders("grants", story, &heard, 500 * CENT, false).await;
    let voided = |inside: &Inside, customer: &str| {
        let grant = story(inside, customer);
        inside.stripe.world().void_grant(&grant).expect("a void");
        grant
    };
    in_all_orders("grants", voided, &heard[..2], 0, false).await;
}

#[tokio::test]
async fn w2_a_disputes_tellings_come_to_the_same_in_all_orders() {
    for (end, micros, shut) in [("won", 1_000 * CENT, false), ("lost", 0, true)] {
        let story = |inside: &Inside, customer: &str| {
            let mut world = inside.stripe.world();
            let method = world.attach_card(customer, &Card::new(Outcome::Paid));
            let asked = json!({
                "amount": 1000, "currency": "usd", "customer": customer, "payment_method": method, "confirm": true,
                "off_session": true, "error_on_requires_action": true,
            });
            let paid = world.create_payment_intent(&asked).expect("a payment");
            let dispute = world.dispute(&text(&paid, "latest_charge"), &Complaint::fraud());
            // All in one second: only what is told can tell the order.
            world.submit_evidence(&dispute);
            world.close_dispute(&dispute, end);
            dispute
        };
        let heard = [
            "payment_intent.succeeded",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.updated",
            "charge.dispute.closed",
        ];
        in_all_orders("ledger", story, &heard, micros, shut).await;
    }
}
