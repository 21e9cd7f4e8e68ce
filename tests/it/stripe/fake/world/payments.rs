//! PaymentIntents, SetupIntents, and the charges they make.

use serde_json::{Value, json};

use super::{Card, Outcome, Reply, World, text};
use crate::stripe::fake::error::ApiError;

/// The least that can be charged, in minor units of a currency with two decimals.
const AMOUNT_MIN: i64 = 50;

/// Who is there while a payment is confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Present {
    /// The customer, on a page of Stripe's: authentication succeeds.
    Customer,
    /// Nobody, and what needs somebody is refused.
    NobodyAndRefuse,
    /// Nobody; what needs somebody waits for it.
    NobodyAndWait,
}

impl World {
    /// `POST /v1/payment_intents`.
    pub(crate) fn create_payment_intent(&mut self, asked: &Value) -> Reply {
        let amount = asked["amount"].as_i64().unwrap_or_default();
        if amount < AMOUNT_MIN {
            let message = format!("Amount must be at least {AMOUNT_MIN} minor units.");
            return Err(ApiError::invalid(message)
                .code("amount_too_small")
                .param("amount"));
        }
        if !asked["customer"].is_null() {
            let customer = text(&self.living_customer(&asked["customer"])?, "id");
            if let Some(method) = asked["payment_method"].as_str() {
                self.method_of(method, &customer)?;
            }
        }
        let confirm = asked["confirm"] == true;
        if !confirm && (!asked["off_session"].is_null() || !asked["error_on_requires_action"].is_null()) {
            let message = "off_session and error_on_requires_action need confirm=true.";
            return Err(ApiError::invalid(message).param("off_session"));
        }
        let before = self.events.len();
        let intent = self.new_intent(asked, amount);
        let id = text(&intent, "id");
        if !confirm {
            return Ok(intent);
        }
        let Some(method) = asked["payment_method"].as_str() else {
            return Err(
                ApiError::invalid("There is no payment method to confirm with.").param("payment_method")
            );
        };
        let present = match asked["error_on_requires_action"] == true {
            true => Present::NobodyAndRefuse,
            false => Present::NobodyAndWait,
        };
        let confirmed = self.confirm(&id, method, present);
        if confirmed.is_err() && self.quirks.rejected_create_is_silent {
            self.events.truncate(before);
        }
        confirmed
    }

    /// An intent in its first state, told of.
    pub(super) fn new_intent(&mut self, asked: &Value, amount: i64) -> Value {
        let method = &asked["payment_method"];
        let status = if method.is_null() {
            "requires_payment_method"
        } else {
            "requires_confirmation"
        };
        let mut intent = self.blank("payment_intent", "pi", json!({
            "amount": amount, "amount_capturable": 0, "amount_received": 0, "capture_method": "automatic",
            "confirmation_method": "automatic", "currency": text(asked, "currency").to_lowercase(),
            "customer": asked["customer"], "description": asked["description"], "payment_method": method,
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
            "setup_future_usage": asked["setup_future_usage"], "status": status, "amount_details": {"tip": {}},
            "payment_method_types": ["card"], "payment_method_options": {},
        }));
        intent["client_secret"] = format!("{}_secret_fake", text(&intent, "id")).into();
        self.keep_and_tell(intent, "payment_intent.created")
    }

    /// Charges the method for the intent.
    pub(super) fn confirm(&mut self, intent: &str, method: &str, present: Present) -> Reply {
        let outcome = self.outcomes.get(method).cloned().unwrap_or(Outcome::Paid);
        match (outcome, present) {
            (Outcome::Paid, _) | (Outcome::AuthenticationRequired, Present::Customer) => {
                Ok(self.pay_intent(intent, method))
            }
            (Outcome::PaidUnderReview, _) => {
                let paid = self.pay_intent(intent, method);
                self.open_review(&text(&paid, "latest_charge"));
                Ok(self.object(intent).clone())
            }
            (Outcome::Declined(code, advice), _) => {
                Err(self.decline(intent, method, "card_declined", code, advice))
            }
            (Outcome::AuthenticationRequired, Present::NobodyAndRefuse) => {
                let code = "authentication_required";
                Err(self.decline(intent, method, code, code, "confirm_card_data"))
            }
            (Outcome::AuthenticationRequired, Present::NobodyAndWait) => {
                let fields = json!({
                    "status": "requires_action", "payment_method": method, "next_action": {"type": "use_stripe_sdk"},
                });
                Ok(self.change(intent, fields, "payment_intent.requires_action"))
            }
            (Outcome::Delayed, _) => {
                let charge = self.charge(intent, method, "pending");
                let fields = json!({
                    "status": "processing", "payment_method": method, "latest_charge": charge,
                    "processing": {"type": "sepa_debit"},
                });
                Ok(self.change(intent, fields, "payment_intent.processing"))
            }
        }
    }

