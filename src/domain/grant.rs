//! A grant: a lot of credits with its own priority, start, end and category.

use std::cmp::Ordering;
use std::sync::Arc;

use super::credits::Credits;
use super::ids::GrantId;
use super::time::Timestamp;

/// The most grants an account may have that are not yet used up or over. Stripe's own limit is 100 unused grants per customer; twice as many leaves room
/// for an operator's own.
pub const LIVE_GRANTS_MAX: usize = 200;

/// Lowest burn priority: used last. Stripe's range is 0 (first) to 100 (last), its default 50.
pub const PRIORITY_MAX: u8 = 100;

/// Where the credits come from; paid ones burn after promotional ones of the same priority and end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Category {
    /// Given.
    Promotional,
    /// Bought.
    Paid,
}

/// What is said of a grant from outside; absolute, so that saying it again changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantFacts {
    /// Its name, unique in the account for ever.
    pub id: GrantId,
    /// Above zero; never changes.
    pub amount: Credits,
    /// 0 burns first, [`PRIORITY_MAX`] last.
    pub priority: u8,
    /// Paid or promotional.
    pub category: Category,
    /// From when on it can be spent; in the past means at once.
    pub effective_at: Timestamp,
    /// When what is left of it goes; [`Timestamp::NEVER`] for never.
    pub expires_at: Timestamp,
    /// When its source made it.
    pub created_at: Timestamp,
    /// When its source last changed it: of two tellings the one with the newer date counts.
    pub updated_at: Timestamp,
    /// Ended early, and when. Final.
    pub voided_at: Option<Timestamp>,
    /// A note for people (a purchase's id, a reason).
    pub note: Option<Arc<str>>,
}

/// Where a grant is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GrantState {
    /// Its start lies ahead; counted nowhere.
    Pending,
    /// Can be spent.
    Active,
    /// Expired, but part of it lies under holds opened before; that part goes when they end.
    Ending,
    /// Wholly drawn, expired or voided.
    Ended,
}

/// A grant as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// As told.
    pub facts: GrantFacts,
    /// Where it is.
    pub state: GrantState,
    /// Spending dealt to it so far.
    pub drawn: Credits,
    /// What went when it expired.
    pub expired: Credits,
    /// What went when it was voided.
    pub voided: Credits,
    /// While ending: the sum of the open holds that were open at its end, otherwise zero. What it has left is never more.
    pub guarded: Credits,
    /// While ending: how many entries the account had at its end, otherwise zero. A hold was open then if its [`number`](super::hold::Hold::number) is not above.
    pub ended: u64,
}

impl Grant {
    /// A grant just told of, before anything happened to it.
    pub fn new(facts: GrantFacts) -> Grant {
        Grant {
            facts,
            state: GrantState::Pending,
            drawn: Credits::ZERO,
            expired: Credits::ZERO,
            voided: Credits::ZERO,
            guarded: Credits::ZERO,
            ended: 0,
        }
    }

    /// What is neither drawn, expired nor voided.
    pub fn remaining(&self) -> Credits {
        let gone = self
            .drawn
            .saturating_add(self.expired)
            .saturating_add(self.voided);
        self.facts.amount.saturating_sub(gone)
    }

    /// Its credits counted in `granted` at some time; only then are its start and its amounts fixed.
    pub fn has_started(&self) -> bool {
        match self.state {
            GrantState::Pending => false,
            GrantState::Active | GrantState::Ending => true,
            // One that was told of after its end, or voided before its start, kept its whole amount.
            GrantState::Ended => self.remaining().is_zero(),
        }
    }

    /// Deals up to `most` of spending to it; returns how much it took.
    pub fn draw(&mut self, most: Credits) -> Credits {
        let drawn = most.min(self.remaining()).at_least_zero();
        self.drawn = self.drawn.saturating_add(drawn);
        self.end_if_empty();
        drawn
    }

    /// Nothing is left: it is over.
    pub fn end_if_empty(&mut self) {
        if self.remaining().is_zero() {
            self.end();
        }
    }

    /// It is over.
    pub fn end(&mut self) {
        (self.state, self.guarded, self.ended) = (GrantState::Ended, Credits::ZERO, 0);
    }

    /// It has credits that count in `granted`.
    pub fn is_open(&self) -> bool {
        matches!(self.state, GrantState::Active | GrantState::Ending)
    }

    /// Burn order: priority, then the earlier end, then promotional before paid, then the earlier start, then the earlier made; the id decides ties.
    /// (Stripe's order: docs.stripe.com, billing credits, "How credit grants are applied"; its further ties are open, ours are not.)
    pub fn burns_before(&self, other: &Grant) -> Ordering {
        let rank = |g: &Grant| {
            (
                g.facts.priority,
                g.facts.expires_at,
                g.facts.category,
                g.facts.effective_at,
                g.facts.created_at,
            )
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.facts.id.cmp(&other.facts.id))
    }

    /// When something next happens to it by itself; [`Timestamp::NEVER`] for nothing.
    pub fn next_due(&self) -> Timestamp {
        match self.state {
            GrantState::Pending => self.facts.effective_at,
            GrantState::Active => self.facts.expires_at,
            GrantState::Ending | GrantState::Ended => Timestamp::NEVER,
        }
    }
}
