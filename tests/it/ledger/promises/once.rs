//! Of all requests under one idempotency key, one is charged.

use faregate::domain::claim::{CLAIM_LASTS, Claim, ClaimKey};
use faregate::domain::command::{AccountChange, Admit, Command, HOLDS_REMEMBERED, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::HoldId;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use super::super::fixture::TestClock;
use super::super::moves::micros;
use super::super::teller::{Teller, applied, refused, replayed};

/// A key that asks for this.
fn under(key: u8, content: u64) -> Claim {
    Claim {
        key: ClaimKey([key; 16]),
        content,
    }
}

/// Asks for a hold of this amount under a key.
async fn ask(teller: &Teller<'_>, claim: Claim, amount: i64) -> (HoldId, Outcome) {
    let admit = Admit {
        claim: Some(claim),
        ..teller.admit_command(micros(amount)).await
    };
    (admit.hold, teller.execute(&Command::Admit(admit)).await)
}

/// Opens one that must be granted.
async fn open(teller: &Teller<'_>, claim: Claim) -> HoldId {
    let (hold, outcome) = ask(teller, claim, 10).await;
    applied(&outcome);
    hold
}

async fn refusal(teller: &Teller<'_>, claim: Claim) -> Refusal {
    let before = teller.picture().await;
    let (hold, outcome) = ask(teller, claim, 10).await;
    assert_eq!(teller.picture().await, before, "a refusal changes nothing");
    assert_eq!(teller.hold_now(hold).await, None);
    refused(outcome)
}

pub(crate) async fn t4_requests_under_one_key_make_one_charge(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let admit = Admit {
        claim: Some(under(1, 1)),
        ..teller.admit_command(micros(10)).await
    };
    let (request, command) = (admit.hold, Command::Admit(admit));
    let first = applied(&teller.execute(&command).await);
    assert_eq!(
        refusal(&teller, under(1, 1)).await,
        Refusal::InProgress { request }
    );
    assert_eq!(
        refusal(&teller, under(1, 2)).await,
        Refusal::ClaimConflict { request }
    );
    // The same request again, whose answer was lost, is not another one.
    assert_eq!(replayed(&teller.execute(&command).await), first);
    applied(&teller.extend(request, 1, micros(5)).await);
    applied(&teller.renew(request).await);
    applied(&teller.capture(request, micros(12)).await);
    assert_eq!(
        refusal(&teller, under(1, 1)).await,
        Refusal::AlreadyCharged { request }
    );
    assert_eq!(
        refusal(&teller, under(1, 2)).await,
        Refusal::ClaimConflict { request }
    );
    // One that was charged nothing was served all the same.
    let nothing = open(&teller, under(2, 1)).await;
    applied(&teller.capture(nothing, Credits::ZERO).await);
    let request = nothing;
    assert_eq!(
        refusal(&teller, under(2, 1)).await,
        Refusal::AlreadyCharged { request }
    );
    assert_eq!(teller.balance().await.spent, micros(12));
    teller.prove().await;
}

pub(crate) async fn a_request_that_is_not_charged_gives_its_key_back(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(10)).await;
    let (_, dear) = ask(&teller, under(1, 1), 11).await;
    assert!(matches!(refused(dear), Refusal::InsufficientCredits { .. }));
    let released = open(&teller, under(1, 1)).await;
    applied(&teller.release(released).await);
    let lost = open(&teller, under(1, 2)).await;
    clock.advance(Span::from_secs(60));
    let request = lost;
    // It has run out, and nobody has come by.
    assert_eq!(
        refusal(&teller, under(1, 2)).await,
        Refusal::InProgress { request }
    );
    applied(&teller.expire(lost, OnExpiry::Release).await);
    let last = open(&teller, under(1, 3)).await;
    // The end of an earlier one, told late, leaves the key to the one that has it.
    let late = teller.capture(lost, micros(1)).await;
    assert_eq!(applied(&late).amount, micros(1));
    let request = last;
    assert_eq!(
        refusal(&teller, under(1, 3)).await,
        Refusal::InProgress { request }
    );
    clock.advance(Span::from_secs(60));
    applied(&teller.expire(last, OnExpiry::Capture).await);
    assert_eq!(
        refusal(&teller, under(1, 3)).await,
        Refusal::AlreadyCharged { request }
    );
    teller.prove().await;
}