    fn pay_intent(&mut self, intent: &str, method: &str) -> Value {
        let charge = self.charge(intent, method, "succeeded");
        let amount = self.object(intent)["amount"].clone();
        let fields = json!({
            "status": "succeeded", "payment_method": method, "latest_charge": charge, "amount_received": amount,
            "next_action": null, "last_payment_error": null, "processing": null,
        });
        self.change(intent, fields, "payment_intent.succeeded")
    }

    /// The bank says no; gives back what the caller is told.
    fn decline(
        &mut self,
        intent: &str,
        method: &str,
        code: &str,
        decline_code: &str,
        advice: &str,
    ) -> ApiError {
        let charge = self.charge(intent, method, "failed");
        let outcome = json!({
            "advice_code": advice, "network_advice_code": null, "network_decline_code": "05",
            "network_status": "declined_by_network", "reason": decline_code, "risk_level": "normal", "risk_score": 20,
            "seller_message": "The bank did not say more.", "type": "issuer_declined",
        });
        self.set(&charge, json!({"failure_code": code, "outcome": outcome}));
        let told = self.object(&charge).clone();
        self.tell("charge.failed", &told, None);
        let error = ApiError::card(code, Some(decline_code), "Your card was declined.")
            .with("advice_code", advice.into())
            .with("doc_url", "https://docs.stripe.com/error-codes".into())
            .with("charge", charge.as_str().into())
            .with("payment_method", self.object(method).clone());
        let mut last = error.fields.clone();
        last.remove("payment_intent");
        let fields = json!({
            "status": "requires_payment_method", "payment_method": null, "latest_charge": charge,
            "last_payment_error": last, "next_action": null, "processing": null,
        });
        let failed = self.change(intent, fields, "payment_intent.payment_failed");
        error.with("payment_intent", failed)
    }

    /// A charge of this status; tells of it unless it failed.
    fn charge(&mut self, intent: &str, method: &str, status: &str) -> String {
        let intent = self.object(intent).clone();
        let card = self.object(method).clone();
        let paid = status == "succeeded";
        let charge = self.blank("charge", "ch", json!({
            "amount": intent["amount"], "amount_captured": if paid { intent["amount"].clone() } else { 0.into() },
            "amount_refunded": 0, "captured": paid, "paid": paid, "refunded": false, "disputed": false,
            "currency": intent["currency"], "customer": intent["customer"], "status": status,
            "payment_intent": intent["id"], "payment_method": method, "metadata": intent["metadata"],
            "billing_details": card["billing_details"], "fraud_details": {},
            "payment_method_details": {"type": "card", "card": card["card"]},
            "refunds": {"object": "list", "data": [], "has_more": false, "url": "/v1/refunds"},
            "outcome": {
                "advice_code": null, "network_advice_code": null, "network_decline_code": null,
                "network_status": "approved_by_network", "reason": null, "risk_level": "normal", "risk_score": 12,
                "seller_message": "Payment complete.", "type": "authorized",
            },
        }));
        let charge = self.keep(charge);
        match status {
            "succeeded" => self.tell("charge.succeeded", &charge, None),
            "pending" => self.tell("charge.pending", &charge, None),
            _ => {}
        }
        text(&charge, "id")
    }

    /// Outside: the money of a delayed payment comes, or does not; its session is told too.
    pub(crate) fn settle(&mut self, intent: &str, comes: bool) {
        assert_eq!(
            self.object(intent)["status"],
            "processing",
            "{intent} waits for nothing"
        );
        let charge = text(self.object(intent), "latest_charge");
        let amount = self.object(intent)["amount"].clone();
        if comes {
            let fields =
                json!({"status": "succeeded", "paid": true, "captured": true, "amount_captured": amount});
            self.change(&charge, fields, "charge.succeeded");
            let fields = json!({"status": "succeeded", "amount_received": amount, "processing": null});
            self.change(intent, fields, "payment_intent.succeeded");
        } else {
            let fields = json!({"status": "failed", "failure_code": "debit_declined"});
            self.change(&charge, fields, "charge.failed");
            let method = self.object(&text(self.object(intent), "payment_method")).clone();
            let error = json!({
                "type": "card_error", "code": "debit_declined", "decline_code": null, "charge": charge,
                "message": "The debit came back.", "payment_method": method,
                "doc_url": "https://docs.stripe.com/error-codes",
            });
            let fields = json!({
                "status": "requires_payment_method", "payment_method": null, "processing": null, "last_payment_error": error,
            });
            self.change(intent, fields, "payment_intent.payment_failed");
        }
        self.settle_session(intent, comes);
        self.settle_invoice(intent, comes);
    }

