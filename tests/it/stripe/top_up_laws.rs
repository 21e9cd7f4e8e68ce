//! Automatic top-ups in a time that the test makes: pauses, caps, the limit of grants, and whatever crashes between any two steps.

use std::sync::Arc;

use faregate::clock::Clock;
use faregate::domain::command::{AccountChange, Command};
use faregate::domain::credits::Credits;
use faregate::domain::grant::{Category, GrantFacts};
use faregate::domain::ids::{AccountId, CommandId, GrantId, PlanId};
use faregate::domain::time::Span;
use faregate::ledger::Ledger;
use faregate::ledger::detail::Note;
use faregate::service::stripe::sales::Sales;
use faregate::service::stripe::sales::top_up::Standing;
use serde_json::json;

use super::fake::chance::Chance;
use super::fake::{Card, Outcome};
use super::inside::Inside;

const MORE: &str = r#"
[stripe.checkout]
success_url = "https://example.com/bought"
cancel_url = "https://example.com/credits"

[[stripe.packs]]
id = "ten"
name = "Ten dollars of credits"
price = 10.00
currency = "usd"

[stripe.top_up]
charges_per_day = 3
charges_per_month = 5
"#;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A customer with a card, whose account is the customer's id.
pub(super) struct Buyer {
    pub(super) inside: Inside,
    sales: Sales,
    account: AccountId,
    pub(super) customer: String,
    pub(super) card: String,
    number: u64,
}

impl Buyer {
    async fn new(mode: &str, seed: u64) -> Buyer {
        Buyer::on(None, mode, seed, MORE).await
    }

    /// On a plan of the configuration that has these lines.
    pub(super) async fn on(plan: Option<&str>, mode: &str, seed: u64, more: &str) -> Buyer {
        Buyer::named(None, plan, mode, seed, more).await
    }

    /// Whose account has this name.
    pub(super) async fn named(
        name: Option<&str>,
        plan: Option<&str>,
        mode: &str,
        seed: u64,
        more: &str,
    ) -> Buyer {
        let inside = Inside::open_with(mode, seed, more);
        let made = inside.stripe.world().create_customer(&json!({}));
        let customer = made.expect("a customer")["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let card = inside.stripe.world().attach_card(&customer, &Card::good());
        let account = AccountId::new(name.unwrap_or(&customer)).expect("an id");
        let create = Command::SetAccount {
            account: account.clone(),
            expected: None,
            change: AccountChange::Create(plan.map(|plan| PlanId::new(plan).expect("a name"))),
            detail: Note::by("test", "test").detail(),
        };
        inside.store.execute(&create).await.expect("nothing fails");
        inside
            .desk
            .introduce(&customer, &account)
            .await
            .expect("nothing fails");
        let sales = Sales::new(
            Arc::clone(&inside.desk),
            Arc::clone(&inside.store) as _,
            Arc::clone(&inside.store) as _,
            Arc::clone(&inside.clock) as _,
        );
        Buyer {
            inside,
            sales,
            account,
            customer,
            card,
            number: 0,
        }
    }

    async fn set(&self, below: u32) {
        let below = Credits::whole(below);
        let set = self.sales.set_top_up(&self.account, "ten", below, None).await;
        set.expect("it can be set");
    }

    async fn stands(&self) -> Standing {
        self.sales.top_up(&self.account).await.expect("nothing fails")
    }

    async fn why(&self) -> Option<&'static str> {
        let stands = self.stands().await;
        let trouble = stands.memo.trouble(stands.now, &stands.caps);
        trouble.map(|(why, _)| why.said().0)
    }

    /// Spends so many credits, or is given them.
    pub(super) async fn uses(&mut self, credits: i64) {
        self.number += 1;
        let adjust = Command::Adjust {
            id: CommandId::new(&format!("used-{}", self.number)).expect("an id"),
            account: self.account.clone(),
            amount: Credits::from_micros(-credits * 1_000_000).expect("few"),
            from: None,
            detail: Note::by("test", "test").detail(),
        };
        self.inside.store.execute(&adjust).await.expect("nothing fails");
    }

    /// Pays on some page, which Stripe tells of, for so many credits.
    pub(super) async fn pays(&self, credits: u32) {
        let asked = json!({
            "amount": 100 * credits, "currency": "usd", "customer": self.customer, "payment_method": self.card, "confirm": true,
            "off_session": true, "error_on_requires_action": true, "metadata": {"faregate_credits": credits.to_string()},
        });
        let event = {
            let mut world = self.inside.stripe.world();
            world.create_payment_intent(&asked).expect("a payment");
            let told = world.events_of("payment_intent.succeeded");
            told.last().expect("an event").payload.clone()
        };
        assert!(self.inside.deliver(&event).await);
        self.works().await;
    }

    /// It is seen to run low, and all that is due is done.
    pub(super) async fn is_looked_at(&self) {
        let seen = self.inside.desk.look_at_low(&self.account, false).await;
        seen.expect("nothing fails");
        self.works().await;
    }

