//! `/faregate/v1/packs`, `/faregate/v1/checkout` and `/faregate/v1/top-up`: a customer buys. An account that is paused may, so that it can pay what it owes.
//! `/faregate/v1/verify`: a customer shows a card, so that the next plan opens.

use std::fmt;
use std::sync::Arc;

use http::Method;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::api::reply::{self, Problem, Reply};
use crate::api::{checkout, top_up};
use crate::domain::refusal::{Refusal, Scope};
use crate::ledger::LedgerError;
use crate::service::denial::Denial;
use crate::service::gate::Known;
use crate::service::stripe::sales::{NotSold, Sales};

use super::{Call, Customer, PREFIX, Refused};

/// Where packs are sold.
pub(super) struct Counter {
    sales: Arc<Sales>,
    aside: Handle,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}

impl Counter {
    pub(super) fn new(sales: Arc<Sales>, aside: Handle) -> Counter {
        Counter { sales, aside }
    }

    /// Has something done in the other runtime. It goes on where the caller leaves.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, NotSold>> + Send + 'static,
    ) -> Result<T, Refused> {
        let done = self.aside.spawn(work).await;
        let done = done.unwrap_or_else(|error| Err(LedgerError::Unavailable(error.to_string()).into()));
        done.map_err(refused)
    }
}

/// The rest of a path that is about buying.
pub(super) fn path(path: &str) -> Option<&str> {
    let path = path.strip_prefix(PREFIX)?;
    let is_buying =
        matches!(path, "packs" | "checkout" | "top-up" | "verify") || path.starts_with("checkout/");
    is_buying.then_some(path)
}

impl Customer {
    pub(super) async fn buying(&self, call: &Call<'_>, path: &str, known: &Known) -> Result<Reply, Refused> {
        let session = path.strip_prefix("checkout/");
        match (call.request.method(), session) {
            (&Method::POST, None) if path == "checkout" => self.open(call, known).await,
            (&Method::POST, None) if path == "verify" => self.verify(call, known).await,
            (&Method::GET, None) if path == "verify" => self.verification(known).await,
            (&Method::GET, None) if path == "packs" => {
                let packs = self.counter.as_ref().map(|counter| counter.sales.packs());
                Ok(checkout::packs(&packs.unwrap_or_default()))
            }
            (&Method::GET, Some(session)) => self.look(session, known).await,
            (method, None) if path == "top-up" => self.top_up(call, method, known).await,
            _ if path == "verify" => Err(Problem::other_method(&["GET", "POST"]).into()),
            _ if path == "checkout" => Err(Problem::other_method(&["POST"]).into()),
            _ => Err(Problem::other_method(&["GET"]).into()),
        }
    }

    async fn open(&self, call: &Call<'_>, known: &Known) -> Result<Reply, Refused> {
        let counter = self.counter.as_ref().ok_or_else(checkout::closed)?;
        let pack = checkout::pack_of(call.request.body())?;
        let once = once(call)?;
        let (sales, account) = (Arc::clone(&counter.sales), known.caller().account.clone());
        let opening = async move { sales.open(&account, &pack, &once).await };
        counter.aside(opening).await.map(checkout::opened)
    }

    async fn top_up(&self, call: &Call<'_>, method: &Method, known: &Known) -> Result<Reply, Refused> {
        let counter = self.counter.as_ref().ok_or_else(checkout::closed)?;
        let (sales, account) = (Arc::clone(&counter.sales), known.caller().account.clone());
        let standing = match *method {
            Method::GET => counter.aside(async move { sales.top_up(&account).await }).await,
            Method::DELETE => {
                let stopping = async move { sales.stop_top_up(&account).await };
                counter.aside(stopping).await
            }
            Method::PUT => {
                let ask = top_up::read(call.request.body())?;
                let setting = async move {
                    let set = sales.set_top_up(&account, &ask.pack, ask.below, ask.per_month);
                    set.await
                };
                counter.aside(setting).await
            }
            _ => return Err(Problem::other_method(&["GET", "PUT", "DELETE"]).into()),
        };
        standing.map(|standing| top_up::reply(&standing))
    }

    async fn verify(&self, call: &Call<'_>, known: &Known) -> Result<Reply, Refused> {
        let counter = self.counter.as_ref().ok_or_else(checkout::closed)?;
        let once = once(call)?;
        let (sales, account) = (Arc::clone(&counter.sales), known.caller().account.clone());
        let opening = async move { sales.verify(&account, &once).await };
        counter.aside(opening).await.map(checkout::to_verify)
    }

    async fn verification(&self, known: &Known) -> Result<Reply, Refused> {
        let counter = self.counter.as_ref().ok_or_else(checkout::closed)?;
        let (sales, account) = (Arc::clone(&counter.sales), known.caller().account.clone());
        let looking = async move { sales.verification(&account).await };
        counter.aside(looking).await.map(checkout::verification)
    }

    async fn look(&self, session: &str, known: &Known) -> Result<Reply, Refused> {
        #[derive(Serialize)]
        struct Standing {
            status: &'static str,
            credits: Option<String>,
            available: String,
        }
        let counter = self.counter.as_ref().ok_or_else(checkout::closed)?;
        let (sales, account) = (Arc::clone(&counter.sales), known.caller().account.clone());
        let session = session.to_owned();
        let looking = async move { sales.look(&account, &session).await };
        let standing = counter.aside(looking).await?;
        Ok(reply::ok(&Standing {
            status: standing.status.as_str(),
            credits: standing.credits,
            available: standing.available.to_string(),
        }))
    }
}

/// What makes repeats one.
fn once(call: &Call<'_>) -> Result<String, Problem> {
    Ok(match checkout::idempotency_key(call.request.headers())? {
        Some(key) => format!("customer {key}"),
        None => format!("request {}", call.id),
    })
}

/// Refusals that requests get too are told in the same words.
fn refused(why: NotSold) -> Refused {
    match why {
        NotSold::OtherOrder => Refused::Denied(Denial::Refused(Refusal::IdConflict)),
        NotSold::TooMany(retry_after) => Refused::Denied(Denial::Refused(Refusal::RateLimited {
            scope: Scope::Account,
            retry_after,
        })),
        NotSold::Busy => Refused::Denied(Denial::Overloaded),
        NotSold::Failed(error) => Refused::from(error),
        why => Refused::Problem(checkout::problem(&why)),
    }
}
