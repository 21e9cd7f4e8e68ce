//! Rules worth an example of their own: ends of ranges, names that meet, orders of arrival, what is remembered.

use faregate::domain::account::REASONS_MAX;
use faregate::domain::command::{
    AccountChange, Capture, Command, HOLD_ID_SKEW, HOLDS_REMEMBERED, NewKey, Outcome,
};
use faregate::domain::credits::Credits;
use faregate::domain::engine::invariants;
use faregate::domain::entry::{Detail, EntryKind};
use faregate::domain::grant::{Category, GrantFacts, GrantState, LIVE_GRANTS_MAX};
use faregate::domain::hold::{HoldState, OnExpiry};
use faregate::domain::ids::{AccountId, GrantId, KeyId, Reason};
use faregate::domain::key::KEYS_MAX;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::ledger::moves::{START, World, digest, key_id, micros};

fn after(seconds: i64) -> Timestamp {
    START.plus(Span::from_secs(seconds))
}

fn facts(id: &str, amount: Credits) -> GrantFacts {
    GrantFacts {
        id: GrantId::new(id).unwrap(),
        amount,
        priority: 50,
        category: Category::Paid,
        effective_at: START,
        expires_at: Timestamp::NEVER,
        created_at: START,
        updated_at: START,
        voided_at: None,
        note: None,
    }
}

fn put(world: &mut World, facts: GrantFacts) -> Outcome {
    let (account, detail) = (world.account.clone(), Detail::none());
    done(
        world,
        &Command::PutGrant {
            account,
            facts,
            detail,
        },
    )
}

fn adjust(world: &mut World, id: &str, amount: Credits) -> Outcome {
    let (id, account, detail) = (id.parse().unwrap(), world.account.clone(), Detail::none());
    done(
        world,
        &Command::Adjust {
            from: None,
            id,
            account,
            amount,
            detail,
        },
    )
}

fn set(world: &mut World, change: AccountChange) -> Outcome {
    let (account, detail) = (world.account.clone(), Detail::none());
    done(
        world,
        &Command::SetAccount {
            expected: None,
            account,
            change,
            detail,
        },
    )
}

fn done(world: &mut World, command: &Command) -> Outcome {
    let outcome = world.execute(command).outcome;
    assert_eq!(invariants::check(world.book(), Credits::ZERO), []);
    outcome
}

fn out_of_range(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::OutOfRange(_)))
}

fn applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied(_))
}

#[test]
fn sums_beyond_the_range_are_refused_before_they_happen() {
    let mut world = World::new("acme", START);
    let half = micros(Credits::MAX.micros() / 2);
    assert!(applied(&put(&mut world, facts("g1", half))));
    // One that starts later counts already.
    let later = GrantFacts {
        effective_at: after(60),
        ..facts("g2", half)
    };
    assert!(applied(&put(&mut world, later)));
    assert!(out_of_range(&put(&mut world, facts("g3", micros(2)))));
    assert!(out_of_range(&adjust(&mut world, "a1", micros(2))));
    assert!(applied(&adjust(&mut world, "a2", micros(1))));
    world.now = after(60);
    assert_eq!(world.book().statement(world.now).0.available(), Credits::MAX);
    // Taking makes no room: what was ever given is counted.
    assert!(applied(&adjust(&mut world, "a3", Credits::MAX.negated())));
    assert!(out_of_range(&adjust(&mut world, "a4", micros(1))));
    assert!(out_of_range(&adjust(&mut world, "a5", micros(-1))));
}

#[test]
fn a_charge_beyond_the_range_is_refused_and_the_hold_stays() {
    let mut world = World::new("acme", START);
    adjust(&mut world, "a", micros(10));
    let (one, other) = (world.hold_exactly(micros(5)), world.hold_exactly(micros(5)));
    world.capture(one, Credits::MAX);
    assert_eq!(
        world.book().account.exceptions.overrun,
        micros(Credits::MAX.micros() - 5)
    );
    let capture = |used| {
        Command::Capture(Capture {
            hold: other,
            caller: world.caller(&key_id(0), 0, false).unwrap(),
            used,
            detail: Detail::none(),
        })
    };
    let (more, less_than_nothing) = (capture(micros(5)), capture(micros(-1)));
    assert!(out_of_range(&done(&mut world, &more)));
    assert!(out_of_range(&done(&mut world, &less_than_nothing)));
    assert_eq!(world.book().holds[&other].state, HoldState::Open);
    world.capture(other, Credits::ZERO);
}

