//! `grant:credgr_1`: a credit grant of Stripe's, mirrored into the ledger; and what Stripe applied of it to invoices, which is compared, never booked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::credits::Credits;
use crate::domain::grant::{Category, GrantFacts, PRIORITY_MAX};
use crate::domain::ids::GrantId;
use crate::domain::money::Currency;
use crate::domain::time::{Span, Timestamp};
use crate::stripe::api;
use crate::stripe::facts::{Fact, Grant, Telling, Transaction};

use super::lot::Lot;
use super::memo::{Amount, Done, Owner, Parked, Rules, Want, Whose, named, starts, time};

/// The metadata by which a grant says when it really ends: Stripe's own date lies later, so that what was used is still there to be applied.
pub(super) const EXPIRES_AT: &str = "faregate_expires_at";

/// The most transactions that are remembered of a grant.
const TRANSACTIONS_MAX: usize = 2_000;

/// What is remembered of a credit grant.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantMemo {
    /// Whose.
    pub owner: Owner,
    /// How it looks, by the newest telling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// What it is worth, by the rate when it was first told of: a rate that changes later changes no grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Amount>,
    /// Which payment bought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchase: Option<String>,
    /// The grant of the ledger that stands for it; another than its own where its purchase was credited before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    /// How often the telling changed.
    pub revision: u32,
    /// The revision that the ledger knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put: Option<u32>,
    /// What Stripe's ledger moved, by transaction: above zero what was applied to invoices, below what came back from a void one; minor units.
    pub settled: BTreeMap<String, i64>,
    /// Two tellings of the same second differ, or a transaction says what no telling has: the API is to be asked.
    pub look: bool,
    /// What can never be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// A grant as told; times in seconds since the epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Lower-case ISO code.
    pub currency: String,
    /// Minor units.
    pub value: i64,
    /// Given, not bought.
    pub promotional: bool,
    /// 0 burns first.
    pub priority: i64,
    /// When it was made.
    pub created: i64,
    /// When it was last changed.
    pub updated: i64,
    /// When it starts.
    pub effective_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was voided.
    pub voided_at: Option<i64>,
}

impl Told {
    fn of(grant: &Grant) -> Told {
        let ends = [promised(grant), grant.expires_at];
        Told {
            currency: grant.currency.clone(),
            value: grant.value,
            promotional: grant.category != "paid",
            priority: grant.priority,
            created: grant.created,
            updated: grant.updated,
            effective_at: grant.effective_at.unwrap_or(grant.created),
            expires_at: ends.into_iter().flatten().min(),
            voided_at: grant.voided_at,
        }
    }
}

/// When its customer was promised that it ends.
fn promised(grant: &Grant) -> Option<i64> {
    grant.metadata.get(EXPIRES_AT)?.parse().ok()
}

impl GrantMemo {
    /// Stripe has applied all of it to invoices.
    pub(super) fn is_applied(&self) -> bool {
        let applied = self.settled.values().copied().fold(0, i64::saturating_add);
        self.told.as_ref().is_some_and(|told| applied >= told.value)
    }

    pub(super) fn hear(&mut self, id: &str, telling: &Telling, rules: &Rules) {
        match &telling.fact {
            Fact::Grant(grant) if grant.id == id => self.told(grant, telling.is_asked(), rules),
            Fact::Transaction(transaction) if transaction.grant == id => self.moved(transaction),
            _ => {}
        }
    }

    fn told(&mut self, grant: &Grant, by_api: bool, rules: &Rules) {
        self.owner.learn(Some(&grant.customer), &grant.metadata, rules);
        if self.purchase.is_none() {
            self.purchase = grant.metadata.get(api::PURCHASE).cloned();
        }
        self.look &= !by_api;
        let mut new = Told::of(grant);
        if let Some(known) = &self.told {
            if (&known.currency, known.value) != (&new.currency, new.value) {
                self.wrong = Some(format!(
                    "it was {} {} and is told to be {} {}: a grant's amount never changes",
                    known.value, known.currency, new.value, new.currency
                ));
                return;
            }
            // Whichever says that it is void: that is final.
            let voided_at = known.voided_at.or(new.voided_at);
            new.voided_at = voided_at;
            let other = *known != new;
            match new.updated.cmp(&known.updated) {
                std::cmp::Ordering::Less => {
                    new = Told {
                        voided_at,
                        ..known.clone()
                    };
                }
                std::cmp::Ordering::Equal if other && !by_api => {
                    self.look = true;
                    new = Told {
                        voided_at,
                        ..known.clone()
                    };
                }
                _ => {}
            }
            if *known == new {
                return;
            }
            self.revision += 1;
        }
        if promised(grant)
            .zip(grant.expires_at)
            .is_some_and(|(promised, ends)| ends < promised)
        {
            let what = "it ends at Stripe before the customer was promised that it does, and does so here";
            tracing::warn!(grant = grant.id, "{what}");
        }
        self.told = Some(new);
    }

