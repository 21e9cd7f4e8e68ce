//! What a caller sees.

use std::time::Duration;

use super::*;
use crate::ledger::LedgerError;

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let limits = Limits {
        spend_per_day: Some(credits("5")),
        concurrent: Some(3),
        ..Limits::NONE
    };
    fixture.applied(key(&acme, "key_2", limits)).await;
    let hold = fixture.admit(&acme, "2").await;
    let caller = fixture.caller(&acme).await;
    fixture.applied(capture(hold, &caller, credits("1.5"))).await;
    let open = fixture.admit(&acme, "0.25").await;
    let before = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    assert_eq!(before.account.available(), credits("8.25"));
    let keys = fixture.ledger().keys(&acme).await.unwrap();
    let page = fixture.ledger().entries(&acme, None, 100).await.unwrap();

    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.statement(&acme).await.unwrap().unwrap(), before);
    assert_eq!(ledger.keys(&acme).await.unwrap(), keys);
    assert_eq!(ledger.entries(&acme, None, 100).await.unwrap(), page);
    assert_eq!(
        ledger.hold(&acme, open).await.unwrap().unwrap().amount,
        credits("0.25")
    );
    let identity = ledger.identify(&keys[1].digest).await.unwrap().unwrap();
    assert_eq!((identity.key, identity.key_limits), (keys[1].id.clone(), limits));
    // The same command again gets the first answer.
    let again = fixture.run(capture(hold, &caller, credits("1.5"))).await;
    assert!(matches!(again, Outcome::Replayed(_)), "{again:?}");
    fixture.assert_clean().await;
}

#[tokio::test]
async fn journal_is_read_in_pages_by_account_by_hold_and_by_day() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let other = fixture.account("other", "10").await;
    let caller = fixture.caller(&acme).await;
    let first = fixture.admit(&acme, "1").await;
    fixture.applied(capture(first, &caller, credits("0.5"))).await;
    fixture.admit(&other, "1").await;
    fixture.clock.advance(Span::from_secs(86_400));
    let second = fixture.admit(&acme, "1").await;
    fixture.applied(capture(second, &caller, credits("0.25"))).await;
    let third = fixture.admit(&acme, "1").await;
    fixture.applied(release(third, &caller)).await;

    let ledger = fixture.ledger();
    let mut walked = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = ledger.entries(&acme, cursor.as_deref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        walked.extend(page.items.into_iter().map(|e| e.number));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(walked, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let kinds = |entries: Vec<crate::domain::entry::Entry>| -> Vec<&str> {
        entries.iter().map(|e| e.kind.as_str()).collect()
    };
    let of_hold = ledger.entries_of_hold(&acme, first).await.unwrap();
    assert_eq!(kinds(of_hold), ["hold", "capture"]);
    assert_eq!(ledger.entries_of_hold(&other, first).await.unwrap(), []);
    let seqs: Vec<u64> = ledger
        .journal(0, 3, 5)
        .await
        .unwrap()
        .iter()
        .map(|e| e.seq)
        .collect();
    assert_eq!(seqs, [4, 5, 6, 7, 8]);
    assert_eq!(ledger.journal(1, 0, 5).await.unwrap(), []);

    let today = start().day();
    let usage = ledger.usage_by_day(&acme, today - 3, today + 3).await.unwrap();
    let usage: Vec<_> = usage.iter().map(|d| (d.day, d.requests, d.charged)).collect();
    assert_eq!(
        usage,
        [(today, 1, credits("0.5")), (today + 1, 1, credits("0.25"))]
    );
    assert_eq!(
        ledger.usage_by_day(&acme, today + 2, today + 9).await.unwrap(),
        []
    );
    let bad = ledger.entries(&acme, Some("nonsense"), 2).await;
    assert!(matches!(bad, Err(LedgerError::Invalid(_))), "{bad:?}");
}

#[tokio::test]
async fn accounts_are_walked_once_each_and_exported_whole() {
    let mut fixture = Fixture::new();
    for n in 0..7 {
        fixture.account(&format!("a{n}"), "1").await;
    }
    let acme = AccountId::new("a3").unwrap();
    fixture.admit(&acme, "0.5").await;
    let first = fixture.ledger().accounts(None, 5).await.unwrap();
    let rest = fixture.ledger().accounts(first.next.as_deref(), 5).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (5, 2, None));
    let books = fixture.ledger().export(first.items.first(), 100).await.unwrap();
    let ids: Vec<&str> = books.iter().map(|(b, _)| b.account.id.as_str()).collect();
    assert_eq!(ids, ["a1", "a2", "a3", "a4", "a5", "a6"]);
    assert_eq!((books[2].0.holds.len(), books[2].0.keys.len()), (1, 1));
}

