//! What is told of grants, and what time does to them.

use faregate::domain::credits::Credits;
use faregate::domain::grant::{Category, GrantFacts, GrantState, LIVE_GRANTS_MAX};
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{Teller, applied, refused, replayed};

fn after(clock: &dyn TestClock, seconds: i64) -> Timestamp {
    Timestamp::from_micros(clock.now().micros() + seconds * 1_000_000)
}

/// Drawn, expired and voided, in micro-credits.
async fn parts(teller: &Teller<'_>, grant: &str) -> (i64, i64, i64) {
    let grant = teller.grant_now(grant).await;
    (
        grant.drawn.micros(),
        grant.expired.micros(),
        grant.voided.micros(),
    )
}

pub(crate) async fn they_start_and_expire_by_the_stores_clock(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = GrantFacts {
        effective_at: after(clock, 10),
        expires_at: after(clock, 20),
        ..teller.facts("g", micros(30))
    };
    applied(&teller.put(facts).await);
    let available = async || teller.available().await.micros();
    assert_eq!(available().await, 0);
    clock.advance(Span::from_micros(9_999_999));
    assert_eq!(available().await, 0);
    clock.advance(Span::from_micros(1));
    assert_eq!(available().await, 30);
    clock.advance(Span::from_micros(9_999_999));
    assert_eq!(available().await, 30);
    // What is due is applied by the first who comes, whatever he asks.
    clock.advance(Span::from_micros(1));
    let (_, outcome) = teller.try_hold(micros(1)).await;
    assert!(outcome.receipt().is_err());
    assert_eq!(available().await, 0);
    assert_eq!(parts(&teller, "g").await, (0, 30, 0));
    teller.prove().await;
}

pub(crate) async fn they_burn_in_order(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let base = |id: &str| teller.facts(id, micros(10));
    let (soon, start) = (after(clock, 100), after(clock, -50));
    // In the order in which they burn; told in another.
    let grants = [
        GrantFacts {
            priority: 0,
            ..base("priority")
        },
        GrantFacts {
            expires_at: soon,
            ..base("ends-first")
        },
        GrantFacts {
            category: Category::Promotional,
            ..base("promotional")
        },
        GrantFacts {
            effective_at: start,
            ..base("started-first")
        },
        GrantFacts {
            created_at: start,
            ..base("made-first")
        },
        base("name-1"),
        base("name-2"),
        GrantFacts {
            priority: 100,
            ..base("last")
        },
    ];
    for at in [3, 7, 0, 5, 1, 6, 2, 4] {
        applied(&teller.put(grants[at].clone()).await);
    }
    for spent in 1..=8 {
        let hold = teller.hold(micros(10)).await;
        applied(&teller.capture(hold, micros(10)).await);
        let statement = teller.statement().await;
        let drawn: Vec<_> = statement
            .grants
            .iter()
            .filter(|g| g.drawn == micros(10))
            .map(|g| g.facts.id.as_str())
            .collect();
        let expected: Vec<_> = grants[..spent].iter().map(|g| g.id.as_str()).collect();
        assert_eq!(drawn, expected);
    }
    teller.prove().await;
}

pub(crate) async fn a_grant_under_a_hold_loses_only_what_is_neither_spent_nor_held(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = GrantFacts {
        expires_at: after(clock, 20),
        ..teller.facts("g", micros(100))
    };
    applied(&teller.put(facts).await);
    let spent = teller.hold(micros(10)).await;
    applied(&teller.capture(spent, micros(10)).await);
    let (charged, dropped) = (teller.hold(micros(30)).await, teller.hold(micros(25)).await);
    clock.advance(Span::from_secs(20));
    assert_eq!(parts(&teller, "g").await, (10, 35, 0));
    assert_eq!(teller.grant_now("g").await.state, GrantState::Ending);
    assert_eq!(teller.available().await, micros(0));
    applied(&teller.capture(charged, micros(12)).await);
    assert_eq!(
        parts(&teller, "g").await,
        (22, 53, 0),
        "the rest of the hold goes at once"
    );
    applied(&teller.release(dropped).await);
    assert_eq!(parts(&teller, "g").await, (22, 78, 0));
    assert_eq!(teller.grant_now("g").await.state, GrantState::Ended);
    assert_eq!(teller.available().await, micros(0));
    teller.prove().await;
}

