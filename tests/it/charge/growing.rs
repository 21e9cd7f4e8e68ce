//! Holds that grow, on every store.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use faregate::domain::command::AccountChange;
use faregate::domain::hold::OnExpiry;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::{Refusal, Scope, Window};
use faregate::domain::time::Timestamp;
use faregate::service::charge::Growth;
use faregate::service::denial::Denial;

use super::wire::Fate;
use super::{DEADLINE, HOLD_TTL, Post, answer, capture, more};
use crate::ledger::fixture::{Embedded, Fixture, Memory, OneRedis};
use crate::ledger::moves::micros;
use crate::ledger::teller::applied;
use crate::rig::upstream::Gate;

/// A test that is run on every store.
macro_rules! on_every_store {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $(
            mod $name {
                use super::*;

                #[tokio::test]
                async fn the_model() {
                    super::proofs::$name(&Memory).await;
                }

                #[tokio::test]
                async fn embedded() {
                    super::proofs::$name(&Embedded).await;
                }

                #[tokio::test]
                async fn on_redis() {
                    super::proofs::$name(&OneRedis::default()).await;
                }
            }
        )+
    };
}

on_every_store! {
    a_hold_grows_to_the_last_credit_and_no_further
    an_extension_whose_answer_was_lost_counts_once
    a_ledger_that_is_away_fails_growth_in_bounded_time_and_heals
    a8_a_request_that_ends_while_its_hold_grows_leaves_nothing_held
    a_request_that_ends_with_an_extension_in_doubt_is_counted_right
    caps_stop_growth
    whoever_was_shut_meanwhile_gets_no_more
    whoever_was_only_changed_meanwhile_goes_on
}

mod proofs {
    use super::*;

    pub(super) async fn a_hold_grows_to_the_last_credit_and_no_further(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        let mut held = post.admit(30).await;
        assert_eq!((held.amount(), held.available()), (micros(30), micros(70)));
        assert_eq!(more(&mut held, 10, 40).await, Growth::To(micros(70)));
        assert_eq!((held.amount(), held.available()), (micros(70), micros(30)));
        assert_eq!(more(&mut held, 10, 40).await, Growth::To(micros(100)));
        let none = Refusal::InsufficientCredits {
            available: micros(0),
            required: micros(1),
        };
        assert_eq!(
            more(&mut held, 0, 40).await,
            Growth::Refused(Denial::Refused(none))
        );
        assert_eq!((held.amount(), held.available()), (micros(100), micros(0)));
        account.grant("second", micros(5)).await;
        assert_eq!(more(&mut held, 0, 3).await, Growth::To(micros(103)));
        assert_eq!(post.wire.numbers(), [1, 2, 3, 3]);
        held.settle(capture(micros(101)));
        post.settled().await;
        let balance = account.balance().await;
        assert_eq!(
            (balance.spent, balance.held, balance.available()),
            (micros(101), micros(0), micros(4))
        );
        account.prove().await;
    }

    pub(super) async fn an_extension_whose_answer_was_lost_counts_once(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        let mut held = post.admit(10).await;
        post.wire.next([Fate::Lost, Fate::Unheard, Fate::Unheard]);
        assert_eq!(more(&mut held, 5, 5).await, Growth::To(micros(15)));
        assert_eq!(post.wire.numbers(), [1, 1, 1, 1]);
        assert_eq!(account.balance().await.held, micros(15));
        held.settle(capture(micros(12)));
        post.settled().await;
        assert_eq!(post.counted("held"), 15);
        account.prove().await;
    }

