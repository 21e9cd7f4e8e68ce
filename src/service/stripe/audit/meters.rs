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
