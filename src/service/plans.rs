//! Plans: which routes they open, which caps and which credit line they give. Made from the configuration; a request keeps the plans it began with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::domain::credits::Credits;
use crate::domain::ids::PlanId;
use crate::domain::key::{Caller, Identity};
use crate::domain::limits::Limits;
use crate::domain::model::NamePattern;

/// What a plan gives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Ids of the routes it opens; `None` opens all.
    pub routes: Option<HashSet<Arc<str>>>,
    /// Models it opens; `None` opens all.
    pub models: Option<Vec<NamePattern>>,
    /// Caps of an account that has none of its own.
    pub limits: Limits,
    /// How far below zero an account may go.
    pub credit_line: Credits,
    /// What opens another plan.
    pub verify: Option<Opens>,
    /// What an account owes is to be charged whenever it is so much.
    pub bill_every: Option<Credits>,
}

/// What opens another plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opens {
    /// Which.
    pub plan: PlanId,
    /// By what: `card`, `charge` or `payment`.
    pub by: &'static str,
}

/// All plans.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plans {
    plans: HashMap<PlanId, Plan>,
    /// For accounts without a plan.
    default: Plan,
    /// For accounts on a plan that is no longer configured: nothing is open to them.
    none: Plan,
}

impl Plans {
    /// All plans, and what an account without one gets.
    pub fn new(plans: HashMap<PlanId, Plan>, default: Plan) -> Plans {
        let none = Plan {
            routes: Some(HashSet::new()),
            ..Plan::default()
        };
        Plans { plans, default, none }
    }

    /// The plan of an account. One that names a plan which does not exist gets nothing: closed by default.
    pub fn of(&self, plan: Option<&PlanId>) -> &Plan {
        match plan {
            None => &self.default,
            Some(id) => self.plans.get(id).unwrap_or(&self.none),
        }
    }

    /// What an account on this plan has to do for a route and model that it does not open; `None` where nothing that it could do opens them.
    pub fn way_to<'a>(&'a self, plan: &'a Plan, route: &str, model: Option<&str>) -> Option<&'a Opens> {
        let first = plan.verify.as_ref()?;
        let mut next = Some(first);
        // Plans that open each other are no circle, which the configuration sees to.
        for _ in 0..=self.plans.len() {
            let plan = self.plans.get(&next?.plan)?;
            if plan.opens(route) && model.is_none_or(|model| plan.opens_model(model)) {
                return Some(first);
            }
            next = plan.verify.as_ref();
        }
        None
    }

    /// The caller that an identity makes under these plans.
    pub(super) fn caller(&self, identity: &Identity) -> Caller {
        let plan = self.of(identity.plan.as_ref());
        Caller {
            account: identity.account.clone(),
            key: identity.key.clone(),
            key_expires_at: identity.key_expires_at,
            key_limits: identity.key_limits,
            limits: identity.limits.or(plan.limits),
            credit_line: plan.credit_line,
            version: identity.version,
        }
    }
}

impl Plan {
    /// Whether it opens a route.
    pub fn opens(&self, route: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.contains(route))
    }

    /// Whether it opens a model, by the name that is asked for.
    pub fn opens_model(&self, name: &str) -> bool {
        let any = |models: &Vec<NamePattern>| models.iter().any(|model| model.matches(name));
        self.models.as_ref().is_none_or(any)
    }

    /// Whether it opens some of the models of these names.
    pub fn opens_any_of(&self, names: &[NamePattern]) -> bool {
        let meets = |own: &NamePattern| names.iter().any(|name| own.meets(name));
        self.models.as_ref().is_none_or(|models| models.iter().any(meets))
    }
}
