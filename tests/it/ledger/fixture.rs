//! The stores under test. Each gives ledgers that are empty and whose time a test moves.

mod redis;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use faregate::clock::{Clock, ManualClock};
use faregate::domain::command::Command;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;
use faregate::ledger::embedded::{EmbeddedLedger, Options};
use faregate::ledger::memos::Memos;

use super::memory::MemoryLedger;
use super::moves::START;
use crate::rig::temp::TempDir;

pub(crate) use redis::{OneRedis, ThreeMasters};

/// Makes ledgers of one kind.
pub(crate) trait Fixture: Send + Sync {
    /// For messages.
    fn name(&self) -> &'static str;

    /// An empty ledger whose clock stands at [`START`]. One at a time: a store may be shared by those that it gives one after the other.
    fn fresh(&self) -> Pin<Box<dyn Future<Output = Fresh> + Send + '_>>;
}

/// An empty ledger.
pub(crate) struct Fresh {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) memos: Arc<dyn Memos>,
    pub(crate) clock: Arc<dyn TestClock>,
    /// What must not go before the ledger: a folder, a server.
    pub(crate) _keep: Box<dyn Any + Send + Sync>,
}

/// The ledger's time, in a test's hands.
pub(crate) trait TestClock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Sets it, never back.
    fn set(&self, now: Timestamp);

    /// Moves it on.
    fn advance(&self, span: Span) {
        self.set(self.now().plus(span));
    }
}

impl TestClock for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    fn set(&self, now: Timestamp) {
        ManualClock::set(self, now);
    }
}

/// The engine behind the port: the model itself, to prove the tests.
pub(crate) struct Memory;

impl Fixture for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn fresh(&self) -> Pin<Box<dyn Future<Output = Fresh> + Send + '_>> {
        let clock = Arc::new(ManualClock::new(START));
        let ledger = Arc::new(MemoryLedger::new(clock.clone()));
        Box::pin(std::future::ready(Fresh {
            memos: ledger.clone(),
            ledger,
            clock,
            _keep: Box::new(()),
        }))
    }
}

/// The model with a planted bug.
pub(crate) struct Buggy(pub(crate) fn(&mut Command));

impl Fixture for Buggy {
    fn name(&self) -> &'static str {
        "buggy"
    }

    fn fresh(&self) -> Pin<Box<dyn Future<Output = Fresh> + Send + '_>> {
        let clock = Arc::new(ManualClock::new(START));
        let ledger = Arc::new(MemoryLedger::with_bug(clock.clone(), self.0));
        Box::pin(std::future::ready(Fresh {
            memos: ledger.clone(),
            ledger,
            clock,
            _keep: Box::new(()),
        }))
    }
}

/// The embedded store, in a folder of its own.
pub(crate) struct Embedded;

impl Fixture for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn fresh(&self) -> Pin<Box<dyn Future<Output = Fresh> + Send + '_>> {
        let folder = TempDir::new();
        let clock = Arc::new(ManualClock::new(START));
        let ledger = EmbeddedLedger::open(Options::new(folder.path()), clock.clone());
        let ledger = Arc::new(ledger.expect("a ledger in an empty folder"));
        Box::pin(std::future::ready(Fresh {
            memos: ledger.clone(),
            ledger,
            clock,
            _keep: Box::new(folder),
        }))
    }
}
