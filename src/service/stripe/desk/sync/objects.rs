//! Objects that are read whatever events there were: Stripe may have failed to make some.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::config::stripe::Mode;
use crate::ledger::memos::{Kept, MemoName};
use crate::ledger::{LedgerError, PAGE_MAX};
use crate::stripe::api;
use crate::stripe::facts::{Telling, read};

use super::super::super::memo::Document;
use super::super::settle::Stored;
use super::customer::{Looked, look_at};
use super::{LISTED_MAX, Pager, Run, SILENT_MAX};

/// The most grants, and payments, that a run reads.
pub(super) const READ_MAX: usize = 10_000;

/// The most customers that a run looks at, each with three calls at least.
const CUSTOMERS_MAX: usize = 5_000;

/// The most memos of a kind that a run walks over.
pub(super) const WALK_MAX: usize = 20_000;

/// How far back payments are read at first.
const PAYMENTS_FIRST: i64 = 30 * 86_400;

/// How much each look at payments goes back before the last one: they are listed by when they were made, and some take days to be paid.
const PAYMENTS_OVERLAP: i64 = 5 * 86_400;

/// How many customers are looked at at the same time. Few: others want to ask Stripe too.
const AT_ONCE: usize = 4;

/// Grants as Stripe lists them, by customer.
type Grants = BTreeMap<String, Vec<Value>>;

impl Run {
    pub(super) async fn objects(&mut self) -> Result<(), LedgerError> {
        let mut grants = None;
        let mut customers = self.known_customers().await?;
        if self.rules.stripe.mode == Mode::Grants {
            let (found, all) = self.grants().await?;
            customers.extend(found.keys().cloned());
            grants = all.then_some(found);
        }
        // Where grants are what credits, those that bought a pack have to make one.
        self.payments().await?;
        self.troubles().await?;
        self.invoices().await?;
        self.customers(customers, grants).await
    }

