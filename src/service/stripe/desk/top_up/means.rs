//! With what a customer can be charged, and whether a grant more can be made.

use std::sync::Arc;

use serde_json::Value;

use crate::config::stripe::Mode;
use crate::ledger::LedgerError;
use crate::ledger::memos::MemoName;
use crate::stripe::api;
use crate::stripe::call::{BadCall, Call};
use crate::stripe::client::{ApiError, Stripe, list_newest};

use super::super::super::memo::{Document, Done, Rules};
use super::super::super::top_up::Means;
use super::super::Desk;
use super::super::settle::{Ended, Tried};

/// Of so many payments, the newest, one tells with what a customer has paid.
const METHODS_AMONG: usize = 100;

/// Of so many cards, the newest, one is taken where neither is known as the default nor was paid with.
const CARDS_AMONG: usize = 20;

/// With so many unused grants a customer is not charged for one more: Stripe keeps 100, and a purchase on a page has to find room too.
const GRANTS_FULL: usize = 90;

/// Of so many grants, the newest, the unused ones are counted.
const GRANTS_AMONG: usize = 300;

impl Desk {
    /// With what a customer can be charged: what invoices are charged to, else what was kept of a payment page, else a card that was kept otherwise.
    pub(super) async fn means(
        &self,
        customer: &str,
        not: (Option<&str>, &[String]),
        owed: bool,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        match self.find_means(customer, not, owed, rules).await {
            Ok(means) => Ok(Tried::Came(Done::Means(means))),
            Err(Unfound::Stripe(error)) => Ok(match error.refused() {
                Some(refused) if refused.is_missing() => Tried::Came(Done::Means(Means {
                    method: None,
                    refused: false,
                    currency: None,
                    full: false,
                })),
                Some(_) => Tried::Ends(Ended::Parked(format!("how {customer} pays: {error}"))),
                None => Tried::Ends(Ended::Unanswered(error.to_string())),
            }),
            Err(Unfound::Ledger(error)) => Err(error),
        }
    }

    async fn find_means(
        &self,
        customer: &str,
        (bad, refused): (Option<&str>, &[String]),
        owed: bool,
        rules: &Rules,
    ) -> Result<Means, Unfound> {
        let found = self.get(api::get_customer(customer)).await?;
        let default = id_of(&found["invoice_settings"]["default_payment_method"]);
        let may = |method: &str| !refused.iter().any(|known| known == method);
        let payments = match default.filter(|method| !owed && Some(*method) != bad && may(method)) {
            Some(_) => Vec::new(),
            None => {
                let listed = api::list_payments(customer, None);
                self.newest(listed, METHODS_AMONG).await?
            }
        };
        let mut paid = payments.iter().filter(|payment| payment["status"] == "succeeded");
        let paid_in = paid
            .clone()
            .next()
            .and_then(|payment| payment["currency"].as_str());
        let kept = paid
            .find(|payment| payment["setup_future_usage"] == "off_session")
            .and_then(|payment| id_of(&payment["payment_method"]));
        let mut methods: Vec<String> = [default, kept].into_iter().flatten().map(str::to_owned).collect();
        if !methods.iter().any(|method| may(method) && Some(&**method) != bad) {
            // What was kept otherwise, such as a card that was verified.
            let cards = self.newest(api::list_cards(customer), CARDS_AMONG).await?;
            methods.extend(
                cards
                    .iter()
                    .filter_map(|card| card["id"].as_str().map(str::to_owned)),
            );
        }
        let any = !methods.is_empty();
        methods.retain(|method| may(method));
        let good = methods.iter().find(|method| Some(&***method) != bad);
        let good = good.or(methods.first()).cloned();
        let full = rules.stripe.mode == Mode::Grants
            && !owed
            && good.is_some()
            && self.unused_grants(customer).await? >= GRANTS_FULL;
        Ok(Means {
            refused: any && good.is_none(),
            method: good,
            currency: paid_in.and_then(|currency| currency.parse().ok()),
            full,
        })
    }

    /// How many grants of a customer Stripe counts as unused, as far as is known here.
    async fn unused_grants(&self, customer: &str) -> Result<usize, Unfound> {
        let grants = self
            .newest(api::list_credit_grants(customer), GRANTS_AMONG)
            .await?;
        let now = self.seconds();
        let mut unused = 0;
        let live = grants.iter().filter(|grant| {
            let ended = grant["expires_at"].as_i64().is_some_and(|end| end <= now);
            grant["voided_at"].is_null() && !ended
        });
        let live: Vec<&Value> = live.collect();
        if live.len() < GRANTS_FULL {
            return Ok(live.len());
        }
        for grant in live {
            let name = MemoName::new("grant", grant["id"].as_str().unwrap_or_default());
            let known = match name {
                Ok(name) => self.document(&name).await.map_err(Unfound::Ledger)?,
                Err(_) => continue,
            };
            let used = matches!(known, Document::Grant(memo) if memo.is_applied());
            unused += usize::from(!used);
        }
        Ok(unused)
    }

    pub(super) async fn get(&self, call: Result<Call, BadCall>) -> Result<Value, Unfound> {
        let (call, stripe) = self.client_for(call)?;
        let reply = stripe.call(&call).await.map_err(Unfound::Stripe)?;
        Ok(reply.body)
    }

    pub(in super::super) async fn newest(
        &self,
        call: Result<Call, BadCall>,
        most: usize,
    ) -> Result<Vec<Value>, Unfound> {
        let (call, stripe) = self.client_for(call)?;
        let (items, _) = list_newest(&*stripe, &call, most)
            .await
            .map_err(Unfound::Stripe)?;
        Ok(items)
    }

    pub(super) fn client_for(&self, call: Result<Call, BadCall>) -> Result<(Call, Arc<dyn Stripe>), Unfound> {
        let unknown = |what: String| {
            Unfound::Stripe(ApiError::Unknown {
                what,
                request_id: None,
            })
        };
        let call = call.map_err(|error| unknown(error.to_string()))?;
        let stripe = self
            .stripe()
            .ok_or_else(|| unknown("there is no `api_key`".to_owned()))?;
        Ok((call, stripe))
    }
}

/// Why something was not found out.
pub(in super::super) enum Unfound {
    Stripe(ApiError),
    Ledger(LedgerError),
}

/// An id, or the one of what stands in its place.
fn id_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["id"].as_str())
}
