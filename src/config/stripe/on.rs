//! `[stripe.on]` and `[stripe.fail_fast]`.

use super::super::section::{Section, within};
use super::{AfterLast, FailFast, Reaction, Troubles};

const PAUSING: &[(&str, Reaction)] = &[("pause", Reaction::PAUSE), ("ignore", Reaction::IGNORE)];
const CLAWING: &[(&str, Reaction)] = &[("claw_back", Reaction::CLAW_BACK), ("ignore", Reaction::IGNORE)];
const ANY: &[(&str, Reaction)] = &[
    ("pause_and_claw_back", Reaction::BOTH),
    ("pause", Reaction::PAUSE),
    ("claw_back", Reaction::CLAW_BACK),
    ("ignore", Reaction::IGNORE),
];

const PAYMENT_FAILED: &str = "When an invoice's payment fails, needs the customer, or is overdue or given up. `pause` shuts the account until that invoice is paid or void.";
const SUBSCRIPTION: &str = "When a subscription is past due, unpaid, incomplete, paused or canceled. `pause` shuts the account until it is active again.";
const DISPUTE: &str = "When a customer disputes a payment with their bank. `claw_back` takes the credits it brought, `pause` shuts the account until the dispute is won.";
const REFUND: &str = "When a payment is refunded, wholly or in part. `claw_back` takes as much of the credits it brought; the balance may go below zero.";
const FRAUD: &str =
    "When the card's issuer warns of fraud. `pause` shuts the account until somebody has looked at it.";
const REVIEW: &str =
    "When Stripe holds a payment for review. `pause` shuts the account until it is approved.";

/// What each trouble does.
pub(super) fn read(s: &Section<'_>) -> Troubles {
    let usual = Troubles::default();
    let one = |name, doc, usual: Reaction, words| {
        s.choice(name, doc, usual.as_str(), words)
            .unwrap_or(Reaction::IGNORE)
    };
    Troubles {
        payment_failed: one("payment_failed", PAYMENT_FAILED, usual.payment_failed, PAUSING),
        subscription: one("subscription", SUBSCRIPTION, usual.subscription, PAUSING),
        dispute: one("dispute", DISPUTE, usual.dispute, ANY),
        refund: one("refund", REFUND, usual.refund, CLAWING),
        fraud_warning: one("fraud_warning", FRAUD, usual.fraud_warning, PAUSING),
        review: one("review", REVIEW, usual.review, PAUSING),
    }
}

const ATTEMPTS: &str = "After so many failed attempts to collect an invoice its retries are stopped, so that a card that does not pay is not tried for weeks.";
const AFTER: &str = "What becomes of the subscription then: cancel ends it, pause stops its collection, keep leaves it as it is.";

pub(super) fn fail_fast(s: &Section<'_>) -> Option<FailFast> {
    let attempts = s.integer(
        "attempts_max",
        ATTEMPTS,
        1,
        within(1, 8, "Stripe itself recommends no more than 8"),
    );
    let after_last = s.choice("after_last", AFTER, "cancel", AfterLast::WORDS);
    Some(FailFast {
        attempts_max: u32::try_from(attempts).ok()?,
        after_last: after_last?,
    })
}
