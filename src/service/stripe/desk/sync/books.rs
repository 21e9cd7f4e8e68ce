//! Whether Stripe's sums and ours agree. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::domain::grant::Grant;
use crate::stripe::facts::{self, Transaction};

use super::super::super::grant::GrantMemo;
use super::super::super::memo::Amount;

/// A customer's sums in one currency that do not agree. Minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Drift {
    /// Stripe's customer.
    pub customer: String,
    /// The accounts that its grants fill.
    pub accounts: Vec<String>,
    /// Lower-case ISO code.
    pub currency: String,
    /// What Stripe's ledger has left.
    pub stripe: i64,
    /// What it should have left, by the lots that are here and what was applied of them.
    pub expected: i64,
    /// The difference: above zero, Stripe has granted what is not here.
    pub drift: i64,
}

/// A grant of Stripe's, and whether it is here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lot {
    pub(super) id: String,
    pub(super) account: Option<String>,
    pub(super) currency: String,
    /// Minor units.
    pub(super) value: i64,
    /// Seconds since the epoch.
    pub(super) effective_at: i64,
    /// Our ledger has it.
    pub(super) here: bool,
    /// What Stripe applied of it to invoices, as our memos heard.
    pub(super) applied: i64,
}

/// The currencies in which the sums do not agree. See the module above for what they mean.
pub(super) fn drift(
    customer: &str,
    lots: &[Lot],
    lines: &[Transaction],
    balances: &BTreeMap<String, i64>,
    now: i64,
) -> Vec<Drift> {
    let granted: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.kind == "credits_granted")
        .map(|line| &*line.grant)
        .collect();
    let mut expected: BTreeMap<&str, i64> = balances.keys().map(|code| (&**code, 0)).collect();
    for lot in lots {
        let sum = expected.entry(&lot.currency).or_default();
        // One that begins later may be in Stripe's sum already: its own lines tell.
        if lot.here && (lot.effective_at <= now || granted.contains(&*lot.id)) {
            *sum = sum.saturating_add(lot.value);
        }
        *sum = sum.saturating_sub(lot.applied);
    }
    for line in lines {
        if matches!(&*line.kind, "credits_expired" | "credits_voided") {
            let sum = expected.entry(&line.currency).or_default();
            *sum = sum.saturating_sub(line.value);
        }
    }
    let differs = |(currency, expected): (&str, i64)| {
        let stripe = balances.get(currency).copied().unwrap_or(0);
        let accounts: BTreeSet<&String> = lots
            .iter()
            .filter(|lot| lot.currency == currency)
            .filter_map(|lot| lot.account.as_ref())
            .collect();
        (stripe != expected).then(|| Drift {
            customer: customer.to_owned(),
            accounts: accounts.into_iter().cloned().collect(),
            currency: currency.to_owned(),
            stripe,
            expected,
            drift: stripe.saturating_sub(expected),
        })
    };
    expected.into_iter().filter_map(differs).collect()
}

/// In what a grant of Stripe's is not in our ledger as it should be.
pub(super) fn difference(grant: &facts::Grant, memo: &GrantMemo, ours: Option<&Grant>) -> Option<String> {
    let Some(told) = &memo.told else {
        return Some("nothing is known of it here".to_owned());
    };
    if told.value != grant.value || told.currency != grant.currency {
        return Some(format!(
            "at Stripe it is {} {}, here it was told to be {} {}",
            grant.value, grant.currency, told.value, told.currency
        ));
    }
    let Some(ours) = ours else {
        return Some("the ledger does not have it; `faregate stripe parked` may say why".to_owned());
    };
    if memo
        .credits
        .is_some_and(|Amount(credits)| credits != ours.facts.amount)
    {
        return Some(format!(
            "the ledger has it with {} credits instead of {}",
            ours.facts.amount,
            memo.credits
                .map_or_else(String::new, |Amount(credits)| credits.to_string())
        ));
    }
    let own = ours.facts.id.as_str() == grant.id;
    (own && grant.voided_at.is_some() && ours.facts.voided_at.is_none())
        .then(|| "it is void at Stripe, and not in the ledger".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(value: i64, applied: i64) -> Lot {
        Lot {
            id: format!("credgr_{value}"),
            account: Some("acme".to_owned()),
            currency: "usd".to_owned(),
            value,
            effective_at: 100,
            here: true,
            applied,
        }
    }

    fn line(grant: &str, kind: &str, value: i64) -> Transaction {
        Transaction {
            id: "cbtxn_1".to_owned(),
            grant: grant.to_owned(),
            kind: kind.to_owned(),
            value,
            currency: "usd".to_owned(),
            invoice: None,
        }
    }

    fn drifts(lots: &[Lot], lines: &[Transaction], balance: i64) -> Vec<i64> {
        let balances = BTreeMap::from([("usd".to_owned(), balance)]);
        drift("cus_1", lots, lines, &balances, 200)
            .iter()
            .map(|drift| drift.drift)
            .collect()
    }

    #[test]
    fn r12_the_worked_example_does_not_drift_at_any_point_of_it() {
        assert_eq!(drifts(&[lot(5000, 0)], &[], 5000), [0; 0]);
        assert_eq!(drifts(&[lot(5000, 3120)], &[], 1880), [0; 0]);
        assert_eq!(drifts(&[lot(5000, 0)], &[], 1880), [-3120], "a line was missed");
    }

    #[test]
    fn r12_what_is_not_here_shows_with_its_size_and_what_stripe_ended_does_not() {
        let missing = Lot {
            here: false,
            ..lot(700, 0)
        };
        assert_eq!(drifts(&[lot(5000, 0), missing], &[], 5700), [700]);
        let expired = [line("credgr_5000", "credits_expired", 4000)];
        assert_eq!(drifts(&[lot(5000, 1000)], &expired, 0), [0; 0]);
        let void = [line("credgr_5000", "credits_voided", 5000)];
        assert_eq!(drifts(&[lot(5000, 0)], &void, 0), [0; 0]);
    }

    #[test]
    fn r12_one_that_begins_later_counts_when_stripe_counts_it() {
        let later = Lot {
            effective_at: 300,
            ..lot(5000, 0)
        };
        assert_eq!(drifts(std::slice::from_ref(&later), &[], 0), [0; 0]);
        let granted = [line("credgr_5000", "credits_granted", 5000)];
        assert_eq!(drifts(&[later], &granted, 5000), [0; 0]);
    }

    #[test]
    fn r12_currencies_do_not_make_up_for_one_another() {
        let euros = Lot {
            currency: "eur".to_owned(),
            ..lot(100, 0)
        };
        let balances = BTreeMap::from([("usd".to_owned(), 100), ("eur".to_owned(), 0)]);
        let found = drift("cus_1", &[euros], &[], &balances, 200);
        let found: Vec<(&str, i64)> = found.iter().map(|d| (&*d.currency, d.drift)).collect();
        assert_eq!(found, [("eur", -100), ("usd", 100)]);
    }
}
