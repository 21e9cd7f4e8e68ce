//! One customer: its subscriptions, its lines of Stripe's ledger, and whether the sums agree.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::stripe::Mode;
use crate::domain::grant::Grant;
use crate::domain::ids::AccountId;
use crate::ledger::LedgerError;
use crate::ledger::memos::MemoName;
use crate::stripe::api;
use crate::stripe::call::{BadCall, Call};
use crate::stripe::client::{ApiError, Stripe, list_all};
use crate::stripe::facts::{self, Fact, Telling, Transaction, read};

use super::super::super::grant::GrantMemo;
use super::super::super::memo::Document;
use super::super::Desk;
use super::books::{Drift, Lot, difference, drift};

/// The most lines, grants or subscriptions of one customer.
const OF_ONE_MAX: usize = 20_000;

/// Of so many grants the balances are asked for one by one, where the sum does not agree.
const ONE_BY_ONE_MAX: usize = 200;

/// What came of a look at a customer.
pub(super) enum Looked {
    Done(Found),
    /// Stripe has no such customer any more.
    Gone,
    Api(ApiError),
    Ledger(LedgerError),
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) objects: usize,
    pub(super) drift: Vec<Drift>,
    pub(super) differences: Vec<String>,
    pub(super) problems: Vec<String>,
}

enum Failed {
    Api(ApiError),
    Ledger(LedgerError),
    Bad(String),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Failed {
        Failed::Api(error)
    }
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Failed {
        Failed::Ledger(error)
    }
}

impl From<BadCall> for Failed {
    fn from(error: BadCall) -> Failed {
        Failed::Bad(error.to_string())
    }
}

struct Look<'a> {
    desk: &'a Desk,
    stripe: &'a dyn Stripe,
    customer: &'a str,
    found: Found,
}

/// Looks at a customer; `grants` where they were listed already.
pub(super) async fn look_at(
    desk: &Desk,
    stripe: &dyn Stripe,
    customer: &str,
    grants: Option<Vec<Value>>,
) -> Looked {
    let mut look = Look {
        desk,
        stripe,
        customer,
        found: Found::default(),
    };
    match look.all(grants).await {
        Ok(()) => Looked::Done(look.found),
        Err(Failed::Api(error)) if error.outcome() == "missing" => Looked::Gone,
        Err(Failed::Api(error)) => Looked::Api(error),
        Err(Failed::Ledger(error)) => Looked::Ledger(error),
        Err(Failed::Bad(why)) => {
            look.found.problems.push(format!("{customer}: {why}"));
            Looked::Done(look.found)
        }
    }
}

