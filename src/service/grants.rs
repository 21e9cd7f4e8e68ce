//! Grants by hand: the operator's own, beside those that come from payments.

use std::sync::Arc;

use crate::domain::command::Command;
use crate::domain::grant::GrantFacts;
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::refusal::Refusal;
use crate::ledger::Ledger;

use super::accounts::{Actor, Changed, ControlError, send};

/// Tells the ledger of a grant; absolute, so that telling it twice gives it once.
pub async fn put(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    facts: GrantFacts,
    by: &Actor,
) -> Result<Changed, ControlError> {
    let detail = by.note().grant(&facts).detail();
    let account = account.clone();
    send(
        ledger,
        &Command::PutGrant {
            account,
            facts,
            detail,
        },
    )
    .await
}

/// Voids a grant: what is unspent of it goes, for good. `None` when there is no such grant.
pub async fn void(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    grant: &GrantId,
    by: &Actor,
) -> Result<Option<Changed>, ControlError> {
    let Some(statement) = ledger.statement(account).await? else {
        return Err(ControlError::Refused(Refusal::UnknownAccount));
    };
    let Some(known) = statement.grants.into_iter().find(|g| g.facts.id == *grant) else {
        return Ok(None);
    };
    let voided_at = known.facts.voided_at.or(Some(statement.time));
    let facts = GrantFacts {
        voided_at,
        ..known.facts
    };
    put(ledger, account, facts, by).await.map(Some)
}
