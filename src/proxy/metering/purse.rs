//! A hold, and how it grows while an answer passes.

use std::task::{Context, Poll};

use crate::domain::credits::Credits;
use crate::domain::price::HoldMode;
use crate::ledger::LedgerError;
use crate::service::charge::{Ending, Growth, Held};
use crate::service::denial::Denial;

use super::request::Metered;

/// How often the ledger is asked for more when it does not answer, until it is taken for a no. Each time takes as long as a request waits for it.
const SILENT_MAX: u32 = 8;

/// See the module.
pub(in crate::proxy) struct Purse {
    /// None once it is settled.
    held: Option<Held>,
    grows: bool,
    /// What the request may cost at most: more is never asked for ahead.
    most: Credits,
    /// The ledger has said that there is no more; until it is asked in need.
    exhausted: bool,
    /// The question under way, or the last one, was asked in need.
    in_need: bool,
    /// Questions that had no answer.
    silent: u32,
    /// Why there is no more.
    refused: Option<Denial>,
    /// What is known at the end only has been asked for.
    collected: bool,
}

/// Whether there is room for what costs so much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::proxy) enum Room {
    Some,
    Wait,
    None,
}

impl Purse {
    pub(in crate::proxy) fn new(held: Held, metered: &Metered) -> Purse {
        Purse {
            held: Some(held),
            grows: metered.hold == HoldMode::Growing,
            most: metered.fare.most(),
            exhausted: false,
            in_need: false,
            silent: 0,
            refused: None,
            collected: false,
        }
    }

    /// What is held.
    pub(in crate::proxy) fn amount(&self) -> Credits {
        self.held.as_ref().map_or(Credits::ZERO, Held::amount)
    }

    /// What the account has beside it, as far as this was told.
    pub(in crate::proxy) fn available(&self) -> Credits {
        self.held.as_ref().map_or(Credits::ZERO, Held::available)
    }

    /// Why there was no more.
    pub(in crate::proxy) fn refused(&self) -> Option<&Denial> {
        self.refused.as_ref()
    }

    /// Whether it can grow.
    pub(in crate::proxy) fn grows(&self) -> bool {
        self.grows
    }

    /// What becomes of it should nobody settle it.
    pub(super) fn on_drop(&mut self, ending: Ending) {
        if let Some(held) = &mut self.held {
            held.on_drop(ending);
        }
    }

    /// To be settled.
    pub(in crate::proxy) fn take(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// Asks for `step` more when half of that is left beside what is due, so that it is there before it is needed.
    pub(super) fn ahead(&mut self, due: Credits, step: Credits, cx: &mut Context<'_>) {
        let Some(held) = self.held.as_mut().filter(|_| self.grows && !self.exhausted) else {
            return;
        };
        if held.is_growing() {
            self.exhausted = matches!(held.poll_grown(cx), Poll::Ready(Growth::Refused(_)));
            return;
        }
        let (left, more) = (
            held.amount().saturating_sub(due),
            self.most.saturating_sub(held.amount()),
        );
        if left.micros() <= step.micros() / 2 && !more.is_negative() && !more.is_zero() {
            self.in_need = false;
            held.grow(Credits::MICRO, step.min(more));
        }
    }

    /// Whether there is room for what costs `needed` in all; asks for it, and some more. What is refused then is refused for good.
    pub(in crate::proxy) fn room(&mut self, needed: Credits, step: Credits, cx: &mut Context<'_>) -> Room {
        loop {
            let Some(held) = self.held.as_mut().filter(|_| self.grows) else {
                return Room::None;
            };
            if needed <= held.amount() {
                return Room::Some;
            }
            if !held.is_growing() {
                let least = needed.saturating_sub(held.amount());
                let more = self.most.saturating_sub(held.amount());
                self.in_need = true;
                held.grow(least, step.min(more).max(least));
                if !held.is_growing() {
                    // There is nothing that could grow.
                    return Room::None;
                }
            }
            match held.poll_grown(cx) {
                Poll::Pending => return Room::Wait,
                Poll::Ready(Growth::To(_)) => (self.exhausted, self.silent) = (false, 0),
                Poll::Ready(Growth::Refused(denial)) if self.in_need => {
                    self.refused = Some(denial);
                    return Room::None;
                }
                // It was asked for another amount.
                Poll::Ready(Growth::Refused(_)) => {}
                Poll::Ready(Growth::Failed) if self.silent >= SILENT_MAX => {
                    let silent = "it did not answer while a hold was to grow";
                    self.refused = Some(Denial::Failed(LedgerError::Unavailable(silent.to_owned())));
                    return Room::None;
                }
                Poll::Ready(Growth::Failed) => self.silent += 1,
            }
        }
    }

    /// As much of `due` as there is, for what is known at the end only: reasoning that nobody sees, say. Ready when it was asked for.
    pub(super) fn collect(&mut self, due: Credits, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(held) = self.held.as_mut().filter(|_| self.grows) else {
                return Poll::Ready(());
            };
            if held.is_growing() {
                let _ = std::task::ready!(held.poll_grown(cx));
            } else if held.amount() >= due || std::mem::replace(&mut self.collected, true) {
                return Poll::Ready(());
            } else {
                held.grow(Credits::MICRO, due.saturating_sub(held.amount()));
            }
        }
    }
}
