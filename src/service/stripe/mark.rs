//! `fraud_warning:issfr_1`, `review:prv_1`: a mark on a payment that shuts its payer out until it is cleared.

use serde::{Deserialize, Serialize};

use crate::ledger::memos::MemoName;
use crate::stripe::facts::{Fact, Telling};

use super::memo::{Done, Owner, Parked, Rules, Said, Want, Whose};

/// What is remembered of a warning or a review.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkMemo {
    /// Whose payment it is.
    pub owner: Owner,
    /// The payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// It was heard of.
    pub raised: bool,
    /// In the payer's favour; final.
    pub cleared: bool,
    /// The charge, where there is no payment that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
    /// Over, whatever came of it.
    pub closed: bool,
    /// What the account was told.
    pub said: Said,
}

impl MarkMemo {
    pub(super) fn hear(&mut self, telling: &Telling, rules: &Rules) {
        let (Fact::Warning(mark) | Fact::Review(mark)) = &telling.fact else {
            return;
        };
        self.raised |= !rules.is_before(mark.created);
        self.cleared |= mark.cleared;
        self.closed |= mark.closed;
        self.payment = self.payment.take().or_else(|| mark.payment.clone());
        self.charge = self.charge.take().or_else(|| mark.charge.clone());
    }

    pub(super) fn next(&mut self, name: &MemoName, rules: &Rules) -> Result<Option<Want>, Parked> {
        let on = &rules.stripe.on;
        let does = if name.kind() == "review" {
            on.review
        } else {
            on.fraud_warning
        };
        let shut = self.raised && !self.cleared && does.pause;
        if let Some(account) = self.owner.account() {
            return Ok(self.said.change(&account, name.as_str(), shut));
        }
        let whose = match (&self.payment, &self.charge) {
            _ if !shut => return Ok(None),
            (Some(payment), _) => Whose::Payment(payment.clone()),
            (None, Some(charge)) => Whose::Charge(charge.clone()),
            (None, None) => return Err("it names no payment, so nobody knows whose it is".to_owned()),
        };
        Ok(Some(Want::Owner(whose)))
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Change { .. }, _) => self.said.note(want),
            _ => {}
        }
    }
}
