//! What can be seen.

use std::collections::BTreeSet;

use faregate::domain::command::Outcome;
use faregate::domain::entry::EntryKind;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::KeyDigest;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::{DayUsage, Ledger};

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{TTL, Teller, applied, key};

pub(crate) async fn accounts_are_listed_once_each(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let mut made = BTreeSet::new();
    for n in 0..57 {
        let teller = Teller::of(ledger, clock, &format!("account/{n}"));
        teller.create().await;
        made.insert(teller.account);
    }
    for limit in [1, 10, 57, 1_000] {
        let mut listed = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = ledger.accounts(cursor.as_deref(), limit).await.unwrap();
            assert!(page.items.len() <= limit);
            listed.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed.len(), 57, "by {limit}");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), made);
    }
}

pub(crate) async fn entries_come_newest_first_in_pages(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    // Another's entries lie in between.
    let other = Teller::open(ledger, clock, "other").await;
    for n in 0..10 {
        applied(&teller.adjust(&format!("a{n}"), micros(n + 1)).await);
        applied(&other.adjust(&format!("a{n}"), micros(n + 1)).await);
    }
    let page = ledger.entries(&teller.account, None, 3).await.unwrap();
    let newest: Vec<_> = page.items.iter().map(|e| e.subject.to_string()).collect();
    assert_eq!(newest, ["a9", "a8", "a7"]);
    let all = teller.entries_by(1_000).await;
    assert_eq!(all.len(), 12);
    let numbers: Vec<_> = all.iter().map(|e| e.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert!(all.iter().all(|e| e.account == teller.account));
    for limit in [1, 5, 12] {
        assert_eq!(teller.entries_by(limit).await, all);
    }
    let nobody = Teller::of(ledger, clock, "nobody");
    assert_eq!(nobody.entries().await, []);
}

pub(crate) async fn a_holds_entries_tell_its_story(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let (hold, other) = (teller.hold(micros(10)).await, teller.hold(micros(10)).await);
    applied(&teller.extend(hold, 1, micros(5)).await);
    applied(&teller.release(other).await);
    clock.advance(TTL);
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(1));
    applied(&teller.capture(hold, micros(4)).await);
    let entries = ledger.entries_of_hold(&teller.account, hold).await.unwrap();
    let story: Vec<_> = entries
        .iter()
        .map(|e| (e.kind, e.amount.micros(), e.held.micros()))
        .collect();
    use EntryKind::{Capture, Extend, Hold};
    assert_eq!(
        story,
        [
            (Hold, 10, 0),
            (Extend, 5, 0),
            (Capture, 15, 15),
            (Capture, -11, 0)
        ]
    );
    assert_eq!(
        &*entries[2].detail.as_str().replace(' ', ""),
        r#"{"cause":"expired"}"#
    );
    let unknown = ledger.entries_of_hold(&teller.account, teller.new_hold()).await;
    assert_eq!(unknown, Ok(Vec::new()));
}

pub(crate) async fn usage_is_summed_by_day(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(1_000)).await;
    let first = clock.now().day();
    let charge = async |held, used| {
        let hold = teller.hold(micros(held)).await;
        applied(&teller.capture(hold, micros(used)).await);
    };
    charge(10, 7).await;
    charge(10, 20).await;
    charge(10, 0).await;
    let late = teller.hold(micros(10)).await;
    clock.advance(TTL);
    assert_eq!(ledger.sweep(OnExpiry::Capture).await, Ok(1));
    clock.set(clock.now().next_day().next_day());
    charge(5, 5).await;
    // A correction stands on the day on which it was made, and is no request.
    applied(&teller.capture(late, micros(4)).await);
    let usage = ledger
        .usage_by_day(&teller.account, first, first + 10)
        .await
        .unwrap();
    let day = |day, requests, charged| DayUsage {
        day,
        requests,
        charged: micros(charged),
    };
    assert_eq!(usage, [day(first, 3, 37), day(first + 2, 1, -1)]);
    let one = ledger.usage_by_day(&teller.account, first + 1, first + 2).await;
    assert_eq!(one, Ok(vec![day(first + 2, 1, -1)]));
    let none = ledger.usage_by_day(&teller.account, first + 1, first + 1).await;
    assert_eq!(none, Ok(Vec::new()));
}

