//! What banks and Stripe's Radar have against payments.

use super::{BadCall, Call, Form, listing};

/// `GET /v1/disputes?created[gte]=`, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_disputes(since: i64) -> Result<Call, BadCall> {
    Call::get(&["v1", "disputes"], listing().put("created[gte]", since))
}

/// `GET /v1/reviews?created[gte]=`, newest first: open ones only.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_reviews(since: i64) -> Result<Call, BadCall> {
    Call::get(&["v1", "reviews"], listing().put("created[gte]", since))
}

/// `GET /v1/radar/early_fraud_warnings?created[gte]=`, newest first.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_fraud_warnings(since: i64) -> Result<Call, BadCall> {
    Call::get(
        &["v1", "radar", "early_fraud_warnings"],
        listing().put("created[gte]", since),
    )
}

/// `GET /v1/reviews/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_review(review: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "reviews", review], Form::new())
}
