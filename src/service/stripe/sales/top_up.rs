//! Automatic top-ups, as their customer sets them.

use crate::config::stripe::TopUp;
use crate::domain::credits::Credits;
use crate::domain::ids::AccountId;

use super::super::top_up::{TopUpMemo, Wish};
use super::{NotSold, Sales};

/// How an account's automatic top-ups stand.
#[derive(Clone, PartialEq, Debug)]
pub struct Standing {
    /// All that is remembered.
    pub memo: TopUpMemo,
    /// The operator's caps.
    pub caps: TopUp,
    /// As of when, in seconds since the epoch.
    pub now: i64,
}

impl Sales {
    /// How they stand.
    pub async fn top_up(&self, account: &AccountId) -> Result<Standing, NotSold> {
        let caps = self.desk.rules().stripe.top_up.ok_or(NotSold::NoTopUps)?;
        if self.ledger.statement(account).await?.is_none() {
            return Err(NotSold::NoAccount);
        }
        Ok(Standing {
            memo: self.desk.top_up(account).await?,
            caps,
            now: self.seconds(),
        })
    }

    /// Has a pack bought whenever less than `below` is available, of at most `per_month` credits in any 30 days. What had stopped it is forgotten.
    pub async fn set_top_up(
        &self,
        account: &AccountId,
        pack: &str,
        below: Credits,
        per_month: Option<Credits>,
    ) -> Result<Standing, NotSold> {
        self.top_up(account).await?;
        let rules = self.desk.rules();
        let Some(pack) = rules.stripe.pack(pack) else {
            let there = rules.stripe.packs.iter().map(|pack| pack.id.clone());
            return Err(NotSold::NoPack(there.collect()));
        };
        if per_month.is_some_and(|most| most < pack.credits) {
            return Err(NotSold::Unbuyable(
                "`per_month` is less than what the pack brings",
            ));
        }
        if below <= Credits::ZERO {
            return Err(NotSold::Unbuyable("`below` is above zero"));
        }
        let wish = Wish::new(pack, below, per_month);
        let set = self
            .desk
            .change_top_up(account, |memo| memo.set(Some(wish.clone())));
        set.await?;
        self.top_up(account).await
    }

    /// Has nothing bought any more; what is under way still comes.
    pub async fn stop_top_up(&self, account: &AccountId) -> Result<Standing, NotSold> {
        if self.top_up(account).await?.memo.wish.is_some() {
            self.desk.change_top_up(account, |memo| memo.set(None)).await?;
        }
        self.top_up(account).await
    }
}
