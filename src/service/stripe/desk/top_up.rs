//! Automatic top-ups: who runs low is looked at, and charged, once.

mod means;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::domain::credits::Credits;
use crate::domain::grant::{GrantState, LIVE_GRANTS_MAX};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::memos::MemoName;
use crate::ledger::{LedgerError, PAGE_MAX};
use crate::service::watch::Mark;
use crate::stripe::api;
use crate::stripe::call::Call;
use crate::stripe::client::{ApiError, Refused, list_all};
use crate::stripe::facts::{Fact, Telling, read};

use super::super::memo::{Document, Done, Rules, Want};
use super::super::sales::buyer;
use super::super::top_up::{Came, Charge, SHUT, Stand, TOP_UP, TopUpMemo, Why};
use super::Desk;
use super::settle::{Ended, Stored, Tried};
pub(super) use means::Unfound;

/// How often it is read anew who is to be watched: another proxy may have been told of it.
const REFRESH: Duration = Duration::from_secs(30);

/// After a look at those who run low, so long is waited for the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// With so many live grants an account is not charged for one more: the ledger has room for [`LIVE_GRANTS_MAX`], and a purchase on a page has to find room too.
const GRANTS_FULL: usize = LIVE_GRANTS_MAX - 10;

/// The most payments of a customer that are looked through for one that was made before.
const PAYMENTS_MAX: usize = 1_000;

