//! Payments: bought on Stripe's page, taken without the customer there, given back, disputed.

use super::{BadCall, Call, Form, Key, Metadata, listing};
use crate::domain::money::Currency;

/// What is to be bought on Stripe's page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewCheckout<'a> {
    /// The gate's own id of this purchase: there is one page for it.
    pub purchase: &'a str,
    /// Who buys; none: Stripe makes a customer by the e-mail given on the page.
    pub customer: Option<&'a str>,
    /// The gate's account, as `client_reference_id`; 200 characters at most.
    pub account: &'a str,
    /// What is bought.
    pub item: Item<'a>,
    /// Where the page leads when it is done. `{CHECKOUT_SESSION_ID}` in it becomes the session's id.
    pub success_url: &'a str,
    /// Where it leads when the customer turns back.
    pub cancel_url: Option<&'a str>,
    /// Until when it can be paid: half an hour to a day from when it was made; none: a day.
    pub expires_at: Option<i64>,
    /// Keep the payment method, for payments that the customer is not there for.
    pub keep_method: bool,
    /// Attached to the session *and* to its payment, so that each is understood by itself.
    pub metadata: Metadata,
}

/// One thing, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// A price that is known to Stripe.
    Price(&'a str),
    /// Something named here.
    Named {
        /// What it is, as the customer reads it.
        name: &'a str,
        /// What it costs, in minor units, above zero.
        amount: i64,
        /// In which currency.
        currency: Currency,
    },
}

/// `POST /v1/checkout/sessions` with `mode=payment`, once per purchase.
///
/// # Errors
/// The amount is not above zero, the account is too long, or the metadata would be refused.
pub fn create_checkout(checkout: &NewCheckout<'_>) -> Result<Call, BadCall> {
    let mut form = checkout_form(checkout)?.put("mode", "payment");
    form = match checkout.item {
        Item::Price(price) => form.put("line_items[0][price]", price),
        Item::Named {
            name,
            amount,
            currency,
        } => {
            above_zero(amount)?;
            form.put("line_items[0][price_data][currency]", currency)
                .put("line_items[0][price_data][unit_amount]", amount)
                .put("line_items[0][price_data][product_data][name]", name)
        }
    };
    form = form
        .put("line_items[0][quantity]", 1)
        .metadata("payment_intent_data[metadata]", &checkout.metadata)?;
    if checkout.keep_method {
        form = form.put("payment_intent_data[setup_future_usage]", "off_session");
    }
    let customer_creation = checkout.customer.is_none().then_some("always");
    let form = form.maybe("customer_creation", customer_creation);
    Call::post(
        &["v1", "checkout", "sessions"],
        form,
        Key::of("checkout", &[checkout.purchase]),
    )
}

/// `POST /v1/checkout/sessions` with `mode=setup`, once per purchase: a card is verified and kept, nothing is paid. `item` and `keep_method` do not
/// count; the currency decides which payment methods are offered.
///
/// # Errors
/// The account is too long, or the metadata would be refused.
pub fn create_card_check(checkout: &NewCheckout<'_>, currency: Currency) -> Result<Call, BadCall> {
    let form = checkout_form(checkout)?
        .put("mode", "setup")
        .put("currency", currency)
        .metadata("setup_intent_data[metadata]", &checkout.metadata)?;
    let customer_creation = checkout.customer.is_none().then_some("always");
    let form = form.maybe("customer_creation", customer_creation);
    Call::post(
        &["v1", "checkout", "sessions"],
        form,
        Key::of("card-check", &[checkout.purchase]),
    )
}

fn checkout_form(checkout: &NewCheckout<'_>) -> Result<Form, BadCall> {
    let characters = checkout.account.chars().count();
    if characters > 200 {
        return Err(BadCall::Refused {
            what: "client_reference_id",
            found: format!("{characters} characters long"),
            wanted: "200 at most",
        });
    }
    let form = Form::new()
        .maybe("customer", checkout.customer)
        .put("client_reference_id", checkout.account)
        .put("success_url", checkout.success_url)
        .maybe("cancel_url", checkout.cancel_url)
        .maybe("expires_at", checkout.expires_at);
    Ok(form.metadata("metadata", &checkout.metadata)?)
}