    pub(super) async fn a_ledger_that_is_away_fails_growth_in_bounded_time_and_heals(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        let mut held = post.admit(10).await;
        post.wire.next([Fate::Unheard]);
        post.wire.next(vec![Fate::Lost; 1_000]);
        held.grow(micros(5), micros(5));
        // Nobody is kept waiting by asking.
        let now = poll_fn(|cx| Poll::Ready(held.poll_grown(cx))).await;
        assert!(now.is_pending() && held.is_growing());
        let asked = std::time::Instant::now();
        assert_eq!(answer(&mut held).await, Growth::Failed);
        assert!(asked.elapsed() < 2 * DEADLINE, "{:?}", asked.elapsed());
        assert!(!held.is_growing());
        assert_eq!(held.amount(), micros(10));
        post.wire.heal();
        // What was made then counts, and was less than is asked for now.
        assert_eq!(more(&mut held, 20, 40).await, Growth::To(micros(50)));
        assert_eq!(account.balance().await.held, micros(50));
        drop(held);
        post.settled().await;
        assert_eq!(account.available().await, micros(100));
        account.prove().await;
    }

    pub(super) async fn a8_a_request_that_ends_while_its_hold_grows_leaves_nothing_held(
        fixture: &dyn Fixture,
    ) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        for settles in [true, false] {
            let mut held = post.admit(10).await;
            let gate = Gate::new();
            post.wire.next([Fate::Late(gate.clone())]);
            held.grow(micros(5), micros(5));
            while account.balance().await.held != micros(15) {
                tokio::task::yield_now().await;
            }
            if settles {
                held.settle(capture(micros(12)));
            } else {
                drop(held);
            }
            gate.open();
            post.settled().await;
            assert_eq!(account.balance().await.held, micros(0));
        }
        assert_eq!(account.available().await, micros(88));
        assert_eq!(
            ["held", "captured", "released"].map(|what| post.counted(what)),
            [30, 12, 18]
        );
        account.prove().await;
    }

    pub(super) async fn a_request_that_ends_with_an_extension_in_doubt_is_counted_right(
        fixture: &dyn Fixture,
    ) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        let mut held = post.admit(10).await;
        post.wire.next([Fate::Unheard]);
        post.wire.next(vec![Fate::Lost; 1_000]);
        held.grow(micros(5), micros(5));
        while account.balance().await.held != micros(15) {
            tokio::task::yield_now().await;
        }
        let asked = std::time::Instant::now();
        held.settle(capture(micros(12)));
        post.settled().await;
        assert!(
            asked.elapsed() < DEADLINE,
            "the end waited for the question: {:?}",
            asked.elapsed()
        );
        assert_eq!(
            ["held", "captured", "released"].map(|what| post.counted(what)),
            [15, 12, 3]
        );
        assert_eq!(account.available().await, micros(88));
        account.prove().await;
    }

    pub(super) async fn caps_stop_growth(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        let limits = Limits {
            spend_per_day: Some(micros(40)),
            ..Limits::NONE
        };
        account.put_key(1, limits, Timestamp::NEVER).await;
        let mut held = post.admit_by(1, 10).await;
        assert_eq!(more(&mut held, 10, 80).await, Growth::To(micros(40)));
        let Growth::Refused(Denial::Refused(Refusal::SpendLimitReached {
            scope, window, limit, ..
        })) = more(&mut held, 1, 1).await
        else {
            panic!("not refused for the cap")
        };
        assert_eq!((scope, window, limit), (Scope::Key, Window::Day, micros(40)));
        held.settle(capture(micros(40)));
        post.settled().await;
        assert!(post.try_admit(1, 1).await.is_err());
        account.prove().await;
    }

    pub(super) async fn whoever_was_shut_meanwhile_gets_no_more(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(100).await;
        account.put_key(1, Limits::NONE, Timestamp::NEVER).await;
        let soon = post.fresh.clock.now().plus(HOLD_TTL);
        account.put_key(2, Limits::NONE, soon).await;
        let (mut paused, mut revoked) = (post.admit(10).await, post.admit_by(1, 10).await);
        let mut expired = post.admit_by(2, 10).await;
        applied(&account.revoke(1).await);
        assert_eq!(
            more(&mut revoked, 5, 5).await,
            Growth::Refused(Denial::InvalidKey)
        );
        let reason: faregate::domain::ids::Reason = "manual".parse().unwrap();
        applied(&account.set(AccountChange::Pause(reason.clone())).await);
        let shut = Growth::Refused(Denial::AccountPaused(vec![reason.clone()]));
        assert_eq!(more(&mut paused, 5, 5).await, shut);
        applied(&account.set(AccountChange::Resume(reason)).await);
        assert_eq!(more(&mut paused, 5, 5).await, Growth::To(micros(15)));
        post.fresh.clock.set(soon);
        assert_eq!(
            more(&mut expired, 5, 5).await,
            Growth::Refused(Denial::InvalidKey)
        );
        drop((paused, revoked, expired));
        post.settled().await;
        assert_eq!(account.available().await, micros(100));
        account.prove().await;
    }

    pub(super) async fn whoever_was_only_changed_meanwhile_goes_on(fixture: &dyn Fixture) {
        let post = Post::at(fixture).await;
        let account = post.account(20).await;
        let mut held = post.admit(20).await;
        for n in 1..4 {
            account.put_key(n, Limits::NONE, Timestamp::NEVER).await;
            account.grant(&format!("more-{n}"), micros(10)).await;
            let wanted = micros(20 + 10 * i64::from(n));
            assert_eq!(more(&mut held, 10, 30).await, Growth::To(wanted));
        }
        // The caps that count are those of now.
        let limits = Limits {
            spend_per_day: Some(micros(55)),
            ..Limits::NONE
        };
        applied(&account.set(AccountChange::Limits(limits)).await);
        account.grant("last", micros(10)).await;
        assert_eq!(more(&mut held, 1, 10).await, Growth::To(micros(55)));
        held.settle(capture(micros(55)));
        post.settled().await;
        assert_eq!(account.available().await, micros(5));
        account.prove().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_in_vain_all_the_time_puts_no_renewal_off() {
    let post = Post::at(&Memory).await;
    let account = post.account(10).await;
    let mut held = post.admit(10).await;
    let ttl = Duration::from(HOLD_TTL);
    let (start, mut moved) = (tokio::time::Instant::now(), Duration::ZERO);
    while start.elapsed() < 4 * ttl {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(matches!(more(&mut held, 1, 1).await, Growth::Refused(_)));
        // The store's time goes on with ours.
        let step = start.elapsed() - moved;
        moved += step;
        post.fresh
            .clock
            .advance(faregate::domain::time::Span::from_micros(step.as_micros() as i64));
        post.fresh.ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    let renewals = post.wire.renewals();
    assert!((11..=13).contains(&renewals), "{renewals} renewals");
    assert_eq!(account.balance().await.held, micros(10));
    held.settle(capture(micros(10)));
    post.settled().await;
    account.prove().await;
}

#[tokio::test(start_paused = true)]
async fn an_extension_is_a_renewal() {
    let post = Post::at(&Memory).await;
    let account = post.account(1_000).await;
    let mut held = post.admit(10).await;
    for n in 1..100 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(more(&mut held, 1, 1).await, Growth::To(micros(10 + n)));
    }
    assert_eq!(post.wire.renewals(), 0);
    held.settle(capture(micros(10)));
    post.settled().await;
    account.prove().await;
}

#[tokio::test]
async fn who_asks_twice_is_heard_once_and_a_free_request_never() {
    let post = Post::at(&Memory).await;
    let account = post.account(100).await;
    let mut held = post.admit(10).await;
    let nothing = poll_fn(|cx| Poll::Ready(held.poll_grown(cx))).await;
    assert!(nothing.is_pending());
    held.grow(micros(5), micros(5));
    held.grow(micros(50), micros(50));
    assert_eq!(answer(&mut held).await, Growth::To(micros(15)));
    assert_eq!(post.wire.numbers(), [1]);
    let mut free = post.admit(0).await;
    free.grow(micros(5), micros(5));
    assert!(!free.is_growing());
    drop((held, free));
    post.settled().await;
    account.prove().await;
}
