//! Invoices of metered subscriptions: drafts, and what happens when they are final.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::grants::{covers, grant_currency};
use super::meters::Span;
use super::subscriptions::items;
use super::{Reply, World, text};
use crate::stripe::fake::decimal::Decimal;
use crate::stripe::fake::error::ApiError;

const DAY: i64 = 86_400;
/// Threshold invoices of a subscription in a minute, and in a day.
const THRESHOLD_INVOICES: [(i64, usize); 2] = [(60, 10), (DAY, 20)];

/// So much of a grant pays for a line.
#[derive(Clone, Debug, PartialEq)]
struct Applied {
    line: usize,
    grant: String,
    /// Minor units.
    amount: i64,
}

impl World {
    /// A draft of the running period, that becomes final after the grace; gives back its id.
    pub(super) fn bill_cycle(&mut self, subscription: &str, reason: &str) -> String {
        let of = self.object(subscription).clone();
        let (from, end) = self.period_of(&of);
        let grace = self.billing.grace;
        self.draft(&of, reason, (from, end.min(self.now + 1)), grace, Value::Null)
    }

    fn draft(
        &mut self,
        of: &Value,
        reason: &str,
        period: (i64, i64),
        grace: i64,
        threshold: Value,
    ) -> String {
        let id = text(of, "id");
        let kept = of["pause_collection"]["behavior"] == "keep_as_draft";
        let customer = self.object(&text(of, "customer")).clone();
        let mut invoice = self.blank("invoice", "in", json!({
            "account_country": "US", "amount_due": 0, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": 0,
            "amount_shipping": 0, "attempt_count": 0, "attempted": false, "auto_advance": !kept,
            "automatically_finalizes_at": if kept { Value::Null } else { (self.now + grace).into() },
            "billing_reason": reason, "collection_method": "charge_automatically", "currency": of["currency"],
            "customer": of["customer"], "customer_email": customer["email"], "customer_name": customer["name"],
            "customer_tax_exempt": "none", "period_start": period.0, "period_end": period.1.min(self.now),
            "parent": {
                "quote_details": null, "type": "subscription_details",
                "subscription_details": {"metadata": of["metadata"], "subscription": id},
            },
            "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0, "starting_balance": 0,
            "status": "draft", "threshold_reason": threshold, "total_pretax_credit_amounts": [],
            "status_transitions": {"finalized_at": null, "marked_uncollectible_at": null, "paid_at": null, "voided_at": null},
        }));
        let invoice_id = text(&invoice, "id");
        let mut lines = Vec::new();
        for item in items(of) {
            lines.push(self.line(&invoice_id, item, period));
        }
        let url = format!("/v1/invoices/{invoice_id}/lines");
        invoice["lines"] = json!({"object": "list", "data": lines, "has_more": false, "url": url});
        self.keep(invoice);
        self.sum_up(&invoice_id);
        let told = self.object(&invoice_id).clone();
        self.tell("invoice.created", &told, None);
        self.set(&id, json!({"latest_invoice": invoice_id}));
        invoice_id
    }

