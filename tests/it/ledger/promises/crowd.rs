//! Many at once.

use std::sync::Arc;

use faregate::domain::command::{Command, Outcome};
use faregate::domain::hold::OnExpiry;
use faregate::domain::refusal::Refusal;
use faregate::ledger::Ledger;

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{TTL, Teller, applied, refused};

/// Asks all at once; the answers in the order of the commands.
async fn at_once(ledger: &dyn Ledger, commands: &[Command]) -> Vec<Outcome> {
    let calls: Vec<_> = commands.iter().map(|command| ledger.execute(command)).collect();
    let mut outcomes = Vec::new();
    for (call, command) in futures_in_order(calls).await.into_iter().zip(commands) {
        outcomes.push(call.unwrap_or_else(|e| panic!("no answer to {command:?}: {e}")));
    }
    outcomes
}

/// Drives all futures together, each woken as it is ready.
async fn futures_in_order<T>(calls: Vec<std::pin::Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    use std::task::Poll;
    let mut calls: Vec<_> = calls.into_iter().map(Some).collect();
    let mut answers: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(move |cx| {
        let mut waiting = false;
        for (call, answer) in calls.iter_mut().zip(&mut answers) {
            let Some(running) = call else { continue };
            match running.as_mut().poll(cx) {
                Poll::Ready(done) => (*answer, *call) = (Some(done), None),
                Poll::Pending => waiting = true,
            }
        }
        if waiting {
            Poll::Pending
        } else {
            Poll::Ready(answers.iter_mut().filter_map(Option::take).collect())
        }
    })
    .await
}

pub(crate) async fn t3_exactly_as_many_pass_as_can_pay(ledger: &dyn Ledger, clock: &dyn TestClock) {
    for (round, (balance, price, callers)) in [(1_000, 10, 300), (1_003, 7, 200), (5, 10, 20), (1, 1, 50)]
        .into_iter()
        .enumerate()
    {
        let teller = Teller::open(ledger, clock, &format!("round-{round}")).await;
        teller.grant("g", micros(balance)).await;
        let mut commands = Vec::new();
        for _ in 0..callers {
            commands.push(Command::Admit(teller.admit_command(micros(price)).await));
        }
        let outcomes = at_once(ledger, &commands).await;
        let mut passed = Vec::new();
        for (outcome, command) in outcomes.into_iter().zip(&commands) {
            match (outcome, command) {
                (Outcome::Applied(receipt), Command::Admit(admit)) => {
                    assert_eq!(receipt.amount, micros(price));
                    passed.push(admit.hold);
                }
                (other, _) => assert!(matches!(refused(other), Refusal::InsufficientCredits { .. })),
            }
        }
        assert_eq!(passed.len() as i64, (balance / price).min(callers));
        assert_eq!(teller.available().await, micros(balance % price));
        let captures: Vec<_> = passed
            .iter()
            .map(|hold| teller.capture_command(*hold, micros(price), teller.anyone()))
            .collect();
        for outcome in at_once(ledger, &captures).await {
            applied(&outcome);
        }
        assert_eq!(teller.available().await, micros(balance % price));
        assert_eq!(teller.balance().await.spent, micros(balance - balance % price));
        teller.prove().await;
    }
}

pub(crate) async fn t4_many_repeats_of_one_request_are_one_request(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let admit = teller.admit_command(micros(10)).await;
    let capture = teller.capture_command(admit.hold, micros(8), teller.anyone());
    for command in [
        Command::Admit(admit),
        capture,
        teller.adjust_command("gift", micros(5)),
        teller.put_command(teller.facts("h", micros(7))),
    ] {
        let outcomes = at_once(ledger, &vec![command.clone(); 40]).await;
        let first = outcomes.iter().filter(|o| matches!(o, Outcome::Applied(_)));
        assert_eq!(first.count(), 1, "{command:?}");
        let amounts: Vec<_> = outcomes
            .into_iter()
            .map(|o| o.receipt().unwrap().amount)
            .collect();
        assert!(amounts.iter().all(|a| *a == amounts[0]), "{amounts:?}");
    }
    let balance = teller.balance().await;
    assert_eq!((balance.granted, balance.spent), (micros(112), micros(8)));
    teller.prove().await;
}

pub(crate) async fn b20_expiry_and_capture_race_to_one_end(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(1_000)).await;
    let mut spent = 0;
    for round in 0..20 {
        let hold = teller.hold(micros(10)).await;
        clock.advance(TTL);
        let on_expiry = [OnExpiry::Release, OnExpiry::Capture][round % 2];
        let expire = Command::ExpireHold {
            account: teller.account.clone(),
            hold,
            on_expiry,
        };
        let capture = teller.capture_command(hold, micros(7), teller.anyone());
        let mut commands = vec![expire.clone(), capture, expire];
        commands.rotate_left(round % 3);
        let outcomes = at_once(ledger, &commands).await;
        let done = outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Applied(_)))
            .count();
        // The capture counts, before or after the expiry; no second expiry does.
        assert!(done == 1 || done == 2, "{outcomes:?}");
        spent += 7;
        let balance = teller.balance().await;
        assert_eq!((balance.spent, balance.held), (micros(spent), micros(0)));
    }
    teller.prove().await;
}

pub(crate) async fn a_crowd_of_everything_leaves_the_books_right(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let tellers = [
        Teller::open(ledger, clock, "one").await,
        Teller::open(ledger, clock, "two").await,
        Teller::open(ledger, clock, "three").await,
    ];
    let mut waiting = Vec::new();
    for round in 0..12_i64 {
        let mut commands = Vec::new();
        for teller in &tellers {
            let mut facts = teller.facts(&format!("g{round}"), micros(40 + round));
            facts.expires_at = clock.now().plus(faregate::domain::time::Span::from_secs(3));
            commands.push(teller.put_command(facts));
            for n in 0..8 {
                let admit = teller.admit_command(micros(3 + n)).await;
                waiting.push((admit.hold, 3 + n, teller.account.clone()));
                commands.push(Command::Admit(admit));
            }
            commands.push(teller.adjust_command(&format!("a{round}"), micros(5 - round)));
            let account = teller.account.clone();
            commands.push(Command::ApplyDue { account });
        }
        // Half of those that were asked for before end now, some of them twice, some in two ways.
        for (at, (hold, amount, account)) in waiting.drain(..waiting.len() / 2).enumerate() {
            let teller = tellers.iter().find(|t| t.account == account).unwrap();
            let caller = teller.anyone();
            let used = micros(amount * (at as i64 % 4) / 2);
            commands.push(teller.capture_command(hold, used, Arc::clone(&caller)));
            if at % 3 == 0 {
                commands.push(teller.capture_command(hold, used, caller));
            }
            if at % 5 == 0 {
                commands.push(teller.release_command(hold));
            }
        }
        at_once(ledger, &commands).await;
        clock.advance(faregate::domain::time::Span::from_secs(1));
    }
    clock.advance(TTL);
    while ledger.sweep(OnExpiry::Release).await.unwrap() > 0 {}
    for teller in &tellers {
        assert_eq!(teller.balance().await.held, micros(0));
        teller.prove().await;
    }
}
