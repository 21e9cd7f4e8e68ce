//! Grants of an account.

use serde::Deserialize;

use crate::api::dto::{AccountJson, GrantJson, PageJson, amount, category_of, instant};
use crate::api::reply::{self, Problem, Reply};
use crate::domain::grant::{GrantFacts, PRIORITY_MAX};
use crate::domain::ids::GrantId;
use crate::domain::time::Timestamp;
use crate::ledger::Statement;
use crate::service::grants;

use super::{Admin, Call};

/// Stripe's default priority, so that grants by hand and by Stripe burn in one order.
const PRIORITY: u8 = 50;

/// The longest note, in bytes.
const NOTE_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantBody {
    amount: String,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    effective_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

impl Admin {
    pub(super) async fn list_grants(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let statement = self.statement(call).await?;
        let items = statement.grants.iter().map(GrantJson::from).collect();
        Ok(reply::ok(&PageJson { items, next: None }))
    }

    async fn statement(&self, call: &Call<'_>) -> Result<Statement, Problem> {
        let account = call.account()?;
        let statement = self.ledger.statement(&account).await?;
        statement.ok_or_else(|| Problem::not_found(format!("account {account}")))
    }

    pub(super) async fn put_grant(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: GrantBody = reply::read(call.request.body())?;
        let statement = self.statement(call).await?;
        let facts = body.facts(grant_id(call)?, &statement)?;
        self.within_maximum(facts.amount)?;
        if body.dry_run {
            let would_be = serde_json::json!({ "dry_run": true, "account": AccountJson::from(&statement),
                "amount": facts.amount.to_string() });
            return Ok(reply::ok(&would_be));
        }
        grants::put(&self.ledger, &statement.account.id, facts, &call.by).await?;
        self.account_reply(&statement.account.id).await
    }

    pub(super) async fn void_grant(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let id = grant_id(call)?;
        let changed = grants::void(&self.ledger, &account, &id, &call.by).await?;
        if changed.is_none() {
            return Err(Problem::not_found(format!("grant {id} in account {account}")));
        }
        self.account_reply(&account).await
    }
}

fn grant_id(call: &Call<'_>) -> Result<GrantId, Problem> {
    GrantId::new(call.segment(1)).map_err(|error| Problem::invalid(format!("the grant's id: {error}")))
}

impl GrantBody {
    /// The facts as told now. Telling the same again is the same: dates that are not given stay as they are known.
    fn facts(&self, id: GrantId, statement: &Statement) -> Result<GrantFacts, Problem> {
        let known = statement
            .grants
            .iter()
            .find(|grant| grant.facts.id == id)
            .map(|grant| &grant.facts);
        let now = statement.time;
        let time = |name, text: &Option<String>| text.as_deref().map(|text| instant(name, text)).transpose();
        let priority = self
            .priority
            .unwrap_or(known.map_or(PRIORITY, |facts| facts.priority));
        if priority > PRIORITY_MAX {
            return Err(Problem::invalid(format!("`priority` is 0 to {PRIORITY_MAX}")));
        }
        if self.note.as_ref().is_some_and(|note| note.len() > NOTE_MAX) {
            return Err(Problem::invalid(format!("`note` has at most {NOTE_MAX} bytes")));
        }
        let effective_at = time("effective_at", &self.effective_at)?;
        let expires_at = time("expires_at", &self.expires_at)?;
        let told = GrantFacts {
            id,
            amount: amount("amount", &self.amount)?,
            priority,
            category: category_of(self.category.as_deref())?,
            effective_at: effective_at
                .or(known.map(|facts| facts.effective_at))
                .unwrap_or(now),
            expires_at: expires_at
                .or(known.map(|facts| facts.expires_at))
                .unwrap_or(Timestamp::NEVER),
            created_at: known.map_or(now, |facts| facts.created_at),
            updated_at: now,
            voided_at: known.and_then(|facts| facts.voided_at),
            note: self
                .note
                .as_deref()
                .map(Into::into)
                .or(known.and_then(|facts| facts.note.clone())),
        };
        if told.expires_at <= told.effective_at {
            return Err(Problem::invalid("`expires_at` lies after `effective_at`"));
        }
        // Nothing new is said: not even that it was said again.
        match known {
            Some(facts)
                if *facts
                    == (GrantFacts {
                        updated_at: facts.updated_at,
                        ..told.clone()
                    }) =>
            {
                Ok(facts.clone())
            }
            _ => Ok(told),
        }
    }
}
