//! Where the credits are.

use faregate::domain::command::{Admit, Command, Extend};
use faregate::domain::credits::Credits;
use faregate::domain::entry::EntryKind;
use faregate::domain::key::Caller;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{TTL, Teller, applied, refused};

pub(crate) async fn p1_a_request_gets_what_it_asks_or_all_there_is_or_nothing(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let ask = async |least, most| {
        let admit = teller.admit_command(micros(most)).await;
        let admit = Admit {
            least: micros(least),
            ..admit
        };
        teller.execute(&Command::Admit(admit)).await
    };
    let receipt = applied(&ask(10, 40).await);
    assert_eq!((receipt.amount, receipt.available), (micros(40), micros(60)));
    let receipt = applied(&ask(60, 90).await);
    assert_eq!((receipt.amount, receipt.available), (micros(60), micros(0)));
    let required = micros(1);
    let available = micros(0);
    // Nobody starts at zero, however little is needed.
    let refusal = refused(ask(0, 5).await);
    assert_eq!(refusal, Refusal::InsufficientCredits { available, required });
    teller.prove().await;
}

pub(crate) async fn p1_available_never_goes_below_the_credit_line(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let ask = async |amount| {
        let admit = teller.admit_command(micros(amount)).await;
        let caller = Caller {
            credit_line: micros(50),
            ..(*admit.caller).clone()
        };
        let caller = caller.into();
        let outcome = teller.execute(&Command::Admit(Admit { caller, ..admit })).await;
        (outcome, teller.available().await)
    };
    let (outcome, available) = ask(45).await;
    assert_eq!(
        (applied(&outcome).available, available),
        (micros(-35), micros(-35))
    );
    let (outcome, available) = ask(16).await;
    let short = Refusal::InsufficientCredits {
        available: micros(15),
        required: micros(16),
    };
    assert_eq!((refused(outcome), available), (short, micros(-35)));
    let (outcome, available) = ask(15).await;
    assert_eq!(
        (applied(&outcome).available, available),
        (micros(-50), micros(-50))
    );
    // Without a line nothing goes.
    let (_, outcome) = teller.try_hold(micros(1)).await;
    let (available, required) = (micros(-50), micros(1));
    assert_eq!(
        refused(outcome),
        Refusal::InsufficientCredits { available, required }
    );
    let exceptions = teller.statement().await.account.exceptions;
    assert_eq!(exceptions, Default::default(), "credit is no exception");
    teller.prove().await;
}

pub(crate) async fn p1_only_what_lies_below_the_credit_line_is_an_exception(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    // Each with a line that its account is asked with in one place only, which is where the proof of the books has it from.
    let line = |teller: &Teller<'_>| {
        let credit_line = micros(50);
        Caller {
            credit_line,
            ..(*teller.anyone()).clone()
        }
    };
    let ends = Teller::open(ledger, clock, "ends").await;
    ends.grant("g", micros(10)).await;
    let hold = ends.hold(micros(10)).await;
    let capture = ends.capture_command(hold, micros(40), line(&ends).into());
    assert_eq!(applied(&ends.execute(&capture).await).available, micros(-30));
    let grows = Teller::open(ledger, clock, "grows").await;
    grows.grant("g", micros(10)).await;
    let hold = grows.hold(micros(10)).await;
    let version = grows.caller(0).await.version;
    let extend = Command::Extend(Extend {
        hold,
        caller: Caller {
            version,
            ..line(&grows)
        }
        .into(),
        number: 1,
        least: micros(1),
        most: micros(100),
        ttl: Span::from_secs(60),
    });
    assert_eq!(applied(&grows.execute(&extend).await).available, micros(-50));
    for teller in [&ends, &grows] {
        let exceptions = teller.statement().await.account.exceptions;
        assert_eq!(exceptions, Default::default());
        teller.prove().await;
    }
    // Twenty more than the line.
    let capture = grows.capture_command(hold, micros(80), line(&grows).into());
    assert_eq!(applied(&grows.execute(&capture).await).available, micros(-70));
    let exceptions = grows.statement().await.account.exceptions;
    assert_eq!((exceptions.overrun, exceptions.late), (micros(20), micros(0)));
    grows.prove().await;
}