pub(crate) async fn what_is_left_of_an_ended_grant_is_for_its_holds_alone(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let soon = GrantFacts {
        expires_at: after(clock, 20),
        ..teller.facts("soon", micros(30))
    };
    applied(&teller.put(soon).await);
    let early = teller.hold(micros(30)).await;
    clock.advance(Span::from_secs(20));
    // It would burn before the other, and has come too late for that.
    let other = GrantFacts {
        priority: 0,
        ..teller.facts("other", micros(100))
    };
    applied(&teller.put(other).await);
    assert_eq!(teller.available().await, micros(100));
    let late = teller.hold(micros(70)).await;
    applied(&teller.extend(early, 1, micros(30)).await);
    applied(&teller.capture(late, micros(60)).await);
    assert_eq!(parts(&teller, "soon").await, (0, 0, 0));
    assert_eq!(parts(&teller, "other").await, (60, 0, 0));
    assert_eq!(teller.available().await, micros(10));
    applied(&teller.capture(early, micros(45)).await);
    assert_eq!(parts(&teller, "soon").await, (30, 0, 0));
    assert_eq!(parts(&teller, "other").await, (75, 0, 0));
    assert_eq!(teller.available().await, micros(25));
    teller.prove().await;
}

pub(crate) async fn what_an_extension_adds_lies_under_the_same_grants(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let soon = GrantFacts {
        expires_at: after(clock, 20),
        ..teller.facts("soon", micros(30))
    };
    applied(&teller.put(soon).await);
    // The one that grows was opened last before the end.
    let (other, longer) = (teller.hold(micros(10)).await, teller.hold(micros(10)).await);
    clock.advance(Span::from_secs(20));
    teller.grant("later", micros(100)).await;
    assert_eq!(parts(&teller, "soon").await, (0, 10, 0));
    applied(&teller.extend(longer, 1, micros(15)).await);
    // What it gives back is its own share, not the other's.
    applied(&teller.release(longer).await);
    assert_eq!(parts(&teller, "soon").await, (0, 20, 0));
    applied(&teller.capture(other, micros(10)).await);
    assert_eq!(parts(&teller, "soon").await, (10, 20, 0));
    assert_eq!(teller.available().await, micros(100));
    teller.prove().await;
}

pub(crate) async fn an_expiry_moved_later_brings_back_what_expired(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = GrantFacts {
        expires_at: after(clock, 20),
        ..teller.facts("g", micros(50))
    };
    applied(&teller.put(facts.clone()).await);
    let (spent, held) = (teller.hold(micros(5)).await, teller.hold(micros(10)).await);
    applied(&teller.capture(spent, micros(5)).await);
    clock.advance(Span::from_secs(20));
    teller.apply_due().await;
    assert_eq!(teller.available().await, micros(0));
    let facts = GrantFacts {
        expires_at: after(clock, 20),
        updated_at: clock.now(),
        ..facts
    };
    applied(&teller.put(facts.clone()).await);
    assert_eq!(teller.available().await, micros(35));
    assert_eq!(parts(&teller, "g").await, (5, 0, 0));
    applied(&teller.release(held).await);
    assert_eq!(teller.available().await, micros(45));
    clock.advance(Span::from_secs(20));
    assert_eq!(parts(&teller, "g").await, (5, 45, 0));
    teller.apply_due().await;
    // Once more, after it was wholly over.
    let facts = GrantFacts {
        expires_at: Timestamp::NEVER,
        updated_at: clock.now(),
        ..facts
    };
    applied(&teller.put(facts).await);
    assert_eq!(teller.available().await, micros(45));
    teller.prove().await;
}

