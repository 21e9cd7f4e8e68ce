//! How each want is done.

use crate::domain::account::Account;
use crate::domain::command::{AccountChange, Command};
use crate::domain::credits::Credits;
use crate::domain::grant::{GrantFacts, GrantState, LIVE_GRANTS_MAX};
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::refusal::Refusal;
use crate::ledger::LedgerError;
use crate::ledger::detail::Note;
use crate::ledger::memos::{Kept, MemoName};
use crate::service::accounts::{ControlError, send};
use crate::stripe::api;
use crate::stripe::call::Call;
use crate::stripe::client::{ApiError, list_all};
use crate::stripe::facts::{Fact, Telling, read};

use super::super::lot::{Lot, Standing};
use super::super::memo::{Alarm, Document, Done, Owner, Rules, Want};
use super::Desk;
use super::settle::{Ended, Tried};

/// By whom the journal says that it was done.
pub(super) const ACTOR: &str = "stripe";

/// The most grants of a customer that are looked through for one that was made before.
const GRANTS_MAX: usize = 10_000;

impl Desk {
    /// Does one want of a memo as it was `kept`.
    pub(super) async fn attempt(
        &self,
        name: &MemoName,
        kept: &Kept,
        want: &Want,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        if want.is_asking() && !api {
            return Ok(Tried::Ends(Ended::Ask));
        }
        match want {
            Want::Owner(whose) => self.owner(name, whose, rules, api).await,
            Want::Claim { payment, lot, owner } => {
                let claimed = self.claim(payment, lot, owner).await?;
                // A purchase that claims itself was written: what is worked on is old.
                let own = name.kind() == "purchase" && name.id() == payment;
                Ok(if own { Tried::Ends(Ended::Again) } else { claimed })
            }
            Want::Grant { account, facts } | Want::GiveBack { account, facts } => {
                self.grant(account, facts, rules).await
            }
            Want::Alarm(alarm) => self.ring(name, alarm, rules).await,
            Want::PaidOff { .. } => self.paid_off(name, want, rules).await,
            Want::Lot { account, grant } => self.lot(account, grant).await,
            Want::Adjust {
                account,
                id,
                amount,
                from,
            } => {
                let note = Note::by(ACTOR, "clawback").reference(name.id());
                let note = from.iter().fold(note, |note, grant| note.from(grant));
                let command = Command::Adjust {
                    id: id.clone(),
                    account: account.clone(),
                    amount: *amount,
                    from: from.clone(),
                    detail: note.detail(),
                };
                self.adjust(account, &command, amount.is_negative(), rules).await
            }
            Want::Change { account, change } => self.change(name, kept, account, change).await,
            Want::Make {
                call,
                customer,
                payment,
                look_from,
            } => {
                if self.seconds() >= *look_from
                    && let Some(tried) = self.find_made(customer, payment).await?
                {
                    return Ok(tried);
                }
                self.call(name, call).await
            }
            Want::Look(call) => Ok(self.look(call).await),
            Want::Verify(step) => self.verifying(name, step, rules, api).await,
            Want::Call { call, before, .. } => {
                if before.is_some_and(|before| self.seconds() >= before) {
                    let why =
                        "it is not known whether Stripe did it, and too late to ask again: compare by hand";
                    return Ok(Tried::Came(Done::Refused(why.to_owned())));
                }
                self.call(name, call).await
            }
            want => self.attempt_charging(name, want, rules).await,
        }
    }

    async fn command(&self, command: &Command) -> Result<Tried, LedgerError> {
        match send(&self.ledger, command).await {
            Ok(_) => Ok(Tried::Came(Done::Done)),
            Err(ControlError::Failed(error)) => Err(error),
            Err(ControlError::Refused(refusal)) => {
                let why = format!("the ledger refused: {refusal:?}");
                Ok(Tried::Came(Done::Refused(why)))
            }
        }
    }

    /// Puts a grant; the account is made where it is not there.
    pub(super) async fn grant(
        &self,
        account: &AccountId,
        facts: &GrantFacts,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        let mut note = Note::by(ACTOR, "grant").grant(facts);
        if let Some(purchase) = &facts.note {
            note = note.reference(purchase);
        }
        let command = Command::PutGrant {
            account: account.clone(),
            facts: facts.clone(),
            detail: note.detail(),
        };
        match send(&self.ledger, &command).await {
            Err(ControlError::Refused(Refusal::UnknownAccount)) => {}
            Err(ControlError::Failed(error)) => return Err(error),
            Err(ControlError::Refused(refusal)) => {
                let why = match refusal {
                    Refusal::OutOfRange("the number of grants") => format!(
                        "account {account} has {LIVE_GRANTS_MAX} grants that are not used up or over, and can have no more: it comes in when one of them is"
                    ),
                    refusal => format!("the ledger refused the grant: {refusal:?}"),
                };
                return Ok(Tried::Came(Done::Refused(why)));
            }
            Ok(changed) => {
                if facts.voided_at.is_some() && !changed.replayed && rules.stripe.usage.is_some() {
                    self.tell_of_void(account, facts).await?;
                }
                return Ok(Tried::Came(Done::Done));
            }
        }
        self.make_account(account, rules).await?;
        self.command(&command).await
    }

