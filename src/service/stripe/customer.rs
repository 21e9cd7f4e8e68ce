//! `customer:cus_1`: which account a customer's is, how its subscriptions stand, and what waits for it to have one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::stripe::facts::{Fact, Subscription, Telling};

use super::memo::{Done, Owner, Rules, Said, Want, Whose};

/// The most subscriptions that are remembered of a customer; ended ones go first.
const SUBSCRIPTIONS_MAX: usize = 100;

/// The most memos that wait for a customer to have an account.
const WAITING_MAX: usize = 200;

/// What is remembered of a customer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomerMemo {
    /// Which account.
    pub owner: Owner,
    /// Stripe was asked who it is.
    pub asked: bool,
    /// By id.
    pub subscriptions: BTreeMap<String, Standing>,
    /// Memos that tell of trouble, from before there was an account.
    pub waiting: BTreeSet<String>,
    /// What the account was told.
    pub said: Said,
}

/// How a subscription stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Stripe's word for it; `paused` also where only its collection is.
    pub status: String,
    /// As of when, in seconds since the epoch.
    pub at: i64,
}

impl Standing {
    fn of(subscription: &Subscription, at: i64) -> Standing {
        let paused = subscription.collection_paused && is_open(&subscription.status);
        Standing {
            status: if paused {
                "paused".to_owned()
            } else {
                subscription.status.clone()
            },
            at,
        }
    }

    /// How strict it is: of two tellings of one second the stricter counts.
    fn strictness(&self) -> u8 {
        match &*self.status {
            "active" | "trialing" => 0,
            "canceled" | "incomplete_expired" => 2,
            _ => 1,
        }
    }
}

fn is_open(status: &str) -> bool {
    matches!(status, "active" | "trialing")
}

fn is_over(status: &str) -> bool {
    matches!(status, "canceled" | "incomplete_expired")
}

impl CustomerMemo {
    pub(super) fn hear(&mut self, telling: &Telling, rules: &Rules) {
        match &telling.fact {
            Fact::Customer(customer) => {
                self.asked = true;
                self.owner.learn(Some(&customer.id), &customer.metadata, rules);
            }
            Fact::Subscription(subscription) => self.stands(subscription, telling),
            _ => {}
        }
    }

    fn stands(&mut self, subscription: &Subscription, telling: &Telling) {
        self.owner.customer = Some(subscription.customer.clone());
        let new = Standing::of(subscription, telling.at);
        if let Some(known) = self.subscriptions.get(&subscription.id) {
            let older = new.at < known.at || new.at == known.at && new.strictness() < known.strictness();
            // What has ended stays so; Stripe never revives one.
            if older || is_over(&known.status) {
                return;
            }
        }
        self.subscriptions.insert(subscription.id.clone(), new);
        while self.subscriptions.len() > SUBSCRIPTIONS_MAX {
            let key = |(id, s): (&String, &Standing)| (!is_over(&s.status), s.at, id.clone());
            let Some((.., oldest)) = self.subscriptions.iter().map(key).min() else {
                return;
            };
            self.subscriptions.remove(&oldest);
        }
    }

    /// Remembers a memo that is to be looked at again when there is an account. Whether there was room.
    pub(super) fn wait(&mut self, memo: &str) -> bool {
        self.waiting.len() < WAITING_MAX && self.waiting.insert(memo.to_owned())
            || self.waiting.contains(memo)
    }

    pub(super) fn next(&mut self, rules: &Rules) -> Option<Want> {
        let pauses = rules.stripe.on.subscription.pause;
        let another_is_open = self.subscriptions.values().any(|s| is_open(&s.status));
        let shuts = |standing: &Standing| {
            let status = &*standing.status;
            pauses && !(is_open(status) || is_over(status) && another_is_open)
        };
        let Some(account) = self.owner.account() else {
            let owner = self.owner.clone();
            let troubled = self.subscriptions.values().any(shuts);
            return troubled.then_some(Want::Owner(Whose::Customer { owner, pays: false }));
        };
        let CustomerMemo {
            subscriptions, said, ..
        } = self;
        subscriptions
            .iter()
            .find_map(|(id, standing)| said.change(&account, &format!("subscription:{id}"), shuts(standing)))
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match done {
            Done::Owner(owner) => self.owner = owner,
            _ => self.said.note(want),
        }
    }
}
