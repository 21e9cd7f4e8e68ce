//! What the sections say about each other: routes to upstreams, plans to routes, accounts to a plan. What could not be read is a problem already, and
//! is not reported again by those who refer to it.

mod postpaid;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::context::{Place, Placed};
use super::model::RawModel;
use super::plan::{Plan, RawPlan, Shown, Verify};
use super::route::{RawRoute, Route};
use super::section::Section;
use super::stripe::{RawStripe, Stripe};
use super::suggest;
use super::upstream::Upstream;
use crate::domain::ids::PlanId;
use crate::domain::model::{Model, Models, NamePattern};
use crate::http::pattern::Pattern;

pub(super) use postpaid::check as check_postpaid;

/// Routes with all they refer to. No two for the same requests or with the same id; all to an upstream that is there.
pub(super) fn routes(
    s: &Section<'_>,
    raw: Vec<RawRoute>,
    upstreams: Option<&BTreeMap<String, Option<Upstream>>>,
    body_max: usize,
) -> Vec<Arc<Route>> {
    let mut routes = Vec::with_capacity(raw.len());
    let mut patterns = HashMap::new();
    let mut ids = HashMap::new();
    for route in raw {
        distinct(s, &route, &mut patterns, &mut ids);
        let (Some(name), Some(upstreams)) = (&route.upstream, upstreams) else {
            continue;
        };
        match upstreams.get(&name.value) {
            Some(Some(upstream)) => {
                routes.extend(route.finish(routes.len(), body_max, upstream).map(Arc::new));
            }
            Some(None) => {}
            None => unknown(s, name, "upstream", upstreams.keys().map(String::as_str)),
        }
    }
    routes
}

fn distinct(
    s: &Section<'_>,
    route: &RawRoute,
    patterns: &mut HashMap<Pattern, Place>,
    ids: &mut HashMap<String, Place>,
) {
    if let Some(pattern) = &route.pattern {
        if let Some(earlier) = patterns.get(&pattern.value) {
            let what = format!(
                "matches the same requests as the route in line {}",
                s.line(earlier)
            );
            s.problem(
                &pattern.place,
                what,
                "take one of the two out, or make one more specific",
            );
            return;
        }
        patterns.insert(pattern.value.clone(), pattern.place.clone());
    }
    if let Some(id) = &route.id {
        if let Some(earlier) = ids.get(&id.value) {
            let what = format!(
                "{:?} is the id of the route in line {} already",
                id.value,
                s.line(earlier)
            );
            s.problem(&id.place, what, "give each route an id of its own");
            return;
        }
        ids.insert(id.value.clone(), id.place.clone());
    }
}

/// What a model is called, and its price.
type Named = (Vec<NamePattern>, Arc<Model>);

/// Models with their names, no two of which are the same. There are some where a route is priced by tokens.
pub(super) fn models(
    s: &Section<'_>,
    raw: Vec<(String, Option<RawModel>)>,
    routes: &[RawRoute],
) -> Vec<Named> {
    if raw.is_empty() && routes.iter().any(RawRoute::by_tokens) {
        let advice = "add [models.\"NAME\"] with input, output and output_tokens_max for each model";
        s.missing("models", advice);
    }
    let all_read = raw.iter().all(|(_, model)| model.is_some());
    let mut taken: HashMap<NamePattern, Place> = HashMap::new();
    let mut models = Vec::new();
    for RawModel { names, model } in raw.into_iter().filter_map(|(_, model)| model) {
        for name in &names {
            if let Some(earlier) = taken.insert(name.value.clone(), name.place.clone()) {
                let what = format!("is the name of the model in line {} already", s.line(&earlier));
                s.problem(&name.place, what, "give each name to one model");
            }
        }
        models.push((names.into_iter().map(|name| name.value).collect(), model));
    }
    let all = Models::new(
        models
            .iter()
            .flat_map(|(names, model): &Named| names.iter().map(|name| (name.clone(), Arc::clone(model)))),
    );
    for model in routes.iter().filter_map(|route| route.model.as_ref()) {
        if all_read && all.find(&model.value).is_none() {
            unknown(s, model, "model", models.iter().map(|(_, model)| &*model.name));
        }
    }
    models
}

/// Plans by name; and the names of those that say what opens another, with where they say so.
type Linked = (BTreeMap<String, Option<Plan>>, Vec<(String, Place)>);

/// Plans with the ids of the routes they name, and the plans that they open.
pub(super) fn plans(s: &Section<'_>, raw: Vec<(String, Option<RawPlan>)>, routes: &[RawRoute]) -> Linked {
    let mut verified = Vec::new();
    let mut link = |RawPlan {
                        mut plan,
                        routes: named,
                        verify,
                        bills: _,
                    }| {
        plan.routes = named.map(|named: Placed<Vec<_>>| allowed(s, &named.value, routes));
        verified.extend(verify.map(|verify| (plan.id.to_string(), verify)));
        plan
    };
    let mut plans: BTreeMap<String, Option<Plan>> = raw
        .into_iter()
        .map(|(name, plan)| (name, plan.map(&mut link)))
        .collect();
    let mut places = Vec::new();
    for (name, verify) in verified {
        let Some(opens) = named_plan(s, &verify.opens, &plans) else {
            continue;
        };
        if let Some(Some(plan)) = plans.get_mut(&name) {
            places.push((name, verify.place.clone()));
            plan.verify = Some(verify.finish(opens));
        }
    }
    (plans, places)
}

