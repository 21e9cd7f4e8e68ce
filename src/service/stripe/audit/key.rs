//! Whether the key is the right one, and may no more than it has to.

use super::snapshot::{Seen, Snapshot};
use super::{Finding, Standing, Trouble};
use crate::config::stripe::{Mode, Stripe};

pub(super) fn check(snapshot: &Snapshot, stripe: &Stripe, all: &mut Vec<Finding>) {
    let key = stripe.api_key.as_ref().map_or("", |key| key.expose());
    kind(key, all);
    mode(key, stripe.livemode, all);
    account(&snapshot.account, stripe.account.as_deref(), all);
    let grants = stripe.mode == Mode::Grants;
    for (name, seen) in &snapshot.rights {
        right(name, seen.as_ref().err(), all);
    }
    right("Subscriptions", snapshot.subscriptions.as_ref().err(), all);
    right("Invoices", snapshot.invoices.as_ref().err(), all);
    if let Some(meters) = &snapshot.meters {
        right("Billing meters", meters.as_ref().err(), all);
    }
    let mut writes = vec!["Customers and Checkout Sessions where packs are sold"];
    if stripe.fail_fast.is_some() {
        writes.push("Invoices and Subscriptions");
    }
    if grants {
        writes.push("Billing credit grants");
    }
    let trouble = Trouble {
        found: "rights to write cannot be tried without writing".to_owned(),
        wanted: &format!("write: {}", writes.join("; ")),
        risk: "what the gate has to do at Stripe is refused, and waits for a person",
        fix: "compare the key in the dashboard with the table of permissions in docs/stripe.md",
    };
    all.push(Finding::reminder(
        "key.writes",
        "rights of the key to write",
        trouble,
    ));
}

fn kind(key: &str, all: &mut Vec<Finding>) {
    let what = "kind of the key";
    if key.starts_with("rk_") {
        all.push(Finding::good("key.kind", what, "restricted"));
        return;
    }
    let found = if key.starts_with("sk_") {
        "a secret key, which may do everything"
    } else {
        "neither a restricted nor a secret key"
    };
    let trouble = Trouble {
        found: found.to_owned(),
        wanted: "a restricted key (rk_...)",
        risk: "who gets hold of it can refund, pay out and read every customer",
        fix: "make a restricted key with the permissions in docs/stripe.md, put it into api_key, roll the old one",
    };
    all.push(Finding::risk("key.kind", what, trouble));
}

fn mode(key: &str, livemode: bool, all: &mut Vec<Finding>) {
    let what = "mode of the key";
    let (own, other) = if livemode {
        ("_live_", "_test_")
    } else {
        ("_test_", "_live_")
    };
    if key.contains(own) && !key.contains(other) {
        all.push(Finding::good("key.mode", what, own.trim_matches('_')));
        return;
    }
    let trouble = Trouble {
        found: format!("not a key with {own} in it"),
        wanted: &format!("livemode = {livemode} takes one"),
        risk: "events of the one mode are compared with objects of the other",
        fix: "take the key of the mode that livemode says",
    };
    all.push(Finding {
        // There may be keys one day that do not say it.
        standing: if key.contains(other) {
            Standing::Risk
        } else {
            Standing::Reminder
        },
        ..Finding::risk("key.mode", what, trouble)
    });
}

fn account(seen: &Seen<String>, wanted: Option<&str>, all: &mut Vec<Finding>) {
    let what = "account at Stripe";
    let finding = match (seen, wanted) {
        (Ok(found), Some(wanted)) if found == wanted => Finding::good("key.account", what, found.as_str()),
        (Ok(found), Some(wanted)) => Finding::risk(
            "key.account",
            what,
            Trouble {
                found: format!("the key is of {found}"),
                wanted,
                risk: "what is asked for is not what events tell of: sync compares two accounts",
                fix: "take a key of the account that `account` names, or correct that",
            },
        ),
        (Ok(found), None) => Finding::reminder(
            "key.account",
            what,
            Trouble {
                found: format!("{found}, and `account` is not set"),
                wanted: "set",
                risk: "a mistaken key or secret of another account is not noticed",
                fix: &format!("account = \"{found}\" in [stripe]"),
            },
        ),
        (Err(why), _) => Finding::reminder(
            "key.account",
            what,
            Trouble {
                found: format!("this key cannot see it ({why})"),
                wanted: wanted.unwrap_or("the one that sends the events"),
                risk: "a mistaken key of another account is not noticed",
                fix: "compare the account's id in the dashboard with `account` in [stripe]",
            },
        ),
    };
    all.push(finding);
}

fn right(name: &str, refused: Option<&String>, all: &mut Vec<Finding>) {
    let what = format!("right to read {name}");
    let Some(why) = refused else {
        all.push(Finding::good("key.right", what, "there"));
        return;
    };
    let trouble = Trouble {
        found: format!("refused: {why}"),
        wanted: "read",
        risk: "what was lost on the way is not made up for, and this audit is not whole",
        fix: &format!("give the restricted key {name}: read in the dashboard, Developers, API keys"),
    };
    all.push(Finding::risk("key.right", what, trouble));
}
