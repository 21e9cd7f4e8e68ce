//! Collecting open invoices: the first try, the later ones, and giving up.

use serde_json::{Value, json};

use super::payments::Present;
use super::{Outcome, Reply, World, text};
use crate::stripe::fake::error::ApiError;

/// What the Dashboard is set to do when the last try has failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LastAction {
    Cancel,
    Unpaid,
    LeavePastDue,
}

/// How the account bills; settings of the Dashboard, none of them in the API.
#[derive(Clone, Debug)]
pub(crate) struct Billing {
    /// Seconds from a draft to its being final.
    pub(crate) grace: i64,
    /// Tries in all.
    pub(crate) attempts: i64,
    /// Seconds between tries.
    pub(crate) between: i64,
    pub(crate) last: LastAction,
}

impl Default for Billing {
    fn default() -> Billing {
        Billing {
            grace: 3600,
            attempts: 4,
            between: 3 * 86_400,
            last: LastAction::Cancel,
        }
    }
}

impl World {
    /// What follows at once when an invoice has become final.
    pub(super) fn collect_final(&mut self, id: &str) {
        let invoice = self.object(id).clone();
        let subscription = text(&invoice["parent"]["subscription_details"], "subscription");
        let collection = self.object(&subscription)["pause_collection"]["behavior"].clone();
        match collection.as_str() {
            Some("void") => drop(self.void_invoice(id)),
            Some("mark_uncollectible") => drop(self.mark_uncollectible(id)),
            _ if invoice["amount_due"] == 0 => self.paid(id),
            _ if invoice["auto_advance"] == true => drop(self.try_to_collect(id, None)),
            _ => {}
        }
    }

    /// `POST /v1/invoices/{id}`.
    pub(crate) fn update_invoice(&mut self, id: &str, asked: &Value) -> Reply {
        let invoice = self.find("invoice", id)?;
        let mut fields = json!({});
        if let Some(advance) = asked.get("auto_advance") {
            if invoice["status"] != "draft" && invoice["status"] != "open" {
                let error =
                    ApiError::invalid("Only for drafts and open invoices.").code("invoice_not_editable");
                return Err(error.param("auto_advance"));
            }
            fields["auto_advance"] = advance.clone();
            if advance == false {
                fields["next_payment_attempt"] = Value::Null;
            } else if invoice["status"] == "draft" {
                fields["automatically_finalizes_at"] = (self.now + self.billing.grace).into();
            }
        }
        for name in ["description", "default_payment_method"] {
            if let Some(given) = asked.get(name) {
                fields[name] = given.clone();
            }
        }
        if let Some(given) = asked.get("metadata") {
            fields["metadata"] = self.merged_metadata(id, given);
        }
        Ok(self.change(id, fields, "invoice.updated"))
    }

    /// `POST /v1/invoices/{id}/mark_uncollectible`.
    pub(crate) fn mark_uncollectible(&mut self, id: &str) -> Reply {
        if self.find("invoice", id)?["status"] != "open" {
            return Err(
                ApiError::invalid("Only an open invoice can be given up.").code("invoice_not_editable")
            );
        }
        Ok(self.close_invoice(
            id,
            "uncollectible",
            "marked_uncollectible_at",
            "invoice.marked_uncollectible",
        ))
    }

    /// `POST /v1/invoices/{id}/pay`.
    pub(crate) fn pay_invoice(&mut self, id: &str, asked: &Value) -> Reply {
        if self.find("invoice", id)?["status"] == "draft" {
            self.finalize(id)?;
        }
        let status = text(self.object(id), "status");
        if status == "paid" {
            return Err(ApiError::invalid("Invoice is already paid").code("invoice_already_paid"));
        }
        if status == "void" {
            return Err(ApiError::invalid("The invoice is void."));
        }
        if asked["paid_out_of_band"] == true {
            self.paid(id);
        } else {
            self.try_to_collect(id, asked["payment_method"].as_str())?;
        }
        Ok(self.object(id).clone())
    }

