//! Laws that hold after every step of every history.

use std::collections::BTreeMap;

use faregate::domain::account::Balance;
use faregate::domain::command::{Command, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::engine::{Book, State, Step, invariants};
use faregate::domain::entry::{Entry, EntryKind};
use faregate::domain::grant::{Grant, GrantState};
use faregate::domain::hold::{Hold, HoldState};
use faregate::domain::ids::HoldId;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::ledger::moves::{LINE_MAX, Move, START, World, any_history, cases, micros};

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn the_laws_hold_after_every_step(moves in any_history(90)) {
        Trial::new()?.run(&moves)?;
    }
}

/// Random histories must meet what the laws are about; otherwise a law that holds says little. Always the same histories.
#[test]
fn histories_reach_the_far_corners() {
    let mut runner = TestRunner::deterministic();
    let mut met = BTreeMap::new();
    for _ in 0..2_500 {
        let moves = any_history(90).new_tree(&mut runner).unwrap().current();
        let mut trial = Trial::new().unwrap();
        for next in &moves {
            let before = trial.world.book().clone();
            trial.run(std::slice::from_ref(next)).unwrap();
            for corner in corners(&before, trial.world.book(), trial.world.history.last()) {
                *met.entry(corner).or_insert(0) += 1;
            }
        }
    }
    for corner in [
        "two grants ending",
        "a new hold while a grant is ending",
        "an extension while a grant is ending",
        "a revival",
        "an ending grant comes back",
        "an ending grant is voided",
        "a debt",
        "a late capture",
        "a late release",
        "a correction downwards",
        "overrun",
        "on credit",
        "out of range",
        "rate limited",
        "too many open",
        "spend limit",
        "a replay",
        "a conflict",
        "in progress",
        "already charged",
        "another under the same key",
        "a key given back",
        "taken from a grant out of turn",
        "outdated",
    ] {
        let times = met.get(corner).copied().unwrap_or(0);
        assert!(times >= 5, "{corner}: met {times} times, of {met:?}");
    }
}

/// What a step was a case of.
fn corners(before: &Book, after: &Book, last: Option<&(Command, Outcome)>) -> Vec<&'static str> {
    let mut met = Vec::new();
    let mut case = |name, is: bool| met.extend(is.then_some(name));
    let ending = |book: &Book| {
        book.grants
            .values()
            .filter(|g| g.state == GrantState::Ending)
            .count()
    };
    let grew = after.account.gauge.held > before.account.gauge.held;
    case("two grants ending", ending(after) >= 2);
    let (opened, was_ending) = (after.holds.len() > before.holds.len(), ending(before) > 0);
    case("a new hold while a grant is ending", opened && was_ending);
    case(
        "an extension while a grant is ending",
        grew && !opened && was_ending,
    );
    for (id, grant) in &after.grants {
        let Some(was) = before.grants.get(id) else {
            continue;
        };
        case("a revival", grant.expired < was.expired);
        let ended = was.state == GrantState::Ending;
        case(
            "an ending grant comes back",
            ended && grant.state == GrantState::Active,
        );
        case("an ending grant is voided", ended && grant.voided > was.voided);
    }
    case(
        "a debt",
        !after.account.undealt().is_zero() && after.account.available().is_negative(),
    );
    for (id, hold) in &after.holds {
        let Some(was) = before.holds.get(id) else { continue };
        let late = was.state == HoldState::Expired;
        case("a late capture", late && hold.state == HoldState::Captured);
        case("a late release", late && hold.state == HoldState::Released);
        case("a correction downwards", late && hold.charged < was.charged);
    }
    let new = after
        .holds
        .values()
        .filter(|hold| !before.holds.contains_key(&hold.id));
    let claims = |hold: &Hold| hold.claim.as_ref().map(|claim| claim.key);
    case(
        "a key given back",
        new.filter_map(claims)
            .any(|key| before.holds.values().any(|hold| claims(hold) == Some(key))),
    );
    case(
        "overrun",
        after.account.exceptions.overrun > before.account.exceptions.overrun,
    );
    case("on credit", grew && after.account.available().is_negative());
    if let Some((Command::Adjust { from: Some(from), .. }, Outcome::Applied(_))) = last
        && let (Some(was), Some(grant)) = (before.grants.get(from.as_str()), after.grants.get(from.as_str()))
    {
        let first = |g: &&Grant| g.state == GrantState::Active && g.burns_before(grant).is_lt();
        let out_of_turn = after.grants.values().any(|g| first(&g));
        case(
            "taken from a grant out of turn",
            grant.drawn > was.drawn && out_of_turn,
        );
    }
    match last.map(|(_, outcome)| outcome) {
        Some(Outcome::Replayed(_)) => case("a replay", true),
        Some(Outcome::Refused(refusal)) => match refusal {
            Refusal::OutOfRange(_) => case("out of range", true),
            Refusal::RateLimited { .. } => case("rate limited", true),
            Refusal::TooManyConcurrent { .. } => case("too many open", true),
            Refusal::SpendLimitReached { .. } => case("spend limit", true),
            Refusal::IdConflict => case("a conflict", true),
            Refusal::InProgress { .. } => case("in progress", true),
            Refusal::AlreadyCharged { .. } => case("already charged", true),
            Refusal::ClaimConflict { .. } => case("another under the same key", true),
            Refusal::Outdated => case("outdated", true),
            _ => {}
        },
        _ => {}
    }
    met
}

