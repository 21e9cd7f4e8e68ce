//! The laws of the engine, which is the definition of the ledger.
//!
//! `history`: laws that hold after every step of random histories. `dealing`: the engine against a naive ledger that deals each charge at once.
//! `caps`: the laws of rates and caps. `precedence`: which refusal comes first. `edges`: rules worth an example of their own.

mod caps;
mod dealing;
mod edges;
mod history;
mod precedence;