#[tokio::test]
async fn sweep_ends_what_ran_out_and_forgets_what_is_old_also_after_reopening() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let caller = fixture.caller(&acme).await;
    let dead = fixture.admit(&acme, "1").await;
    fixture.clock.advance(Span::from_secs(30));
    let renewed = fixture.admit(&acme, "1").await;
    fixture.clock.advance(Span::from_secs(45));
    let renew = Command::Renew(Renew {
        hold: renewed,
        account: acme.clone(),
        ttl: Span::from_secs(60),
    });
    fixture.applied(renew).await;
    fixture.reopen();
    let ended = fixture.ledger().sweep(OnExpiry::Release).await.unwrap();
    assert_eq!(ended, 1);
    let statement = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    assert_eq!(statement.account.gauge.held, credits("1"));
    fixture.clock.advance(Span::from_secs(61));
    assert_eq!(fixture.ledger().sweep(OnExpiry::Capture).await.unwrap(), 1);
    assert_eq!(fixture.ledger().sweep(OnExpiry::Capture).await.unwrap(), 0);
    let statement = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    assert_eq!(
        (statement.account.gauge.held, statement.account.spent),
        (Credits::ZERO, credits("1"))
    );
    // A late capture corrects the charge, and the hold is remembered from then on.
    fixture.applied(capture(renewed, &caller, credits("0.5"))).await;
    fixture.reopen();
    fixture.clock.advance(Span::from_secs(1_801));
    assert!(fixture.ledger().hold(&acme, dead).await.unwrap().is_some());
    fixture.ledger().sweep(OnExpiry::Release).await.unwrap();
    for hold in [dead, renewed] {
        assert_eq!(fixture.ledger().hold(&acme, hold).await.unwrap(), None);
    }
    fixture.assert_clean().await;
    fixture.reopen();
    assert_eq!(fixture.ledger().hold(&acme, dead).await.unwrap(), None);
    fixture.assert_clean().await;
}

#[tokio::test]
async fn dropping_the_callers_future_does_not_take_the_command_back() {
    let fixture = Fixture::new();
    let acme = AccountId::new("acme").unwrap();
    drop(fixture.ledger().execute(&create(&acme)));
    // The queue is in order: whoever asks after it sees it.
    assert!(fixture.ledger().statement(&acme).await.unwrap().is_some());
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_slow_disk_times_out() {
    let folder = Folder::new();
    let clock = Arc::new(ManualClock::new(start()));
    let options = Options {
        queue_max: 4,
        answer_within: Duration::from_millis(50),
        ..Options::new(folder.ledger())
    };
    let ledger = EmbeddedLedger::open(options, clock).unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (started, begun) = tokio::sync::oneshot::channel();
    let blocked = ledger.job(move |_| {
        let _ = started.send(());
        let _ = wait.recv();
        Ok(())
    });
    begun.await.unwrap();
    let acme = AccountId::new("acme").unwrap();
    assert_eq!(
        ledger.execute(&create(&acme)).await,
        Err(LedgerError::TimedOut(50))
    );
    let command = create(&acme);
    let mut waiting = Vec::new();
    let refused = loop {
        let answer = ledger.execute(&command);
        if waiting.len() > 5 {
            break answer.await;
        }
        waiting.push(answer);
    };
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    go.send(()).unwrap();
    drop((blocked, waiting));
    // What timed out was applied all the same: the same command again gets its answer.
    let again = loop {
        match ledger.execute(&create(&acme)).await {
            Ok(outcome) => break outcome,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    };
    assert!(matches!(again, Outcome::Replayed(_)), "{again:?}");
}

#[tokio::test]
async fn b24_a_second_opening_is_refused_by_name_and_the_lock_ends_with_the_ledger() {
    let mut fixture = Fixture::new();
    let refused = open(&fixture.folder.ledger(), &fixture.clock)
        .unwrap_err()
        .to_string();
    let pid = std::process::id().to_string();
    assert!(refused.contains(&pid), "{refused}");
    assert!(
        refused.contains(&fixture.folder.ledger().display().to_string()),
        "{refused}"
    );
    fixture.reopen();
}

#[tokio::test]
async fn people_read_it_with_decimals_and_utc() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "12.5").await;
    fixture.admit(&acme, "0.000001").await;
    let conn = rusqlite::Connection::open(fixture.folder.file()).unwrap();
    let row: (String, String, String, String) = conn
        .query_row(
            "SELECT status, available, held, created_at FROM accounts_view",
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
        )
        .unwrap();
    let expected = ("active", "12.499999", "0.000001", "2027-01-15T08:00:00.000000Z");
    let row = (row.0.as_str(), row.1.as_str(), row.2.as_str(), row.3.as_str());
    assert_eq!(row, expected);
    for view in ["grants_view", "keys_view", "holds_view", "journal_view"] {
        let rows: i64 = conn
            .query_row(&format!("SELECT count(*) FROM {view}"), [], |r| r.get(0))
            .unwrap();
        assert!(rows > 0, "{view}");
    }
    let never: Option<String> = conn
        .query_row("SELECT expires_at FROM grants_view", [], |r| r.get(0))
        .unwrap();
    assert_eq!(never, None);
}
