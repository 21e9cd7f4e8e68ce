//! Whether the gate is told what happens.

use std::collections::BTreeSet;

use super::snapshot::{Endpoint, Snapshot};
use super::{Finding, Remedy, Trouble};
use crate::config::stripe::{Mode, Stripe};
use crate::service::stripe::WEBHOOK;
use crate::stripe::client::API_VERSION;
use crate::stripe::facts::HEARD;

/// Whether this is an address of a gate's.
pub fn is_webhook(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.ends_with(WEBHOOK)
}

/// The types of events that a gate in this mode needs.
pub fn wanted_events(mode: Mode) -> Vec<&'static str> {
    let wanted = |kind: &&&str| mode == Mode::Grants || !kind.starts_with("billing.credit_");
    HEARD.iter().filter(wanted).copied().collect()
}

pub(super) fn check(snapshot: &Snapshot, stripe: &Stripe, all: &mut Vec<Finding>) {
    let what = "webhook endpoint";
    let seen = match &snapshot.endpoints {
        Ok(seen) => seen,
        Err(why) => {
            all.push(Finding::reminder(
                "endpoint.unseen",
                what,
                Trouble {
                    found: format!("this key cannot see it ({why})"),
                    wanted: "one that is enabled, with all events",
                    risk: "nobody can tell from here whether events come",
                    fix: "look in the dashboard, Workbench, Webhooks; or run this once with STRIPE_API_KEY (or what api_key names) set to a key that has Webhook Endpoints: read",
                },
            ));
            return;
        }
    };
    let ours: Vec<&Endpoint> = seen.items.iter().filter(|one| is_webhook(&one.url)).collect();
    let enabled: Vec<&Endpoint> = ours.iter().copied().filter(|one| one.enabled).collect();
    match (enabled.first(), ours.first()) {
        (Some(one), _) => all.push(Finding::good("endpoint.enabled", what, one.url.as_str())),
        (None, Some(one)) => all.push(disabled(one)),
        (None, None) => all.push(missing(seen.items.len())),
    }
    // One that is disabled has to be in order when it is enabled.
    let looked_at = if enabled.is_empty() {
        &ours[..ours.len().min(1)]
    } else {
        &enabled
    };
    for endpoint in looked_at {
        events(endpoint, stripe.mode, all);
        version(endpoint, all);
    }
    duplicates(&enabled, all);
}

fn missing(others: usize) -> Finding {
    let trouble = Trouble {
        found: format!("none of {others} ends in {WEBHOOK}"),
        wanted: "one for this gate",
        risk: "nobody is credited or shut until the next sync",
        fix: "faregate stripe harden --url https://YOUR-GATE/faregate/stripe/webhook, or the dashboard: Workbench, Webhooks",
    };
    Finding::risk("endpoint.enabled", "webhook endpoint", trouble).with(Remedy::CreateEndpoint)
}

fn disabled(endpoint: &Endpoint) -> Finding {
    let trouble = Trouble {
        found: format!("{} is disabled", endpoint.url),
        wanted: "enabled",
        risk: "nobody is credited or shut until the next sync",
        fix: "faregate stripe harden; then see why its deliveries failed",
    };
    let id = endpoint.id.clone();
    Finding::risk("endpoint.enabled", format!("webhook endpoint {id}"), trouble)
        .with(Remedy::EnableEndpoint { id })
}

fn events(endpoint: &Endpoint, mode: Mode, all: &mut Vec<Finding>) {
    let what = format!("events of {}", endpoint.id);
    let has: BTreeSet<&str> = endpoint.events.iter().map(String::as_str).collect();
    let wanted = wanted_events(mode);
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|kind| !has.contains(kind))
        .collect();
    if has.contains("*") || missing.is_empty() {
        let found = format!("all {} that are needed", wanted.len());
        all.push(Finding::good("endpoint.events", what, found));
        return;
    }
    let trouble = Trouble {
        found: format!("not sent: {}", missing.join(", ")),
        wanted: "all that the gate listens to",
        risk: "what they tell is learned by the next sync only, or never",
        fix: "faregate stripe harden, or the dashboard: Workbench, Webhooks, the endpoint, Edit, select them",
    };
    let more = missing.iter().map(|kind| (*kind).to_owned());
    let remedy = Remedy::Subscribe {
        id: endpoint.id.clone(),
        events: endpoint.events.iter().cloned().chain(more).collect(),
    };
    all.push(Finding::risk("endpoint.events", what, trouble).with(remedy));
}

fn version(endpoint: &Endpoint, all: &mut Vec<Finding>) {
    let what = format!("API version of {}", endpoint.id);
    let found = endpoint.api_version.as_deref().unwrap_or("the account's own");
    if found == API_VERSION {
        all.push(Finding::good("endpoint.version", what, found));
        return;
    }
    let trouble = Trouble {
        found: found.to_owned(),
        wanted: API_VERSION,
        risk: "fields may be elsewhere, so that an event cannot be read and is set aside",
        fix: "it is fixed when an endpoint is made: make a second one at the same address in this version, add its secret to webhook_secrets, then disable the old one",
    };
    all.push(Finding::risk("endpoint.version", what, trouble));
}

fn duplicates(enabled: &[&Endpoint], all: &mut Vec<Finding>) {
    let mut known = BTreeSet::new();
    for endpoint in enabled.iter().filter(|one| !known.insert(one.url.as_str())) {
        let trouble = Trouble {
            found: format!("another one sends to {} too", endpoint.url),
            wanted: "one per address",
            risk: "each event comes twice, and is refused where the secret of one is not in webhook_secrets",
            fix: "disable the older one in the dashboard, Workbench, Webhooks, unless you are changing versions just now",
        };
        let what = format!("webhook endpoint {}", endpoint.id);
        all.push(Finding::risk("endpoint.duplicate", what, trouble));
    }
}
