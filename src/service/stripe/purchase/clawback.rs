//! What of a payment was given back or is disputed, and what follows: credits taken from its grant first, or given back; the account paused.
//!
//! What is to be taken is a sum, not a series of events: so much is refunded or disputed now, so much shall be taken. Each change is one adjustment with its
//! own number, so that partial refunds, repeats and disputes that are won later stay exact.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::credits::Credits;
use crate::domain::ids::{AccountId, CommandId, GrantId};
use crate::stripe::facts::{Charge, Dispute, Refund};

use super::super::lot::{Back, Lot, Standing};
use super::super::memo::{Amount, Done, Parked, Rules, Said, Want, named};

/// The most refunds, disputes and adjustments of one payment.
const EACH_MAX: usize = 200;

/// What is remembered of refunds and disputes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Clawback {
    /// The charge's own sums, by the newest telling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charge: Option<Charged>,
    /// Refunds by id.
    pub refunds: BTreeMap<String, Refunded>,
    /// Disputes by id.
    pub disputes: BTreeMap<String, Disputed>,
    /// What was taken (below zero) and given back (above), in order; an adjustment's number is its place, from 1.
    pub moves: Vec<Move>,
    /// What was voided of the lot when that was last looked at, and what had been taken by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voided: Option<(Amount, Amount)>,
    /// The lot was looked at for the sum that is wanted now.
    pub looked: bool,
    /// As what its credits would come back, by then.
    #[serde(skip)]
    back: Option<Back>,
    /// What the account was told.
    pub said: Said,
}

/// A charge's sums in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Charged {
    /// What was charged.
    pub amount: i64,
    /// What of it was refunded.
    pub refunded: i64,
    /// As of when.
    pub at: i64,
}

/// A refund, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refunded {
    /// How much.
    pub amount: i64,
    /// It did not reach the payer.
    pub failed: bool,
    /// As of when.
    pub at: i64,
}

/// A dispute, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disputed {
    /// How much.
    pub amount: i64,
    /// Stripe's word.
    pub status: String,
    /// As of when.
    pub at: i64,
}

impl Disputed {
    /// An inquiry moves nothing; one that was won or prevented no longer does. What has a name that nobody knows yet counts.
    fn counts(&self) -> bool {
        !self.status.starts_with("warning_") && !matches!(&*self.status, "won" | "prevented")
    }

    /// Of two tellings of one second, the later stage.
    fn stage(&self) -> u8 {
        match &*self.status {
            "warning_needs_response" | "needs_response" => 0,
            "warning_under_review" | "under_review" => 1,
            _ => 2,
        }
    }
}

/// An adjustment of the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// Below zero: taken.
    pub credits: Amount,
    /// The ledger knows it.
    pub done: bool,
    /// Above zero: as what they come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<Back>,
}

impl Clawback {
    pub(super) fn charged(&mut self, charge: &Charge, at: i64) {
        let known = self.charge.as_ref();
        let newer = known.is_none_or(|known| (at, charge.refunded) >= (known.at, known.refunded));
        if newer {
            self.charge = Some(Charged {
                amount: charge.amount,
                refunded: charge.refunded,
                at,
            });
        }
    }

    pub(super) fn refund(&mut self, refund: &Refund, at: i64) {
        let failed = matches!(&*refund.status, "failed" | "canceled");
        let full = self.refunds.len() >= EACH_MAX;
        let known = self.refunds.get(&refund.id);
        // A refund that failed has failed for good.
        if known.is_some_and(|known| known.failed || known.at > at) || known.is_none() && full {
            return;
        }
        let refunded = Refunded {
            amount: refund.amount,
            failed,
            at,
        };
        self.refunds.insert(refund.id.clone(), refunded);
    }

    pub(super) fn dispute(&mut self, dispute: &Dispute, at: i64) {
        let new = Disputed {
            amount: dispute.amount,
            status: dispute.status.clone(),
            at,
        };
        let full = self.disputes.len() >= EACH_MAX;
        let known = self.disputes.get(&dispute.id);
        if known.is_some_and(|known| (at, new.stage()) < (known.at, known.stage())) || known.is_none() && full
        {
            return;
        }
        self.disputes.insert(dispute.id.clone(), new);
    }

    /// Something was told that may take credits or shut the account.
    pub(super) fn is_heard(&self) -> bool {
        self.charge.is_some() || !self.refunds.is_empty() || !self.disputes.is_empty()
    }

    /// What was given back of the money, in minor units: by the charge's own sum, less what failed after it was told; or by the refunds, where they are more.
    fn refunded(&self) -> i64 {
        let reached = self.refunds.values().filter(|refund| !refund.failed);
        let reached = reached.fold(0, |sum: i64, refund| sum.saturating_add(refund.amount));
        let Some(charge) = &self.charge else {
            return reached;
        };
        let failed = self.refunds.values().filter(|r| r.failed && r.at >= charge.at);
        let failed = failed.fold(0, |sum: i64, refund| sum.saturating_add(refund.amount));
        charge.refunded.saturating_sub(failed).max(reached)
    }

