//! What lies beside the books.

use std::collections::BTreeSet;
use std::sync::Arc;

use faregate::domain::hold::OnExpiry;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::memos::{DUE_MAX, Kept, MEMO_TEXT_MAX, MEMOS_PAGE_BYTES, Memo, MemoName, Memos, Wrote};
use faregate::ledger::{LedgerError, PAGE_MAX};

use super::Given;

fn name(kind: &str, id: &str) -> MemoName {
    MemoName::new(kind, id).unwrap()
}

/// A memo that nothing is to be done about, for ever.
fn saying(text: &str) -> Memo {
    Memo {
        text: text.into(),
        due: Timestamp::NEVER,
        forget_at: Timestamp::NEVER,
    }
}

async fn write(memos: &dyn Memos, name: &MemoName, expected: u64, memo: &Memo) -> Wrote {
    memos.write_memo(name, expected, memo).await.unwrap()
}

/// Writes one that must not be there yet.
async fn put(memos: &dyn Memos, name: &MemoName, memo: &Memo) {
    assert_eq!(
        write(memos, name, 0, memo).await,
        Wrote::Done { version: 1 },
        "{name}"
    );
}

async fn read(memos: &dyn Memos, name: &MemoName) -> Option<Kept> {
    memos.memo(name).await.unwrap()
}

