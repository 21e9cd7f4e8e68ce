//! `account:acme`: which customer of Stripe's an account is, and which pages it has opened of late.

use serde::{Deserialize, Serialize};

use crate::domain::ids::AccountId;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::memos::{Memo, MemoName, Memos, Wrote};
use crate::stripe::api;

use super::super::memo::Rules;
use super::{NotSold, Sales, not_sold};

/// The most pages that an account opens in an hour: a stolen key cannot make thousands.
const PAGES_MAX: usize = 20;

const HOUR: i64 = 3_600;

/// How often a memo that somebody else writes at the same time is read again.
const TRIES: usize = 64;

/// What is remembered of an account that buys.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct BuyerMemo {
    /// Stripe's customer; the first one stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    /// How many customers of it were deleted at Stripe: each is made under a key of its own.
    gone: u32,
    /// Of the last hour, oldest first.
    opened: Vec<Opened>,
}

/// A page that was opened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Opened {
    purchase: String,
    pack: String,
    /// In seconds since the epoch.
    at: i64,
}

impl BuyerMemo {
    /// Takes a place for a page; one that has a place keeps it.
    fn reserve(&mut self, purchase: &str, pack: &str, now: i64) -> Result<(), NotSold> {
        self.opened.retain(|opened| now < opened.at.saturating_add(HOUR));
        if let Some(known) = self.opened.iter().find(|opened| opened.purchase == purchase) {
            return if known.pack == pack {
                Ok(())
            } else {
                Err(NotSold::OtherOrder)
            };
        }
        if let Some(oldest) = self.opened.first().filter(|_| self.opened.len() >= PAGES_MAX) {
            let wait = oldest.at.saturating_add(HOUR).saturating_sub(now);
            return Err(NotSold::TooMany(Span::from_secs(wait.clamp(1, HOUR))));
        }
        self.opened.push(Opened {
            purchase: purchase.to_owned(),
            pack: pack.to_owned(),
            at: now,
        });
        Ok(())
    }
}

fn name_of(account: &AccountId) -> Result<MemoName, LedgerError> {
    MemoName::new("account", account.as_str()).map_err(|error| LedgerError::Invalid(error.to_string()))
}

async fn read_memo(memos: &dyn Memos, name: &MemoName) -> Result<(BuyerMemo, u64), LedgerError> {
    let Some(kept) = memos.memo(name).await? else {
        return Ok((BuyerMemo::default(), 0));
    };
    let memo = serde_json::from_str(&kept.memo.text)
        .map_err(|error| LedgerError::Invalid(format!("the memo {name} cannot be read: {error}")))?;
    Ok((memo, kept.version))
}

/// The customer that an account is remembered to be, or to be no more; `None` where nothing is remembered.
pub(in super::super) async fn customer(
    memos: &dyn Memos,
    account: &AccountId,
) -> Result<Option<Option<String>>, LedgerError> {
    let (memo, _) = read_memo(memos, &name_of(account)?).await?;
    let is_known = memo.customer.is_some() || memo.gone > 0;
    Ok(is_known.then_some(memo.customer))
}

/// Changes what is remembered, as if nobody else did at the same time.
async fn change<T>(
    memos: &dyn Memos,
    account: &AccountId,
    mut change: impl FnMut(&mut BuyerMemo) -> Result<T, NotSold>,
) -> Result<T, NotSold> {
    let name = name_of(account)?;
    for _ in 0..TRIES {
        let (mut memo, version) = read_memo(memos, &name).await?;
        let before = memo.clone();
        let answer = change(&mut memo)?;
        if memo == before {
            return Ok(answer);
        }
        let written = Memo {
            text: serde_json::to_string(&memo).unwrap_or_default().into(),
            due: Timestamp::NEVER,
            forget_at: Timestamp::NEVER,
        };
        if let Wrote::Done { .. } = memos.write_memo(&name, version, &written).await? {
            return Ok(answer);
        }
    }
    Err(LedgerError::Unavailable(format!("the memo {name} is written by others all the time")).into())
}

/// The account is this customer, unless it is known to be another.
pub(in super::super) async fn remember(
    memos: &dyn Memos,
    account: &str,
    customer: &str,
) -> Result<(), LedgerError> {
    let Ok(account) = AccountId::new(account) else {
        return Ok(());
    };
    let remembered = change(memos, &account, |memo| {
        memo.customer.get_or_insert_with(|| customer.to_owned());
        Ok(())
    });
    match remembered.await {
        Err(NotSold::Failed(error)) => Err(error),
        _ => Ok(()),
    }
}

impl Sales {
    pub(super) async fn reserve(
        &self,
        account: &AccountId,
        purchase: &str,
        pack: &str,
    ) -> Result<(), NotSold> {
        let now = self.seconds();
        change(&*self.memos, account, |memo| memo.reserve(purchase, pack, now)).await
    }

    /// The customer that an account is known to be.
    pub(super) async fn known_customer(&self, account: &AccountId) -> Result<Option<String>, NotSold> {
        Ok(self.desk.known_customer(account).await?)
    }

    /// The customer of an account, made where none is known. Two who make it at the same time make it under one key, and the first written stays.
    pub(super) async fn customer_of(&self, account: &AccountId, rules: &Rules) -> Result<String, NotSold> {
        if let Some(known) = self.known_customer(account).await? {
            return Ok(known);
        }
        let (memo, _) = read_memo(&*self.memos, &name_of(account)?).await?;
        let key = match memo.gone {
            0 => account.to_string(),
            gone => format!("{account}.{gone}"),
        };
        let details = api::CustomerDetails {
            metadata: [(rules.stripe.account_metadata.to_string(), account.to_string())].into(),
            ..api::CustomerDetails::default()
        };
        let call = api::create_customer(&key, &details)?;
        let body = self.ask(&call).await.map_err(|error| not_sold(&error))?;
        let made = body.get("id").and_then(|id| id.as_str());
        let made = made.ok_or(NotSold::Refused)?.to_owned();
        let customer = change(&*self.memos, account, |memo| {
            Ok(memo.customer.get_or_insert_with(|| made.clone()).clone())
        })
        .await?;
        self.desk.introduce(&customer, account).await?;
        Ok(customer)
    }

    /// Stripe has it no more.
    pub(super) async fn forget_customer(&self, account: &AccountId, customer: &str) -> Result<(), NotSold> {
        tracing::warn!(%account, customer, "the customer of this account was deleted at Stripe; another is made");
        let is_named_so = account.as_str() == customer;
        change(&*self.memos, account, |memo| {
            if memo.customer.as_deref() == Some(customer) || (is_named_so && memo.customer.is_none()) {
                memo.customer = None;
                memo.gone = memo.gone.saturating_add(1);
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_opens_so_many_pages_an_hour_and_a_repeat_is_the_same_page() {
        let mut memo = BuyerMemo::default();
        for page in 0..PAGES_MAX {
            memo.reserve(&format!("p{page}"), "starter", 100).unwrap();
        }
        let wait = Span::from_secs(HOUR - 10);
        assert_eq!(memo.reserve("more", "starter", 110), Err(NotSold::TooMany(wait)));
        assert_eq!(memo.reserve("p3", "starter", 110), Ok(()));
        assert_eq!(memo.reserve("p3", "large", 110), Err(NotSold::OtherOrder));
        assert_eq!(memo.reserve("more", "starter", 100 + HOUR), Ok(()));
        assert_eq!(memo.opened.len(), 1);
    }
}
