//! L3: the one place where things are done. It knows the ledger's port, not its stores, and nothing of HTTP.
//!
//! Data plane: [`gate`] identifies and admits, `breaker` turns requests away while the ledger does not answer, [`charge`] owns each hold until it is
//! settled, [`plans`] says who may do what. Control plane: [`accounts`], [`keys`], [`grants`]. [`sweeper`] ends what nobody settled, [`memory`]
//! tells how full the ledger is. [`stripe`] makes credits and pauses of what Stripe tells.

pub mod accounts;
mod asking;
mod breaker;
pub mod charge;
pub mod denial;
pub mod gate;
pub mod grants;
mod identities;
pub mod keys;
pub mod memory;
pub mod panics;
pub mod plans;
pub mod request_ids;
pub mod stripe;
pub mod sweeper;
pub mod tariff;
pub mod watch;
