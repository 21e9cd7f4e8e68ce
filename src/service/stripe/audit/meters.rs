//! Whether usage that is reported is counted as it was used.

use std::collections::BTreeSet;

use super::snapshot::{Meter, Snapshot};
use super::{Finding, Trouble};
use crate::config::stripe::{Mode, Stripe};

pub(super) fn check(snapshot: &Snapshot, stripe: &Stripe, all: &mut Vec<Finding>) {
    let Some(Ok(meters)) = &snapshot.meters else {
        return;
    };
    if stripe.mode != Mode::Grants {
        return;
    }
    reported(&meters.items, stripe, all);
    if meters.items.is_empty() {
        let trouble = Trouble {
            found: "no active one".to_owned(),
            wanted: "one that sums up what was used",
            risk: "no grant is ever applied to an invoice, and a customer can have 100 unused ones at most",
            fix: "make one in the dashboard, Billing, Meters: aggregation sum, and a metered price for it; or mode = \"ledger\"",
        };
        all.push(Finding::risk("meter.sum", "meter", trouble));
        return;
    }
    // Meters of other products are none of the gate's business, where it can be told.
    let subscriptions = snapshot.subscriptions.as_ref().map(|part| part.items.as_slice());
    let items = subscriptions
        .unwrap_or_default()
        .iter()
        .flat_map(|one| &one.items);
    let used: BTreeSet<&str> = items.filter_map(|item| item.meter.as_deref()).collect();
    let counts = |meter: &&Meter| used.is_empty() || used.contains(meter.id.as_str());
    for meter in meters.items.iter().filter(counts) {
        one(meter, all);
    }
}

/// Usage goes to a meter by its event name; Stripe takes it first, and finds out later that there is none.
fn reported(meters: &[Meter], stripe: &Stripe, all: &mut Vec<Finding>) {
    // That there is no meter at all is said anyway.
    let Some(usage) = stripe.usage.as_ref().filter(|_| !meters.is_empty()) else {
        return;
    };
    let what = "[stripe.usage] event_name";
    if meters.iter().any(|meter| *meter.event_name == *usage.event_name) {
        all.push(Finding::good("meter.reported", what, &*usage.event_name));
        return;
    }
    let trouble = Trouble {
        found: format!("no active meter has {:?}", usage.event_name),
        wanted: "the event_name of an active meter",
        risk: "what was used is reported to nothing, and no grant is applied to an invoice",
        fix: "make that meter in the dashboard, Billing, Meters; or correct event_name",
    };
    all.push(Finding::risk("meter.reported", what, trouble));
}

fn one(meter: &Meter, all: &mut Vec<Finding>) {
    let what = format!("meter {} ({})", meter.id, meter.event_name);
    if meter.formula == "sum" {
        all.push(Finding::good("meter.sum", what.as_str(), "sum"));
    } else {
        let trouble = Trouble {
            found: format!("aggregation {:?}", meter.formula),
            wanted: "sum",
            risk: "what is reported in parts is not added up, so usage is billed wrongly",
            fix: "it cannot be changed: make another meter with sum and a price for it, then deactivate this one",
        };
        all.push(Finding::risk("meter.sum", what.as_str(), trouble));
    }
    match &meter.window {
        None => all.push(Finding::good("meter.window", what, "no time window")),
        Some(window) => {
            let trouble = Trouble {
                found: format!("event_time_window {window:?}"),
                wanted: "none",
                risk: "a later event in the same window takes the place of the earlier one: usage is lost",
                fix: "it cannot be changed: make another meter without one and a price for it, then deactivate this one",
            };
            all.push(Finding::risk("meter.window", what, trouble));
        }
    }
}
