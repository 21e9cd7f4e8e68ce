//! A store of a simulated world, and what can be done to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use faregate::ledger::{Ledger, LedgerError};
use turmoil::Sim;

/// A ledger that is on its way.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Arc<dyn Ledger>, LedgerError>> + Send>>;

/// A kind of ledger in a simulated world: its host (named [`HOST`]), and how others reach it.
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Adds the store's host.
    fn install(&self, sim: &mut Sim<'_>);

    /// A ledger as the host of this name has it; called on that host.
    fn connect(&self, host: &str) -> Connecting;

    /// A host can no longer, or can again, reach the store.
    fn cut_off(&self, sim: &Sim<'_>, host: &str, cut: bool);

    /// Called while the store is down: what was not synced is gone. Whether that was anything.
    fn lose_tail(&self) -> bool;

    /// Moves the store's clock.
    fn step_clock(&self, micros: i64);

    /// Who shall die now, because a certain call was made.
    fn dies_now(&self) -> Option<Dies> {
        None
    }

    /// From now on, or no longer, messages are lost, doubled, slow, refused.
    fn rage(&self, on: bool);
}

/// Who dies of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dies {
    Proxy,
    Store,
}

/// The name of the store's host.
pub(crate) const HOST: &str = "store";
