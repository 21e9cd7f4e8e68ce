//! What the disk may do: be full, lose the end of the log.

use super::*;
use crate::ledger::LedgerError;

impl Fixture {
    async fn limit_pages(&self, pages: u32) {
        let limit = self.ledger().job(move |writer| {
            writer.limit_pages(pages);
            Ok(())
        });
        limit.await.unwrap();
    }
}

#[tokio::test]
async fn a21_b24_a_full_disk_refuses_keeps_what_was_and_recovers_without_restart() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "1000").await;
    let caller = fixture.caller(&acme).await;
    let open = fixture.admit(&acme, "1").await;
    // SQLite takes the limit no lower than what the file has.
    fixture.limit_pages(1).await;
    let mut held = credits("1");
    let failed = loop {
        let hold = fixture.hold_id();
        let command = admit(hold, &caller, credits("1"));
        match fixture.ledger().execute(&command).await {
            Ok(_) => held = held.saturating_add(credits("1")),
            Err(error) => break (hold, error),
        }
    };
    let (hold, error) = failed;
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("no space"), "{error}");
    // A batch of several accounts fails as one, new accounts included.
    let new = AccountId::new("new").unwrap();
    let batch = [
        create(&new),
        admit(fixture.hold_id(), &caller, credits("1")),
        grant(&acme, "g2", "5", Timestamp::NEVER),
        key(&acme, "key_2", Limits::NONE),
    ];
    let answers: Vec<_> = batch.iter().map(|c| fixture.ledger().execute(c)).collect();
    let mut refused = 0;
    for answer in answers {
        refused += u32::from(answer.await.is_err());
    }
    assert!(refused > 0);
    // Reads go on, memory says what the file says.
    let statement = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    assert!(statement.account.gauge.held >= held);
    assert_eq!(fixture.ledger().hold(&acme, hold).await.unwrap(), None);
    fixture.assert_clean().await;

    fixture.limit_pages(1_000_000).await;
    let version = fixture.caller(&acme).await;
    fixture.applied(admit(hold, &version, credits("1"))).await;
    fixture.applied(capture(open, &caller, credits("1"))).await;
    for command in &batch[2..] {
        let outcome = fixture.ledger().execute(command).await.unwrap();
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
    fixture.assert_clean().await;
    fixture.reopen();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a_failed_file_ends_serving_and_says_to_restart() {
    let fixture = Fixture::new();
    let acme = fixture.account("acme", "1").await;
    let broken = fixture.ledger().job(|writer| {
        let fault = super::super::fault::Fault::Broken("disk I/O error".to_owned());
        Err::<(), _>(writer.break_down(&fault))
    });
    let error = broken.await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Misconfigured(what) if what.contains("restart")),
        "{error}"
    );
    let ledger = fixture.ledger();
    assert_eq!(ledger.execute(&create(&acme)).await, Err(error.clone()));
    assert_eq!(ledger.statement(&acme).await, Err(error.clone()));
    assert_eq!(ledger.entries(&acme, None, 1).await, Err(error.clone()));
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Err(error.clone()));
    assert_eq!(ledger.ready().await, Err(error));
}

/// Copies the ledger as a crash would leave it: file and log, without the index of the log in shared memory.
fn crash(fixture: &Fixture, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in [FILE.to_owned(), format!("{FILE}-wal")] {
        let from = fixture.folder.ledger().join(&name);
        if from.exists() {
            std::fs::copy(from, to.join(&name)).unwrap();
        }
    }
}

#[tokio::test]
async fn b24_a_torn_log_opens_with_a_prefix_of_whole_batches() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "1000").await;
    let caller = fixture.caller(&acme).await;
    // The log begins anew: what follows lies in it alone.
    fixture.reopen();
    let mut ends = vec![fixture.ledger().journal(0, 0, 1_000).await.unwrap().len()];
    let log = fixture.folder.ledger().join(format!("{FILE}-wal"));
    let mut sizes = vec![0];
    for _ in 0..12 {
        let holds = [fixture.hold_id(), fixture.hold_id(), fixture.hold_id()];
        let commands = holds.map(|hold| admit(hold, &caller, credits("1")));
        let answers: Vec<_> = commands.iter().map(|c| fixture.ledger().execute(c)).collect();
        for answer in answers {
            answer.await.unwrap();
        }
        ends.push(fixture.ledger().journal(0, 0, 1_000).await.unwrap().len());
        sizes.push(std::fs::metadata(&log).unwrap().len());
    }
    let whole = fixture.folder.0.join("whole");
    crash(&fixture, &whole);
    let bytes = std::fs::read(whole.join(format!("{FILE}-wal"))).unwrap();
    assert_eq!(Some(&(bytes.len() as u64)), sizes.last());

    let torn = fixture.folder.0.join("torn");
    let mut dice = Dice(11);
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..120 {
        let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
        let mut log = bytes.clone();
        match round % 3 {
            0 => log.truncate(at),
            1 => log[at] ^= 0x40,
            _ => log[at..].fill(0),
        }
        let _ = std::fs::remove_dir_all(&torn);
        std::fs::create_dir_all(&torn).unwrap();
        std::fs::copy(whole.join(FILE), torn.join(FILE)).unwrap();
        std::fs::write(torn.join(format!("{FILE}-wal")), &log).unwrap();
        let ledger = open(&torn, &fixture.clock).unwrap();
        let report = ledger.verify().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new(), "round {round}, at {at}");
        let entries = usize::try_from(report.entries).unwrap();
        // Every batch whose bytes lie wholly before the damage is there.
        let kept = sizes.iter().zip(&ends).filter(|(size, _)| **size <= at as u64);
        let least = kept.map(|(_, end)| *end).max().unwrap();
        assert!(
            entries >= least && ends.last().is_some_and(|all| entries <= *all),
            "round {round}, at {at}"
        );
        seen.insert(entries);
        // And it goes on from there.
        let statement = ledger.statement(&acme).await.unwrap().unwrap();
        let caller = super::caller(&acme, statement.account.version);
        let hold = hold_id(fixture.clock.now(), 1_000_000 + round);
        let outcome = ledger.execute(&admit(hold, &caller, credits("1"))).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)));
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[tokio::test]
async fn a_row_that_the_file_refuses_takes_the_whole_batch_back_and_the_next_goes_through() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let caller = fixture.caller(&acme).await;
    fixture.admit(&acme, "1").await;
    let hands = rusqlite::Connection::open(fixture.folder.file()).unwrap();
    // The place of the journal's next entry is taken.
    let taken = "INSERT INTO journal SELECT seq + 1, number, previous, time, account, kind, subject, amount, held, available, detail, hash \
         FROM journal ORDER BY seq DESC LIMIT 1";
    assert_eq!(hands.execute(taken, []).unwrap(), 1);
    let refused = admit(fixture.hold_id(), &caller, credits("2"));
    for _ in 0..2 {
        let error = fixture.ledger().execute(&refused).await.unwrap_err();
        assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    }
    let account = fixture.ledger().statement(&acme).await.unwrap().unwrap().account;
    assert_eq!((account.gauge.held, account.gauge.open), (credits("1"), 1));
    hands
        .execute(
            "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)",
            [],
        )
        .unwrap();
    fixture.applied(refused).await;
    fixture.assert_clean().await;
    fixture.reopen();
    fixture.assert_clean().await;
}

