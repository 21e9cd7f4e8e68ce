//! Memos on real servers: what they outlive, what a copy makes of them, and what they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faregate::clock::ManualClock;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::embedded::{self, EmbeddedLedger};
use faregate::ledger::memos::{Kept, MEMO_TEXT_MAX, Memo, MemoName, Memos, Wrote};
use faregate::ledger::redis::{Options, RedisLedger, copy};
use faregate::ledger::{Ledger, LedgerError, PAGE_MAX};

use super::{open, options, single};
use crate::ledger::moves::START;
use crate::ledger::teller::Teller;
use crate::rig::cluster::RedisCluster;
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::temp::TempDir;

fn name(kind: &str, id: &str) -> MemoName {
    MemoName::new(kind, id).unwrap()
}

fn saying(text: &str) -> Memo {
    Memo {
        text: text.into(),
        due: START,
        forget_at: Timestamp::NEVER,
    }
}

async fn put(memos: &dyn Memos, name: &MemoName, memo: &Memo) {
    let wrote = memos.write_memo(name, 0, memo).await.unwrap();
    assert_eq!(wrote, Wrote::Done { version: 1 }, "{name}");
}

/// All memos of a kind.
async fn all(memos: &dyn Memos, kind: &str) -> Vec<(MemoName, Kept)> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = memos.memos(kind, cursor.as_deref(), PAGE_MAX).await.unwrap();
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            found.sort_by(|(a, _), (b, _)| a.cmp(b));
            return found;
        }
    }
}

#[tokio::test]
async fn b1_answered_memos_outlive_a_killed_redis_and_a_rebuild_leaves_them() {
    let mut server = RedisServer::start(RedisOptions::default().persistence(Persistence::Always)).await;
    let (ledger, time) = single(&server).await;
    Teller::open(&ledger, &ManualClock::new(START), "acme").await;
    for i in 0..20 {
        put(&ledger, &name("invoice", &format!("in_{i}")), &saying("{}")).await;
    }
    let before = all(&ledger, "invoice").await;
    assert_eq!(before.len(), 20);
    server.kill9();
    server.restart().await;
    let (again, _) = options(server.url(), START);
    let ledger = open(Options {
        partitions: Some(1),
        ..again
    })
    .await;
    assert_eq!(all(&ledger, "invoice").await, before);
    assert_eq!(ledger.rebuild().await.unwrap().differences, Vec::<String>::new());
    assert_eq!(all(&ledger, "invoice").await, before);
    assert_eq!(ledger.due_memos(PAGE_MAX).await.unwrap().len(), 20);
    let wrote = ledger.write_memo(&before[0].0, 1, &saying("2")).await.unwrap();
    assert_eq!(wrote, Wrote::Done { version: 2 });
    drop(time);
}

#[tokio::test]
async fn a_store_of_another_life_is_written_nothing() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    put(&ledger, &name("invoice", "in_1"), &saying("{}")).await;
    server.flushall().await;
    for answer in [
        ledger.memo(&name("invoice", "in_1")).await.map(|_| ()),
        ledger
            .write_memo(&name("invoice", "in_1"), 0, &saying("{}"))
            .await
            .map(|_| ()),
        ledger.due_memos(1).await.map(|_| ()),
        ledger.memos("invoice", None, 1).await.map(|_| ()),
    ] {
        assert!(matches!(answer, Err(LedgerError::LostHistory(_))), "{answer:?}");
    }
    let keys: i64 = server.command(&["DBSIZE"]).await;
    assert_eq!(keys, 0);
}

#[tokio::test]
async fn a_memo_that_is_not_what_was_written_is_named() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    let (in_1, in_2) = (name("invoice", "in_1"), name("invoice", "in_2"));
    put(&ledger, &in_1, &saying("{}")).await;
    put(&ledger, &in_2, &saying("{}")).await;
    let damages: [&[&str]; 2] = [
        &["SET", "fg:{0}:m:invoice:in_1", "short"],
        &["LPUSH", "fg:{0}:m:invoice:in_1", "x"],
    ];
    for damage in damages {
        server.command::<i64>(&["DEL", "fg:{0}:m:invoice:in_1"]).await;
        server.command::<redis::Value>(damage).await;
        for error in [
            ledger.memo(&in_1).await.unwrap_err(),
            ledger.write_memo(&in_1, 1, &saying("2")).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("invoice:in_1"), "{damage:?}: {error}");
            assert!(!error.is_transient(), "{damage:?}: {error}");
        }
    }
    assert!(ledger.memo(&in_2).await.unwrap().is_some());
}

