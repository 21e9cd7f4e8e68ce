//! `purchase:pi_1`: a payment that buys credits: what it bought, which grant stands for it, and what of it was refunded or disputed.

mod clawback;

use serde::{Deserialize, Serialize};

use crate::config::stripe::Mode;
use crate::domain::credits::Credits;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;
use crate::stripe::api;
use crate::stripe::facts::{Charge, Dispute, Fact, Metadata, Payment, Refund, Session, Telling};

use clawback::Clawback;

use super::grant::{EXPIRES_AT, worth};
use super::lot::Lot;
use super::memo::{Amount, Done, Owner, Parked, Rules, Step, Want, Whose, named, starts, time};
use super::top_up::TOP_UP;
use super::verify;

/// The metadata by which a payment says how many credits it buys; `0` for none.
pub(super) const CREDITS: &str = "faregate_credits";

/// The metadata by which a payment says how long its credits last, in seconds from the payment.
pub(super) const EXPIRES_AFTER: &str = "faregate_expires_after";

/// The metadata by which a payment says that its credits are given: `promotional`.
pub(super) const CATEGORY: &str = "faregate_category";

/// The priority of grants that payments make: Stripe's own default.
pub(super) const PRIORITY: u8 = 50;

/// Stripe knows an idempotency key for at least a day, in seconds less an hour.
const KEYS_KNOWN: i64 = 23 * 3_600;

/// So long after what was promised has ended Stripe may still apply it: usage of the last day is invoiced when its month is over, an hour or a few days later.
const APPLIED_UNTIL: i64 = 35 * 86_400;

/// What is remembered of a payment.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PurchaseMemo {
    /// Who pays.
    pub owner: Owner,
    /// The money is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<Paid>,
    /// What its metadata says that it buys.
    #[serde(skip_serializing_if = "Order::is_empty")]
    pub order: Order,
    /// The one grant of the ledger that stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<Lot>,
    /// The ledger knows the lot; only where the payment itself is what credits.
    pub put: bool,
    /// The grant was made at Stripe; only where grants are what credits. Where Stripe refuses, the payment is credited here, and the grant tried again.
    pub made: Step,
    /// How often Stripe refused to make it.
    pub refusals: u32,
    /// How often Stripe was asked to make it and did not say yes or no.
    pub unanswered: u32,
    /// It has just refused: enough for now.
    #[serde(skip)]
    refused_now: bool,
    /// The account's automatic top-ups were told that its customer has paid.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// What was given back, or is disputed.
    pub clawback: Clawback,
    /// As how many credits the account was told that it bought; only where that opens a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Amount>,
}

/// Money that came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paid {
    /// In minor units.
    pub amount: i64,
    /// Lower-case ISO code.
    pub currency: String,
    /// When the payment was made, in seconds since the epoch.
    pub at: i64,
    /// Since when the money is known to be there, in seconds since the epoch: when Stripe's event of it happened; of what the API answered, when the payment
    /// was made, or else when it was asked.
    #[serde(default)]
    pub since: i64,
}

/// What a payment buys, as its metadata says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// [`CREDITS`], as written.
    pub credits: Option<String>,
    /// [`EXPIRES_AFTER`], as written.
    pub expires_after: Option<String>,
    /// [`CATEGORY`].
    pub category: Option<String>,
    /// [`TOP_UP`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_up: Option<String>,
}

impl Order {
    fn is_empty(&self) -> bool {
        *self == Order::default()
    }

    fn learn(&mut self, metadata: &Metadata) {
        for (part, key) in [
            (&mut self.credits, CREDITS),
            (&mut self.expires_after, EXPIRES_AFTER),
            (&mut self.category, CATEGORY),
            (&mut self.top_up, TOP_UP),
        ] {
            *part = part.take().or_else(|| metadata.get(key).cloned());
        }
    }

