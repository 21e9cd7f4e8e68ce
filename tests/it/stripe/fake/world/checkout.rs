//! Checkout sessions: made by us, paid on Stripe's page.

use serde_json::{Value, json};

use super::payments::Present;
use super::{Card, Reply, World, text};
use crate::stripe::fake::error::ApiError;

const LIFE_MIN: i64 = 30 * 60;
const LIFE_MAX: i64 = 24 * 3600;

impl World {
    /// `POST /v1/checkout/sessions`, for `payment` and `setup`.
    pub(crate) fn create_session(&mut self, asked: &Value) -> Reply {
        let total = self.session_checked(asked)?;
        let customer = &asked["customer"];
        if !customer.is_null() {
            self.living_customer(customer)?;
        }
        let mode = text(asked, "mode");
        let paid = mode == "payment";
        let expires_at = asked["expires_at"].as_i64().unwrap_or(self.now + LIFE_MAX);
        let currency = &asked["line_items"][0]["price_data"]["currency"];
        let currency = if currency.is_null() {
            &asked["currency"]
        } else {
            currency
        };
        let currency = currency.as_str().map(str::to_lowercase);
        let total = if paid { Value::from(total) } else { Value::Null };
        let mut session = self.blank("checkout.session", "cs_test", json!({
            "amount_subtotal": total, "amount_total": total, "client_reference_id": asked["client_reference_id"],
            "currency": currency, "customer": customer, "customer_email": asked["customer_email"],
            "customer_creation": asked["customer_creation"], "expires_at": expires_at, "mode": mode,
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
            "payment_method_types": ["card"], "payment_method_options": {}, "status": "open",
            "payment_status": if paid { "unpaid" } else { "no_payment_required" },
            "success_url": asked["success_url"], "cancel_url": asked["cancel_url"], "ui_mode": "hosted_page",
        }));
        let id = text(&session, "id");
        session["url"] = format!("https://checkout.stripe.test/c/pay/{id}").into();
        if !paid {
            let setup = &asked["setup_intent_data"];
            let setup = json!({"customer": customer, "metadata": setup["metadata"], "description": setup["description"]});
            session["setup_intent"] = self.new_setup(&setup)["id"].clone();
        }
        self.asked_for.insert(id, asked.clone());
        Ok(self.keep(session))
    }

    /// What all items cost, in minor units.
    fn session_checked(&self, asked: &Value) -> Result<i64, ApiError> {
        let wrong = |what: &str, param: &str| Err(ApiError::invalid(what).param(param));
        let mode = asked["mode"].as_str().unwrap_or_default();
        if !["payment", "setup"].contains(&mode) {
            return wrong("The fake sells once, or sets up.", "mode");
        }
        if asked["success_url"].is_null() {
            return wrong("A hosted page needs to know where to go.", "success_url");
        }
        if !asked["customer"].is_null() && !asked["customer_email"].is_null() {
            return wrong("Give customer or customer_email, not both.", "customer_email");
        }
        if let Some(end) = asked["expires_at"].as_i64()
            && !(self.now + LIFE_MIN..=self.now + LIFE_MAX).contains(&end)
        {
            return wrong("From 30 minutes to 24 hours from now.", "expires_at");
        }
        if mode == "setup" {
            if !asked["line_items"].is_null() || !asked["payment_intent_data"].is_null() {
                return wrong("Not when setting up.", "line_items");
            }
            if asked["currency"].is_null() {
                return wrong("Setting up needs a currency, since methods go by it.", "currency");
            }
            return Ok(0);
        }
        if !asked["setup_intent_data"].is_null() {
            return wrong("Not when paying.", "setup_intent_data");
        }
        let items = asked["line_items"].as_array().filter(|items| !items.is_empty());
        let Some(items) = items else {
            return wrong("Paying needs something to pay for.", "line_items");
        };
        let mut total = 0;
        for item in items {
            let price = &item["price_data"];
            let amount = price["unit_amount"].as_i64().filter(|amount| *amount >= 0);
            let named = !price["product"].is_null() || !price["product_data"].is_null();
            let (Some(amount), true) = (amount, named) else {
                return wrong(
                    "The fake knows items by price_data: unit_amount and a product.",
                    "line_items",
                );
            };
            total += amount * item["quantity"].as_i64().unwrap_or(1);
        }
        Ok(total)
    }

