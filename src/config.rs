//! L1: the configuration file, read whole or not at all.
//!
//! [`parse`] turns a text into a [`Config`], which holds only values that can be used, or into [`Problems`]: all of them at once, each with line, key,
//! what is wrong and what to do. It is pure: the environment and the files that secrets come from are passed in. What needs to look at the
//! machine (can the certificates be read?) is [`Config::check_files`].
//!
//! How it is read: the text becomes a table with the place of each value ([`toml::de::DeTable`], the file as typed); a
//! reader per section asks it key by key through a `Section`, which checks types and bounds; `read` then links what refers to each other.
//! What the readers ask for is also what is known, what the JSON Schema lists, and what the shipped file shows.

mod address;
mod admin;
mod context;
mod diff;
mod files;
pub mod fuzzing;
mod headers;
mod ledger;
mod link;
mod log;
mod model;
mod plan;
mod problem;
mod read;
mod redis_url;
mod route;
mod schema;
mod secret;
mod section;
mod server;
mod settings;
pub mod stripe;
mod suggest;
mod summary;
mod syntax;
mod units;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeTable;

pub use address::{BaseUrl, denied};
pub use admin::{Admin, AdminToken, Role};
pub use diff::Difference;
pub use ledger::{Ledger, Redis, RedisUrl, Store};
pub use log::{Log, LogFormat, LogLevel};
pub use plan::{Gift, Plan, Shown, Verify};
pub use problem::{LISTED_MAX, Problem, Problems};
pub use route::{Api, OnDisconnect, Route};
pub use schema::json_schema;
pub use secret::{Env, Files, Secret};
pub use server::{Server, Tls};
pub use stripe::Stripe;
pub use summary::{ModelRow, PlanRow, RouteRow, Summary, UpstreamRow, show_price};
pub use units::{show_duration, show_size};
pub use upstream::{Kind, Upstream};

use crate::domain::ids::PlanId;
use crate::domain::model::{Model, NamePattern};
use context::{Context, Place};

/// The file that is shipped: every key, commented. It is the configuration of a gate that was given none.
pub const SHIPPED: &str = include_str!("../config.toml");

/// A file is text for people: nothing longer is read.
const TEXT_MAX: usize = 4 * 1024 * 1024;

/// A configuration that can be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The data plane's listener and its limits.
    pub server: Server,
    /// The operator's listener.
    pub admin: Admin,
    /// Where the credits are kept.
    pub ledger: Ledger,
    /// What is logged, and how.
    pub log: Log,
    /// Where requests go, by name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Which requests are let through, in the order of the file. No two match the same requests, none has another's id.
    pub routes: Vec<Arc<Route>>,
    /// What tokens cost, in the order of the file, each with the names it goes by.
    pub models: Vec<(Vec<NamePattern>, Arc<Model>)>,
    /// What accounts may do, by name.
    pub plans: BTreeMap<PlanId, Arc<Plan>>,
    /// The plan of accounts that are on none.
    pub default_plan: Option<PlanId>,
    /// What Stripe has to do with it; `None` for nothing. A value like any other: whoever uses it takes it from the configuration in force.
    pub stripe: Option<Arc<Stripe>>,
    /// The line of each key of the file it was read from.
    places: Places,
}

/// Lines by key. Where something was written is no part of what it says: any two are equal.
#[derive(Clone, Default, Debug)]
struct Places(Arc<BTreeMap<String, usize>>);

impl PartialEq for Places {
    fn eq(&self, _: &Places) -> bool {
        true
    }
}

impl Eq for Places {}

impl Config {
    /// The upstream of a route of this configuration.
    pub fn upstream_of(&self, route: &Route) -> Option<&Arc<Upstream>> {
        self.upstreams.get(&route.upstream)
    }
}

/// Reads a configuration. Never panics, whatever the text.
pub fn parse(text: &str, env: Env<'_>, files: Files<'_>) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let cx = Context::new(text, env, files);
    if text.len() > TEXT_MAX {
        cx.problem(
            &nowhere(0),
            "the file is longer than 4 MiB",
            "is it the right one?",
        );
        return finish(cx, None);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let config = section::read_root(&cx, Some(table.get_ref()), read::file);
        return finish(cx, Some(config));
    }
    let mut lines = std::collections::BTreeSet::new();
    for error in errors {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        // What follows in the same line follows from it.
        if lines.insert(cx.line(at)) {
            let (what, advice) = syntax::explain(text, at, error.message());
            cx.problem(&nowhere(at), what, advice);
        }
    }
    finish(cx, None)
}

fn nowhere(at: usize) -> Place {
    Place {
        key: String::new(),
        at,
    }
}

fn finish(cx: Context<'_>, config: Option<Config>) -> Result<Config, Problems> {
    let (problems, places) = cx.into_parts();
    match (config, Problems::new(problems)) {
        (Some(config), None) => Ok(Config {
            places: Places(Arc::new(places)),
            ..config
        }),
        (_, Some(problems)) => Err(problems),
        (None, None) => Err(unread()),
    }
}

/// A reader gave up without saying why. No text is known that does this; closed by default all the same.
fn unread() -> Problems {
    Problems {
        file: "config.toml".to_owned(),
        problems: vec![Problem {
            line: 1,
            key: String::new(),
            what: "the file could not be read".to_owned(),
            advice: "please report it with the file".to_owned(),
        }],
        more: 0,
    }
}

#[cfg(test)]
mod tests;
