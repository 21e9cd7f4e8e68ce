//! Credit grants and the append-only ledger of their transactions.

use serde_json::{Value, json};

use super::{Reply, World, text};
use crate::stripe::fake::error::ApiError;

/// How many grants of a customer may be unused at a time.
pub(crate) const UNUSED_GRANTS_MAX: usize = 100;
const NAME_CHARS: usize = 100;
const PRICES_MAX: usize = 20;

/// What a grant's transactions come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Book {
    /// Minor units.
    pub(super) ledger: i64,
    funded: bool,
    applied: bool,
}

impl World {
    /// `POST /v1/billing/credit_grants`.
    pub(crate) fn create_grant(&mut self, asked: &Value) -> Reply {
        let customer = text(&self.living_customer(&asked["customer"])?, "id");
        let (effective_at, expires_at) = self.grant_checked(asked)?;
        let unused = self
            .grants_of(&customer)
            .iter()
            .filter(|grant| self.is_unused(grant))
            .count();
        if unused >= UNUSED_GRANTS_MAX {
            let limit = format!("A customer can have at most {UNUSED_GRANTS_MAX} unused credit grants.");
            return Err(ApiError::invalid(limit));
        }
        let amount = &asked["amount"]["monetary"];
        let currency = text(amount, "currency").to_lowercase();
        let grant = self.blank("billing.credit_grant", "credgr", json!({
            "amount": {"type": "monetary", "monetary": {"currency": currency, "value": amount["value"]}},
            "applicability_config": asked["applicability_config"],
            "category": asked["category"].as_str().unwrap_or("paid"),
            "customer": customer, "customer_account": null, "effective_at": effective_at, "expires_at": expires_at,
            "name": asked["name"], "priority": asked["priority"].as_i64().unwrap_or(50), "updated": self.now,
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
        }));
        let grant = self.keep_and_tell(grant, "billing.credit_grant.created");
        if effective_at <= self.now || self.quirks.granted_when_created {
            self.fund(&grant);
        }
        Ok(grant)
    }

    fn grant_checked(&self, asked: &Value) -> Result<(i64, Option<i64>), ApiError> {
        let wrong = |what: &str, param: &str| Err(ApiError::invalid(what).param(param));
        let scope = &asked["applicability_config"]["scope"];
        let prices = scope["prices"].as_array();
        if scope["price_type"].is_null() == prices.is_none() {
            return wrong(
                "Give price_type or prices, and not both.",
                "applicability_config[scope]",
            );
        }
        if prices.is_some_and(|prices| prices.is_empty() || prices.len() > PRICES_MAX) {
            return wrong("From 1 to 20 prices.", "applicability_config[scope][prices]");
        }
        if asked["amount"]["monetary"]["value"]
            .as_i64()
            .is_none_or(|value| value <= 0)
        {
            return wrong("Invalid positive integer", "amount[monetary][value]");
        }
        if !(0..=100).contains(&asked["priority"].as_i64().unwrap_or(50)) {
            return wrong("From 0 to 100.", "priority");
        }
        if asked["name"]
            .as_str()
            .is_some_and(|name| name.chars().count() > NAME_CHARS)
        {
            return wrong("At most 100 characters.", "name");
        }
        let effective_at = asked["effective_at"].as_i64().unwrap_or(self.now);
        let expires_at = asked["expires_at"].as_i64();
        if expires_at.is_some_and(|end| end <= effective_at || end <= self.now) {
            return wrong("It has to end after it begins, and in the future.", "expires_at");
        }
        Ok((effective_at, expires_at))
    }

    /// `POST /v1/billing/credit_grants/{id}`.
    pub(crate) fn update_grant(&mut self, id: &str, asked: &Value) -> Reply {
        let grant = self.find("billing.credit_grant", id)?;
        let mut fields = json!({"updated": self.now});
        if let Some(given) = asked.get("expires_at") {
            if !grant["voided_at"].is_null() || self.is_past(&grant) {
                return Err(ApiError::invalid("The grant is voided or expired.").param("expires_at"));
            }
            let end = given.as_i64();
            let begin = grant["effective_at"].as_i64().unwrap_or(self.now);
            if end.is_some_and(|end| end <= self.now || end <= begin) {
                let error = ApiError::invalid("It has to end after it begins, and in the future.");
                return Err(error.param("expires_at"));
            }
            fields["expires_at"] = end.into();
        }
        if let Some(given) = asked.get("metadata") {
            fields["metadata"] = self.merged_metadata(id, given);
        }
        Ok(self.change(id, fields, "billing.credit_grant.updated"))
    }

