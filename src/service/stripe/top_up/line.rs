//! What an account owes on a plan that charges it in slices. The credit line itself bounds what is open: nothing goes beyond it until a slice is paid. A charge
//! that fails takes the line away: the account is paused, for this reason alone, until it owes less than a slice.

use serde::{Deserialize, Serialize};

use crate::config::stripe::Stripe;
use crate::domain::credits::Credits;
use crate::domain::ids::AccountId;
use crate::domain::money::{Currency, MoneyError};
use crate::stripe::facts::Metadata;

use super::super::memo::{Amount, Parked, Rules, Said, Want, named};
use super::super::purchase::CREDITS;
use super::{BACK_OFF, Charge, DAY, Held, Means, Past, Stand, TOP_UP, TopUpMemo, Why};

/// Within so many seconds of the word that credits are taken back they are.
const TAKEN_WITHIN: i64 = 60;

/// The most slices of an account that are charged in 24 hours, paid or not: whatever goes wrong has an end there.
const SLICES_PER_DAY: usize = 100;

/// Why an account is shut that has not paid a slice. Which slice it was stands in its memo.
pub const SHUT: &str = "line";

/// What is remembered of what is owed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// A charge has failed, and what was owed is owed: until when it is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Held>,
    /// How many have failed since the last that did not.
    pub failures: u32,
    /// What the account was told.
    pub said: Said,
}

impl Line {
    /// Nothing was ever wrong.
    pub(super) fn is_untold(&self) -> bool {
        *self == Line::default()
    }

    pub(super) fn fail(&mut self, why: Why, now: i64) {
        let waits = matches!(why, Why::Declined | Why::Refused);
        let wait = BACK_OFF.get(self.failures as usize).filter(|_| waits);
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(Held {
            why,
            since: now,
            until: wait.map_or(i64::MAX, |wait| now.saturating_add(*wait)),
        });
    }

    /// A charge of what was owed was paid. Whether more is owed, since something else was taken back meanwhile, is looked at next.
    pub(super) fn paid(&mut self) {
        if self.failed.is_none_or(|failed| failed.why != Why::TakenBack) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.failed = None;
        self.failures = 0;
    }

    /// The customer has paid for something: what is still owed may be tried at once.
    pub(super) fn retry(&mut self) {
        self.failures = 0;
        if let Some(failed) = self.failed.as_mut().filter(|failed| failed.why != Why::TakenBack) {
            failed.until = failed.since;
        }
    }

    /// Credits are about to be taken back: what is owed then is not known yet.
    fn is_being_taken(&self, now: i64) -> bool {
        let taken =
            |failed: Held| failed.why == Why::TakenBack && now < failed.since.saturating_add(TAKEN_WITHIN);
        self.failed.is_some_and(taken)
    }

    pub(super) fn note(&mut self, want: &Want) {
        self.said.note(want);
    }
}

impl TopUpMemo {
    /// The account is shut for what it owes, and may not know yet that it owes no more.
    pub fn is_shut(&self) -> bool {
        self.line.failed.is_some()
    }

    /// Shuts and opens the account for what it owes, and charges that.
    pub(super) fn settle_line(
        &mut self,
        account: &str,
        stand: &Stand,
        rules: &Rules,
    ) -> Result<Option<Want>, Parked> {
        let owes = stand.every.is_some_and(|every| stand.owes >= every);
        if !owes && !self.line.is_being_taken(stand.now) {
            self.line.forget();
        }
        let id = named(account, AccountId::new)?;
        let shut = owes && self.line.failed.is_some();
        if let Some(want) = self.line.said.change(&id, SHUT, shut) {
            return Ok(Some(want));
        }
        let waits = self.line.failed.is_some_and(|failed| stand.now < failed.until);
        let enough = stand.full || self.slices_of_day(stand.now) >= SLICES_PER_DAY;
        if !owes || waits || self.looked || !stand.chargeable || enough {
            return Ok(None);
        }
        let payer = match (&stand.customer, &self.means) {
            (None, _) => None,
            (Some(customer), None) => {
                return Ok(Some(self.look_for_means(customer.clone(), true)));
            }
            (Some(customer), Some(means)) => means.method.clone().map(|method| (customer.clone(), method)),
        };
        self.looked = true;
        let Some((customer, method)) = payer else {
            let why = self.means.as_ref().map_or(Why::NoCard, Means::why_none);
            self.line.fail(why, stand.now);
            return self.settle_line(account, stand, rules);
        };
        self.charge_owed(account, customer, method, stand, rules)
            .map(Some)
    }

    fn slices_of_day(&self, now: i64) -> usize {
        let today = |past: &&Past| past.owed && past.at.saturating_add(DAY) > now;
        self.past.iter().filter(today).count()
    }

    fn charge_owed(
        &mut self,
        account: &str,
        customer: String,
        method: String,
        stand: &Stand,
        rules: &Rules,
    ) -> Result<Want, Parked> {
        let currency = self.means.as_ref().and_then(|means| means.currency);
        let (amount, currency, credits) = priced(stand.owes, currency, &rules.stripe)?;
        self.number += 1;
        let attempt = format!("top_up.{account}.{}", self.number);
        let metadata = Metadata::from([
            (rules.stripe.account_metadata.to_string(), account.to_owned()),
            (CREDITS.to_owned(), credits.to_string()),
            (TOP_UP.to_owned(), attempt.clone()),
        ]);
        self.under_way_now(Charge {
            attempt,
            amount,
            currency: currency.to_string(),
            credits: Amount(credits),
            customer,
            method,
            description: "Credits used".to_owned(),
            metadata,
            at: stand.now,
            asked_at: stand.now,
            payment: None,
            owed: true,
        })
    }
}

/// What is charged for so many credits: in minor units, of what, and how many credits that is worth.
fn priced(
    owes: Credits,
    paid_in: Option<Currency>,
    stripe: &Stripe,
) -> Result<(i64, Currency, Credits), Parked> {
    let listed = |currency: &Currency| stripe.rates.get(*currency).is_some();
    let sold_in = stripe.packs.iter().map(|pack| pack.currency);
    let first = stripe.rates.iter().map(|(currency, _)| currency);
    let mut all = paid_in.into_iter().chain(sold_in).chain(first);
    let currency = all
        .find(listed)
        .ok_or("no currency is listed in credits_per_unit")?;
    let said = |error: MoneyError| error.to_string();
    let price = stripe.rates.price(currency, owes).map_err(said)?;
    let amount = price.max(currency.charge_min());
    let credits = stripe.rates.credits(currency, amount).map_err(said)?;
    Ok((amount, currency, credits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_to_be_taken_back_is_not_forgotten_before_it_is_owed() {
        let mut line = Line::default();
        line.fail(Why::TakenBack, 100);
        assert!(line.is_being_taken(100 + TAKEN_WITHIN - 1) && !line.is_being_taken(100 + TAKEN_WITHIN));
        // Neither by a charge that was under way nor by a pack.
        line.paid();
        line.retry();
        let until = line.failed.map(|failed| (failed.why, failed.until));
        assert_eq!(until, Some((Why::TakenBack, i64::MAX)));
        line.fail(Why::Declined, 100);
        assert!(!line.is_being_taken(100));
        line.paid();
        assert!(line.is_untold());
    }
}
