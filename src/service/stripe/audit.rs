//! What in the account at Stripe, or in the settings here, leaves the operator exposed. Pure: what there is was read before ([`snapshot`]).

mod dashboard;
mod endpoints;
mod key;
mod meters;
mod settings;
pub mod snapshot;
mod subscriptions;

use crate::config::stripe::Stripe;
use snapshot::Snapshot;

pub use endpoints::{is_webhook, wanted_events};

/// How something stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// As it should be.
    Good,
    /// It cannot be seen from here, or may be meant so: a person has to look.
    Reminder,
    /// It can cost money.
    Risk,
}

impl Standing {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Good => "good",
            Standing::Reminder => "look",
            Standing::Risk => "risk",
        }
    }
}

/// What one check has found about one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The check, for programs: `endpoint.events`.
    pub check: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// Of what.
    pub what: String,
    /// What there is.
    pub found: String,
    /// What there should be; empty where it is so.
    pub wanted: String,
    /// What can happen otherwise, in one line.
    pub risk: String,
    /// What to do.
    pub fix: String,
    /// What `harden` can do about it.
    pub remedy: Option<Remedy>,
}

/// What the API can set right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// The endpoint gets events again.
    EnableEndpoint {
        /// `we_...`
        id: String,
    },
    /// The endpoint gets these types of events, those that it had included.
    Subscribe {
        /// `we_...`
        id: String,
        /// All.
        events: Vec<String>,
    },
    /// An endpoint is made, where somebody says at which address.
    CreateEndpoint,
    /// The item of a subscription is billed from some usage on, where somebody says from which.
    Threshold {
        /// `si_...`
        item: String,
    },
}

/// What is wrong with something.
struct Trouble<'a> {
    found: String,
    wanted: &'a str,
    risk: &'a str,
    fix: &'a str,
}

impl Finding {
    fn good(check: &'static str, what: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding {
            check,
            standing: Standing::Good,
            what: what.into(),
            found: found.into(),
            wanted: String::new(),
            risk: String::new(),
            fix: String::new(),
            remedy: None,
        }
    }

    fn risk(check: &'static str, what: impl Into<String>, trouble: Trouble<'_>) -> Finding {
        Finding {
            standing: Standing::Risk,
            wanted: trouble.wanted.to_owned(),
            risk: trouble.risk.to_owned(),
            fix: trouble.fix.to_owned(),
            ..Finding::good(check, what, trouble.found)
        }
    }

    fn reminder(check: &'static str, what: impl Into<String>, trouble: Trouble<'_>) -> Finding {
        Finding {
            standing: Standing::Reminder,
            ..Finding::risk(check, what, trouble)
        }
    }

    fn with(self, remedy: Remedy) -> Finding {
        Finding {
            remedy: Some(remedy),
            ..self
        }
    }
}

/// All findings: what is good, what is at risk, and what only a person can look at.
pub fn findings(snapshot: &Snapshot, stripe: &Stripe) -> Vec<Finding> {
    let mut all = Vec::new();
    endpoints::check(snapshot, stripe, &mut all);
    key::check(snapshot, stripe, &mut all);
    subscriptions::check(snapshot, stripe, &mut all);
    subscriptions::check_invoices(snapshot, stripe, &mut all);
    meters::check(snapshot, stripe, &mut all);
    settings::check(stripe, &mut all);
    dashboard::check(&mut all);
    all
}

#[cfg(test)]
mod tests;
