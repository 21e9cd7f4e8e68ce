//! Subscriptions with metered items.

use serde_json::{Map, Value, json};

use super::{Reply, World, text};
use crate::stripe::fake::error::ApiError;

/// A month here: what a cycle takes.
pub(crate) const MONTH: i64 = 30 * 86_400;
const TRIAL_NOTICE: i64 = 3 * 86_400;

impl World {
    /// Outside: a price per unit of a meter, in minor units of the currency (`0.0001`); gives back its id.
    pub(crate) fn add_price(&mut self, meter: &str, currency: &str, unit_amount: &str) -> String {
        let price = self.blank("price", "price", json!({
            "active": true, "billing_scheme": "per_unit", "currency": currency, "product": "prod_fake000001",
            "tax_behavior": "unspecified", "type": "recurring", "unit_amount_decimal": unit_amount,
            "recurring": {
                "interval": "month", "interval_count": 1, "meter": meter, "trial_period_days": null,
                "usage_type": "metered",
            },
        }));
        text(&self.keep(price), "id")
    }

    /// Outside: the customer subscribes to a metered price; gives back the subscription's id.
    pub(crate) fn subscribe(&mut self, customer: &str, price: &str) -> String {
        let asked = json!({
            "customer": customer, "items": [{"price": price}], "billing_mode": {"type": "flexible"},
        });
        let made = self.create_subscription(&asked);
        text(&made.unwrap_or_else(|e| panic!("{}", e.body())), "id")
    }

    /// `POST /v1/subscriptions`, with metered prices alone.
    pub(crate) fn create_subscription(&mut self, asked: &Value) -> Reply {
        let customer = text(&self.living_customer(&asked["customer"])?, "id");
        let mut prices = Vec::new();
        for item in asked["items"].as_array().into_iter().flatten() {
            prices.push(self.find("price", item["price"].as_str().unwrap_or_default())?);
        }
        let Some(currency) = prices.first().map(|price| price["currency"].clone()) else {
            return Err(ApiError::invalid("A subscription needs items.").param("items"));
        };
        let trial_end = asked["trial_end"].as_i64();
        let days = asked["trial_period_days"].as_i64();
        let trial_end = trial_end.or(days.map(|days| self.now + days * 86_400));
        let trial_start = trial_end.map(|_| self.now);
        let end = trial_end.unwrap_or(self.now + MONTH);
        let fallback = json!({"end_behavior": {"missing_payment_method": "create_invoice"}});
        let trial_settings = asked.get("trial_settings").cloned().unwrap_or(fallback);
        let mut subscription = self.blank("subscription", "sub", json!({
            "billing_cycle_anchor": end, "collection_method": "charge_automatically", "currency": currency,
            "billing_mode": billing_mode(&asked["billing_mode"]),
            "billing_thresholds": asked["billing_thresholds"], "cancel_at_period_end": false, "customer": customer,
            "cancellation_details": {"comment": null, "feedback": null, "reason": null},
            "default_payment_method": asked["default_payment_method"], "description": asked["description"],
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(), "start_date": self.now,
            "status": if trial_end.is_some() { "trialing" } else { "active" },
            "trial_start": trial_start, "trial_end": trial_end, "trial_settings": trial_settings,
        }));
        let id = text(&subscription, "id");
        let mut items = Vec::new();
        for (price, asked) in prices.iter().zip(asked["items"].as_array().into_iter().flatten()) {
            items.push(self.blank(
                "subscription_item",
                "si",
                json!({
                    "billing_thresholds": asked["billing_thresholds"], "current_period_start": self.now,
                    "current_period_end": end, "price": price, "subscription": id,
                    "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
                }),
            ));
        }
        let url = format!("/v1/subscription_items?subscription={id}");
        subscription["items"] = json!({"object": "list", "data": items, "has_more": false, "url": url});
        Ok(self.keep_and_tell(subscription, "customer.subscription.created"))
    }

