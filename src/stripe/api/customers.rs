//! Customers and how they pay.

use super::{BadCall, Call, Form, Key, Metadata, listing};

/// What of a customer is set; what is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CustomerDetails<'a> {
    /// Where receipts go.
    pub email: Option<&'a str>,
    /// As shown on invoices.
    pub name: Option<&'a str>,
    /// For the operator.
    pub description: Option<&'a str>,
    /// The payment method of invoices that name no other. Not for a customer to be made: it must be attached first.
    pub default_payment_method: Option<&'a str>,
    /// What else is attached.
    pub metadata: Metadata,
}

impl CustomerDetails<'_> {
    fn form(&self) -> Result<Form, BadCall> {
        let method = "invoice_settings[default_payment_method]";
        Ok(Form::new()
            .maybe("email", self.email)
            .maybe("name", self.name)
            .maybe("description", self.description)
            .maybe(method, self.default_payment_method)
            .metadata("metadata", &self.metadata)?)
    }
}

/// `POST /v1/customers`, once per account.
///
/// # Errors
/// The metadata would be refused.
pub fn create_customer(account: &str, details: &CustomerDetails<'_>) -> Result<Call, BadCall> {
    Call::post(
        &["v1", "customers"],
        details.form()?,
        Key::of("customer", &[account]),
    )
}

/// `GET /v1/customers/{id}`; one that was deleted answers with `deleted: true`.
///
/// # Errors
/// The id is none.
pub fn get_customer(customer: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "customers", customer], Form::new())
}

/// `POST /v1/customers/{id}`.
///
/// # Errors
/// The id is none, or the metadata would be refused.
pub fn update_customer(
    customer: &str,
    details: &CustomerDetails<'_>,
    because: &str,
) -> Result<Call, BadCall> {
    let key = Key::of("customer-update", &[customer, because]);
    Call::post(&["v1", "customers", customer], details.form()?, key)
}

/// `GET /v1/payment_methods/{id}`: the card's checks, its funding, its fingerprint.
///
/// # Errors
/// The id is none.
pub fn get_payment_method(method: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "payment_methods", method], Form::new())
}

/// `GET /v1/payment_methods?customer=&type=card`, newest first: the cards that are kept of a customer.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_cards(customer: &str) -> Result<Call, BadCall> {
    let form = listing().put("customer", customer).put("type", "card");
    Call::get(&["v1", "payment_methods"], form)
}

/// `POST /v1/setup_intents` with `usage=off_session`, once per attempt: a card is to be verified, for payments that the customer is not there for.
///
/// # Errors
/// The metadata would be refused.
pub fn create_setup_intent(customer: &str, attempt: &str, metadata: &Metadata) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("customer", customer)
        .put("usage", "off_session")
        .put("automatic_payment_methods[enabled]", true)
        .metadata("metadata", metadata)?;
    Call::post(&["v1", "setup_intents"], form, Key::of("setup", &[attempt]))
}

/// `GET /v1/setup_intents/{id}`: whether the card was verified, and which payment method it became.
///
/// # Errors
/// The id is none.
pub fn get_setup_intent(intent: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "setup_intents", intent], Form::new())
}

/// `GET /v1/account`: whose key this is.
///
/// # Errors
/// None that its arguments could cause.
pub fn get_account() -> Result<Call, BadCall> {
    Call::get(&["v1", "account"], Form::new())
}
