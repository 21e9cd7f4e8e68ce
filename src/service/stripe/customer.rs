//! `customer:cus_1`: which account a customer's is, how its subscriptions stand, and what waits for it to have one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::stripe::api;
use crate::stripe::facts::{Fact, Subscription, Telling};

use super::memo::{Done, Owner, Rules, Said, Want, Whose};

/// The most subscriptions that are remembered of a customer; ended ones go first.
const SUBSCRIPTIONS_MAX: usize = 100;

/// The most memos that wait for a customer to have an account.
const WAITING_MAX: usize = 200;

/// What the account's reasons begin with.
const REASON: &str = "subscription:";

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
    /// Their items that a meter counts for, by id.
    pub items: BTreeMap<String, Metered>,
    /// What is being set at Stripe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<Setting>,
    /// How often Stripe was asked to and did not say yes or no: an error of its own it says again to the same idempotency key for a day.
    pub unanswered: u32,
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

/// An item of a subscription that is billed by what a meter counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metered {
    /// Of which subscription.
    pub subscription: String,
    /// From how much usage on it is invoiced before its period ends, as Stripe says.
    pub invoice_at: Option<i64>,
    /// What Stripe would not set.
    pub refused: Option<i64>,
}

/// That an item is to be invoiced from so much usage on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setting {
    item: String,
    invoice_at: i64,
    /// As of when it was found to be otherwise: set again later it is another call.
    found_at: i64,
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
            Fact::Subscription(subscription) => self.stands(subscription, telling, rules),
            _ => {}
        }
    }

    fn stands(&mut self, subscription: &Subscription, telling: &Telling, rules: &Rules) {
        self.owner.customer = Some(subscription.customer.clone());
        let mut new = Standing::of(subscription, telling.at);
        if subscription.ended_at.is_some_and(|at| rules.is_before(at)) {
            // For the gate it never began.
            "incomplete_expired".clone_into(&mut new.status);
        }
        if let Some(known) = self.subscriptions.get(&subscription.id) {
            let older = new.at < known.at || new.at == known.at && new.strictness() < known.strictness();
            // What has ended stays so; Stripe never revives one.
            if older || is_over(&known.status) {
                return;
            }
        }
        self.take_items(subscription);
        self.subscriptions.insert(subscription.id.clone(), new);
        while self.subscriptions.len() > SUBSCRIPTIONS_MAX {
            // Last the troubled ones: they may shut the account.
            let rank = |status: &str| {
                if is_over(status) {
                    0
                } else {
                    1 + u8::from(!is_open(status))
                }
            };
            let key = |(id, s): (&String, &Standing)| (rank(&s.status), s.at, id.clone());
            let Some((.., oldest)) = self.subscriptions.iter().map(key).min() else {
                return;
            };
            self.subscriptions.remove(&oldest);
        }
    }

    /// How its metered items are billed; none of one that has ended.
    fn take_items(&mut self, subscription: &Subscription) {
        let mut refused = BTreeMap::new();
        self.items.retain(|id, item| {
            let stays = item.subscription != subscription.id;
            if !stays {
                refused.insert(id.clone(), item.refused);
            }
            stays
        });
        if is_over(&subscription.status) {
            return;
        }
        for item in &subscription.items {
            if self.items.len() >= SUBSCRIPTIONS_MAX {
                return;
            }
            let metered = Metered {
                subscription: subscription.id.clone(),
                invoice_at: item.invoice_at,
                refused: refused.remove(&item.id).flatten(),
            };
            self.items.insert(item.id.clone(), metered);
        }
    }

    /// The next item that is to be invoiced from another usage on than it is. Not while on trial, where Stripe sets none.
    fn bill(&mut self, rules: &Rules) -> Option<Want> {
        if self.setting.is_none() {
            let at = rules.stripe.usage.as_ref()?.invoice_at?.micros();
            self.setting = self.items.iter().find_map(|(id, item)| {
                let standing = self.subscriptions.get(&item.subscription)?;
                let other = item.invoice_at != Some(at) && item.refused != Some(at);
                (other && standing.status == "active").then(|| Setting {
                    item: id.clone(),
                    invoice_at: at,
                    found_at: standing.at,
                })
            });
        }
        let setting = self.setting.as_ref()?;
        let because = format!("{}_{}_{}", setting.invoice_at, setting.found_at, self.unanswered);
        let threshold = api::Threshold::From(setting.invoice_at);
        Some(Want::Call {
            step: "invoice_at",
            call: api::update_item_threshold(&setting.item, threshold, &because).ok()?,
            before: None,
        })
    }

    fn billed(&mut self, done: &Done) {
        self.unanswered = 0;
        let Some(setting) = self.setting.take() else {
            return;
        };
        if let Some(item) = self.items.get_mut(&setting.item) {
            if let Done::Refused(why) = done {
                tracing::error!(
                    item = setting.item,
                    invoice_at = setting.invoice_at,
                    why,
                    "usage.invoice_at was not set"
                );
                item.refused = Some(setting.invoice_at);
            } else {
                item.invoice_at = Some(setting.invoice_at);
            }
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
            // One that never began, because its first payment did not come, is no loss to anybody.
            let never_began = status == "incomplete_expired";
            pauses && !(never_began || is_open(status) || is_over(status) && another_is_open)
        };
        let Some(account) = self.owner.account() else {
            let owner = self.owner.clone();
            let troubled = !self.waiting.is_empty() || self.subscriptions.values().any(shuts);
            return troubled.then_some(Want::Owner(Whose::Customer { owner, pays: false }));
        };
        let CustomerMemo {
            subscriptions, said, ..
        } = self;
        let change = subscriptions
            .iter()
            .find_map(|(id, standing)| said.change(&account, &format!("{REASON}{id}"), shuts(standing)));
        // One that is remembered no more counts as canceled.
        let gone = said.present().find(|reason| {
            let of = reason.strip_prefix(REASON);
            another_is_open && of.is_some_and(|id| !subscriptions.contains_key(id))
        });
        let change = change.or_else(|| said.change(&account, &gone?, false));
        change.or_else(|| self.bill(rules))
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match done {
            Done::Owner(owner) => self.owner = owner,
            done if matches!(want, Want::Call { .. }) => self.billed(&done),
            _ => self.said.note(want),
        }
    }
}
