//! G3: a store against the engine, on random histories: every answer, and every few steps everything that can be seen.
//!
//! By default it takes seconds; `FAREGATE_MODEL_CASES` and `FAREGATE_MODEL_MOVES` make it longer. What fails prints its seed, and is repeated with
//! `FAREGATE_MODEL_SEED`.

use std::cell::Cell;
use std::collections::BTreeSet;

use faregate::domain::account::Account;
use faregate::domain::command::{Command, Outcome};
use faregate::domain::entry::{Entry, EntryKind};
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::HoldId;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::{Ledger, LedgerError};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use super::fixture::{Buggy, Embedded, Fixture, Fresh, Memory, OneRedis, TestClock, ThreeMasters};
use super::moves::{Move, START, World, any_history, digest, micros};
use super::teller::Teller;
use crate::rig::within_time;

/// What a bug makes of a command.
type Bug = fn(&mut Command);

type Same = Result<(), TestCaseError>;

/// Moves between two looks at everything.
const LOOK_EVERY: usize = 12;

fn from_env<T: std::str::FromStr>(name: &str, usual: T) -> T {
    let value = std::env::var(name).ok();
    let parse = |text: String| {
        let number = text.parse().ok();
        number.unwrap_or_else(|| panic!("{name} is a whole number, not {text:?}"))
    };
    value.map_or(usual, parse)
}

/// Another one each time.
fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// Chance, from a seed that can be said again.
fn chance(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// Runs so many random histories on a store and on the engine.
fn agree(fixture: &dyn Fixture, cases: u32) -> Result<(), String> {
    let cases = from_env("FAREGATE_MODEL_CASES", cases);
    let moves = from_env("FAREGATE_MODEL_MOVES", 90);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    // All histories share the store, each with an account and a day of its own: making a store takes longer than using it.
    let fresh = runtime.block_on(fixture.fresh());
    let run = Cell::new(0);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let seed = from_env("FAREGATE_MODEL_SEED", random());
    let mut runner = TestRunner::new_with_rng(config, chance(seed));
    let result = runner.run(&any_history(moves), |moves| {
        run.set(run.get() + 1);
        runtime.block_on(play(&fresh, run.get(), &moves))
    });
    let books = runtime.block_on(async {
        // The books prove themselves, and the journal alone gives the same.
        let mut found = fresh.ledger.verify().await?.differences;
        found.extend(fresh.ledger.rebuild().await?.differences);
        drop(fresh);
        Ok(found)
    });
    let differences: Vec<String> = books.map_err(|e: LedgerError| e.to_string())?;
    if result.is_ok() && !differences.is_empty() {
        return Err(format!(
            "{}: {differences:#?}\nwith FAREGATE_MODEL_SEED={seed}",
            fixture.name()
        ));
    }
    result.map_err(|error| match error {
        TestError::Fail(why, moves) => format!(
            "{}: {why}\nafter {moves:#?}\nagain with FAREGATE_MODEL_SEED={seed}",
            fixture.name()
        ),
        abort @ TestError::Abort(_) => abort.to_string(),
    })
}

async fn play(fresh: &Fresh, run: i64, moves: &[Move]) -> Same {
    let began = fresh.clock.now().max(START.plus(Span::from_secs(run * 86_400)));
    fresh.clock.set(began);
    let mut pair = Pair {
        ledger: &*fresh.ledger,
        clock: &*fresh.clock,
        world: World::new(&format!("history-{run}"), began),
    };
    let length = std::time::Duration::from_secs(60);
    within_time(length, "a history", pair.play(moves)).await
}

/// The store and the engine, side by side.
struct Pair<'a> {
    ledger: &'a dyn Ledger,
    clock: &'a dyn TestClock,
    world: World,
}

