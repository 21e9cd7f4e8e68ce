//! What is different between two configurations, for `faregate reload`.

use std::collections::BTreeSet;
use std::fmt;

use super::Config;
use super::settings::{Settings, flatten};

/// One thing that is different.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Difference {
    /// The setting (`server.body_max`, `routes[POST /v1/rerank].cost`), or a whole route, upstream, plan or pack that is new or gone.
    pub key: String,
    /// How it was; nothing where it was not set or not there. Secrets are `***`.
    pub before: Option<String>,
    /// How it is now.
    pub after: Option<String>,
    /// It takes a restart: until then it stays as it was.
    pub restart: bool,
}

/// What is looked at when the gate starts and not again: a setting, or a table with all that is in it.
const AT_START: [&str; 17] = [
    "server.listen",
    "server.tls",
    "server.tls_timeout",
    "server.connections_max",
    "server.requests_max",
    "server.streams_max",
    "server.header_max",
    "server.headers_max",
    "server.workers",
    "admin.listen",
    "admin.tls",
    "admin.tokens",
    "ledger",
    "log",
    // What counts, and by which trigger, is not changed under what is under way.
    "stripe.account",
    "stripe.livemode",
    "stripe.mode",
];

impl Config {
    /// What changes from `self` to `new`, prices first. The order of routes is no difference.
    pub fn diff(&self, new: &Config) -> Vec<Difference> {
        let (old, new) = (flatten(self), flatten(new));
        let mut found = compare("", &old.gate, &new.gate);
        let names: BTreeSet<&String> = old.things.keys().chain(new.things.keys()).collect();
        for name in names {
            match (old.things.get(name), new.things.get(name)) {
                (Some(old), Some(new)) => found.extend(compare(name, old, new)),
                (old, new) => found.push(Difference {
                    key: name.clone(),
                    before: old.map(describe),
                    after: new.map(describe),
                    restart: false,
                }),
            }
        }
        let is_price = |found: &Difference| found.key.starts_with("routes[") && found.key.ends_with("].cost");
        found.sort_by_key(|difference| !is_price(difference));
        found
    }
}

fn compare(name: &str, old: &Settings, new: &Settings) -> Vec<Difference> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let shown = |settings: &Settings, key: &str| settings.get(key).map(|setting| setting.shown.clone());
    let difference = |key: &String| Difference {
        key: if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        },
        before: shown(old, key),
        after: shown(new, key),
        restart: name.is_empty() && at_start(key),
    };
    changed.map(difference).collect()
}

fn at_start(key: &str) -> bool {
    let within = |table: &str| {
        key.strip_prefix(table)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    AT_START.iter().any(|table| within(table))
}

/// What a whole thing is, in a line: the settings that matter most.
fn describe(settings: &Settings) -> String {
    const TOLD: [&str; 17] = [
        "match",
        "upstream",
        "cost",
        "urls",
        "routes",
        "requests_per_minute",
        "tokens_per_minute",
        "concurrent",
        "spend_per_day",
        "spend_per_month",
        "credit_line",
        "verify.by",
        "verify.opens",
        "input",
        "output",
        "price",
        "credits",
    ];
    let told = TOLD
        .iter()
        .filter_map(|key| Some(format!("{key} {}", settings.get(*key)?.shown)));
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() {
        "all routes, no caps".to_owned()
    } else {
        told
    }
}

impl fmt::Display for Difference {
    /// One line: `routes[POST /v1/rerank].cost: 0.002000 per request -> 0.003000 per request`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.key)?;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => write!(f, "another secret")?,
            (Some(before), Some(after)) => write!(f, "{before} -> {after}")?,
            (None, Some(after)) => write!(f, "new: {after}")?,
            (Some(before), None) => write!(f, "gone: {before}")?,
            (None, None) => {}
        }
        if self.restart {
            write!(f, " (after a restart)")?;
        }
        Ok(())
    }
}