type Lawful = Result<(), TestCaseError>;

/// A history under observation.
struct Trial {
    world: World,
    /// The journal up to now, folded.
    folded: Balance,
    seen: usize,
    /// The same history, but somebody asks what is due before each command.
    watched: State,
}

/// What was there before a command.
struct Before {
    book: Book,
    /// The same, with only what is due at the command's time.
    due: Book,
}

impl Trial {
    fn new() -> Result<Trial, TestCaseError> {
        let world = World::new("acme", START);
        let mut watched = State::default();
        for (command, _) in &world.history {
            watched.commit(&watched.step(command, world.now));
        }
        let mut trial = Trial {
            world,
            folded: Balance::default(),
            seen: 0,
            watched,
        };
        trial.journal_explains()?;
        Ok(trial)
    }

    fn run(&mut self, moves: &[Move]) -> Lawful {
        for next in moves {
            let again = match next {
                Move::Again(which) => Some(which.get(&self.world.history).1.clone()),
                _ => None,
            };
            if let Some(command) = self.world.command(next) {
                self.step(&command, again)?;
            } else {
                self.ask_watched();
            }
        }
        Ok(())
    }

    fn step(&mut self, command: &Command, first: Option<Outcome>) -> Lawful {
        let before = Before {
            book: self.world.book().clone(),
            due: applied_due(&self.world.state, self.world.book(), self.world.now),
        };
        let without = self.without_its_grant(command);
        let step = self.world.execute(command);
        self.invariants(command)?;
        if let Some(without) = without {
            self.only_the_dealing_differs(&without, command, &step)?;
        }
        self.journal_explains()?;
        self.only_due_unless_applied(&before, command, &step)?;
        self.nobody_overdraws(&before, command, &step)?;
        self.caps_hold(command, &step)?;
        self.time_takes_only_what_is_there(&before, command)?;
        self.holds_end_once(&before.book)?;
        self.repeat_changes_nothing(command, &step)?;
        if let Some(first) = first {
            self.late_repeat(&before, command, &first, &step.outcome)?;
        }
        self.watching_changes_nothing(command)?;
        Ok(())
    }

    /// I1 to I4 and I6.
    fn invariants(&self, command: &Command) -> Lawful {
        let found = invariants::check(self.world.book(), micros(LINE_MAX));
        prop_assert!(found.is_empty(), "{found:#?}\nafter {:?}", command);
        Ok(())
    }

