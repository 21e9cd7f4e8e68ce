//! What happens to a charge afterwards: refunds, disputes, warnings, reviews.

use serde_json::{Value, json};

use super::{Reply, World, text};
use crate::stripe::fake::error::ApiError;

/// How a dispute begins.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    /// Minor units; all of the charge if none.
    pub(crate) amount: Option<i64>,
    pub(crate) reason: &'static str,
    /// Only asked about: no money moves.
    pub(crate) inquiry: bool,
}

impl Complaint {
    /// Of the whole charge, as fraud.
    pub(crate) fn fraud() -> Complaint {
        Complaint {
            amount: None,
            reason: "fraudulent",
            inquiry: false,
        }
    }

    /// A question about the whole charge.
    pub(crate) fn inquiry() -> Complaint {
        Complaint {
            inquiry: true,
            ..Complaint::fraud()
        }
    }
}

impl World {
    /// `POST /v1/refunds`.
    pub(crate) fn create_refund(&mut self, asked: &Value) -> Reply {
        let charge = match (asked["charge"].as_str(), asked["payment_intent"].as_str()) {
            (Some(charge), None) => charge.to_owned(),
            (None, Some(intent)) => {
                let intent = self.find("payment_intent", intent)?;
                let charge = intent["latest_charge"].as_str();
                charge
                    .ok_or_else(|| ApiError::invalid("The payment has no charge."))?
                    .to_owned()
            }
            _ => return Err(ApiError::invalid("Give charge or payment_intent, and not both.")),
        };
        let charge = self.find("charge", &charge)?;
        let rest = charge["amount"].as_i64().unwrap_or_default()
            - charge["amount_refunded"].as_i64().unwrap_or_default();
        let amount = asked["amount"].as_i64().unwrap_or(rest);
        if charge["status"] != "succeeded" {
            return Err(ApiError::invalid("The charge did not succeed."));
        }
        if rest == 0 {
            return Err(ApiError::invalid("The charge is refunded already.").code("charge_already_refunded"));
        }
        if self.refund_blocked(&text(&charge, "id")) {
            return Err(ApiError::invalid("The charge is under dispute.").code("charge_disputed"));
        }
        if amount <= 0 || amount > rest {
            let message =
                format!("Refund amount ({amount}) must be positive, and at most the unrefunded {rest}.");
            return Err(ApiError::invalid(message).param("amount"));
        }
        let (reason, metadata) = (asked["reason"].clone(), asked["metadata"].as_object().cloned());
        Ok(self.refunded(&charge, amount, reason, metadata.unwrap_or_default().into()))
    }

    /// Outside: so many minor units are refunded in the Dashboard; gives back the refund's id.
    pub(crate) fn refund(&mut self, charge: &str, amount: i64) -> String {
        let charge = self.object(charge).clone();
        text(
            &self.refunded(&charge, amount, "requested_by_customer".into(), json!({})),
            "id",
        )
    }