pub(crate) async fn p1_below_zero_only_by_named_exceptions(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let (over, late) = (teller.hold(micros(60)).await, teller.hold(micros(40)).await);
    applied(&teller.capture(over, micros(75)).await);
    assert_eq!(teller.available().await, micros(-15));
    clock.advance(Span::from_secs(120));
    applied(&teller.expire(late, Default::default()).await);
    assert_eq!(teller.available().await, micros(25));
    applied(&teller.capture(late, micros(30)).await);
    assert_eq!(teller.available().await, micros(-5));
    applied(&teller.adjust("fee", micros(-7)).await);
    let account = teller.statement().await.account;
    assert_eq!(account.available(), micros(-12));
    let exceptions = account.exceptions;
    let named = (exceptions.overrun, exceptions.late, exceptions.clawback);
    assert_eq!(named, (micros(15), micros(5), micros(7)));
    teller.prove().await;
}

pub(crate) async fn p2_granted_is_available_held_spent_expired_and_voided(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let mut soon = teller.facts("soon", micros(30));
    soon.expires_at = clock.now().plus(Span::from_secs(5));
    applied(&teller.put(soon).await);
    teller.grant("void", micros(20)).await;
    teller.grant("stays", micros(50)).await;
    applied(&teller.adjust("gift", micros(9)).await);
    let charged = teller.hold(micros(12)).await;
    teller.hold(micros(3)).await;
    applied(&teller.capture(charged, micros(11)).await);
    clock.advance(Span::from_secs(5));
    let mut void = teller.facts("void", micros(20));
    void.voided_at = Some(clock.now());
    applied(&teller.put(void).await);
    let balance = teller.balance().await;
    // Of the first grant 11 are spent and 3 held.
    assert_eq!(balance.granted, micros(109));
    assert_eq!((balance.spent, balance.held), (micros(11), micros(3)));
    assert_eq!((balance.expired, balance.voided), (micros(16), micros(20)));
    assert_eq!(balance.available(), micros(59));
    teller.prove().await;
}

pub(crate) async fn p4_the_journal_explains_every_change(ledger: &dyn Ledger, clock: &dyn TestClock) {
    use EntryKind::{Adjust, Capture, Expire, Extend, Grant, Hold, Release, Status, Void};
    let teller = Teller::open(ledger, clock, "acme").await;
    let mut grant = teller.facts("g", micros(50));
    grant.expires_at = clock.now().plus(Span::from_secs(30));
    applied(&teller.put(grant.clone()).await);
    applied(&teller.adjust("gift", micros(8)).await);
    let (a, b) = (teller.hold(micros(10)).await, teller.hold(micros(5)).await);
    applied(&teller.extend(a, 1, micros(4)).await);
    applied(&teller.renew(a).await);
    applied(&teller.capture(a, micros(12)).await);
    applied(&teller.release(b).await);
    clock.advance(Span::from_secs(30));
    teller.apply_due().await;
    grant.voided_at = Some(clock.now());
    applied(&teller.put(grant).await);
    let entries = teller.entries().await;
    let lines: Vec<_> = entries
        .iter()
        .map(|e| (e.kind, e.amount.micros(), e.held.micros(), e.available.micros()))
        .collect();
    assert_eq!(
        lines,
        [
            (Status, 0, 0, 0),
            (Status, 0, 0, 0),
            (Grant, 50, 0, 50),
            (Adjust, 8, 0, 58),
            (Hold, 10, 0, 48),
            (Hold, 5, 0, 43),
            (Extend, 4, 0, 39),
            (Capture, 12, 14, 41),
            (Release, 0, 5, 46),
            (Expire, 38, 0, 8),
            (Void, 0, 0, 8),
        ]
    );
    let about: Vec<_> = entries.iter().map(|e| e.subject.to_string()).collect();
    let (a, b) = (a.to_string(), b.to_string());
    let expected: [&str; 11] = [
        "created",
        "key_created:key_0",
        "g",
        "gift",
        &a,
        &b,
        &a,
        &a,
        &b,
        "g",
        "g",
    ];
    assert_eq!(about, expected);
    assert_eq!(entries[2].time, entries[8].time);
    assert_eq!(entries[9].time, clock.now());
    teller.prove().await;
}

pub(crate) async fn p4_rebuilding_from_the_journal_changes_nothing(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    p4_the_journal_explains_every_change(ledger, clock).await;
    let teller = Teller::of(ledger, clock, "acme");
    let other = Teller::open(ledger, clock, "other").await;
    other.grant("g", micros(5)).await;
    let open = other.hold(micros(2)).await;
    let before = (teller.picture().await, other.picture().await);
    let report = ledger.rebuild().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    assert_eq!(report.accounts, 2);
    assert_eq!((teller.picture().await, other.picture().await), before);
    applied(&other.capture(open, micros(2)).await);
    other.prove().await;
}