#[test]
fn a_gift_never_takes_the_place_of_a_grant_with_its_name() {
    let mut world = World::new("acme", START);
    put(&mut world, facts("adjust:a", micros(10)));
    assert_eq!(
        adjust(&mut world, "a", micros(5)),
        Outcome::Refused(Refusal::IdConflict)
    );
    let long = "x".repeat(122);
    assert!(out_of_range(&adjust(&mut world, &long, micros(5))));
    assert!(applied(&adjust(&mut world, &long[1..], micros(5))));
}

#[test]
fn an_adjustment_counts_grants_that_start_with_it() {
    let mut world = World::new("acme", START);
    let later = GrantFacts {
        effective_at: after(60),
        ..facts("g", micros(10))
    };
    put(&mut world, later);
    world.now = after(60);
    adjust(&mut world, "a", micros(5));
    assert_eq!(world.book().account.granted, micros(15));
}

#[test]
fn used_up_and_expired_grants_make_room_for_new_ones() {
    let mut world = World::new("acme", START);
    for n in 0..LIVE_GRANTS_MAX {
        let expires_at = after(if n < 5 { 60 } else { 1_000 });
        let put = put(
            &mut world,
            GrantFacts {
                expires_at,
                ..facts(&format!("g{n}"), micros(1))
            },
        );
        assert!(applied(&put), "{n}");
    }
    assert!(out_of_range(&put(&mut world, facts("more", micros(1)))));
    // One that is over already needs no room, nor does news of one that is there.
    assert!(applied(&put(
        &mut world,
        GrantFacts {
            expires_at: START,
            ..facts("over", micros(1))
        }
    )));
    assert!(applied(&put(
        &mut world,
        GrantFacts {
            updated_at: after(1),
            ..facts("g9", micros(1))
        }
    )));
    let hold = world.hold_exactly(micros(1));
    world.capture(hold, micros(1));
    assert!(
        applied(&put(&mut world, facts("more", micros(1)))),
        "one was used up"
    );
    world.now = after(60);
    assert!(
        applied(&put(&mut world, facts("still-more", micros(1)))),
        "four expired"
    );
}

#[test]
fn the_number_of_keys_and_reasons_is_bounded() {
    let mut world = World::new("acme", START);
    let account = world.account.clone();
    let put_key = |n: usize| {
        let mut digest = digest(&account, 0);
        digest.0[..8].copy_from_slice(&n.to_be_bytes());
        Command::PutKey {
            account: account.clone(),
            key: NewKey {
                id: KeyId::new(&format!("k{n}")).unwrap(),
                digest,
                name: None,
                expires_at: Timestamp::NEVER,
                limits: Limits::NONE,
            },
            detail: Detail::none(),
        }
    };
    let room = KEYS_MAX - world.book().keys.len();
    for n in 0..room {
        assert!(applied(&world.execute(&put_key(n)).outcome));
    }
    assert!(out_of_range(&done(&mut world, &put_key(room))));
    for n in 0..REASONS_MAX {
        let reason = Reason::new(&format!("r{n}")).unwrap();
        assert!(applied(&set(&mut world, AccountChange::Pause(reason))));
    }
    let again = set(&mut world, AccountChange::Pause("r0".parse().unwrap()));
    assert!(matches!(again, Outcome::Replayed(_)));
    assert!(out_of_range(&set(
        &mut world,
        AccountChange::Pause("one-more".parse().unwrap())
    )));
}

#[test]
fn a_key_belongs_to_one_account_for_ever() {
    let mut world = World::new("acme", START);
    let rival = AccountId::new("rival").unwrap();
    let (change, detail) = (AccountChange::Create(None), Detail::none());
    world.execute(&Command::SetAccount {
        expected: None,
        account: rival.clone(),
        change,
        detail,
    });
    let key = NewKey {
        id: KeyId::new("mine").unwrap(),
        digest: digest(&world.account, 0),
        name: None,
        expires_at: Timestamp::NEVER,
        limits: Limits::NONE,
    };
    let stolen = Command::PutKey {
        account: rival,
        key,
        detail: Detail::none(),
    };
    assert_eq!(
        world.execute(&stolen).outcome,
        Outcome::Refused(Refusal::IdConflict)
    );
    let revoke = Command::RevokeKey {
        account: world.account.clone(),
        key: key_id(0),
        detail: Detail::none(),
    };
    assert!(applied(&done(&mut world, &revoke)));
    assert_eq!(
        world.execute(&stolen).outcome,
        Outcome::Refused(Refusal::IdConflict),
        "revoked is not free"
    );
    assert_eq!(
        world.state.identify(&digest(&world.account, 0)).unwrap().account,
        world.account
    );
}