    /// `POST /v1/billing/credit_grants/{id}/expire`.
    pub(crate) fn expire_grant(&mut self, id: &str) -> Reply {
        let grant = self.find("billing.credit_grant", id)?;
        if !grant["voided_at"].is_null() || self.is_past(&grant) {
            return Err(ApiError::invalid("The grant is voided or expired already."));
        }
        let fields = json!({"expires_at": self.now, "updated": self.now});
        let grant = self.change(id, fields, "billing.credit_grant.updated");
        self.take_rest(&grant, "credits_expired");
        Ok(grant)
    }

    /// `POST /v1/billing/credit_grants/{id}/void`.
    pub(crate) fn void_grant(&mut self, id: &str) -> Reply {
        let grant = self.find("billing.credit_grant", id)?;
        if self.books.get(id).is_some_and(|book| book.applied) {
            return Err(ApiError::invalid(
                "The grant was applied to an invoice: it can be expired, not voided.",
            ));
        }
        if !grant["voided_at"].is_null() || self.is_past(&grant) {
            return Err(ApiError::invalid("The grant is voided or expired already."));
        }
        let fields = json!({"voided_at": self.now, "updated": self.now});
        let grant = self.change(id, fields, "billing.credit_grant.updated");
        self.take_rest(&grant, "credits_voided");
        Ok(grant)
    }

    /// `GET /v1/billing/credit_balance_summary`.
    pub(crate) fn balance_summary(&self, asked: &Value) -> Reply {
        let customer = text(&self.living_customer(&asked["customer"])?, "id");
        let filter = &asked["filter"];
        let grants: Vec<Value> = match filter["type"].as_str() {
            Some("credit_grant") => vec![self.find("billing.credit_grant", &text(filter, "credit_grant"))?],
            _ => {
                let prices = filter["applicability_scope"]["prices"].as_array();
                let mut grants = self.grants_of(&customer);
                grants.retain(|grant| {
                    prices.is_none_or(|prices| prices.iter().any(|price| covers(grant, &price["id"])))
                });
                grants
            }
        };
        let mut currencies: Vec<String> = grants.iter().map(grant_currency).collect();
        currencies.sort();
        currencies.dedup();
        let money = |currency: &str, value: i64| json!({"type": "monetary", "monetary": {"currency": currency, "value": value}});
        let balances: Vec<Value> = currencies
            .iter()
            .map(|currency| {
                let own = grants.iter().filter(|grant| grant_currency(grant) == *currency);
                let (mut ledger, mut available) = (0, 0);
                for grant in own {
                    ledger += self.ledger_balance(grant);
                    available += self.available_balance(grant);
                }
                json!({"available_balance": money(currency, available), "ledger_balance": money(currency, ledger)})
            })
            .collect();
        Ok(json!({
            "object": "billing.credit_balance_summary", "balances": balances, "customer": customer,
            "customer_account": null, "livemode": false,
        }))
    }

    /// `GET /v1/billing/credit_balance_transactions`.
    pub(crate) fn list_transactions(&self, asked: &Value) -> Reply {
        let customer = text(&self.living_customer(&asked["customer"])?, "id");
        let of_customer = |txn: &&Value| {
            self.object(&text(txn, "credit_grant"))["customer"] == customer.as_str()
                && (asked["credit_grant"].is_null() || asked["credit_grant"] == txn["credit_grant"])
        };
        let newest_first = self
            .all("billing.credit_balance_transaction")
            .rev()
            .filter(of_customer);
        super::lists::page(
            newest_first.cloned().collect(),
            asked,
            "/v1/billing/credit_balance_transactions",
        )
    }

    /// The customer's grants, oldest first.
    pub(crate) fn grants_of(&self, customer: &str) -> Vec<Value> {
        self.with("billing.credit_grant", "customer", customer)
    }

    /// The sum of the grant's recorded transactions, in minor units.
    pub(crate) fn ledger_balance(&self, grant: &Value) -> i64 {
        let book = grant["id"].as_str().and_then(|id| self.books.get(id));
        book.map_or(0, |book| book.ledger)
    }

