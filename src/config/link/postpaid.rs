//! What plans say of owing and being charged for it, held against what is set for Stripe.

use std::collections::BTreeMap;

use super::super::plan::{Plan, RawPlan};
use super::super::section::Section;
use super::super::stripe::{RawStripe, Slices};
use crate::domain::credits::Credits;
use crate::domain::ids::PlanId;

/// What is owed can be charged, is charged once, and is enough to be charged.
pub(in crate::config) fn check(
    s: &Section<'_>,
    plans: &[(String, Option<RawPlan>)],
    stripe: Option<&RawStripe>,
) {
    if stripe.is_none() && s.has("stripe") {
        return;
    }
    for plan in plans.iter().filter_map(|(_, plan)| plan.as_ref()) {
        let Some(place) = &plan.bills else {
            continue;
        };
        if let Some((what, advice)) = cannot_be_charged(plan.plan.bill_every, stripe) {
            s.problem(place, what, advice);
        }
    }
}

fn cannot_be_charged(every: Option<Credits>, stripe: Option<&RawStripe>) -> Option<(String, String)> {
    let said = |what: &str, advice: &str| Some((what.to_owned(), advice.to_owned()));
    let Some(stripe) = stripe.filter(|stripe| stripe.has_key()) else {
        return said(
            "is done by calls to Stripe, and there is no [stripe] with an api_key",
            "add it, or take this out",
        );
    };
    if stripe.reports_usage() {
        return said(
            "charges what Stripe invoices too, with [stripe.usage]: it would be paid twice",
            "take one of the two out",
        );
    }
    if !stripe.sells() {
        return said(
            "leaves who cannot be charged no way to pay: there are no [[stripe.packs]]",
            "add a pack, and [stripe.checkout]; its page is also where the card comes from",
        );
    }
    let every = every?;
    for (currency, _) in stripe.rates().iter() {
        let least = currency.charge_min();
        let price = stripe.rates().price(currency, every).ok()?;
        if price < least {
            let worth = stripe.rates().credits(currency, least).ok()?;
            return Some((
                format!(
                    "is {}, and Stripe charges {} at least",
                    currency.show(price),
                    currency.show(least)
                ),
                format!("take {worth} or more"),
            ));
        }
    }
    None
}

/// What is charged of accounts by their plan, where Stripe can be asked to.
pub(super) fn slices(
    raw: &RawStripe,
    plans: Option<&BTreeMap<String, Option<Plan>>>,
    default: Option<&PlanId>,
) -> Slices {
    let plans = plans.into_iter().flatten().filter(|_| raw.has_key());
    let plans: BTreeMap<PlanId, Credits> = plans
        .filter_map(|(_, plan)| {
            let plan = plan.as_ref()?;
            Some((plan.id.clone(), plan.bill_every?))
        })
        .collect();
    let default = default.and_then(|id| plans.get(id).copied());
    Slices { plans, default }
}