    /// Tells the memos of an object what it is like; as of when it was asked for.
    pub(super) async fn tell(&mut self, value: &Value, asked_at: i64) -> Result<(), LedgerError> {
        self.report.objects += 1;
        let what = value["id"].as_str().unwrap_or("an object without an id");
        let fact = match read(value) {
            Ok(Some(fact)) => fact,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.problem(format!("{what}: {error}"));
                return Ok(());
            }
        };
        let telling = Telling::by_api(fact, self.stripe.their_time(asked_at));
        match self.desk.tell(&telling, true).await {
            Ok(_) => Ok(()),
            Err(error) => self.unless_transient(what, error),
        }
    }

    /// All grants, told; and whether they are all.
    async fn grants(&mut self) -> Result<(Grants, bool), LedgerError> {
        let mut grants = Grants::new();
        let call = match api::list_all_credit_grants() {
            Ok(call) => call,
            Err(error) => {
                self.problem(format!("grants: {error}"));
                return Ok((grants, false));
            }
        };
        let from = self.state.grants.take();
        let mut all = from.is_none();
        let mut pager = Pager::new(call, from, READ_MAX);
        loop {
            let asked_at = self.desk.seconds();
            match pager.next(&*self.stripe).await {
                Ok(None) => break,
                Ok(Some(page)) => {
                    for grant in page {
                        self.tell(&grant, asked_at).await?;
                        if let Some(customer) = grant["customer"].as_str() {
                            grants.entry(customer.to_owned()).or_default().push(grant);
                        }
                    }
                }
                Err(error) => {
                    self.problem(format!("grants: {error}"));
                    self.report.complete = false;
                    return Ok((grants, false));
                }
            }
        }
        self.state.grants = pager.rest();
        all &= self.state.grants.is_none();
        self.report.complete &= all;
        Ok((grants, all))
    }

    /// Payments since the last look, told.
    async fn payments(&mut self) -> Result<(), LedgerError> {
        let mut reached = self.state.payments.clone();
        let since = reached.begin(self.stripe.their_time(self.desk.seconds()), PAYMENTS_FIRST);
        let call = match api::list_all_payments(since) {
            Ok(call) => call,
            Err(error) => {
                self.problem(format!("payments: {error}"));
                return Ok(());
            }
        };
        let mut pager = Pager::new(call, reached.resume.take(), READ_MAX);
        loop {
            let asked_at = self.desk.seconds();
            match pager.next(&*self.stripe).await {
                Ok(None) => break,
                Ok(Some(page)) => {
                    for payment in &page {
                        self.tell(payment, asked_at).await?;
                    }
                }
                Err(error) => {
                    self.problem(format!("payments: {error}"));
                    self.report.complete = false;
                    self.state.payments.resume = None;
                    return Ok(());
                }
            }
        }
        reached.end(since, pager.rest(), PAYMENTS_OVERLAP);
        self.report.complete &= reached.resume.is_none();
        self.state.payments = reached;
        Ok(())
    }

    /// Memos of a kind, from where the last run stopped.
    pub(super) async fn walk(
        &mut self,
        kind: &str,
        max: usize,
    ) -> Result<Vec<(MemoName, Kept)>, LedgerError> {
        let mut cursor = self.state.walks.remove(kind);
        let mut all = Vec::new();
        loop {
            let page = self.desk.memos.memos(kind, cursor.as_deref(), PAGE_MAX).await?;
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || all.len() >= max {
                break;
            }
        }
        if let Some(cursor) = cursor {
            self.report.complete = false;
            self.state.walks.insert(kind.to_owned(), cursor);
        }
        Ok(all)
    }

    async fn known_customers(&mut self) -> Result<BTreeSet<String>, LedgerError> {
        let known = self.walk("customer", CUSTOMERS_MAX).await?;
        Ok(known.into_iter().map(|(name, _)| name.id().to_owned()).collect())
    }

    /// Invoices that are owed, by what is known, are asked for: they may have been paid. So are those that credits did not pay.
    async fn invoices(&mut self) -> Result<(), LedgerError> {
        let mut silent = 0;
        for (name, kept) in self.walk("invoice", WALK_MAX).await? {
            let stored = match Stored::read(&name, Some(&kept)) {
                Ok(stored) => stored,
                Err(error) => {
                    self.unless_transient(name.as_str(), error)?;
                    continue;
                }
            };
            let Document::Invoice(invoice) = stored.document else {
                continue;
            };
            if !invoice.is_awaited(&self.desk.rules()) {
                continue;
            }
            let asked_at = self.desk.seconds();
            let Ok(call) = api::get_invoice(name.id()) else {
                continue;
            };
            match self.stripe.call(&call).await {
                Ok(reply) => {
                    silent = 0;
                    self.tell(&reply.body, asked_at).await?;
                }
                Err(error) if error.outcome() == "missing" => self.desk.invoice_is_gone(&name).await?,
                Err(error) => {
                    silent += u32::from(error.is_unknown());
                    self.problem(format!("{name}: {error}"));
                }
            }
            if silent >= SILENT_MAX {
                self.report.complete = false;
                break;
            }
        }
        Ok(())
    }

    /// Some customers at a time; one that fails does not stop the others, unless Stripe is silent about all of them.
    async fn customers(
        &mut self,
        customers: BTreeSet<String>,
        mut grants: Option<Grants>,
    ) -> Result<(), LedgerError> {
        let mut left = customers.into_iter();
        let mut looking = JoinSet::new();
        let mut silent = 0;
        loop {
            while looking.len() < AT_ONCE
                && silent < SILENT_MAX
                && let Some(customer) = left.next()
            {
                let of = grants
                    .as_mut()
                    .map(|grants| grants.remove(&customer).unwrap_or_default());
                let (desk, stripe) = (Arc::clone(&self.desk), Arc::clone(&self.stripe));
                looking.spawn(async move {
                    let looked = look_at(&desk, &*stripe, &customer, of).await;
                    (customer, looked)
                });
            }
            match looking.join_next().await {
                None => break,
                Some(Ok((customer, looked))) => {
                    silent = self.looked(customer, looked, silent)?;
                }
                Some(Err(error)) => self.problem(format!("a customer: {error}")),
            }
        }
        if left.next().is_some() {
            self.report.complete = false;
            self.problem("Stripe does not answer: the other customers wait for the next run");
        }
        Ok(())
    }

    /// Takes in what was found of one customer; about how many in a row Stripe was silent.
    fn looked(&mut self, customer: String, looked: Looked, silent: u32) -> Result<u32, LedgerError> {
        match looked {
            Looked::Ledger(error) => {
                self.unless_transient(&customer, error)?;
                Ok(silent)
            }
            Looked::Api(error) => {
                let unknown = error.is_unknown();
                self.problem(format!("{customer}: {error}"));
                Ok(if unknown { silent + 1 } else { 0 })
            }
            Looked::Gone => {
                self.report.gone += 1;
                self.state.differing.remove(&customer);
                Ok(0)
            }
            Looked::Done(found) => {
                self.report.customers += 1;
                self.report.objects += found.objects;
                for problem in found.problems {
                    self.problem(problem);
                }
                let differs = !found.drift.is_empty() || !found.differences.is_empty();
                let room = LISTED_MAX.saturating_sub(self.report.differences.len());
                self.report
                    .differences
                    .extend(found.differences.into_iter().take(room));
                let room = LISTED_MAX.saturating_sub(self.report.drift.len());
                self.report.drift.extend(found.drift.into_iter().take(room));
                if !differs {
                    self.state.differing.remove(&customer);
                } else if self.state.differing.len() < LISTED_MAX {
                    self.state.differing.insert(customer);
                }
                Ok(0)
            }
        }
    }
}
