//! What goes wrong with calls, by rule or by a seeded plan.

use std::time::Duration;

use super::chance::Chance;

/// One thing that goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Nothing is done, and there is never an answer.
    HangBefore,
    /// It is done, and there is never an answer. A later call with the same key gets it.
    HangAfter,
    /// Nothing is done; the 500 is kept for the key, as Stripe does with what has begun.
    ErrorBefore,
    /// It is done; the 500 is kept for the key.
    ErrorAfter,
    /// 503 from the door: nothing is done, nothing is kept.
    Unavailable,
    /// 429, with `Stripe-Rate-Limited-Reason`.
    RateLimited,
    /// 429 `lock_timeout`, without that header.
    LockTimeout,
    /// It is done, and answered this much later; the key is in use until then.
    Slow(Duration),
    /// Nothing is done, and the connection ends.
    CloseBefore,
    /// It is done, and the connection ends.
    CloseAfter,
    /// Nothing is done: 403, for a restricted key that lacks a right.
    Forbidden,
    /// Nothing is done or kept: this status, and `Stripe-Should-Retry` if one is given.
    Status(u16, Option<bool>),
    /// It is done, and the answer is 200 with a page of HTML, as from a box in between.
    Garbled,
}

/// Faults for calls whose `METHOD path` contains a text.
#[derive(Clone, Debug)]
struct Rule {
    on: String,
    left: usize,
    fault: Fault,
}

/// Chance that any call fails, and how.
#[derive(Debug)]
struct Plan {
    chance: Chance,
    percent: u32,
    faults: Vec<Fault>,
}

/// All that goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    plan: Option<Plan>,
}

impl Faults {
    /// The next `times` calls whose `METHOD path` contains `on` fail like this.
    pub(crate) fn rule(&mut self, on: &str, times: usize, fault: Fault) {
        let on = on.to_owned();
        self.rules.push(Rule {
            on,
            left: times,
            fault,
        });
    }

    /// From now on, so many of a hundred calls fail in one of these ways.
    pub(crate) fn plan(&mut self, seed: u64, percent: u32, faults: &[Fault]) {
        assert!(!faults.is_empty(), "a plan needs faults");
        let (chance, faults) = (Chance::new(seed), faults.to_vec());
        self.plan = Some(Plan {
            chance,
            percent,
            faults,
        });
    }

    /// Nothing fails any more.
    pub(crate) fn clear(&mut self) {
        *self = Faults::default();
    }

    /// What goes wrong with this call.
    pub(crate) fn next(&mut self, call: &str) -> Option<Fault> {
        if let Some(rule) = self
            .rules
            .iter_mut()
            .find(|rule| rule.left > 0 && call.contains(&rule.on))
        {
            rule.left -= 1;
            return Some(rule.fault);
        }
        let plan = self.plan.as_mut()?;
        plan.chance
            .percent(plan.percent)
            .then(|| *plan.chance.pick(&plan.faults))
    }
}
