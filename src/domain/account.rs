//! An account: settings that people change, counters that requests change.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::credits::Credits;
use super::ids::{AccountId, PlanId, Reason};
use super::limits::{Gauge, Limits};
use super::time::Timestamp;

/// The most reasons an account may be paused for at once.
pub const REASONS_MAX: usize = 64;

/// What people and programs decide about an account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The plan of the configuration it is on.
    pub plan: Option<PlanId>,
    /// Why it is paused. It is active when there is no reason, so that clearing one never lifts another.
    pub reasons: BTreeSet<Reason>,
    /// Its own caps, which go before its plan's.
    pub limits: Limits,
}

/// What went below the floor (zero, or minus the credit line) by a named cause, in total. Never by admit or extend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exceptions {
    /// An upstream produced more than it was told to.
    pub overrun: Credits,
    /// A capture came after its hold had expired.
    pub late: Credits,
    /// A grant was voided under an open hold, or an adjustment took what was not there.
    pub clawback: Credits,
}

/// An account as the ledger keeps it: all that admit and capture need, whatever its history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// When it was made.
    pub created_at: Timestamp,
    /// What was decided about it.
    pub settings: Arc<Settings>,
    /// Rises with each change of the settings or of the keys.
    pub version: u64,
    /// Credits of the grants that became effective, with adjustments.
    pub granted: Credits,
    /// Credits charged.
    pub spent: Credits,
    /// Credits that expired.
    pub expired: Credits,
    /// Credits that were voided.
    pub voided: Credits,
    /// Open holds and what counts towards the caps.
    pub gauge: Gauge,
    /// Taken by adjustments below zero, in total: dealt out to grants as spending is.
    pub taken: Credits,
    /// How much of `spent + taken` has been dealt out to grants.
    pub dealt: Credits,
    /// What went below the floor.
    pub exceptions: Exceptions,
    /// When a grant next starts or expires.
    pub next_due: Timestamp,
    /// A grant is [`super::grant::GrantState::Ending`]: the end of a hold must look at the grants.
    pub ending: bool,
    /// How many journal entries it has; the last one's number.
    pub entries: u64,
    /// The journal's sequence number of its last entry; 0 for none.
    pub last_entry: u64,
}

impl Account {
    /// A new account with nothing in it.
    pub fn new(id: AccountId, plan: Option<PlanId>, now: Timestamp) -> Account {
        Account {
            id,
            created_at: now,
            settings: Arc::new(Settings {
                plan,
                ..Settings::default()
            }),
            version: 1,
            granted: Credits::ZERO,
            spent: Credits::ZERO,
            expired: Credits::ZERO,
            voided: Credits::ZERO,
            gauge: Gauge::default(),
            taken: Credits::ZERO,
            dealt: Credits::ZERO,
            exceptions: Exceptions::default(),
            next_due: Timestamp::NEVER,
            ending: false,
            entries: 0,
            last_entry: 0,
        }
    }

    /// Where its credits are.
    pub fn balance(&self) -> Balance {
        Balance {
            granted: self.granted,
            held: self.gauge.held,
            spent: self.spent,
            expired: self.expired,
            voided: self.voided,
        }
    }

    /// What it can still spend; below zero after a named exception.
    pub fn available(&self) -> Credits {
        self.balance().available()
    }

    /// Spending (and taking) that is not dealt out to grants yet: recent, or a debt that no grant covers.
    ///
    /// Less than nothing is dealt when a late capture gave back part of a charge: that part stays with the account, the next spending
    /// uses it up first, and it does not expire.
    pub fn undealt(&self) -> Credits {
        self.spent
            .saturating_sub(self.dealt)
            .saturating_add(self.taken)
            .at_least_zero()
    }

    /// Everything that ever counted in `granted`, gifts included; grows only. Kept in range, so that every sum over its grants is.
    pub fn lifetime(&self) -> Credits {
        self.granted.saturating_add(self.taken)
    }
}

/// Where an account's credits are: `granted = available + held + spent + expired + voided`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Balance {
    /// Became effective, with adjustments.
    pub granted: Credits,
    /// Under open holds.
    pub held: Credits,
    /// Charged.
    pub spent: Credits,
    /// Expired.
    pub expired: Credits,
    /// Voided.
    pub voided: Credits,
}

impl Balance {
    /// What is left.
    pub fn available(&self) -> Credits {
        // One after the other: each step lies between `granted` and the result, so all are exact when that is in range.
        [self.spent, self.held, self.expired, self.voided]
            .into_iter()
            .fold(self.granted, Credits::saturating_sub)
    }
}