impl Pair<'_> {
    async fn play(&mut self, moves: &[Move]) -> Same {
        for (command, expected) in self.world.history.clone() {
            self.compare(&command, expected).await?;
        }
        for (at, next) in moves.iter().enumerate() {
            self.forget().await;
            if let Some(command) = self.world.command(next) {
                let step = self.world.execute(&command);
                self.compare(&command, step.outcome).await?;
            } else {
                self.clock.set(self.world.now);
                // Nobody goes for hours without a sweep.
                let long = matches!(next, Move::Wait(span) if *span >= Span::from_secs(3_600));
                if long || at % 3 == 0 {
                    self.sweep().await?;
                }
            }
            if at % LOOK_EVERY == LOOK_EVERY - 1 {
                self.look().await?;
            }
        }
        self.look().await?;
        self.journals().await
    }

    async fn compare(&self, command: &Command, expected: Outcome) -> Same {
        let answer = self.ledger.execute(command).await;
        prop_assert_eq!(answer, Ok(expected), "{:?}", command);
        Ok(())
    }

    /// When a store forgets what it may forget is its own affair: the engine forgets it too.
    async fn forget(&mut self) {
        let now = self.world.now;
        let old = self
            .world
            .book()
            .holds
            .values()
            .filter(|hold| may_be_forgotten(hold, now));
        let account = self.world.account.clone();
        for id in old.map(|hold| hold.id).collect::<Vec<_>>() {
            if self.ledger.hold(&account, id).await.unwrap().is_none() {
                self.world.state.forget_hold(&account, id);
            }
        }
    }

    /// Sweeps the store dry; the engine ends the same holds, in the order in which the store came upon them.
    async fn sweep(&mut self) -> Same {
        let on_expiry = [OnExpiry::Release, OnExpiry::Capture][self.world.history.len() % 2];
        let all = self.world.state.expired_holds(self.world.now, usize::MAX);
        let expected: BTreeSet<_> = all.into_iter().map(|(_, hold)| hold).collect();
        while self.ledger.sweep(on_expiry).await.unwrap() > 0 {}
        let before = self.world.entries.len() as u64;
        let mut ended = BTreeSet::new();
        for entry in self.entries().await {
            let is_end = matches!(entry.kind, EntryKind::Capture | EntryKind::Release);
            let Some(hold) = entry.subject.parse::<HoldId>().ok().filter(|_| is_end) else {
                continue;
            };
            if entry.number > before {
                ended.insert(hold);
                let account = self.world.account.clone();
                self.world.execute(&Command::ExpireHold {
                    account,
                    hold,
                    on_expiry,
                });
            }
        }
        prop_assert_eq!(ended, expected);
        self.forget().await;
        self.look().await
    }

    fn teller(&self) -> Teller<'_> {
        Teller::of(self.ledger, self.clock, self.world.account.as_str())
    }

    async fn entries(&self) -> Vec<Entry> {
        self.teller().entries().await
    }

    /// Everything that can be seen, but for the journal.
    async fn look(&self) -> Same {
        let (book, account) = (self.world.book(), &self.world.account);
        let statement = self.teller().statement().await;
        let (expected, grants) = book.statement(self.world.now);
        prop_assert_eq!(unnumbered(statement.account), unnumbered(expected));
        prop_assert_eq!(statement.grants, grants);
        prop_assert_eq!(statement.time, self.world.now.max(self.world.state.time));
        let keys = self.ledger.keys(account).await.unwrap();
        prop_assert_eq!(keys, book.keys.values().cloned().collect::<Vec<_>>());
        for n in 0..3 {
            let digest = digest(account, n);
            let identity = self.ledger.identify(&digest).await.unwrap();
            prop_assert_eq!(identity, self.world.state.identify(&digest));
        }
        for (id, hold) in &book.holds {
            let found = self.ledger.hold(account, *id).await.unwrap();
            prop_assert_eq!(found.map(unclaimed), Some(unclaimed(hold.clone())));
        }
        Ok(())
    }

    async fn journals(&self) -> Same {
        let found: Vec<_> = self.entries().await.into_iter().map(placeless).collect();
        let expected: Vec<_> = self.world.entries.iter().cloned().map(placeless).collect();
        prop_assert_eq!(&found, &expected);
        for id in self.world.book().holds.keys() {
            let text = id.to_string();
            let told = self
                .ledger
                .entries_of_hold(&self.world.account, *id)
                .await
                .unwrap();
            let told: Vec<_> = told.into_iter().map(placeless).collect();
            let expected: Vec<_> = expected.iter().filter(|e| *e.subject == *text).cloned().collect();
            prop_assert_eq!(told, expected);
        }
        Ok(())
    }
}

fn may_be_forgotten(hold: &faregate::domain::hold::Hold, now: Timestamp) -> bool {
    let open = hold.state == faregate::domain::hold::HoldState::Open;
    !open && now.since(hold.expires_at) > faregate::domain::command::HOLDS_REMEMBERED
}

/// Without its place in the store's journal, which it shares with others.
fn unnumbered(account: Account) -> Account {
    Account {
        last_entry: 0,
        ..account
    }
}

/// Whether a store keeps a claim with the hold is its own affair: what it says to those who claim the same is not.
fn unclaimed(hold: Hold) -> Hold {
    Hold { claim: None, ..hold }
}

fn placeless(entry: Entry) -> Entry {
    Entry {
        seq: 0,
        previous: 0,
        ..entry
    }
}

#[test]
fn g3_the_model_agrees_with_the_engine() {
    agree(&Memory, 60).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn g3_the_embedded_ledger_agrees_with_the_engine() {
    agree(&Embedded, 40).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn g3_the_ledger_on_redis_agrees_with_the_engine() {
    agree(&OneRedis::default(), 120).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn g3_the_ledger_on_a_cluster_agrees_with_the_engine() {
    agree(&ThreeMasters::default(), 40).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn g3_planted_bugs_are_found() {
    let bugs: [(&str, Bug); 6] = [
        ("a charge is one micro-credit too low", |command| {
            if let Command::Capture(capture) = command {
                capture.used = capture.used.saturating_sub(micros(1)).at_least_zero();
            }
        }),
        ("a hold's end is not told", |command| {
            if let Command::Renew(renew) = command {
                renew.ttl = Span::ZERO;
            }
        }),
        ("a hold that ran out is charged whatever was said", |command| {
            if let Command::ExpireHold { on_expiry, .. } = command {
                *on_expiry = OnExpiry::Capture;
            }
        }),
        ("paid and promotional are mixed up", |command| {
            if let Command::PutGrant { facts, .. } = command {
                facts.category = faregate::domain::grant::Category::Paid;
            }
        }),
        ("tokens are not counted", |command| {
            if let Command::Admit(admit) = command {
                admit.tokens = 0;
            }
        }),
        ("an outdated caller is let in", |command| {
            if let Command::Admit(admit) = command {
                let mut caller = (*admit.caller).clone();
                caller.version += u64::from(caller.version == 3);
                admit.caller = caller.into();
            }
        }),
    ];
    for (what, bug) in bugs {
        assert!(agree(&Buggy(bug), 200).is_err(), "not found: {what}");
    }
}