    /// `POST /v1/subscriptions/{id}`.
    pub(crate) fn update_subscription(&mut self, id: &str, asked: &Value) -> Reply {
        let subscription = self.living_subscription(id)?;
        if let Some(method) = asked["default_payment_method"].as_str() {
            self.method_of(method, &text(&subscription, "customer"))?;
        }
        if asked["billing_thresholds"]["amount_gte"]
            .as_i64()
            .is_some_and(|amount| amount < 50)
        {
            return Err(ApiError::invalid("At least 50.").param("billing_thresholds[amount_gte]"));
        }
        let mut fields = json!({});
        for name in [
            "billing_thresholds",
            "pause_collection",
            "default_payment_method",
            "description",
            "cancel_at_period_end",
        ] {
            if let Some(given) = asked.get(name) {
                fields[name] = if given == "" { Value::Null } else { given.clone() };
            }
        }
        if fields["pause_collection"].is_object() && fields["pause_collection"]["resumes_at"].is_null() {
            fields["pause_collection"]["resumes_at"] = Value::Null;
        }
        if let Some(given) = asked.get("metadata") {
            fields["metadata"] = self.merged_metadata(id, given);
        }
        if let Some(end) = asked.get("trial_end").and_then(Value::as_i64) {
            fields["trial_end"] = end.into();
        }
        for item in asked["items"].as_array().into_iter().flatten() {
            if let Some(item_id) = item["id"].as_str() {
                self.update_item(item_id, item)?;
            }
        }
        Ok(self.change(id, fields, "customer.subscription.updated"))
    }