pub(crate) async fn an_expiry_moved_earlier_takes_effect_at_once(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = teller.facts("g", micros(50));
    applied(&teller.put(facts.clone()).await);
    let hold = teller.hold(micros(20)).await;
    let earlier = GrantFacts {
        expires_at: after(clock, -5),
        updated_at: after(clock, 1),
        ..facts
    };
    applied(&teller.put(earlier).await);
    assert_eq!(parts(&teller, "g").await, (0, 30, 0));
    // The hold was opened after the new end, but before anybody knew of it.
    applied(&teller.capture(hold, micros(15)).await);
    assert_eq!(parts(&teller, "g").await, (15, 35, 0));
    assert_eq!(teller.available().await, micros(0));
    teller.prove().await;
}

pub(crate) async fn a_void_is_final_and_takes_the_unspent(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = teller.facts("g", micros(50));
    applied(&teller.put(facts.clone()).await);
    let (spent, held) = (teller.hold(micros(5)).await, teller.hold(micros(10)).await);
    applied(&teller.capture(spent, micros(5)).await);
    let void = GrantFacts {
        voided_at: Some(clock.now()),
        // Older news than what is known: a void counts all the same.
        updated_at: after(clock, -100),
        ..facts.clone()
    };
    applied(&teller.put(void.clone()).await);
    assert_eq!(parts(&teller, "g").await, (5, 0, 45));
    assert_eq!(teller.available().await, micros(-10));
    assert_eq!(teller.statement().await.account.exceptions.clawback, micros(10));
    let began = facts.effective_at;
    let alive = GrantFacts {
        updated_at: after(clock, 50),
        effective_at: after(clock, 30),
        ..facts
    };
    applied(&teller.put(alive).await);
    replayed(&teller.put(void).await);
    let grant = teller.grant_now("g").await;
    assert!(grant.facts.voided_at.is_some());
    assert_eq!(grant.facts.effective_at, began, "it had started");
    assert_eq!(grant.state, GrantState::Ended);
    applied(&teller.release(held).await);
    assert_eq!(teller.available().await, micros(0));
    teller.prove().await;
}

pub(crate) async fn older_news_of_a_grant_changes_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let newest = GrantFacts {
        updated_at: after(clock, 10),
        priority: 7,
        ..teller.facts("g", micros(50))
    };
    applied(&teller.put(newest.clone()).await);
    let before = teller.picture().await;
    for seconds in [-10, 5, 10] {
        let older = GrantFacts {
            updated_at: after(clock, seconds),
            priority: 9,
            expires_at: after(clock, -1),
            ..newest.clone()
        };
        replayed(&teller.put(older).await);
    }
    assert_eq!(teller.picture().await, before);
    // Newer news change what they say, but not when it started.
    let newer = GrantFacts {
        updated_at: after(clock, 11),
        priority: 1,
        effective_at: after(clock, 1_000),
        ..newest
    };
    applied(&teller.put(newer).await);
    let grant = teller.grant_now("g").await;
    assert_eq!((grant.facts.priority, grant.state), (1, GrantState::Active));
    assert_eq!(grant.facts.effective_at, clock.now());
    assert_eq!(teller.available().await, micros(50));
    teller.prove().await;
}

/// Fifty bought, ten for nothing that burn first.
async fn bought(teller: &Teller<'_>) {
    teller.grant("purchase", micros(50)).await;
    let promo = GrantFacts {
        priority: 10,
        category: Category::Promotional,
        ..teller.facts("promo", micros(10))
    };
    applied(&teller.put(promo).await);
}

async fn spend(teller: &Teller<'_>, amount: i64) {
    let hold = teller.hold(micros(amount)).await;
    applied(&teller.capture(hold, micros(amount)).await);
}

/// A rebuild from the journal deals it out the same way.
async fn assert_rebuilt(ledger: &dyn Ledger, teller: &Teller<'_>) {
    let before = teller.statement().await;
    assert_eq!(ledger.rebuild().await.unwrap().differences, Vec::<String>::new());
    let after = teller.statement().await;
    assert_eq!(
        (after.account.balance(), after.grants),
        (before.account.balance(), before.grants)
    );
    teller.prove().await;
}

