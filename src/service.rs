//! L3: the one place where things are done. It knows the ledger's port, not its stores, and nothing of HTTP.
//!
//! Data plane: [`gate`] identifies and admits, [`charge`] owns each hold until it is settled, [`plans`] says who may do what. Control plane:
//! [`accounts`], [`keys`], [`grants`]. [`sweeper`] ends what nobody settled.

pub mod accounts;
pub mod charge;
pub mod denial;
pub mod gate;
pub mod grants;
mod identities;
pub mod keys;
pub mod plans;
pub mod request_ids;
pub mod sweeper;
pub mod tariff;
