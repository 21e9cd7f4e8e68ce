//! The file as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::link;
use super::section::Section;
use super::{Config, Places, admin, ledger, log, model, plan, route, server, stripe, upstream};

const UPSTREAMS_MAX: usize = 1_000;
const PLANS_MAX: usize = 1_000;

const DEFAULT_PLAN: &str =
    "The plan of accounts that are on none; absent: such accounts may use every route, without caps.";
const SERVER: &str = "The data plane's listener, and what a request may be at most.";
const ADMIN: &str = "The operator's listener: metrics, health, the admin API.";
const LEDGER: &str = "Where the credits are kept.";
const LOG: &str = "What is written to standard error.";
const UPSTREAMS: &str = "Servers that requests are forwarded to, by name.";
const PLANS: &str = "What the accounts on a plan may do.";
const MODELS: &str = "What tokens cost, in credits for a million, by the name of the model; one `*` in a name stands for any text. What is not listed is not served.";
const ROUTES: &str = "Which requests are let through, to where, and for how much.";
const STRIPE: &str =
    "How Stripe fills accounts, shuts them, and sells packs of credits. Absent: nothing comes from Stripe.";

/// Reads everything. What is wrong is in the context; with that, the value is of no use.
pub(super) fn file(s: &Section<'_>) -> Config {
    let default_plan = s.text("default_plan", DEFAULT_PLAN);
    let server = s.section("server", SERVER, server::read);
    let admin = s.section("admin", ADMIN, admin::read);
    let ledger = s.section("ledger", LEDGER, ledger::read);
    let log = s.section("log", LOG, log::read);
    let upstreams = s.named("upstreams", UPSTREAMS, UPSTREAMS_MAX, upstream::read);
    let upstreams: Option<BTreeMap<_, _>> = upstreams.map(|read| read.into_iter().collect());
    let plans = s.named("plans", PLANS, PLANS_MAX, plan::read);
    let models = s.named("models", MODELS, model::MODELS_MAX, model::read);
    let routes = s.tables("routes", ROUTES, "match", route::ROUTES_MAX, route::read);
    let stripe = s.table("stripe", STRIPE, stripe::read);
    s.required(
        "routes",
        "without routes nothing is let through: add [[routes]] with match, upstream and cost",
    );
    if let Some(plans) = plans.as_ref().filter(|_| !s.describing()) {
        link::check_postpaid(s, plans, stripe.as_ref());
    }
    let (plans, verifying) = plans.map(|plans| link::plans(s, plans, &routes)).unzip();
    let verifying = verifying.unwrap_or_default();
    let default_plan = default_plan.and_then(|name| link::named_plan(s, &name, plans.as_ref()?));
    let stripe = stripe.map(|raw| link::stripe(s, raw, plans.as_ref(), default_plan.as_ref()));
    if let Some(plans) = &plans {
        link::check_verifying(s, plans, &verifying, stripe.as_ref());
    }
    let models = models.map(|read| link::models(s, read, &routes));
    let routes = link::routes(s, routes, upstreams.as_ref(), server.body_max);
    Config {
        server,
        admin,
        ledger,
        log,
        upstreams: named(upstreams, |upstream| upstream.name.clone()),
        routes,
        models: models.unwrap_or_default(),
        plans: named(plans, |plan| plan.id.clone()),
        default_plan,
        stripe: stripe.map(Arc::new),
        places: Places::default(),
    }
}

/// What was read without a problem, by its name.
fn named<K: Ord, T>(read: Option<BTreeMap<String, Option<T>>>, key: impl Fn(&T) -> K) -> BTreeMap<K, Arc<T>> {
    let values = read.into_iter().flatten().filter_map(|(_, value)| value);
    values.map(|value| (key(&value), Arc::new(value))).collect()
}
