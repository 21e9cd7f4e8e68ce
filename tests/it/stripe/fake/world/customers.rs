//! Customers and their payment methods.

use serde_json::{Value, json};

use super::{Reply, World};
use crate::stripe::fake::error::ApiError;

/// What happens when a payment method is charged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It is paid.
    Paid,
    /// It is paid, and a rule puts it up for review.
    PaidUnderReview,
    /// The bank says no: decline code, and what it advises.
    Declined(&'static str, &'static str),
    /// The bank wants the customer there.
    AuthenticationRequired,
    /// The money comes days later, or doesn't.
    Delayed,
}

impl Outcome {
    /// No money: trying later may help.
    pub(crate) const NO_FUNDS: Outcome = Outcome::Declined("insufficient_funds", "try_again_later");
    /// Stolen, or taken for stolen: don't try again.
    pub(crate) const FRAUDULENT: Outcome = Outcome::Declined("fraudulent", "do_not_try_again");
    /// A plain no.
    pub(crate) const DECLINED: Outcome = Outcome::Declined("generic_decline", "confirm_card_data");
}

/// A card to attach, or to pay with at the checkout.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) outcome: Outcome,
    pub(crate) fingerprint: String,
    /// `credit`, `debit`, `prepaid`.
    pub(crate) funding: &'static str,
    /// `pass`, `fail`, `unavailable`, `unchecked`.
    pub(crate) cvc_check: &'static str,
    pub(crate) postal_code_check: &'static str,
    pub(crate) last4: &'static str,
    /// What its holder wrote beside it.
    pub(crate) email: Option<String>,
}

impl Card {
    /// One that behaves like this, and has the usual fingerprint.
    pub(crate) fn new(outcome: Outcome) -> Card {
        Card {
            outcome,
            fingerprint: "FpFake0000000001".to_owned(),
            funding: "credit",
            cvc_check: "pass",
            postal_code_check: "pass",
            last4: "4242",
            email: None,
        }
    }

    /// One that pays.
    pub(crate) fn good() -> Card {
        Card::new(Outcome::Paid)
    }

    /// Its holder wrote this address.
    pub(crate) fn email(mut self, email: &str) -> Card {
        self.email = Some(email.to_owned());
        self
    }

    /// With this fingerprint.
    pub(crate) fn fingerprint(mut self, fingerprint: &str) -> Card {
        self.fingerprint = fingerprint.to_owned();
        self
    }
}

impl World {
    /// `POST /v1/customers`.
    pub(crate) fn create_customer(&mut self, asked: &Value) -> Reply {
        let customer = self.blank("customer", "cus", json!({
            "balance": 0, "delinquent": false, "tax_exempt": "none", "next_invoice_sequence": 1,
            "description": asked["description"], "email": asked["email"], "name": asked["name"],
            "phone": asked["phone"], "address": asked["address"],
            "metadata": asked["metadata"].as_object().cloned().unwrap_or_default(),
            "invoice_settings": {
                "custom_fields": null, "default_payment_method": asked["invoice_settings"]["default_payment_method"],
                "footer": null, "rendering_options": null,
            },
        }));
        Ok(self.keep_and_tell(customer, "customer.created"))
    }

    /// `GET /v1/customers/{customer}`: what is left of a deleted one is its id.
    pub(crate) fn get_customer(&self, id: &str) -> Reply {
        let customer = self.find("customer", id)?;
        if customer["deleted"] == true {
            return Ok(json!({"id": id, "object": "customer", "deleted": true}));
        }
        Ok(customer)
    }

    /// The customer, who must not be deleted.
    pub(super) fn living_customer(&self, id: &Value) -> Reply {
        let id = id.as_str().unwrap_or_default();
        match self.find("customer", id) {
            Ok(customer) if customer["deleted"] != true => Ok(customer),
            _ => Err(ApiError::invalid(format!("No such customer: '{id}'"))
                .code("resource_missing")
                .param("customer")),
        }
    }

    /// `POST /v1/customers/{customer}`.
    pub(crate) fn update_customer(&mut self, id: &str, asked: &Value) -> Reply {
        let customer = self.living_customer(&id.into())?;
        let mut fields = json!({});
        for name in ["description", "email", "name", "phone", "address"] {
            if let Some(given) = asked.get(name) {
                fields[name] = if given == "" { Value::Null } else { given.clone() };
            }
        }
        if let Some(given) = asked.get("metadata") {
            fields["metadata"] = self.merged_metadata(id, given);
        }
        let method = &asked["invoice_settings"]["default_payment_method"];
        if let Some(method) = method.as_str() {
            self.method_of(method, id)?;
            fields["invoice_settings"] = customer["invoice_settings"].clone();
            fields["invoice_settings"]["default_payment_method"] = method.into();
        }
        Ok(self.change(id, fields, "customer.updated"))
    }

