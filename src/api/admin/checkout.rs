//! Buying for an account.

use crate::api::reply::{Problem, Reply};
use crate::api::{checkout, top_up};

use super::{Admin, Call};

impl Admin {
    pub(super) async fn checkout(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let pack = checkout::pack_of(call.request.body())?;
        let sales = self.sales.as_ref().ok_or_else(checkout::closed)?;
        let once = self.once(call)?;
        let page = sales.open(&account, &pack, &once).await;
        page.map(checkout::opened).map_err(|why| checkout::problem(&why))
    }

    /// How an account's automatic top-ups stand, after they were stopped or not.
    pub(super) async fn top_up(&self, call: &Call<'_>, stop: bool) -> Result<Reply, Problem> {
        let account = call.account()?;
        let sales = self.sales.as_ref().ok_or_else(checkout::closed)?;
        let standing = match stop {
            true => sales.stop_top_up(&account).await,
            false => sales.top_up(&account).await,
        };
        let standing = standing.map_err(|why| checkout::problem(&why))?;
        Ok(top_up::reply(&standing))
    }

    /// How it stands with what an account has to show.
    pub(super) async fn verification(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let sales = self.sales.as_ref().ok_or_else(checkout::closed)?;
        let standing = sales.verification(&account).await;
        standing
            .map(checkout::verification)
            .map_err(|why| checkout::problem(&why))
    }

    /// A page on which an account can show what its plan asks for.
    pub(super) async fn verify_account(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let sales = self.sales.as_ref().ok_or_else(checkout::closed)?;
        let page = sales.verify(&account, &self.once(call)?).await;
        page.map(checkout::to_verify)
            .map_err(|why| checkout::problem(&why))
    }

    /// What makes repeats one; without a key no other call has it.
    fn once(&self, call: &Call<'_>) -> Result<String, Problem> {
        if let Some(key) = checkout::idempotency_key(call.request.headers())? {
            return Ok(format!("operator {key}"));
        }
        let mut bytes = [0; 16];
        (self.entropy)(&mut bytes);
        Ok(format!("once {}", u128::from_be_bytes(bytes)))
    }
}
