//! The grant of the ledger that stands for a purchase.

use serde::{Deserialize, Serialize};

use crate::domain::credits::Credits;
use crate::domain::grant::{Category, Grant, GrantFacts, GrantState};
use crate::domain::ids::GrantId;
use crate::domain::time::Timestamp;

use super::memo::{Amount, Parked, named};

/// Which it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lot {
    /// Its id in the ledger.
    pub grant: String,
    /// What was sold.
    pub credits: Amount,
    /// For how much, in minor units: what a refund is measured by where the payment itself is not known.
    pub value: i64,
}

/// How it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What is gone of it without having been spent or taken: it was voided, has expired, or never began.
    pub gone: Credits,
    /// As what its credits come back; `None` where the ledger does not know it.
    pub back: Option<Back>,
}

/// As what credits come back that were taken of a lot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Back {
    /// Given, not bought.
    pub promotional: bool,
    /// 0 burns first.
    pub priority: u8,
    /// From when on, in microseconds since the epoch.
    pub at: i64,
    /// When they end, in microseconds since the epoch.
    pub expires_at: i64,
}

impl Back {
    /// So many of them, as a grant of this id, for a payment.
    pub(super) fn facts(&self, id: &str, amount: Credits, payment: &str) -> Result<GrantFacts, Parked> {
        let at = Timestamp::from_micros(self.at);
        Ok(GrantFacts {
            id: named(id, GrantId::new)?,
            amount,
            priority: self.priority,
            category: if self.promotional {
                Category::Promotional
            } else {
                Category::Paid
            },
            effective_at: at,
            expires_at: Timestamp::from_micros(self.expires_at),
            created_at: at,
            updated_at: at,
            voided_at: None,
            note: Some(payment.into()),
        })
    }
}

impl Standing {
    /// That of a grant which has begun, or ended without.
    pub fn of(lot: &Grant, now: Timestamp) -> Standing {
        let facts = &lot.facts;
        let never_began = lot.state == GrantState::Ended && !lot.has_started();
        let expires_at = if facts.expires_at > now {
            facts.expires_at
        } else {
            // It was sold for so long, and could not be spent while it was taken: they live as long again.
            now.plus(facts.expires_at.since(facts.effective_at))
        };
        Standing {
            gone: if never_began {
                facts.amount
            } else {
                lot.voided.saturating_add(lot.expired)
            },
            back: Some(Back {
                promotional: facts.category == Category::Promotional,
                priority: facts.priority,
                at: now.micros(),
                expires_at: expires_at.micros(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(expires_at: Timestamp) -> Grant {
        Grant::new(GrantFacts {
            id: GrantId::new("purchase:pi_1").unwrap(),
            amount: "50".parse().unwrap(),
            priority: 7,
            category: Category::Paid,
            effective_at: Timestamp::from_micros(1_000),
            expires_at,
            created_at: Timestamp::from_micros(1_000),
            updated_at: Timestamp::from_micros(1_000),
            voided_at: None,
            note: None,
        })
    }

    fn ends(expires_at: Timestamp, now: i64) -> i64 {
        let standing = Standing::of(&lot(expires_at), Timestamp::from_micros(now));
        let back = standing.back.unwrap();
        assert_eq!((back.promotional, back.priority, back.at), (false, 7, now));
        back.expires_at
    }

    #[test]
    fn what_comes_back_ends_as_its_lot_would_have_or_lives_as_long_again() {
        assert_eq!(ends(Timestamp::from_micros(5_000), 4_999), 5_000);
        assert_eq!(ends(Timestamp::from_micros(5_000), 5_000), 9_000);
        assert_eq!(ends(Timestamp::from_micros(5_000), 70_000), 74_000);
        assert_eq!(ends(Timestamp::NEVER, 70_000), Timestamp::NEVER.micros());
    }

    #[test]
    fn of_a_lot_that_ended_before_it_began_all_is_gone() {
        let now = Timestamp::from_micros(70_000);
        let mut ended = lot(Timestamp::NEVER);
        assert_eq!(Standing::of(&ended, now).gone, Credits::ZERO);
        ended.end();
        assert_eq!(Standing::of(&ended, now).gone, ended.facts.amount);
        ended.draw("20".parse().unwrap());
        ended.expired = "30".parse().unwrap();
        assert_eq!(Standing::of(&ended, now).gone, "30".parse().unwrap());
    }
}
