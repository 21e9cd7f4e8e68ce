//! Random histories: whatever happens in whatever order, the fake's own books agree.

use serde_json::{Value, json};

use super::same_fields_as_fixtures;
use crate::stripe::fake::START;
use crate::stripe::fake::chance::Chance;
use crate::stripe::fake::world::{Card, Complaint, MONTH, Outcome, World};

const STEPS: usize = 1000;
const OUTCOMES: [Outcome; 6] = [
    Outcome::Paid,
    Outcome::Paid,
    Outcome::PaidUnderReview,
    Outcome::NO_FUNDS,
    Outcome::AuthenticationRequired,
    Outcome::Delayed,
];

struct History {
    world: World,
    chance: Chance,
    customers: Vec<String>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut world = World::new(START);
        let meter = json!({
            "display_name": "Spend", "event_name": "ai_spend", "default_aggregation": {"formula": "sum"},
        });
        let meter = world.create_meter(&meter).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let price = world.add_price(&meter, "usd", "0.0001");
        let mut customers = Vec::new();
        for _ in 0..3 {
            let customer = world.create_customer(&json!({})).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned();
            world.attach_card(&customer, &Card::good());
            world.subscribe(&customer, &price);
            customers.push(customer);
        }
        let chance = Chance::new(seed);
        History {
            world,
            chance,
            customers,
        }
    }

    /// Any object of this kind.
    fn any(&mut self, kind: &str) -> Option<String> {
        let all: Vec<String> = self
            .world
            .all(kind)
            .map(|object| object["id"].as_str().unwrap().to_owned())
            .collect();
        (!all.is_empty()).then(|| self.chance.pick(&all).clone())
    }

    fn number(&mut self, bound: usize) -> i64 {
        i64::try_from(self.chance.below(bound)).unwrap()
    }

    /// One thing happens; what is refused is refused.
    fn step(&mut self) {
        let customer = self.chance.pick(&self.customers).clone();
        match self.chance.below(12) {
            0 => self.grant(&customer),
            1..=4 => {
                let value = self.number(5_000_000).to_string();
                let payload = json!({"stripe_customer_id": customer, "value": value});
                let asked = json!({"event_name": "ai_spend", "payload": payload});
                self.world.create_meter_event(&asked).unwrap();
            }
            5 => self.change_grant(),
            6 | 7 => self.pay(&customer),
            8 => self.complain(),
            9 => {
                let days = self.number(8);
                self.world.advance(days * 86_400 + 17);
            }
            10 => {
                if let Some(invoice) = self.any("invoice") {
                    drop(self.world.void_invoice(&invoice));
                }
            }
            _ => {
                let method = self.any("payment_method").unwrap();
                let outcome = self.chance.pick(&OUTCOMES).clone();
                self.world.set_outcome(&method, outcome);
            }
        }
    }

    fn grant(&mut self, customer: &str) {
        let now = self.world.now();
        let value = 1 + self.number(5000);
        let begin = now + self.number(5) * 86_400;
        let mut asked = json!({
            "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": value}},
            "applicability_config": {"scope": {"price_type": "metered"}}, "effective_at": begin,
            "category": *self.chance.pick(&["paid", "promotional"]), "priority": self.number(100),
        });
        if self.chance.percent(50) {
            asked["expires_at"] = (begin + 60 + self.number(40) * 86_400).into();
        }
        drop(self.world.create_grant(&asked));
    }

    fn change_grant(&mut self) {
        let Some(grant) = self.any("billing.credit_grant") else {
            return;
        };
        let end = self.world.now() + self.number(40) * 86_400;
        drop(match self.chance.below(4) {
            0 => self.world.void_grant(&grant),
            1 => self.world.expire_grant(&grant),
            2 => self.world.update_grant(&grant, &json!({"expires_at": ""})),
            _ => self.world.update_grant(&grant, &json!({"expires_at": end})),
        });
    }

    fn pay(&mut self, customer: &str) {
        let waiting: Vec<Value> = self.world.with("payment_intent", "status", "processing");
        if let Some(intent) = waiting.first() {
            let comes = self.chance.percent(50);
            self.world.settle(intent["id"].as_str().unwrap(), comes);
            return;
        }
        let method = self.world.object(customer)["invoice_settings"]["default_payment_method"].clone();
        let asked = json!({
            "amount": 50 + self.number(5000), "currency": "usd", "customer": customer, "payment_method": method,
            "confirm": true, "error_on_requires_action": self.chance.percent(50),
        });
        drop(self.world.create_payment_intent(&asked));
    }

    fn complain(&mut self) {
        let paid = self.world.with("charge", "status", "succeeded");
        if paid.is_empty() {
            return;
        }
        let charge = self.chance.pick(&paid)["id"].as_str().unwrap().to_owned();
        match self.chance.below(4) {
            0 => drop(self.world.dispute(&charge, &Complaint::fraud())),
            1 => drop(self.world.early_fraud_warning(&charge)),
            2 => {
                let amount = 1 + self.number(100);
                drop(
                    self.world
                        .create_refund(&json!({"charge": charge, "amount": amount})),
                );
            }
            _ => {
                if let Some(refund) = self.any("refund")
                    && self.world.object(&refund)["status"] == "succeeded"
                {
                    self.world.fail_refund(&refund);
                }
            }
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let world = &self.world;
        for grant in world.all("billing.credit_grant") {
            let (ledger, available) = (world.ledger_balance(grant), world.available_balance(grant));
            let value = grant["amount"]["monetary"]["value"].as_i64().unwrap();
            assert!((0..=value).contains(&ledger), "{ledger} of {grant}");
            assert!(
                (0..=ledger).contains(&available),
                "{available} of {ledger} of {grant}"
            );
            if !grant["voided_at"].is_null() {
                assert_eq!(ledger, 0, "{grant}");
            }
        }
        for invoice in world
            .all("invoice")
            .filter(|invoice| invoice["status"] != "draft")
        {
            let number = |field: &str| invoice[field].as_i64().unwrap();
            let credits = invoice["total_pretax_credit_amounts"].as_array().unwrap();
            let credits: i64 = credits.iter().map(|one| one["amount"].as_i64().unwrap()).sum();
            assert_eq!(number("subtotal"), credits + number("amount_due"), "{invoice}");
        }
        for charge in world.all("charge") {
            let number = |field: &str| charge[field].as_i64().unwrap();
            assert!(
                (0..=number("amount")).contains(&number("amount_refunded")),
                "{charge}"
            );
        }
        assert!(world.events().is_sorted_by_key(|event| event.created));
    }
}

#[test]
fn the_books_agree_after_any_history() {
    for seed in 0..4 {
        let mut history = History::new(seed);
        for step in 0..STEPS {
            history.step();
            if step % 50 == 0 {
                history.check();
            }
        }
        history.world.advance(2 * MONTH);
        history.check();
        same_fields_as_fixtures(&history.world);
        for kind in [
            "invoice.paid",
            "charge.refunded",
            "billing.credit_grant.updated",
            "charge.dispute.created",
        ] {
            assert!(!history.world.events_of(kind).is_empty(), "{seed}: no {kind}");
        }
    }
}

#[test]
fn the_same_seed_leaves_the_same_log() {
    let log = || {
        let mut history = History::new(11);
        for _ in 0..300 {
            history.step();
        }
        let log: Vec<String> = history
            .world
            .events()
            .iter()
            .map(|event| event.payload.to_string())
            .collect();
        log
    };
    assert_eq!(log(), log());
}