/// `GET /v1/checkout/sessions/{id}`: whether it is paid says `payment_status`, and nothing else.
///
/// # Errors
/// The id is none.
pub fn get_checkout(session: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "checkout", "sessions", session], Form::new())
}

/// A payment to be taken without the customer there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPayment<'a> {
    /// The gate's own id of this attempt, written down before the call: there is one payment for it.
    pub attempt: &'a str,
    /// Who pays.
    pub customer: &'a str,
    /// What with.
    pub method: &'a str,
    /// How much, in minor units, above zero.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// As the customer reads it.
    pub description: Option<&'a str>,
    /// What else is attached.
    pub metadata: Metadata,
}

/// `POST /v1/payment_intents` with `off_session`, `confirm` and `error_on_requires_action`, once per attempt: it is paid at once, or refused. Refused,
/// no event tells of it; the answer does.
///
/// # Errors
/// The amount is not above zero, or the metadata would be refused.
pub fn create_payment(payment: &NewPayment<'_>) -> Result<Call, BadCall> {
    above_zero(payment.amount)?;
    let form = Form::new()
        .put("amount", payment.amount)
        .put("currency", payment.currency)
        .put("customer", payment.customer)
        .put("payment_method", payment.method)
        .put("off_session", true)
        .put("confirm", true)
        .put("error_on_requires_action", true)
        .maybe("description", payment.description)
        .metadata("metadata", &payment.metadata)?;
    Call::post(
        &["v1", "payment_intents"],
        form,
        Key::of("payment", &[payment.attempt]),
    )
}

fn above_zero(amount: i64) -> Result<(), BadCall> {
    let refused = BadCall::Refused {
        what: "amount",
        found: amount.to_string(),
        wanted: "above zero, in minor units",
    };
    (amount > 0).then_some(()).ok_or(refused)
}

/// `GET /v1/payment_intents/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_payment(intent: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "payment_intents", intent], Form::new())
}

/// `GET /v1/payment_intents?customer=&created[gte]=`, newest first: to look for an attempt whose key is forgotten by now.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_payments(customer: &str, since: Option<i64>) -> Result<Call, BadCall> {
    let form = listing().put("customer", customer).maybe("created[gte]", since);
    Call::get(&["v1", "payment_intents"], form)
}

/// `GET /v1/payment_intents?created[gte]=`, newest first: everybody's.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_all_payments(since: i64) -> Result<Call, BadCall> {
    let form = listing().put("created[gte]", since);
    Call::get(&["v1", "payment_intents"], form)
}

/// `GET /v1/charges/{id}`: what of it was refunded, and its risk.
///
/// # Errors
/// The id is none.
pub fn get_charge(charge: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "charges", charge], Form::new())
}

/// `GET /v1/disputes/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_dispute(dispute: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "disputes", dispute], Form::new())
}

/// `POST /v1/refunds` of a payment, once per `because`: of so many minor units, or of all that is left. A payment under dispute is refused.
///
/// # Errors
/// The amount is not above zero, or the metadata would be refused.
pub fn create_refund(
    intent: &str,
    amount: Option<i64>,
    metadata: &Metadata,
    because: &str,
) -> Result<Call, BadCall> {
    amount.map_or(Ok(()), above_zero)?;
    let form = Form::new()
        .put("payment_intent", intent)
        .maybe("amount", amount)
        .metadata("metadata", metadata)?;
    Call::post(&["v1", "refunds"], form, Key::of("refund", &[intent, because]))
}

/// `GET /v1/refunds?payment_intent=`, newest first: to look for one whose key is forgotten by now.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_refunds(intent: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "refunds"], listing().put("payment_intent", intent))
}
