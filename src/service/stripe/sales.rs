//! Sales: packs of credits, bought on Stripe's own payment page.
//!
//! Nothing here credits anything. A page is made for an account, and later looked at; what Stripe says of it goes to the [`Desk`], as everything else does.
//! An account that is paused may buy all the same: a debt has to be payable.

pub(super) mod buyer;
pub mod top_up;
mod verifying;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::stripe::{Checkout, Pack};
use crate::domain::credits::Credits;
use crate::domain::grant::Category;
use crate::domain::ids::AccountId;
use crate::domain::time::Span;
use crate::ledger::memos::Memos;
use crate::ledger::{Ledger, LedgerError};
use crate::stripe::api;
use crate::stripe::call::{BadCall, Call};
use crate::stripe::client::ApiError;
use crate::stripe::facts::{Fact, Metadata, Payment, Session, Telling, read};

use super::desk::{Desk, Settled};
use super::memo::Rules;
use super::purchase::{CATEGORY, CREDITS, EXPIRES_AFTER};

pub use verifying::{Verification, VerifyPage};

/// What is asked of Stripe for buyers at the same time; the client's other callers have room besides.
const AT_ONCE: usize = 8;

/// How long a buyer waits for Stripe in all. What is asked goes on, and a repeat with the same id gets what it came to.
const PATIENCE: Duration = Duration::from_secs(25);

/// How often an account may look at its pages in a minute; each look asks Stripe.
const LOOKS_MAX: u32 = 60;

const MINUTE: i64 = 60;

/// Accounts whose looks are counted; beyond that all are counted anew.
const LOOKERS_MAX: usize = 10_000;

/// Sells packs.
#[derive(Debug)]
pub struct Sales {
    desk: Arc<Desk>,
    ledger: Arc<dyn Ledger>,
    memos: Arc<dyn Memos>,
    clock: Arc<dyn Clock>,
    room: Semaphore,
    /// Since when, in seconds since the epoch, and how often.
    looks: Mutex<HashMap<AccountId, (i64, u32)>>,
}

/// Why there is no page, or nothing to tell of one. Nothing was charged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotSold {
    /// The configuration sells nothing.
    Closed,
    /// The configuration has no automatic top-ups.
    NoTopUps,
    /// It cannot be set like that; why.
    Unbuyable(&'static str),
    /// No such pack; these are there.
    NoPack(Vec<Arc<str>>),
    /// No such account.
    NoAccount,
    /// No such page of this account.
    NoPage,
    /// There is nothing that could be shown; the sentence is for the customer.
    NothingToShow(String),
    /// The same id came before with another pack.
    OtherOrder,
    /// The account has opened, or looked at, too many; how long until it may again.
    TooMany(Span),
    /// Too many buyers at once.
    Busy,
    /// Stripe says no, which is the operator's business; the log says why.
    Refused,
    /// Stripe did not answer.
    Unanswered,
    /// The ledger did not.
    Failed(LedgerError),
}

impl From<LedgerError> for NotSold {
    fn from(error: LedgerError) -> NotSold {
        NotSold::Failed(error)
    }
}

impl From<BadCall> for NotSold {
    fn from(error: BadCall) -> NotSold {
        tracing::error!(%error, "a payment page cannot be asked for");
        NotSold::Refused
    }
}

/// A page on which a pack can be paid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// `cs_...`
    pub id: String,
    /// Where the buyer goes.
    pub url: String,
    /// What is bought.
    pub pack: Arc<Pack>,
    /// Until when, in seconds since the epoch.
    pub expires_at: i64,
}

/// How a page stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// In a word.
    pub status: Status,
    /// What it sells.
    pub credits: Option<String>,
    /// What the account has.
    pub available: Credits,
}

/// How a page stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nobody has paid yet.
    Open,
    /// It is done, and the money (or the credits) under way.
    Processing,
    /// The money is there, and the credits are.
    Paid,
    /// It is done, but the money did not come.
    Failed,
    /// Nobody has paid in time.
    Expired,
}

impl Status {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Processing => "processing",
            Status::Paid => "paid",
            Status::Failed => "failed",
            Status::Expired => "expired",
        }
    }
}

impl Sales {
    /// Sales by the desk's rules, through its client of Stripe's API.
    pub fn new(
        desk: Arc<Desk>,
        ledger: Arc<dyn Ledger>,
        memos: Arc<dyn Memos>,
        clock: Arc<dyn Clock>,
    ) -> Sales {
        Sales {
            desk,
            ledger,
            memos,
            clock,
            room: Semaphore::new(AT_ONCE),
            looks: Mutex::default(),
        }
    }

    /// What can be bought, in the order of the configuration.
    pub fn packs(&self) -> Vec<Arc<Pack>> {
        self.desk.rules().stripe.packs.clone()
    }

