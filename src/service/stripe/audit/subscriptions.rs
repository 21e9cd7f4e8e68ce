//! Whether what is owed is billed in time, and not tried for ever.

use std::collections::BTreeMap;

use super::snapshot::{ITEMS_MAX, Snapshot, Subscription};
use super::{Finding, Remedy, Standing, Trouble};
use crate::config::stripe::{FailFast, Mode, Stripe};
use crate::domain::money::Currency;

pub(super) fn check(snapshot: &Snapshot, stripe: &Stripe, all: &mut Vec<Finding>) {
    // That the key cannot see them is told where the key is.
    let Ok(seen) = &snapshot.subscriptions else {
        return;
    };
    let before = all.len();
    for one in &seen.items {
        if stripe.mode == Mode::Grants && one.status == "active" {
            thresholds(one, all);
        }
        collection(one, stripe, all);
        status(one, stripe, all);
    }
    currencies(&seen.items, stripe, all);
    if all.len() == before {
        let found = format!("{} looked at", seen.items.len());
        all.push(Finding::good("subscription", "subscriptions", found));
    }
    if seen.more || seen.items.iter().any(|one| one.more) {
        partial("subscriptions", all);
    }
}

fn thresholds(one: &Subscription, all: &mut Vec<Finding>) {
    for item in one.items.iter().filter(|item| item.metered && !item.threshold) {
        let trouble = Trouble {
            found: "no billing threshold".to_owned(),
            wanted: "usage_gte",
            risk: "grants are applied at the end of the period only; at 100 unused ones Stripe takes no more",
            fix: "faregate stripe harden --usage-gte N, in what its meter counts; the dashboard has no such field",
        };
        let what = format!("item {} of {}", item.id, one.id);
        let item = item.id.clone();
        all.push(Finding::risk("subscription.threshold", what, trouble).with(Remedy::Threshold { item }));
    }
}

fn collection(one: &Subscription, stripe: &Stripe, all: &mut Vec<Finding>) {
    if !one.collection_paused {
        return;
    }
    let pauses = stripe.on.subscription.pause;
    let trouble = Trouble {
        found: format!("{}, but its invoices are not collected", one.status),
        wanted: "collected, or canceled",
        risk: if pauses {
            "its customer stays shut here until it is collected again"
        } else {
            "its customer goes on and pays nothing"
        },
        fix: "dashboard, the subscription: resume collection, or cancel it",
    };
    all.push(Finding {
        standing: standing(pauses),
        ..Finding::risk("subscription.collection", one.id.as_str(), trouble)
    });
}

fn status(one: &Subscription, stripe: &Stripe, all: &mut Vec<Finding>) {
    let unpaid = matches!(one.status.as_str(), "past_due" | "unpaid" | "incomplete");
    if !unpaid || stripe.on.subscription.pause {
        return;
    }
    let trouble = Trouble {
        found: one.status.clone(),
        wanted: "paid, or canceled",
        risk: "its customer goes on: [stripe.on] subscription does not pause",
        fix: "subscription = \"pause\" in [stripe.on]; cancel what nobody pays",
    };
    all.push(Finding::risk("subscription.status", one.id.as_str(), trouble));
}

/// A pause that the gate makes takes the risk away; that it lasts is still to be looked at.
fn standing(pauses: bool) -> Standing {
    if pauses {
        Standing::Reminder
    } else {
        Standing::Risk
    }
}

fn currencies(all_of_them: &[Subscription], stripe: &Stripe, all: &mut Vec<Finding>) {
    let mut unlisted: BTreeMap<&str, usize> = BTreeMap::new();
    for one in all_of_them {
        let currency = one.currency.parse::<Currency>().ok();
        if currency.and_then(|currency| stripe.rates.get(currency)).is_none() {
            *unlisted.entry(&one.currency).or_default() += 1;
        }
    }
    for (currency, count) in unlisted {
        let trouble = Trouble {
            found: format!("{count} subscriptions, and no rate in credits_per_unit"),
            wanted: "a rate",
            risk: "what is paid in it is set aside, and the customer waits for credits",
            fix: "add it to credits_per_unit, if it is to buy credits",
        };
        let what = format!("currency {currency:?}");
        all.push(Finding::risk("subscription.currency", what, trouble));
    }
}

pub(super) fn check_invoices(snapshot: &Snapshot, stripe: &Stripe, all: &mut Vec<Finding>) {
    let Ok(seen) = &snapshot.invoices else {
        return;
    };
    let before = all.len();
    for invoice in seen.items.iter().filter(|invoice| invoice.auto_advance) {
        let trouble = match stripe.fail_fast {
            _ if invoice.attempts < 1 => continue,
            Some(FailFast { attempts_max, .. }) if invoice.attempts < i64::from(attempts_max) => continue,
            Some(FailFast { attempts_max, .. }) => Trouble {
                found: format!("tried {} times, and Stripe goes on", invoice.attempts),
                wanted: &format!("stopped after {attempts_max}, as [stripe.fail_fast] says"),
                risk: "the gate has not stopped it: was the event lost, or may the key not write invoices?",
                fix: "in the dashboard turn off the invoice's automatic collection, or void it",
            },
            None => Trouble {
                found: format!("tried {} times, and Stripe goes on", invoice.attempts),
                wanted: "stopped",
                risk: "each further try is one more fee and one more chance of a dispute",
                fix: "[stripe.fail_fast]; or in the dashboard turn off the invoice's automatic collection, or void it",
            },
        };
        let what = format!("invoice {}", invoice.id);
        all.push(Finding::risk("invoice.retries", what, trouble));
    }
    if all.len() == before {
        let found = format!("{} open ones looked at", seen.items.len());
        all.push(Finding::good("invoice.retries", "invoices", found));
    }
    if seen.more {
        partial("invoices", all);
    }
}

fn partial(name: &str, all: &mut Vec<Finding>) {
    let trouble = Trouble {
        found: format!("the newest {ITEMS_MAX} looked at, there are more"),
        wanted: "all looked at",
        risk: "what is older may be at risk too",
        fix: "look for the same in the dashboard",
    };
    all.push(Finding::reminder("list.partial", name, trouble));
}