    /// Outside: the customer is deleted in the Dashboard; the subscriptions end with it.
    pub(crate) fn delete_customer(&mut self, id: &str) {
        for subscription in self.with("subscription", "customer", id) {
            if subscription["status"] != "canceled" {
                let details = json!({"comment": null, "feedback": null, "reason": null});
                self.end_subscription(&super::text(&subscription, "id"), details);
            }
        }
        self.set(id, json!({"deleted": true}));
        let customer = self.object(id).clone();
        self.tell("customer.deleted", &customer, None);
    }

    /// Outside: a card is attached to the customer; gives back its id. The first becomes the default.
    pub(crate) fn attach_card(&mut self, customer: &str, card: &Card) -> String {
        let id = self.new_method(card);
        self.attach(&id, customer);
        id
    }

    /// A card that belongs to nobody yet.
    pub(super) fn new_method(&mut self, card: &Card) -> String {
        let nowhere = json!({"city": null, "country": "US", "line1": null, "line2": null, "postal_code": "94107", "state": null});
        let method = self.blank("payment_method", "pm", json!({
            "allow_redisplay": "unspecified", "type": "card",
            "billing_details": {"address": nowhere, "email": card.email, "name": null, "phone": null, "tax_id": null},
            "card": {
                "brand": "visa", "country": "US", "exp_month": 12, "exp_year": 2030, "funding": card.funding,
                "fingerprint": card.fingerprint, "last4": card.last4, "wallet": null,
                "checks": {
                    "address_line1_check": null, "address_postal_code_check": card.postal_code_check,
                    "cvc_check": card.cvc_check,
                },
                "networks": {"available": ["visa"], "preferred": null}, "three_d_secure_usage": {"supported": true},
            },
        }));
        let id = super::text(&self.keep(method), "id");
        self.outcomes.insert(id.clone(), card.outcome.clone());
        id
    }

    /// Attaches a method; the first becomes the customer's default.
    pub(super) fn attach(&mut self, method: &str, customer: &str) {
        self.change(method, json!({"customer": customer}), "payment_method.attached");
        let mut settings = self.object(customer)["invoice_settings"].clone();
        if settings["default_payment_method"].is_null() {
            settings["default_payment_method"] = method.into();
            self.change(
                customer,
                json!({"invoice_settings": settings}),
                "customer.updated",
            );
        }
    }

    /// Outside: the method is detached.
    pub(crate) fn detach_method(&mut self, method: &str) {
        let customer = self.object(method)["customer"].clone();
        self.change(method, json!({"customer": null}), "payment_method.detached");
        let Some(customer) = customer.as_str() else {
            return;
        };
        let mut settings = self.object(customer)["invoice_settings"].clone();
        if settings["default_payment_method"] == method {
            settings["default_payment_method"] = Value::Null;
            self.change(
                customer,
                json!({"invoice_settings": settings}),
                "customer.updated",
            );
        }
    }

    /// Outside: the bank has issued a new card in place of this one.
    pub(crate) fn renew_card(&mut self, method: &str, fingerprint: &str, last4: &str) {
        let mut card = self.object(method)["card"].clone();
        card["fingerprint"] = fingerprint.into();
        card["last4"] = last4.into();
        card["exp_year"] = 2033.into();
        self.change(
            method,
            json!({"card": card}),
            "payment_method.automatically_updated",
        );
    }

    /// From now on the method behaves like this.
    pub(crate) fn set_outcome(&mut self, method: &str, outcome: Outcome) {
        self.outcomes.insert(method.to_owned(), outcome);
    }

    /// The method, which must be the customer's.
    pub(super) fn method_of(&self, method: &str, customer: &str) -> Reply {
        let found = self.find("payment_method", method);
        let found = found.map_err(|error| ApiError { status: 400, ..error }.param("payment_method"))?;
        if found["customer"] != customer {
            let message = format!("The payment method {method} does not belong to the customer {customer}.");
            return Err(ApiError::invalid(message).param("payment_method"));
        }
        Ok(found)
    }
}