    /// R7: what was spent of a grant that is void now is invoiced all the same, and nothing pays it but the customer's card.
    async fn tell_of_void(&self, account: &AccountId, facts: &GrantFacts) -> Result<(), LedgerError> {
        let statement = self.ledger.statement(account).await?;
        let lots = statement.map(|statement| statement.grants).unwrap_or_default();
        let spent = lots
            .iter()
            .find(|lot| lot.facts.id == facts.id)
            .map(|lot| lot.drawn);
        if let Some(spent) = spent.filter(|spent| !spent.is_zero()) {
            tracing::error!(%account, grant = %facts.id, %spent, "a grant was voided at Stripe of which some was spent: the next invoice asks the customer's card for that");
        }
        Ok(())
    }

    /// Makes an account on the plan for those who pay; one that is there stays as it is.
    pub(super) async fn make_account(&self, account: &AccountId, rules: &Rules) -> Result<(), LedgerError> {
        let change = AccountChange::Create(rules.stripe.plan.clone());
        let command = Command::SetAccount {
            account: account.clone(),
            expected: None,
            detail: Note::by(ACTOR, "payment").change(&change).detail(),
            change,
        };
        match send(&self.ledger, &command).await {
            Err(ControlError::Failed(error)) => Err(error),
            Ok(_) | Err(ControlError::Refused(_)) => Ok(()),
        }
    }

    /// How a lot stands. One that has not begun is waited for: nothing of it can be spent before, and nothing of others shall be taken in its place.
    async fn lot(&self, account: &AccountId, grant: &GrantId) -> Result<Tried, LedgerError> {
        let standing = self.ledger.statement(account).await?.and_then(|statement| {
            let lot = statement.grants.iter().find(|known| known.facts.id == *grant)?;
            let begins = lot.facts.effective_at;
            if lot.state == GrantState::Pending && begins > statement.time {
                return Some(Tried::Ends(Ended::Until(begins)));
            }
            let standing = Standing::of(lot, statement.time);
            Some(Tried::Came(Done::Standing(standing)))
        });
        let unknown = Standing {
            gone: Credits::ZERO,
            back: None,
        };
        Ok(standing.unwrap_or(Tried::Came(Done::Standing(unknown))))
    }

    /// Pauses or resumes, unless somebody decided otherwise since the memo was read: the account's version is taken first, then the memo is seen to be the
    /// same still, then the change is made on that version only.
    async fn change(
        &self,
        name: &MemoName,
        kept: &Kept,
        account: &AccountId,
        change: &AccountChange,
    ) -> Result<Tried, LedgerError> {
        let Some(statement) = self.ledger.statement(account).await? else {
            return Ok(Tried::Ends(Ended::Parked(format!(
                "there is no account {account}"
            ))));
        };
        let now = self.memos.memo(name).await?;
        if now.map(|now| now.version) != Some(kept.version) {
            return Ok(Tried::Ends(Ended::Again));
        }
        let note = Note::by(ACTOR, "event").reference(name.as_str());
        self.set_account(&statement.account, change, note).await
    }

    /// Changes an account, unless somebody else has since it was looked at.
    pub(super) async fn set_account(
        &self,
        seen: &Account,
        change: &AccountChange,
        note: Note<'_>,
    ) -> Result<Tried, LedgerError> {
        let command = Command::SetAccount {
            account: seen.id.clone(),
            expected: Some(seen.version),
            change: change.clone(),
            detail: note.change(change).detail(),
        };
        match send(&self.ledger, &command).await {
            Ok(_) => Ok(Tried::Came(Done::Done)),
            Err(ControlError::Refused(Refusal::Outdated)) => Ok(Tried::Ends(Ended::Again)),
            Err(ControlError::Failed(error)) => Err(error),
            Err(ControlError::Refused(refusal)) => Ok(Tried::Ends(Ended::Parked(format!(
                "the ledger refused to change the account: {refusal:?}"
            )))),
        }
    }

    /// Makes a grant the one that stands for a purchase, unless another does already.
    pub(super) async fn claim(&self, payment: &str, lot: &Lot, owner: &Owner) -> Result<Tried, LedgerError> {
        let Ok(name) = MemoName::new("purchase", payment) else {
            let why = format!("{payment:?} in its metadata is no payment's id");
            return Ok(Tried::Came(Done::Refused(why)));
        };
        let mut stands = lot.grant.clone();
        self.rewrite(&name, |document| {
            if let Document::Purchase(purchase) = document {
                stands = purchase.claim(lot, owner).grant.clone();
            }
        })
        .await?;
        if stands != lot.grant {
            tracing::warn!(
                grant = lot.grant,
                payment,
                stands,
                "a second grant for one purchase gives nothing"
            );
        }
        Ok(Tried::Came(Done::Lot(stands)))
    }