pub(crate) async fn a_key_counts_for_one_account_and_not_for_free_requests(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let (one, other) = (
        Teller::open(ledger, clock, "acme").await,
        Teller::open(ledger, clock, "acme/other").await,
    );
    for teller in [&one, &other] {
        teller.grant("g", micros(100)).await;
        open(teller, under(1, 1)).await;
        let free = ask(teller, under(1, 1), 0).await.1;
        assert_eq!(applied(&free).amount, Credits::ZERO);
        let free = ask(teller, under(2, 1), 0).await.1;
        assert_eq!(applied(&free).amount, Credits::ZERO);
        open(teller, under(2, 2)).await;
        teller.hold(micros(10)).await;
        teller.prove().await;
    }
}

/// Whoever is shut out is told that, whatever was charged under the key.
pub(crate) async fn a_key_opens_nothing_to_who_is_shut_out(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let hold = open(&teller, under(1, 1)).await;
    let admit = Admit {
        claim: Some(under(1, 1)),
        ..teller.admit_command(micros(10)).await
    };
    applied(&teller.put_key(1, Limits::NONE, Timestamp::NEVER).await);
    assert_eq!(
        refused(teller.execute(&Command::Admit(admit)).await),
        Refusal::Stale
    );
    applied(&teller.capture(hold, micros(10)).await);
    let limits = Limits {
        requests_per_minute: Some(1),
        ..Limits::NONE
    };
    applied(&teller.set(AccountChange::Limits(limits)).await);
    // A retry of what was charged counts towards no rate, and is refused by none.
    for _ in 0..3 {
        assert_eq!(
            refusal(&teller, under(1, 1)).await,
            Refusal::AlreadyCharged { request: hold }
        );
    }
    teller.prove().await;
}

pub(crate) async fn a_key_is_remembered_as_long_as_its_hold(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    for sweeps in [false, true] {
        let request = open(&teller, under(1, 1)).await;
        applied(&teller.capture(request, micros(10)).await);
        clock.advance(HOLDS_REMEMBERED);
        ledger.sweep(OnExpiry::Release).await.unwrap();
        assert_eq!(
            refusal(&teller, under(1, 1)).await,
            Refusal::AlreadyCharged { request }
        );
        clock.advance(Span::from_secs(61));
        if sweeps {
            ledger.sweep(OnExpiry::Release).await.unwrap();
        }
        let next = open(&teller, under(1, 1)).await;
        applied(&teller.release(next).await);
    }
    // A stream that goes on for days does not keep its key for ever.
    let request = open(&teller, under(2, 1)).await;
    clock.advance(Span::from_micros(CLAIM_LASTS.micros() - 1));
    assert_eq!(
        refusal(&teller, under(2, 1)).await,
        Refusal::InProgress { request }
    );
    clock.advance(Span::from_micros(1));
    let next = open(&teller, under(2, 1)).await;
    assert_eq!(
        refusal(&teller, under(2, 1)).await,
        Refusal::InProgress { request: next }
    );
    teller.prove().await;
}

pub(crate) async fn t4_many_at_once_under_one_key_are_one_request(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(1_000)).await;
    for round in 0..3 {
        let admit = teller.admit_command(micros(10)).await;
        let asking: Vec<_> = (0..40)
            .map(|_| {
                Command::Admit(Admit {
                    hold: teller.new_hold(),
                    claim: Some(under(round, 1)),
                    ..admit.clone()
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        let mut calls: Vec<_> = asking.iter().map(|command| ledger.execute(command)).collect();
        std::future::poll_fn(|context| {
            calls.retain_mut(|call| match call.as_mut().poll(context) {
                std::task::Poll::Ready(answer) => {
                    outcomes.push(answer.unwrap());
                    false
                }
                std::task::Poll::Pending => true,
            });
            if calls.is_empty() {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        let opened = outcomes.iter().filter(|o| matches!(o, Outcome::Applied(_)));
        assert_eq!(opened.count(), 1, "{outcomes:?}");
        let kept_out = |o: &&Outcome| matches!(o, Outcome::Refused(Refusal::InProgress { .. }));
        assert_eq!(outcomes.iter().filter(kept_out).count(), 39, "{outcomes:?}");
    }
    assert_eq!(teller.balance().await.held, micros(30));
    teller.prove().await;
}
