//! Limits of accounts and keys.

use std::sync::Arc;

use faregate::domain::command::{AccountChange, Admit, Command, Outcome};
use faregate::domain::ids::HoldId;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::{Refusal, Scope, Window};
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{Teller, applied, refused};

/// An account with 1,000 and these caps, and a key with those.
async fn capped<'a>(
    ledger: &'a dyn Ledger,
    clock: &'a dyn TestClock,
    account: Limits,
    key: Limits,
) -> Teller<'a> {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(1_000)).await;
    applied(&teller.put_key(1, key, Timestamp::NEVER).await);
    teller
        .set(AccountChange::Limits(account))
        .await
        .receipt()
        .unwrap();
    teller
}

/// Asks through the second key.
async fn ask(teller: &Teller<'_>, least: i64, most: i64, tokens: u64) -> (HoldId, Outcome) {
    let admit = Admit {
        hold: teller.new_hold(),
        caller: teller.caller(1).await,
        least: micros(least),
        most: micros(most),
        tokens,
        ..teller.admit_command(micros(1)).await
    };
    let hold = admit.hold;
    (hold, teller.execute(&Command::Admit(admit)).await)
}

pub(crate) async fn requests_per_minute(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        requests_per_minute: Some(6),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps, Limits::NONE).await;
    for n in 0..6 {
        // A free request counts too.
        applied(&ask(&teller, 0, n % 2, 0).await.1);
    }
    let (scope, retry_after) = (Scope::Account, Span::from_secs(10));
    assert_eq!(
        refused(ask(&teller, 1, 1, 0).await.1),
        Refusal::RateLimited { scope, retry_after }
    );
    clock.advance(Span::from_micros(9_999_999));
    let retry_after = Span::from_micros(1);
    assert_eq!(
        refused(ask(&teller, 0, 0, 0).await.1),
        Refusal::RateLimited { scope, retry_after }
    );
    clock.advance(retry_after);
    applied(&ask(&teller, 1, 1, 0).await.1);
    assert!(matches!(
        refused(ask(&teller, 1, 1, 0).await.1),
        Refusal::RateLimited { .. }
    ));
    teller.prove().await;
}

pub(crate) async fn tokens_per_minute(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        tokens_per_minute: Some(600),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, Limits::NONE, caps).await;
    applied(&ask(&teller, 1, 1, 500).await.1);
    applied(&ask(&teller, 1, 1, 0).await.1);
    let (scope, retry_after) = (Scope::Key, Span::from_secs(20));
    assert_eq!(
        refused(ask(&teller, 1, 1, 300).await.1),
        Refusal::RateLimited { scope, retry_after }
    );
    applied(&ask(&teller, 1, 1, 100).await.1);
    clock.advance(Span::from_secs(60));
    // Above a whole minute's worth: alone, and the others wait for it.
    applied(&ask(&teller, 1, 1, 1_200).await.1);
    let retry_after = Span::from_secs(61);
    assert_eq!(
        refused(ask(&teller, 1, 1, 10).await.1),
        Refusal::RateLimited { scope, retry_after }
    );
    teller.prove().await;
}

pub(crate) async fn concurrent_holds(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        concurrent: Some(2),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps, Limits::NONE).await;
    let (first, _) = ask(&teller, 1, 1, 0).await;
    let (second, _) = ask(&teller, 1, 1, 0).await;
    let (scope, limit) = (Scope::Account, 2);
    assert_eq!(
        refused(ask(&teller, 1, 1, 0).await.1),
        Refusal::TooManyConcurrent { scope, limit }
    );
    applied(&ask(&teller, 0, 0, 0).await.1);
    applied(&teller.capture(first, micros(1)).await);
    let (third, _) = ask(&teller, 1, 1, 0).await;
    assert!(ask(&teller, 1, 1, 0).await.1.receipt().is_err());
    applied(&teller.release(third).await);
    clock.advance(Span::from_secs(60));
    applied(&teller.expire(second, Default::default()).await);
    // A late correction frees nothing twice.
    applied(&teller.capture(second, micros(1)).await);
    applied(&ask(&teller, 1, 1, 0).await.1);
    applied(&ask(&teller, 1, 1, 0).await.1);
    assert!(ask(&teller, 1, 1, 0).await.1.receipt().is_err());
    teller.prove().await;
}