pub(crate) async fn what_is_clawed_back_goes_from_its_own_grant_first(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    // Five were used, of what burns first: the purchase is whole, and the rest stays.
    let few = Teller::open(ledger, clock, "few").await;
    bought(&few).await;
    spend(&few, 5).await;
    let refund = few.take_command("refund", micros(50), "purchase");
    let first = applied(&few.execute(&refund).await);
    assert_eq!(first.available, micros(5));
    assert_eq!(parts(&few, "purchase").await, (50, 0, 0));
    assert_eq!(few.grant_now("purchase").await.state, GrantState::Ended);
    assert_eq!(parts(&few, "promo").await, (5, 0, 0));
    let account = few.statement().await.account;
    assert_eq!(
        (account.granted, account.exceptions.clawback),
        (micros(10), Credits::ZERO)
    );
    assert_eq!(replayed(&few.execute(&refund).await), first);
    let other = few.take_command("refund", micros(49), "purchase");
    assert_eq!(refused(few.execute(&other).await), Refusal::IdConflict);

    // Thirty were used, twenty of the purchase: what it lacks is a debt, which the next grant pays.
    let many = Teller::open(ledger, clock, "many").await;
    bought(&many).await;
    spend(&many, 30).await;
    let refund = many.take_command("refund", micros(50), "purchase");
    assert_eq!(applied(&many.execute(&refund).await).available, micros(-20));
    assert_eq!(parts(&many, "promo").await, (10, 0, 0));
    assert_eq!(parts(&many, "purchase").await, (50, 0, 0));
    let account = many.statement().await.account;
    assert_eq!(
        (account.granted, account.exceptions.clawback),
        (micros(10), micros(20))
    );
    many.grant("next", micros(25)).await;
    assert_eq!(parts(&many, "next").await, (20, 0, 0));
    assert_eq!(many.available().await, micros(5));

    // Part of it; and a grant that is not there, or has ended, takes nothing: then it goes in burn order.
    let part = Teller::open(ledger, clock, "part").await;
    bought(&part).await;
    applied(
        &part
            .execute(&part.take_command("some", micros(20), "purchase"))
            .await,
    );
    assert_eq!(
        (parts(&part, "purchase").await, parts(&part, "promo").await),
        ((20, 0, 0), (0, 0, 0))
    );
    applied(
        &part
            .execute(&part.take_command("nobody's", micros(4), "nobodys"))
            .await,
    );
    assert_eq!(
        (parts(&part, "purchase").await, parts(&part, "promo").await),
        ((20, 0, 0), (4, 0, 0))
    );
    applied(
        &part
            .execute(&part.take_command("rest", micros(30), "purchase"))
            .await,
    );
    applied(
        &part
            .execute(&part.take_command("ended", micros(6), "purchase"))
            .await,
    );
    assert_eq!(
        (parts(&part, "purchase").await, parts(&part, "promo").await),
        ((50, 0, 0), (10, 0, 0))
    );
    assert_eq!(part.available().await, Credits::ZERO);
    let gift = part.take_command("gift", micros(-5), "promo");
    assert_eq!(
        refused(part.execute(&gift).await),
        Refusal::OutOfRange("the grant of what is given")
    );
    let nothing = part.take_command("nothing", Credits::ZERO, "promo");
    assert_eq!(
        refused(part.execute(&nothing).await),
        Refusal::OutOfRange("the adjustment's amount")
    );
    for teller in [&few, &many, &part] {
        assert_rebuilt(ledger, teller).await;
    }
}

