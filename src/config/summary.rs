//! What a configuration comes to, for `faregate check` and the start of `serve`.

mod patterns;
mod stripe;

use std::fmt;

use super::{Config, Plan, Route, Store, show_duration};
use crate::domain::model::{Model, NamePattern};
use crate::domain::price::{HoldMode, Price};
use crate::domain::usage::Class;

/// What a configuration comes to, as texts for people and programs.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Summary {
    /// Where the data plane listens.
    pub listen: String,
    /// Where the operator's listener listens.
    pub admin: String,
    /// Where the credits are kept.
    pub ledger: String,
    /// What Stripe has to do with it; `null` for nothing.
    pub stripe: Option<String>,
    /// All routes, the most specific first.
    pub routes: Vec<RouteRow>,
    /// All upstreams.
    pub upstreams: Vec<UpstreamRow>,
    /// All models.
    pub models: Vec<ModelRow>,
    /// All plans.
    pub plans: Vec<PlanRow>,
    /// Ids of the routes that cost nothing (P19).
    pub free: Vec<String>,
    /// What is allowed and may still not be meant.
    pub notes: Vec<String>,
}

/// A route.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct RouteRow {
    /// Its name.
    pub id: String,
    /// Which requests it is for.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Where they go.
    pub upstream: String,
    /// What each costs.
    pub price: String,
    /// How its refusals look.
    pub api: &'static str,
    /// What else there is to say about it.
    pub more: Vec<String>,
}

/// An upstream.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct UpstreamRow {
    /// Its name.
    pub name: String,
    /// Where its servers are.
    pub urls: Vec<String>,
    /// Headers that are set on every request.
    pub headers: Vec<String>,
    /// How many routes lead to it.
    pub routes: usize,
}

/// A model.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ModelRow {
    /// Its name, or a pattern of names.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Credits for a million tokens, by kind.
    pub rates: Vec<(&'static str, String)>,
    /// The most tokens of one answer.
    pub output_tokens_max: u64,
}

/// A plan.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PlanRow {
    /// Its name.
    pub name: String,
    /// Ids of the routes it opens; `null` for all.
    pub routes: Option<Vec<String>>,
    /// Models it opens; `null` for all.
    pub models: Option<Vec<String>>,
    /// Its caps, its credit line, and what opens another plan.
    pub limits: Vec<String>,
    /// It is that of accounts on none.
    pub default: bool,
}

/// A price in words.
pub fn show_price(price: &Price) -> String {
    match price {
        Price::Free => "free".to_owned(),
        Price::Fixed(amount) => format!("{amount} per request"),
        Price::Each { each, times } => format!("{each} x `{times}` of the body"),
        Price::Measured { each, reported, hold } => {
            format!("{each} x `{reported}` of the answer, up to {hold}")
        }
        Price::Tokens(terms) => match terms.hold {
            HoldMode::Full => "by tokens".to_owned(),
            HoldMode::Growing => "by tokens, held as they flow".to_owned(),
        },
        Price::Reported { header, hold } => format!("as {header} says, up to {hold}"),
    }
}

impl Config {
    /// What it comes to.
    pub fn summary(&self) -> Summary {
        let mut routes: Vec<&Route> = self.routes.iter().map(AsRef::as_ref).collect();
        routes.sort_by(|a, b| a.pattern.specificity(&b.pattern));
        let free = |route: &&&Route| route.price == Price::Free;
        Summary {
            listen: scheme(self.server.tls.is_some(), &self.server.listen.to_string()),
            admin: scheme(self.admin.tls.is_some(), &self.admin.listen.to_string()),
            ledger: show_store(&self.ledger.store),
            stripe: self.stripe.as_deref().map(stripe::show),
            free: routes
                .iter()
                .filter(free)
                .map(|route| route.id.to_string())
                .collect(),
            routes: routes.iter().map(|route| route_row(route)).collect(),
            upstreams: self
                .upstreams
                .values()
                .map(|upstream| self.upstream_row(&upstream.name))
                .collect(),
            models: self
                .models
                .iter()
                .map(|(names, model)| model_row(names, model))
                .collect(),
            plans: self.plans.values().map(|plan| self.plan_row(plan)).collect(),
            notes: self.notes(),
        }
    }

