//! `[plans.NAME]`: what the accounts on a plan may do.

mod verify;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::{Place, Placed};
use super::section::{Section, within};
use crate::domain::credits::Credits;
use crate::domain::ids::PlanId;
use crate::domain::limits::Limits;
use crate::domain::model::NamePattern;

use verify::RawVerify;
pub use verify::{Gift, Shown, Verify};

/// `[plans.NAME]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// Ids of the routes its accounts may use; `None` for all.
    pub routes: Option<BTreeSet<Arc<str>>>,
    /// Models its accounts may use; `None` for all.
    pub models: Option<Vec<NamePattern>>,
    /// Caps, where the account has none of its own.
    pub limits: Limits,
    /// How far below zero available may go; zero for not at all.
    pub credit_line: Credits,
    /// What opens the next plan. Only with a key for Stripe's API.
    pub verify: Option<Arc<Verify>>,
    /// What was used below zero is charged in slices of so much, at most [`Plan::credit_line`]; only with `[stripe]` and its API key. `None`: it is not.
    pub bill_every: Option<Credits>,
}

/// As read: which routes there are is known later.
pub(super) struct RawPlan {
    pub(super) plan: Plan,
    pub(super) routes: Option<Placed<Vec<Placed<String>>>>,
    pub(super) verify: Option<RawVerify>,
    /// Where it says that what is owed is charged.
    pub(super) bills: Option<Place>,
}

const ROUTES: &str = "Routes its accounts may use: ids, or patterns that cover routes; absent for all.";
const MODELS: &str =
    "Models its accounts may use, by name; one `*` in a name stands for any text. Absent: all.";
const REQUESTS: &str =
    "Requests in any minute: a minute's worth may come at once, then evenly. Absent: no cap.";
const TOKENS: &str = "Tokens in any minute: each request counts for as many as it may use at most, from its beginning on, whatever it uses then. Absent: no cap.";
const CONCURRENT: &str = "Priced requests at once. Absent: no cap.";
const PER_DAY: &str = "Credits spent and held in a UTC day. Absent: no cap.";
const PER_MONTH: &str = "Credits spent and held in a UTC month. Absent: no cap.";
const LINE: &str = "How many credits below zero its accounts may go.";
const VERIFY: &str = "What an account has to show so that the next plan opens: a card, or a payment.";
const BILL: &str = "What an account owes is charged to its card through Stripe whenever it is so many credits; a charge that fails shuts the account until it is paid. Absent: nothing is charged.";

pub(super) fn read(name: &Placed<String>, s: &Section<'_>) -> Option<RawPlan> {
    let id = match PlanId::new(&name.value) {
        Ok(id) => Some(id),
        Err(_) if s.describing() => None,
        Err(error) => {
            s.problem(&name.place, "is no name for a plan", error.to_string());
            None
        }
    };
    let routes = s.texts("routes", ROUTES, &[], super::route::ROUTES_MAX);
    let models = models(s);
    let count = |name, doc, max| {
        s.integer_or(
            name,
            doc,
            None,
            within(
                1,
                max,
                "to shut a plan, give it no routes; for no cap, leave it out",
            ),
        )
    };
    let spend = |name, doc| {
        s.credits(
            name,
            doc,
            within(
                Credits::ZERO,
                Credits::MAX,
                "it is written without a sign; for no cap, leave it out",
            ),
        )
    };
    let limits = Limits {
        requests_per_minute: count("requests_per_minute", REQUESTS, 60_000_000),
        tokens_per_minute: count("tokens_per_minute", TOKENS, 1_000_000_000_000),
        concurrent: count("concurrent", CONCURRENT, 1_000_000),
        spend_per_day: spend("spend_per_day", PER_DAY),
        spend_per_month: spend("spend_per_month", PER_MONTH),
    };
    let credit_line = s.credits(
        "credit_line",
        LINE,
        within(Credits::ZERO, Credits::MAX, "it is written without a sign"),
    );
    let verify = s.table("verify", VERIFY, verify::read);
    let credit_line = credit_line.unwrap_or(Credits::ZERO);
    let (bill_every, bills) = bill(s, credit_line);
    let plan = Plan {
        id: id?,
        routes: None,
        models,
        limits,
        credit_line,
        verify: None,
        bill_every,
    };
    Some(RawPlan {
        plan,
        routes,
        verify,
        bills,
    })
}

/// How often what is owed is charged, and where that is said.
fn bill(s: &Section<'_>, credit_line: Credits) -> (Option<Credits>, Option<Place>) {
    let sign = "take at most credit_line, above zero";
    let bill_every = s.credits("bill_every", BILL, within(Credits::MICRO, Credits::MAX, sign));
    let bills = s.has("bill_every").then(|| s.place_or("bill_every"));
    if let Some(place) = bills
        .as_ref()
        .filter(|_| bill_every.is_some_and(|every| every > credit_line))
    {
        s.problem(
            place,
            format!("is more than credit_line, {credit_line}: so much is never owed"),
            sign,
        );
    }
    (bill_every, bills)
}

fn models(s: &Section<'_>) -> Option<Vec<NamePattern>> {
    let texts = s.texts("models", MODELS, &[], super::model::MODELS_MAX)?;
    let read = texts.value.iter().filter_map(|text| {
        let name = NamePattern::new(&text.value);
        if let Err(error) = &name {
            s.problem(
                &text.place,
                format!("{:?} is no name for a model", text.value),
                error.to_string(),
            );
        }
        name.ok()
    });
    Some(read.collect())
}
