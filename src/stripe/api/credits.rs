//! Billing credits: grants, what became of them, what is left.

use super::{BadCall, Call, Form, Key, Metadata, listing};
use crate::domain::grant::Category;
use crate::domain::money::Currency;

/// The name under which a grant says for which purchase it was made.
pub const PURCHASE: &str = "purchase_id";

/// A grant to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewGrant<'a> {
    /// For whom.
    pub customer: &'a str,
    /// What it is made for: a payment's id. There is one grant for it, whatever happens, and it bears it as metadata `purchase_id`.
    pub purchase: &'a str,
    /// How often Stripe refused to make it: each refusal is final for its idempotency key.
    pub attempt: u32,
    /// What it is worth, above zero; it can't be changed afterwards.
    pub value: i64,
    /// In which currency; it covers invoices in that one alone.
    pub currency: Currency,
    /// Paid, or a present.
    pub category: Category,
    /// The metered prices whose usage it covers, 20 at most; none for all of them.
    pub prices: &'a [&'a str],
    /// 0 (used first) to 100; Stripe takes 50 for none.
    pub priority: Option<u8>,
    /// From when on; none: from now.
    pub effective_at: Option<i64>,
    /// Until when, by Stripe's books; none: for ever.
    pub expires_at: Option<i64>,
    /// Shown to the customer, 100 characters at most.
    pub name: Option<&'a str>,
    /// What else is attached.
    pub metadata: Metadata,
}

/// `POST /v1/billing/credit_grants`, once per purchase.
///
/// # Errors
/// Nothing or less is granted, the priority or the number of prices is out of range, the name is too long, or the metadata would be refused.
pub fn create_credit_grant(grant: &NewGrant<'_>) -> Result<Call, BadCall> {
    let refused = |what, found: String, wanted| Err(BadCall::Refused { what, found, wanted });
    if grant.value <= 0 {
        return refused("amount", grant.value.to_string(), "above zero, in minor units");
    }
    if let Some(priority) = grant.priority.filter(|priority| *priority > 100) {
        return refused("priority", priority.to_string(), "0 to 100");
    }
    if grant.prices.len() > 20 {
        return refused("prices", grant.prices.len().to_string(), "20 at most");
    }
    let characters = grant.name.map_or(0, |name| name.chars().count());
    if characters > 100 {
        return refused("name", format!("{characters} characters long"), "100 at most");
    }
    let scope = "applicability_config[scope]";
    let mut form = Form::new()
        .put("customer", grant.customer)
        .put("amount[type]", "monetary")
        .put("amount[monetary][currency]", grant.currency)
        .put("amount[monetary][value]", grant.value);
    if grant.prices.is_empty() {
        form = form.put(format!("{scope}[price_type]"), "metered");
    }
    for (at, price) in grant.prices.iter().enumerate() {
        form = form.put(format!("{scope}[prices][{at}][id]"), price);
    }
    let category = match grant.category {
        Category::Paid => "paid",
        Category::Promotional => "promotional",
    };
    let mut metadata = grant.metadata.clone();
    metadata.insert(PURCHASE.to_owned(), grant.purchase.to_owned());
    let form = form
        .put("category", category)
        .maybe("priority", grant.priority)
        .maybe("effective_at", grant.effective_at)
        .maybe("expires_at", grant.expires_at)
        .maybe("name", grant.name)
        .metadata("metadata", &metadata)?;
    let attempt = grant.attempt.to_string();
    let key = match grant.attempt {
        0 => Key::of("grant", &[grant.purchase]),
        _ => Key::of("grant", &[grant.purchase, &attempt]),
    };
    Call::post(&["v1", "billing", "credit_grants"], form, key)
}

/// `GET /v1/billing/credit_grants/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_credit_grant(grant: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "billing", "credit_grants", grant], Form::new())
}

/// `GET /v1/billing/credit_grants?customer=`: a customer's grants, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_credit_grants(customer: &str) -> Result<Call, BadCall> {
    let form = listing().put("customer", customer);
    Call::get(&["v1", "billing", "credit_grants"], form)
}

/// `GET /v1/billing/credit_grants`: everybody's grants, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_all_credit_grants() -> Result<Call, BadCall> {
    Call::get(&["v1", "billing", "credit_grants"], listing())
}

/// What becomes of a grant's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It ends then.
    At(i64),
    /// It never ends.
    Never,
}

/// `POST /v1/billing/credit_grants/{id}`: the end and the metadata are all that can be changed.
///
/// # Errors
/// The id is none, or the metadata would be refused.
pub fn update_credit_grant(
    grant: &str,
    expiry: Option<Expiry>,
    metadata: &Metadata,
    because: &str,
) -> Result<Call, BadCall> {
    let expires_at = expiry.map(|expiry| match expiry {
        Expiry::At(at) => at.to_string(),
        Expiry::Never => String::new(),
    });
    let form = Form::new()
        .maybe("expires_at", expires_at)
        .metadata("metadata", metadata)?;
    let key = Key::of("grant-update", &[grant, because]);
    Call::post(&["v1", "billing", "credit_grants", grant], form, key)
}

/// `POST /v1/billing/credit_grants/{id}/expire`: what is left of it is gone. Once.
///
/// # Errors
/// The id is none.
pub fn expire_credit_grant(grant: &str) -> Result<Call, BadCall> {
    let path = ["v1", "billing", "credit_grants", grant, "expire"];
    Call::post(&path, Form::new(), Key::of("grant-expire", &[grant]))
}

/// `POST /v1/billing/credit_grants/{id}/void`: it never was. Only while nothing of it was applied to an invoice, which may come again, so `because`.
///
/// # Errors
/// The id is none.
pub fn void_credit_grant(grant: &str, because: &str) -> Result<Call, BadCall> {
    let path = ["v1", "billing", "credit_grants", grant, "void"];
    Call::post(&path, Form::new(), Key::of("grant-void", &[grant, because]))
}

/// `GET /v1/billing/credit_balance_transactions?customer=&credit_grant=`: newest first; of all the customer's grants, or of one.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_credit_transactions(customer: &str, grant: Option<&str>) -> Result<Call, BadCall> {
    let form = listing().put("customer", customer).maybe("credit_grant", grant);
    Call::get(&["v1", "billing", "credit_balance_transactions"], form)
}

/// `GET /v1/billing/credit_balance_summary?customer=`: what is left by Stripe's books of the credits for metered prices, by currency.
///
/// # Errors
/// None that its arguments could cause.
pub fn credit_balance_summary(customer: &str) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("customer", customer)
        .put("filter[type]", "applicability_scope")
        .put("filter[applicability_scope][price_type]", "metered");
    Call::get(&["v1", "billing", "credit_balance_summary"], form)
}

/// `GET /v1/billing/credit_balance_summary?customer=&filter[credit_grant]=`: what is left of one grant.
///
/// # Errors
/// None that its arguments could cause.
pub fn credit_grant_balance(customer: &str, grant: &str) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("customer", customer)
        .put("filter[type]", "credit_grant")
        .put("filter[credit_grant]", grant);
    Call::get(&["v1", "billing", "credit_balance_summary"], form)
}