    /// Charges what is due, once.
    fn try_to_collect(&mut self, id: &str, with: Option<&str>) -> Result<(), ApiError> {
        let invoice = self.object(id).clone();
        let Some(method) = with.map(str::to_owned).or_else(|| self.method_for(&invoice)) else {
            self.failed(id);
            return Err(ApiError::invalid("The customer has no payment method.")
                .code("invoice_payment_intent_requires_action"));
        };
        let intent = self.intent_for(&invoice);
        // What the bank said never to try again is counted, not tried.
        let useless = self.last_tried.get(id) == Some(&method)
            && matches!(
                self.outcomes.get(&method),
                Some(Outcome::Declined(_, "do_not_try_again"))
            );
        self.last_tried.insert(id.to_owned(), method.clone());
        if useless {
            self.failed(id);
            return Err(ApiError::card(
                "card_declined",
                Some("do_not_honor"),
                "Your card was declined.",
            ));
        }
        match self.confirm(&intent, &method, Present::NobodyAndWait) {
            Ok(intent) if intent["status"] == "succeeded" => self.paid(id),
            Ok(intent) if intent["status"] == "requires_action" => {
                let told = self.object(id).clone();
                self.tell("invoice.payment_action_required", &told, None);
                self.failed(id);
            }
            // A delayed method: the money comes later.
            Ok(_) => drop(self.set(id, json!({"attempted": true, "next_payment_attempt": null}))),
            Err(error) => {
                self.failed(id);
                return Err(error);
            }
        }
        Ok(())
    }

    fn method_for(&self, invoice: &Value) -> Option<String> {
        let subscription = self.object(&text(&invoice["parent"]["subscription_details"], "subscription"));
        let customer = self.object(&text(invoice, "customer"));
        let methods = [
            &invoice["default_payment_method"],
            &subscription["default_payment_method"],
            &customer["invoice_settings"]["default_payment_method"],
        ];
        methods
            .iter()
            .find_map(|method| method.as_str())
            .map(str::to_owned)
    }

    /// The invoice's PaymentIntent, made with its first try.
    fn intent_for(&mut self, invoice: &Value) -> String {
        let id = text(invoice, "id");
        if let Some(payment) = self.with("invoice_payment", "invoice", &id).first() {
            return text(&payment["payment"], "payment_intent");
        }
        let amount = invoice["amount_remaining"].as_i64().unwrap_or_default();
        let wanted =
            json!({"customer": invoice["customer"], "currency": invoice["currency"], "metadata": {}});
        let intent = text(&self.new_intent(&wanted, amount), "id");
        let payment = self.blank("invoice_payment", "inpay", json!({
            "amount_requested": amount, "currency": invoice["currency"], "invoice": id, "is_default": true,
            "payment": {"type": "payment_intent", "payment_intent": intent}, "status": "open",
            "status_transitions": {"canceled_at": null, "paid_at": null},
        }));
        self.keep(payment);
        intent
    }

    /// The invoice is paid, and what hung on it is well again.
    fn paid(&mut self, id: &str) {
        let invoice = self.object(id).clone();
        let due = invoice["amount_due"].clone();
        let tries = invoice["attempt_count"].as_i64().unwrap_or_default() + i64::from(due != 0);
        self.set(
            id,
            json!({"amount_paid": due, "amount_remaining": 0, "attempted": true, "attempt_count": tries}),
        );
        for payment in self.with("invoice_payment", "invoice", id) {
            let transitions = json!({"canceled_at": null, "paid_at": self.now});
            let fields = json!({"status": "paid", "amount_paid": due, "status_transitions": transitions});
            self.change(&text(&payment, "id"), fields, "invoice_payment.paid");
        }
        let told = self.close_invoice(id, "paid", "paid_at", "invoice.paid");
        self.tell("invoice.payment_succeeded", &told, None);
        let subscription = text(&invoice["parent"]["subscription_details"], "subscription");
        let open = self
            .invoices_of(&subscription)
            .iter()
            .any(|invoice| invoice["status"] == "open");
        let status = text(self.object(&subscription), "status");
        if !open && (status == "past_due" || status == "unpaid") {
            self.set_status(&subscription, "active");
        }
        let customer = text(&invoice, "customer");
        if !open && self.object(&customer)["delinquent"] == true {
            self.change(&customer, json!({"delinquent": false}), "customer.updated");
        }
    }