/// Ids of a kind, page by page.
async fn ids(memos: &dyn Memos, kind: &str, limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = memos.memos(kind, cursor.as_deref(), limit).await.unwrap();
        assert!(page.items.len() <= limit, "{}", page.items.len());
        for (name, _) in &page.items {
            assert_eq!(name.kind(), kind);
            found.push(name.id().to_owned());
        }
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

pub(crate) async fn what_is_written_is_read_again(given: Given) {
    let memos = &*given.memos;
    let invoice = name("invoice", "in_1");
    assert_eq!(read(memos, &invoice).await, None);
    let now = given.clock.now();
    let mut memo = Memo {
        text: r#"{"amount":"1.5","note":"né\u0000 \"x\"","n":12345678901234567890}"#.into(),
        due: now.plus(Span::from_secs(60)),
        forget_at: now.plus(Span::from_micros(61_000_001)),
    };
    for version in 1..=40 {
        assert_eq!(
            write(memos, &invoice, version - 1, &memo).await,
            Wrote::Done { version }
        );
        let kept = Kept {
            memo: memo.clone(),
            version,
        };
        assert_eq!(read(memos, &invoice).await, Some(kept));
        memo.text = format!("[{version}]").into();
        if version % 3 == 0 {
            memo.due = Timestamp::NEVER;
            memo.forget_at = Timestamp::NEVER;
        }
    }
    put(memos, &name("empty", "1"), &saying("")).await;
    assert_eq!(read(memos, &name("empty", "1")).await.unwrap().memo, saying(""));
}

pub(crate) async fn a_write_over_another_version_is_told_what_is_there(given: Given) {
    let memos = &*given.memos;
    let invoice = name("invoice", "in_1");
    assert_eq!(
        write(memos, &invoice, 3, &saying("1")).await,
        Wrote::Changed(None)
    );
    put(memos, &invoice, &saying("1")).await;
    let there = Kept {
        memo: saying("1"),
        version: 1,
    };
    for expected in [0, 2, 7] {
        let wrote = write(memos, &invoice, expected, &saying("2")).await;
        assert_eq!(wrote, Wrote::Changed(Some(there.clone())), "{expected}");
    }
    assert_eq!(read(memos, &invoice).await, Some(there));
}

pub(crate) async fn a_write_whose_answer_was_lost_can_be_asked_again(given: Given) {
    let memos = &*given.memos;
    let invoice = name("invoice", "in_1");
    for _ in 0..3 {
        put(memos, &invoice, &saying("1")).await;
    }
    for _ in 0..3 {
        assert_eq!(
            write(memos, &invoice, 1, &saying("2")).await,
            Wrote::Done { version: 2 }
        );
    }
    // The same text at another time is another memo: somebody else wrote.
    let later = Memo {
        due: given.clock.now(),
        ..saying("2")
    };
    assert!(matches!(
        write(memos, &invoice, 1, &later).await,
        Wrote::Changed(Some(_))
    ));
    // Somebody went on meanwhile.
    assert_eq!(
        write(memos, &invoice, 2, &saying("3")).await,
        Wrote::Done { version: 3 }
    );
    let there = Kept {
        memo: saying("3"),
        version: 3,
    };
    assert_eq!(
        write(memos, &invoice, 1, &saying("2")).await,
        Wrote::Changed(Some(there))
    );
}

pub(crate) async fn of_many_at_once_one_writes_each_version(given: Given) {
    const WRITERS: u64 = 16;
    const ROUNDS: u64 = 12;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let memos: Arc<dyn Memos> = given.memos.clone();
            tokio::spawn(async move {
                let (counter, mut won) = (name("counter", "c"), Vec::new());
                let mut version = 0;
                for round in 0..ROUNDS {
                    // Each writes until it has been the one, as who changes a memo does.
                    loop {
                        let memo = saying(&format!("{writer}/{round}"));
                        match write(&*memos, &counter, version, &memo).await {
                            Wrote::Done { version: new } => {
                                assert_eq!(new, version + 1);
                                version = new;
                                won.push(new);
                                break;
                            }
                            Wrote::Changed(there) => {
                                let there = there.expect("nobody forgets it");
                                assert!(there.version > version, "{there:?}");
                                version = there.version;
                            }
                        }
                    }
                }
                won
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    won.sort_unstable();
    assert_eq!(won, (1..=WRITERS * ROUNDS).collect::<Vec<_>>());
    let kept = read(&*given.memos, &name("counter", "c")).await.unwrap();
    assert_eq!(kept.version, WRITERS * ROUNDS);
}

pub(crate) async fn due_ones_come_in_the_order_of_their_time(given: Given) {
    let (memos, clock) = (&*given.memos, &*given.clock);
    let start = clock.now();
    let at = |secs| start.plus(Span::from_secs(secs));
    for i in 0..60_i64 {
        // Shuffled, of several kinds.
        let secs = 1 + i * 37 % 60;
        let memo = Memo {
            due: at(secs),
            ..saying("{}")
        };
        put(
            memos,
            &name(["invoice", "purchase"][i as usize % 2], &format!("{secs}")),
            &memo,
        )
        .await;
    }
    put(memos, &name("invoice", "idle"), &saying("{}")).await;
    assert_eq!(memos.due_memos(DUE_MAX).await.unwrap(), []);
    clock.set(Timestamp::from_micros(at(1).micros() - 1));
    assert_eq!(memos.due_memos(DUE_MAX).await.unwrap(), []);
    clock.set(at(20));
    let due = |names: Vec<MemoName>| {
        names
            .iter()
            .map(|n| n.id().parse().unwrap())
            .collect::<Vec<i64>>()
    };
    assert_eq!(
        due(memos.due_memos(DUE_MAX).await.unwrap()),
        (1..=20).collect::<Vec<_>>()
    );
    assert_eq!(
        due(memos.due_memos(7).await.unwrap()),
        (1..=7).collect::<Vec<_>>()
    );
    // It stays due until it is written with another time.
    let first = memos.due_memos(1).await.unwrap().remove(0);
    for (version, (due, is_first)) in [(at(15), false), (Timestamp::NEVER, false), (at(0), true)]
        .into_iter()
        .enumerate()
    {
        let memo = Memo { due, ..saying("{}") };
        let wrote = write(memos, &first, version as u64 + 1, &memo).await;
        assert!(matches!(wrote, Wrote::Done { .. }), "{wrote:?}");
        let now = memos.due_memos(1).await.unwrap();
        assert_eq!(now[0] == first, is_first, "{due:?}");
    }
}

pub(crate) async fn a_forgotten_one_was_never_written(given: Given) {
    let (memos, clock) = (&*given.memos, &*given.clock);
    let (short, invoice) = (name("invoice", "short"), name("invoice", "long"));
    let end = clock.now().plus(Span::from_secs(10));
    let memo = Memo {
        due: clock.now(),
        forget_at: end,
        text: "1".into(),
    };
    put(memos, &short, &memo).await;
    assert_eq!(write(memos, &short, 1, &memo).await, Wrote::Done { version: 2 });
    let kept = Memo {
        due: clock.now().plus(Span::from_secs(1)),
        ..saying("2")
    };
    put(memos, &invoice, &kept).await;
    clock.set(Timestamp::from_micros(end.micros() - 1));
    assert_eq!(read(memos, &short).await.unwrap().version, 2);
    assert_eq!(
        memos.due_memos(9).await.unwrap(),
        [short.clone(), invoice.clone()]
    );
    clock.set(end);
    assert_eq!(read(memos, &short).await, None);
    assert_eq!(memos.due_memos(9).await.unwrap(), [invoice]);
    assert_eq!(ids(memos, "invoice", 9).await, ["long"]);
    assert_eq!(write(memos, &short, 2, &saying("3")).await, Wrote::Changed(None));
    put(memos, &short, &saying("4")).await;
    // One that is to be forgotten at once is gone at once, and told as written.
    let gone = Memo {
        forget_at: end,
        ..saying("5")
    };
    assert_eq!(write(memos, &short, 1, &gone).await, Wrote::Done { version: 2 });
    assert_eq!(read(memos, &short).await, None);
    assert_eq!(ids(memos, "invoice", 9).await, ["long"]);
}

pub(crate) async fn what_is_forgotten_is_swept(given: Given) {
    let (memos, clock) = (&*given.memos, &*given.clock);
    let end = clock.now().plus(Span::from_secs(10));
    for i in 0..150 {
        let memo = Memo {
            due: clock.now(),
            forget_at: end,
            text: format!("{i}").into(),
        };
        put(memos, &name("event", &format!("evt_{i:03}")), &memo).await;
    }
    put(memos, &name("event", "kept"), &saying("kept")).await;
    clock.set(end);
    let again = name("event", "evt_007");
    put(memos, &again, &saying("again")).await;
    for _ in 0..3 {
        given.ledger.sweep(OnExpiry::Release).await.unwrap();
        let mut found = ids(memos, "event", PAGE_MAX).await;
        found.sort();
        assert_eq!(found, ["evt_007", "kept"]);
        assert_eq!(read(memos, &again).await.unwrap().memo, saying("again"));
    }
    put(memos, &name("event", "evt_008"), &saying("new")).await;
    assert_eq!(memos.due_memos(9).await.unwrap(), []);
}

pub(crate) async fn a_kind_is_listed_in_pages_while_others_write(given: Given) {
    let memos = given.memos.clone();
    let expected: BTreeSet<String> = (0..70).map(|i| format!("in_{i}")).collect();
    for id in &expected {
        put(&*memos, &name("invoice", id), &saying("{}")).await;
        put(&*memos, &name("invoices", id), &saying("{}")).await;
        put(&*memos, &name("invoic", id), &saying("{}")).await;
    }
    let writer = tokio::spawn({
        let memos = memos.clone();
        async move {
            for i in 0..100 {
                put(&*memos, &name("invoice", &format!("later_{i}")), &saying("{}")).await;
                let old = name("invoice", &format!("in_{}", i % 70));
                let version = read(&*memos, &old).await.unwrap().version;
                write(&*memos, &old, version, &saying("changed")).await;
            }
        }
    });
    for limit in [1, 7, 70, 1_000] {
        let found = ids(&*memos, "invoice", limit).await;
        let once: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "none comes twice");
        assert!(once.is_superset(&expected), "{limit}");
    }
    writer.await.unwrap();
    assert_eq!(ids(&*memos, "invoice", 3).await.len(), 170);
    assert_eq!(ids(&*memos, "nothing", 3).await.len(), 0);
    for (kind, cursor) in [("Invoice", None), ("", None), ("invoice", Some("x"))] {
        let refused = memos.memos(kind, cursor, 3).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Invalid(_)), "{refused:?}");
    }
}