    /// Outside: the customer comes and does what the bank asks for, or fails to.
    pub(crate) fn authenticate(&mut self, intent: &str, succeeds: bool) {
        assert_eq!(
            self.object(intent)["status"],
            "requires_action",
            "{intent} waits for nobody"
        );
        let method = text(self.object(intent), "payment_method");
        if succeeds {
            self.pay_intent(intent, &method);
        } else {
            let code = "payment_intent_authentication_failure";
            self.decline(
                intent,
                &method,
                code,
                "authentication_required",
                "confirm_card_data",
            );
        }
    }

    /// Outside: the intent is given up.
    pub(crate) fn cancel_intent(&mut self, intent: &str) {
        let fields =
            json!({"status": "canceled", "canceled_at": self.now, "cancellation_reason": "abandoned"});
        self.change(intent, fields, "payment_intent.canceled");
    }

    /// `POST /v1/setup_intents`.
    pub(crate) fn create_setup_intent(&mut self, asked: &Value) -> Reply {
        if !asked["customer"].is_null() {
            self.living_customer(&asked["customer"])?;
        }
        let intent = self.new_setup(asked);
        if asked["confirm"] != true {
            return Ok(intent);
        }
        let Some(method) = asked["payment_method"].as_str() else {
            return Err(
                ApiError::invalid("There is no payment method to confirm with.").param("payment_method")
            );
        };
        self.find("payment_method", method)?;
        self.confirm_setup(&text(&intent, "id"), method, Present::NobodyAndWait)
    }

    /// A SetupIntent in its first state, told of.
    pub(super) fn new_setup(&mut self, asked: &Value) -> Value {
        let usage = asked["usage"].as_str().unwrap_or("off_session");
        let mut intent = self.blank("setup_intent", "seti", json!({
            "customer": asked["customer"], "description": asked["description"], "usage": usage,
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
            "status": "requires_payment_method", "payment_method_types": ["card"], "payment_method_options": {},
        }));
        intent["client_secret"] = format!("{}_secret_fake", text(&intent, "id")).into();
        self.keep_and_tell(intent, "setup_intent.created")
    }

    /// Verifies the method; once it is good it belongs to the customer.
    pub(super) fn confirm_setup(&mut self, intent: &str, method: &str, present: Present) -> Reply {
        let outcome = self.outcomes.get(method).cloned().unwrap_or(Outcome::Paid);
        let attempt = self.new_id("setatt");
        if let Outcome::Declined(code, advice) = outcome {
            let error = ApiError::card("card_declined", Some(code), "Your card was declined.")
                .with("advice_code", advice.into());
            let fields = json!({"last_setup_error": error.fields, "latest_attempt": attempt});
            let failed = self.change(intent, fields, "setup_intent.setup_failed");
            return Err(error.with("setup_intent", failed));
        }
        if outcome == Outcome::AuthenticationRequired && present != Present::Customer {
            let next = json!({"type": "use_stripe_sdk"});
            let fields = json!({"status": "requires_action", "payment_method": method, "next_action": next});
            return Ok(self.change(intent, fields, "setup_intent.requires_action"));
        }
        let fields = json!({"status": "succeeded", "payment_method": method, "latest_attempt": attempt, "next_action": null});
        let done = self.change(intent, fields, "setup_intent.succeeded");
        if let Some(customer) = done["customer"].as_str()
            && self.object(method)["customer"].is_null()
        {
            self.attach(method, customer);
        }
        Ok(done)
    }

    /// Outside: the customer gives a card to a SetupIntent, on the merchant's page.
    pub(crate) fn complete_setup(&mut self, intent: &str, card: &Card) -> Reply {
        let method = self.new_method(card);
        self.confirm_setup(intent, &method, Present::Customer)
    }
}