    /// What is left when what has expired, and what drafts show, is taken off. Minor units.
    pub(crate) fn available_balance(&self, grant: &Value) -> i64 {
        if self.is_past(grant) {
            return 0;
        }
        self.ledger_balance(grant) - self.shown_by_drafts(grant)
    }

    fn is_past(&self, grant: &Value) -> bool {
        grant["expires_at"].as_i64().is_some_and(|end| end <= self.now)
    }

    /// Not voided, not past its end, and not begun or with something on the ledger.
    fn is_unused(&self, grant: &Value) -> bool {
        let pending = grant["effective_at"]
            .as_i64()
            .is_some_and(|begin| begin > self.now);
        grant["voided_at"].is_null() && !self.is_past(grant) && (pending || self.ledger_balance(grant) > 0)
    }

    fn fund(&mut self, grant: &Value) {
        let amount = grant["amount"].clone();
        let side =
            json!({"amount": amount, "credits_application_invoice_voided": null, "type": "credits_granted"});
        self.transact(grant, "credit", side);
    }

    /// Writes a transaction and tells of it; gives back its id.
    pub(super) fn transact(&mut self, grant: &Value, kind: &str, side: Value) -> String {
        let book = self.books.entry(text(grant, "id")).or_default();
        let value = side["amount"]["monetary"]["value"].as_i64().expect("an amount");
        book.ledger += if kind == "credit" { value } else { -value };
        book.funded |= side["type"] == "credits_granted";
        book.applied |= side["type"] == "credits_applied";
        let mut fields = json!({
            "type": kind, "credit": null, "debit": null, "credit_grant": grant["id"], "effective_at": self.now,
        });
        fields[kind] = side;
        let txn = self.blank("billing.credit_balance_transaction", "cbtxn", fields);
        let txn = self.keep_and_tell(txn, "billing.credit_balance_transaction.created");
        text(&txn, "id")
    }

    /// Takes what is left on the ledger off the grant.
    pub(super) fn take_rest(&mut self, grant: &Value, why: &str) {
        let rest = self.ledger_balance(grant);
        if rest > 0 {
            let amount =
                json!({"type": "monetary", "monetary": {"currency": grant_currency(grant), "value": rest}});
            self.transact(
                grant,
                "debit",
                json!({"amount": amount, "credits_applied": null, "type": why}),
            );
        }
    }

    /// When the next grant begins or ends.
    pub(super) fn grants_due(&self) -> Option<i64> {
        let grants = self
            .all("billing.credit_grant")
            .filter(|grant| grant["voided_at"].is_null());
        grants.filter_map(|grant| self.grant_due(grant)).min()
    }

    fn grant_due(&self, grant: &Value) -> Option<i64> {
        let end = grant["expires_at"].as_i64();
        if !self.is_funded(grant) {
            let begin = grant["effective_at"].as_i64();
            // Expired by hand before it began: nothing comes of it.
            return begin.filter(|begin| end.is_none_or(|end| end > *begin));
        }
        end.filter(|_| self.ledger_balance(grant) > 0)
            .map(|end| end + self.quirks.expiry_lag)
    }

    fn is_funded(&self, grant: &Value) -> bool {
        self.books.get(&text(grant, "id")).is_some_and(|book| book.funded)
    }

    pub(super) fn run_grants_due(&mut self) {
        let grants: Vec<Value> = self.all("billing.credit_grant").cloned().collect();
        for grant in grants.iter().filter(|grant| grant["voided_at"].is_null()) {
            if self.grant_due(grant).is_none_or(|due| due > self.now) {
                continue;
            }
            if !self.is_funded(grant) {
                self.fund(grant);
                continue;
            }
            self.take_rest(grant, "credits_expired");
            if self.quirks.natural_expiry_is_told {
                self.change(
                    &text(grant, "id"),
                    json!({"updated": self.now}),
                    "billing.credit_grant.updated",
                );
            }
        }
    }
}

/// The currency of a grant.
pub(crate) fn grant_currency(grant: &Value) -> String {
    text(&grant["amount"]["monetary"], "currency")
}

/// Whether the grant may pay for this price.
pub(super) fn covers(grant: &Value, price: &Value) -> bool {
    match grant["applicability_config"]["scope"]["prices"].as_array() {
        Some(prices) => prices.iter().any(|own| own["id"] == *price),
        None => true,
    }
}