impl Look<'_> {
    async fn all(&mut self, grants: Option<Vec<Value>>) -> Result<(), Failed> {
        self.subscriptions().await?;
        if self.desk.rules().stripe.mode != Mode::Grants {
            return Ok(());
        }
        let listed = match grants {
            Some(grants) => grants,
            None => self.grants().await?,
        };
        self.compare(&listed, false).await?;
        if self.found.drift.is_empty() && self.found.differences.is_empty() {
            return Ok(());
        }
        // Something may have happened in between: only what is so twice is so.
        (self.found.drift, self.found.differences) = (Vec::new(), Vec::new());
        let listed = self.grants().await?;
        self.compare(&listed, true).await
    }

    async fn list(&mut self, call: &Call) -> Result<Vec<Value>, Failed> {
        let items = list_all(self.stripe, call, OF_ONE_MAX).await?;
        self.found.objects += items.len();
        Ok(items)
    }

    /// Those that are known, and all that have not ended. One that ended before anybody here heard of it shuts nothing.
    async fn subscriptions(&mut self) -> Result<(), Failed> {
        let asked_at = self.desk.seconds();
        let listed = self.list(&api::list_subscriptions(self.customer)?).await?;
        let name = MemoName::new("customer", self.customer);
        let name = name.map_err(|error| Failed::Bad(error.to_string()))?;
        let Document::Customer(known) = self.desk.document(&name).await? else {
            return Ok(());
        };
        for value in &listed {
            let id = value["id"].as_str().unwrap_or_default();
            let over = matches!(value["status"].as_str(), Some("canceled" | "incomplete_expired"));
            if !over || known.subscriptions.contains_key(id) {
                self.tell(value, asked_at).await?;
            }
        }
        Ok(())
    }

    async fn grants(&mut self) -> Result<Vec<Value>, Failed> {
        let asked_at = self.desk.seconds();
        let listed = self.list(&api::list_credit_grants(self.customer)?).await?;
        for grant in &listed {
            self.tell(grant, asked_at).await?;
        }
        Ok(listed)
    }

    async fn tell(&mut self, value: &Value, asked_at: i64) -> Result<Option<Fact>, Failed> {
        let fact = match read(value) {
            Ok(fact) => fact,
            Err(error) => {
                self.found.problems.push(format!("{}: {error}", value["id"]));
                None
            }
        };
        if let Some(fact) = &fact {
            let telling = Telling::by_api(fact.clone(), self.stripe.their_time(asked_at));
            self.desk.tell(&telling, true).await?;
        }
        Ok(fact)
    }

    /// The lines of Stripe's ledger; each that no memo has heard of is told.
    async fn lines(&mut self) -> Result<Vec<Transaction>, Failed> {
        let asked_at = self.desk.seconds();
        let call = api::list_credit_transactions(self.customer, None)?;
        let mut lines = Vec::new();
        let mut memos: BTreeMap<String, GrantMemo> = BTreeMap::new();
        for value in &self.list(&call).await? {
            if let Ok(Some(Fact::Transaction(line))) = read(value) {
                if !memos.contains_key(&line.grant) {
                    memos.insert(line.grant.clone(), self.memo(&line.grant).await?);
                }
                let known = memos.get(&line.grant);
                let known = known.is_some_and(|memo| {
                    memo.settled.contains_key(&line.id) || line.kind == "credits_granted"
                });
                if known {
                    lines.push(line);
                    continue;
                }
            }
            if let Some(Fact::Transaction(line)) = self.tell(value, asked_at).await? {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    async fn memo(&self, grant: &str) -> Result<GrantMemo, Failed> {
        let name = MemoName::new("grant", grant).map_err(|error| Failed::Bad(error.to_string()))?;
        match self.desk.document(&name).await? {
            Document::Grant(memo) => Ok(*memo),
            _ => Ok(GrantMemo::default()),
        }
    }

    /// `closely`: by each grant's own balance, where there are not too many. Stripe's sum is of the grants for any metered price.
    async fn compare(&mut self, listed: &[Value], closely: bool) -> Result<(), Failed> {
        let lines = self.lines().await?;
        let mut lots = Vec::with_capacity(listed.len());
        let mut statements: BTreeMap<AccountId, Vec<Grant>> = BTreeMap::new();
        let mut taken = std::collections::BTreeSet::new();
        // Oldest first: the first grant of a purchase is the one that its lot stands for.
        for value in listed.iter().rev() {
            let Ok(Some(Fact::Grant(grant))) = read(value) else {
                self.found
                    .problems
                    .push(format!("{}: cannot be read", value["id"]));
                continue;
            };
            let memo = self.memo(&grant.id).await?;
            let account = memo.owner.account();
            if let Some(account) = &account
                && !statements.contains_key(account)
            {
                let statement = self.desk.ledger.statement(account).await?;
                let grants = statement.map(|statement| statement.grants).unwrap_or_default();
                statements.insert(account.clone(), grants);
            }
            let stands = memo.lot.clone().unwrap_or_else(|| grant.id.clone());
            let ours = account.as_ref().and_then(|account| statements.get(account));
            let ours = ours.and_then(|ours| ours.iter().find(|lot| lot.facts.id.as_str() == stands));
            let ours = ours.filter(|_| taken.insert(stands.clone()));
            let why = difference(&grant, &memo, ours);
            if let Some(why) = &why {
                self.found
                    .differences
                    .push(format!("{} of {}: {why}", grant.id, self.customer));
            }
            lots.push(Lot {
                effective_at: begins(&grant),
                account: account.map(|account| account.to_string()),
                currency: grant.currency,
                value: grant.value,
                here: ours.is_some() && memo.told.as_ref().is_some_and(|told| told.value == grant.value),
                applied: memo.applied(),
                id: grant.id,
            });
        }
        let balances = self.balances(&lots, closely).await?;
        self.found.drift = drift(self.customer, &lots, &lines, &balances, self.desk.seconds());
        Ok(())
    }

    /// What Stripe's ledger has left, by currency, in minor units.
    async fn balances(&mut self, lots: &[Lot], closely: bool) -> Result<BTreeMap<String, i64>, Failed> {
        let mut calls = vec![api::credit_balance_summary(self.customer)?];
        if closely && lots.len() <= ONE_BY_ONE_MAX {
            let each = lots
                .iter()
                .map(|lot| api::credit_grant_balance(self.customer, &lot.id));
            calls = each.collect::<Result<_, _>>()?;
        }
        let mut balances = BTreeMap::new();
        for call in &calls {
            let reply = self.stripe.call(call).await?;
            for balance in reply.body["balances"].as_array().into_iter().flatten() {
                let money = &balance["ledger_balance"]["monetary"];
                let (Some(currency), Some(value)) = (money["currency"].as_str(), money["value"].as_i64())
                else {
                    return Err(Failed::Bad("a balance of Stripe's is no money".to_owned()));
                };
                let sum: &mut i64 = balances.entry(currency.to_owned()).or_default();
                *sum = sum.saturating_add(value);
            }
        }
        Ok(balances)
    }
}

/// When it begins; never, where it was ended before: Stripe's ledger has no line of such a one.
fn begins(grant: &facts::Grant) -> i64 {
    let begins = grant.effective_at.unwrap_or(grant.created);
    let ends = [grant.voided_at, grant.expires_at].into_iter().flatten().min();
    if ends.is_some_and(|ends| ends <= begins) {
        i64::MAX
    } else {
        begins
    }
}
