//! `invoice:in_1`: whether an invoice is owed after its payment failed, and what is done at Stripe so that nobody keeps trying for weeks.

use serde::{Deserialize, Serialize};

use crate::config::stripe::AfterLast;
use crate::domain::ids::AccountId;
use crate::stripe::api::{self, Collection};
use crate::stripe::call::{BadCall, Call};
use crate::stripe::facts::{Fact, Invoice, Telling};

use super::memo::{Alarm, Done, Owner, Rules, Said, Step, Want, Whose};

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
    /// When it was paid, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<i64>,
    /// What was owed here is paid off by it.
    pub paid_off: bool,
    /// What the account was told.
    pub said: Said,
    /// It was just looked at: what is about to be done about it is not done for a telling that was late.
    pub looked: bool,
    /// No further attempts: `auto_advance` is off.
    pub stopped: Step,
    /// The subscription is canceled or paused.
    pub ended: Step,
    /// Its collection is paused, which ends with the invoice; not where the subscription is canceled.
    pub paused: bool,
    /// The collection goes on.
    pub resumed: Step,
    /// How often Stripe was asked for any of them and did not say yes or no. An error of its own it says again to the same idempotency key for a day, so each
    /// time has another: both calls say what shall be, and may be made twice.
    pub unanswered: u32,
}

impl InvoiceMemo {
    pub(super) fn hear(&mut self, telling: &Telling, rules: &Rules) {
        let Fact::Invoice(invoice) = &telling.fact else {
            return;
        };
        self.owner.customer = Some(invoice.customer.clone());
        if rules.is_before(invoice.created) && !self.owed {
            return;
        }
        self.attempts = self.attempts.max(invoice.attempts);
        self.subscription = self.subscription.take().or_else(|| invoice.subscription.clone());
        let is_final = matches!(&*invoice.status, "open" | "paid" | "uncollectible");
        if is_final && invoice.due > 0 && self.overage.is_none() {
            self.overage = Some((invoice.due, invoice.currency.clone()));
        }
        self.over |= matches!(&*invoice.status, "paid" | "void");
        if invoice.status == "paid" && self.paid_at.is_none() {
            self.paid_at = Some(telling.at);
        }
        self.owed |= is_owed(invoice, &telling.by);
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Option<Want> {
        let overage = self.overage(rules);
        let owed = self.owed && !self.over;
        let shut = owed && rules.stripe.on.payment_failed.pause;
        let fast = rules.stripe.fail_fast.as_ref().filter(|_| rules.api);
        let Some(account) = self.owner.account() else {
            // Of somebody who has no account nothing is changed, here or at Stripe.
            let owner = self.owner.clone();
            let concerns = shut || owed && fast.is_some() || overage.is_some();
            return concerns.then_some(Want::Owner(Whose::Customer { owner, pays: false }));
        };
        if let Some(want) = self.said.change(&account, &format!("invoice:{id}"), shut) {
            return Some(want);
        }
        if let Some(want) = overage.and_then(|overage| self.tell_or_pay_off(&account, overage)) {
            return Some(want);
        }
        if self.over && self.paused && self.resumed.is_open() && rules.api {
            return self.collect(id, "resume", Collection::Resume);
        }
        let fast = fast.filter(|fast| owed && self.attempts >= i64::from(fast.attempts_max))?;
        let ends = self.ended.is_open() && self.subscription.is_some() && fast.after_last != AfterLast::Keep;
        if !self.stopped.is_open() && !ends {
            return None;
        }
        if !self.looked {
            return Some(Want::Look(api::get_invoice(id).ok()?));
        }
        if self.stopped.is_open() {
            return called("stop", api::stop_invoice(id, &self.because("failed")));
        }
        match fast.after_last {
            AfterLast::Cancel => called(
                "end",
                api::cancel_subscription(self.subscription.as_deref()?, false),
            ),
            AfterLast::Pause => self.collect(id, "pause", Collection::KeepAsDraft),
            AfterLast::Keep => None,
        }
    }

    /// Has the collection of its subscription paused, or go on.
    fn collect(&self, id: &str, step: &'static str, collection: Collection) -> Option<Want> {
        let change = api::SubscriptionChange {
            collection: Some(collection),
            ..api::SubscriptionChange::default()
        };
        let because = self.because(&format!("{id}_{step}"));
        called(
            step,
            api::update_subscription(self.subscription.as_deref()?, &change, &because),
        )
    }

    /// Where usage is reported, credits are to pay for what a subscription is invoiced. Nothing once all was done about what they did not pay.
    fn overage(&self, rules: &Rules) -> Option<(i64, String)> {
        let meant = rules.stripe.usage.is_some() && self.subscription.is_some();
        let open = !self.told || self.paid_at.is_some() && !self.paid_off;
        self.overage.clone().filter(|_| meant && open)
    }

    /// It may be paid, and nobody may say so.
    pub fn is_awaited(&self, rules: &Rules) -> bool {
        let pays_off = rules.stripe.usage.is_some() && self.overage.is_some();
        !self.over && (self.owed || pays_off)
    }

    fn tell_or_pay_off(&self, account: &AccountId, (due, currency): (i64, String)) -> Option<Want> {
        let account = account.clone();
        if !self.told {
            return Some(Want::Alarm(Alarm::Overage {
                account,
                due,
                currency,
            }));
        }
        let at = self.paid_at?;
        Some(Want::PaidOff {
            account,
            owner: self.owner.clone(),
            due,
            currency,
            at,
        })
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
            (Want::Alarm(_), _) => self.told = true,
            (Want::PaidOff { .. }, _) => self.paid_off = true,
            (Want::Change { .. }, _) => self.said.note(want),
            (Want::Look(_), _) => self.looked = true,
            (Want::Call { step, .. }, done) => {
                self.looked = false;
                match *step {
                    "stop" => self.stopped.note(&done),
                    "resume" => self.resumed.note(&done),
                    step => {
                        self.ended.note(&done);
                        self.paused = step == "pause" && self.ended == Step::Done;
                    }
                }
            }
            _ => {}
        }
    }
}

fn called(step: &'static str, call: Result<Call, BadCall>) -> Option<Want> {
    let call = call.ok()?;
    let before = None;
    Some(Want::Call { step, call, before })
}

/// Whether what is told means that money is owed which should have come.
fn is_owed(invoice: &Invoice, by: &str) -> bool {
    let failed = matches!(
        by,
        "invoice.payment_failed" | "invoice.overdue" | "invoice.payment_action_required"
    );
    invoice.status == "uncollectible" || failed || invoice.status == "open" && invoice.attempts > 0
}
