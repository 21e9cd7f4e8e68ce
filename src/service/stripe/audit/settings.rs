//! Whether `[stripe]` closes what it can.

use super::{Finding, Trouble};
use crate::config::stripe::{Mode, Reaction, Stripe};

pub(super) fn check(stripe: &Stripe, all: &mut Vec<Finding>) {
    for (name, reaction) in stripe.on.all() {
        let what = format!("[stripe.on] {name}");
        if reaction != Reaction::IGNORE {
            all.push(Finding::good("settings.on", what, reaction.as_str()));
            continue;
        }
        let trouble = Trouble {
            found: "ignore".to_owned(),
            wanted: if name == "refund" { "claw_back" } else { "pause" },
            risk: risk_of(name),
            fix: "take the line out of [stripe.on]: what is usual is safe",
        };
        all.push(Finding::risk("settings.on", what, trouble));
    }
    match stripe.fail_fast {
        Some(fail_fast) => {
            let found = format!(
                "{} attempts, then {}",
                fail_fast.attempts_max,
                fail_fast.after_last.as_str()
            );
            all.push(Finding::good("settings.fail_fast", "[stripe.fail_fast]", found));
        }
        None => all.push(Finding::risk(
            "settings.fail_fast",
            "[stripe.fail_fast]",
            Trouble {
                found: "not there".to_owned(),
                wanted: "there, with attempts_max of 1 or 2",
                risk: "Stripe tries a failed invoice again as its dashboard says, for up to two months",
                fix: "add [stripe.fail_fast] to the configuration",
            },
        )),
    }
    match stripe.sync_every {
        Some(every) => {
            let found = format!("every {} s", every.as_secs());
            all.push(Finding::good("settings.sync", "sync_every", found));
        }
        None => all.push(Finding::risk(
            "settings.sync",
            "sync_every",
            Trouble {
                found: "not there".to_owned(),
                wanted: "an hour or less",
                risk: "an event that is lost stays lost",
                fix: "give api_key and sync_every",
            },
        )),
    }
    usage(stripe, all);
    if !stripe.livemode {
        let trouble = Trouble {
            found: "livemode = false".to_owned(),
            wanted: "true where customers pay",
            risk: "credits are given for test payments, which anybody with a test card can make",
            fix: "livemode = true, with the key and the secret of live mode",
        };
        all.push(Finding::reminder("settings.livemode", "mode", trouble));
    }
}

/// Where grants are what credits, Stripe has to hear of what was used.
fn usage(stripe: &Stripe, all: &mut Vec<Finding>) {
    if stripe.mode == Mode::Grants && stripe.usage.is_none() {
        let trouble = Trouble {
            found: "not there".to_owned(),
            wanted: "there",
            risk: "Stripe hears of no usage, so no grant is ever applied: a customer's 101st is refused, and what was used up here stays open there",
            fix: "add [stripe.usage] to the configuration, unless something else reports what is used",
        };
        all.push(Finding::risk("settings.usage", "[stripe.usage]", trouble));
    }
}

fn risk_of(trouble: &str) -> &'static str {
    match trouble {
        "payment_failed" => "who stops paying goes on using what was credited",
        "subscription" => "who has no good subscription any more goes on",
        "dispute" => "the bank takes the money back, and the credits stay",
        "refund" => "the money is given back, and the credits stay",
        "fraud_warning" => "a stolen card's credits are used up before the dispute comes",
        "review" => "credits are used before anybody has reviewed the payment",
        _ => "a trouble changes nothing here",
    }
}