    /// A page for a pack; one for each `once` of an account (the buyer's own key, or the request's id).
    pub async fn open(&self, account: &AccountId, pack: &str, once: &str) -> Result<Page, NotSold> {
        let rules = self.desk.rules();
        let checkout = rules.stripe.checkout.as_ref().ok_or(NotSold::Closed)?;
        let Some(pack) = rules.stripe.pack(pack) else {
            let there = rules.stripe.packs.iter().map(|pack| Arc::clone(&pack.id));
            return Err(NotSold::NoPack(there.collect()));
        };
        let _place = self.room.try_acquire().map_err(|_| NotSold::Busy)?;
        let opening = self.open_for(account, pack, checkout, &rules, once);
        let in_time = tokio::time::timeout(PATIENCE, opening).await;
        in_time.unwrap_or(Err(NotSold::Unanswered))
    }

    async fn open_for(
        &self,
        account: &AccountId,
        pack: &Arc<Pack>,
        checkout: &Checkout,
        rules: &Rules,
        once: &str,
    ) -> Result<Page, NotSold> {
        if self.ledger.statement(account).await?.is_none() {
            return Err(NotSold::NoAccount);
        }
        let purchase = purchase_of(account, once);
        self.reserve(account, &purchase, &pack.id).await?;
        let metadata = metadata_of(account.as_str(), pack, rules);
        let asking = self.page_for(account, &purchase, rules, |attempt, customer| {
            api::create_checkout(&api::NewCheckout {
                purchase: attempt,
                customer: Some(customer),
                account: account.as_str(),
                item: api::Item::Named {
                    name: &pack.name,
                    amount: pack.price,
                    currency: pack.currency,
                },
                success_url: &checkout.success_url,
                cancel_url: Some(&checkout.cancel_url),
                expires_at: None,
                keep_method: rules.stripe.charges_absent(),
                metadata: metadata.clone(),
            })
        });
        page(&asking.await?, pack)
    }

    /// Asks for a page for a customer of the account's. One who was deleted at Stripe is made anew, once.
    async fn page_for(
        &self,
        account: &AccountId,
        purchase: &str,
        rules: &Rules,
        call: impl Fn(&str, &str) -> Result<Call, BadCall>,
    ) -> Result<Value, NotSold> {
        for _ in 0..2 {
            let customer = self.customer_of(account, rules).await?;
            let attempt = format!("{purchase}.{customer}");
            match self.ask(&call(&attempt, &customer)?).await {
                Ok(body) => return Ok(body),
                Err(error) if is_gone(&error) => self.forget_customer(account, &customer).await?,
                Err(error) => return Err(not_sold(&error)),
            }
        }
        Err(NotSold::Refused)
    }

    /// How a page of this account stands. What Stripe says of it is told to the desk: one that is paid is credited when this has answered, whether or not
    /// an event came.
    pub async fn look(&self, account: &AccountId, session: &str) -> Result<Standing, NotSold> {
        let _place = self.room.try_acquire().map_err(|_| NotSold::Busy)?;
        self.count_look(account)?;
        let in_time = tokio::time::timeout(PATIENCE, self.look_at(account, session)).await;
        in_time.unwrap_or(Err(NotSold::Unanswered))
    }

    async fn look_at(&self, account: &AccountId, session: &str) -> Result<Standing, NotSold> {
        let rules = self.desk.rules();
        let call = api::get_checkout(session).map_err(|_| NotSold::NoPage)?;
        let told = self.fetch(&call).await?;
        let Fact::Session(page) = &told.fact else {
            return Err(NotSold::NoPage);
        };
        if page.mode != "payment" || !self.is_of(page, account, &rules).await? {
            return Err(NotSold::NoPage);
        }
        let status = match &*page.status {
            "open" => Status::Open,
            "expired" => Status::Expired,
            _ => self.completed(page, &told).await?,
        };
        let statement = self.ledger.statement(account).await?;
        let statement = statement.ok_or(NotSold::NoAccount)?;
        Ok(Standing {
            status,
            credits: page.metadata.get(CREDITS).cloned(),
            available: statement.account.available(),
        })
    }

    /// A page that is done: whether the money is there is for the payment to say.
    async fn completed(&self, page: &Session, told: &Telling) -> Result<Status, NotSold> {
        let mut settled = Settled::Done;
        let mut paid = page.payment_status == "paid";
        let mut failed = false;
        if let Some(payment) = &page.payment {
            // The payment first: it says when it was made.
            let payment = self.fetch(&api::get_payment(payment)?).await?;
            if let Fact::Payment(Payment { status, .. }) = &payment.fact {
                paid |= status == "succeeded";
                failed = matches!(&**status, "requires_payment_method" | "canceled");
            }
            settled = self.desk.tell(&payment, true).await?;
        }
        let session_settled = self.desk.tell(told, true).await?;
        Ok(match (paid, failed) {
            (true, _) if is_usable(settled) && is_usable(session_settled) => Status::Paid,
            (false, true) => Status::Failed,
            _ => Status::Processing,
        })
    }

