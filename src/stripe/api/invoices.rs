//! Invoices and what paid them.

use super::{BadCall, Call, Form, Key, listing};

/// `GET /v1/invoices/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_invoice(invoice: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "invoices", invoice], Form::new())
}

/// `GET /v1/invoices?status=open`: those that are finalized and not paid, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_open_invoices() -> Result<Call, BadCall> {
    Call::get(&["v1", "invoices"], listing().put("status", "open"))
}

/// `POST /v1/invoices/{id}` with `auto_advance=false`: no more tries to collect it, no reminders, no automations. It must be open or a draft.
///
/// # Errors
/// The id is none.
pub fn stop_invoice(invoice: &str, because: &str) -> Result<Call, BadCall> {
    let form = Form::new().put("auto_advance", false);
    let key = Key::of("invoice-stop", &[invoice, because]);
    Call::post(&["v1", "invoices", invoice], form, key)
}

/// `POST /v1/invoices/{id}/void`: nobody owes it any more, and credits that were applied to it come back. Once.
///
/// # Errors
/// The id is none.
pub fn void_invoice(invoice: &str) -> Result<Call, BadCall> {
    let path = ["v1", "invoices", invoice, "void"];
    Call::post(&path, Form::new(), Key::of("invoice-void", &[invoice]))
}

/// `GET /v1/invoice_payments?invoice=`: which payments an invoice has, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_invoice_payments(invoice: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "invoice_payments"], listing().put("invoice", invoice))
}

/// `GET /v1/invoice_payments?payment[payment_intent]=`: which invoices a payment was for.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_invoices_of_payment(intent: &str) -> Result<Call, BadCall> {
    let form = listing()
        .put("payment[type]", "payment_intent")
        .put("payment[payment_intent]", intent);
    Call::get(&["v1", "invoice_payments"], form)
}