    /// What an adjustment from a grant would come to if it named none: the answer, and the book then.
    fn without_its_grant(&self, command: &Command) -> Option<(Outcome, Book)> {
        let mut unnamed = command.clone();
        match &mut unnamed {
            Command::Adjust { from, amount, .. } if from.is_some() && *amount < Credits::ZERO => *from = None,
            _ => return None,
        }
        let step = self.world.state.step(&unnamed, self.world.now);
        let mut state = self.world.state.clone();
        state.commit(&step);
        Some((step.outcome, state.remove_book(&self.world.account)?))
    }

    /// The same answer, the same totals, all laws on both: only which grants it is dealt to differs.
    fn only_the_dealing_differs(&self, without: &(Outcome, Book), command: &Command, step: &Step) -> Lawful {
        let (outcome, other) = without;
        prop_assert_eq!(outcome, &step.outcome, "{:?}", command);
        let found = invariants::check(other, micros(LINE_MAX));
        prop_assert!(found.is_empty(), "{found:#?}\nwithout the grant of {command:?}");
        let book = self.world.book();
        let totals = |book: &Book| {
            let account = &book.account;
            (account.balance(), account.taken, account.exceptions)
        };
        prop_assert_eq!(totals(book), totals(other), "{:?}", command);
        // What a late capture gave back, dealt without being spent, waits for the next spending in the one and is taken in the other.
        let ahead = |book: &Book| book.account.dealt > book.account.spent.saturating_add(book.account.taken);
        if !ahead(book) {
            prop_assert_eq!(book.account.dealt, other.account.dealt, "{:?}", command);
        }
        Ok(())
    }

    /// I5: the journal, folded, is the live balance after every entry.
    fn journal_explains(&mut self) -> Lawful {
        for entry in &self.world.entries[self.seen..] {
            self.folded = self.folded.after(entry);
            self.seen += 1;
            prop_assert_eq!(entry.seq, self.seen as u64, "{:?}", entry);
            prop_assert_eq!(entry.number, self.seen as u64, "{:?}", entry);
            prop_assert_eq!(entry.previous, self.seen as u64 - 1, "{:?}", entry);
            prop_assert_eq!(self.folded.available(), entry.available, "{:?}", entry);
        }
        let account = &self.world.book().account;
        prop_assert_eq!(
            self.folded,
            account.balance(),
            "after {:?}",
            self.world.entries.last()
        );
        prop_assert_eq!(account.entries, self.seen as u64);
        Ok(())
    }

    /// A refusal or a repeat changes nothing but what was due.
    fn only_due_unless_applied(&self, before: &Before, command: &Command, step: &Step) -> Lawful {
        if !matches!(step.outcome, Outcome::Applied(_)) {
            let book = self.world.book();
            prop_assert!(
                *book == before.book || *book == before.due,
                "{:?} to {command:?} changed {:?}",
                step.outcome,
                step.changes
            );
        }
        Ok(())
    }

    /// Promise 1: what is opened or extended is there, and as much of it as there is.
    fn nobody_overdraws(&self, before: &Before, command: &Command, step: &Step) -> Lawful {
        let Outcome::Applied(receipt) = &step.outcome else {
            return Ok(());
        };
        let (caller, least, most, had) = match command {
            Command::Admit(admit) if !admit.most.is_zero() => {
                (&admit.caller, admit.least, admit.most, Credits::ZERO)
            }
            Command::Extend(extend) => {
                let had = before.book.holds[&extend.hold].amount;
                (&extend.caller, extend.least, extend.most, had)
            }
            _ => return Ok(()),
        };
        let due = before.due.account.available();
        let available = due.saturating_add(caller.credit_line);
        let least = least.max(micros(1));
        let added = receipt.amount.saturating_sub(had);
        prop_assert!(added >= least && added <= available, "{added} of {available}");
        prop_assert!(added <= most.max(least));
        prop_assert_eq!(due.saturating_sub(added), receipt.available);
        prop_assert!(receipt.available >= caller.credit_line.negated());
        let uncapped = |limits: &Limits| limits.spend_per_day.is_none() && limits.spend_per_month.is_none();
        if uncapped(&caller.limits) && uncapped(&caller.key_limits) {
            let range = Credits::MAX.saturating_sub(before.due.account.gauge.held);
            prop_assert_eq!(
                added,
                most.max(least).min(available).min(range),
                "as much as there is"
            );
        }
        Ok(())
    }