pub(crate) async fn spend_per_day_counts_what_is_held(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        spend_per_day: Some(micros(100)),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps, Limits::NONE).await;
    let (hold, outcome) = ask(&teller, 1, 60, 0).await;
    assert_eq!(applied(&outcome).amount, micros(60));
    applied(&teller.capture(hold, micros(50)).await);
    let (hold, outcome) = ask(&teller, 10, 80, 0).await;
    assert_eq!(applied(&outcome).amount, micros(50), "as much as the cap leaves");
    let refusal = refused(ask(&teller, 1, 80, 0).await.1);
    let Refusal::SpendLimitReached {
        scope,
        window,
        limit,
        spent,
        resets_at,
    } = refusal
    else {
        panic!("{refusal:?}")
    };
    assert_eq!((scope, window), (Scope::Account, Window::Day));
    assert_eq!((limit, spent), (micros(100), micros(50)));
    assert_eq!(resets_at, clock.now().next_day());
    assert!(matches!(
        refused(teller.extend(hold, 1, micros(1)).await),
        Refusal::SpendLimitReached { .. }
    ));
    // A new day: what is held still counts, what was spent does not.
    clock.set(resets_at);
    applied(&teller.renew(hold).await);
    let (_, outcome) = ask(&teller, 1, 80, 0).await;
    assert_eq!(applied(&outcome).amount, micros(50));
    teller.prove().await;
}

pub(crate) async fn spend_per_month_outlives_the_day(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        spend_per_month: Some(micros(100)),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, Limits::NONE, caps).await;
    // The first of February, then the second, then the first of March.
    clock.set(clock.now().next_month());
    for used in [70, 30] {
        let (hold, _) = ask(&teller, 1, used, 0).await;
        applied(&teller.capture(hold, micros(used)).await);
        clock.set(clock.now().next_day());
    }
    let refusal = refused(ask(&teller, 1, 1, 0).await.1);
    let resets_at = clock.now().next_month();
    let expected = Refusal::SpendLimitReached {
        scope: Scope::Key,
        window: Window::Month,
        limit: micros(100),
        spent: micros(100),
        resets_at,
    };
    assert_eq!(refusal, expected);
    clock.set(resets_at);
    let (_, outcome) = ask(&teller, 1, 200, 0).await;
    assert_eq!(applied(&outcome).amount, micros(100));
    teller.prove().await;
}

pub(crate) async fn caps_on_spending_are_used_up_to_the_last(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = |cap: i64| Limits {
        spend_per_day: Some(micros(cap)),
        spend_per_month: Some(micros(cap)),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps(100), caps(101)).await;
    let day = Limits {
        spend_per_month: None,
        ..caps(100)
    };
    let month = Limits {
        spend_per_day: None,
        ..caps(100)
    };
    for caps in [day, month] {
        teller.set(AccountChange::Limits(caps)).await;
        let (spent, _) = ask(&teller, 10, 10, 0).await;
        applied(&teller.capture(spent, micros(10)).await);
        let (held, _) = ask(&teller, 60, 60, 0).await;
        // Ten are spent and sixty held: thirty are left, and not one more.
        assert!(matches!(
            refused(ask(&teller, 31, 31, 0).await.1),
            Refusal::SpendLimitReached { .. }
        ));
        let (last, outcome) = ask(&teller, 30, 30, 0).await;
        assert_eq!(applied(&outcome).amount, micros(30));
        applied(&teller.release(held).await);
        applied(&teller.release(last).await);
        clock.set(clock.now().next_month());
    }
    teller.prove().await;
}

