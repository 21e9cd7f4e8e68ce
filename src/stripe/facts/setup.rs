//! Payment methods that are verified, and what is known of a card.

use serde_json::Value;

use super::super::object::{Object, Unreadable};
use super::Metadata;
use super::read::{metadata, owned};

/// `setup_intent`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// `seti_...`
    pub id: String,
    /// Whose.
    pub customer: Option<String>,
    /// `succeeded`, `requires_payment_method`, ...
    pub status: String,
    /// The payment method that was verified: `pm_...`
    pub method: Option<String>,
    /// What was attached to it.
    pub metadata: Metadata,
}

/// A card, and who it says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    /// Identifies the number, across all customers of one account at Stripe.
    pub fingerprint: Option<String>,
    /// `pass`, `fail`, `unavailable`, `unchecked`; none where it was not asked for.
    pub cvc: Option<String>,
    /// Likewise.
    pub postal_code: Option<String>,
    /// `credit`, `debit`, `prepaid`, `unknown`.
    pub funding: String,
    /// As its holder wrote it.
    pub email: Option<String>,
}

pub(super) fn setup(o: Object<'_>, value: &Value) -> Result<Setup, Unreadable> {
    Ok(Setup {
        id: o.id("id")?.to_owned(),
        customer: owned(o.maybe_id("customer")?),
        status: o.text("status")?.to_owned(),
        method: owned(o.maybe_id("payment_method")?),
        metadata: metadata(value),
    })
}

/// The card that a `payment_method` is, or that a `charge` was paid with; nothing where it is another kind of method.
///
/// # Errors
/// A part is not what it should be.
pub fn card(value: &Value) -> Result<Option<Card>, Unreadable> {
    let is_charge = value.get("object").and_then(Value::as_str) == Some("charge");
    let (o, of) = if is_charge {
        (Object::new(value, "charge"), "payment_method_details/")
    } else {
        (Object::new(value, "payment method"), "")
    };
    let part = |name: &str| format!("{of}{name}");
    if o.maybe_text(&part("type"))? != Some("card") {
        return Ok(None);
    }
    let text = |name: &str| Ok::<_, Unreadable>(owned(o.maybe_text(&part(name))?));
    Ok(Some(Card {
        fingerprint: text("card/fingerprint")?,
        cvc: text("card/checks/cvc_check")?,
        postal_code: text("card/checks/address_postal_code_check")?,
        funding: text("card/funding")?.unwrap_or_default(),
        email: owned(o.maybe_text("billing_details/email")?),
    }))
}
