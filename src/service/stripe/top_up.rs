//! `top_up:acme`: an account is charged without its customer there, and what came of it so far. A pack is bought whenever its credits run low, as its customer
//! asked for; and what it owes is charged, where its plan says so ([`line`]).
//!
//! At most one charge is under way. It is written down, whole, before Stripe is asked for it: whoever finds it afterwards finds out what became of it, and asks
//! for the very same if need be. The next one comes only when the credits of the last are there.

mod charge;
mod line;
mod why;

use serde::{Deserialize, Serialize};

use crate::config::stripe::{Pack, TopUp};
use crate::domain::credits::Credits;
use crate::domain::money::Currency;
use crate::service::watch::Mark;
use crate::stripe::api;

use super::memo::{Amount, Done, Parked, Rules, Want};
pub use charge::{Came, Charge, Past};
pub use line::{Line, SHUT};
pub use why::{Held, Why};

/// The metadata by which a payment says which charge of which account it is.
pub(super) const TOP_UP: &str = "faregate_top_up";

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;

/// After the first and the second time in a row that a card was declined, so long is waited; after the third for somebody to do something.
const BACK_OFF: [i64; 2] = [HOUR, 6 * HOUR];

/// The most charges that are remembered: more than caps count.
const PAST_MAX: usize = 1_000;

/// The most failed charges of an account in 24 hours, however often its customer sets it anew: nobody tries stolen cards here.
const FAILED_MAX: usize = 6;

/// The most cards that are remembered as refused for good.
const REFUSED_MAX: usize = 8;

/// What is remembered of an account.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TopUpMemo {
    /// What its customer asked for; none: nothing is bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wish: Option<Wish>,
    /// How many charges were begun; each has a number of its own, for ever.
    pub number: u64,
    /// The one that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<Charge>,
    /// Those of the last 30 days, oldest first.
    pub past: Vec<Past>,
    /// How many have failed since the last that did not.
    pub failures: u32,
    /// Why nothing is bought for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// With what the last charge failed: another is taken where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_method: Option<String>,
    /// What must not be tried again, as the bank said; the last [`REFUSED_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What is owed, where that is charged.
    #[serde(skip_serializing_if = "Line::is_untold")]
    pub line: Line,
    #[serde(skip)]
    stand: Option<Stand>,
    #[serde(skip)]
    means: Option<Means>,
    /// It was looked at: enough for now.
    #[serde(skip)]
    looked: bool,
    /// What is under way was decided just now, and not asked for yet.
    #[serde(skip)]
    fresh: bool,
}

/// What a customer asked for, for this price and no other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// The pack's id.
    pub pack: String,
    /// In minor units.
    pub price: i64,
    /// Of what, lower-case ISO code.
    pub currency: String,
    /// What it brings.
    pub credits: Amount,
    /// How long that lasts, in seconds; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<i64>,
    /// As what it is booked.
    #[serde(default)]
    pub category: String,
    /// It is bought when less than this is available.
    pub below: Amount,
    /// The most credits that are bought in any 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_month: Option<Amount>,
}

impl Wish {
    /// To have this pack bought.
    pub fn new(pack: &Pack, below: Credits, per_month: Option<Credits>) -> Wish {
        Wish {
            pack: pack.id.to_string(),
            price: pack.price,
            currency: pack.currency.to_string(),
            credits: Amount(pack.credits),
            expires_after: pack.expires_after.map(|life| life.micros() / 1_000_000),
            category: pack.category_str().to_owned(),
            below: Amount(below),
            per_month: per_month.map(Amount),
        }
    }

    fn is_of(&self, pack: &Pack) -> bool {
        Wish::new(pack, self.below.0, self.per_month.map(|most| most.0)) == *self
    }
}

/// How an account stands, as of now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stand {
    /// Seconds since the epoch.
    pub now: i64,
    /// What it has; none: there is no such account, or it is paused.
    pub available: Option<Credits>,
    /// What it has used beyond what it had, what is held left out; zero where it has not.
    pub owes: Credits,
    /// From which debt on that is charged; none: it is not.
    pub every: Option<Credits>,
    /// It is there, and paused for nothing but what it owes.
    pub chargeable: bool,
    /// The ledger may have no room for one more grant of it.
    pub full: bool,
    /// Which customer of Stripe's it is.
    pub customer: Option<String>,
}

/// With what a customer can be charged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Means {
    /// The payment method.
    pub method: Option<String>,
    /// There are some, all of them refused for good.
    pub refused: bool,
    /// In what the customer pays, where what is owed is charged.
    pub currency: Option<Currency>,
    /// No more grants can be made at Stripe.
    pub full: bool,
}

impl Means {
    fn why_none(&self) -> Why {
        if self.refused {
            Why::CardRefused
        } else {
            Why::NoCard
        }
    }
}

impl TopUpMemo {
    /// The customer asks for this, or for nothing; all begins anew, but for what is under way.
    pub fn set(&mut self, wish: Option<Wish>) {
        self.wish = wish;
        self.begin_anew();
    }

