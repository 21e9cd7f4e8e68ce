//! What a ledger has been used with at Stripe: written down by the first start, and the same ever after.

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::memos::{Memo, MemoName, Wrote};

use super::{Desk, TRIES};

/// What is pinned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Pinned {
    livemode: bool,
    mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

/// Why a gate must not start on a ledger.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It has been used with something else.
    #[error(
        "this ledger has been used with [stripe] {name} = {before}, and now it says {now}: {why}. \
         Set {name} back, or give it a ledger of its own in [ledger]"
    )]
    Other {
        /// The setting.
        name: &'static str,
        /// As it was at the first start.
        before: String,
        /// As it is now.
        now: String,
        /// What could happen.
        why: &'static str,
    },
    /// The ledger does not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Desk {
    /// Sees to it that this ledger is used with what it has been used with before; the first one says with what. Of two that start at once one is the first.
    pub async fn pin(&self) -> Result<(), PinError> {
        let stripe = &self.rules().stripe;
        let mine = Pinned {
            livemode: stripe.livemode,
            mode: stripe.mode.as_str().to_owned(),
            account: stripe.account.as_deref().map(str::to_owned),
        };
        let invalid = |error: String| LedgerError::Invalid(format!("stripe:pinned: {error}"));
        let name = MemoName::new("stripe", "pinned").map_err(|error| invalid(error.to_string()))?;
        for _ in 0..TRIES {
            let kept = self.memos.memo(&name).await?;
            let known: Option<Pinned> = match &kept {
                None => None,
                Some(kept) => {
                    Some(serde_json::from_str(&kept.memo.text).map_err(|error| invalid(error.to_string()))?)
                }
            };
            let pins = match known {
                None => mine.clone(),
                Some(known) => {
                    differs(&known, &mine)?;
                    let account = known.account.clone().or_else(|| mine.account.clone());
                    if account == known.account {
                        return Ok(());
                    }
                    Pinned { account, ..known }
                }
            };
            let memo = Memo {
                text: serde_json::to_string(&pins).unwrap_or_default().into(),
                due: Timestamp::NEVER,
                forget_at: Timestamp::NEVER,
            };
            let version = kept.map_or(0, |kept| kept.version);
            if let Wrote::Done { .. } = self.memos.write_memo(&name, version, &memo).await? {
                return Ok(());
            }
        }
        Err(LedgerError::Unavailable("stripe:pinned is written by others all the time".to_owned()).into())
    }
}

/// The first thing that is another than before. An account that was not named before, or is not now, is none.
fn differs(before: &Pinned, now: &Pinned) -> Result<(), PinError> {
    let other = |name, before: &dyn ToString, now: &dyn ToString, why| {
        Err(PinError::Other {
            name,
            before: before.to_string(),
            now: now.to_string(),
            why,
        })
    };
    if before.livemode != now.livemode {
        let why = "what test cards bought would be spent as if it were paid for";
        return other("livemode", &before.livemode, &now.livemode, why);
    }
    if before.mode != now.mode {
        let why = "what one mode has credited the other would credit again";
        return other("mode", &before.mode, &now.mode, why);
    }
    match (&before.account, &now.account) {
        (Some(before), Some(now)) if before != now => {
            let why = "its customers and payments are others";
            other("account", before, now, why)
        }
        _ => Ok(()),
    }
}