pub(crate) async fn amounts_up_to_the_last_micro_credit_are_exact(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let all = Credits::MAX;
    teller.grant("g", all).await;
    let hold = teller.hold(micros(all.micros() - 1)).await;
    assert_eq!(teller.available().await, micros(1));
    let receipt = applied(&teller.capture(hold, micros(all.micros() - 2)).await);
    assert_eq!(receipt.amount, micros(all.micros() - 2));
    let entries = teller.entries().await;
    let last = entries.last().unwrap();
    assert_eq!(
        (last.amount, last.held),
        (micros(all.micros() - 2), micros(all.micros() - 1))
    );
    assert_eq!(last.available, micros(2));
    assert!(matches!(
        refused(teller.adjust("more", micros(1)).await),
        Refusal::OutOfRange(_)
    ));
    applied(&teller.adjust("less", micros(-2)).await);
    assert_eq!(teller.available().await, micros(0));
    teller.prove().await;
}

pub(crate) async fn amounts_beyond_the_last_micro_credit_are_refused_or_cut(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let (all, just_one) = (Credits::MAX, micros(1));
    let charged = Teller::open(ledger, clock, "charged").await;
    charged.grant("g", micros(10)).await;
    let first = charged.hold(just_one).await;
    applied(&charged.capture(first, just_one).await);
    let hold = charged.hold(micros(5)).await;
    assert!(matches!(
        refused(charged.capture(hold, all).await),
        Refusal::OutOfRange(_)
    ));
    // The charge was refused, not the hold's end.
    applied(&charged.capture(hold, micros(5)).await);
    charged.prove().await;
    let owing = Teller::open(ledger, clock, "owing").await;
    applied(&owing.adjust("all", micros(-all.micros())).await);
    assert!(matches!(
        refused(owing.adjust("more", micros(-1)).await),
        Refusal::OutOfRange(_)
    ));
    assert_eq!(owing.available().await, micros(-all.micros()));
    owing.prove().await;
    // All that is held must be exact too, also where a credit line would give more.
    let holding = Teller::open(ledger, clock, "holding").await;
    holding.grant("g", all).await;
    holding.hold(just_one).await;
    let admit = holding.admit_command(just_one).await;
    let caller = Caller {
        credit_line: micros(50),
        ..(*admit.caller).clone()
    };
    let admit = Admit {
        caller: caller.into(),
        most: all,
        ..admit
    };
    let receipt = applied(&holding.execute(&Command::Admit(admit)).await);
    assert_eq!(receipt.amount, micros(all.micros() - 1));
    holding.prove().await;
}

/// The server's clock is set back by an hour, as a time service may do.
pub(crate) async fn t2_time_never_goes_back_whatever_the_clock_says(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let short = faregate::domain::grant::GrantFacts {
        expires_at: clock.now().plus(Span::from_secs(10)),
        ..teller.facts("short", micros(50))
    };
    applied(&teller.put(short).await);
    let (charged, dropped) = (teller.hold(micros(5)).await, teller.hold(micros(5)).await);
    clock.advance(Span::from_secs(30));
    applied(&teller.capture(charged, micros(5)).await);
    let (late, ids) = (clock.now(), teller.admit_command(micros(1)).await);
    let (before, hold) = (teller.balance().await, teller.hold_now(dropped).await.unwrap());
    assert_eq!(before.available(), micros(100), "the short grant has expired");

    clock.set(Timestamp::from_micros(late.micros() - 3_600_000_000));
    assert_eq!(teller.statement().await.time, late);
    let receipt = applied(&teller.execute(&Command::Admit(ids)).await);
    assert_eq!((receipt.time, receipt.expires_at), (late, late.plus(TTL)));
    let renewed = applied(&teller.renew(dropped).await);
    assert_eq!(renewed.expires_at, late.plus(TTL));
    assert!(renewed.expires_at > hold.expires_at);
    assert_eq!(teller.available().await, micros(99), "and stays so");
    applied(&teller.release(dropped).await);
    let times: Vec<_> = teller.entries().await.iter().map(|entry| entry.time).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.last(), Some(&late));
    teller.prove().await;
}