    /// All that is due is done.
    pub(super) async fn works(&self) {
        for _ in 0..20 {
            if self.inside.desk.work().await.expect("nothing fails") == 0 {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// It is seen to run low, or not, while anything may fail.
    pub(super) async fn may_be_looked_at(&self) {
        let _ = self.inside.desk.look_at_low(&self.account, false).await;
        let _ = self.inside.desk.work().await;
    }

    /// Payments that came to money.
    pub(super) fn paid(&self) -> usize {
        let world = self.inside.stripe.world();
        world
            .all("payment_intent")
            .filter(|intent| intent["status"] == "succeeded")
            .count()
    }

    pub(super) fn tried(&self) -> usize {
        self.inside.stripe.world().all("payment_intent").count()
    }

    async fn has(&self, credits: u32) {
        let found = self.inside.stands(&self.customer).await.expect("an account").0;
        assert_eq!(found, Credits::whole(credits));
    }
}

#[tokio::test]
async fn a_declined_card_is_tried_after_an_hour_and_after_six_and_then_no_more() {
    let buyer = Buyer::new("ledger", 1).await;
    let card = buyer.card.clone();
    buyer.inside.stripe.world().set_outcome(&card, Outcome::NO_FUNDS);
    buyer.set(5).await;
    buyer.is_looked_at().await;
    assert_eq!((buyer.tried(), buyer.why().await), (1, Some("declined")));
    for (wait, tried) in [
        (HOUR - 60, 1),
        (120, 2),
        (6 * HOUR - 60, 2),
        (120, 3),
        (7 * DAY, 3),
    ] {
        buyer.inside.advance(wait);
        buyer.is_looked_at().await;
        assert_eq!(buyer.tried(), tried, "{wait}");
    }
    // It goes on when the customer asks for it.
    buyer.inside.stripe.world().set_outcome(&card, Outcome::Paid);
    buyer.set(5).await;
    buyer.is_looked_at().await;
    buyer.has(10).await;
    assert_eq!((buyer.paid(), buyer.why().await), (1, None));
}

#[tokio::test]
async fn a_card_that_must_not_be_tried_again_is_not_and_trying_cards_has_an_end() {
    let buyer = Buyer::new("ledger", 2).await;
    let card = buyer.card.clone();
    buyer
        .inside
        .stripe
        .world()
        .set_outcome(&card, Outcome::FRAUDULENT);
    buyer.set(5).await;
    buyer.is_looked_at().await;
    buyer.inside.advance(10 * DAY);
    buyer.is_looked_at().await;
    assert_eq!((buyer.tried(), buyer.why().await), (1, Some("card_refused")));
    // Not when the customer asks for it again either.
    for _ in 0..3 {
        buyer.set(5).await;
        buyer.is_looked_at().await;
        assert_eq!((buyer.tried(), buyer.why().await), (1, Some("card_refused")));
    }
    let other = Card::new(Outcome::NO_FUNDS);
    buyer.inside.stripe.world().attach_card(&buyer.customer, &other);
    for _ in 0..10 {
        buyer.set(5).await;
        buyer.is_looked_at().await;
    }
    assert_eq!((buyer.tried(), buyer.why().await), (7, Some("cap_reached")));
}

#[tokio::test]
async fn an_account_is_charged_so_often_a_day_and_so_often_a_month() {
    let mut buyer = Buyer::new("ledger", 3).await;
    buyer.set(5).await;
    buyer.is_looked_at().await;
    for charged in [1, 2, 3, 3, 3] {
        assert_eq!(buyer.paid(), charged);
        buyer.uses(9).await;
        buyer.is_looked_at().await;
    }
    assert_eq!(buyer.why().await, Some("cap_reached"));
    buyer.inside.advance(DAY + 60);
    for charged in [4, 5, 5] {
        buyer.is_looked_at().await;
        assert_eq!(buyer.paid(), charged);
        buyer.uses(20).await;
    }
    buyer.inside.advance(DAY + 60);
    buyer.is_looked_at().await;
    assert_eq!((buyer.paid(), buyer.why().await), (5, Some("cap_reached")));
    buyer.inside.advance(29 * DAY);
    buyer.is_looked_at().await;
    assert_eq!(buyer.paid(), 6);
    buyer.inside.verify().await;
}

#[tokio::test]
async fn the_customers_own_cap_counts_too() {
    let mut buyer = Buyer::new("ledger", 4).await;
    let (below, most) = (Credits::whole(5), Credits::whole(25));
    let set = buyer.sales.set_top_up(&buyer.account, "ten", below, Some(most));
    set.await.expect("it can be set");
    for charged in [1, 2, 2, 2] {
        buyer.is_looked_at().await;
        assert_eq!(buyer.paid(), charged);
        buyer.uses(10).await;
    }
    assert_eq!(buyer.why().await, Some("cap_reached"));
}

#[tokio::test]
async fn who_deleted_the_card_is_told_and_the_next_one_is_charged() {
    let buyer = Buyer::new("ledger", 5).await;
    buyer.inside.stripe.world().detach_method(&buyer.card);
    buyer.set(5).await;
    buyer.is_looked_at().await;
    assert_eq!((buyer.tried(), buyer.why().await), (0, Some("no_card")));
    buyer
        .inside
        .stripe
        .world()
        .attach_card(&buyer.customer, &Card::good());
    buyer.set(5).await;
    buyer.is_looked_at().await;
    buyer.has(10).await;
}

#[tokio::test]
async fn r8_a_customer_with_ninety_unused_grants_is_not_charged_for_one_more() {
    let buyer = Buyer::new("grants", 6).await;
    for _ in 0..90 {
        let asked = json!({
            "customer": buyer.customer,
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 1}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        let made = buyer.inside.stripe.world().create_grant(&asked);
        made.expect("a grant");
    }
    buyer.set(5).await;
    buyer.is_looked_at().await;
    assert_eq!((buyer.tried(), buyer.why().await), (0, Some("too_many_grants")));
    let oldest = {
        let world = buyer.inside.stripe.world();
        let grant = world.all("billing.credit_grant").next();
        grant.expect("a grant")["id"].as_str().expect("an id").to_owned()
    };
    let voided = buyer.inside.stripe.world().void_grant(&oldest);
    voided.expect("it can be voided");
    buyer.inside.advance(HOUR + 60);
    buyer.is_looked_at().await;
    assert_eq!((buyer.paid(), buyer.why().await), (1, None));
}

#[tokio::test]
async fn a_card_that_was_kept_without_a_payment_is_charged() {
    let buyer = Buyer::new("ledger", 8).await;
    let other = Card::good();
    buyer.inside.stripe.world().attach_card(&buyer.customer, &other);
    // With the first, what invoices are charged to is gone.
    buyer.inside.stripe.world().detach_method(&buyer.card);
    buyer.set(5).await;
    buyer.is_looked_at().await;
    buyer.has(10).await;
}

#[tokio::test]
async fn whoever_has_no_room_for_a_grant_in_the_ledger_is_not_charged_for_one() {
    let buyer = Buyer::new("ledger", 9).await;
    let now = buyer.inside.clock.now();
    for number in 0..190 {
        let facts = GrantFacts {
            id: GrantId::new(&format!("small-{number}")).expect("an id"),
            amount: Credits::MICRO,
            priority: 50,
            category: Category::Paid,
            effective_at: now,
            expires_at: now.plus(Span::from_secs(HOUR / 2)),
            created_at: now,
            updated_at: now,
            voided_at: None,
            note: None,
        };
        let put = Command::PutGrant {
            account: buyer.account.clone(),
            detail: Note::by("test", "test").detail(),
            facts,
        };
        buyer.inside.store.execute(&put).await.expect("nothing fails");
    }
    buyer.set(5).await;
    buyer.is_looked_at().await;
    assert_eq!((buyer.tried(), buyer.why().await), (0, Some("too_many_grants")));
    buyer.inside.advance(HOUR + 60);
    buyer.is_looked_at().await;
    assert_eq!((buyer.paid(), buyer.why().await), (1, None));
    buyer.has(10).await;
}

/// In whatever state the desk crashes, and whatever call is lost: each decided charge is made at most once, and each that was made is credited once.
#[tokio::test]
async fn whatever_crashes_a_charge_is_made_once_and_credited_once() {
    let mut charges = 0;
    for (mode, seed) in (0..24).map(|seed| (["ledger", "grants"][seed as usize % 2], seed)) {
        let mut buyer = Buyer::new(mode, seed).await;
        let mut chance = Chance::new(seed);
        buyer.set(5).await;
        let mut used = 0;
        for _ in 0..12 {
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
                buyer.uses(4).await;
                used += 4;
            }
        }
        buyer.inside.come_to_rest().await;
        let paid = u32::try_from(buyer.paid()).expect("few");
        charges += paid;
        let found = buyer.inside.stands(&buyer.customer).await.expect("an account").0;
        let wanted = Credits::whole(10 * paid).saturating_sub(Credits::whole(used));
        assert_eq!(found, wanted, "{mode} {seed}: {paid} charges");
        let stands = buyer.stands().await;
        assert_eq!(stands.memo.under_way, None, "{mode} {seed}");
        let known = stands.memo.past.iter().filter(|past| past.paid).count();
        assert_eq!(known, buyer.paid(), "{mode} {seed}");
        assert!(paid <= 3, "{mode} {seed}: {paid} in a day");
        buyer.inside.verify().await;
    }
    assert!(charges > 24, "{charges}");
}

/// An answer that never comes: the same is asked for under the same key, for a day; then what Stripe lists counts.
#[tokio::test]
async fn an_outcome_that_stays_unknown_ends_after_a_day_without_a_second_charge() {
    for done in [true, false] {
        let buyer = Buyer::new("ledger", 7).await;
        buyer.inside.stripe.lose(100);
        buyer.set(5).await;
        for _ in 0..30 {
            let _ = buyer.inside.desk.work().await;
            buyer.inside.advance(700);
        }
        let tried = buyer.tried();
        assert!(tried <= 1, "{tried}");
        if done {
            buyer.inside.stripe.lose(0);
        }
        buyer.inside.advance(DAY);
        buyer.inside.come_to_rest().await;
        buyer.is_looked_at().await;
        buyer.has(10).await;
        assert_eq!(buyer.paid(), 1);
    }
}
