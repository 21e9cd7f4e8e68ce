//! `fraud_warning:issfr_1`, `review:prv_1`: a mark on a payment that shuts its payer out until it is cleared.

use serde::{Deserialize, Serialize};

use crate::ledger::memos::MemoName;
use crate::stripe::facts::{Fact, Telling};

use super::memo::{Done, Owner, Rules, Said, Want, Whose};

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
        self.payment = self.payment.take().or_else(|| mark.payment.clone());
    }

    pub(super) fn next(&mut self, name: &MemoName, rules: &Rules) -> Option<Want> {
        let on = &rules.stripe.on;
        let does = if name.kind() == "review" {
            on.review
        } else {
            on.fraud_warning
        };
        let shut = self.raised && !self.cleared && does.pause;
        match (self.owner.account(), &self.payment) {
            (Some(account), _) => self.said.change(&account, name.as_str(), shut),
            (None, Some(payment)) if shut => Some(Want::Owner(Whose::Payment(payment.clone()))),
            _ => None,
        }
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Change { .. }, _) => self.said.note(want),
            _ => {}
        }
    }
}
