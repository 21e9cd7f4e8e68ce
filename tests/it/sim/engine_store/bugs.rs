//! Bugs planted into the store, to see that the checks find them.

use faregate::domain::command::{Admit, Command, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::engine::{Book, Change, State, Step};
use faregate::domain::hold::{Hold, HoldState};
use faregate::domain::ids::{AccountId, HoldId};
use faregate::domain::refusal::Refusal;

use crate::sim::plan::credits;

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// An admit that comes again opens a second hold.
    NoDedupe,
    /// A capture that comes again charges again.
    CaptureTwice,
    /// Holds more than there is.
    NoClamp,
    /// A capture does not give back what was held beyond it.
    WrongGiveBack,
    /// A refused admit leaves its hold behind.
    RefusalKeepsHold,
    /// Renewals don't count when holds run out.
    SweepIgnoresRenewals,
    /// The sweep ends nothing.
    NoSweep,
    /// An outdated caller is let in: a revoked key, a paused account.
    StaleCounts,
    /// An adjustment that comes again is made again.
    AdjustTwice,
    /// A release charges the whole hold.
    ReleaseCharges,
}

impl Bug {
    pub(crate) const ALL: [Bug; 10] = [
        Bug::NoDedupe,
        Bug::CaptureTwice,
        Bug::NoClamp,
        Bug::WrongGiveBack,
        Bug::RefusalKeepsHold,
        Bug::SweepIgnoresRenewals,
        Bug::NoSweep,
        Bug::StaleCounts,
        Bug::AdjustTwice,
        Bug::ReleaseCharges,
    ];

    /// Spoils what is there before a command is decided, or the command.
    pub(super) fn before(self, state: &mut State, command: &Command) -> Command {
        match (self, command) {
            (Bug::NoDedupe, Command::Admit(admit)) => {
                edit_book(state, &admit.caller.account, |book| {
                    _ = book.holds.remove(&admit.hold)
                });
            }
            (Bug::CaptureTwice, Command::Capture(capture)) => {
                edit_hold(state, &capture.caller.account, capture.hold, |hold| {
                    if hold.state == HoldState::Captured {
                        (hold.state, hold.charged) = (HoldState::Expired, Credits::ZERO);
                    }
                });
            }
            (Bug::NoClamp, Command::Admit(admit)) => {
                let mut caller = (*admit.caller).clone();
                caller.credit_line = credits(1_000_000_000);
                return admit_by(admit, caller);
            }
            (Bug::StaleCounts, Command::Admit(admit)) => {
                let mut caller = (*admit.caller).clone();
                if let Some(book) = state.book(&caller.account) {
                    caller.version = book.account.version;
                }
                return admit_by(admit, caller);
            }
            (Bug::AdjustTwice, Command::Adjust { id, account, .. }) => {
                edit_book(state, account, |book| _ = book.commands.remove(id));
            }
            (Bug::ReleaseCharges, Command::Release(release)) => {
                let hold = state
                    .book(&release.caller.account)
                    .and_then(|book| book.holds.get(&release.hold));
                return match hold {
                    Some(hold) => Command::Capture(faregate::domain::command::Capture {
                        hold: release.hold,
                        caller: release.caller.clone(),
                        used: hold.amount,
                        detail: release.detail.clone(),
                    }),
                    None => command.clone(),
                };
            }
            (Bug::NoSweep, Command::ExpireHold { account, .. }) => {
                return Command::ApplyDue {
                    account: account.clone(),
                };
            }
            _ => {}
        }
        command.clone()
    }

    /// Spoils what a command left.
    pub(super) fn after(self, state: &mut State, command: &Command, step: &Step) {
        let account = command.account();
        match (self, command, &step.outcome) {
            (Bug::WrongGiveBack, Command::Capture(capture), Outcome::Applied(_)) => {
                let held = step.changes.iter().find_map(|change| match change {
                    Change::Hold(hold) => Some(hold.amount),
                    _ => None,
                });
                let rest = held.unwrap_or_default().saturating_sub(capture.used);
                keep_held(state, account, rest.at_least_zero());
            }
            (
                Bug::RefusalKeepsHold,
                Command::Admit(admit),
                Outcome::Refused(Refusal::InsufficientCredits { .. }),
            ) => keep_held(state, account, admit.least),
            _ => {}
        }
    }

    pub(super) fn before_sweep(self, state: &mut State) {
        if self != Bug::SweepIgnoresRenewals {
            return;
        }
        let books: Vec<Book> = state.books().cloned().collect();
        for mut book in books {
            for hold in book.holds.values_mut() {
                // The shortest life a plan draws.
                let runs_out = hold
                    .opened_at
                    .plus(std::time::Duration::from_millis(1_500).into());
                hold.expires_at = hold.expires_at.min(runs_out);
            }
            state.put_book(book);
        }
    }
}

fn admit_by(admit: &Admit, caller: faregate::domain::key::Caller) -> Command {
    Command::Admit(Admit {
        caller: caller.into(),
        ..admit.clone()
    })
}

fn keep_held(state: &mut State, account: &AccountId, amount: Credits) {
    edit_book(state, account, |book| {
        let gauge = &mut book.account.gauge;
        gauge.held = gauge.held.saturating_add(amount);
    });
}

fn edit_hold(state: &mut State, account: &AccountId, id: HoldId, edit: impl FnOnce(&mut Hold)) {
    edit_book(state, account, |book| {
        if let Some(hold) = book.holds.get_mut(&id) {
            edit(hold);
        }
    });
}

fn edit_book(state: &mut State, account: &AccountId, edit: impl FnOnce(&mut Book)) {
    if let Some(mut book) = state.book(account).cloned() {
        edit(&mut book);
        state.put_book(book);
    }
}
