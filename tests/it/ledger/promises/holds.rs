//! The life of a hold.

use faregate::domain::command::{Admit, Command, Outcome};
use faregate::domain::entry::EntryKind;
use faregate::domain::hold::{HoldState, OnExpiry};
use faregate::domain::ids::HoldId;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{TTL, Teller, applied, refused, replayed};

/// An account with 100.
async fn hundred<'a>(ledger: &'a dyn Ledger, clock: &'a dyn TestClock) -> Teller<'a> {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    teller
}

async fn state(teller: &Teller<'_>, hold: HoldId) -> HoldState {
    teller.hold_now(hold).await.unwrap().state
}

pub(crate) async fn p3_a_hold_that_nobody_settles_ends_within_its_time(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = hundred(ledger, clock).await;
    let first = teller.hold(micros(30)).await;
    clock.advance(Span::from_secs(1));
    let second = teller.hold(micros(20)).await;
    clock.advance(Span::from_micros(TTL.micros() - 1_000_001));
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    assert_eq!(
        refused(teller.expire(first, OnExpiry::Release).await),
        Refusal::HoldEnded
    );
    clock.advance(Span::from_micros(1));
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(1));
    assert_eq!(state(&teller, first).await, HoldState::Expired);
    assert_eq!(state(&teller, second).await, HoldState::Open);
    assert_eq!(teller.available().await, micros(80));
    clock.advance(Span::from_secs(1));
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(1));
    assert_eq!(teller.hold_now(second).await.unwrap().charged, micros(20));
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(0));
    let balance = teller.balance().await;
    assert_eq!(
        (balance.available(), balance.spent, balance.held),
        (micros(80), micros(20), micros(0))
    );
    teller.prove().await;
}

pub(crate) async fn p3_a_renewed_hold_lives_on(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    let hold = teller.hold(micros(30)).await;
    for _ in 0..5 {
        clock.advance(Span::from_secs(59));
        let receipt = applied(&teller.renew(hold).await);
        assert_eq!(receipt.expires_at, clock.now().plus(TTL));
        assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    }
    // One that ran out is still open until a sweep ends it.
    clock.advance(Span::from_secs(100));
    applied(&teller.renew(hold).await);
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    applied(&teller.release(hold).await);
    assert_eq!(refused(teller.renew(hold).await), Refusal::HoldEnded);
    clock.advance(Span::from_secs(100));
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    teller.prove().await;
}

pub(crate) async fn p3_a_hold_ends_once(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    let (charged, dropped) = (teller.hold(micros(30)).await, teller.hold(micros(20)).await);
    applied(&teller.capture(charged, micros(25)).await);
    applied(&teller.release(dropped).await);
    let before = teller.picture().await;
    assert_eq!(refused(teller.release(charged).await), Refusal::HoldEnded);
    assert_eq!(
        refused(teller.capture(charged, micros(24)).await),
        Refusal::IdConflict
    );
    assert_eq!(
        refused(teller.capture(dropped, micros(1)).await),
        Refusal::HoldEnded
    );
    clock.advance(Span::from_secs(1_000));
    for hold in [charged, dropped] {
        assert_eq!(
            refused(teller.expire(hold, OnExpiry::Capture).await),
            Refusal::HoldEnded
        );
        assert_eq!(
            refused(teller.extend(hold, 1, micros(1)).await),
            Refusal::HoldEnded
        );
    }
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(0));
    assert_eq!(teller.picture().await, before);
}

pub(crate) async fn a_charge_gives_back_the_rest(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    for (held, used, left) in [(30, 10, 90), (90, 0, 90), (90, 90, 0)] {
        let hold = teller.hold(micros(held)).await;
        let receipt = applied(&teller.capture(hold, micros(used)).await);
        assert_eq!((receipt.amount, receipt.available), (micros(used), micros(left)));
        assert_eq!(receipt.expires_at, Timestamp::NEVER);
        assert_eq!(teller.hold_now(hold).await.unwrap().charged, micros(used));
    }
    teller.prove().await;
}

pub(crate) async fn a_charge_beyond_the_hold_is_taken_from_available(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = hundred(ledger, clock).await;
    let (one, other) = (teller.hold(micros(30)).await, teller.hold(micros(60)).await);
    assert_eq!(
        applied(&teller.capture(one, micros(40)).await).available,
        micros(0)
    );
    assert_eq!(
        teller.statement().await.account.exceptions.overrun,
        micros(0),
        "it was there"
    );
    assert_eq!(
        applied(&teller.capture(other, micros(65)).await).available,
        micros(-5)
    );
    assert_eq!(teller.statement().await.account.exceptions.overrun, micros(5));
    assert!(matches!(
        refused(teller.capture(one, micros(-1)).await),
        Refusal::IdConflict | Refusal::OutOfRange(_)
    ));
    teller.prove().await;
}

pub(crate) async fn b20_a_late_capture_counts_once(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    let (late, never) = (teller.hold(micros(30)).await, teller.hold(micros(20)).await);
    clock.advance(TTL);
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(2));
    let receipt = applied(&teller.capture(late, micros(25)).await);
    assert_eq!((receipt.amount, receipt.available), (micros(25), micros(75)));
    replayed(&teller.capture(late, micros(25)).await);
    assert_eq!(
        refused(teller.capture(late, micros(26)).await),
        Refusal::IdConflict
    );
    // A late release only says that nothing will come any more.
    let entries = teller.entries().await.len();
    applied(&teller.release(never).await);
    assert_eq!(teller.entries().await.len(), entries);
    assert_eq!(
        refused(teller.capture(never, micros(1)).await),
        Refusal::HoldEnded
    );
    assert_eq!(state(&teller, late).await, HoldState::Captured);
    assert_eq!(state(&teller, never).await, HoldState::Released);
    teller.prove().await;
}

