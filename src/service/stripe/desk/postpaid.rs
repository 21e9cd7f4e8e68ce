//! Invoices of usage that credits did not pay for. On a plan with a credit line that is how it is meant: what is paid of one is owed here no more. On any
//! other the operator is told.

use crate::domain::credits::Credits;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::memos::MemoName;
use crate::stripe::api;

use super::super::grant::worth;
use super::super::lot::Lot;
use super::super::memo::{Amount, Done, Rules, Want, starts};
use super::super::purchase::PRIORITY;
use super::Desk;
use super::settle::{Ended, Tried};
use super::top_up::Unfound;

/// Of so many payments of an invoice, the newest, the one that paid it is looked for.
const PAYMENTS_AMONG: usize = 100;

impl Desk {
    /// Tells the operator of what credits did not pay for, where they were to.
    pub(super) async fn overage(
        &self,
        invoice: &MemoName,
        account: &AccountId,
        due: i64,
        currency: &str,
        rules: &Rules,
    ) -> Result<(), LedgerError> {
        if self.may_owe(account, rules).await? {
            return Ok(());
        }
        let due = format!("{due} {currency}");
        let what = "credits did not pay for all of its usage: see Overage in docs/stripe.md";
        tracing::error!(invoice = invoice.id(), minor_units = due, "{what}");
        if let Some(meters) = &self.meters {
            meters.overage_invoices.inc();
        }
        Ok(())
    }

    /// The account's plan has a credit line.
    async fn may_owe(&self, account: &AccountId, rules: &Rules) -> Result<bool, LedgerError> {
        let statement = self.ledger.statement(account).await?;
        let own = statement
            .as_ref()
            .and_then(|statement| statement.account.settings.plan.as_ref());
        let plan = own.or(rules.default_plan.as_ref());
        let plan = plan.and_then(|plan| rules.plans.get(plan));
        Ok(plan.is_some_and(|plan| !plan.credit_line.is_zero()))
    }

    /// Gives what was paid by an invoice, against what is owed here; once, and taken back with the payment, should that be refunded or disputed.
    pub(super) async fn paid_off(
        &self,
        invoice: &MemoName,
        want: &Want,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        let Want::PaidOff {
            account,
            owner,
            due,
            currency,
            at,
        } = want
        else {
            return Ok(Tried::Ends(Ended::Nothing));
        };
        if !self.may_owe(account, rules).await? {
            return Ok(Tried::Came(Done::Done));
        }
        let lot = GrantId::new(invoice.as_str()).map_err(|error| error.to_string());
        let (lot, credits) = match (lot, worth(rules, currency, *due)) {
            (Ok(lot), Ok(credits)) => (lot, credits),
            (Err(why), _) | (_, Err(why)) => return Ok(Tried::Came(Done::Refused(why))),
        };
        let payment = match self.payment_of(invoice.id()).await {
            Ok(payment) => payment,
            Err(Unfound::Ledger(error)) => return Err(error),
            Err(Unfound::Stripe(error)) => return Ok(Tried::Ends(Ended::Unanswered(error.to_string()))),
        };
        if let Some(payment) = &payment {
            let mine = Lot {
                grant: lot.to_string(),
                credits: Amount(credits),
                value: *due,
            };
            match self.claim(payment, &mine, owner).await? {
                Tried::Came(Done::Lot(stands)) if stands == mine.grant => {}
                // The payment has bought something already: it pays once.
                Tried::Came(Done::Lot(_)) => return Ok(Tried::Came(Done::Done)),
                other => return Ok(other),
            }
        }
        self.grant(account, &facts(lot, credits, *at, payment.as_deref()), rules)
            .await
    }

    /// The payment that has paid an invoice; none where it was paid otherwise (marked as paid, by a balance).
    async fn payment_of(&self, invoice: &str) -> Result<Option<String>, Unfound> {
        let payments = self
            .newest(api::list_invoice_payments(invoice), PAYMENTS_AMONG)
            .await?;
        let mut paid = payments.iter().filter(|payment| payment["status"] == "paid");
        let found = paid.find_map(|payment| payment["payment"]["payment_intent"].as_str());
        Ok(found.map(str::to_owned))
    }
}

fn facts(id: GrantId, credits: Credits, paid_at: i64, payment: Option<&str>) -> GrantFacts {
    let at = starts(paid_at, paid_at);
    GrantFacts {
        id,
        amount: credits,
        priority: PRIORITY,
        category: Category::Paid,
        effective_at: at,
        expires_at: Timestamp::NEVER,
        created_at: at,
        updated_at: at,
        voided_at: None,
        note: payment.map(Into::into),
    }
}
