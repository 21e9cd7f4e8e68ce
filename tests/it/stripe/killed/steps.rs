//! The steps of a gate: each call to Stripe, and each message to Redis that writes. One of them can be held, for the gate to be killed there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::super::fake::{FakeStripe, Fault};
use crate::rig::fault::{FaultProxy, Hold};

/// On which side of a step the gate dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It was sent, and never arrives.
    Before,
    /// It is done, and the gate does not hear of it.
    After,
}

/// Counts the steps.
#[derive(Debug)]
pub(super) struct Steps {
    state: Mutex<State>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    counting: bool,
    hold: Option<(usize, Side)>,
    seen: Vec<String>,
}

impl Steps {
    /// Of a gate that asks this Stripe, and Redis through this.
    pub(super) fn of(stripe: &FakeStripe, wire: Option<&FaultProxy>) -> Arc<Steps> {
        let steps = Arc::new(Steps {
            state: Mutex::default(),
            held: watch::Sender::new(false),
        });
        let own = Arc::clone(&steps);
        stripe.judge_by(move |call| {
            let side = own.step(|| call.to_owned())?;
            own.held.send_replace(true);
            Some(match side {
                Side::Before => Fault::HangBefore,
                Side::After => Fault::HangAfter,
            })
        });
        let own = Arc::clone(&steps);
        if let Some(wire) = wire {
            wire.judge_by(move |bytes| {
                let what = written(bytes)?;
                Some(match own.step(|| what)? {
                    Side::Before => Hold::Request,
                    Side::After => Hold::Reply,
                })
            });
        }
        steps
    }

    /// From now on steps count; the one of this number is held, from 1.
    pub(super) fn count(&self, hold: Option<(usize, Side)>) {
        self.held.send_replace(false);
        *self.state() = State {
            counting: true,
            hold,
            seen: Vec::new(),
        };
    }

    /// From now on they do not; those that were seen.
    pub(super) fn stop(&self) -> Vec<String> {
        std::mem::take(&mut *self.state()).seen
    }

    /// Waits until a call to Stripe is held.
    pub(super) async fn is_held(&self) {
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| *held).await;
    }

    /// One more; whether it is to be held.
    fn step(&self, what: impl FnOnce() -> String) -> Option<Side> {
        let mut state = self.state();
        if !state.counting {
            return None;
        }
        state.seen.push(what());
        let (number, side) = state.hold?;
        let now = state.seen.len() == number;
        state.counting = !now;
        now.then_some(side)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message to Redis writes: memos, or the books. Nothing of one that only reads, nor of what requests themselves do.
fn written(bytes: &[u8]) -> Option<String> {
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    if has(b"}:m:") && has(b"}:D\r\n") {
        return Some(format!("write {}", after(bytes, b"}:m:")));
    }
    let books = has(b"}:a:") && has(b"}:j\r\n") && !has(b"}:h:");
    books.then(|| format!("change {}", after(bytes, b"}:a:")))
}

/// The rest of the key that goes on there.
fn after(bytes: &[u8], part: &[u8]) -> String {
    let from = bytes.windows(part.len()).position(|window| window == part);
    let rest = &bytes[from.map_or(0, |at| at + part.len())..];
    let end = rest.iter().position(|byte| *byte == b'\r').unwrap_or(0);
    String::from_utf8_lossy(&rest[..end]).into_owned()
}
