//! Reads that can be long, on Redis: in bounded pieces, with a patience of their own, while the ledger is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faregate::clock::ManualClock;
use faregate::domain::command::Command;
use faregate::ledger::redis::{Network, Options, RedisLedger, TestTime};
use faregate::ledger::{Ledger, LedgerError};
use tokio::task::JoinSet;

use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{Teller, applied};
use crate::rig::fault::FaultProxy;
use crate::rig::redis::{RedisOptions, RedisServer};

/// With the patience of the product, at a time that stands still.
async fn open(url: &str) -> Arc<RedisLedger> {
    let options = Options {
        time: Some(TestTime::new(START)),
        ..Options::new(vec![url.to_owned()], Arc::new(Network::new(None).unwrap()), 7)
    };
    Arc::new(RedisLedger::open(options).await.unwrap())
}

/// Opens and captures so many holds, many at once: the journal's items become long.
async fn spend(ledger: &Arc<RedisLedger>, clock: &Arc<ManualClock>, account: &str, times: usize) {
    let teller = Teller::of(&**ledger, &**clock, account);
    let mut admit = teller.admit_command(micros(1)).await;
    let mut tasks = JoinSet::new();
    for _ in 0..times {
        admit.hold = teller.new_hold();
        let capture = teller.capture_command(admit.hold, micros(1), Arc::clone(&admit.caller));
        let admit = admit.clone();
        let ledger = Arc::clone(ledger);
        tasks.spawn(async move {
            for command in [Command::Admit(admit), capture] {
                applied(&until_decided(&*ledger, &command).await);
            }
        });
    }
    tasks.join_all().await;
}

async fn until_decided(ledger: &dyn Ledger, command: &Command) -> faregate::domain::command::Outcome {
    loop {
        match ledger.execute(command).await {
            Ok(outcome) => return outcome,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

async fn customers(ledger: &Arc<RedisLedger>, clock: &Arc<ManualClock>, count: usize) {
    for n in 0..count {
        let teller = Teller::open(&**ledger, &**clock, &format!("customer-{n}")).await;
        teller.grant("g", micros(1_000_000)).await;
    }
}

#[tokio::test]
async fn b15_many_accounts_and_entries_are_verified_in_pieces_through_a_narrow_line() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let clock = Arc::new(ManualClock::new(START));
    let ledger = open(&format!("redis://{}", proxy.addr())).await;
    customers(&ledger, &clock, 300).await;
    spend(&ledger, &clock, "customer-1", 4_000).await;
    // All entries at once would take seconds on this line, more than any one answer may.
    proxy.throttle(700_000);
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    assert_eq!((report.accounts, report.entries), (300, 300 * 3 + 2 * 4_000));
}

#[tokio::test]
async fn b15_a_store_slower_than_a_request_waits_for_still_answers_the_operator() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let proxy = FaultProxy::start(redis.addr()).await;
    let clock = Arc::new(ManualClock::new(START));
    let ledger = open(&format!("redis://{}", proxy.addr())).await;
    customers(&ledger, &clock, 3).await;
    let teller = Teller::of(&*ledger, &*clock, "customer-2");
    proxy.latency(Duration::from_millis(300));
    assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
    assert_eq!(ledger.accounts(None, 10).await.unwrap().items.len(), 3);
    assert_eq!(
        ledger
            .entries(&teller.account, None, 10)
            .await
            .unwrap()
            .items
            .len(),
        3
    );
    assert_eq!(ledger.journal(0, 0, 10).await.unwrap().len(), 9);
    assert_eq!(
        teller.statement().await.account.balance().granted,
        micros(1_000_000)
    );
    // A request is not kept waiting for it.
    let asked = Instant::now();
    let ready = ledger.ready().await;
    assert!(matches!(ready, Err(LedgerError::TimedOut(_))), "{ready:?}");
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn b4_a_verification_outlives_a_restart_of_the_store() {
    let persistence = crate::rig::redis::Persistence::Always;
    let mut redis = RedisServer::start(RedisOptions::default().persistence(persistence)).await;
    let clock = Arc::new(ManualClock::new(START));
    let ledger = open(&redis.url()).await;
    customers(&ledger, &clock, 120).await;
    redis.kill9();
    let verifying = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.verify().await }
    });
    redis.restart().await;
    let report = verifying.await.unwrap().unwrap();
    assert_eq!((report.accounts, report.differences), (120, Vec::new()));
}

#[tokio::test]
async fn accounts_that_change_during_a_verification_are_no_differences() {
    let redis = RedisServer::start(RedisOptions::default()).await;
    let clock = Arc::new(ManualClock::new(START));
    let ledger = open(&redis.url()).await;
    customers(&ledger, &clock, 120).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (ledger, clock, stop) = (Arc::clone(&ledger), Arc::clone(&clock), Arc::clone(&stop));
        async move {
            let mut made = 120;
            while !stop.load(Ordering::Relaxed) {
                for n in [0, 60, 119] {
                    let teller = Teller::of(&*ledger, &*clock, &format!("customer-{n}"));
                    applied(&teller.adjust(&format!("a{made}"), micros(1)).await);
                }
                Teller::open(&*ledger, &*clock, &format!("customer-{made}")).await;
                made += 1;
            }
        }
    });
    for _ in 0..10 {
        let report = ledger.verify().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
    }
    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
}
