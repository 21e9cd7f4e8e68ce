//! What an account was told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::command::AccountChange;
use crate::domain::ids::{AccountId, Reason};

use super::memo::Want;

/// Which reasons the account was last told of by this memo: what an operator has cleared by hand is not raised again for the same trouble.
///
/// That it is about to be told is written before it is: whoever finds that tells it anew, as it is by then.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    told: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    about: BTreeSet<String>,
}

impl Said {
    /// The change that makes an account as it should be; nothing where it was told so before.
    pub(super) fn change(&mut self, account: &AccountId, reason: &str, present: bool) -> Option<Want> {
        let told = self.told.get(reason).copied().unwrap_or(false);
        if told == present && !self.about.contains(reason) {
            return None;
        }
        let named = Reason::new(reason).ok()?;
        self.about.insert(reason.to_owned());
        let change = if present {
            AccountChange::Pause(named)
        } else {
            AccountChange::Resume(named)
        };
        Some(Want::Change {
            account: account.clone(),
            change,
        })
    }

    /// The account was told.
    pub(super) fn note(&mut self, want: &Want) {
        let Want::Change { change, .. } = want else {
            return;
        };
        let (reason, present) = match change {
            AccountChange::Pause(reason) => (reason, true),
            AccountChange::Resume(reason) => (reason, false),
            _ => return,
        };
        self.about.remove(reason.as_str());
        if present {
            self.told.insert(reason.to_string(), present);
        } else {
            self.told.remove(reason.as_str());
        }
    }

    /// The reasons that the account has, or is about to be told of.
    pub(super) fn present(&self) -> impl Iterator<Item = String> {
        let told = self.told.iter().filter(|(_, present)| **present);
        told.map(|(reason, _)| reason).chain(&self.about).cloned()
    }
}