#[test]
fn an_ended_hold_is_remembered_from_its_end_and_its_id_never_opens_again() {
    assert!(HOLDS_REMEMBERED > HOLD_ID_SKEW);
    let mut world = World::new("acme", START);
    adjust(&mut world, "a", micros(10));
    let hold = world.hold_exactly(micros(5));
    let admit = world.history.last().unwrap().0.clone();
    // A long stream: an hour open.
    world.now = after(3_600);
    assert_eq!(world.state.forget(world.now), []);
    world.capture(hold, micros(5));
    let capture = world.history.last().unwrap().0.clone();
    world.now = world.now.plus(HOLDS_REMEMBERED);
    assert_eq!(world.state.forget(world.now), []);
    assert!(matches!(world.execute(&capture).outcome, Outcome::Replayed(_)));
    assert!(matches!(world.execute(&admit).outcome, Outcome::Replayed(_)));
    world.now = world.now.plus(Span::from_micros(1));
    assert_eq!(world.state.forget(world.now), [(world.account.clone(), hold)]);
    assert_eq!(
        world.execute(&capture).outcome,
        Outcome::Refused(Refusal::UnknownHold)
    );
    assert_eq!(world.execute(&admit).outcome, Outcome::Refused(Refusal::TooOld));
}

#[test]
fn t2_time_never_goes_back() {
    let mut world = World::new("acme", START);
    adjust(&mut world, "a", micros(10));
    let hold = world.hold_exactly(micros(5));
    world.now = after(-86_400);
    world.capture(hold, micros(5));
    assert_eq!(world.entries.last().unwrap().time, START);
}

#[test]
fn the_sweep_sees_what_ran_out_and_nothing_else() {
    let mut world = World::new("acme", START);
    adjust(&mut world, "a", micros(10));
    let hold = world.hold_exactly(micros(5));
    let ttl = Span::from_secs(1_000_000);
    assert_eq!(world.state.expired_holds(after(999_999), 9), []);
    world.now = START.plus(ttl);
    assert_eq!(
        world.state.expired_holds(world.now, 9),
        [(world.account.clone(), hold)]
    );
    assert_eq!(world.state.expired_holds(world.now, 0), []);
    let (account, on_expiry) = (world.account.clone(), OnExpiry::Capture);
    assert!(applied(&done(
        &mut world,
        &Command::ExpireHold {
            account,
            hold,
            on_expiry
        }
    )));
    assert_eq!(world.state.expired_holds(world.now, 9), []);
    assert_eq!(world.entries.last().unwrap().kind, EntryKind::Capture);
}

#[test]
fn expiry_takes_exactly_what_is_left() {
    let mut world = World::new("acme", START);
    put(
        &mut world,
        GrantFacts {
            expires_at: after(60),
            ..facts("g", micros(100))
        },
    );
    let (spent, held) = (world.hold_exactly(micros(30)), world.hold_exactly(micros(20)));
    world.capture(spent, micros(25));
    world.now = after(60);
    let account = world.account.clone();
    done(&mut world, &Command::ApplyDue { account });
    let expired = |world: &World| world.book().grants["g"].expired;
    assert_eq!(expired(&world), micros(55), "neither spent nor held");
    assert_eq!(world.book().grants["g"].state, GrantState::Ending);
    world.capture(held, micros(12));
    assert_eq!(expired(&world), micros(63), "the rest of the hold");
    assert_eq!(world.book().grants["g"].state, GrantState::Ended);
    assert_eq!(world.book().account.available(), Credits::ZERO);
}

proptest! {
    /// Webhooks come in any order: what is known of a grant in the end, and what is available, is the same.
    #[test]
    fn tellings_of_a_grant_commute(
        tellings in prop::collection::vec((prop_oneof![Just(-10i64), Just(0), Just(60), Just(90)], any::<bool>(), 0u8..3), 1..6),
        order in any::<u64>(),
    ) {
        let told: Vec<_> = tellings.iter().enumerate().map(|(n, (end, void, priority))| GrantFacts {
            priority: *priority,
            expires_at: after(*end),
            updated_at: after(n as i64),
            voided_at: void.then_some(START),
            ..facts("g", micros(10))
        }).collect();
        let mut shuffled = told.clone();
        let mut random = order;
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, (random % (at as u64 + 1)) as usize);
            random /= at as u64 + 1;
        }
        let [a, b] = [told, shuffled].map(|facts| {
            let mut world = World::new("acme", START);
            facts.into_iter().for_each(|facts| { put(&mut world, facts); });
            world
        });
        prop_assert_eq!(&a.book().grants["g"].facts, &b.book().grants["g"].facts);
        prop_assert_eq!(a.book().account.available(), b.book().account.available());
        prop_assert_eq!(a.book().account.next_due, b.book().account.next_due);
    }
}
