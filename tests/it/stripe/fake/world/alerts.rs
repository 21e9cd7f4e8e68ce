//! Usage alerts, entitlements, and webhook endpoints.

use serde_json::{Value, json};

use super::{API_VERSION, Reply, World, text};
use crate::stripe::fake::decimal::Decimal;
use crate::stripe::fake::error::ApiError;

impl World {
    /// `POST /v1/billing/alerts`.
    pub(crate) fn create_alert(&mut self, asked: &Value) -> Reply {
        let threshold = &asked["usage_threshold"];
        self.find("billing.meter", threshold["meter"].as_str().unwrap_or_default())?;
        let alert = self.blank(
            "billing.alert",
            "alrt",
            json!({
                "alert_type": "usage_threshold", "status": "active", "title": asked["title"],
                "usage_threshold": {
                    "filters": threshold["filters"], "gte": threshold["gte"], "meter": threshold["meter"],
                    "recurrence": "one_time",
                },
            }),
        );
        Ok(self.keep(alert))
    }

    /// `POST /v1/billing/alerts/{id}/...`: activating arms it once more.
    pub(crate) fn set_alert(&mut self, id: &str, status: &str) -> Reply {
        let alert = self.find("billing.alert", id)?;
        if alert["status"] == "archived" {
            return Err(ApiError::invalid("An archived alert stays archived."));
        }
        if status == "active" {
            self.alerted.retain(|(alert, _)| alert != id);
        }
        self.set(id, json!({"status": status}));
        self.find("billing.alert", id)
    }

    /// Fires the alerts that the customer's usage has reached: once per customer, ever.
    pub(super) fn raise_alerts(&mut self, customer: &str) {
        let alerts = self.with("billing.alert", "status", "active");
        for alert in alerts {
            let threshold = &alert["usage_threshold"];
            let about = threshold["filters"]
                .as_array()
                .filter(|filters| !filters.is_empty());
            let about =
                about.is_none_or(|filters| filters.iter().any(|filter| filter["customer"] == customer));
            let key = (text(&alert, "id"), customer.to_owned());
            if !about || self.alerted.contains(&key) {
                continue;
            }
            let meter = text(threshold, "meter");
            let own = |usage: &&super::meters::Usage| usage.meter == meter && usage.customer == customer;
            let value = self
                .aggregate(&meter, self.usage.iter().filter(own))
                .unwrap_or_default();
            if value < Decimal::whole(threshold["gte"].as_i64().unwrap_or(i64::MAX)) {
                continue;
            }
            self.alerted.insert(key);
            let fired = json!({
                "object": "billing.alert_triggered", "alert": alert, "created": self.now, "customer": customer,
                "livemode": false, "value": value.json(),
            });
            self.tell("billing.alert.triggered", &fired, None);
        }
    }

    /// Outside: the customer is entitled to just these features, by lookup key.
    pub(crate) fn entitle(&mut self, customer: &str, features: &[&str]) {
        let before = self.entitled.remove(customer).unwrap_or_default();
        let now: Vec<Value> = features
            .iter()
            .map(|key| {
                let feature = format!("feat_fake_{key}");
                let fields = json!({"feature": feature, "lookup_key": key});
                self.blank("entitlements.active_entitlement", "ent", fields)
            })
            .collect();
        let url = format!("/v1/customer/{customer}/entitlements");
        let first: Vec<&Value> = now.iter().take(10).collect();
        let list = json!({"object": "list", "data": first, "has_more": now.len() > 10, "url": url});
        let summary = json!({
            "object": "entitlements.active_entitlement_summary", "customer": customer, "entitlements": list,
            "livemode": false,
        });
        let previous = json!({"entitlements": {"data": before}}).as_object().cloned();
        self.tell(
            "entitlements.active_entitlement_summary.updated",
            &summary,
            previous,
        );
        self.entitled.insert(customer.to_owned(), now);
    }

    /// `GET /v1/entitlements/active_entitlements`.
    pub(crate) fn list_entitlements(&self, asked: &Value) -> Reply {
        let own = self
            .entitled
            .get(&text(asked, "customer"))
            .cloned()
            .unwrap_or_default();
        super::lists::page(own, asked, "/v1/entitlements/active_entitlements")
    }

    /// `POST /v1/webhook_endpoints`: the only answer that shows the secret. Nothing is sent there by itself.
    pub(crate) fn create_endpoint(&mut self, asked: &Value) -> Reply {
        let endpoint = self.blank("webhook_endpoint", "we", json!({
            "api_version": asked["api_version"].as_str().unwrap_or(API_VERSION), "description": asked["description"],
            "enabled_events": asked["enabled_events"], "status": "enabled", "url": asked["url"],
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
        }));
        let mut shown = self.keep(endpoint);
        shown["secret"] = format!("whsec_{}", text(&shown, "id")).into();
        Ok(shown)
    }

    /// `POST /v1/webhook_endpoints/{id}`: the list of events takes the place of the one that was there.
    pub(crate) fn update_endpoint(&mut self, id: &str, asked: &Value) -> Reply {
        self.find("webhook_endpoint", id)?;
        let mut fields = json!({});
        for name in ["enabled_events", "url", "description"] {
            if let Some(given) = asked.get(name) {
                fields[name] = given.clone();
            }
        }
        if let Some(disabled) = asked["disabled"].as_bool() {
            fields["status"] = if disabled { "disabled" } else { "enabled" }.into();
        }
        self.set(id, fields);
        Ok(self.object(id).clone())
    }
}