    /// The customer has paid for something on a page.
    pub fn bought(&mut self) {
        if self.held.is_none_or(|held| held.why != Why::TakenBack) {
            self.begin_anew();
        }
        self.line.retry();
    }

    /// Credits are taken back, since money was given back or is disputed: what is missing then is not charged.
    pub fn taken_back(&mut self, now: i64) {
        if self.wish.is_some() {
            self.hold(Why::TakenBack, now, i64::MAX);
        }
        self.line.fail(Why::TakenBack, now);
    }

    fn begin_anew(&mut self) {
        self.failures = 0;
        self.held = None;
    }

    /// Why nothing is bought at this time, and until when.
    pub fn trouble(&self, now: i64, settings: &TopUp) -> Option<(Why, i64)> {
        if self.under_way.as_ref().is_some_and(|charge| !charge.owed) {
            return Some((Why::UnderWay, 0));
        }
        if let Some(held) = self.held {
            return Some((held.why, held.until));
        }
        let most = self.wish.as_ref().and_then(|wish| wish.per_month);
        let next = self.wish.as_ref().map_or(Credits::ZERO, |wish| wish.credits.0);
        let until = [
            self.full(now, DAY, settings.charges_per_day as usize, |past| past.paid),
            self.full(now, MONTH, settings.charges_per_month as usize, |past| past.paid),
            self.full(now, DAY, FAILED_MAX, |past| !past.paid),
            most.and_then(|most| self.bought_enough(now, most.0, next)),
        ];
        let until = until.into_iter().flatten().max()?;
        Some((Why::Cap, until))
    }

    /// Until when there are `most` of these in the last so many seconds.
    fn full(&self, now: i64, within: i64, most: usize, which: impl Fn(&Past) -> bool) -> Option<i64> {
        let ends = |past: &Past| past.at.saturating_add(within);
        let counted = self.past.iter().filter(|past| !past.owed && which(past));
        let counted: Vec<i64> = counted.map(ends).collect();
        let running: Vec<i64> = counted.into_iter().filter(|end| *end > now).collect();
        let first = running.len().checked_sub(most)?;
        running.get(first).copied()
    }

    /// Until when what was bought in the last 30 days leaves no room for the `next`.
    fn bought_enough(&self, now: i64, most: Credits, next: Credits) -> Option<i64> {
        let mut until = None;
        let mut sum = next;
        for past in self.past.iter().rev().filter(|past| past.paid && !past.owed) {
            let end = past.at.saturating_add(MONTH);
            sum = sum.saturating_add(past.credits.0);
            if end > now && sum > most {
                until = until.or(Some(end));
            }
        }
        until
    }

    /// What of the account is watched; nothing where nothing can be bought.
    pub fn mark(&self, now: i64, settings: &TopUp) -> Option<Mark> {
        let wish = self.wish.as_ref()?;
        let trouble = self.trouble(now, settings);
        Some(Mark {
            below: wish.below.0,
            not_before: trouble.map_or(0, |(_, until)| until),
            trouble: trouble.map(|(why, _)| why.said()),
        })
    }

    pub(super) fn next(&mut self, account: &str, rules: &Rules) -> Result<Option<Want>, Parked> {
        if let Some(charge) = &self.under_way {
            return match &charge.payment {
                Some(payment) => Ok(Some(Want::Credited(payment.clone()))),
                None => self.ask_for(charge).map(Some),
            };
        }
        if !rules.stripe.slices.is_empty() || !self.line.is_untold() {
            let Some(stand) = self.stand.clone() else {
                return Ok(Some(Want::Stand));
            };
            if let Some(want) = self.settle_line(account, &stand, rules)? {
                return Ok(Some(want));
            }
        }
        let Some(settings) = &rules.stripe.top_up else {
            return Ok(None);
        };
        if self.wish.is_none() || self.looked {
            return Ok(None);
        }
        let Some(stand) = self.stand.clone() else {
            return Ok(Some(Want::Stand));
        };
        let Some((pack, customer)) = self.due(&stand, settings, rules) else {
            self.looked = true;
            return Ok(None);
        };
        let Some(means) = self.means.clone() else {
            return Ok(Some(self.look_for_means(customer, false)));
        };
        let now = stand.now;
        match means.method {
            None => self.hold(means.why_none(), now, i64::MAX),
            Some(_) if means.full || stand.full => {
                self.hold(Why::TooManyGrants, now, now.saturating_add(HOUR))
            }
            Some(method) => return self.begin(account, pack, customer, method, now, rules).map(Some),
        }
        self.looked = true;
        Ok(None)
    }

