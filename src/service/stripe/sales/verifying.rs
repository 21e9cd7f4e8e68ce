//! Pages on which a customer shows a card, and how that stands.

use crate::config::stripe::Checkout;
use crate::config::{Shown, Verify};
use crate::domain::ids::{AccountId, PlanId};
use crate::stripe::api;
use crate::stripe::facts::{Fact, Metadata, Session};

use super::super::memo::Rules;
use super::super::purchase::CREDITS;
use super::super::verify::proof::VERIFY;
use super::super::verify::{VerifyMemo, verify_of};
use super::{NotSold, PATIENCE, Sales, address, purchase_of};

/// What a customer reads who shows a card by a charge.
const CHARGE_NAME: &str = "Verification of your card, refunded at once";

/// A page on which a card can be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyPage {
    /// `cs_...`
    pub id: String,
    /// Where the customer goes.
    pub url: String,
    /// The plan that opens.
    pub opens: PlanId,
    /// How: `card` or `charge`.
    pub by: &'static str,
    /// Until when, in seconds since the epoch.
    pub expires_at: i64,
}

/// How it stands with what an account has to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// `verified`, `processing`, `refused`, `wanted` or `not_needed`.
    pub status: &'static str,
    /// The account's plan.
    pub plan: Option<PlanId>,
    /// The plan that opens.
    pub opens: Option<PlanId>,
    /// How.
    pub by: Option<&'static str>,
    /// A sentence for the customer.
    pub message: String,
}

impl Sales {
    /// A page on which this account can show what its plan asks for; one for each `once`. None where it turns out to have been shown on an earlier one.
    pub async fn verify(&self, account: &AccountId, once: &str) -> Result<VerifyPage, NotSold> {
        let rules = self.desk.rules();
        let checkout = rules.stripe.checkout.as_ref().ok_or(NotSold::Closed)?;
        let _place = self.room.try_acquire().map_err(|_| NotSold::Busy)?;
        let opening = self.verify_for(account, checkout, &rules, once);
        let in_time = tokio::time::timeout(PATIENCE, opening).await;
        in_time.unwrap_or(Err(NotSold::Unanswered))
    }

    async fn verify_for(
        &self,
        account: &AccountId,
        checkout: &Checkout,
        rules: &Rules,
        once: &str,
    ) -> Result<VerifyPage, NotSold> {
        self.look_at_pages(account).await?;
        let plan = self.plan_of(account, rules).await?;
        let nothing = |why: &str| NotSold::NothingToShow(why.to_owned());
        let Some((plan, verify)) = verify_of(plan.as_ref(), rules) else {
            return Err(nothing("this account's plan asks for nothing"));
        };
        if self.desk.shown(account).await?.opened.contains_key(plan.as_str()) {
            return Err(nothing("this account was verified before"));
        }
        if let Shown::Payment(_) = verify.by {
            return Err(nothing("buying credits verifies this account"));
        }
        let purchase = purchase_of(account, &format!("verify {once}"));
        self.reserve(account, &purchase, "verify").await?;
        let metadata = metadata_of(account, plan, verify, rules);
        let body = self.page_for(account, &purchase, rules, |attempt, customer| {
            let (item, currency) = match verify.by {
                Shown::Charge { amount, currency } => {
                    let name = CHARGE_NAME;
                    let item = api::Item::Named {
                        name,
                        amount,
                        currency,
                    };
                    (item, None)
                }
                _ => (api::Item::Price(""), rules.stripe.rates.iter().next()),
            };
            let asked = api::NewCheckout {
                purchase: attempt,
                customer: Some(customer),
                account: account.as_str(),
                item,
                success_url: &checkout.success_url,
                cancel_url: Some(&checkout.cancel_url),
                expires_at: None,
                // As on pages that sell: what is charged later has a card then.
                keep_method: rules.stripe.charges_absent(),
                metadata: metadata.clone(),
            };
            match currency {
                Some((currency, _)) => api::create_card_check(&asked, currency),
                None => api::create_checkout(&asked),
            }
        });
        let (id, url, expires_at) = address(&body.await?)?;
        self.desk.note_shown(account, |memo| memo.page(&id)).await?;
        Ok(VerifyPage {
            id,
            url,
            opens: verify.opens.clone(),
            by: verify.by.as_str(),
            expires_at,
        })
    }

    /// How it stands. Pages that are not done with are looked at: what was shown counts when this has answered, whether or not an event came.
    pub async fn verification(&self, account: &AccountId) -> Result<Verification, NotSold> {
        let _place = self.room.try_acquire().map_err(|_| NotSold::Busy)?;
        let looking = async {
            let rules = self.desk.rules();
            self.look_at_pages(account).await?;
            let plan = self.plan_of(account, &rules).await?;
            let memo = self.desk.shown(account).await?;
            Ok(stands(&memo, plan, &rules))
        };
        let in_time = tokio::time::timeout(PATIENCE, looking).await;
        in_time.unwrap_or(Err(NotSold::Unanswered))
    }

