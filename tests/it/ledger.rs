//! What every ledger promises, tested on every store.

pub(crate) mod moves;