    fn line(&mut self, invoice: &str, item: &Value, period: (i64, i64)) -> Value {
        let price = &item["price"];
        let id = self.new_id("il");
        json!({
            "id": id, "object": "line_item", "amount": 0, "currency": price["currency"], "description": "Usage",
            "discount_amounts": [], "discountable": true, "discounts": [], "invoice": invoice, "livemode": false,
            "metadata": {}, "pretax_credit_amounts": [], "quantity": 0, "taxes": [],
            "parent": {
                "invoice_item_details": null, "type": "subscription_item_details",
                "subscription_item_details": {
                    "invoice_item": null, "proration": false, "proration_details": {"credited_items": null},
                    "subscription": item["subscription"], "subscription_item": item["id"],
                },
            },
            "period": {"start": period.0, "end": period.1},
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]}, "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
        })
    }

    /// Usage on the line that no final invoice has.
    fn line_usage(&self, invoice: &Value, line: &Value) -> Vec<usize> {
        let price = self.object(&text(&line["pricing"]["price_details"], "price"));
        let (meter, customer) = (text(&price["recurring"], "meter"), text(invoice, "customer"));
        let time = |field: &str| line["period"][field].as_i64().expect("a period");
        let span = Span {
            meter: &meter,
            customer: &customer,
            from: time("start"),
            to: time("end"),
        };
        let own = self
            .usage
            .iter()
            .enumerate()
            .filter(|(_, usage)| usage.invoice.is_none() && span.has(usage));
        own.map(|(at, _)| at).collect()
    }

    /// Counts the usage and the credits of a draft.
    pub(super) fn sum_up(&mut self, id: &str) {
        let invoice = self.object(id).clone();
        let mut list = invoice["lines"].clone();
        let mut subtotal = 0;
        for line in list["data"].as_array_mut().into_iter().flatten() {
            let price = text(&line["pricing"], "unit_amount_decimal");
            let meter = text(
                &self.object(&text(&line["pricing"]["price_details"], "price"))["recurring"],
                "meter",
            );
            let used = self
                .line_usage(&invoice, line)
                .into_iter()
                .map(|at| &self.usage[at]);
            let quantity = self.aggregate(&meter, used).unwrap_or_default();
            let amount = quantity.times_rounded(Decimal::parse(&price).expect("a price"));
            line["quantity"] = quantity.floor().into();
            line["amount"] = amount.into();
            subtotal += amount;
        }
        self.set(
            id,
            json!({"lines": list, "subtotal": subtotal, "subtotal_excluding_tax": subtotal}),
        );
        let shown: i64 = self
            .plan(self.object(id), &mut BTreeMap::new())
            .iter()
            .map(|one| one.amount)
            .sum();
        self.set_total(id, subtotal - shown);
    }

    fn set_total(&mut self, id: &str, total: i64) {
        let fields = json!({
            "total": total, "total_excluding_tax": total, "amount_due": total, "amount_remaining": total,
        });
        self.set(id, fields);
    }

    /// Which grants pay for what, by Stripe's order. `taken` is what others have of them, and grows.
    fn plan(&self, invoice: &Value, taken: &mut BTreeMap<String, i64>) -> Vec<Applied> {
        let period_end = invoice["period_end"].as_i64().expect("a period");
        let mut grants = self.grants_of(&text(invoice, "customer"));
        grants.retain(|grant| {
            let begins = grant["effective_at"]
                .as_i64()
                .is_some_and(|begin| begin <= period_end);
            let lasts = grant["expires_at"]
                .as_i64()
                .is_none_or(|end| period_end < end && self.now < end);
            grant["voided_at"].is_null()
                && begins
                && lasts
                && grant_currency(grant) == text(invoice, "currency")
        });
        // Equal ones stay in the order they were made.
        grants.sort_by_key(burn_order);
        let mut plan = Vec::new();
        for (at, line) in lines(invoice).enumerate() {
            let mut due = line["amount"].as_i64().unwrap_or_default();
            for grant in &grants {
                if !covers(grant, &line["pricing"]["price_details"]["price"]) {
                    continue;
                }
                let id = text(grant, "id");
                let used = taken.entry(id.clone()).or_default();
                let amount = due.min(self.ledger_balance(grant) - *used);
                if amount > 0 {
                    *used += amount;
                    due -= amount;
                    plan.push(Applied {
                        line: at,
                        grant: id,
                        amount,
                    });
                }
            }
        }
        plan
    }

    /// What all drafts together show of a grant, in minor units.
    pub(super) fn shown_by_drafts(&self, grant: &Value) -> i64 {
        let mut taken = BTreeMap::new();
        let customer = text(grant, "customer");
        for draft in self
            .with("invoice", "customer", &customer)
            .iter()
            .filter(|one| one["status"] == "draft")
        {
            self.plan(draft, &mut taken);
        }
        taken.get(&text(grant, "id")).copied().unwrap_or_default()
    }

    /// Makes a draft final: usage is counted once more, credits are applied, and what is left is charged.
    pub(crate) fn finalize(&mut self, id: &str) -> Reply {
        if self.find("invoice", id)?["status"] != "draft" {
            return Err(ApiError::invalid("Only a draft can be finalized."));
        }
        self.sum_up(id);
        let invoice = self.object(id).clone();
        for line in lines(&invoice) {
            for at in self.line_usage(&invoice, line) {
                self.usage[at].invoice = Some(id.to_owned());
            }
        }
        let plan = self.plan(&invoice, &mut BTreeMap::new());
        self.apply(id, &plan);
        let mut transitions = invoice["status_transitions"].clone();
        transitions["finalized_at"] = self.now.into();
        let number = format!("FAKE-{}", id.trim_start_matches("in_fake"));
        let fields = json!({
            "status": "open", "number": number, "effective_at": self.now, "status_transitions": transitions,
            "automatically_finalizes_at": null,
        });
        self.change(id, fields, "invoice.finalized");
        self.collect_final(id);
        Ok(self.object(id).clone())
    }

    fn apply(&mut self, id: &str, plan: &[Applied]) {
        let mut list = self.object(id)["lines"].clone();
        let mut amounts = Vec::new();
        for one in plan {
            let line = &mut list["data"][one.line];
            let grant = self.object(&one.grant).clone();
            let money = json!({"type": "monetary", "monetary": {"currency": grant_currency(&grant), "value": one.amount}});
            let applied = json!({"invoice": id, "invoice_line_item": line["id"]});
            let side = json!({"amount": money, "credits_applied": applied, "type": "credits_applied"});
            let txn = self.transact(&grant, "debit", side);
            let amount = json!({"amount": one.amount, "credit_balance_transaction": txn, "type": "credit_balance_transaction"});
            line["pretax_credit_amounts"]
                .as_array_mut()
                .expect("a list")
                .push(amount.clone());
            amounts.push(amount);
        }
        self.set(id, json!({"lines": list, "total_pretax_credit_amounts": amounts}));
    }

    /// `POST /v1/invoices/{id}/void`: what was applied comes back.
    pub(crate) fn void_invoice(&mut self, id: &str) -> Reply {
        let invoice = self.find("invoice", id)?;
        if invoice["status"] != "open" && invoice["status"] != "uncollectible" {
            return Err(
                ApiError::invalid("Only an open or uncollectible invoice can be voided.")
                    .code("invoice_not_editable"),
            );
        }
        for line in lines(&invoice) {
            for one in line["pretax_credit_amounts"].as_array().into_iter().flatten() {
                let txn = self.object(&text(one, "credit_balance_transaction")).clone();
                let grant = self.object(&text(&txn, "credit_grant")).clone();
                let side = json!({
                    "amount": txn["debit"]["amount"], "type": "credits_application_invoice_voided",
                    "credits_application_invoice_voided": {"invoice": id, "invoice_line_item": line["id"]},
                });
                self.transact(&grant, "credit", side);
                // Past its end it goes as it comes.
                if grant["expires_at"].as_i64().is_some_and(|end| end <= self.now) {
                    self.take_rest(&grant, "credits_expired");
                }
            }
        }
        Ok(self.close_invoice(id, "void", "voided_at", "invoice.voided"))
    }

    /// Sets a final status and its time, and tells.
    pub(super) fn close_invoice(&mut self, id: &str, status: &str, at: &str, event: &str) -> Value {
        let mut transitions = self.object(id)["status_transitions"].clone();
        transitions[at] = self.now.into();
        let fields =
            json!({"status": status, "status_transitions": transitions, "next_payment_attempt": null});
        self.change(id, fields, event)
    }

    /// The subscription's invoices, oldest first.
    pub(crate) fn invoices_of(&self, subscription: &str) -> Vec<Value> {
        let own =
            |invoice: &&Value| invoice["parent"]["subscription_details"]["subscription"] == subscription;
        self.all("invoice").filter(own).cloned().collect()
    }

    /// When the next draft becomes final.
    pub(super) fn drafts_due(&self) -> Option<i64> {
        self.all("invoice").filter_map(draft_due).min()
    }

    pub(super) fn run_drafts_due(&mut self) {
        let due = |invoice: &&Value| draft_due(invoice).is_some_and(|due| due <= self.now);
        let due: Vec<String> = self
            .all("invoice")
            .filter(due)
            .map(|invoice| text(invoice, "id"))
            .collect();
        for invoice in due {
            self.finalize(&invoice).expect("it is a draft");
        }
    }

    /// Bills in the middle of a period, where usage has reached what an item or a subscription sets.
    pub(super) fn bill_thresholds(&mut self, customer: &str) {
        for subscription in self.with("subscription", "customer", customer) {
            if !matches!(subscription["status"].as_str(), Some("active" | "past_due")) {
                continue;
            }
            let id = text(&subscription, "id");
            let billed: Vec<Value> = self.invoices_of(&id);
            let many = THRESHOLD_INVOICES.iter().any(|(seconds, max)| {
                let recent = |one: &&Value| {
                    one["billing_reason"] == "subscription_threshold"
                        && one["created"]
                            .as_i64()
                            .is_some_and(|created| created > self.now - seconds)
                };
                billed.iter().filter(recent).count() >= *max
            });
            let reason = self.threshold_reached(&subscription);
            if let (false, Some(reason)) = (many, reason) {
                let (from, _) = self.period_of(&subscription);
                let period = (from, self.now + 1);
                let invoice = self.draft(&subscription, "subscription_threshold", period, 0, reason);
                self.finalize(&invoice).expect("it is a draft");
                if subscription["billing_thresholds"]["reset_billing_cycle_anchor"] == true {
                    self.set_period(&id, self.now, self.now + super::subscriptions::MONTH);
                }
            }
        }
    }

    fn threshold_reached(&self, subscription: &Value) -> Option<Value> {
        let customer = text(subscription, "customer");
        let (from, _) = self.period_of(subscription);
        let mut reasons = Vec::new();
        let mut money = 0;
        for item in items(subscription) {
            let meter = text(&item["price"]["recurring"], "meter");
            let span = Span {
                meter: &meter,
                customer: &customer,
                from,
                to: self.now + 1,
            };
            let open = self
                .usage
                .iter()
                .filter(|usage| usage.invoice.is_none() && span.has(usage));
            let quantity = self.aggregate(&meter, open).unwrap_or_default();
            let price = text(&item["price"], "unit_amount_decimal");
            money += quantity.times_rounded(Decimal::parse(&price).expect("a price"));
            let gte = item["billing_thresholds"]["usage_gte"].as_i64();
            if gte.is_some_and(|gte| quantity >= Decimal::whole(gte)) {
                reasons.push(json!({"line_item_ids": [], "usage_gte": gte}));
            }
        }
        let amount_gte = subscription["billing_thresholds"]["amount_gte"].as_i64();
        // Credits count against the amount, and so put it off.
        let credits: i64 = self
            .grants_of(&customer)
            .iter()
            .filter(|grant| grant_currency(grant) == text(subscription, "currency"))
            .map(|grant| self.available_balance(grant))
            .sum();
        let over = amount_gte.is_some_and(|gte| money - credits >= gte);
        (over || !reasons.is_empty())
            .then(|| json!({"amount_gte": amount_gte.filter(|_| over), "item_reasons": reasons}))
    }
}

/// The lines of an invoice.
fn lines(invoice: &Value) -> impl Iterator<Item = &Value> {
    invoice["lines"]["data"].as_array().into_iter().flatten()
}

fn draft_due(invoice: &Value) -> Option<i64> {
    let waits = invoice["status"] == "draft" && invoice["auto_advance"] == true;
    invoice["automatically_finalizes_at"].as_i64().filter(|_| waits)
}

/// What is smaller burns first: priority, end, promotional, begin, time of making.
fn burn_order(grant: &Value) -> (i64, i64, bool, i64, i64) {
    let time = |field: &str| grant[field].as_i64();
    (
        time("priority").unwrap_or(50),
        time("expires_at").unwrap_or(i64::MAX),
        grant["category"] != "promotional",
        time("effective_at").unwrap_or_default(),
        time("created").unwrap_or_default(),
    )
}