async fn lived(folder: &TempDir) -> EmbeddedLedger {
    let clock = Arc::new(ManualClock::new(START));
    let source = EmbeddedLedger::open(embedded::Options::new(folder.path()), clock.clone()).unwrap();
    Teller::open(&source, &*clock, "acme").await;
    for i in 0..300 {
        let memo = Memo {
            due: [Timestamp::NEVER, START, START.plus(Span::from_secs(i))][i as usize % 3],
            forget_at: [Timestamp::NEVER, START.plus(Span::from_secs(3_600))][i as usize % 2],
            text: format!("{{\"n\":{i}}}").into(),
        };
        put(&source, &name("invoice", &format!("in_{i}")), &memo).await;
        put(&source, &name("other_kind", &format!(":{i}")), &memo).await;
    }
    let in_1 = name("invoice", "in_1");
    for version in 1..4 {
        let wrote = source.write_memo(&in_1, version, &saying("again")).await;
        assert_eq!(wrote.unwrap(), Wrote::Done { version: version + 1 });
    }
    for i in 0..9 {
        let long = saying(&"x".repeat(MEMO_TEXT_MAX - i));
        put(&source, &name("long", &i.to_string()), &long).await;
    }
    source
}

async fn assert_copied(source: &EmbeddedLedger, ledger: &RedisLedger) {
    for kind in ["invoice", "other_kind", "long"] {
        assert!(all(source, kind).await == all(ledger, kind).await, "{kind}");
    }
    let due = |names: Vec<MemoName>| names.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        due(ledger.due_memos(PAGE_MAX).await.unwrap()),
        due(source.due_memos(PAGE_MAX).await.unwrap())
    );
}

#[tokio::test]
async fn a_copied_ledger_has_all_memos_and_counts_them() {
    let folder = TempDir::new();
    let source = lived(&folder).await;
    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, time) = options(server.url(), START);
    let options = Options {
        partitions: Some(3),
        ..options
    };
    let copied = copy(&source, options.clone()).await.unwrap();
    assert_eq!(copied.memos, 609);
    copied.open().await.unwrap();
    let ledger = open(options).await;
    assert_copied(&source, &ledger).await;
    // They are forgotten there as they would have been here.
    time.set(START.plus(Span::from_secs(3_600)));
    assert_eq!(all(&ledger, "other_kind").await.len(), 150);
    let one = name("other_kind", ":2");
    let wrote = ledger.write_memo(&one, 1, &saying("2")).await.unwrap();
    assert_eq!(wrote, Wrote::Done { version: 2 });
}

#[tokio::test]
async fn b14_a_ledger_copied_to_a_cluster_has_all_memos() {
    let folder = TempDir::new();
    let source = lived(&folder).await;
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let (options, _time) = options(String::new(), START);
    let options = Options {
        urls: cluster.urls(),
        ..options
    };
    let copied = copy(&source, options.clone()).await.unwrap();
    assert_eq!(copied.memos, 609);
    copied.open().await.unwrap();
    assert_copied(&source, &open(options).await).await;
}

/// A master that does not answer costs one attempt, not one for each of its partitions; what the others have is due all the same.
#[tokio::test]
async fn b14_with_a_master_away_the_others_memos_are_due() {
    let mut cluster =
        RedisCluster::start(RedisOptions::default().line("cluster-require-full-coverage no")).await;
    let (options, _time) = options(String::new(), START);
    let ledger = open(Options {
        urls: cluster.urls(),
        attempt: Duration::from_millis(500),
        ..options
    })
    .await;
    for i in 0..60 {
        put(&ledger, &name("invoice", &format!("in_{i}")), &saying("{}")).await;
    }
    assert_eq!(ledger.due_memos(PAGE_MAX).await.unwrap().len(), 60);
    cluster.node_mut(2).freeze();
    let asked = Instant::now();
    let due = ledger.due_memos(PAGE_MAX).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!((1..60).contains(&due.len()), "{}", due.len());
    cluster.node_mut(2).thaw();
    for name in due {
        assert!(ledger.memo(&name).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_small_memo_takes_little_memory() {
    const MEMOS: u64 = 2_000;
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    put(&ledger, &name("purchase", "first"), &saying("{}")).await;
    let used = async || server.info("used_memory_dataset").await.parse::<u64>().unwrap();
    let before = used().await;
    let text = format!(
        "{{\"account\":\"cus_NffrFeUfNV2Hib\",\"paid\":\"{}\"}}",
        "1".repeat(60)
    );
    for i in 0..MEMOS {
        let memo = Memo {
            forget_at: START.plus(Span::from_secs(86_400)),
            ..saying(&text)
        };
        put(
            &ledger,
            &name("purchase", &format!("pi_3MtwBwLkdIwHu7ix{i:08}")),
            &memo,
        )
        .await;
    }
    let each = (used().await - before) / MEMOS;
    println!("a memo of {} bytes takes {each}", text.len());
    assert!(each < 1_024, "{each}");
}
