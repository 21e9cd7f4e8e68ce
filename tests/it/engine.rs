//! The laws of the engine, which is the definition of the ledger: random histories, and a law that holds after each step.

mod history;