pub(crate) async fn what_is_clawed_back_leaves_what_is_held(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    bought(&teller).await;
    // Ten lie on the promotional grant, fifteen on the purchase: thirty-five of it are free.
    let hold = teller.hold(micros(25)).await;
    applied(
        &teller
            .execute(&teller.take_command("refund", micros(35), "purchase"))
            .await,
    );
    assert_eq!(teller.available().await, Credits::ZERO);
    assert_eq!(
        (parts(&teller, "purchase").await, parts(&teller, "promo").await),
        ((35, 0, 0), (0, 0, 0))
    );
    applied(&teller.capture(hold, micros(25)).await);
    assert_eq!(
        (parts(&teller, "purchase").await, parts(&teller, "promo").await),
        ((50, 0, 0), (10, 0, 0))
    );
    assert_eq!(
        teller.statement().await.account.exceptions.clawback,
        Credits::ZERO
    );

    // Beyond what is free it is dealt in burn order, as without a grant: below zero.
    let owing = Teller::open(ledger, clock, "owing").await;
    bought(&owing).await;
    let hold = owing.hold(micros(25)).await;
    applied(
        &owing
            .execute(&owing.take_command("refund", micros(50), "purchase"))
            .await,
    );
    assert_eq!(owing.available().await, micros(-15));
    assert_eq!(
        (parts(&owing, "purchase").await, parts(&owing, "promo").await),
        ((40, 0, 0), (10, 0, 0))
    );
    assert_eq!(owing.statement().await.account.exceptions.clawback, micros(15));
    applied(&owing.release(hold).await);
    assert_eq!(owing.available().await, micros(10));

    // A grant that is ending has nothing but what is held.
    let ending = Teller::open(ledger, clock, "ending").await;
    let short = GrantFacts {
        expires_at: after(clock, 10),
        ..ending.facts("short", micros(20))
    };
    applied(&ending.put(short).await);
    let hold = ending.hold(micros(8)).await;
    ending.grant("long", micros(30)).await;
    clock.advance(Span::from_secs(10));
    applied(
        &ending
            .execute(&ending.take_command("refund", micros(12), "short"))
            .await,
    );
    assert_eq!(
        (parts(&ending, "short").await, parts(&ending, "long").await),
        ((0, 12, 0), (12, 0, 0))
    );
    applied(&ending.capture(hold, micros(8)).await);
    assert_eq!(
        (parts(&ending, "short").await, parts(&ending, "long").await),
        ((8, 12, 0), (12, 0, 0))
    );
    for teller in [&teller, &owing, &ending] {
        assert_rebuilt(ledger, teller).await;
    }
}

pub(crate) async fn a_debt_is_paid_by_the_next_grant(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("first", micros(10)).await;
    applied(&teller.adjust("clawback", micros(-30)).await);
    assert_eq!(teller.available().await, micros(-20));
    let later = GrantFacts {
        effective_at: after(clock, 10),
        ..teller.facts("later", micros(15))
    };
    applied(&teller.put(later).await);
    assert_eq!(teller.available().await, micros(-20));
    clock.advance(Span::from_secs(10));
    assert_eq!(teller.available().await, micros(-5));
    assert_eq!(teller.grant_now("later").await.state, GrantState::Ended);
    applied(&teller.adjust("gift", micros(7)).await);
    assert_eq!(teller.available().await, micros(2));
    assert_eq!(parts(&teller, "adjust:gift").await, (5, 0, 0));
    teller.prove().await;
}

pub(crate) async fn a_debt_is_paid_by_a_grant_whose_end_went_by_unseen(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    applied(&teller.adjust("clawback", micros(-30)).await);
    for (id, starts, ends) in [("one", 5, 10), ("two", 7, 12)] {
        let facts = GrantFacts {
            effective_at: after(clock, starts),
            expires_at: after(clock, ends),
            ..teller.facts(id, micros(20))
        };
        applied(&teller.put(facts).await);
    }
    // Nobody looks while they come and go; in their time they pay what is owed, and the rest expires.
    clock.advance(Span::from_secs(60));
    teller.apply_due().await;
    assert_eq!(parts(&teller, "one").await, (20, 0, 0));
    assert_eq!(parts(&teller, "two").await, (10, 10, 0));
    assert_eq!(teller.available().await, micros(0));
    teller.prove().await;
}