impl Desk {
    /// Looks at those who run low, and at who is to be watched, until the task is dropped.
    pub async fn run_top_ups(self: Arc<Self>) {
        loop {
            let until = Instant::now() + REFRESH;
            if let Err(error) = self.watch_all().await {
                tracing::warn!(%error, "could not read whose credits are to be watched");
            }
            while let Ok(low) = tokio::time::timeout_at(until, self.watch.low()).await {
                for (account, owes) in low {
                    if let Err(error) = self.look_at_low(&account, owes).await {
                        tracing::warn!(%account, %error, "could not look at an account that runs low");
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Has an account that runs low, or `owes` what is to be charged, looked at, where something can be done about it and nothing is under way.
    pub async fn look_at_low(&self, account: &AccountId, owes: bool) -> Result<(), LedgerError> {
        let waits = self.watch.mark(account).map_or(0, |mark| mark.not_before);
        // That nothing is bought for now is no reason not to charge what is owed.
        if !owes && self.seconds() < waits {
            return Ok(());
        }
        let name = name_of(account)?;
        let kept = self.memos.memo(&name).await?;
        // One that is due, or is worked on, is left alone: to write it would only have that begin anew.
        let idle = kept.map_or(!self.rules().stripe.slices.is_empty(), |kept| {
            kept.memo.due == Timestamp::NEVER
        });
        if idle {
            self.make_due(&name).await?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Reads who is to be watched.
    pub async fn watch_all(&self) -> Result<(), LedgerError> {
        self.watch.begin_reading();
        let mut marks = HashMap::new();
        let mut cursor = None;
        // Also where nobody is charged any more: whoever was shut for what was owed then is let out.
        loop {
            let page = self.memos.memos("top_up", cursor.as_deref(), PAGE_MAX).await?;
            for (name, kept) in &page.items {
                let Document::TopUp(memo) = Stored::read(name, Some(kept))?.document else {
                    continue;
                };
                if memo.is_shut() && kept.memo.due == Timestamp::NEVER {
                    // Whatever pays what is owed, be it by hand, opens the account.
                    self.make_due(name).await?;
                }
                if let (Ok(account), Some(mark)) = (AccountId::new(name.id()), self.mark_of(&memo)) {
                    marks.insert(account, mark);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        self.watch.set_all(marks);
        Ok(())
    }

    fn mark_of(&self, memo: &TopUpMemo) -> Option<Mark> {
        memo.mark(self.seconds(), self.rules().stripe.top_up.as_ref()?)
    }

    /// What was written of an account is what is watched from now on.
    pub(super) fn watch_for(&self, name: &MemoName, memo: &TopUpMemo) {
        if let Ok(account) = AccountId::new(name.id()) {
            self.watch.set(&account, self.mark_of(memo));
        }
    }

    /// What is remembered of an account's automatic top-ups.
    pub async fn top_up(&self, account: &AccountId) -> Result<TopUpMemo, LedgerError> {
        Ok(match self.document(&name_of(account)?).await? {
            Document::TopUp(memo) => *memo,
            _ => TopUpMemo::default(),
        })
    }

    /// Changes it; it is looked at soon.
    pub(in super::super) async fn change_top_up(
        &self,
        account: &AccountId,
        mut change: impl FnMut(&mut TopUpMemo),
    ) -> Result<(), LedgerError> {
        self.rewrite(&name_of(account)?, |document| {
            if let Document::TopUp(memo) = document {
                change(memo);
            }
        })
        .await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Which customer of Stripe's an account is, as far as that is known.
    pub(in super::super) async fn known_customer(
        &self,
        account: &AccountId,
    ) -> Result<Option<String>, LedgerError> {
        if let Some(known) = buyer::customer(&*self.memos, account).await? {
            return Ok(known);
        }
        // Accounts that a payment has made have the customer's own name.
        let is_customer = self.is_customer(account).await?;
        Ok(is_customer.then(|| account.to_string()))
    }

    /// Does a want that is about charging; nothing of any other.
    pub(super) async fn attempt_charging(
        &self,
        name: &MemoName,
        want: &Want,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        match want {
            Want::Stand => match AccountId::new(name.id()) {
                Ok(account) => Ok(Tried::Came(Done::Stand(self.stand(&account, rules).await?))),
                Err(_) => Ok(Tried::Ends(Ended::Nothing)),
            },
            Want::Means {
                customer,
                bad,
                refused,
                owed,
            } => {
                let not = (bad.as_deref(), &**refused);
                self.means(customer, not, *owed, rules).await
            }
            Want::Charge {
                call,
                charge,
                fresh,
                below,
            } => self.charge(name, call, charge, *fresh, *below, rules).await,
            Want::Credited(payment) => self.credited(name, payment).await,
            Want::Bought(account) => self.bought(account).await,
            _ => Ok(Tried::Ends(Ended::Nothing)),
        }
    }

    /// How an account stands.
    async fn stand(&self, account: &AccountId, rules: &Rules) -> Result<Stand, LedgerError> {
        let mut stand = Stand {
            now: self.seconds(),
            available: None,
            owes: Credits::ZERO,
            every: None,
            chargeable: false,
            full: false,
            customer: self.known_customer(account).await?,
        };
        let Some(statement) = self.ledger.statement(account).await? else {
            return Ok(stand);
        };
        let live = statement
            .grants
            .iter()
            .filter(|grant| grant.state != GrantState::Ended && grant.facts.expires_at > self.clock.now());
        stand.full = live.count() >= GRANTS_FULL;
        let (account, settings) = (&statement.account, &statement.account.settings);
        let spent = account.available().saturating_add(account.gauge.held);
        stand.owes = spent.negated().at_least_zero();
        stand.every = rules.stripe.slices.of(settings.plan.as_ref());
        stand.chargeable = settings.reasons.iter().all(|reason| reason.as_str() == SHUT);
        if settings.reasons.is_empty() {
            stand.available = Some(account.available());
        }
        Ok(stand)
    }

    /// Charges a customer who is not there. What may have been asked for before is looked for first, and asked for again only while it is still wanted.
    async fn charge(
        &self,
        name: &MemoName,
        call: &Call,
        charge: &Charge,
        fresh: bool,
        below: Option<Credits>,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        let Ok(account) = AccountId::new(name.id()) else {
            return Ok(Tried::Ends(Ended::Nothing));
        };
        if !fresh {
            match self.find_charge(charge).await {
                Ok(Some(payment)) => return self.charged(name, &payment).await,
                Ok(None) => {}
                Err(Unfound::Ledger(error)) => return Err(error),
                Err(Unfound::Stripe(error)) => return Ok(Tried::Ends(Ended::Unanswered(error.to_string()))),
            }
            let stand = self.stand(&account, rules).await?;
            let low = |has: Credits| below.is_some_and(|below| has < below);
            let wanted = match charge.owed {
                true => stand.chargeable && stand.every.is_some_and(|every| stand.owes >= every),
                false => stand.available.is_some_and(low),
            };
            return Ok(match charge.unlisted(self.seconds(), wanted) {
                Some(Came::Wanted) => Tried::Came(Done::Charged(Came::Wanted, self.seconds())),
                Some(came) => self.came(name, came),
                None => {
                    let why = "whether it was charged is looked at again before it is given up";
                    Tried::Ends(Ended::Unanswered(why.to_owned()))
                }
            });
        }
        let Some(stripe) = self.stripe() else {
            return Ok(Tried::Ends(Ended::Unanswered("there is no `api_key`".to_owned())));
        };
        match stripe.call(call).await {
            Ok(reply) => self.charged(name, &reply.body).await,
            Err(ApiError::Refused(refused)) if refused.is_permission() || refused.is_key() => {
                let why = format!("{account} cannot be charged: {refused}");
                Ok(Tried::Came(Done::Refused(why)))
            }
            Err(ApiError::Refused(refused)) => {
                let came = refused_charge(&refused);
                if !refused.is_card() {
                    tracing::error!(%account, %refused, "Stripe does not take an automatic top-up");
                }
                Ok(self.came(name, came))
            }
            Err(error) => {
                self.count("unknown");
                Ok(Tried::Ends(Ended::Unanswered(error.to_string())))
            }
        }
    }

    /// The payment of a charge that may have been made.
    async fn find_charge(&self, charge: &Charge) -> Result<Option<Value>, Unfound> {
        // Their clock is not ours.
        let since = charge.at.saturating_sub(3_600);
        let (call, stripe) = self.client_for(api::list_payments(&charge.customer, Some(since)))?;
        let payments = list_all(&*stripe, &call, PAYMENTS_MAX)
            .await
            .map_err(Unfound::Stripe)?;
        let found = payments
            .into_iter()
            .find(|payment| payment["metadata"][TOP_UP] == charge.attempt.as_str());
        Ok(found)
    }

    /// A payment that was made for a charge is told to whom it concerns.
    async fn charged(&self, name: &MemoName, payment: &Value) -> Result<Tried, LedgerError> {
        let id = payment["id"].as_str().unwrap_or_default();
        if let Some(why) = failed(payment) {
            return Ok(self.came(name, Came::Refused(why)));
        }
        if let Ok(Some(fact @ Fact::Payment(_))) = read(payment) {
            let telling = Telling::by_api(fact, self.their_time(self.seconds()));
            Box::pin(self.tell(&telling, true)).await?;
        }
        Ok(Tried::Came(Done::Charged(
            Came::Made(id.to_owned()),
            self.seconds(),
        )))
    }

    /// Whether what a charge bought is there; where it is not, Stripe is asked whether the money has come.
    async fn credited(&self, name: &MemoName, payment: &str) -> Result<Tried, LedgerError> {
        if self.is_credited(name, payment).await? {
            self.count("paid");
            return Ok(Tried::Came(Done::Done));
        }
        let found = match self.get(api::get_payment(payment)).await {
            Ok(found) => found,
            Err(Unfound::Ledger(error)) => return Err(error),
            Err(Unfound::Stripe(error)) => return Ok(Tried::Ends(Ended::Unanswered(error.to_string()))),
        };
        match self.charged(name, &found).await? {
            Tried::Came(Done::Charged(Came::Made(_), _)) => {}
            other => return Ok(other),
        }
        if self.is_credited(name, payment).await? {
            self.count("paid");
            return Ok(Tried::Came(Done::Done));
        }
        let why = format!("{payment} was charged, and what it bought is not there yet");
        Ok(Tried::Ends(Ended::Unanswered(why)))
    }

    /// The ledger has the lot of the payment.
    async fn is_credited(&self, name: &MemoName, payment: &str) -> Result<bool, LedgerError> {
        let Ok(purchase) = MemoName::new("purchase", payment) else {
            return Ok(false);
        };
        let (Document::Purchase(purchase), Ok(account)) =
            (self.document(&purchase).await?, AccountId::new(name.id()))
        else {
            return Ok(false);
        };
        let Some(lot) = &purchase.lot else {
            return Ok(false);
        };
        let statement = self.ledger.statement(&account).await?;
        let grants = statement.map(|statement| statement.grants).unwrap_or_default();
        Ok(grants.iter().any(|grant| grant.facts.id.as_str() == lot.grant))
    }

    fn came(&self, name: &MemoName, came: Came) -> Tried {
        let outcome = match came {
            Came::Refused(why) => why.said().0,
            _ => "dropped",
        };
        tracing::warn!(memo = %name, outcome, "an automatic top-up was not paid");
        self.count(outcome);
        Tried::Came(Done::Charged(came, self.seconds()))
    }

    fn count(&self, outcome: &str) {
        if let Some(meters) = &self.meters {
            meters.topped_up(outcome);
        }
    }

    /// Before credits are taken back: the card of somebody who was given money back is not charged for it again.
    pub(super) async fn hold_charges(&self, account: &AccountId, rules: &Rules) -> Result<(), LedgerError> {
        let name = name_of(account)?;
        if rules.stripe.slices.is_empty() && self.memos.memo(&name).await?.is_none() {
            return Ok(());
        }
        let now = self.seconds();
        self.change_top_up(account, |memo| memo.taken_back(now)).await?;
        self.make_due(&name).await
    }

    /// A customer has paid: what was held back goes on.
    async fn bought(&self, account: &AccountId) -> Result<Tried, LedgerError> {
        let name = name_of(account)?;
        if self.memos.memo(&name).await?.is_some() {
            self.change_top_up(account, TopUpMemo::bought).await?;
            self.make_due(&name).await?;
        }
        Ok(Tried::Came(Done::Done))
    }
}

fn name_of(account: &AccountId) -> Result<MemoName, LedgerError> {
    MemoName::new("top_up", account.as_str()).map_err(|error| LedgerError::Invalid(error.to_string()))
}

/// Why a payment that is there will not come to money; nothing where it has, or may.
fn failed(payment: &Value) -> Option<Why> {
    let error = &payment["last_payment_error"];
    match payment["status"].as_str().unwrap_or_default() {
        "succeeded" | "processing" => None,
        "requires_action" => Some(Why::AuthenticationRequired),
        _ => Some(declined([
            error["code"].as_str(),
            error["decline_code"].as_str(),
            error["advice_code"].as_str(),
        ])),
    }
}

fn refused_charge(refused: &Refused) -> Came {
    if refused.is_card() {
        return Came::Refused(declined([
            refused.code.as_deref(),
            refused.decline_code.as_deref(),
            refused.advice_code.as_deref(),
        ]));
    }
    // The books went back in time, and a number that was used is used again: the next has another.
    if refused.is_other_call() {
        return Came::Dropped;
    }
    let lacks_card =
        refused.is_missing() || matches!(refused.param.as_deref(), Some("payment_method" | "customer"));
    Came::Refused(if lacks_card { Why::NoCard } else { Why::Refused })
}

/// What a decline means, by its code, decline code and advice.
fn declined([code, decline_code, advice]: [Option<&str>; 3]) -> Why {
    let says = |word: &str| [code, decline_code].contains(&Some(word));
    if says("authentication_required") {
        return Why::AuthenticationRequired;
    }
    let never = ["lost_card", "stolen_card", "pickup_card", "fraudulent"];
    if advice == Some("do_not_try_again") || never.into_iter().any(says) {
        return Why::CardRefused;
    }
    Why::Declined
}