pub(crate) async fn keys_and_identities(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let caps = Limits {
        concurrent: Some(4),
        ..Limits::NONE
    };
    let end = clock.now().plus(Span::from_secs(100));
    applied(&teller.put_key(1, caps, end).await);
    applied(&teller.put_key(2, Limits::NONE, Timestamp::NEVER).await);
    applied(&teller.revoke(2).await);
    let keys = ledger.keys(&teller.account).await.unwrap();
    let shown: Vec<_> = keys
        .iter()
        .map(|k| (k.id.clone(), k.limits, k.expires_at, k.revoked_at))
        .collect();
    assert_eq!(
        shown,
        [
            (key(0), Limits::NONE, Timestamp::NEVER, None),
            (key(1), caps, end, None),
            (key(2), Limits::NONE, Timestamp::NEVER, Some(clock.now())),
        ]
    );
    assert!(keys.iter().all(|k| k.created_at == clock.now()));
    let identity = ledger.identify(&teller.digest(1)).await.unwrap().unwrap();
    assert_eq!((identity.key_limits, identity.key_expires_at), (caps, end));
    let version = teller.statement().await.account.version;
    assert_eq!(identity.version, version);
    assert_eq!(ledger.identify(&KeyDigest([7; 32])).await, Ok(None));
    let nobody = Teller::of(ledger, clock, "nobody");
    assert_eq!(ledger.keys(&nobody.account).await, Ok(Vec::new()));
}

pub(crate) async fn the_journal_has_every_entry_without_gaps(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let mut expected = BTreeSet::new();
    for n in 0..20 {
        let teller = Teller::open(ledger, clock, &format!("account-{n}")).await;
        for m in 0..n {
            applied(&teller.adjust(&format!("a{m}"), micros(1)).await);
        }
        let entries = teller.entries().await;
        expected.extend(entries.iter().map(|e| (e.account.clone(), e.number)));
    }
    let mut seen = BTreeSet::new();
    for partition in 0..ledger.partitions() {
        let mut after = 0;
        loop {
            let entries = ledger.journal(partition, after, 7).await.unwrap();
            for entry in &entries {
                after += 1;
                assert_eq!(entry.seq, after, "partition {partition}");
                assert!(seen.insert((entry.account.clone(), entry.number)));
            }
            if entries.is_empty() {
                break;
            }
        }
    }
    assert_eq!(seen, expected);
    let beyond = ledger.journal(ledger.partitions(), 0, 10).await;
    assert!(beyond.is_err() || beyond == Ok(Vec::new()));
    let report = ledger.verify().await.unwrap();
    assert_eq!((report.accounts, report.entries), (20, expected.len() as u64));
}

pub(crate) async fn unusual_names_are_kept_as_they_are(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let longest = "x".repeat(128);
    for name in ["acme/research", "a@b.c", "~!#$%^&()+=|;',.<>`-_", "0", &longest] {
        let teller = Teller::open(ledger, clock, name).await;
        teller
            .grant("stripe:credgr_1:~!#$%^&()+=|;',.<>`-_/", micros(3))
            .await;
        applied(&teller.adjust("admin:2027-01-31T12:00:00Z/1", micros(4)).await);
        let hold = teller.hold(micros(5)).await;
        applied(&teller.capture(hold, micros(5)).await);
        let grants = teller.statement().await.grants;
        let ids: BTreeSet<_> = grants.iter().map(|g| g.facts.id.as_str()).collect();
        assert!(ids.contains("stripe:credgr_1:~!#$%^&()+=|;',.<>`-_/"), "{ids:?}");
        assert_eq!(teller.statement().await.account.id.as_str(), name);
        teller.prove().await;
    }
    // Their names begin alike: none is taken for the other.
    for (name, amount) in [("a", 1), ("a/b", 2), ("a/b/c", 3)] {
        let teller = Teller::open(ledger, clock, name).await;
        teller.grant("g", micros(amount)).await;
    }
    for (name, amount) in [("a", 1), ("a/b", 2), ("a/b/c", 3)] {
        assert_eq!(Teller::of(ledger, clock, name).available().await, micros(amount));
    }
}

pub(crate) async fn a_statement_changes_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::open(ledger, clock, "acme").await;
    let mut facts = teller.facts("g", micros(10));
    facts.expires_at = clock.now().plus(Span::from_secs(5));
    applied(&teller.put(facts).await);
    clock.advance(Span::from_secs(5));
    let statement = teller.statement().await;
    assert_eq!(statement.account.expired, micros(10));
    assert_eq!(statement.time, clock.now());
    assert_eq!(teller.statement().await, statement);
    assert_eq!(ledger.ready().await, Ok(clock.now()));
    // Whether the store has written down the expiry by now is its own affair; the next command has.
    let outcome = teller.try_hold(micros(1)).await.1;
    assert!(matches!(outcome, Outcome::Refused(_)));
    let entries = teller.entries().await;
    assert_eq!(entries.last().unwrap().kind, EntryKind::Expire);
    assert!(!ledger.durability().is_empty());
    teller.prove().await;
}
