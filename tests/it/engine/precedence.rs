//! Where several refusals apply, the first in the order of [`Refusal`] is the answer.

use std::sync::Arc;

use faregate::domain::claim::{Claim, ClaimKey};
use faregate::domain::command::{Admit, Command, Extend, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::entry::Detail;
use faregate::domain::ids::{AccountId, HoldId};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::{Refusal, Scope, Window};
use faregate::domain::time::{Span, Timestamp};

use crate::ledger::moves::{START, World, hold_id, key_id, micros};

/// What is wrong with an admit, in order of precedence. Those after `claimed` are caps of zero.
const FAULTS: [&str; 15] = [
    "unknown account",
    "conflict",
    "too old",
    "stale",
    "key expired",
    "claimed",
    "account's rate",
    "account's concurrency",
    "key's rate",
    "key's concurrency",
    "account's day",
    "account's month",
    "key's day",
    "key's month",
    "balance",
];

#[test]
fn of_all_that_is_wrong_with_an_admit_the_first_is_the_answer() {
    for (first, expected) in FAULTS.iter().enumerate() {
        for (last, also) in FAULTS.iter().enumerate().skip(first) {
            let (mut world, open) = world();
            let wrong = |fault: &str| {
                let at = FAULTS.iter().position(|f| *f == fault).unwrap();
                at == first || at == last || (first < at && last == FAULTS.len() - 1)
            };
            let command = Command::Admit(admit(&world, open, &wrong));
            let step = world.execute(&command);
            assert_eq!(name(&step.outcome), *expected, "with {also}");
            assert_eq!(step.changes, [], "{expected}");
        }
    }
}

#[test]
fn of_all_that_is_wrong_with_an_extension_the_first_is_the_answer() {
    let order = [
        "unknown account",
        "unknown hold",
        "ended",
        "conflict",
        "stale",
        "key expired",
        "account's day",
        "balance",
    ];
    for first in 0..order.len() {
        let (mut world, open) = world();
        let wrong = |fault: &str| order[first..].contains(&fault);
        let hold = if wrong("unknown hold") {
            fresh(&world, 9)
        } else {
            open
        };
        if wrong("ended") {
            world.capture(open, micros(1));
        }
        let step = world.execute(&Command::Extend(Extend {
            hold,
            caller: caller(&world, &wrong),
            number: if wrong("conflict") { 7 } else { 1 },
            least: if wrong("balance") {
                micros(1_000)
            } else {
                micros(1)
            },
            most: micros(1_000),
            ttl: Span::from_secs(60),
        }));
        assert_eq!(name(&step.outcome), order[first]);
        assert_eq!(step.changes, [], "{}", order[first]);
    }
}

/// An account with 100 and a hold that was opened long ago.
fn world() -> (World, HoldId) {
    let mut world = World::new("acme", START);
    let account = world.account.clone();
    let id = "gift".parse().unwrap();
    let (amount, detail) = (micros(100), Detail::none());
    world.execute(&Command::Adjust {
        from: None,
        id,
        account,
        amount,
        detail,
    });
    let open = fresh(&world, 6);
    let step = world.execute(&Command::Admit(Admit {
        hold: open,
        least: micros(1),
        most: micros(1),
        claim: Some(CLAIM),
        ..admit(&world, open, &|_| false)
    }));
    assert!(matches!(step.outcome, Outcome::Applied(_)));
    world.now = world.now.plus(Span::from_secs(3_600));
    (world, open)
}

/// What the open hold has claimed.
const CLAIM: Claim = Claim {
    key: ClaimKey([1; 16]),
    content: 1,
};

fn fresh(world: &World, n: u64) -> HoldId {
    hold_id(&world.account, n, world.now)
}

fn caller(world: &World, wrong: &impl Fn(&str) -> bool) -> Arc<Caller> {
    let zero = |fault: &str| wrong(fault).then_some(0);
    let nothing = |fault: &str| wrong(fault).then_some(Credits::ZERO);
    let caps = |whose: &str| Limits {
        requests_per_minute: zero(&format!("{whose}'s rate")),
        tokens_per_minute: None,
        concurrent: zero(&format!("{whose}'s concurrency")),
        spend_per_day: nothing(&format!("{whose}'s day")),
        spend_per_month: nothing(&format!("{whose}'s month")),
    };
    let mut caller = (*world.caller(&key_id(1), 0, wrong("stale")).unwrap()).clone();
    if wrong("unknown account") {
        caller.account = AccountId::new("nobody").unwrap();
    }
    if wrong("key expired") {
        caller.key_expires_at = world.now;
    }
    (caller.limits, caller.key_limits) = (caps("account"), caps("key"));
    Arc::new(caller)
}

fn admit(world: &World, open: HoldId, wrong: &impl Fn(&str) -> bool) -> Admit {
    let old = hold_id(&world.account, 7, START);
    Admit {
        hold: match (wrong("conflict"), wrong("too old")) {
            (true, _) => open,
            (false, true) => old,
            (false, false) => fresh(world, 8),
        },
        caller: caller(world, wrong),
        least: if wrong("balance") {
            micros(1_000)
        } else {
            micros(2)
        },
        most: micros(1_000),
        tokens: 0,
        ttl: Span::from_secs(60),
        claim: wrong("claimed").then_some(CLAIM),
        detail: Detail::none(),
    }
}

fn name(outcome: &Outcome) -> &'static str {
    let Outcome::Refused(refusal) = outcome else {
        return "applied";
    };
    match refusal {
        Refusal::UnknownAccount => "unknown account",
        Refusal::UnknownHold => "unknown hold",
        Refusal::HoldEnded => "ended",
        Refusal::IdConflict => "conflict",
        Refusal::TooOld => "too old",
        Refusal::Stale => "stale",
        Refusal::KeyExpired => "key expired",
        Refusal::InProgress { .. } => "claimed",
        Refusal::AlreadyCharged { .. } | Refusal::ClaimConflict { .. } => "claimed otherwise",
        Refusal::RateLimited {
            scope: Scope::Account,
            ..
        } => "account's rate",
        Refusal::RateLimited {
            scope: Scope::Key, ..
        } => "key's rate",
        Refusal::TooManyConcurrent {
            scope: Scope::Account,
            ..
        } => "account's concurrency",
        Refusal::TooManyConcurrent {
            scope: Scope::Key, ..
        } => "key's concurrency",
        Refusal::SpendLimitReached {
            scope,
            window,
            resets_at,
            ..
        } => match (scope, window) {
            (Scope::Account, Window::Day) => "account's day",
            (Scope::Account, Window::Month) => "account's month",
            (Scope::Key, Window::Day) => "key's day",
            // The history begins at 23:50 on the last of January; an hour later it is the first of February.
            (Scope::Key, Window::Month) if *resets_at == Timestamp::from_micros(1_803_859_200_000_000) => {
                "key's month"
            }
            _ => "a month with a wrong end",
        },
        Refusal::InsufficientCredits { .. } => "balance",
        Refusal::Outdated | Refusal::UnknownKey | Refusal::OutOfRange(_) => "other",
    }
}