    /// The credits that were sold; `None` where nothing is said of it.
    fn credits(&self) -> Result<Option<Credits>, Parked> {
        let Some(text) = &self.credits else {
            return Ok(None);
        };
        let credits: Option<Credits> = text.parse().ok().filter(|c: &Credits| !c.is_negative());
        let wrong = || format!("its metadata {CREDITS} is {text:?}, no amount of credits");
        credits.map(Some).ok_or_else(wrong)
    }

    fn expires_at(&self, paid: &Paid) -> Result<Option<i64>, Parked> {
        let Some(text) = &self.expires_after else {
            return Ok(None);
        };
        let seconds = text.parse().ok().filter(|seconds: &i64| *seconds > 0);
        // From when the money was there: a delayed method takes days.
        let from = paid.at.max(paid.since);
        let at = seconds.and_then(|seconds| from.checked_add(seconds));
        let wrong = || format!("its metadata {EXPIRES_AFTER} is {text:?}, no number of seconds");
        at.map(Some).ok_or_else(wrong)
    }

    fn category(&self) -> Category {
        match self.category.as_deref() {
            Some("promotional") => Category::Promotional,
            _ => Category::Paid,
        }
    }
}

impl PurchaseMemo {
    pub(super) fn hear(&mut self, telling: &Telling, rules: &Rules) {
        match &telling.fact {
            Fact::Payment(payment) => self.payment(payment, telling, rules),
            Fact::Session(session) => self.session(session, telling, rules),
            // A payment from before the gate brought nothing that could be taken.
            Fact::Charge(Charge { created, .. })
            | Fact::Refund(Refund { created, .. })
            | Fact::Dispute(Dispute { created, .. })
                if self.lot.is_none() && rules.is_before(*created) => {}
            Fact::Charge(charge) => {
                self.owner
                    .learn(charge.customer.as_deref(), &Metadata::new(), rules);
                self.clawback.charged(charge, telling.at);
            }
            Fact::Refund(refund) => self.clawback.refund(refund, telling.at),
            Fact::Dispute(dispute) => self.clawback.dispute(dispute, telling.at),
            _ => {}
        }
    }

    fn payment(&mut self, payment: &Payment, telling: &Telling, rules: &Rules) {
        self.owner
            .learn(payment.customer.as_deref(), &payment.metadata, rules);
        self.order.learn(&payment.metadata);
        if payment.status == "succeeded" {
            let told = if telling.is_asked() {
                payment.created
            } else {
                telling.at
            };
            let since = self.paid.as_ref().map_or(told, |paid| paid.since);
            self.paid = Some(Paid {
                since,
                amount: payment.received,
                currency: payment.currency.clone(),
                at: payment.created,
            });
        }
    }

    /// A session grants nothing by being complete: only its money does.
    fn session(&mut self, session: &Session, telling: &Telling, rules: &Rules) {
        self.owner
            .learn(session.customer.as_deref(), &session.metadata, rules);
        self.order.learn(&session.metadata);
        if session.payment_status != "paid" || self.paid.is_some() {
            return;
        }
        if let (Some(amount), Some(currency)) = (session.total, &session.currency) {
            self.paid = Some(Paid {
                since: telling.at,
                amount,
                currency: currency.clone(),
                at: session.created,
            });
        }
    }

