//! What an account or a key may do per minute, at once, per day and per month; and how much of it is used up.

use super::credits::Credits;
use super::refusal::{Refusal, Scope, Window};
use super::time::{Span, Timestamp};

const MINUTE: Span = Span::from_secs(60);

/// Caps of an account or a key; `None` is no cap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Requests in any minute (GCRA: a full minute's worth may come at once, then evenly).
    pub requests_per_minute: Option<u64>,
    /// Tokens in any minute, counted as quoted.
    pub tokens_per_minute: Option<u64>,
    /// Open holds at once.
    pub concurrent: Option<u64>,
    /// Credits spent and held in one UTC day.
    pub spend_per_day: Option<Credits>,
    /// Credits spent and held in one UTC month.
    pub spend_per_month: Option<Credits>,
}

impl Limits {
    /// No cap at all.
    pub const NONE: Limits = Limits {
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrent: None,
        spend_per_day: None,
        spend_per_month: None,
    };

    /// These caps, and where one is not set, the other's.
    pub fn or(self, other: Limits) -> Limits {
        Limits {
            requests_per_minute: self.requests_per_minute.or(other.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(other.tokens_per_minute),
            concurrent: self.concurrent.or(other.concurrent),
            spend_per_day: self.spend_per_day.or(other.spend_per_day),
            spend_per_month: self.spend_per_month.or(other.spend_per_month),
        }
    }
}

/// How much of the caps an account or a key has used up. Part of its hot record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauge {
    /// Open holds.
    pub open: u64,
    /// Credits in open holds.
    pub held: Credits,
    /// GCRA's theoretical arrival time for requests.
    pub requests_at: Timestamp,
    /// GCRA's theoretical arrival time for tokens.
    pub tokens_at: Timestamp,
    /// The UTC day that `day_spent` belongs to.
    pub day: i64,
    /// Credits spent in that day.
    pub day_spent: Credits,
    /// The UTC month that `month_spent` belongs to ([`Timestamp::month`]).
    pub month: i64,
    /// Credits spent in that month.
    pub month_spent: Credits,
}

/// What a request asks of the caps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Tokens quoted.
    pub tokens: u64,
    /// The least it must be able to spend; zero for a free request, to which the caps on spending and holds do not apply.
    pub least: Credits,
}

impl Gauge {
    /// Passes the caps on rate, then on concurrency, or says which refuses. On success the gauge has counted the request's rate.
    pub fn pass(
        &mut self,
        limits: &Limits,
        scope: Scope,
        demand: Demand,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let limited = |retry_after| Refusal::RateLimited { scope, retry_after };
        let requests_at = arrive(self.requests_at, limits.requests_per_minute, 1, now).map_err(limited)?;
        let tokens_at =
            arrive(self.tokens_at, limits.tokens_per_minute, demand.tokens, now).map_err(limited)?;
        if let Some(limit) = limits.concurrent
            && !demand.least.is_zero()
            && self.open >= limit
        {
            return Err(Refusal::TooManyConcurrent { scope, limit });
        }
        (self.requests_at, self.tokens_at) = (requests_at, tokens_at);
        Ok(())
    }

    /// The most that may still be held under the caps on spending, or the refusal of the first that leaves less than `least`.
    pub fn room(
        &self,
        limits: &Limits,
        scope: Scope,
        least: Credits,
        now: Timestamp,
    ) -> Result<Credits, Refusal> {
        let mut room = Credits::MAX;
        let day_spent = if self.day == now.day() {
            self.day_spent
        } else {
            Credits::ZERO
        };
        let month_spent = if self.month == now.month() {
            self.month_spent
        } else {
            Credits::ZERO
        };
        for (cap, spent, window, resets_at) in [
            (
                limits.spend_per_day,
                day_spent,
                Window::Day,
                Timestamp::next_day as fn(Timestamp) -> Timestamp,
            ),
            (
                limits.spend_per_month,
                month_spent,
                Window::Month,
                Timestamp::next_month,
            ),
        ] {
            let Some(limit) = cap else { continue };
            let left = limit.saturating_sub(spent).saturating_sub(self.held);
            if left < least {
                return Err(Refusal::SpendLimitReached {
                    scope,
                    window,
                    limit,
                    spent,
                    resets_at: resets_at(now),
                });
            }
            room = room.min(left);
        }
        Ok(room)
    }

