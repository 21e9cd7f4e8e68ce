//! The same id again.

use std::task::{Context, Poll, Waker};

use faregate::domain::command::{Admit, Command, HOLD_ID_SKEW, HOLDS_REMEMBERED, Outcome};
use faregate::domain::hold::{HoldState, OnExpiry};
use faregate::domain::ids::{HoldId, NAME_MAX};
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::{hold_id, micros};
use crate::ledger::teller::{Teller, applied, refused, replayed};

/// One command of each kind that bears an id, each of which can be done now, in this order.
async fn commands(teller: &Teller<'_>) -> Vec<Command> {
    let (charged, dropped) = (
        teller.admit_command(micros(10)).await,
        teller.admit_command(micros(5)).await,
    );
    let extend = Command::Extend(faregate::domain::command::Extend {
        hold: charged.hold,
        caller: charged.caller.clone(),
        number: 1,
        least: micros(2),
        most: micros(3),
        ttl: Span::from_secs(60),
    });
    vec![
        teller.put_command(teller.facts("g", micros(100))),
        teller.adjust_command("gift", micros(20)),
        teller.adjust_command("fee", micros(-3)),
        Command::Admit(charged.clone()),
        Command::Admit(dropped.clone()),
        extend,
        teller.capture_command(charged.hold, micros(7), teller.anyone()),
        teller.release_command(dropped.hold),
        teller.key_command(1, Limits::NONE, Timestamp::NEVER),
    ]
}

pub(crate) async fn p2_the_same_id_again_gets_the_first_answer(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    for command in commands(&teller).await {
        let first = applied(&teller.execute(&command).await);
        clock.advance(Span::from_secs(1));
        let again = replayed(&teller.execute(&command).await);
        assert_eq!(
            (again.amount, again.available),
            (first.amount, first.available),
            "{command:?}"
        );
        if matches!(command, Command::Admit(_) | Command::Adjust { .. }) {
            assert_eq!(again, first, "{command:?}");
        }
    }
    teller.prove().await;
}

pub(crate) async fn p2_the_same_id_with_other_content_is_refused(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let commands = commands(&teller).await;
    for command in &commands {
        applied(&teller.execute(command).await);
    }
    let Command::Admit(admit) = &commands[3] else {
        panic!("the fourth is an admit")
    };
    let limits = Limits {
        concurrent: Some(1),
        ..Limits::NONE
    };
    let more = Admit {
        most: micros(11),
        ..admit.clone()
    };
    let less = Admit {
        least: micros(9),
        ..admit.clone()
    };
    let by_another = Admit {
        caller: teller.caller(1).await,
        ..admit.clone()
    };
    let before = teller.picture().await;
    for other in [
        teller.put_command(teller.facts("g", micros(101))),
        teller.adjust_command("gift", micros(21)),
        Command::Admit(more),
        Command::Admit(less),
        Command::Admit(by_another),
        teller.capture_command(admit.hold, micros(8), teller.anyone()),
        teller.key_command(1, limits, Timestamp::NEVER),
    ] {
        assert_eq!(
            refused(teller.execute(&other).await),
            Refusal::IdConflict,
            "{other:?}"
        );
    }
    assert_eq!(teller.picture().await, before);
}

pub(crate) async fn an_adjustment_needs_a_name_for_its_gift(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    // A gift is a grant called `adjust:` and the id, and a name has 128 characters.
    let longest = "x".repeat(NAME_MAX - "adjust:".len());
    applied(&teller.adjust(&longest, micros(3)).await);
    let longer = longest + "x";
    assert!(matches!(
        refused(teller.adjust(&longer, micros(3)).await),
        Refusal::OutOfRange(_)
    ));
    // A grant of that name that is there already is another one.
    teller.grant("adjust:taken", micros(5)).await;
    assert_eq!(
        refused(teller.adjust("taken", micros(5)).await),
        Refusal::IdConflict
    );
    applied(&teller.adjust("taken", micros(-5)).await);
    assert_eq!(teller.available().await, micros(3));
    teller.prove().await;
}