    /// `POST /v1/subscription_items/{item}`: thresholds and metadata.
    pub(crate) fn update_item(&mut self, item: &str, asked: &Value) -> Reply {
        let owner = self
            .all("subscription")
            .find(|subscription| items(subscription).any(|own| own["id"] == item));
        let Some(owner) = owner.cloned() else {
            return Err(ApiError::missing("subscription_item", item));
        };
        let id = text(&owner, "id");
        self.living_subscription(&id)?;
        let mut list = owner["items"].clone();
        let own = list["data"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .find(|own| own["id"] == item);
        let own = own.expect("found above");
        if let Some(given) = asked.get("billing_thresholds") {
            own["billing_thresholds"] = if given == "" { Value::Null } else { given.clone() };
        }
        if let Some(given) = asked["metadata"].as_object() {
            own["metadata"] = given.clone().into();
        }
        let own = own.clone();
        self.change(&id, json!({"items": list}), "customer.subscription.updated");
        self.bill_thresholds(&text(&owner, "customer"));
        Ok(own)
    }

    /// `DELETE /v1/subscriptions/{id}`: it ends now; its open invoices are no longer collected.
    pub(crate) fn cancel_subscription(&mut self, id: &str, asked: &Value) -> Reply {
        self.living_subscription(id)?;
        if asked["invoice_now"] == true {
            self.bill_cycle(id, "subscription_update");
        }
        let mut details = json!({"comment": null, "feedback": null, "reason": "cancellation_requested"});
        if let Some(given) = asked["cancellation_details"].as_object() {
            details.as_object_mut().expect("made so").extend(given.clone());
        }
        self.end_subscription(id, details);
        Ok(self.object(id).clone())
    }

    pub(super) fn end_subscription(&mut self, id: &str, details: Value) {
        let fields = json!({
            "status": "canceled", "canceled_at": self.now, "ended_at": self.now, "cancellation_details": details,
        });
        self.change(id, fields, "customer.subscription.deleted");
        for invoice in self.invoices_of(id) {
            if invoice["status"] == "open" && invoice["auto_advance"] == true {
                let fields = json!({"auto_advance": false, "next_payment_attempt": null});
                self.change(&text(&invoice, "id"), fields, "invoice.updated");
            }
        }
    }

    /// `POST /v1/subscriptions/{id}/pause`.
    pub(crate) fn pause_subscription(&mut self, id: &str, asked: &Value) -> Reply {
        let subscription = self.living_subscription(id)?;
        if subscription["billing_mode"]["type"] != "flexible" {
            return Err(ApiError::invalid(
                "Only subscriptions of flexible billing mode can be paused.",
            ));
        }
        if subscription["status"] == "trialing" || subscription["status"] == "paused" {
            return Err(ApiError::invalid("A trial, or what is paused, cannot be paused."));
        }
        if asked["bill_for"]["outstanding_usage_through"]["type"] == "now" {
            self.bill_cycle(id, "subscription_update");
        }
        Ok(self.change(id, json!({"status": "paused"}), "customer.subscription.paused"))
    }

    /// `POST /v1/subscriptions/{id}/resume`.
    pub(crate) fn resume_subscription(&mut self, id: &str) -> Reply {
        let subscription = self.living_subscription(id)?;
        if subscription["status"] != "paused" {
            return Err(ApiError::invalid("The subscription is not paused."));
        }
        if self.period_of(&subscription).1 <= self.now {
            self.set_period(id, self.now, self.now + MONTH);
        }
        Ok(self.change(id, json!({"status": "active"}), "customer.subscription.resumed"))
    }

    /// Outside: the subscription gets this status, however that came.
    pub(crate) fn set_status(&mut self, id: &str, status: &str) {
        self.change(id, json!({"status": status}), "customer.subscription.updated");
    }

    /// `GET /v1/subscriptions`: without a status, all that are not canceled.
    pub(crate) fn list_subscriptions(&self, asked: &Value) -> Reply {
        let wanted = |subscription: &&Value| {
            let status = match asked["status"].as_str() {
                Some("all") => true,
                Some(status) => subscription["status"] == status,
                None => subscription["status"] != "canceled",
            };
            let price = &asked["price"];
            status
                && (asked["customer"].is_null() || subscription["customer"] == asked["customer"])
                && (price.is_null() || items(subscription).any(|item| item["price"]["id"] == *price))
        };
        let found = self.all("subscription").rev().filter(wanted).cloned().collect();
        super::lists::page(found, asked, "/v1/subscriptions")
    }

    fn living_subscription(&self, id: &str) -> Reply {
        let found = self.find("subscription", id)?;
        if found["status"] == "canceled" || found["status"] == "incomplete_expired" {
            return Err(ApiError::missing("subscription", id));
        }
        Ok(found)
    }

    /// Begin and end of the period that is running.
    pub(super) fn period_of(&self, subscription: &Value) -> (i64, i64) {
        let item = &subscription["items"]["data"][0];
        let time = |field: &str| item[field].as_i64().expect("a period");
        (time("current_period_start"), time("current_period_end"))
    }

    /// Moves the period; gives back what was there before.
    pub(super) fn set_period(&mut self, id: &str, from: i64, to: i64) -> Map<String, Value> {
        let mut list = self.object(id)["items"].clone();
        for item in list["data"].as_array_mut().into_iter().flatten() {
            item["current_period_start"] = from.into();
            item["current_period_end"] = to.into();
        }
        self.set(id, json!({"items": list}))
    }

    /// When the next period or trial ends, or is about to.
    pub(super) fn subscriptions_due(&self) -> Option<i64> {
        self.all("subscription")
            .filter_map(|subscription| self.subscription_due(subscription))
            .min()
    }

    fn subscription_due(&self, subscription: &Value) -> Option<i64> {
        let (_, end) = self.period_of(subscription);
        match subscription["status"].as_str() {
            Some("trialing") if !self.noticed.contains(&text(subscription, "id")) => Some(end - TRIAL_NOTICE),
            Some("trialing" | "active" | "past_due" | "unpaid") => Some(end),
            _ => None,
        }
    }

    pub(super) fn run_subscriptions_due(&mut self) {
        let due: Vec<Value> = self
            .all("subscription")
            .filter(|subscription| {
                self.subscription_due(subscription)
                    .is_some_and(|due| due <= self.now)
            })
            .cloned()
            .collect();
        for subscription in due {
            let id = text(&subscription, "id");
            let (_, end) = self.period_of(&subscription);
            if subscription["status"] == "trialing" && self.noticed.insert(id.clone()) {
                self.tell("customer.subscription.trial_will_end", &subscription, None);
            } else if subscription["status"] == "trialing" {
                self.end_trial(&subscription);
            } else if subscription["cancel_at_period_end"] == true {
                self.bill_cycle(&id, "subscription_cycle");
                self.end_subscription(&id, json!({"comment": null, "feedback": null, "reason": null}));
            } else {
                self.bill_cycle(&id, "subscription_cycle");
                let before = self.set_period(&id, end, end + MONTH);
                let told = self.object(&id).clone();
                self.tell("customer.subscription.updated", &told, Some(before));
            }
        }
    }

    fn end_trial(&mut self, subscription: &Value) {
        let (id, customer) = (text(subscription, "id"), text(subscription, "customer"));
        let settings = &self.object(&customer)["invoice_settings"]["default_payment_method"];
        let has_method = !subscription["default_payment_method"].is_null() || !settings.is_null();
        let wanted = subscription["trial_settings"]["end_behavior"]["missing_payment_method"].as_str();
        self.set_period(&id, self.now, self.now + MONTH);
        match wanted {
            Some("cancel") if !has_method => {
                self.end_subscription(&id, json!({"comment": null, "feedback": null, "reason": null}));
            }
            Some("pause") if !has_method => {
                self.change(&id, json!({"status": "paused"}), "customer.subscription.paused");
            }
            _ => {
                self.change(&id, json!({"status": "active"}), "customer.subscription.updated");
            }
        }
    }
}

/// The items of a subscription.
pub(super) fn items(subscription: &Value) -> impl Iterator<Item = &Value> {
    subscription["items"]["data"].as_array().into_iter().flatten()
}

fn billing_mode(asked: &Value) -> Value {
    let mode = asked["type"].as_str().unwrap_or("classic");
    json!({"type": mode, "flexible": asked["flexible"]})
}