    /// What is charged in a day or month and what is held never pass a cap by an admit, and no more holds are open than the cap says: counted anew from
    /// the journal and the holds.
    fn caps_hold(&self, command: &Command, step: &Step) -> Lawful {
        let Command::Admit(admit) = command else {
            return Ok(());
        };
        if !matches!(step.outcome, Outcome::Applied(_)) || admit.most.is_zero() {
            return Ok(());
        }
        let (now, book) = (self.world.now, self.world.book());
        for (limits, key) in [
            (&admit.caller.limits, None),
            (&admit.caller.key_limits, Some(&admit.caller.key)),
        ] {
            let counts = |hold: &&Hold| key.is_none_or(|key| hold.key == *key);
            let open = || {
                book.holds
                    .values()
                    .filter(counts)
                    .filter(|h| h.state == HoldState::Open)
            };
            let held: Credits = open().map(|h| h.amount).sum();
            let charged = |within: &dyn Fn(&Entry) -> bool| {
                let charges = self.world.entries.iter().filter(|e| within(e)).filter(|e| {
                    let hold = e.subject.parse().ok().and_then(|id: HoldId| book.holds.get(&id));
                    matches!(e.kind, EntryKind::Capture | EntryKind::Release)
                        && hold.as_ref().is_some_and(counts)
                });
                charges.map(|e| e.amount).sum::<Credits>()
            };
            let day = charged(&|e| e.time.day() == now.day());
            let month = charged(&|e| e.time.month() == now.month());
            for (cap, spent) in [(limits.spend_per_day, day), (limits.spend_per_month, month)] {
                let total = spent.saturating_add(held);
                prop_assert!(
                    cap.is_none_or(|cap| total <= cap),
                    "{spent} and {held} of {:?}",
                    cap
                );
            }
            let count = open().count() as u64;
            prop_assert!(limits.concurrent.is_none_or(|most| count <= most), "{count} open");
        }
        Ok(())
    }

    /// An expiry takes no more than is available; the end of a hold, charged no more than it held, never lowers it.
    fn time_takes_only_what_is_there(&self, before: &Before, command: &Command) -> Lawful {
        let was = before.book.account.available();
        let due = before.due.account.available();
        prop_assert!(due >= was.min(Credits::ZERO), "{was} became {due} by time alone");
        let within_hold = |hold: &Hold, used| hold.state == HoldState::Open && used <= hold.amount;
        let holds = &before.book.holds;
        let lowers_nothing = self
            .world
            .history
            .last()
            .is_some_and(|(_, o)| matches!(o, Outcome::Applied(_)));
        let lowers_nothing = lowers_nothing
            && match command {
                Command::Capture(capture) => holds
                    .get(&capture.hold)
                    .is_some_and(|h| within_hold(h, capture.used)),
                Command::Release(_) | Command::ExpireHold { .. } | Command::ApplyDue { .. } => true,
                _ => false,
            };
        let is = self.world.book().account.available();
        prop_assert!(!lowers_nothing || is >= due, "{due} became {is} by {:?}", command);
        Ok(())
    }

    /// Promise 3 and I4: open, then captured, released or expired; after an expiry once more, captured or released.
    fn holds_end_once(&self, before: &Book) -> Lawful {
        for (id, hold) in &self.world.book().holds {
            let Some(was) = before.holds.get(id) else {
                prop_assert_eq!(hold.state, HoldState::Open);
                continue;
            };
            use HoldState::{Captured, Expired, Open, Released};
            let follows = match (was.state, hold.state) {
                (Open, Open) => hold.amount >= was.amount,
                (Open, _) => hold.amount == was.amount,
                (Expired, Captured | Released) => hold.amount == was.amount,
                _ => hold == was,
            };
            prop_assert!(follows, "{was:?} became {hold:?}");
            prop_assert!(hold.charged.is_zero() || hold.state != Released, "{hold:?}");
        }
        prop_assert!(
            before
                .holds
                .keys()
                .all(|id| self.world.book().holds.contains_key(id))
        );
        Ok(())
    }