pub(crate) async fn a_page_has_so_many_bytes_and_no_more(given: Given) {
    let memos = &*given.memos;
    let long = "x".repeat(MEMO_TEXT_MAX);
    for i in 0..40 {
        put(memos, &name("long", &format!("{i:02}")), &saying(&long)).await;
    }
    let (mut cursor, mut found) = (None, 0);
    loop {
        let page = memos.memos("long", cursor.as_deref(), PAGE_MAX).await.unwrap();
        let bytes: usize = page.items.iter().map(|(_, kept)| kept.memo.text.len()).sum();
        assert!(bytes <= MEMOS_PAGE_BYTES + 4 * MEMO_TEXT_MAX, "{bytes}");
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, 40);
}

pub(crate) async fn unusual_names_share_nothing(given: Given) {
    let memos = &*given.memos;
    let longest = "x".repeat(298);
    let names = [
        ("a", "b"),
        ("a", "b:c"),
        ("a", ":"),
        ("a", ";"),
        ("a", "!"),
        ("a", "~"),
        ("a", "%00'\"".trim_end_matches('"')),
        ("a", "(x"),
        ("a", "-"),
        ("a", "+"),
        ("a", "x y".split(' ').next().unwrap()),
        ("a_", "b"),
        ("_", "b"),
        ("z", longest.as_str()),
    ];
    for (i, (kind, id)) in names.iter().enumerate() {
        put(memos, &name(kind, id), &saying(&i.to_string())).await;
    }
    for (i, (kind, id)) in names.iter().enumerate() {
        assert_eq!(
            read(memos, &name(kind, id)).await.unwrap().memo,
            saying(&i.to_string())
        );
    }
    let mut found = ids(memos, "a", 2).await;
    found.sort();
    let mut expected: Vec<_> = names.iter().filter(|(kind, _)| *kind == "a").collect();
    expected.sort();
    assert_eq!(found, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
}

pub(crate) async fn what_is_too_long_is_refused(given: Given) {
    let memos = &*given.memos;
    let invoice = name("invoice", "in_1");
    put(memos, &invoice, &saying(&"é".repeat(MEMO_TEXT_MAX / 2))).await;
    let too_long = saying(&"x".repeat(MEMO_TEXT_MAX + 1));
    let refused = memos.write_memo(&invoice, 1, &too_long).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Invalid(_)), "{refused:?}");
    assert_eq!(read(memos, &invoice).await.unwrap().version, 1);
}
