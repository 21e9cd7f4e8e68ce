//! What no API shows: somebody has to look.

use super::{Finding, Trouble};

/// Name, what it should be, what happens otherwise, where it is.
const LOOK: [(&str, &str, &str, &str); 6] = [
    (
        "Smart Retries",
        "off",
        "a card that failed is tried again and again, for up to two months",
        RETRIES,
    ),
    (
        "custom retry schedule",
        "none or one retry",
        "each further try is one more fee and one more chance of a dispute",
        RETRIES,
    ),
    (
        "after the last retry",
        "cancel the subscription (or mark it unpaid)",
        "a subscription that is left past due goes on making invoices",
        RETRIES,
    ),
    (
        "retries of direct debits",
        "off",
        "a debit that the bank returned is tried again, and each return costs a fee",
        RETRIES,
    ),
    (
        "automations",
        "none that retries payments",
        "an automation overrides all of the above",
        "dashboard: Billing, Automations",
    ),
    (
        "e-mails to customers",
        "failed payments and expiring cards on",
        "a customer is shut without having been told by anybody to pay",
        "dashboard: Settings, Billing, Subscriptions and emails",
    ),
];

const RETRIES: &str = "dashboard: Billing, Revenue recovery, Retries";

pub(super) fn check(all: &mut Vec<Finding>) {
    for (name, wanted, risk, fix) in LOOK {
        let trouble = Trouble {
            found: "cannot be read by the API: look".to_owned(),
            wanted,
            risk,
            fix,
        };
        all.push(Finding::reminder("dashboard", name, trouble));
    }
}
