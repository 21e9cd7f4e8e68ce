//! By what memos decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::stripe::Stripe;
use crate::config::{Config, Plan, Shown};
use crate::domain::ids::PlanId;

/// What the operator decided, and what is at hand.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `[stripe]` of the configuration.
    pub stripe: Arc<Stripe>,
    /// All plans.
    pub plans: BTreeMap<PlanId, Arc<Plan>>,
    /// The plan of accounts that are on none.
    pub default_plan: Option<PlanId>,
    /// Stripe's API can be asked.
    pub api: bool,
}

impl Rules {
    /// Those of a configuration; `None` where it has nothing to do with Stripe.
    pub fn of(config: &Config) -> Option<Rules> {
        let stripe = config.stripe.clone()?;
        Some(Rules {
            api: stripe.api_key.is_some(),
            plans: config.plans.clone(),
            default_plan: config.default_plan.clone(),
            stripe,
        })
    }

    /// What was made at Stripe then, in seconds since the epoch, is from before the gate: it moves nothing.
    pub(super) fn is_before(&self, created: i64) -> bool {
        self.stripe.since.is_some_and(|since| created < since)
    }

    /// Some plan is opened by a card that Stripe verifies.
    pub(super) fn verifies_cards(&self) -> bool {
        self.shown().any(|by| by == Shown::Card)
    }

    /// Some plan is opened by buying.
    pub(super) fn counts_payments(&self) -> bool {
        self.shown().any(|by| matches!(by, Shown::Payment(_)))
    }

    fn shown(&self) -> impl Iterator<Item = Shown> {
        let plans = self.plans.values();
        plans.filter_map(|plan| Some(plan.verify.as_ref()?.by))
    }
}
