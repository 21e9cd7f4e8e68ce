//! Wherever the gate crashes, and however often it is told: a person has one trial, and has it.

use faregate::domain::command::{AccountChange, Command};
use faregate::domain::ids::{AccountId, PlanId};
use faregate::ledger::Ledger;
use faregate::ledger::detail::Note;
use serde_json::{Value, json};

use super::super::fake::Card;
use super::super::fake::world::World;
use super::super::inside::Inside;

/// Accounts, two of which are one person's.
const ACCOUNTS: [(&str, &str); 3] = [("one", "FpSame"), ("two", "FpSame"), ("three", "FpOther")];

async fn open(seed: u64, more: &str) -> Inside {
    let inside = Inside::open_with("ledger", seed, more);
    for (account, _) in ACCOUNTS {
        let change = AccountChange::Create(Some(PlanId::new("free").expect("a plan")));
        let command = Command::SetAccount {
            account: AccountId::new(account).expect("an account"),
            expected: None,
            detail: Note::by("test", "test").change(&change).detail(),
            change,
        };
        inside.store.execute(&command).await.expect("it is made");
    }
    inside
}

/// Whose marks come in another order each, and which share some.
#[tokio::test]
async fn two_accounts_of_one_person_that_come_in_the_same_instant_have_one_trial() {
    for seed in 1..=8 {
        let inside = open(seed, &plans("by = \"card\"")).await;
        let shown = [
            ("one", "FpOne", "ada@example.com", "ada@example.org"),
            ("two", "FpTwo", "ada@example.org", "ada@example.com"),
        ];
        for (account, fingerprint, on_card, of_customer) in shown {
            let card = Card::good().fingerprint(fingerprint).email(on_card);
            let mut world = inside.stripe.world();
            let customer = json!({ "email": of_customer });
            show_card(&mut world, account, &customer, &card, false);
        }
        let events: Vec<_> = {
            let world = inside.stripe.world();
            let shown = world.events_of("setup_intent.succeeded");
            shown.iter().map(|event| event.payload.clone()).collect()
        };
        let (one, two) = tokio::join!(inside.deliver(&events[0]), inside.deliver(&events[1]));
        assert!(one && two);
        inside.come_to_rest().await;
        let mut trials = Vec::new();
        for account in ["one", "two"] {
            let found = inside.account(account).await.expect("it is there");
            trials.push(found.granted.to_string());
        }
        trials.sort();
        assert_eq!(trials, ["0.000000", "5.000000"], "{seed}");
    }
}

/// Each shows its card on a page of its own.
fn show_cards(inside: &Inside, charged: bool) {
    let mut world = inside.stripe.world();
    for (account, fingerprint) in ACCOUNTS {
        let card = Card::good().fingerprint(fingerprint);
        show_card(&mut world, account, &json!({}), &card, charged);
    }
}

fn show_card(world: &mut World, account: &str, customer: &Value, card: &Card, charged: bool) {
    let customer = world.create_customer(customer).expect("a customer")["id"].clone();
    let metadata = json!({ "faregate_account": account, "faregate_verify": "free", "faregate_credits": "0" });
    let asked = if charged {
        json!({
            "mode": "payment", "customer": customer, "success_url": "https://example.com/", "metadata": metadata,
            "payment_intent_data": { "metadata": metadata },
            "line_items": [{ "quantity": 1, "price_data": {
                "currency": "usd", "unit_amount": 100, "product_data": { "name": "A card" },
            } }],
        })
    } else {
        json!({
            "mode": "setup", "currency": "usd", "customer": customer, "success_url": "https://example.com/",
            "metadata": metadata, "setup_intent_data": { "metadata": metadata },
        })
    };
    let page = world.create_session(&asked).expect("a page");
    let page = page["id"].as_str().expect("an id").to_owned();
    world.buy(&page, card).expect("the card is good");
}

/// A plan that is left by what is said so.
fn plans(by: &str) -> String {
    format!(
        "[stripe.checkout]\nsuccess_url = \"https://example.com/\"\ncancel_url = \"https://example.com/\"\n[plans.trial]\n[plans.free]\nroutes = []\n[plans.free.verify]\n{by}\nopens = \"trial\"\ncredits = 5\nexpires_after = \"14d\"\n"
    )
}

async fn law(seed: u64, by: &str, charged: bool) {
    let inside = open(seed, &plans(by)).await;
    show_cards(&inside, charged);
    inside.store.fail(150);
    inside.stripe.lose(20);
    let events: Vec<_> = inside
        .stripe
        .world()
        .events()
        .iter()
        .map(|event| event.payload.clone())
        .collect();
    // Twice, the second time backwards, with crashes all along.
    for event in events.iter().chain(events.iter().rev()) {
        while !inside.deliver(event).await {}
        let _ = inside.desk.work().await;
        inside.advance(100);
    }
    inside.come_to_rest().await;
    let mut trials = 0;
    for (account, fingerprint) in ACCOUNTS {
        let found = inside.account(account).await.expect("it is there");
        let plan = found.settings.plan.as_ref().map(PlanId::as_str);
        let opened = plan == Some("trial");
        assert_eq!(
            found.granted.to_string(),
            if opened { "5.000000" } else { "0.000000" },
            "{seed} {account}"
        );
        assert!(found.settings.reasons.is_empty());
        assert!(opened || fingerprint == "FpSame", "{seed} {account}");
        trials += usize::from(opened);
    }
    assert_eq!(trials, 2, "{seed}: one for each person");
    assert_eq!(money_kept(&inside), 0, "{seed}: all money is given back");
    inside.verify().await;
}

/// Charges that were not refunded.
fn money_kept(inside: &Inside) -> usize {
    let world = inside.stripe.world();
    let kept = world.all("charge").filter(|charge| charge["refunded"] != true);
    kept.count()
}

#[tokio::test]
async fn one_trial_for_each_person_wherever_it_crashes() {
    for seed in 1..=12 {
        law(seed, "by = \"card\"", false).await;
    }
}

#[tokio::test]
async fn one_trial_for_each_person_and_all_money_back_wherever_it_crashes() {
    for seed in 1..=12 {
        law(seed, "by = \"charge\"\namount = 1\ncurrency = \"usd\"", true).await;
    }
}
