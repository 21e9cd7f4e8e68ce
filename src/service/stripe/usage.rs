//! `usage:acme`: what an account used and Stripe has not been told yet. The journal says what was used; it is reported in sums, each once.
//!
//! The memo knows up to which entry of the journal it has counted, so that reading the journal again counts nothing twice; and the one sum that is on its way, with
//! its identifier, so that a crash or a lost answer sends the same again.

use serde::{Deserialize, Serialize};

use crate::stripe::api;

use super::memo::{Done, Parked, Rules, Want};

/// For so long after it was made up a sum may be sent again: Stripe knows an identifier for 24 hours.
const AGAIN_WITHIN: i64 = 23 * 3_600;

/// What is remembered of an account's usage.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageMemo {
    /// Stripe's customer.
    pub customer: Option<String>,
    /// The number of the last entry of the journal that is counted.
    pub through: u64,
    /// Counted, and not on its way: micro-credits.
    pub open: i64,
    /// When the last of it was used, in seconds since the epoch.
    pub used_at: i64,
    /// When it was counted.
    pub counted_at: i64,
    /// On its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sum>,
    /// How many were made up.
    pub sums: u64,
    /// What Stripe was told in all: micro-credits.
    pub sent: i64,
    /// It has just been refused: enough for now.
    #[serde(skip)]
    refused: Option<String>,
}

/// A sum on its way to Stripe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// Which one, from 1.
    pub number: u64,
    /// Micro-credits; below zero where more was given back than used.
    pub micros: i64,
    /// When the last of it was used.
    pub used_at: i64,
    /// When it was made up, at the latest.
    pub made_at: i64,
}

/// What one entry of the journal adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Used {
    pub(super) entry: u64,
    pub(super) micros: i64,
    pub(super) at: i64,
}

impl UsageMemo {
    /// Whose usage it is; the first one stays.
    pub(super) fn of(&mut self, customer: &str) {
        self.customer.get_or_insert_with(|| customer.to_owned());
    }

    /// Counts entries, in their order; those that were counted before are left out.
    pub(super) fn count(&mut self, used: &[Used], now: i64) {
        for one in used.iter().filter(|one| one.entry > self.through) {
            self.open = self.open.saturating_add(one.micros);
            self.used_at = one.at;
            self.counted_at = now;
        }
        self.through = used.iter().map(|one| one.entry).fold(self.through, u64::max);
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Result<Option<Want>, Parked> {
        let (Some(usage), Some(customer)) = (&rules.stripe.usage, &self.customer) else {
            return Ok(None);
        };
        if let Some(why) = self.refused.take() {
            return Err(why);
        }
        if self.sending.is_none() && self.open != 0 {
            self.sums += 1;
            self.sending = Some(Sum {
                number: self.sums,
                micros: std::mem::take(&mut self.open),
                used_at: self.used_at,
                made_at: self.counted_at,
            });
        }
        let Some(sum) = &self.sending else {
            return Ok(None);
        };
        let identifier = format!("u:{customer}:{}:{}", sum.made_at, sum.number);
        let event = api::MeterEvent {
            event_name: &usage.event_name,
            customer_key: "stripe_customer_id",
            customer,
            value_key: "value",
            value: sum.micros,
            identifier: &identifier,
            timestamp: sum.used_at,
        };
        let call = api::create_meter_event(&event)
            .map_err(|error| format!("the usage of {id} cannot be reported: {error}"))?;
        Ok(Some(Want::Call {
            step: "report",
            call,
            before: Some(sum.made_at.saturating_add(AGAIN_WITHIN)),
        }))
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Call { .. }, Done::Refused(why)) => self.refused = Some(why),
            (Want::Call { .. }, _) => {
                if let Some(sum) = self.sending.take() {
                    self.sent = self.sent.saturating_add(sum.micros);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(entry: u64, micros: i64) -> Used {
        Used {
            entry,
            micros,
            at: 1_795_000_000,
        }
    }

    #[test]
    fn an_entry_counts_once_however_often_the_journal_is_read() {
        let mut memo = UsageMemo::default();
        memo.count(&[used(3, 10), used(7, 5)], 1);
        memo.count(&[used(3, 10), used(7, 5), used(9, -2)], 2);
        memo.count(&[used(7, 5)], 3);
        assert_eq!((memo.open, memo.through), (13, 9));
    }
}
