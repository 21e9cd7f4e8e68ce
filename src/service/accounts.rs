//! Accounts, as their operator changes them.

use std::sync::Arc;

use crate::domain::command::{AccountChange, Command, Outcome, Receipt};
use crate::domain::credits::Credits;
use crate::domain::ids::{AccountId, CommandId};
use crate::domain::refusal::Refusal;
use crate::ledger::detail::Note;
use crate::ledger::{Ledger, LedgerError};

/// Who asked for a change, as the journal names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    cause: &'static str,
}

impl Actor {
    /// The holder of an admin token, by the token's name.
    pub fn admin(token: &str) -> Actor {
        Actor {
            name: format!("admin:{token}"),
            cause: "admin",
        }
    }

    /// The program itself.
    pub fn system(cause: &'static str) -> Actor {
        Actor {
            name: "system".to_owned(),
            cause,
        }
    }

    pub(super) fn note(&self) -> Note<'_> {
        Note::by(&self.name, self.cause)
    }
}

/// A change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The ledger answered no.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// The ledger did not answer; the same change may be sent again.
    #[error(transparent)]
    Failed(#[from] LedgerError),
}

/// A change that was made, or had been made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The ledger's receipt.
    pub receipt: Receipt,
    /// It had been made before.
    pub replayed: bool,
}

/// How often a control-plane command is sent to a ledger that does not answer.
const TRIES: usize = 3;

/// Sends a command, again where the answer was lost: the same command gets the first answer.
pub(super) async fn send(ledger: &Arc<dyn Ledger>, command: &Command) -> Result<Changed, ControlError> {
    let mut answer = ledger.execute(command).await;
    for _ in 1..TRIES {
        match &answer {
            Err(error) if error.is_transient() => answer = ledger.execute(command).await,
            _ => break,
        }
    }
    match answer? {
        Outcome::Applied(receipt) => Ok(Changed {
            receipt,
            replayed: false,
        }),
        Outcome::Replayed(receipt) => Ok(Changed {
            receipt,
            replayed: true,
        }),
        Outcome::Refused(refusal) => Err(ControlError::Refused(refusal)),
    }
}

/// Makes an account or changes its settings.
pub async fn set(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    change: AccountChange,
    by: &Actor,
) -> Result<Changed, ControlError> {
    let detail = by.note().change(&change).detail();
    let account = account.clone();
    send(
        ledger,
        &Command::SetAccount {
            expected: None,
            account,
            change,
            detail,
        },
    )
    .await
}

/// Gives or takes credits by hand; `id` makes a repeat harmless.
pub async fn adjust(
    ledger: &Arc<dyn Ledger>,
    account: &AccountId,
    id: CommandId,
    amount: Credits,
    why: &str,
    by: &Actor,
) -> Result<Changed, ControlError> {
    let detail = by.note().note(why).detail();
    let account = account.clone();
    send(
        ledger,
        &Command::Adjust {
            from: None,
            id,
            account,
            amount,
            detail,
        },
    )
    .await
}