pub(crate) async fn b20_a_late_capture_corrects_a_charge_by_time(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    let holds = [
        teller.hold(micros(10)).await,
        teller.hold(micros(10)).await,
        teller.hold(micros(10)).await,
        teller.hold(micros(10)).await,
    ];
    clock.advance(TTL);
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(4));
    assert_eq!(teller.balance().await.spent, micros(40));
    applied(&teller.capture(holds[0], micros(4)).await);
    applied(&teller.capture(holds[1], micros(10)).await);
    applied(&teller.capture(holds[2], micros(13)).await);
    applied(&teller.release(holds[3]).await);
    assert_eq!(teller.balance().await.spent, micros(27));
    assert_eq!(teller.available().await, micros(73));
    let corrections: Vec<_> = teller.entries().await[7 + 4..]
        .iter()
        .map(|e| (e.kind, e.amount.micros(), e.held.micros()))
        .collect();
    assert_eq!(
        corrections,
        [
            (EntryKind::Capture, -6, 0),
            (EntryKind::Capture, 3, 0),
            (EntryKind::Release, -10, 0)
        ]
    );
    teller.prove().await;
}

pub(crate) async fn only_an_open_hold_is_extended_by_the_next_number(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = hundred(ledger, clock).await;
    let hold = teller.hold(micros(10)).await;
    assert_eq!(
        refused(teller.extend(hold, 0, micros(5)).await),
        Refusal::IdConflict
    );
    assert_eq!(
        refused(teller.extend(hold, 2, micros(5)).await),
        Refusal::IdConflict
    );
    clock.advance(Span::from_secs(30));
    let receipt = applied(&teller.extend(hold, 1, micros(5)).await);
    assert_eq!((receipt.amount, receipt.available), (micros(15), micros(85)));
    assert_eq!(receipt.expires_at, clock.now().plus(TTL));
    let again = replayed(&teller.extend(hold, 1, micros(5)).await);
    assert_eq!(again.amount, micros(15));
    applied(&teller.extend(hold, 2, micros(5)).await);
    assert_eq!(
        refused(teller.extend(hold, 1, micros(5)).await),
        Refusal::IdConflict
    );
    applied(&teller.capture(hold, micros(20)).await);
    assert_eq!(
        refused(teller.extend(hold, 2, micros(5)).await),
        Refusal::HoldEnded
    );
    assert_eq!(teller.available().await, micros(80));
    teller.prove().await;
}

pub(crate) async fn an_extension_takes_no_more_than_there_is(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = hundred(ledger, clock).await;
    let hold = teller.hold(micros(90)).await;
    let caller = teller.caller(0).await;
    let extend = |number, least, most| {
        Command::Extend(faregate::domain::command::Extend {
            hold,
            caller: caller.clone(),
            number,
            least: micros(least),
            most: micros(most),
            ttl: TTL,
        })
    };
    let refusal = refused(teller.execute(&extend(1, 11, 50)).await);
    let (available, required) = (micros(10), micros(11));
    assert_eq!(refusal, Refusal::InsufficientCredits { available, required });
    let receipt = applied(&teller.execute(&extend(1, 5, 50)).await);
    assert_eq!((receipt.amount, receipt.available), (micros(100), micros(0)));
    let refusal = refused(teller.execute(&extend(2, 0, 50)).await);
    let (available, required) = (micros(0), micros(1));
    assert_eq!(refusal, Refusal::InsufficientCredits { available, required });
    teller.prove().await;
}

pub(crate) async fn a_free_request_holds_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let entries = teller.entries().await.len();
    let (hold, outcome) = teller.try_hold(micros(0)).await;
    let receipt = applied(&outcome);
    assert_eq!(
        (receipt.amount, receipt.expires_at),
        (micros(0), Timestamp::NEVER)
    );
    assert_eq!(teller.hold_now(hold).await, None);
    assert_eq!(refused(teller.release(hold).await), Refusal::UnknownHold);
    assert_eq!(teller.entries().await.len(), entries);
    // Also with a debt.
    applied(&teller.adjust("fee", micros(-5)).await);
    applied(&teller.try_hold(micros(0)).await.1);
    teller.prove().await;
}

pub(crate) async fn what_is_not_there_is_refused(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let nobody = Teller::of(ledger, clock, "nobody");
    let hold = nobody.new_hold();
    let admit = Admit {
        caller: nobody.anyone(),
        ..teller.admit_command(micros(1)).await
    };
    let outcomes = [
        nobody.execute(&Command::Admit(admit)).await,
        nobody.capture(hold, micros(1)).await,
        nobody.release(hold).await,
        nobody.renew(hold).await,
        nobody.expire(hold, OnExpiry::Release).await,
        nobody.adjust("a", micros(1)).await,
        nobody.put(nobody.facts("g", micros(1))).await,
        nobody.revoke(0).await,
    ];
    for outcome in outcomes {
        assert_eq!(refused(outcome), Refusal::UnknownAccount);
    }
    assert_eq!(ledger.statement(&nobody.account).await, Ok(None));
    let outcomes: [Outcome; 5] = [
        teller.extend(hold, 1, micros(1)).await,
        teller.capture(hold, micros(1)).await,
        teller.release(hold).await,
        teller.renew(hold).await,
        teller.expire(hold, OnExpiry::Release).await,
    ];
    for outcome in outcomes {
        assert_eq!(refused(outcome), Refusal::UnknownHold);
    }
    assert_eq!(refused(teller.revoke(9).await), Refusal::UnknownKey);
    teller.prove().await;
}
