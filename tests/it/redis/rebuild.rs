//! Balances from the journal alone, on a store whose records were damaged, and on one that is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use faregate::clock::{Clock, ManualClock, SystemClock};
use faregate::domain::command::{Admit, Capture, Command, Outcome};
use faregate::domain::entry::Detail;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::detail::Note;
use faregate::ledger::redis::{Options, RedisLedger};
use faregate::ledger::{Ledger, LedgerError};

use super::{open, options, single};
use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{Picture, TTL, Teller, applied, key};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::within;

/// An account that has one of everything.
async fn lived<'a>(ledger: &'a RedisLedger, clock: &'a ManualClock, name: &str) -> Teller<'a> {
    let teller = Teller::of(ledger, clock, name);
    teller.create().await;
    let caps = Limits {
        concurrent: Some(9),
        spend_per_day: Some(micros(500)),
        ..Limits::NONE
    };
    for (n, limits) in [(0, Limits::NONE), (1, caps)] {
        let mut new = teller.key_command(n, limits, Timestamp::NEVER);
        if let Command::PutKey { key, detail, .. } = &mut new {
            *detail = Note::by("admin", "test").new_key(key).detail();
        }
        applied(&teller.execute(&new).await);
    }
    for (id, amount) in [("one", 100), ("two", 50)] {
        let mut facts = teller.facts(id, micros(amount));
        facts.note = Some("of a kind".into());
        let mut put = teller.put_command(facts);
        if let Command::PutGrant { facts, detail, .. } = &mut put {
            *detail = Note::by("admin", "test").grant(facts).detail();
        }
        applied(&teller.execute(&put).await);
    }
    applied(&teller.adjust("gift", micros(7)).await);
    let caller = teller.caller(1).await;
    for n in 0..4 {
        let admit = Admit {
            caller: caller.clone(),
            detail: Note::by("proxy", "request").key(&key(1)).detail(),
            ..teller.admit_command(micros(30)).await
        };
        let hold = admit.hold;
        applied(&teller.execute(&Command::Admit(admit)).await);
        if n < 3 {
            let capture = teller.capture_command(hold, micros(20 + n), caller.clone());
            applied(&teller.execute(&capture).await);
        }
    }
    teller.apply_due().await;
    teller
}

async fn pictures(tellers: &[Teller<'_>]) -> Vec<Picture> {
    let mut pictures = Vec::new();
    for teller in tellers {
        pictures.push(teller.picture().await);
    }
    pictures
}

#[tokio::test]
async fn p4_damaged_records_are_rebuilt_from_the_journal_alone() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, time) = single(&server).await;
    let clock = ManualClock::new(START);
    let tellers = [
        lived(&ledger, &clock, "acme").await,
        lived(&ledger, &clock, "other").await,
    ];
    clock.advance(Span::from_secs(5));
    time.set(Clock::now(&clock));
    let before = pictures(&tellers).await;
    let usage = ledger
        .usage_by_day(&tellers[0].account, START.day(), START.day())
        .await;
    let damages: [&[&str]; 14] = [
        &["SETRANGE", "fg:{0}:a:acme", "1", "xx"],
        &["DEL", "fg:{0}:a:acme"],
        &["SET", "fg:{0}:a:acme", "short"],
        &["SETRANGE", "fg:{0}:g:acme", "0", "y"],
        &["DEL", "fg:{0}:g:acme"],
        &["DEL", "fg:{0}:e:acme"],
        &["DEL", "fg:{0}:s:acme"],
        &["HSET", "fg:{0}:s:acme", "r", "abuse\n"],
        &["DEL", "fg:{0}:c:acme"],
        &["DEL", "fg:{0}:u:acme:key_1"],
        &["DEL", "fg:{0}:A"],
        &["SET", "fg:{0}:w", "x"],
        &["SET", "fg:{0}:p", "x"],
        &["DEL", "fg:{0}:p"],
    ];
    for damage in damages {
        server.command::<redis::Value>(damage).await;
        let report = ledger
            .rebuild()
            .await
            .unwrap_or_else(|e| panic!("{damage:?}: {e}"));
        // The ended grants are of no account here, and the sweep's record is nobody's balance.
        let silent = damage[1].ends_with(":e:acme") || damage[1].ends_with(":w");
        assert_eq!(report.differences.is_empty(), silent, "{damage:?}: {report:#?}");
        assert_eq!(report.accounts, 2, "{damage:?}");
        let report = ledger.verify().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new(), "{damage:?}");
        let again = ledger.rebuild().await.unwrap();
        assert_eq!(again.differences, Vec::<String>::new(), "{damage:?}");
        for (teller, before) in tellers.iter().zip(&before) {
            let after = teller.picture().await;
            assert_eq!(after.account.balance(), before.account.balance(), "{damage:?}");
            assert_eq!(after.grants, before.grants, "{damage:?}");
            assert_eq!(after.keys.len(), before.keys.len(), "{damage:?}");
            assert_eq!(after.entries, before.entries, "{damage:?}");
            assert!(
                ledger.identify(&teller.digest(1)).await.unwrap().is_some(),
                "{damage:?}"
            );
        }
        let now = ledger
            .usage_by_day(&tellers[0].account, START.day(), START.day())
            .await;
        assert_eq!(now, usage, "{damage:?}");
    }
    // It goes on from there.
    let hold = tellers[0].hold(micros(5)).await;
    applied(&tellers[0].capture(hold, micros(5)).await);
    tellers[0].prove().await;
}