    /// A try failed: another is set, or the last action follows.
    fn failed(&mut self, id: &str) {
        let invoice = self.object(id).clone();
        let tries = invoice["attempt_count"].as_i64().unwrap_or_default() + 1;
        let goes_on = invoice["auto_advance"] == true;
        let next = (goes_on && tries < self.billing.attempts).then_some(self.now + self.billing.between);
        let fields = json!({"attempted": true, "attempt_count": tries, "next_payment_attempt": next});
        self.change(id, fields, "invoice.payment_failed");
        let customer = text(&invoice, "customer");
        if self.object(&customer)["delinquent"] == false {
            self.change(&customer, json!({"delinquent": true}), "customer.updated");
        }
        let subscription = text(&invoice["parent"]["subscription_details"], "subscription");
        if self.object(&subscription)["status"] == "active" {
            self.set_status(&subscription, "past_due");
        }
        if !goes_on || next.is_some() || self.object(&subscription)["status"] == "canceled" {
            return;
        }
        match self.billing.last {
            LastAction::Cancel => {
                let details = json!({"comment": null, "feedback": null, "reason": "payment_failed"});
                self.end_subscription(&subscription, details);
            }
            LastAction::Unpaid => self.set_status(&subscription, "unpaid"),
            LastAction::LeavePastDue => {}
        }
    }

    /// Tells the invoice of a delayed payment what came of it.
    pub(super) fn settle_invoice(&mut self, intent: &str, comes: bool) {
        let of = |payment: &&Value| payment["payment"]["payment_intent"] == intent;
        let Some(invoice) = self
            .all("invoice_payment")
            .find(of)
            .map(|payment| text(payment, "invoice"))
        else {
            return;
        };
        if comes {
            self.paid(&invoice)
        } else {
            self.failed(&invoice)
        }
    }

    /// When the next try is due.
    pub(super) fn tries_due(&self) -> Option<i64> {
        self.all("invoice").filter_map(try_due).min()
    }

    pub(super) fn run_tries_due(&mut self) {
        let due = |invoice: &&Value| try_due(invoice).is_some_and(|due| due <= self.now);
        let due: Vec<String> = self
            .all("invoice")
            .filter(due)
            .map(|invoice| text(invoice, "id"))
            .collect();
        for invoice in due {
            // What comes of it is in the invoice.
            drop(self.try_to_collect(&invoice, None));
        }
    }

    /// `GET /v1/invoice_payments`.
    pub(crate) fn list_invoice_payments(&self, asked: &Value) -> Reply {
        let intent = &asked["payment"]["payment_intent"];
        let wanted = |payment: &&Value| {
            (intent.is_null() || payment["payment"]["payment_intent"] == *intent)
                && (asked["invoice"].is_null() || payment["invoice"] == asked["invoice"])
                && (asked["status"].is_null() || payment["status"] == asked["status"])
        };
        let found = self
            .all("invoice_payment")
            .rev()
            .filter(wanted)
            .cloned()
            .collect();
        super::lists::page(found, asked, "/v1/invoice_payments")
    }
}

fn try_due(invoice: &Value) -> Option<i64> {
    let waits = invoice["status"] == "open" && invoice["auto_advance"] == true;
    invoice["next_payment_attempt"].as_i64().filter(|_| waits)
}