    fn refunded(&mut self, charge: &Value, amount: i64, reason: Value, metadata: Value) -> Value {
        let txn = self.new_id("txn");
        let refund = self.blank("refund", "re", json!({
            "amount": amount, "balance_transaction": txn, "charge": charge["id"], "currency": charge["currency"],
            "customer": charge["customer"], "metadata": metadata, "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"], "reason": reason, "status": "succeeded",
            "destination_details": {"type": "card", "card": {"type": "refund"}},
        }));
        let refund = self.keep_and_tell(refund, "refund.created");
        self.add_refunded(&text(charge, "id"), amount, "charge.refunded");
        refund
    }

    fn add_refunded(&mut self, charge: &str, amount: i64, event: &str) {
        let now = self.object(charge)["amount_refunded"]
            .as_i64()
            .unwrap_or_default()
            + amount;
        let all = self.object(charge)["amount"] == now;
        self.change(charge, json!({"amount_refunded": now, "refunded": all}), event);
        let warnings = self.with("radar.early_fraud_warning", "charge", charge);
        for warning in warnings
            .iter()
            .filter(|warning| all && warning["actionable"] == true)
        {
            let fields = json!({"actionable": false});
            self.change(&text(warning, "id"), fields, "radar.early_fraud_warning.updated");
        }
    }

    /// Outside: the money of a refund could not be given back.
    pub(crate) fn fail_refund(&mut self, refund: &str) {
        let fields = json!({"status": "failed", "failure_reason": "lost_or_stolen_card"});
        let failed = self.change(refund, fields, "refund.failed");
        self.tell(
            "refund.updated",
            &failed,
            Some(serde_json::Map::from_iter([(
                "status".into(),
                "succeeded".into(),
            )])),
        );
        let amount = failed["amount"].as_i64().unwrap_or_default();
        self.add_refunded(&text(&failed, "charge"), -amount, "charge.updated");
    }

    /// Outside: the customer's bank disputes a charge; gives back the dispute's id.
    pub(crate) fn dispute(&mut self, charge: &str, complaint: &Complaint) -> String {
        let of = self.object(charge).clone();
        let status = if complaint.inquiry {
            "warning_needs_response"
        } else {
            "needs_response"
        };
        let amount = complaint.amount.map_or_else(|| of["amount"].clone(), Value::from);
        let dispute = self.blank("dispute", "du", json!({
            "amount": amount, "charge": charge, "currency": of["currency"], "payment_intent": of["payment_intent"],
            "evidence_details": {
                "due_by": self.now + 7 * 86_400, "has_evidence": false, "past_due": false, "submission_count": 0,
            },
            "is_charge_refundable": complaint.inquiry, "network_reason_code": "10.4", "reason": complaint.reason,
            "status": status, "evidence": {},
        }));
        self.set(charge, json!({"disputed": true}));
        let id = text(&self.keep_and_tell(dispute, "charge.dispute.created"), "id");
        if !complaint.inquiry {
            self.withdraw(&id);
        }
        id
    }

    fn withdraw(&mut self, dispute: &str) {
        let amount = self.object(dispute)["amount"].as_i64().unwrap_or_default();
        self.move_funds(dispute, -amount, "charge.dispute.funds_withdrawn");
    }

    fn move_funds(&mut self, dispute: &str, amount: i64, event: &str) {
        let txn = self.new_id("txn");
        let mut moved = self.object(dispute)["balance_transactions"].clone();
        let entry =
            json!({"id": txn, "object": "balance_transaction", "amount": amount, "created": self.now});
        moved.as_array_mut().expect("a list").push(entry);
        self.change(dispute, json!({"balance_transactions": moved}), event);
    }

    /// Outside: what was a question becomes a dispute.
    pub(crate) fn escalate(&mut self, dispute: &str) {
        let fields = json!({"status": "needs_response", "is_charge_refundable": false});
        self.change(dispute, fields, "charge.dispute.updated");
        self.withdraw(dispute);
    }

    /// Outside: evidence is handed in.
    pub(crate) fn submit_evidence(&mut self, dispute: &str) {
        let inquiry = text(self.object(dispute), "status").starts_with("warning_");
        let status = if inquiry {
            "warning_under_review"
        } else {
            "under_review"
        };
        self.change(dispute, json!({"status": status}), "charge.dispute.updated");
    }

    /// Outside: the dispute ends `won`, `lost`, `prevented` or `warning_closed`; won funds come back.
    pub(crate) fn close_dispute(&mut self, dispute: &str, status: &str) {
        self.change(
            dispute,
            json!({"status": status, "is_charge_refundable": false}),
            "charge.dispute.closed",
        );
        let amount = self.object(dispute)["amount"].as_i64().unwrap_or_default();
        let moved = self.object(dispute)["balance_transactions"]
            .as_array()
            .is_some_and(|moved| !moved.is_empty());
        if status == "won" && moved {
            self.move_funds(dispute, amount, "charge.dispute.funds_reinstated");
        }
    }

    /// A dispute that is not won holds the money, and so no refund is possible; a question does not.
    fn refund_blocked(&self, charge: &str) -> bool {
        let disputes = self.with("dispute", "charge", charge);
        disputes
            .iter()
            .any(|dispute| dispute["is_charge_refundable"] != true && dispute["status"] != "won")
    }

    /// Outside: the card's network warns of fraud; gives back the warning's id.
    pub(crate) fn early_fraud_warning(&mut self, charge: &str) -> String {
        let of = self.object(charge).clone();
        let warning = self.blank(
            "radar.early_fraud_warning",
            "issfr",
            json!({
                "actionable": of["refunded"] != true && of["disputed"] != true, "charge": charge,
                "fraud_type": "unauthorized_use_of_card", "payment_intent": of["payment_intent"],
            }),
        );
        text(
            &self.keep_and_tell(warning, "radar.early_fraud_warning.created"),
            "id",
        )
    }

    /// Outside: a rule puts the charge up for review; gives back the review's id.
    pub(crate) fn open_review(&mut self, charge: &str) -> String {
        let intent = self.object(charge)["payment_intent"].clone();
        let review = self.blank("review", "prv", json!({
            "charge": charge, "open": true, "opened_reason": "rule", "payment_intent": intent, "reason": "rule",
        }));
        let id = text(&review, "id");
        self.set(charge, json!({"review": id}));
        if let Some(intent) = intent.as_str() {
            self.set(intent, json!({"review": id}));
        }
        self.keep_and_tell(review, "review.opened");
        id
    }

    /// Outside: the review ends: `approved`, `refunded`, `refunded_as_fraud`, `disputed`.
    pub(crate) fn close_review(&mut self, review: &str, reason: &str) {
        let fields = json!({"open": false, "closed_reason": reason, "reason": reason});
        self.change(review, fields, "review.closed");
    }
}