    /// Promise 2: the same command at once again gets the same answer.
    fn repeat_changes_nothing(&self, command: &Command, step: &Step) -> Lawful {
        let state = &self.world.state;
        let again = state.step(command, self.world.now);
        let free = matches!(command, Command::Admit(admit) if admit.most.is_zero());
        if !free {
            let mut after = state.clone();
            after.commit(&again);
            prop_assert_eq!(
                after.book(&self.world.account),
                state.book(&self.world.account),
                "{:?} again",
                command
            );
        }
        let expected = match (command, &step.outcome) {
            (Command::ExpireHold { .. }, Outcome::Applied(_)) => Outcome::Refused(Refusal::HoldEnded),
            (Command::ApplyDue { .. } | Command::Renew(_), answer) => answer.clone(),
            (_, Outcome::Applied(receipt)) if !free => Outcome::Replayed(*receipt),
            (_, answer) if !free => answer.clone(),
            _ => return Ok(()),
        };
        prop_assert_eq!(again.outcome, expected, "{:?} again", command);
        Ok(())
    }

    /// An earlier command, whatever happened since.
    fn late_repeat(&self, before: &Before, command: &Command, first: &Outcome, now: &Outcome) -> Lawful {
        let Ok(first) = first.clone().receipt() else {
            return Ok(());
        };
        let Outcome::Replayed(again) = now else {
            let refused = match command {
                Command::Admit(admit) => admit.most.is_zero(),
                Command::ExpireHold { .. } => *now == Outcome::Refused(Refusal::HoldEnded),
                Command::Extend(_) => matches!(now, Outcome::Refused(_)),
                Command::Renew(_) | Command::SetAccount { .. } | Command::ApplyDue { .. } => true,
                _ => false,
            };
            prop_assert!(refused, "{now:?} instead of {first:?} to {:?}", command);
            return Ok(());
        };
        if matches!(command, Command::Admit(_) | Command::Adjust { .. }) {
            prop_assert_eq!((again.time, again.available), (first.time, first.available));
        }
        if !matches!(command, Command::Extend(_)) {
            prop_assert_eq!(again.amount, first.amount, "{:?}", command);
        }
        let book = self.world.book();
        prop_assert!(
            *book == before.book || *book == before.due,
            "{command:?} again changed something"
        );
        Ok(())
    }

    fn ask_watched(&mut self) {
        let account = self.world.account.clone();
        let due = self.watched.step(&Command::ApplyDue { account }, self.world.now);
        self.watched.commit(&due);
    }

    /// Dealing out and expiring late gives what doing it at once gives: nobody's asking changes where the credits are.
    fn watching_changes_nothing(&mut self, command: &Command) -> Lawful {
        self.ask_watched();
        let step = self.watched.step(command, self.world.now);
        self.watched.commit(&step);
        let now = self.world.now;
        let (account, grants) = self.world.book().statement(now);
        let book = self.watched.book(&self.world.account).unwrap();
        let (watched, watched_grants) = book.statement(now);
        prop_assert_eq!(watched.balance(), account.balance(), "after {:?}", command);
        prop_assert_eq!(watched.exceptions, account.exceptions);
        prop_assert_eq!(watched_grants.len(), grants.len());
        for (a, b) in watched_grants.into_iter().zip(grants) {
            // Numbers of entries differ where one journal has an expiry before a line of another kind.
            let a = Grant { ended: b.ended, ..a };
            prop_assert_eq!(a, b, "after {:?}", command);
        }
        Ok(())
    }
}

fn applied_due(state: &State, book: &Book, now: faregate::domain::time::Timestamp) -> Book {
    let account = book.account.id.clone();
    let step = state.step(
        &Command::ApplyDue {
            account: account.clone(),
        },
        now,
    );
    let mut due = state.clone();
    due.commit(&step);
    due.book(&account).unwrap().clone()
}