    /// A line of Stripe's ledger. It moves what is settled; the balance it never moves, since requests did so in their time (R2).
    fn moved(&mut self, transaction: &Transaction) {
        let signed = match &*transaction.kind {
            "credits_applied" => transaction.value,
            "credits_application_invoice_voided" => -transaction.value,
            kind => {
                let told = self.told.as_ref();
                let explained = match kind {
                    "credits_granted" => told.is_some(),
                    "credits_voided" => told.is_some_and(|told| told.voided_at.is_some()),
                    "credits_expired" => told.is_some_and(|told| told.expires_at.is_some()),
                    _ => true,
                };
                self.look |= !explained;
                return;
            }
        };
        // What does not fit any more is missing in the comparison only, which says so.
        if self.settled.len() < TRANSACTIONS_MAX {
            self.settled.insert(transaction.id.clone(), signed);
        }
    }

    /// What Stripe took of it for invoices, in minor units.
    pub fn applied(&self) -> i64 {
        self.settled
            .values()
            .fold(0, |sum, moved| sum.saturating_add(*moved))
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Result<Option<Want>, Parked> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        if self.told.is_none() || self.look {
            if rules.api {
                return Ok(Some(Want::Look(
                    api::get_credit_grant(id).map_err(|e| e.to_string())?,
                )));
            }
            if self.told.is_none() {
                return Err(
                    "a transaction tells of it, but not what it is; without `api_key` Stripe cannot be asked"
                        .to_owned(),
                );
            }
            self.look = false;
        }
        let Some(told) = self.told.clone() else {
            return Ok(None);
        };
        if self.put == Some(self.revision) {
            return Ok(None);
        }
        let credits = self.worth(&told, rules)?;
        let Some(account) = self.owner.account() else {
            let owner = self.owner.clone();
            return Ok(Some(Want::Owner(Whose::Customer { owner, pays: true })));
        };
        if let (Some(payment), None) = (&self.purchase, &self.lot) {
            let lot = Lot {
                grant: id.to_owned(),
                credits: Amount(credits),
                value: told.value,
            };
            return Ok(Some(Want::Claim {
                payment: payment.clone(),
                lot,
                owner: self.owner.clone(),
            }));
        }
        if self.lot.as_deref().is_some_and(|lot| lot != id) {
            self.put = Some(self.revision);
            return Ok(None);
        }
        let facts = self.facts(id, &told, credits)?;
        Ok(Some(Want::Grant { account, facts }))
    }

    fn worth(&mut self, told: &Told, rules: &Rules) -> Result<Credits, Parked> {
        if let Some(Amount(credits)) = self.credits {
            return Ok(credits);
        }
        let credits = worth(rules, &told.currency, told.value)?;
        self.credits = Some(Amount(credits));
        Ok(credits)
    }

    fn facts(&self, id: &str, told: &Told, credits: Credits) -> Result<GrantFacts, Parked> {
        let priority = u8::try_from(told.priority)
            .ok()
            .filter(|priority| *priority <= PRIORITY_MAX);
        let priority =
            priority.ok_or_else(|| format!("its priority {} is not between 0 and 100", told.priority))?;
        // Two changes of one second are told apart by their number, since of two tellings of one date the ledger keeps the first.
        let nth = Span::from_micros(i64::from(self.revision));
        Ok(GrantFacts {
            id: named(id, GrantId::new)?,
            amount: credits,
            priority,
            category: if told.promotional {
                Category::Promotional
            } else {
                Category::Paid
            },
            effective_at: starts(told.effective_at, told.created),
            expires_at: told.expires_at.map_or(Timestamp::NEVER, time),
            created_at: time(told.created),
            updated_at: time(told.updated).plus(nth),
            voided_at: told.voided_at.map(time),
            note: self.purchase.as_deref().map(Arc::from),
        })
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Claim { .. }, Done::Lot(lot)) => self.lot = Some(lot),
            (Want::Grant { .. }, Done::Done) => self.put = Some(self.revision),
            _ => {}
        }
    }
}

/// What an amount of money is worth in credits; why it cannot be said.
pub(super) fn worth(rules: &Rules, currency: &str, value: i64) -> Result<Credits, Parked> {
    let code: Currency = currency
        .parse()
        .map_err(|_| format!("{currency:?} is no currency"))?;
    let credits = rules.stripe.rates.credits(code, value);
    credits.map_err(|error| error.to_string())
}