pub(crate) async fn p2_a_repeat_changes_nothing_whatever_happened_since(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let commands = commands(&teller).await;
    for command in &commands {
        applied(&teller.execute(command).await);
    }
    applied(&teller.revoke(1).await);
    clock.advance(Span::from_secs(300));
    let before = teller.picture().await;
    for command in &commands {
        let outcome = teller.execute(command).await;
        if matches!(command, Command::Extend(_)) {
            assert_eq!(refused(outcome), Refusal::HoldEnded);
        } else {
            replayed(&outcome);
        }
    }
    let after = teller.picture().await;
    assert_eq!(after, before);
    teller.prove().await;
}

pub(crate) async fn a3_a_hold_whose_answer_was_lost_is_found_by_its_id(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let admit = teller.admit_command(micros(10)).await;
    let unheard = applied(&teller.execute(&Command::Admit(admit.clone())).await);
    // The account has changed meanwhile: the answer stays the first one.
    applied(&teller.put_key(1, Limits::NONE, Timestamp::NEVER).await);
    assert_eq!(
        replayed(&teller.execute(&Command::Admit(admit.clone())).await),
        unheard
    );
    // Nobody asks again: the credits come back by time.
    clock.advance(Span::from_secs(60));
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(1));
    assert_eq!(teller.available().await, micros(10));
    let ended = replayed(&teller.execute(&Command::Admit(admit)).await);
    assert_eq!(ended.amount, micros(10));
    assert!(ended.expires_at <= clock.now(), "it says that the hold is over");
    teller.prove().await;
}

pub(crate) async fn a4_a_capture_whose_answer_was_lost_is_charged_once(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let hold = teller.hold(micros(10)).await;
    let unheard = applied(&teller.capture(hold, micros(6)).await);
    for seconds in [1, 100, 1_600] {
        clock.advance(Span::from_secs(seconds));
        assert_eq!(
            replayed(&teller.capture(hold, micros(6)).await).amount,
            unheard.amount
        );
    }
    assert_eq!(
        (teller.balance().await.spent, teller.available().await),
        (micros(6), micros(4))
    );
    teller.prove().await;
}

/// A caller that goes away leaves a command that may have been applied; the same again decides it, once.
pub(crate) async fn b3_a_dropped_call_is_decided_once(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(1_000)).await;
    for polls in 0..6 {
        let admit = Command::Admit(teller.admit_command(micros(10)).await);
        abandon(ledger, &admit, polls).await;
        let receipt = teller.execute(&admit).await.receipt().unwrap();
        assert_eq!(receipt.amount, micros(10));
        let Command::Admit(Admit { hold, .. }) = admit else {
            unreachable!()
        };
        let capture = teller.capture_command(hold, micros(7), teller.anyone());
        abandon(ledger, &capture, polls).await;
        assert_eq!(
            teller.execute(&capture).await.receipt().unwrap().amount,
            micros(7)
        );
        let adjust = teller.adjust_command(&format!("a{polls}"), micros(5));
        abandon(ledger, &adjust, polls).await;
        assert_eq!(teller.execute(&adjust).await.receipt().unwrap().amount, micros(0));
    }
    let balance = teller.balance().await;
    assert_eq!(
        (balance.granted, balance.spent, balance.held),
        (micros(1_030), micros(42), micros(0))
    );
    teller.prove().await;
}