    /// Another grant would stand for it: the first one does.
    pub(super) fn claim(&mut self, lot: &Lot, owner: &Owner) -> &Lot {
        for (mine, theirs) in [
            (&mut self.owner.customer, &owner.customer),
            (&mut self.owner.account, &owner.account),
        ] {
            *mine = mine.take().or_else(|| theirs.clone());
        }
        self.lot.get_or_insert_with(|| lot.clone())
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Result<Option<Want>, Parked> {
        let buys = self.buys(rules);
        let pays = buys == Ok(true);
        if !pays && !self.clawback.is_heard() && self.lot.is_none() {
            return buys.map(|_| None);
        }
        let Some(account) = self.owner.account() else {
            return self.owner(id, pays, rules);
        };
        // Shut first: whatever else cannot be done must not keep the gate open.
        if let Some(want) = self.clawback.pauses(&account, rules) {
            return Ok(Some(want));
        }
        if buys? && let Some(want) = self.credit(id, rules, &account)? {
            return Ok(Some(want));
        }
        let amount = self.paid.as_ref().map(|paid| paid.amount);
        let want = self
            .clawback
            .next(id, &account, self.lot.as_ref(), amount, rules)?;
        let want = want.or_else(|| self.count(id, &account, rules));
        let is_news = pays && !self.announced && self.order.top_up.is_none();
        // Also where nobody is charged any more: it may be shut for what was owed then.
        let announce = is_news && want.is_none();
        Ok(want.or_else(|| announce.then_some(Want::Bought(account))))
    }

    /// What was bought may open a plan: what is left of it is told, each time that it is another sum.
    fn count(&self, id: &str, account: &AccountId, rules: &Rules) -> Option<Want> {
        let (paid, lot) = (self.paid.as_ref()?, self.lot.as_ref()?);
        let credits = self.clawback.kept(lot.credits.0, paid.amount);
        let news = self.counted != Some(Amount(credits));
        (news && rules.counts_payments()).then(|| {
            Want::Verify(verify::Step::Bought {
                account: account.clone(),
                payment: id.to_owned(),
                credits,
            })
        })
    }

    fn owner(&self, id: &str, buys: bool, rules: &Rules) -> Result<Option<Want>, Parked> {
        let owner = self.owner.clone();
        if !owner.is_nobody() {
            return Ok(Some(Want::Owner(Whose::Customer { owner, pays: buys })));
        }
        if rules.api && self.paid.is_none() {
            let call = api::get_payment(id).map_err(|e| e.to_string())?;
            return Ok(Some(Want::Look(call)));
        }
        Err(format!(
            "nobody knows whose it is: it names no customer, and no account in the metadata {:?}",
            rules.stripe.account_metadata
        ))
    }

    /// Whether it is for this payment that credits are to be given.
    fn buys(&self, rules: &Rules) -> Result<bool, Parked> {
        let Some(paid) = &self.paid else {
            return Ok(false);
        };
        if self.lot.is_none() && rules.is_before(paid.at) {
            return Ok(false);
        }
        let ordered = self.order.credits()?;
        Ok(match (rules.stripe.mode, ordered) {
            (_, Some(credits)) => !credits.is_zero(),
            (Mode::Ledger, None) => true,
            (Mode::Grants, None) => false,
        })
    }

    fn credit(&mut self, id: &str, rules: &Rules, account: &AccountId) -> Result<Option<Want>, Parked> {
        let Some(paid) = self.paid.clone() else {
            return Ok(None);
        };
        let credits = match (&self.lot, self.order.credits()?) {
            // What it was credited by stays, whatever the rate is now.
            (Some(lot), _) => lot.credits.0,
            (None, Some(credits)) => credits,
            (None, None) => worth(rules, &paid.currency, paid.amount)?,
        };
        let by_grant = rules.stripe.mode == Mode::Grants;
        let here = self.lot.as_ref().is_none_or(|lot| lot.grant == own_lot(id));
        if by_grant && self.made.is_open() {
            if !here {
                return Ok(None);
            }
            // Who has paid does not wait for Stripe to answer again.
            let credited = self.put || self.unanswered == 0;
            if credited {
                return self.make(id, rules, &paid, credits).map(Some);
            }
        }
        if !(self.put || by_grant && self.made == Step::Done) {
            return self.lot_here(id, &paid, credits, account, by_grant);
        }
        match &self.made {
            Step::Refused(why) if self.refused_now => {
                Err(format!("it is credited, but not at Stripe: {why}"))
            }
            Step::Refused(_) => self.make(id, rules, &paid, credits).map(Some),
            _ => Ok(None),
        }
    }

    /// The payment itself is what credits.
    fn lot_here(
        &mut self,
        id: &str,
        paid: &Paid,
        credits: Credits,
        account: &AccountId,
        by_grant: bool,
    ) -> Result<Option<Want>, Parked> {
        let grant = own_lot(id);
        let mine = Lot {
            grant: grant.clone(),
            credits: Amount(credits),
            value: paid.amount,
        };
        if by_grant && self.lot.is_none() {
            // A grant of Stripe's may be about to stand for it: one of the two does, and which is written first.
            return Ok(Some(Want::Claim {
                payment: id.to_owned(),
                lot: mine,
                owner: self.owner.clone(),
            }));
        }
        let lot = self.lot.get_or_insert(mine);
        if lot.grant != grant {
            self.put = true;
            return Ok(None);
        }
        let at = time(paid.at);
        let facts = GrantFacts {
            id: named(&grant, GrantId::new)?,
            amount: lot.credits.0,
            priority: PRIORITY,
            category: self.order.category(),
            effective_at: starts(paid.at, paid.at),
            expires_at: self.order.expires_at(paid)?.map_or(Timestamp::NEVER, time),
            created_at: at,
            updated_at: at,
            voided_at: None,
            note: Some(id.into()),
        };
        Ok(Some(Want::Grant {
            account: account.clone(),
            facts,
        }))
    }

    /// Where grants are what credits, a paid order makes one at Stripe; that it was made is heard as of any other.
    fn make(&self, id: &str, rules: &Rules, paid: &Paid, credits: Credits) -> Result<Want, Parked> {
        if !rules.api {
            return Err("without `api_key` no grant can be made at Stripe for what was bought".to_owned());
        }
        let customer = self
            .owner
            .customer
            .clone()
            .ok_or("it names no customer, so no grant can be made at Stripe")?;
        let currency: Currency = paid
            .currency
            .parse()
            .map_err(|_| format!("{:?} is no currency", paid.currency))?;
        let value = rules.stripe.rates.price(currency, credits);
        let mut metadata = Metadata::new();
        if let Some(account) = &self.owner.account {
            metadata.insert(rules.stripe.account_metadata.to_string(), account.clone());
        }
        let promised = self.order.expires_at(paid)?;
        if let Some(at) = promised {
            metadata.insert(EXPIRES_AT.to_owned(), at.to_string());
        }
        let grant = api::NewGrant {
            customer: &customer,
            purchase: id,
            attempt: self.refusals,
            value: value.map_err(|error| error.to_string())?,
            currency,
            category: self.order.category(),
            prices: &[],
            priority: None,
            effective_at: None,
            expires_at: promised.map(|at| at.saturating_add(APPLIED_UNTIL)),
            name: None,
            metadata,
        };
        let call = api::create_credit_grant(&grant).map_err(|error| error.to_string())?;
        Ok(Want::Make {
            call,
            payment: id.to_owned(),
            look_from: paid.at.saturating_add(KEYS_KNOWN),
            customer,
        })
    }

    /// Since when the money was there, where this want, once done, has just made its credits usable.
    pub(super) fn usable(&self, want: &Want) -> Option<i64> {
        let is_made = matches!(want, Want::Make { .. }) && self.made == Step::Done && !self.put;
        let is_put = matches!(want, Want::Grant { .. });
        let paid = self.paid.as_ref().filter(|_| is_made || is_put)?;
        Some(paid.since)
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Make { .. }, Done::Refused(why)) => {
                self.refusals = self.refusals.saturating_add(1);
                self.refused_now = true;
                self.made = Step::Refused(why);
            }
            (Want::Make { .. }, _) => self.made = Step::Done,
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Grant { .. }, _) => self.put = true,
            (Want::Bought(_), _) => self.announced = true,
            (Want::Verify(verify::Step::Bought { credits, .. }), _) => self.counted = Some(Amount(*credits)),
            (want, done) => self.clawback.note(want, &done),
        }
    }
}

/// The ledger's grant of a payment that credits by itself.
fn own_lot(id: &str) -> String {
    format!("purchase:{id}")
}
