//! Which hold's turn it is: to expire, to be forgotten. Kept beside the state so that a sweep looks only at what is due.
//!
//! An index that may know too much, never too little: what it names is looked up in the state before anything happens to it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::domain::command::HOLDS_REMEMBERED;
use crate::domain::engine::State;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ids::{AccountId, HoldId};
use crate::domain::time::Timestamp;

/// A hold and the time that counts.
pub(super) type Timer = (Timestamp, AccountId, HoldId);

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// By expiry; a renewal adds a second one.
    expiring: BinaryHeap<Reverse<Timer>>,
    /// By end, which is the order in which they come; a later correction adds a second one.
    ended: VecDeque<Timer>,
}

impl Timers {
    /// For all holds of a state.
    pub(super) fn of(state: &State) -> Timers {
        let mut timers = Timers::default();
        let mut holds: Vec<&Hold> = state.books().flat_map(|b| b.holds.values()).collect();
        holds.sort_by_key(|h| (h.expires_at, h.id));
        for hold in holds {
            timers.saw(hold);
        }
        timers
    }

    /// A hold is new or has changed.
    pub(super) fn saw(&mut self, hold: &Hold) {
        let timer = (hold.expires_at, hold.account.clone(), hold.id);
        match hold.state {
            HoldState::Open => self.expiring.push(Reverse(timer)),
            HoldState::Captured | HoldState::Released | HoldState::Expired => self.ended.push_back(timer),
        }
    }

    /// Takes out at most `limit` open holds that have run out.
    pub(super) fn take_expired(&mut self, state: &State, now: Timestamp, limit: usize) -> Vec<Timer> {
        let mut expired = Vec::new();
        for _ in 0..limit.saturating_mul(4) {
            let due = self.expiring.peek().is_some_and(|Reverse((at, ..))| *at <= now);
            if !due || expired.len() == limit {
                break;
            }
            let Some(Reverse(timer)) = self.expiring.pop() else {
                break;
            };
            let hold = find(state, &timer);
            if hold.is_some_and(|h| h.state == HoldState::Open && h.expires_at <= now) {
                expired.push(timer);
            }
        }
        expired
    }

    /// Takes out at most `limit` ended holds whose ids need not be remembered any more.
    pub(super) fn take_forgettable(&mut self, state: &State, now: Timestamp, limit: usize) -> Vec<Timer> {
        let mut forgettable = Vec::new();
        for _ in 0..limit.saturating_mul(4) {
            let old = |(at, ..): &Timer| now.since(*at) > HOLDS_REMEMBERED;
            if forgettable.len() == limit || !self.ended.front().is_some_and(old) {
                break;
            }
            let Some(timer) = self.ended.pop_front() else {
                break;
            };
            let hold = find(state, &timer);
            if hold.is_some_and(|h| h.state != HoldState::Open && h.expires_at == timer.0) {
                forgettable.push(timer);
            }
        }
        forgettable
    }

    /// Nothing became of what was taken out.
    pub(super) fn put_back(&mut self, expired: Vec<Timer>, forgettable: Vec<Timer>) {
        self.expiring.extend(expired.into_iter().map(Reverse));
        for timer in forgettable.into_iter().rev() {
            self.ended.push_front(timer);
        }
    }
}

fn find<'s>(state: &'s State, (_, account, hold): &Timer) -> Option<&'s Hold> {
    state.book(account)?.holds.get(hold)
}