pub(crate) async fn a_cap_of_nothing_lets_nothing_through(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (none, nothing) = (Limits::NONE, Some(micros(0)));
    let (scope, retry_after) = (Scope::Key, Span::from_secs(60));
    let rate = Refusal::RateLimited { scope, retry_after };
    let spend = |window, resets_at| Refusal::SpendLimitReached {
        scope,
        window,
        limit: micros(0),
        spent: micros(0),
        resets_at,
    };
    let limit = 0;
    let (requests_per_minute, tokens_per_minute, concurrent) = (Some(0), Some(0), Some(0));
    let now = clock.now();
    let cases = [
        (
            Limits {
                requests_per_minute,
                ..none
            },
            rate.clone(),
        ),
        (
            Limits {
                tokens_per_minute,
                ..none
            },
            rate,
        ),
        (
            Limits { concurrent, ..none },
            Refusal::TooManyConcurrent { scope, limit },
        ),
        (
            Limits {
                spend_per_day: nothing,
                ..none
            },
            spend(Window::Day, now.next_day()),
        ),
        (
            Limits {
                spend_per_month: nothing,
                ..none
            },
            spend(Window::Month, now.next_month()),
        ),
    ];
    for (n, (caps, expected)) in cases.into_iter().enumerate() {
        let teller = Teller::open(ledger, clock, &format!("account-{n}")).await;
        teller.grant("g", micros(10)).await;
        applied(&teller.put_key(1, caps, Timestamp::NEVER).await);
        assert_eq!(refused(ask(&teller, 1, 1, 1).await.1), expected, "{caps:?}");
        // What it asks nothing of it lets through.
        let free = ask(&teller, 0, 0, 0).await.1.receipt();
        assert_eq!(free.is_ok(), caps.requests_per_minute.is_none(), "{caps:?}");
        teller.prove().await;
    }
}

pub(crate) async fn a_key_has_caps_of_its_own(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = |concurrent| Limits {
        concurrent: Some(concurrent),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps(3), caps(1)).await;
    applied(&ask(&teller, 1, 1, 0).await.1);
    let refusal = refused(ask(&teller, 1, 1, 0).await.1);
    let (scope, limit) = (Scope::Key, 1);
    assert_eq!(refusal, Refusal::TooManyConcurrent { scope, limit });
    // The other key has none: the account's cap is what it meets.
    let hold = teller.hold(micros(1)).await;
    teller.hold(micros(1)).await;
    let (scope, limit) = (Scope::Account, 3);
    assert_eq!(
        refused(teller.try_hold(micros(1)).await.1),
        Refusal::TooManyConcurrent { scope, limit }
    );
    applied(&teller.release(hold).await);
    assert!(ask(&teller, 1, 1, 0).await.1.receipt().is_err(), "still its own");
    let keys = ledger.keys(&teller.account).await.unwrap();
    let open: Vec<_> = keys.iter().map(|k| k.gauge.open).collect();
    assert_eq!(open, [0, 1]);
    teller.prove().await;
}

pub(crate) async fn a_refusal_counts_towards_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let caps = Limits {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        ..Limits::NONE
    };
    let teller = capped(ledger, clock, caps, caps).await;
    let before = teller.picture().await;
    for _ in 0..5 {
        // Too dear, after the rates were passed.
        assert!(matches!(
            refused(ask(&teller, 2_000, 2_000, 50).await.1),
            Refusal::InsufficientCredits { .. }
        ));
    }
    assert_eq!(teller.picture().await, before);
    applied(&ask(&teller, 1, 1, 50).await.1);
    applied(&ask(&teller, 1, 1, 50).await.1);
    assert!(matches!(
        refused(ask(&teller, 2_000, 2_000, 50).await.1),
        Refusal::RateLimited { .. }
    ));
    // A caller may be given other caps than the ledger's, by its plan.
    let admit = teller.admit_command(micros(1)).await;
    let caller = faregate::domain::key::Caller {
        limits: Limits::NONE,
        ..(*admit.caller).clone()
    };
    let caller = Arc::new(caller);
    applied(&teller.execute(&Command::Admit(Admit { caller, ..admit })).await);
    teller.prove().await;
}