    async fn look(&self, call: &Call) -> Tried {
        match self.fetch(call).await {
            Ok(telling) => Tried::Came(Done::Heard(Box::new(telling))),
            Err(tried) => tried,
        }
    }

    async fn ring(&self, name: &MemoName, alarm: &Alarm, rules: &Rules) -> Result<Tried, LedgerError> {
        match alarm {
            Alarm::Overage {
                account,
                due,
                currency,
            } => self.overage(name, account, *due, currency, rules).await?,
            Alarm::Usage(errors) => {
                for (code, count, sample) in errors {
                    let what = "Stripe did not count what was reported as used";
                    tracing::error!(event = name.id(), code, count, sample, "{what}");
                    if let Some(meters) = &self.meters {
                        meters.usage_refused(*count);
                    }
                }
            }
        }
        Ok(Tried::Came(Done::Done))
    }

    /// Takes credits back, or gives them again.
    async fn adjust(
        &self,
        account: &AccountId,
        command: &Command,
        takes: bool,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        if takes {
            self.hold_charges(account, rules).await?;
        }
        self.command(command).await
    }

    /// The grant that was made for a payment, told to its memo; nothing where there is none.
    async fn find_made(&self, customer: &str, payment: &str) -> Result<Option<Tried>, LedgerError> {
        let refused = |why: String| Ok(Some(Tried::Came(Done::Refused(why))));
        let (Some(stripe), Ok(call)) = (self.stripe(), api::list_credit_grants(customer)) else {
            return refused(format!("the grants of {customer:?} cannot be listed"));
        };
        let asked_at = self.seconds();
        let grants = match list_all(&*stripe, &call, GRANTS_MAX).await {
            Ok(grants) => grants,
            Err(error) => return Ok(Some(Tried::Ends(Ended::Unanswered(error.to_string())))),
        };
        for grant in &grants {
            let Ok(Some(Fact::Grant(grant))) = read(grant) else {
                continue;
            };
            if grant
                .metadata
                .get(api::PURCHASE)
                .is_some_and(|bought| bought == payment)
            {
                let telling = Telling::by_api(Fact::Grant(grant), stripe.their_time(asked_at));
                Box::pin(self.tell(&telling, true)).await?;
                return Ok(Some(Tried::Came(Done::Done)));
            }
        }
        Ok(None)
    }

    /// Has Stripe do something; what it answers is told to the memos that it concerns, but for the one that is being worked on.
    async fn call(&self, name: &MemoName, call: &Call) -> Result<Tried, LedgerError> {
        let asked_at = self.seconds();
        let body = match self.ask(call).await {
            Ok(body) => body,
            Err(tried) => return Ok(tried),
        };
        if let Ok(Some(fact)) = read(&body) {
            // It was changed just now: that is later than what was told of the same second before.
            let telling = Telling::by_api(fact, self.their_time(asked_at).saturating_add(1));
            let own = super::concerned(&telling.fact)
                .iter()
                .any(|(kind, id)| *kind == name.kind() && *id == name.id());
            if !own {
                Box::pin(self.tell(&telling, true)).await?;
            }
        }
        Ok(Tried::Came(Done::Done))
    }

    pub(super) async fn ask(&self, call: &Call) -> Result<serde_json::Value, Tried> {
        let Some(stripe) = self.stripe() else {
            let why = "without `api_key` Stripe cannot be asked".to_owned();
            return Err(Tried::Ends(Ended::Parked(why)));
        };
        match stripe.call(call).await {
            Ok(reply) => Ok(reply.body),
            Err(ApiError::Refused(refused)) => Err(Tried::Came(Done::Refused(format!(
                "Stripe refused {}: {refused}",
                call.operation()
            )))),
            Err(error) => Err(Tried::Ends(Ended::Unanswered(error.to_string()))),
        }
    }

    /// Asks Stripe for an object; for those who need to know it in order to go on.
    pub(super) async fn fetch(&self, call: &Call) -> Result<Telling, Tried> {
        let asked_at = self.seconds();
        let body = self.ask(call).await?;
        match read(&body) {
            Ok(Some(fact)) => Ok(Telling::by_api(fact, self.their_time(asked_at))),
            Ok(None) => Err(Tried::Came(Done::Refused(
                "Stripe's answer is something else".to_owned(),
            ))),
            Err(error) => Err(Tried::Came(Done::Refused(error.to_string()))),
        }
    }
}