    /// Outside: the customer pays (or sets up) with this card. An error is what the page shows: the session
    /// stays open then. A delayed method leaves it complete and unpaid, until [`World::settle`].
    pub(crate) fn buy(&mut self, session: &str, card: &Card) -> Reply {
        let found = self.find("checkout.session", session)?;
        if found["status"] != "open" {
            return Err(ApiError::invalid("This page is no longer there."));
        }
        let asked = self.asked_for[session].clone();
        let customer = self.customer_of_session(&found);
        let method = self.new_method(card);
        if found["mode"] == "setup" {
            let intent = text(&found, "setup_intent");
            self.set(&intent, json!({"customer": customer}));
            self.confirm_setup(&intent, &method, Present::Customer)?;
            return Ok(self.complete(session, &customer, json!({})));
        }
        let data = &asked["payment_intent_data"];
        let wanted = json!({
            "customer": customer, "currency": found["currency"], "metadata": data["metadata"],
            "description": data["description"], "setup_future_usage": data["setup_future_usage"],
        });
        let total = found["amount_total"].as_i64().unwrap_or_default();
        let intent = match found["payment_intent"].as_str() {
            Some(intent) => intent.to_owned(),
            None => text(&self.new_intent(&wanted, total), "id"),
        };
        self.set(session, json!({"payment_intent": intent}));
        let paid = self.confirm(&intent, &method, Present::Customer)?;
        if let Some(customer) = customer
            .as_str()
            .filter(|_| !data["setup_future_usage"].is_null())
        {
            self.attach(&method, customer);
        }
        let status = if paid["status"] == "succeeded" {
            "paid"
        } else {
            "unpaid"
        };
        Ok(self.complete(session, &customer, json!({"payment_status": status})))
    }

    fn complete(&mut self, session: &str, customer: &Value, more: Value) -> Value {
        let email = self.object(session)["customer_email"]
            .as_str()
            .unwrap_or("buyer@example.com")
            .to_owned();
        let mut fields = json!({
            "status": "complete", "customer": customer, "url": null,
            "customer_details": {"email": email},
        });
        fields
            .as_object_mut()
            .expect("made so")
            .extend(more.as_object().cloned().unwrap_or_default());
        self.change(session, fields, "checkout.session.completed")
    }

    /// The customer there is, or a new one where one is to be made; null for a guest.
    fn customer_of_session(&mut self, session: &Value) -> Value {
        let wanted = session["customer_creation"] == "always" || session["mode"] == "setup";
        if !session["customer"].is_null() || !wanted {
            return session["customer"].clone();
        }
        let asked = json!({"email": session["customer_email"]});
        let customer = self.create_customer(&asked).expect("nothing is against it");
        customer["id"].clone()
    }

    /// Tells the session of a delayed payment what came of it.
    pub(super) fn settle_session(&mut self, intent: &str, comes: bool) {
        let sessions = self.with("checkout.session", "payment_intent", intent);
        for session in sessions {
            let id = text(&session, "id");
            if comes {
                let fields = json!({"payment_status": "paid"});
                self.change(&id, fields, "checkout.session.async_payment_succeeded");
            } else {
                self.change(&id, json!({}), "checkout.session.async_payment_failed");
            }
        }
    }

    /// Outside: the page is closed for good.
    pub(crate) fn expire_session(&mut self, session: &str) {
        assert_eq!(self.object(session)["status"], "open", "{session} is over");
        self.change(
            session,
            json!({"status": "expired", "url": null}),
            "checkout.session.expired",
        );
    }

    /// When the next open session ends.
    pub(super) fn sessions_due(&self) -> Option<i64> {
        let open = self
            .all("checkout.session")
            .filter(|session| session["status"] == "open");
        open.filter_map(|session| session["expires_at"].as_i64()).min()
    }

    pub(super) fn run_sessions_due(&mut self) {
        let now = self.now;
        let due = |session: &&Value| {
            session["status"] == "open" && session["expires_at"].as_i64().is_some_and(|end| end <= now)
        };
        let over: Vec<String> = self
            .all("checkout.session")
            .filter(due)
            .map(|session| text(session, "id"))
            .collect();
        for session in over {
            self.expire_session(&session);
        }
    }
}
