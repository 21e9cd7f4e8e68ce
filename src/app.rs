//! L5: builds everything from a configuration, runs it, stops it. The only place that names a store.

mod admin_listener;
mod audit;
mod copy;
mod demo;
mod load;
mod own;
mod pretend;
mod running;
mod serve;
mod store;
mod stripe;
mod sync;
mod till;

use std::path::Path;

pub use audit::StripeAccount;
pub use copy::{CopyTo, copy};
pub use demo::{DemoOptions, demo};
pub use load::{load, read};
pub use serve::serve;
pub use store::{rebuild, restore};

/// Why the program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is bad; every problem, a line each.
    #[error("{0}")]
    Config(String),
    /// Anything else: what, and what to do.
    #[error("{0}")]
    Failed(String),
}

impl AppError {
    fn failed(error: impl std::fmt::Display) -> AppError {
        AppError::Failed(error.to_string())
    }

    fn at(path: &Path, error: impl std::fmt::Display) -> AppError {
        AppError::Failed(format!("{}: {error}", path.display()))
    }
}