fn allowed(s: &Section<'_>, named: &[Placed<String>], routes: &[RawRoute]) -> BTreeSet<Arc<str>> {
    let all_read = routes
        .iter()
        .all(|route| route.id.is_some() && route.pattern.is_some());
    let mut allowed = BTreeSet::new();
    for text in named {
        let meant = meant_by(&text.value, routes);
        if meant.is_empty() && all_read {
            let ids = routes.iter().filter_map(|route| route.id.as_ref());
            unknown(s, text, "route", ids.map(|id| id.value.as_str()));
        } else if !meant.is_empty() && meant.iter().all(|route| allowed.contains(route)) {
            s.problem(&text.place, "adds no route to those before it", "take it out");
        }
        allowed.extend(meant);
    }
    let ids = allowed.into_iter().filter_map(|index| routes[index].id.as_ref());
    ids.map(|id| id.value.as_str().into()).collect()
}

/// The routes that an id or a pattern stands for: a pattern for all whose every request it matches.
fn meant_by(text: &str, routes: &[RawRoute]) -> Vec<usize> {
    let named = |route: &RawRoute| route.id.as_ref().is_some_and(|id| id.value == text);
    if let Some(index) = routes.iter().position(named) {
        return vec![index];
    }
    let Ok(pattern) = text.parse::<Pattern>() else {
        return Vec::new();
    };
    // A wildcard of the route is matched by a wildcard only: a literal never is `*`.
    let covers = |route: &RawRoute| {
        let own = route.pattern.as_ref().map(|pattern| &pattern.value);
        own.is_some_and(|own| pattern.matches(own.method().unwrap_or("*"), own.path()))
    };
    let numbered = routes.iter().enumerate();
    numbered
        .filter(|(_, route)| covers(route))
        .map(|(index, _)| index)
        .collect()
}

/// Stripe's section with the plan of the accounts it makes.
pub(super) fn stripe(
    s: &Section<'_>,
    raw: RawStripe,
    plans: Option<&BTreeMap<String, Option<Plan>>>,
    default: Option<&PlanId>,
) -> Stripe {
    let plan = raw.plan.as_ref().zip(plans);
    let plan = plan.and_then(|(name, plans)| named_plan(s, name, plans));
    let slices = postpaid::slices(&raw, plans, default);
    raw.finish(plan, slices)
}

/// What plans say of verifying can be done, and comes to an end.
pub(super) fn check_verifying(
    s: &Section<'_>,
    plans: &BTreeMap<String, Option<Plan>>,
    places: &[(String, Place)],
    stripe: Option<&Stripe>,
) {
    let verify_of = |name: &str| plans.get(name)?.as_ref()?.verify.as_deref();
    for (name, place) in places {
        let Some(verify) = verify_of(name) else { continue };
        let mut passed = BTreeSet::from([name.as_str()]);
        let mut next = Some(verify);
        while let Some(verify) = next {
            if !passed.insert(verify.opens.as_str()) {
                let what = format!("leads to the plan {:?} once more", verify.opens.as_str());
                s.problem(place, what, "have it open another plan, and none before it");
                break;
            }
            next = verify_of(verify.opens.as_str());
        }
        let wrong = match stripe {
            Some(stripe) => cannot_be_verified(verify, stripe),
            None if s.has("stripe") => None,
            None => Some((
                "is done by Stripe, and there is no [stripe]",
                "add it, or take this out",
            )),
        };
        if let Some((what, advice)) = wrong {
            s.problem(place, what, advice);
        }
    }
}

fn cannot_be_verified(verify: &Verify, stripe: &Stripe) -> Option<(&'static str, &'static str)> {
    if stripe.api_key.is_none() {
        return Some((
            "is done by calls to Stripe, and there is no stripe.api_key",
            "give a restricted key, or take this out",
        ));
    }
    let pays = matches!(verify.by, Shown::Payment(_));
    if stripe.checkout.is_none() && !pays {
        return Some((
            "is done on Stripe's page, and there is no [stripe.checkout]",
            "add it with success_url and cancel_url",
        ));
    }
    if stripe.packs.is_empty() && pays {
        return Some((
            "wants credits bought, and there are no [[stripe.packs]]",
            "add a pack, or take this out",
        ));
    }
    if verify.gift.is_some() && stripe.usage.is_some() {
        return Some((
            "gives credits that Stripe does not know: with [stripe.usage] it would invoice what is used of them",
            "take `credits` out, and give a promotional grant at Stripe",
        ));
    }
    None
}

/// The plan of this name.
pub(super) fn named_plan(
    s: &Section<'_>,
    name: &Placed<String>,
    plans: &BTreeMap<String, Option<Plan>>,
) -> Option<PlanId> {
    match plans.get(&name.value) {
        Some(plan) => plan.as_ref().map(|plan| plan.id.clone()),
        None => {
            unknown(s, name, "plan", plans.keys().map(String::as_str));
            None
        }
    }
}

fn unknown<'n>(s: &Section<'_>, name: &Placed<String>, kind: &str, known: impl Iterator<Item = &'n str>) {
    let known: Vec<&str> = known.collect();
    let advice = suggest::for_name(&name.value, kind, &known);
    s.problem(
        &name.place,
        format!("there is no {kind} {:?}", name.value),
        advice,
    );
}