#[tokio::test]
async fn what_only_a_key_counts_is_kept_and_taken_back_as_everything_is() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let limits = Limits {
        requests_per_minute: Some(2),
        ..Limits::NONE
    };
    fixture.applied(key(&acme, "key_2", limits)).await;
    let mut of_key = (*fixture.caller(&acme).await).clone();
    (of_key.key, of_key.key_limits) = (KeyId::new("key_2").unwrap(), limits);
    let caller = Arc::new(of_key);
    let free = async |fixture: &mut Fixture| {
        let command = admit(fixture.hold_id(), &caller, Credits::ZERO);
        fixture.run(command).await
    };
    // A free request changes the key's gauge, and nothing else of the account.
    assert!(matches!(free(&mut fixture).await, Outcome::Applied(_)));
    fixture.reopen();
    assert!(matches!(free(&mut fixture).await, Outcome::Applied(_)));
    fixture.reopen();
    assert!(matches!(free(&mut fixture).await, Outcome::Refused(_)));
    fixture.clock.advance(Span::from_secs(120));
    // While another program keeps the file, it is not counted.
    let hands = rusqlite::Connection::open(fixture.folder.file()).unwrap();
    hands.execute_batch("BEGIN IMMEDIATE").unwrap();
    let command = admit(fixture.hold_id(), &caller, Credits::ZERO);
    let error = fixture.ledger().execute(&command).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable(_)), "{error}");
    hands.execute_batch("ROLLBACK").unwrap();
    assert!(matches!(free(&mut fixture).await, Outcome::Applied(_)));
    assert!(matches!(free(&mut fixture).await, Outcome::Applied(_)));
    assert!(matches!(free(&mut fixture).await, Outcome::Refused(_)));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn p3_a_hold_whose_end_could_not_be_written_is_ended_by_a_later_sweep() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    fixture.admit(&acme, "1").await;
    fixture.clock.advance(Span::from_secs(100_000));
    let hands = rusqlite::Connection::open(fixture.folder.file()).unwrap();
    hands.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fixture.ledger().sweep(OnExpiry::Release).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    hands.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fixture.ledger().sweep(OnExpiry::Release).await, Ok(1));
    fixture.assert_clean().await;
}

#[tokio::test]
async fn a21_a_file_that_fails_ends_serving_until_a_restart() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let caller = fixture.caller(&acme).await;
    let hands = rusqlite::Connection::open(fixture.folder.file()).unwrap();
    // Something that is no passing trouble: what it was nobody knows.
    hands.execute_batch("ALTER TABLE holds RENAME TO gone").unwrap();
    let command = admit(fixture.hold_id(), &caller, credits("1"));
    let failed = fixture.ledger().execute(&command).await.unwrap_err();
    assert!(failed.to_string().contains("Nothing more is served"), "{failed}");
    hands.execute_batch("ALTER TABLE gone RENAME TO holds").unwrap();
    // Also not when it would work again: only a restart looks at what is there.
    let ledger = fixture.ledger();
    let again = admit(hold_id(fixture.clock.now(), 99), &caller, credits("1"));
    assert_eq!(ledger.execute(&again).await.unwrap_err(), failed);
    assert_eq!(ledger.statement(&acme).await.unwrap_err(), failed);
    assert_eq!(ledger.ready().await.unwrap_err(), failed);
    assert_eq!(ledger.entries(&acme, None, 10).await.unwrap_err(), failed);
    assert_eq!(ledger.sweep(OnExpiry::Release).await.unwrap_err(), failed);
    fixture.reopen();
    fixture.applied(again).await;
    fixture.assert_clean().await;
}