    /// On one of them a card may have been shown without anybody having told of it.
    async fn look_at_pages(&self, account: &AccountId) -> Result<(), NotSold> {
        for page in self.desk.shown(account).await?.pages {
            self.count_look(account)?;
            self.look_at_proof(account, &page).await?;
        }
        Ok(())
    }

    async fn look_at_proof(&self, account: &AccountId, session: &str) -> Result<(), NotSold> {
        let call = api::get_checkout(session).map_err(|_| NotSold::NoPage)?;
        let told = match self.fetch(&call).await {
            // Gone at Stripe.
            Err(NotSold::NoPage) => {
                return Ok(self
                    .desk
                    .note_shown(account, |memo| memo.done_with(session))
                    .await?);
            }
            told => told?,
        };
        let Fact::Session(page) = &told.fact else {
            return Err(NotSold::Refused);
        };
        if page.status == "open" {
            return Ok(());
        }
        if page.status == "complete" {
            let Session { setup, payment, .. } = page;
            let call = match (setup, payment) {
                (Some(setup), _) => api::get_setup_intent(setup)?,
                (None, Some(payment)) => api::get_payment(payment)?,
                (None, None) => return Ok(()),
            };
            let shown = self.fetch(&call).await?;
            let status = match &shown.fact {
                Fact::Setup(setup) => &setup.status,
                Fact::Payment(payment) => &payment.status,
                _ => return Err(NotSold::Refused),
            };
            let is_over = status != "processing";
            self.desk.tell(&shown, true).await?;
            if !is_over {
                return Ok(());
            }
        }
        Ok(self
            .desk
            .note_shown(account, |memo| memo.done_with(session))
            .await?)
    }

    async fn plan_of(&self, account: &AccountId, rules: &Rules) -> Result<Option<PlanId>, NotSold> {
        let statement = self.ledger.statement(account).await?.ok_or(NotSold::NoAccount)?;
        let own = statement.account.settings.plan.clone();
        Ok(own.or_else(|| rules.default_plan.clone()))
    }
}

fn metadata_of(account: &AccountId, plan: &PlanId, verify: &Verify, rules: &Rules) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(rules.stripe.account_metadata.to_string(), account.to_string());
    metadata.insert(VERIFY.to_owned(), plan.to_string());
    if let Shown::Charge { .. } = verify.by {
        // Nothing is bought by it.
        metadata.insert(CREDITS.to_owned(), "0".to_owned());
    }
    metadata
}

fn stands(memo: &VerifyMemo, plan: Option<PlanId>, rules: &Rules) -> Verification {
    let asked = verify_of(plan.as_ref(), rules);
    let told = |status, message: String| Verification {
        status,
        plan: plan.clone(),
        opens: asked.map(|(_, verify)| verify.opens.clone()),
        by: asked.map(|(_, verify)| verify.by.as_str()),
        message,
    };
    let Some((id, verify)) = asked else {
        return if memo.opened.is_empty() {
            told("not_needed", "this account's plan asks for nothing".to_owned())
        } else {
            told("verified", "this account is verified".to_owned())
        };
    };
    if memo.opened.contains_key(id.as_str()) {
        let message =
            "this account was verified before, and put back on this plan; ask whoever you bought it from";
        return told("verified", message.to_owned());
    }
    if memo.is_under_way() {
        return told(
            "processing",
            "it is being looked at; ask again in a moment".to_owned(),
        );
    }
    let by_card = !matches!(verify.by, Shown::Payment(_));
    if let Some(verdict) = memo.refused().filter(|_| by_card) {
        return told("refused", verdict.told().to_owned());
    }
    told("wanted", how(verify, memo))
}

/// What is to be done.
fn how(verify: &Verify, memo: &VerifyMemo) -> String {
    let opens = &verify.opens;
    match verify.by {
        Shown::Card => format!(
            "POST /faregate/v1/verify with this key answers with a page to enter a card at; nothing is charged, and the plan {opens} opens"
        ),
        Shown::Charge { amount, currency } => format!(
            "POST /faregate/v1/verify with this key answers with a page to pay {} at, which is refunded at once; then the plan {opens} opens",
            currency.show(amount)
        ),
        Shown::Payment(credits) => {
            let bought = memo.bought_in_all();
            format!(
                "the plan {opens} opens when {credits} credits were bought, and {bought} are so far: GET /faregate/v1/packs lists packs"
            )
        }
    }
}