    /// A hold of `amount` was opened.
    pub fn open(&mut self, amount: Credits) {
        self.open += 1;
        self.held = self.held.saturating_add(amount);
    }

    /// A hold of `amount` ended.
    pub fn close(&mut self, amount: Credits) {
        self.open = self.open.saturating_sub(1);
        self.held = self.held.saturating_sub(amount);
    }

    /// `amount` was spent (or, below zero, given back) at `now`. What is given back in a later window than it was spent in does not raise that window's cap.
    pub fn spend(&mut self, amount: Credits, now: Timestamp) {
        if self.day != now.day() {
            (self.day, self.day_spent) = (now.day(), Credits::ZERO);
        }
        if self.month != now.month() {
            (self.month, self.month_spent) = (now.month(), Credits::ZERO);
        }
        self.day_spent = self.day_spent.saturating_add(amount).at_least_zero();
        self.month_spent = self.month_spent.saturating_add(amount).at_least_zero();
    }
}

/// GCRA with a burst of one minute's worth: the new theoretical arrival time, or how long to wait.
/// A single demand above a whole minute's worth passes when nothing else was asked for lately. A cap of zero refuses whatever asks for more than nothing.
fn arrive(at: Timestamp, per_minute: Option<u64>, cost: u64, now: Timestamp) -> Result<Timestamp, Span> {
    let Some(per_minute) = per_minute else {
        return Ok(at);
    };
    if cost == 0 {
        return Ok(at);
    }
    if per_minute == 0 {
        return Err(MINUTE);
    }
    let minute = MINUTE.micros().unsigned_abs();
    let micros = (u128::from(cost) * u128::from(minute)).div_ceil(u128::from(per_minute));
    let increment = Span::from_micros(
        i64::try_from(micros)
            .unwrap_or(i64::MAX)
            .min(Timestamp::NEVER.micros() / 2),
    );
    let base = at.max(now);
    let next = base.plus(increment);
    let ahead = next.since(now);
    let waits = if increment > MINUTE {
        base.since(now)
    } else {
        Span::from_micros(ahead.micros() - MINUTE.micros())
    };
    if waits > Span::ZERO { Err(waits) } else { Ok(next) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn sixty_a_minute_passes_sixty_at_once_then_one_a_second() {
        let mut tat = Timestamp::ZERO;
        for _ in 0..60 {
            tat = arrive(tat, Some(60), 1, at(0)).unwrap();
        }
        assert_eq!(arrive(tat, Some(60), 1, at(0)), Err(Span::from_secs(1)));
        assert!(arrive(tat, Some(60), 1, at(1)).is_ok());
    }

    #[test]
    fn a_demand_above_the_minute_passes_when_the_minute_is_free() {
        let tat = arrive(Timestamp::ZERO, Some(1_000), 5_000, at(0)).unwrap();
        assert_eq!(
            arrive(tat, Some(1_000), 1, at(0)),
            Err(Span::from_micros(240_060_000))
        );
        assert!(arrive(tat, Some(1_000), 1, at(241)).is_ok());
    }

    #[test]
    fn a_new_day_and_a_new_month_begin_at_nothing() {
        let limits = Limits {
            spend_per_day: Some("1".parse().unwrap()),
            ..Limits::NONE
        };
        let mut gauge = Gauge::default();
        gauge.spend("1".parse().unwrap(), at(0));
        let least = "0.5".parse().unwrap();
        assert!(matches!(
            gauge.room(&limits, Scope::Key, least, at(0)),
            Err(Refusal::SpendLimitReached {
                window: Window::Day,
                ..
            })
        ));
        assert_eq!(
            gauge.room(&limits, Scope::Key, least, at(86_400)),
            Ok("1".parse().unwrap())
        );
    }
}
