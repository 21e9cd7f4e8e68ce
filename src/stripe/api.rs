//! The calls that are made, each a pure function: what it takes, where it goes, and by which ids it is done only once.
//!
//! Times are seconds since the epoch, amounts are whole minor units of their currency, ids are Stripe's. `because` is the id of what asks for a change
//! (an event's, a memo's version): the same asks for the same change, another asks anew even where it asks for what was asked before, since Stripe
//! gives the first answer under a key for at least 24 hours.

mod credits;
mod customers;
mod events;
mod invoices;
mod meters;
mod payments;
mod subscriptions;
mod troubles;

pub use credits::*;
pub use customers::*;
pub use events::*;
pub use invoices::*;
pub use meters::*;
pub use payments::*;
pub use subscriptions::*;
pub use troubles::*;

use super::call::{BadCall, Call, Key};
use super::form::{Form, Metadata};

/// The most items that a page has.
pub const PAGE_MAX: usize = 100;

/// `GET` of a list by its path, the newest item alone: whether the key may read it.
///
/// # Errors
/// A segment is no id.
pub fn peek(path: &[&str]) -> Result<Call, BadCall> {
    Call::get(path, Form::new().put("limit", 1))
}

/// A form of a list: pages as long as may be.
fn listing() -> Form {
    Form::new().put("limit", PAGE_MAX)
}

#[cfg(test)]
mod tests;