/// Polls a call so many times, with turns for others in between, then drops it.
async fn abandon(ledger: &dyn Ledger, command: &Command, polls: usize) {
    let mut call = ledger.execute(command);
    for _ in 0..polls {
        let done = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if matches!(done, Poll::Ready(_)) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn t4_an_id_is_its_accounts_alone(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (one, other) = (
        Teller::open(ledger, clock, "one").await,
        Teller::open(ledger, clock, "other").await,
    );
    for teller in [&one, &other] {
        applied(&teller.adjust("gift", micros(5)).await);
        teller.grant("g", micros(6)).await;
        assert_eq!(teller.available().await, micros(11));
    }
    let hold = one.hold(micros(4)).await;
    assert_eq!(
        refused(other.capture(hold, micros(4)).await),
        Refusal::UnknownHold
    );
    assert_eq!(refused(other.release(hold).await), Refusal::UnknownHold);
    assert_eq!(other.hold_now(hold).await, None);
    applied(&one.capture(hold, micros(4)).await);
    assert_eq!(other.available().await, micros(11));
    one.prove().await;
    other.prove().await;
}

pub(crate) async fn ids_too_old_or_from_the_future_open_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let skew = HOLD_ID_SKEW.micros() / 1_000;
    let at = |n, off: i64| -> HoldId {
        hold_id(
            &teller.account,
            n,
            Timestamp::from_millis(clock.now().millis() + off),
        )
    };
    for (n, off, opens) in [
        (1_001, -skew - 1, false),
        (1_002, -skew, true),
        (1_003, skew, true),
        (1_004, skew + 1, false),
    ] {
        let admit = teller.admit_command(micros(1)).await;
        let outcome = teller
            .execute(&Command::Admit(Admit {
                hold: at(n, off),
                ..admit
            }))
            .await;
        match outcome {
            Outcome::Applied(_) => assert!(opens, "{off} ms off"),
            other => assert_eq!((refused(other), opens), (Refusal::TooOld, false), "{off} ms off"),
        }
    }
}

pub(crate) async fn an_ended_hold_is_remembered_for_half_an_hour(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let admit = teller.admit_command(micros(10)).await;
    applied(&teller.execute(&Command::Admit(admit.clone())).await);
    // A long stream: the time counts from the end.
    for _ in 0..60 {
        clock.advance(Span::from_secs(59));
        applied(&teller.renew(admit.hold).await);
        ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    applied(&teller.capture(admit.hold, micros(9)).await);
    clock.advance(Span::from_micros(HOLDS_REMEMBERED.micros() - 1));
    ledger.sweep(OnExpiry::Release).await.unwrap();
    replayed(&teller.capture(admit.hold, micros(9)).await);
    assert_eq!(
        teller.hold_now(admit.hold).await.unwrap().state,
        HoldState::Captured
    );
    // Long after it may be forgotten; it is never charged again, nor opened.
    clock.advance(HOLDS_REMEMBERED);
    for _ in 0..3 {
        ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    let before = teller.picture().await;
    let again = [
        teller.capture(admit.hold, micros(9)).await,
        teller.execute(&Command::Admit(admit)).await,
    ];
    for outcome in again {
        match outcome {
            Outcome::Applied(_) => panic!("a forgotten id was used again"),
            Outcome::Replayed(_) => {}
            Outcome::Refused(refusal) => {
                assert!(
                    matches!(refusal, Refusal::UnknownHold | Refusal::TooOld),
                    "{refusal:?}"
                );
            }
        }
    }
    assert_eq!(teller.picture().await, before);
}

pub(crate) async fn a_corrected_hold_is_remembered_from_its_correction(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let hold = teller.hold(micros(5)).await;
    clock.advance(Span::from_secs(100));
    applied(&teller.expire(hold, OnExpiry::Release).await);
    clock.advance(Span::from_secs(900));
    ledger.sweep(OnExpiry::Release).await.unwrap();
    applied(&teller.capture(hold, micros(4)).await);
    clock.advance(Span::from_micros(HOLDS_REMEMBERED.micros() - 1));
    for _ in 0..3 {
        ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    replayed(&teller.capture(hold, micros(4)).await);
    assert_eq!(teller.available().await, micros(6));
    teller.prove().await;
}