#[tokio::test]
async fn a_damaged_journal_is_not_rebuilt_from_and_the_store_serves_on() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, _) = options(server.url(), START);
    let ledger = open(options).await;
    let clock = ManualClock::new(START);
    let teller = lived(&ledger, &clock, "acme").await;
    server.command::<i64>(&["XDEL", "fg:{0}:j", "3-0"]).await;
    let error = ledger.rebuild().await.unwrap_err().to_string();
    for part in ["the journal itself is damaged", "Nothing was changed", "restore"] {
        assert!(error.contains(part), "{error}");
    }
    teller.hold(micros(1)).await;
}

#[tokio::test]
async fn a_rebuild_that_did_not_end_leaves_the_store_closed_until_one_has() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, _) = options(server.url(), START);
    let ledger = open(options.clone()).await;
    let clock = ManualClock::new(START);
    let teller = lived(&ledger, &clock, "acme").await;
    // As one leaves it that was killed: closed, and with a stamp that nobody has.
    let meta: String = server.command(&["GET", "fg:meta"]).await;
    let closed = meta.replace("generation=1", "generation=2") + " state=rebuilding";
    assert_ne!(closed, meta);
    server.command::<()>(&["SET", "fg:meta", &closed]).await;
    server
        .command::<i64>(&["SETRANGE", "fg:{0}:p", "0", "\u{2}"])
        .await;
    let late = open(options).await;
    for ledger in [&ledger, &late] {
        let error = ledger.statement(&teller.account).await.unwrap_err();
        assert!(
            matches!(&error, LedgerError::Unavailable(why) if why.contains("rebuil")),
            "{error:?}"
        );
        assert!(ledger.ready().await.is_err());
    }
    let report = late.rebuild().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    for ledger in [&ledger, &late] {
        let teller = Teller::of(ledger, &clock, "acme");
        teller.apply_due().await;
        assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_while_a_store_in_use_is_rebuilt_and_nothing_is_lost_or_doubled() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, _) = options(server.url(), START);
    let options = Options {
        time: None,
        ..options
    };
    let ledger = Arc::new(open(options.clone()).await);
    let clock = ManualClock::new(SystemClock.now());
    let teller = Teller::open(&*ledger, &clock, "acme").await;
    teller.grant("g", micros(1_000_000)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut payers = Vec::new();
    for n in 0..4_u64 {
        let (ledger, stop, caller) = (ledger.clone(), stop.clone(), teller.caller(0).await);
        payers.push(tokio::spawn(async move {
            let mut paid = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let id = n * 1_000_000 + paid;
                let hold = crate::ledger::moves::hold_id(&caller.account, id, SystemClock.now());
                let (least, most) = (micros(5), micros(5));
                insist(
                    &ledger,
                    &Command::Admit(Admit {
                        hold,
                        caller: caller.clone(),
                        least,
                        most,
                        tokens: 0,
                        ttl: TTL,
                        claim: None,
                        detail: Detail::none(),
                    }),
                )
                .await;
                let capture = Capture {
                    hold,
                    caller: caller.clone(),
                    used: micros(3),
                    detail: Detail::none(),
                };
                insist(&ledger, &Command::Capture(capture)).await;
                paid += 1;
            }
            paid
        }));
    }
    let other = open(options).await;
    for _ in 0..3 {
        let report = other.rebuild().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
        assert!(report.entries > 0);
    }
    stop.store(true, Ordering::Relaxed);
    let mut paid = 0;
    for payer in payers {
        paid += payer.await.unwrap();
    }
    let account = teller.statement().await.account;
    assert_eq!(account.spent.micros(), 3 * i64::try_from(paid).unwrap());
    assert_eq!(account.entries, 3 + 2 * paid);
    assert_eq!(other.verify().await.unwrap().differences, Vec::<String>::new());
}

async fn insist(ledger: &RedisLedger, command: &Command) {
    within("a decision", async {
        loop {
            match ledger.execute(command).await {
                Ok(Outcome::Applied(_) | Outcome::Replayed(_)) => return,
                Err(error) if error.is_transient() => tokio::task::yield_now().await,
                other => panic!("{command:?}: {other:?}"),
            }
        }
    })
    .await;
}