    fn upstream_row(&self, name: &str) -> UpstreamRow {
        let upstream = self.upstreams.get(name);
        let urls = upstream.map(|upstream| upstream.urls.iter().map(ToString::to_string).collect());
        let headers = upstream.map(|upstream| {
            upstream
                .headers
                .iter()
                .map(|(name, _)| name.to_string())
                .collect()
        });
        UpstreamRow {
            name: name.to_owned(),
            urls: urls.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            routes: self
                .routes
                .iter()
                .filter(|route| &*route.upstream == name)
                .count(),
        }
    }

    fn plan_row(&self, plan: &Plan) -> PlanRow {
        let caps = [
            plan.limits
                .requests_per_minute
                .map(|cap| format!("{cap} requests/min")),
            plan.limits
                .tokens_per_minute
                .map(|cap| format!("{cap} tokens/min")),
            plan.limits.concurrent.map(|cap| format!("{cap} at once")),
            plan.limits.spend_per_day.map(|cap| format!("{cap} a day")),
            plan.limits.spend_per_month.map(|cap| format!("{cap} a month")),
            (!plan.credit_line.is_zero()).then(|| format!("credit line {}", plan.credit_line)),
            plan.verify
                .as_ref()
                .map(|verify| format!("{} opens {}", verify.by.as_str(), verify.opens)),
            plan.bill_every.map(|every| format!("billed every {every}")),
        ];
        PlanRow {
            name: plan.id.to_string(),
            routes: plan
                .routes
                .as_ref()
                .map(|routes| routes.iter().map(ToString::to_string).collect()),
            models: plan
                .models
                .as_ref()
                .map(|models| models.iter().map(ToString::to_string).collect()),
            limits: caps.into_iter().flatten().collect(),
            default: self.default_plan.as_ref() == Some(&plan.id),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.admin.tokens.is_empty() {
            notes.push("the admin API takes no token: everyone on this machine may do everything".to_owned());
        }
        for name in self.upstreams.keys() {
            if !self.routes.iter().any(|route| route.upstream == *name) {
                notes.push(format!("no route leads to the upstream {name}"));
            }
        }
        for upstream in self
            .upstreams
            .values()
            .filter(|upstream| upstream.allow_link_local)
        {
            notes.push(format!(
                "the upstream {} may be a link-local or cloud metadata address",
                upstream.name
            ));
        }
        for (_, model) in &self.models {
            if Class::ALL.iter().all(|class| model.rates.get(*class).is_zero()) && model.long.is_none() {
                notes.push(format!("the model {} costs nothing", model.name));
            }
        }
        notes.extend(patterns::cheaper(&self.models));
        if self.default_plan.is_none() && !self.plans.is_empty() {
            notes.push(
                "there is no default_plan: accounts without a plan may use every route, without caps"
                    .to_owned(),
            );
        }
        for plan in self
            .plans
            .values()
            .filter(|plan| plan.routes.as_ref().is_some_and(|routes| routes.is_empty()))
        {
            notes.push(format!("the plan {} opens no route", plan.id));
        }
        notes.extend(self.stripe.as_deref().map(stripe::notes).unwrap_or_default());
        notes
    }
}

fn scheme(tls: bool, address: &str) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

fn show_store(store: &Store) -> String {
    match store {
        Store::Embedded { path } => format!("embedded, in {}", path.display()),
        Store::Redis(redis) => {
            let urls: Vec<String> = redis.urls.iter().map(ToString::to_string).collect();
            format!(
                "{} at {}",
                if redis.cluster { "Redis Cluster" } else { "Redis" },
                urls.join(", ")
            )
        }
    }
}

fn route_row(route: &Route) -> RouteRow {
    let more = [
        route.upgrade.then(|| "WebSocket".to_owned()),
        (!route.cors.is_empty()).then(|| format!("pages of {}", route.cors.join(", "))),
        (route.on_disconnect == super::OnDisconnect::Finish)
            .then(|| "finishes without the client".to_owned()),
        route
            .keep_answers
            .map(|keeps| format!("keeps answers for {}", show_duration(keeps))),
    ];
    RouteRow {
        id: route.id.to_string(),
        pattern: route.pattern.to_string(),
        upstream: route.upstream.to_string(),
        price: show_price(&route.price),
        api: route.api.as_str(),
        more: more.into_iter().flatten().collect(),
    }
}

/// Kinds of tokens that cost what their plainer kind costs are left out.
fn model_row(names: &[NamePattern], model: &Model) -> ModelRow {
    let plain = |class: Class| match class {
        Class::Input | Class::Output => None,
        Class::CacheWriteLong => Some(Class::CacheWrite),
        _ if class.is_output() => Some(Class::Output),
        _ => Some(Class::Input),
    };
    let rate = |class| model.rates.get(class);
    let told = Class::ALL
        .into_iter()
        .filter(|class| plain(*class).is_none_or(|plain| rate(plain) != rate(*class)));
    ModelRow {
        name: model.name.to_string(),
        aliases: names.iter().skip(1).map(ToString::to_string).collect(),
        rates: told
            .map(|class| (class.as_str(), rate(class).to_string()))
            .collect(),
        output_tokens_max: model.output_max,
    }
}

impl fmt::Display for Summary {
    /// Tables of routes, upstreams, models and plans, then free routes and notes; each line ends with a newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |text: &str| text.to_owned();
        let mut head = vec![
            vec![cell("requests"), self.listen.clone()],
            vec![cell("admin"), self.admin.clone()],
            vec![cell("ledger"), self.ledger.clone()],
        ];
        let stripe = self.stripe.iter();
        head.extend(stripe.map(|stripe| vec![cell("stripe"), stripe.clone()]));
        table(f, &[], head)?;
        let titles = ["ROUTE", "PRICE", "UPSTREAM", "API", "ID", ""];
        table(f, &titles, self.routes.iter().map(RouteRow::cells).collect())?;
        let titles = ["UPSTREAM", "SERVERS", "ROUTES", ""];
        table(
            f,
            &titles,
            self.upstreams.iter().map(UpstreamRow::cells).collect(),
        )?;
        table(
            f,
            &ModelRow::TITLES,
            self.models.iter().map(ModelRow::cells).collect(),
        )?;
        let titles = ["PLAN", "ROUTES", "MODELS", "CAPS"];
        table(f, &titles, self.plans.iter().map(PlanRow::cells).collect())?;
        let free = self.free.iter().map(|id| format!("free: {id} costs nothing"));
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        let lines: Vec<String> = free.chain(notes).collect();
        if !lines.is_empty() {
            writeln!(f)?;
        }
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl RouteRow {
    fn cells(&self) -> Vec<String> {
        let named = if self.id == self.pattern { "" } else { &self.id };
        vec![
            self.pattern.clone(),
            self.price.clone(),
            self.upstream.clone(),
            self.api.to_owned(),
            named.to_owned(),
            self.more.join("; "),
        ]
    }
}

impl UpstreamRow {
    fn cells(&self) -> Vec<String> {
        let headers = match &self.headers[..] {
            [] => String::new(),
            headers => format!("sets {}", headers.join(", ")),
        };
        vec![
            self.name.clone(),
            self.urls.join(", "),
            self.routes.to_string(),
            headers,
        ]
    }
}

impl ModelRow {
    /// What is in [`ModelRow::cells`].
    const TITLES: [&'static str; 4] = [
        "MODEL",
        "CREDITS FOR A MILLION TOKENS",
        "LONGEST ANSWER",
        "ALIASES",
    ];

    fn cells(&self) -> Vec<String> {
        let rates: Vec<String> = self
            .rates
            .iter()
            .map(|(kind, rate)| format!("{kind} {rate}"))
            .collect();
        let longest = match self.output_tokens_max {
            0 => String::new(),
            tokens => tokens.to_string(),
        };
        vec![
            self.name.clone(),
            rates.join(", "),
            longest,
            self.aliases.join(", "),
        ]
    }
}

impl PlanRow {
    fn cells(&self) -> Vec<String> {
        let default = if self.default { " (default)" } else { "" };
        let opened = |list: &Option<Vec<String>>| match list {
            None => "all".to_owned(),
            Some(list) if list.is_empty() => "none".to_owned(),
            Some(list) => list.join(", "),
        };
        vec![
            format!("{}{default}", self.name),
            opened(&self.routes),
            opened(&self.models),
            self.limits.join(", "),
        ]
    }
}

/// Columns as wide as their widest cell, after an empty line where there are titles; nothing without rows.
fn table(f: &mut fmt::Formatter<'_>, title: &[&str], mut rows: Vec<Vec<String>>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    if !title.is_empty() {
        rows.insert(0, title.iter().map(ToString::to_string).collect());
        writeln!(f)?;
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
