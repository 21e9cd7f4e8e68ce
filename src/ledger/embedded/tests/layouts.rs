//! Files of earlier layouts, and what the present one keeps of claims.

use rusqlite::Connection;

use super::super::{restore, verify_file};
use super::*;
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::refusal::Refusal;

/// Makes a file what it was in layout 1.
fn back_to_layout_1(file: &Path) {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch(
        "ALTER TABLE holds DROP COLUMN claim; DROP TABLE memos; UPDATE meta SET layout = 1; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
}

fn layout(file: &Path) -> (i64, i64, bool) {
    let conn = Connection::open(file).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let columns = number("SELECT count(*) FROM pragma_table_info('holds') WHERE name = 'claim'");
    (
        number("SELECT layout FROM meta"),
        number("PRAGMA user_version"),
        columns == 1,
    )
}

/// The same admit, under a key.
fn under(claim: Claim, command: Command) -> Command {
    match command {
        Command::Admit(admit) => Command::Admit(Admit {
            claim: Some(claim),
            ..admit
        }),
        other => other,
    }
}

const CLAIM: Claim = Claim {
    key: ClaimKey([7; 16]),
    content: u64::MAX - 1,
};

#[tokio::test]
async fn a_file_of_layout_1_is_read_restored_and_brought_up() {
    let mut fixture = Fixture::new();
    live(&mut fixture, &mut Dice(5), 200).await;
    let acme = AccountId::new("acme").unwrap();
    let before = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    fixture.close();
    let file = fixture.folder.file();
    back_to_layout_1(&file);
    let old = fixture.folder.0.join("backup.db");
    std::fs::copy(&file, &old).unwrap();
    assert_eq!(verify_file(&old).unwrap().differences, Vec::<String>::new());
    assert_eq!(layout(&old), (1, 1, false), "reading changes nothing");

    let restored = Folder::new();
    let report = restore(&old, &restored.ledger()).unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    for folder in [restored.ledger(), fixture.folder.ledger()] {
        let ledger = open(&folder, &fixture.clock).unwrap();
        let after = ledger.statement(&acme).await.unwrap().unwrap();
        assert_eq!(after, before);
        assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
        drop(ledger);
        assert_eq!(layout(&folder.join(FILE)), (3, 3, true));
    }
}

#[tokio::test]
async fn claims_outlive_a_restart_a_rebuild_and_a_backup() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let caller = fixture.caller(&acme).await;
    let (given_back, request) = (fixture.hold_id(), fixture.hold_id());
    fixture
        .applied(under(CLAIM, admit(given_back, &caller, credits("1"))))
        .await;
    fixture.applied(release(given_back, &caller)).await;
    fixture
        .applied(under(CLAIM, admit(request, &caller, credits("1"))))
        .await;
    fixture.applied(capture(request, &caller, credits("1"))).await;
    let charged = Outcome::Refused(Refusal::AlreadyCharged { request });
    for round in 0..4 {
        let next = under(CLAIM, admit(fixture.hold_id(), &caller, credits("1")));
        assert_eq!(fixture.run(next).await, charged, "round {round}");
        fixture.outlive(round).await;
    }
    fixture.assert_clean().await;
    // One whose digests are cut short is damage, not another claim.
    fixture.close();
    let conn = Connection::open(fixture.folder.file()).unwrap();
    conn.execute("UPDATE holds SET claim = x'0102' WHERE claim IS NOT NULL", [])
        .unwrap();
    drop(conn);
    let refused = open(&fixture.folder.ledger(), &fixture.clock)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("claim"), "{refused}");
}