    /// What is to be bought now, and by whom.
    fn due<'a>(&mut self, stand: &Stand, settings: &TopUp, rules: &'a Rules) -> Option<(&'a Pack, String)> {
        let wish = self.wish.as_ref()?;
        self.held = self.held.filter(|held| stand.now < held.until);
        let low = stand.available.is_some_and(|available| available < wish.below.0);
        if !low || self.trouble(stand.now, settings).is_some() {
            return None;
        }
        let pack = rules.stripe.pack(&wish.pack).filter(|pack| wish.is_of(pack));
        let Some(pack) = pack else {
            self.hold(Why::PackChanged, stand.now, i64::MAX);
            return None;
        };
        let Some(customer) = stand.customer.clone() else {
            self.hold(Why::NoCard, stand.now, i64::MAX);
            return None;
        };
        Some((pack, customer))
    }

    fn look_for_means(&self, customer: String, owed: bool) -> Want {
        Want::Means {
            customer,
            bad: self.bad_method.clone(),
            refused: self.refused.clone(),
            owed,
        }
    }

    fn hold(&mut self, why: Why, now: i64, until: i64) {
        self.held = Some(Held {
            why,
            since: now,
            until,
        });
    }

    /// Decides on the next charge.
    fn begin(
        &mut self,
        account: &str,
        pack: &Pack,
        customer: String,
        method: String,
        now: i64,
        rules: &Rules,
    ) -> Result<Want, Parked> {
        self.number += 1;
        let attempt = format!("top_up.{account}.{}", self.number);
        let mut metadata = super::sales::metadata_of(account, pack, rules);
        metadata.insert(TOP_UP.to_owned(), attempt.clone());
        let charge = Charge {
            attempt,
            amount: pack.price,
            currency: pack.currency.to_string(),
            credits: Amount(pack.credits),
            customer,
            method,
            description: pack.name.to_string(),
            metadata,
            at: now,
            asked_at: now,
            payment: None,
            owed: false,
        };
        self.under_way_now(charge)
    }

    fn under_way_now(&mut self, charge: Charge) -> Result<Want, Parked> {
        self.fresh = true;
        let want = self.ask_for(&charge)?;
        self.under_way = Some(charge);
        Ok(want)
    }

    fn ask_for(&self, charge: &Charge) -> Result<Want, Parked> {
        let currency: Currency = charge
            .currency
            .parse()
            .map_err(|_| format!("{:?} is no currency", charge.currency))?;
        let payment = api::NewPayment {
            attempt: &charge.attempt,
            customer: &charge.customer,
            method: &charge.method,
            amount: charge.amount,
            currency,
            description: Some(&charge.description),
            metadata: charge.metadata.clone(),
        };
        let call = api::create_payment(&payment).map_err(|error| error.to_string())?;
        Ok(Want::Charge {
            call,
            charge: Box::new(charge.clone()),
            fresh: self.fresh,
            below: self.wish.as_ref().map(|wish| wish.below.0),
        })
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Stand, Done::Stand(stand)) => self.stand = Some(stand),
            (Want::Means { .. }, Done::Means(means)) => {
                self.means = Some(means);
                // Stripe may have taken its time: it is looked once more, right before the charge.
                self.stand = None;
            }
            (Want::Credited(_), Done::Done) => {
                self.stand = None;
                self.over(true);
            }
            (_, Done::Charged(came, now)) => self.came(came, now),
            (want, _) => self.line.note(want),
        }
    }

    fn came(&mut self, came: Came, now: i64) {
        match came {
            Came::Made(payment) => {
                if let Some(charge) = &mut self.under_way {
                    charge.payment = Some(payment);
                }
            }
            Came::Wanted => {
                if let Some(charge) = &mut self.under_way {
                    charge.asked_at = now;
                }
                self.fresh = true;
            }
            Came::Dropped => {
                self.under_way = None;
                self.looked = true;
            }
            Came::Refused(why) => {
                self.bad_method = self.under_way.as_ref().map(|charge| charge.method.clone());
                if why == Why::CardRefused {
                    self.refused.extend(self.bad_method.clone());
                    let too_many = self.refused.len().saturating_sub(REFUSED_MAX);
                    self.refused.drain(..too_many);
                }
                let owed = self.under_way.as_ref().is_some_and(|charge| charge.owed);
                self.stand = None;
                self.over(false);
                if owed {
                    return self.line.fail(why, now);
                }
                let waits = matches!(why, Why::Declined | Why::Refused);
                let wait = BACK_OFF.get(self.failures as usize).filter(|_| waits);
                self.failures = self.failures.saturating_add(1);
                self.hold(why, now, wait.map_or(i64::MAX, |wait| now.saturating_add(*wait)));
            }
        }
    }

    fn over(&mut self, paid: bool) {
        self.looked = true;
        let Some(charge) = self.under_way.take() else {
            return;
        };
        if paid {
            self.bad_method = None;
        }
        match charge.owed {
            true if paid => self.line.paid(),
            false if paid => self.begin_anew(),
            _ => {}
        }
        // Of slices only a day is counted, so that they do not push out what is counted for a month.
        let counted = |past: &Past| if past.owed { DAY } else { MONTH };
        self.past
            .retain(|past| past.at.saturating_add(counted(past)) > charge.at);
        self.past.push(Past {
            at: charge.at,
            amount: charge.amount,
            currency: charge.currency,
            credits: charge.credits,
            paid,
            owed: charge.owed,
        });
        let too_many = self.past.len().saturating_sub(PAST_MAX);
        self.past.drain(..too_many);
    }
}

#[cfg(test)]
mod tests;