    /// Whose a page is says its metadata, and only where that says nothing its customer.
    async fn is_of(&self, page: &Session, account: &AccountId, rules: &Rules) -> Result<bool, NotSold> {
        if let Some(named) = page.metadata.get(&*rules.stripe.account_metadata) {
            return Ok(named == account.as_str());
        }
        let Some(customer) = &page.customer else {
            return Ok(false);
        };
        Ok(self.known_customer(account).await?.as_ref() == Some(customer))
    }

    fn count_look(&self, account: &AccountId) -> Result<(), NotSold> {
        let now = self.seconds();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= LOOKERS_MAX && !looks.contains_key(account) {
            looks.clear();
        }
        let (since, count) = looks.entry(account.clone()).or_insert((now, 0));
        if now.saturating_sub(*since) >= MINUTE || now < *since {
            (*since, *count) = (now, 0);
        }
        if *count >= LOOKS_MAX {
            return Err(NotSold::TooMany(Span::from_secs(*since + MINUTE - now)));
        }
        *count += 1;
        Ok(())
    }

    fn seconds(&self) -> i64 {
        self.clock.now().micros() / 1_000_000
    }

    async fn fetch(&self, call: &Call) -> Result<Telling, NotSold> {
        let asked_at = self.seconds();
        let body = self.ask(call).await.map_err(|error| match error.refused() {
            Some(refused) if refused.is_missing() => NotSold::NoPage,
            _ => not_sold(&error),
        })?;
        match read(&body) {
            Ok(Some(fact)) => Ok(Telling::by_api(fact, self.desk.their_time(asked_at))),
            _ => Err(NotSold::Refused),
        }
    }

    async fn ask(&self, call: &Call) -> Result<Value, ApiError> {
        let Some(stripe) = self.desk.stripe() else {
            return Err(ApiError::Unknown {
                what: "there is no `api_key`".to_owned(),
                request_id: None,
            });
        };
        stripe.call(call).await.map(|reply| reply.body)
    }
}

/// What is parked was credited here, and waits for something else.
fn is_usable(settled: Settled) -> bool {
    matches!(settled, Settled::Done | Settled::Parked)
}

/// The gate's own id of a purchase: of the account and of what makes it one.
fn purchase_of(account: &AccountId, once: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(account.as_str());
    // No account has it.
    hash.update("\n");
    hash.update(once);
    let hash = hash.finalize();
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the purchase's memo reads, once it is paid.
pub(super) fn metadata_of(account: &str, pack: &Pack, rules: &Rules) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(rules.stripe.account_metadata.to_string(), account.to_owned());
    metadata.insert(CREDITS.to_owned(), pack.credits.to_string());
    if let Some(life) = pack.expires_after {
        metadata.insert(EXPIRES_AFTER.to_owned(), life.secs_ceil().to_string());
    }
    if pack.category == Category::Promotional {
        metadata.insert(CATEGORY.to_owned(), pack.category_str().to_owned());
    }
    metadata
}

fn page(body: &Value, pack: &Arc<Pack>) -> Result<Page, NotSold> {
    let (id, url, expires_at) = address(body)?;
    Ok(Page {
        id,
        url,
        pack: Arc::clone(pack),
        expires_at,
    })
}

/// A page's id, its address, and until when it is there.
fn address(body: &Value) -> Result<(String, String, i64), NotSold> {
    let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
    let expires_at = body.get("expires_at").and_then(Value::as_i64);
    let (Some(id), Some(url), Some(expires_at)) = (text("id"), text("url"), expires_at) else {
        tracing::error!("Stripe answered with a page that has no address");
        return Err(NotSold::Refused);
    };
    Ok((id, url, expires_at))
}

/// The customer that was named is no more.
fn is_gone(error: &ApiError) -> bool {
    let refused = error.refused();
    refused.is_some_and(|refused| refused.is_missing() && refused.param.as_deref() == Some("customer"))
}

fn not_sold(error: &ApiError) -> NotSold {
    let Some(refused) = error.refused() else {
        tracing::warn!(%error, "Stripe did not answer a buyer");
        return NotSold::Unanswered;
    };
    if refused.is_other_call() {
        return NotSold::OtherOrder;
    }
    tracing::error!(%error, "Stripe refused a payment page");
    NotSold::Refused
}