pub(crate) async fn an_account_has_so_many_live_grants_and_no_more(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = |n: usize| GrantFacts {
        // Half of them have not started.
        effective_at: after(clock, if n.is_multiple_of(2) { 0 } else { 1_000 }),
        ..teller.facts(&format!("g{n}"), micros(1))
    };
    for n in 0..LIVE_GRANTS_MAX {
        applied(&teller.put(facts(n)).await);
    }
    let full = Refusal::OutOfRange("the number of grants");
    assert_eq!(refused(teller.put(facts(LIVE_GRANTS_MAX)).await), full);
    assert_eq!(refused(teller.adjust("gift", micros(1)).await), full);
    // News of one that is there need no room; and one that is over leaves its own.
    let void = GrantFacts {
        voided_at: Some(clock.now()),
        updated_at: after(clock, 1),
        ..facts(0)
    };
    applied(&teller.put(void).await);
    applied(&teller.adjust("gift", micros(1)).await);
    assert_eq!(refused(teller.put(facts(LIVE_GRANTS_MAX)).await), full);
    teller.prove().await;
}

pub(crate) async fn all_that_was_ever_granted_stays_exact(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let total = Refusal::OutOfRange("the account's grants in total");
    let all = Credits::MAX.micros();
    let promised = GrantFacts {
        effective_at: after(clock, 1_000),
        ..teller.facts("promised", micros(all - 30))
    };
    applied(&teller.put(promised.clone()).await);
    // What is promised counts, and what was taken by hand is not given back to the range.
    let put = async |id, amount| teller.put(teller.facts(id, micros(amount))).await;
    assert_eq!(refused(put("over", 31).await), total);
    applied(&put("ten", 10).await);
    applied(&teller.adjust("fee", micros(-10)).await);
    assert_eq!(refused(put("over", 21).await), total);
    assert_eq!(refused(teller.adjust("gift", micros(21)).await), total);
    applied(&teller.adjust("gift", micros(20)).await);
    assert_eq!(refused(put("over", 1).await), total);
    clock.set(promised.effective_at);
    assert_eq!(teller.available().await, micros(all - 10));
    teller.prove().await;
}

pub(crate) async fn a_void_that_no_number_can_say_is_refused(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let facts = GrantFacts {
        expires_at: after(clock, 20),
        ..teller.facts("g", micros(25))
    };
    applied(&teller.put(facts.clone()).await);
    let hold = teller.hold(micros(1)).await;
    clock.advance(Span::from_secs(20));
    // One micro-credit of the grant is left, under the hold; the account owes all that it can.
    applied(&teller.adjust("fee", Credits::MAX.negated()).await);
    assert_eq!(teller.available().await, Credits::MAX.negated());
    let void = GrantFacts {
        voided_at: Some(clock.now()),
        updated_at: after(clock, 1),
        ..facts
    };
    let refusal = Refusal::OutOfRange("the void's amount");
    assert_eq!(refused(teller.put(void.clone()).await), refusal);
    assert_eq!(parts(&teller, "g").await, (0, 24, 0));
    applied(&teller.release(hold).await);
    applied(&teller.put(void).await);
    assert_eq!(teller.available().await, Credits::MAX.negated());
    teller.prove().await;
}

pub(crate) async fn news_of_a_grant_that_never_counted_moves_nothing(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let over = GrantFacts {
        effective_at: after(clock, -20),
        expires_at: after(clock, -10),
        ..teller.facts("over", micros(10))
    };
    applied(&teller.put(over.clone()).await);
    let voided = GrantFacts {
        voided_at: Some(clock.now()),
        ..teller.facts("voided", micros(10))
    };
    applied(&teller.put(voided).await);
    let coming = GrantFacts {
        effective_at: after(clock, 50),
        ..teller.facts("coming", micros(10))
    };
    applied(&teller.put(coming.clone()).await);
    let dropped = GrantFacts {
        voided_at: Some(clock.now()),
        ..coming
    };
    applied(&teller.put(dropped).await);
    clock.advance(Span::from_secs(100));
    assert_eq!(teller.balance().await, Default::default());
    // Its end was wrong: it begins to count.
    let alive = GrantFacts {
        expires_at: after(clock, 50),
        updated_at: clock.now(),
        ..over
    };
    applied(&teller.put(alive).await);
    assert_eq!(teller.balance().await.granted, micros(10));
    assert_eq!(teller.available().await, micros(10));
    teller.prove().await;
}
