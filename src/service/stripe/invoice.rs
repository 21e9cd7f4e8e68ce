//! `invoice:in_1`: whether an invoice is owed after its payment failed, and what is done at Stripe so that nobody keeps trying for weeks.

use serde::{Deserialize, Serialize};

use crate::config::stripe::AfterLast;
use crate::stripe::api;
use crate::stripe::facts::{Fact, Invoice, Telling};

use super::memo::{Done, Owner, Rules, Said, Step, Want, Whose};

/// What is remembered of an invoice.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InvoiceMemo {
    /// Who owes it.
    pub owner: Owner,
    /// Its payment failed, is overdue, or was given up.
    pub owed: bool,
    /// Paid or void: final, whatever is told later of earlier.
    pub over: bool,
    /// How often payment was tried.
    pub attempts: i64,
    /// For which subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// What credits left to be paid, in minor units of a currency, where they were to pay all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overage: Option<(i64, String)>,
    /// The operator was told of it.
    pub told: bool,
    /// What the account was told.
    pub said: Said,
    /// No further attempts: `auto_advance` is off.
    pub stopped: Step,
    /// The subscription is canceled or paused.
    pub ended: Step,
    /// How often Stripe was asked for either and did not say yes or no. An error of its own it says again to the same idempotency key for a day, so each
    /// time has another: both calls say what shall be, and may be made twice.
    pub unanswered: u32,
}

impl InvoiceMemo {
    pub(super) fn hear(&mut self, telling: &Telling) {
        let Fact::Invoice(invoice) = &telling.fact else {
            return;
        };
        self.owner.customer = Some(invoice.customer.clone());
        self.attempts = self.attempts.max(invoice.attempts);
        self.subscription = self.subscription.take().or_else(|| invoice.subscription.clone());
        let is_final = matches!(&*invoice.status, "open" | "paid" | "uncollectible");
        if is_final && invoice.due > 0 && self.overage.is_none() {
            self.overage = Some((invoice.due, invoice.currency.clone()));
        }
        self.over |= matches!(&*invoice.status, "paid" | "void");
        self.owed |= is_owed(invoice, &telling.by);
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Option<Want> {
        let owed = self.owed && !self.over;
        let shut = owed && rules.stripe.on.payment_failed.pause;
        let reason = format!("invoice:{id}");
        match self.owner.account() {
            Some(account) => {
                if let Some(want) = self.said.change(&account, &reason, shut) {
                    return Some(want);
                }
            }
            None if shut => {
                let owner = self.owner.clone();
                return Some(Want::Owner(Whose::Customer { owner, pays: false }));
            }
            None => {}
        }
        if let Some((due, currency)) = self.overage(rules) {
            return Some(Want::Alarm { due, currency });
        }
        let fast = rules.stripe.fail_fast.as_ref().filter(|_| owed && rules.api)?;
        if self.attempts < i64::from(fast.attempts_max) {
            return None;
        }
        if self.stopped.is_open() {
            let call = api::stop_invoice(id, &self.because("failed")).ok()?;
            return Some(Want::Call {
                step: "stop",
                call,
                before: None,
            });
        }
        let subscription = self.subscription.as_deref().filter(|_| self.ended.is_open())?;
        let call = match fast.after_last {
            AfterLast::Cancel => api::cancel_subscription(subscription, false),
            AfterLast::Pause => api::update_subscription(
                subscription,
                &api::SubscriptionChange {
                    collection: Some(api::Collection::KeepAsDraft),
                    ..api::SubscriptionChange::default()
                },
                &self.because(id),
            ),
            AfterLast::Keep => return None,
        };
        Some(Want::Call {
            step: "end",
            call: call.ok()?,
            before: None,
        })
    }

    /// Where usage is reported, credits are to pay for what a subscription is invoiced.
    fn overage(&self, rules: &Rules) -> Option<(i64, String)> {
        let meant = rules.stripe.usage.is_some() && self.subscription.is_some() && !self.told;
        self.overage.clone().filter(|_| meant)
    }

    fn because(&self, what: &str) -> String {
        match self.unanswered {
            0 => what.to_owned(),
            times => format!("{what}_{times}"),
        }
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Alarm { .. }, _) => self.told = true,
            (Want::Change { .. }, _) => self.said.note(want),
            (Want::Call { step: "stop", .. }, done) => self.stopped.note(&done),
            (Want::Call { step: "end", .. }, done) => self.ended.note(&done),
            _ => {}
        }
    }
}

/// Whether what is told means that money is owed which should have come.
fn is_owed(invoice: &Invoice, by: &str) -> bool {
    let failed = matches!(
        by,
        "invoice.payment_failed" | "invoice.overdue" | "invoice.payment_action_required"
    );
    invoice.status == "uncollectible" || failed || invoice.status == "open" && invoice.attempts > 0
}
