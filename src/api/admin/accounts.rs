//! Accounts and their settings.

use serde::Deserialize;

use crate::api::dto::{AccountJson, EntryJson, LimitsJson, PageJson};
use crate::api::reply::{self, Problem, Reply};
use crate::domain::command::AccountChange;
use crate::domain::credits::Credits;
use crate::domain::ids::{AccountId, CommandId, PlanId, Reason};
use crate::service::accounts;

use super::{Admin, Call};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanBody {
    #[serde(default)]
    plan: Option<String>,
}

impl PlanBody {
    /// The plan, which must be one of these: an account on any other is let through nowhere.
    fn plan(&self, known: &[String]) -> Result<Option<PlanId>, Problem> {
        let Some(name) = &self.plan else { return Ok(None) };
        let plan = PlanId::new(name).map_err(|error| Problem::invalid(format!("`plan`: {error}")))?;
        if known.contains(name) {
            return Ok(Some(plan));
        }
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(Problem::invalid(format!(
            "`plan`: the configuration has no plan {name:?}; known: {known}. Add [plans.{name}] to it and reload first"
        )))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjustBody {
    amount: String,
    reason: String,
}

impl Admin {
    pub(super) async fn list_accounts(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let (cursor, limit) = call.page()?;
        let page = self.ledger.accounts(cursor.as_deref(), limit).await?;
        let items: Vec<String> = page.items.iter().map(ToString::to_string).collect();
        Ok(reply::ok(&PageJson {
            items,
            next: page.next,
        }))
    }

    pub(super) async fn get_account(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        self.account_reply(&call.account()?).await
    }

    pub(super) async fn account_reply(&self, account: &AccountId) -> Result<Reply, Problem> {
        let statement = self.ledger.statement(account).await?;
        let statement = statement.ok_or_else(|| Problem::not_found(format!("account {account}")))?;
        Ok(reply::ok(&AccountJson::from(&statement)))
    }

    pub(super) async fn create_account(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: PlanBody = reply::read(call.request.body())?;
        let change = AccountChange::Create(body.plan(&self.operations.plans())?);
        let account = call.account()?;
        accounts::set(&self.ledger, &account, change, &call.by).await?;
        // A dispute or a failed payment may have been told of before.
        if let Some(desk) = self.operations.desk() {
            desk.account_is_made(&account).await?;
        }
        self.account_reply(&account).await
    }

    pub(super) async fn pause(&self, call: &Call<'_>, pause: bool) -> Result<Reply, Problem> {
        let body: ReasonBody = reply::read(call.request.body())?;
        let reason =
            Reason::new(&body.reason).map_err(|error| Problem::invalid(format!("`reason`: {error}")))?;
        let change = if pause {
            AccountChange::Pause(reason)
        } else {
            AccountChange::Resume(reason)
        };
        self.change(call, change).await
    }

    pub(super) async fn set_plan(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: PlanBody = reply::read(call.request.body())?;
        self.change(call, AccountChange::Plan(body.plan(&self.operations.plans())?))
            .await
    }

    pub(super) async fn set_limits(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: LimitsJson = reply::read(call.request.body())?;
        self.change(call, AccountChange::Limits(body.limits()?)).await
    }

    async fn change(&self, call: &Call<'_>, change: AccountChange) -> Result<Reply, Problem> {
        let account = call.account()?;
        accounts::set(&self.ledger, &account, change, &call.by).await?;
        self.account_reply(&account).await
    }

    pub(super) async fn adjust(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let id =
            CommandId::new(call.segment(1)).map_err(|error| Problem::invalid(format!("the id: {error}")))?;
        let body: AdjustBody = reply::read(call.request.body())?;
        let amount: Credits = body
            .amount
            .parse()
            .map_err(|error| Problem::invalid(format!("`amount`: {:?} is {error}", body.amount)))?;
        self.within_maximum(amount)?;
        accounts::adjust(&self.ledger, &account, id, amount, &body.reason, &call.by).await?;
        self.account_reply(&account).await
    }

    /// S6: a slip of the hand is caught.
    pub(super) fn within_maximum(&self, amount: Credits) -> Result<(), Problem> {
        let max = self.operations.grant_max();
        if amount <= max && amount >= max.negated() {
            return Ok(());
        }
        Err(Problem::invalid(format!(
            "{amount} is more than `admin.grant_max` ({max}) allows at once; raise it if it is meant"
        )))
    }

    pub(super) async fn list_entries(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let (cursor, limit) = call.page()?;
        if self.ledger.statement(&account).await?.is_none() {
            return Err(Problem::not_found(format!("account {account}")));
        }
        let page = self.ledger.entries(&account, cursor.as_deref(), limit).await?;
        let entries: Vec<EntryJson> = page.items.iter().map(EntryJson::from).collect();
        Ok(reply::ok(
            &serde_json::json!({ "entries": entries, "next": page.next }),
        ))
    }
}
