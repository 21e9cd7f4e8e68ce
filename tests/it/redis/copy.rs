//! A copied ledger goes on where the embedded one stopped: holds that were open, grants that end or begin later, ids that were told before.

use std::sync::Arc;

use faregate::clock::{Clock, ManualClock};
use faregate::domain::command::Outcome;
use faregate::domain::hold::{HoldState, OnExpiry};
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;
use faregate::ledger::embedded::{self, EmbeddedLedger};
use faregate::ledger::redis::{Options, copy};

use super::{open, options};
use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{TTL, Teller, applied, replayed};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::temp::TempDir;
use crate::rig::within;

const DAY: Span = Span::from_secs(86_400);

#[tokio::test]
async fn p2_p4_a_copied_ledger_goes_on_where_the_embedded_one_stopped() {
    let folder = TempDir::new();
    let clock = Arc::new(ManualClock::new(START));
    let source = EmbeddedLedger::open(embedded::Options::new(folder.path()), clock.clone()).unwrap();
    let teller = Teller::open(&source, &*clock, "acme").await;
    let other = Teller::open(&source, &*clock, "beta/team").await;
    let caps = Limits {
        concurrent: Some(9),
        spend_per_day: Some(micros(10_000)),
        ..Limits::NONE
    };
    applied(&teller.put_key(1, caps, Timestamp::NEVER).await);
    teller.grant("paid", micros(1_000)).await;
    other.grant("paid", micros(1_000)).await;
    let mut ending = teller.facts("ending", micros(100));
    (ending.expires_at, ending.priority) = (START.plus(Span::from_secs(20)), 1);
    applied(&teller.put(ending).await);
    let mut next = teller.facts("next", micros(50));
    next.effective_at = START.plus(Span::from_secs(200));
    let next = teller.put_command(next);
    applied(&teller.execute(&next).await);
    // More entries than one item of the stream has.
    for _ in 0..20 {
        for teller in [&teller, &other] {
            let hold = teller.hold(micros(2)).await;
            applied(&teller.capture(hold, micros(1)).await);
        }
    }
    let charged = teller.hold(micros(7)).await;
    applied(&teller.capture(charged, micros(7)).await);
    let open_one = teller.hold(micros(30)).await;
    applied(&teller.extend(open_one, 1, micros(10)).await);
    let left = teller.hold(micros(5)).await;
    let mut claimed = Vec::new();
    for key in 0..3 {
        let (hold, outcome) = teller.claim(key, micros(3)).await;
        applied(&outcome);
        claimed.push(hold);
    }
    applied(&teller.capture(claimed[0], micros(3)).await);
    applied(&teller.release(claimed[1]).await);
    applied(&teller.adjust("gift", micros(9)).await);
    // A grant ends under the open holds.
    clock.advance(Span::from_secs(30));
    teller.apply_due().await;
    applied(&teller.renew(open_one).await);
    let before = (teller.picture().await, other.picture().await);
    let (from, to) = (START.day() - 1, START.day() + 1);
    let charges = source.usage_by_day(&teller.account, from, to).await.unwrap();

    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, time) = options(server.url(), START.plus(Span::from_secs(30)));
    let options = Options {
        partitions: Some(4),
        ..options
    };
    let copied = copy(&source, options.clone()).await.unwrap();
    assert!(open_refused(&options).await.contains("being copied"));
    copied.open().await.unwrap();

    let ledger = open(options).await;
    let teller = Teller::of(&ledger, &*clock, "acme");
    let other = Teller::of(&ledger, &*clock, "beta/team");
    for (teller, before) in [(&teller, &before.0), (&other, &before.1)] {
        let mut after = teller.picture().await;
        assert_eq!(after.account.balance(), before.account.balance());
        assert_eq!((&after.grants, &after.keys), (&before.grants, &before.keys));
        for (entry, was) in after.entries.iter_mut().zip(&before.entries) {
            (entry.seq, entry.previous) = (was.seq, was.previous);
        }
        assert_eq!(after.entries, before.entries);
    }
    let now = ledger.usage_by_day(&teller.account, from, to).await.unwrap();
    assert_eq!(now, charges);
    let told = ledger.entries_of_hold(&teller.account, open_one).await.unwrap();
    assert_eq!(told.len(), 2, "{told:?}");

    // What was done is told, not done again.
    replayed(&teller.capture(charged, micros(7)).await);
    replayed(&teller.adjust("gift", micros(9)).await);
    replayed(&teller.execute(&next).await);
    let again = teller.adjust("gift", micros(8)).await;
    assert!(matches!(again, Outcome::Refused(_)), "{again:?}");
    // Nor is it under the same idempotency key.
    let mut said = Vec::new();
    for key in 0..3 {
        said.push(teller.claim(key, micros(3)).await.1);
    }
    let [charged, free, open] = &said[..] else {
        unreachable!()
    };
    let request = claimed[0];
    assert_eq!(*charged, Outcome::Refused(Refusal::AlreadyCharged { request }));
    applied(free);
    let request = claimed[2];
    assert_eq!(*open, Outcome::Refused(Refusal::InProgress { request }));
    // Open holds end once: by their request, or by time.
    applied(&teller.capture(open_one, micros(40)).await);
    clock.advance(TTL);
    time.set(Clock::now(&*clock));
    within("the sweep to end a hold", async {
        while ledger.sweep(OnExpiry::Release).await.unwrap() == 0 {}
    })
    .await;
    let ended = teller.hold_now(left).await.unwrap();
    assert_eq!(ended.state, HoldState::Expired);
    assert_eq!(teller.balance().await.held, micros(0));
    clock.advance(DAY);
    time.set(Clock::now(&*clock));
    let hold = teller.hold(micros(1)).await;
    applied(&teller.capture(hold, micros(1)).await);
    assert_eq!(teller.grant_now("next").await.remaining(), micros(50));
    teller.prove().await;
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    let report = ledger.rebuild().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
}

async fn open_refused(options: &Options) -> String {
    match faregate::ledger::redis::RedisLedger::open(options.clone()).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}
