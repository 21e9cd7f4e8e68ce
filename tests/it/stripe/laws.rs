//! Whatever is told, in whatever order and however often, and wherever the desk crashes on it: in the end accounts are as Stripe's objects say. The model
//! reads these objects alone, and adds up.

use std::collections::{BTreeMap, BTreeSet};

use faregate::domain::command::{AccountChange, Command};
use faregate::domain::credits::Credits;
use faregate::domain::ids::{AccountId, CommandId, Reason};
use faregate::ledger::Ledger;
use faregate::ledger::detail::Note;
use serde_json::{Value, json};

use super::fake::chance::Chance;
use super::fake::world::Complaint;
use super::fake::{Card, Outcome};
use super::inside::Inside;
use crate::rig::PATIENCE;

/// Micro-credits of a cent.
pub(super) const CENT: i64 = 10_000;

/// A history in the making.
struct History {
    inside: Inside,
    chance: Chance,
    grants_mode: bool,
    customers: Vec<String>,
    /// Invoices and subscriptions, which the world would make only of months of usage: id to customer and status.
    invoices: BTreeMap<String, (usize, &'static str, bool)>,
    subscriptions: BTreeMap<String, (usize, &'static str)>,
    told: Vec<Value>,
    seen: usize,
    used: BTreeMap<usize, i64>,
    lifted: BTreeSet<String>,
    number: u64,
}

impl History {
    fn new(mode: &str, seed: u64, steps: usize) -> History {
        let inside = Inside::open(mode, seed);
        // So many that none has 100 unused grants, which is all that Stripe allows.
        let customers = (0..4 * steps.div_ceil(500))
            .map(|_| {
                let made = inside.stripe.world().create_customer(&json!({}));
                text(&made.expect("a customer"), "id")
            })
            .collect();
        History {
            inside,
            chance: Chance::new(seed),
            grants_mode: mode == "grants",
            customers,
            invoices: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            told: Vec::new(),
            seen: 0,
            used: BTreeMap::new(),
            lifted: BTreeSet::new(),
            number: 0,
        }
    }

    /// The first half of the customers' credits last, and are spent, refunded and disputed; the others' are voided and expire.
    fn lasting(&mut self) -> usize {
        self.chance.below(self.customers.len() / 2)
    }

    fn one_of(&mut self, kind: &str) -> Option<Value> {
        let all: Vec<Value> = self.inside.stripe.world().all(kind).cloned().collect();
        (!all.is_empty()).then(|| self.chance.pick(&all).clone())
    }

    async fn step(&mut self) {
        match self.chance.below(22) {
            0..=2 => self.pay(),
            3..=5 => self.grant(),
            6 => self.void_or_move(),
            7 => self.refund(),
            8 => self.fail_refund(),
            9 => self.dispute(),
            10 => self.go_on_with_dispute(),
            11 => self.mark(),
            12 | 13 => self.invoice(),
            14 => self.subscription(),
            15 => self.use_some().await,
            16 => self.lift().await,
            _ => {}
        }
        let seconds = *self.chance.pick(&[0, 0, 1, 5, 60, 3_600]);
        self.inside.advance(seconds);
        self.collect();
        self.deliver_some().await;
    }

    fn pay(&mut self) {
        let at = self.lasting();
        let customer = self.customers[at].clone();
        let cents = 100 + i64::try_from(self.chance.below(9_900)).expect("small");
        let mut metadata = json!({});
        if self.grants_mode {
            metadata["faregate_credits"] = json!(format!("{}.{:02}", cents / 100, cents % 100));
        }
        let mut world = self.inside.stripe.world();
        let method = world.attach_card(&customer, &Card::new(Outcome::Paid));
        let asked = json!({
            "amount": cents, "currency": "usd", "customer": customer, "payment_method": method, "confirm": true,
            "off_session": true, "error_on_requires_action": true, "metadata": metadata,
        });
        world.create_payment_intent(&asked).expect("a payment");
    }

    fn grant(&mut self) {
        let at = self.chance.below(self.customers.len());
        let cents = 100 + i64::try_from(self.chance.below(9_900)).expect("small");
        let mut world = self.inside.stripe.world();
        let now = world.now();
        let mut asked = json!({
            "customer": self.customers[at], "category": *self.chance.pick(&["paid", "promotional"]),
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": cents}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        if at >= self.customers.len() / 2 {
            let soon = |chance: &mut Chance| now + 1 + i64::try_from(chance.below(20_000)).expect("small");
            if self.chance.percent(50) {
                asked["expires_at"] = json!(soon(&mut self.chance));
            }
            if self.chance.percent(30) {
                let latest = asked["expires_at"].as_i64().unwrap_or(i64::MAX) - 1;
                asked["effective_at"] = json!(soon(&mut self.chance).min(latest));
            }
            if self.chance.percent(20) {
                asked["metadata"] = json!({"faregate_expires_at": (now + 5_000).to_string()});
            }
        }
        world.create_grant(&asked).expect("a grant");
    }

    fn void_or_move(&mut self) {
        let Some(grant) = self.one_of("billing.credit_grant") else {
            return;
        };
        let perishing = self.customers[self.customers.len() / 2..]
            .iter()
            .any(|customer| grant["customer"] == *customer);
        if !perishing {
            return;
        }
        let (mut world, id) = (self.inside.stripe.world(), text(&grant, "id"));
        let later = world.now() + 1 + i64::try_from(self.chance.below(20_000)).expect("small");
        // What Stripe does not allow changes nothing.
        if self.chance.percent(40) {
            drop(world.void_grant(&id));
        } else {
            drop(world.update_grant(&id, &json!({"expires_at": later})));
        }
    }

    fn refund(&mut self) {
        let Some(charge) = self.one_of("charge") else {
            return;
        };
        let number = |field: &str| charge[field].as_i64().expect(field);
        let rest = number("amount") - number("amount_refunded");
        if rest > 0 {
            let part = 1 + i64::try_from(self.chance.below(usize::try_from(rest).expect("positive")))
                .expect("small");
            let amount = if self.chance.percent(30) { rest } else { part };
            self.inside.stripe.world().refund(&text(&charge, "id"), amount);
        }
    }

    fn fail_refund(&mut self) {
        if let Some(refund) = self
            .one_of("refund")
            .filter(|refund| refund["status"] == "succeeded")
        {
            self.inside.stripe.world().fail_refund(&text(&refund, "id"));
        }
    }

    fn dispute(&mut self) {
        let Some(charge) = self.one_of("charge") else {
            return;
        };
        let amount = charge["amount"].as_i64().expect("an amount");
        let complaint = Complaint {
            amount: self.chance.percent(50).then_some(amount / 2 + 1),
            inquiry: self.chance.percent(30),
            ..Complaint::fraud()
        };
        self.inside
            .stripe
            .world()
            .dispute(&text(&charge, "id"), &complaint);
    }

    fn go_on_with_dispute(&mut self) {
        let Some(dispute) = self.one_of("dispute") else {
            return;
        };
        let (status, id) = (text(&dispute, "status"), text(&dispute, "id"));
        let ends = *self.chance.pick(&["won", "lost"]);
        let mut world = self.inside.stripe.world();
        match (&*status, self.chance.percent(50)) {
            ("warning_needs_response" | "warning_under_review", true) => world.escalate(&id),
            ("warning_needs_response" | "warning_under_review", false) => {
                world.close_dispute(&id, "warning_closed");
            }
            ("needs_response", true) => world.submit_evidence(&id),
            ("needs_response" | "under_review", _) => world.close_dispute(&id, ends),
            _ => {}
        }
    }

    fn mark(&mut self) {
        let closes = self.chance.percent(50);
        let reason = *self.chance.pick(&["approved", "refunded"]);
        let review = self
            .one_of("review")
            .filter(|review| closes && review["open"] == true);
        let Some(charge) = self.one_of("charge") else {
            return;
        };
        let (warns, id) = (self.chance.percent(30), text(&charge, "id"));
        let mut world = self.inside.stripe.world();
        match review {
            Some(review) => world.close_review(&text(&review, "id"), reason),
            None if warns => drop(world.early_fraud_warning(&id)),
            None => drop(world.open_review(&id)),
        }
    }

    fn event(&mut self, kind: &str, object: Value) {
        self.number += 1;
        let created = self.inside.stripe.world().now();
        self.told.push(json!({
            "id": format!("evt_made_{}", self.number), "object": "event", "created": created, "livemode": false,
            "type": kind, "data": {"object": object},
        }));
    }

    fn invoice(&mut self) {
        let open: Vec<String> = self
            .invoices
            .iter()
            .filter(|(_, (_, status, _))| matches!(*status, "open" | "uncollectible"))
            .map(|(id, _)| id.clone())
            .collect();
        let known = (!open.is_empty() && self.chance.percent(60)).then(|| self.chance.pick(&open).clone());
        let id = known.unwrap_or_else(|| format!("in_{}", self.number));
        let at = self.lasting();
        let entry = self.invoices.entry(id.clone()).or_insert((at, "open", false));
        let (status, kind) = *self.chance.pick(&[
            ("open", "invoice.payment_failed"),
            ("open", "invoice.payment_failed"),
            ("open", "invoice.overdue"),
            ("paid", "invoice.paid"),
            ("void", "invoice.voided"),
            ("uncollectible", "invoice.marked_uncollectible"),
        ]);
        if entry.1 == "uncollectible" && status == "open" {
            return;
        }
        entry.1 = status;
        entry.2 |= !matches!(status, "paid" | "void");
        let customer = self.customers[entry.0].clone();
        let object = json!({
            "id": id, "object": "invoice", "customer": customer, "status": status, "attempt_count": 1, "amount_due": 5,
            "currency": "usd",
        });
        self.event(kind, object);
    }

    fn subscription(&mut self) {
        // Two tellings of one second are for the tie's own test.
        self.inside.advance(1);
        let at = self.lasting();
        let id = format!("sub_{at}_{}", self.chance.below(2));
        let status = *self
            .chance
            .pick(&["active", "past_due", "unpaid", "paused", "active", "canceled"]);
        if self
            .subscriptions
            .get(&id)
            .is_some_and(|(_, status)| *status == "canceled")
        {
            return;
        }
        self.subscriptions.insert(id.clone(), (at, status));
        let customer = self.customers[at].clone();
        let object = json!({"id": id, "object": "subscription", "customer": customer, "status": status});
        let kind = if status == "canceled" {
            "customer.subscription.deleted"
        } else {
            "customer.subscription.updated"
        };
        self.event(kind, object);
    }

    /// Credits go, as by requests.
    async fn use_some(&mut self) {
        let at = self.lasting();
        if self.inside.account(&self.customers[at]).await.is_none() {
            return;
        }
        let amount = 1 + i64::try_from(self.chance.below(3_000_000)).expect("small");
        self.number += 1;
        let command = Command::Adjust {
            id: CommandId::new(&format!("use:{}", self.number)).expect("an id"),
            account: AccountId::new(&self.customers[at]).expect("an id"),
            amount: Credits::from_micros(-amount).expect("small"),
            from: None,
            detail: Note::by("test", "use").detail(),
        };
        self.inside.store.fail(0);
        let done = self.inside.store.execute(&command).await.expect("nothing fails");
        done.receipt().expect("it is taken");
        *self.used.entry(at).or_default() += amount;
    }

    /// The operator opens an account for one of its reasons; what has its own way back is left alone.
    async fn lift(&mut self) {
        self.inside.come_to_rest().await;
        let at = self.lasting();
        let customer = self.customers[at].clone();
        let Some((_, reasons)) = self.inside.stands(&customer).await else {
            return;
        };
        let Some(reason) = reasons.iter().find(|reason| !reason.starts_with("subscription:")) else {
            return;
        };
        let change = AccountChange::Resume(Reason::new(reason).expect("a reason"));
        let command = Command::SetAccount {
            account: AccountId::new(&customer).expect("an id"),
            expected: None,
            detail: Note::by("test", "admin").change(&change).detail(),
            change,
        };
        let done = self.inside.store.execute(&command).await.expect("nothing fails");
        done.receipt().expect("it is opened");
        self.lifted.insert(reason.clone());
    }

    /// What the world has told since.
    fn collect(&mut self) {
        let world = self.inside.stripe.world();
        let new: Vec<Value> = world.events()[self.seen..]
            .iter()
            .map(|event| event.payload.clone())
            .collect();
        self.seen += new.len();
        drop(world);
        self.told.extend(new);
    }

    /// Some of what was told ever comes, in any order, late, again, or not; and the desk crashes on one or the other.
    async fn deliver_some(&mut self) {
        self.inside.store.fail(*self.chance.pick(&[0, 20, 100]));
        self.inside.stripe.lose(10);
        for _ in 0..self.chance.below(6) {
            if self.told.is_empty() {
                break;
            }
            let recent = self.told.len().saturating_sub(12);
            let from = if self.chance.percent(70) { recent } else { 0 };
            let at = from + self.chance.below(self.told.len() - from);
            self.inside.deliver(&self.told[at]).await;
        }
        if self.chance.percent(50) {
            // It may crash too.
            drop(self.inside.desk.work().await);
        }
    }

    /// Everything is told once more, in any order; `again` as events that nobody has seen.
    async fn tell_all(&mut self, again: &str) {
        self.inside.store.fail(0);
        self.inside.stripe.lose(0);
        self.collect();
        let mut all = self.told.clone();
        self.chance.shuffle(&mut all);
        for mut event in all {
            event["id"] = json!(format!("{}{again}", text(&event, "id")));
            assert!(self.inside.deliver(&event).await, "{event}");
        }
        self.inside.come_to_rest().await;
        // The desk makes grants, which is told too.
        self.collect();
        for event in self.told.clone() {
            assert!(self.inside.deliver(&event).await, "{event}");
        }
        self.inside.come_to_rest().await;
    }

    fn model(&self, at: usize) -> (i64, BTreeSet<String>) {
        let world = self.inside.stripe.world();
        let customer = &*self.customers[at];
        let mut micros = -self.used.get(&at).copied().unwrap_or(0);
        let mut reasons = BTreeSet::new();
        for grant in world.with("billing.credit_grant", "customer", customer) {
            let bought = !grant["metadata"]["purchase_id"].is_null();
            if self.grants_mode && !bought && is_good(&grant, world.now()) {
                micros += CENT * grant["amount"]["monetary"]["value"].as_i64().expect("a value");
            }
        }
        for charge in world.with("charge", "customer", customer) {
            let of = text(&charge, "id");
            let amount = charge["amount"].as_i64().expect("an amount");
            let mut gone = charge["amount_refunded"].as_i64().expect("an amount");
            for dispute in world.with("dispute", "charge", &of) {
                let status = text(&dispute, "status");
                if !status.starts_with("warning_") && status != "won" {
                    gone += dispute["amount"].as_i64().expect("an amount");
                    reasons.insert(format!("dispute:{}", text(&dispute, "id")));
                }
            }
            micros += CENT * (amount - gone.min(amount));
            for warning in world.with("radar.early_fraud_warning", "charge", &of) {
                reasons.insert(format!("fraud_warning:{}", text(&warning, "id")));
            }
            for review in world.with("review", "charge", &of) {
                if review["open"] == true || review["closed_reason"] != "approved" {
                    reasons.insert(format!("review:{}", text(&review, "id")));
                }
            }
        }
        for (id, (of, status, owed)) in &self.invoices {
            if *of == at && *owed && !matches!(*status, "paid" | "void") {
                reasons.insert(format!("invoice:{id}"));
            }
        }
        let mine = || self.subscriptions.iter().filter(|(_, (of, _))| *of == at);
        let one_is_open = mine().any(|(_, (_, status))| *status == "active");
        for (id, (_, status)) in mine() {
            if *status != "active" && !(*status == "canceled" && one_is_open) {
                reasons.insert(format!("subscription:{id}"));
            }
        }
        (micros, &reasons - &self.lifted)
    }

    async fn check(&self, when: &str) {
        for (at, customer) in self.customers.iter().enumerate() {
            let Some((available, reasons)) = self.inside.stands(customer).await else {
                assert_eq!(self.model(at).0, 0, "{when}: {customer} has no account");
                continue;
            };
            let (micros, wanted) = self.model(at);
            assert_eq!(available.micros(), micros, "{when}: what {customer} has");
            assert_eq!(reasons, Vec::from_iter(wanted), "{when}: why {customer} is shut");
        }
        self.inside.verify().await;
    }
}

/// A grant of Stripe's that can be spent now, by what was promised.
fn is_good(grant: &Value, now: i64) -> bool {
    let promised = grant["metadata"]["faregate_expires_at"].as_str();
    let promised = promised.and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
    let ends = grant["expires_at"].as_i64().unwrap_or(i64::MAX).min(promised);
    grant["voided_at"].is_null() && grant["effective_at"].as_i64().is_none_or(|at| at <= now) && now < ends
}

pub(super) fn text(object: &Value, field: &str) -> String {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {object}"))
        .to_owned()
}

async fn live(mode: &str, seed: u64, steps: usize) {
    let mut history = History::new(mode, seed, steps);
    for _ in 0..steps {
        history.step().await;
    }
    history.tell_all("").await;
    history.check(&format!("{mode}, seed {seed}")).await;
    history.tell_all("_again").await;
    history.check(&format!("{mode}, seed {seed}, told again")).await;
    let report = history.inside.desk.sync(PATIENCE).await.expect("a comparison");
    assert!(report.drift.is_empty(), "{mode}, seed {seed}: {report:#?}");
}

/// So many seeds of each mode; FAREGATE_LAWS says another number.
fn seeds() -> u64 {
    let asked = std::env::var("FAREGATE_LAWS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_where_grants_credit_any_history_comes_out_as_stripe_has_it() {
    for seed in 0..seeds() {
        live("grants", seed, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_where_payments_credit_any_history_comes_out_as_stripe_has_it() {
    for seed in 0..seeds() {
        live("ledger", 1_000 + seed, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w2_a_history_of_a_thousand_steps_comes_out_as_stripe_has_it() {
    live("grants", 2_000, 1_000).await;
    live("ledger", 3_000, 1_000).await;
}