    /// What of the money is gone or in doubt.
    fn gone(&self, rules: &Rules) -> i64 {
        let on = &rules.stripe.on;
        let mut gone = 0i64;
        if on.refund.claw_back {
            gone = self.refunded();
        }
        if on.dispute.claw_back {
            let counted = self.disputes.values().filter(|dispute| dispute.counts());
            gone = counted.fold(gone, |sum, dispute| sum.saturating_add(dispute.amount));
        }
        gone.max(0)
    }

    /// What of so many credits was not refunded and is not disputed, whatever is done about that; they were sold for `amount`.
    pub(super) fn kept(&self, credits: Credits, amount: i64) -> Credits {
        let disputed = self.disputes.values().filter(|dispute| dispute.counts());
        let gone = disputed.fold(self.refunded(), |sum, dispute| sum.saturating_add(dispute.amount));
        credits.saturating_sub(share(credits, gone.max(0), amount))
    }

    /// What has been taken, or is about to be.
    fn taken(&self) -> Credits {
        let sum: Credits = self.moves.iter().map(|m| m.credits.0).sum();
        sum.negated()
    }

    /// Whether the account is shut for a dispute, or no longer.
    pub(super) fn pauses(&mut self, account: &AccountId, rules: &Rules) -> Option<Want> {
        let Clawback { disputes, said, .. } = self;
        disputes.iter().find_map(|(dispute, disputed)| {
            let shut = disputed.counts() && rules.stripe.on.dispute.pause;
            said.change(account, &format!("dispute:{dispute}"), shut)
        })
    }

    /// What is to be taken or given back next.
    pub(super) fn next(
        &mut self,
        id: &str,
        account: &AccountId,
        lot: Option<&Lot>,
        paid: Option<i64>,
        rules: &Rules,
    ) -> Result<Option<Want>, Parked> {
        let Some(lot) = lot else {
            return Ok(None);
        };
        let amount = paid
            .or_else(|| Some(self.charge.as_ref()?.amount))
            .unwrap_or(lot.value);
        let due = share(lot.credits.0, self.gone(rules), amount);
        if self.owing(due) != Credits::ZERO {
            if !self.looked {
                return Ok(Some(Want::Lot {
                    account: account.clone(),
                    grant: named(&lot.grant, GrantId::new)?,
                }));
            }
            if self.moves.len() >= EACH_MAX {
                return Err(format!(
                    "its refunds and disputes changed more than {EACH_MAX} times"
                ));
            }
            let credits = Amount(self.owing(due).negated());
            let back = self.back.take().filter(|_| !credits.0.is_negative());
            let done = false;
            self.moves.push(Move { credits, done, back });
        }
        self.looked = false;
        let Some(number) = self.moves.iter().position(|m| !m.done) else {
            return Ok(None);
        };
        let Amount(amount) = self.moves[number].credits;
        if let Some(back) = &self.moves[number].back {
            return Ok(Some(Want::GiveBack {
                account: account.clone(),
                facts: back.facts(&format!("back:{id}:{}", number + 1), amount, id)?,
            }));
        }
        let takes = amount.is_negative();
        Ok(Some(Want::Adjust {
            account: account.clone(),
            id: named(&format!("claw:{id}:{}", number + 1), CommandId::new)?,
            amount,
            from: if takes {
                Some(named(&lot.grant, GrantId::new)?)
            } else {
                None
            },
        }))
    }

    /// What is still to be taken so that `due` is; below zero, to be given back. A void has taken its part of the lot already.
    fn owing(&self, due: Credits) -> Credits {
        let shall = match self.voided {
            Some((Amount(voided), Amount(before))) if !voided.is_zero() => {
                due.saturating_sub(voided).max(before)
            }
            _ => due,
        };
        shall.saturating_sub(self.taken())
    }

    pub(super) fn note(&mut self, want: &Want, done: &Done) {
        match (want, done) {
            (Want::Change { .. }, _) => self.said.note(want),
            (Want::Lot { .. }, Done::Standing(Standing { gone: credits, back })) => {
                self.looked = true;
                self.back.clone_from(back);
                if !credits.is_zero() && self.voided.is_none() {
                    self.voided = Some((Amount(*credits), Amount(self.taken())));
                }
            }
            (Want::Adjust { .. } | Want::GiveBack { .. }, _) => {
                if let Some(first) = self.moves.iter_mut().find(|m| !m.done) {
                    first.done = true;
                }
            }
            _ => {}
        }
    }
}

/// The part of `credits` that `gone` is of `amount`; all of them when all is gone. Rounded down.
fn share(credits: Credits, gone: i64, amount: i64) -> Credits {
    if gone >= amount || amount <= 0 {
        return if gone > 0 { credits } else { Credits::ZERO };
    }
    let part = i128::from(credits.micros()) * i128::from(gone) / i128::from(amount);
    i64::try_from(part)
        .ok()
        .and_then(|micros| Credits::from_micros(micros).ok())
        .unwrap_or(credits)
}
