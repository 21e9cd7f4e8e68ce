//! What memos have the operator hear of.

use crate::domain::ids::AccountId;

/// What the operator has to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// Credits did not pay for an invoice that they were to pay for.
    Overage {
        /// Whose: on a plan with a credit line that is as it should be.
        account: AccountId,
        /// So much, in minor units.
        due: i64,
        /// Lower-case ISO code.
        currency: String,
    },
    /// Usage was not counted: why, how many reports, an example.
    Usage(Vec<(String, i64, String)>),
}
