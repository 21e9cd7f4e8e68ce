//! Verify, rebuild, backup, restore: what they find and what they put right.

use rusqlite::Connection;

use super::super::{repair, restore, verify_file};
use super::*;

#[tokio::test]
async fn books_of_any_history_verify_reopen_and_are_what_the_journal_gives() {
    let seeds: u64 = std::env::var("FAREGATE_EMBEDDED_SEEDS").map_or(12, |n| n.parse().unwrap());
    for seed in 0..seeds {
        let mut fixture = Fixture::new();
        let mut dice = Dice(seed);
        for round in 0..3 {
            live(&mut fixture, &mut dice, 120).await;
            let report = fixture.ledger().verify().await.unwrap();
            assert_eq!(
                report.differences,
                Vec::<String>::new(),
                "seed {seed}, round {round}"
            );
            assert_eq!(report.accounts, 3);
            assert!(report.entries > 50);
            fixture.reopen();
            let report = fixture.ledger().rebuild().await.unwrap();
            assert_eq!(
                report.differences,
                Vec::<String>::new(),
                "seed {seed}, round {round}"
            );
        }
    }
}

/// Changes the file as nobody should.
fn tamper(fixture: &Fixture, sql: &str) {
    let conn = Connection::open(fixture.folder.file()).unwrap();
    let changed = conn.execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

#[tokio::test]
async fn verify_names_whatever_was_changed_by_hand() {
    for (sql, expected) in [
        (
            "UPDATE accounts SET granted = granted + 1 WHERE id = 'acme'",
            "account acme",
        ),
        ("UPDATE grants SET drawn = 5 WHERE account = 'acme'", "grants"),
        ("DELETE FROM keys", "keys"),
        ("UPDATE holds SET amount = 7", "holds"),
        ("DELETE FROM holds", "holds"),
        ("INSERT INTO reasons VALUES ('acme', 'abuse')", "account acme"),
        ("INSERT INTO reasons VALUES ('nobody', 'abuse')", "nobody"),
        (
            "UPDATE journal SET amount = amount + 1 WHERE seq = 2",
            "entry 2 was changed",
        ),
        (
            "UPDATE journal SET detail = '{}' WHERE seq = 3",
            "entry 3 was changed",
        ),
        ("DELETE FROM journal WHERE seq = 2", "entry 3 follows entry 1"),
        (
            "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)",
            "the journal ends at",
        ),
        ("DELETE FROM commands", "0 of the 1 adjustments"),
        ("DELETE FROM accounts WHERE id = 'other'", "other"),
        ("UPDATE meta SET hash = 'x'", "meta"),
    ] {
        let mut fixture = Fixture::new();
        let acme = fixture.account("acme", "10").await;
        fixture.account("other", "10").await;
        fixture.admit(&acme, "1").await;
        let (account, detail) = (acme.clone(), Detail::none());
        let (id, amount) = ("fee".parse().unwrap(), credits("-1"));
        let fee = Command::Adjust {
            from: None,
            id,
            account,
            amount,
            detail,
        };
        fixture.applied(fee).await;
        fixture.assert_clean().await;
        tamper(&fixture, sql);
        let report = fixture.ledger().verify().await.unwrap();
        let found = report.differences.join("\n");
        assert!(found.contains(expected), "{sql}: {found}");
    }
}

#[tokio::test]
async fn a_start_on_a_broken_law_is_refused_and_repair_puts_it_right_from_the_journal() {
    for sql in [
        "UPDATE accounts SET spent = spent + 1000000 WHERE id = 'acme'",
        "UPDATE accounts SET granted = granted + 5, held = held + 5 WHERE id = 'acme'",
        "DELETE FROM grants",
        "DELETE FROM holds",
        "UPDATE holds SET state = 'open'",
        "DELETE FROM accounts WHERE id = 'acme'",
        "UPDATE accounts SET plan = '' WHERE id = 'acme'",
        // One more than there are: it has to go.
        "INSERT INTO holds SELECT account, replace(id, '0', '1'), key, 'open', amount, opened, 0, opened_at, expires_at, number, extensions, \
         available, content, claim FROM holds WHERE account = 'acme' LIMIT 1",
    ] {
        let mut fixture = Fixture::new();
        live(&mut fixture, &mut Dice(7), 150).await;
        let acme = AccountId::new("acme").unwrap();
        let hold = fixture.admit(&acme, "0.000001").await;
        fixture.admit(&acme, "0.000001").await;
        let caller = fixture.caller(&acme).await;
        fixture.applied(capture(hold, &caller, credits("0.000001"))).await;
        let before = fixture.ledger().statement(&acme).await.unwrap().unwrap();
        fixture.close();
        tamper(&fixture, sql);
        let refused = open(&fixture.folder.ledger(), &fixture.clock);
        let refused = refused.err().unwrap_or_else(|| panic!("{sql}")).to_string();
        for part in ["Nothing was changed", "rebuild", "restore"] {
            assert!(refused.contains(part), "{sql}: {refused}");
        }
        let report = repair(&fixture.folder.ledger(), fixture.clock.clone()).unwrap();
        assert_ne!(report.differences, Vec::<String>::new(), "{sql}");
        fixture.reopen();
        fixture.assert_clean().await;
        let after = fixture.ledger().statement(&acme).await.unwrap().unwrap();
        assert_eq!(after.account.balance(), before.account.balance(), "{sql}");
        assert_eq!(after.account.settings, before.account.settings, "{sql}");
        assert_eq!(after.grants, before.grants, "{sql}");
    }
}

#[tokio::test]
async fn rebuild_while_open_puts_memory_and_file_right() {
    let mut fixture = Fixture::new();
    live(&mut fixture, &mut Dice(3), 150).await;
    let acme = AccountId::new("acme").unwrap();
    let before = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    tamper(
        &fixture,
        "UPDATE accounts SET spent = spent + 3, granted = granted + 3",
    );
    tamper(&fixture, "DELETE FROM grants");
    let report = fixture.ledger().rebuild().await.unwrap();
    assert!(!report.differences.is_empty());
    fixture.assert_clean().await;
    let after = fixture.ledger().statement(&acme).await.unwrap().unwrap();
    assert_eq!(after.account.balance(), before.account.balance());
    assert_eq!(after.grants, before.grants);
}

#[tokio::test]
async fn a_damaged_journal_is_not_rebuilt_from() {
    let mut fixture = Fixture::new();
    live(&mut fixture, &mut Dice(3), 50).await;
    tamper(&fixture, "UPDATE journal SET amount = amount + 1 WHERE seq = 5");
    let refused = fixture.ledger().rebuild().await.unwrap_err().to_string();
    assert!(refused.contains("entry 5"), "{refused}");
}

#[tokio::test]
async fn a_newer_layout_and_a_foreign_file_are_refused() {
    let mut fixture = Fixture::new();
    fixture.close();
    tamper(&fixture, "UPDATE meta SET layout = layout + 1");
    let refused = open(&fixture.folder.ledger(), &fixture.clock)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("newer Faregate"), "{refused}");
    let foreign = Folder::new();
    std::fs::create_dir_all(foreign.ledger()).unwrap();
    let conn = Connection::open(foreign.file()).unwrap();
    conn.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(conn);
    let refused = open(&foreign.ledger(), &fixture.clock).unwrap_err().to_string();
    assert!(refused.contains("not a Faregate ledger"), "{refused}");
    std::fs::write(
        foreign.file(),
        b"this is no database, only some text that is long enough",
    )
    .unwrap();
    assert!(open(&foreign.ledger(), &fixture.clock).is_err());
}

#[tokio::test]
async fn a_backup_made_in_use_verifies_and_restores() {
    let mut fixture = Fixture::new();
    live(&mut fixture, &mut Dice(5), 100).await;
    let acme = AccountId::new("acme").unwrap();
    let statement = fixture.ledger().statement(&acme).await.unwrap();
    let backup = fixture.folder.0.join("backup.db");
    let report = fixture.ledger().backup(&backup).await.unwrap();
    assert!(report.entries > 0 && report.differences.is_empty());
    assert_eq!(verify_file(&backup).unwrap(), report);
    let again = fixture.ledger().backup(&backup).await.unwrap_err().to_string();
    assert!(again.contains("does not replace"), "{again}");
    live(&mut fixture, &mut Dice(6), 20).await;

    let running = restore(&backup, &fixture.folder.ledger())
        .unwrap_err()
        .to_string();
    assert!(running.contains("in use"), "{running}");
    fixture.close();
    let there = restore(&backup, &fixture.folder.ledger())
        .unwrap_err()
        .to_string();
    assert!(there.contains("Move it"), "{there}");
    let to = fixture.folder.0.join("restored");
    assert_eq!(restore(&backup, &to).unwrap(), report);
    let restored = open(&to, &fixture.clock).unwrap();
    let found = restored.statement(&acme).await.unwrap().unwrap();
    let was = statement.unwrap();
    assert_eq!(
        (found.account.balance(), found.grants.len()),
        (was.account.balance(), was.grants.len())
    );
    assert_eq!(restored.verify().await.unwrap().differences, Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_backup_is_not_restored() {
    let mut fixture = Fixture::new();
    live(&mut fixture, &mut Dice(5), 60).await;
    let backup = fixture.folder.0.join("backup.db");
    fixture.ledger().backup(&backup).await.unwrap();
    let whole = std::fs::read(&backup).unwrap();
    let to = fixture.folder.0.join("restored");
    let conn = Connection::open(&backup).unwrap();
    conn.execute("UPDATE accounts SET spent = spent + 1", []).unwrap();
    drop(conn);
    let refused = restore(&backup, &to).unwrap_err().to_string();
    assert!(refused.contains("Nothing was changed"), "{refused}");
    std::fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    assert!(restore(&backup, &to).is_err());
    assert!(!to.join(FILE).exists());
    std::fs::write(&backup, &whole).unwrap();
    restore(&backup, &to).unwrap();
}

#[tokio::test]
async fn a_start_on_what_does_not_belong_together_is_refused() {
    let (end, row) = ("the journal ends at entry", "which is not in `accounts`");
    for (sql, what) in [
        ("UPDATE meta SET hash = 'x'", end),
        ("UPDATE meta SET seq = seq + 1", end),
        (
            "DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)",
            end,
        ),
        // Of an account before the first, and after the last.
        ("INSERT INTO reasons VALUES ('aaa', 'manual')", row),
        ("INSERT INTO reasons VALUES ('zzz', 'manual')", row),
    ] {
        let mut fixture = Fixture::new();
        let acme = fixture.account("acme", "10").await;
        fixture.admit(&acme, "1").await;
        fixture.close();
        tamper(&fixture, sql);
        let refused = open(&fixture.folder.ledger(), &fixture.clock).err();
        let refused = refused.unwrap_or_else(|| panic!("{sql}")).to_string();
        assert!(refused.contains(what), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn p3_a_hold_that_a_rebuild_brought_back_ends_by_time() {
    let mut fixture = Fixture::new();
    let acme = fixture.account("acme", "10").await;
    let hold = fixture.admit(&acme, "1").await;
    let first = fixture.ledger().hold(&acme, hold).await.unwrap().unwrap();
    // Just before its end its record is lost: the rebuild lets it live for a while, since nothing says how long it should.
    fixture.clock.set(first.expires_at);
    tamper(&fixture, "DELETE FROM holds");
    let report = fixture.ledger().rebuild().await.unwrap();
    assert_ne!(report.differences, Vec::<String>::new());
    assert_eq!(fixture.ledger().sweep(OnExpiry::Release).await, Ok(0));
    let back = fixture.ledger().hold(&acme, hold).await.unwrap().unwrap();
    assert!(back.expires_at > first.expires_at);
    fixture.clock.set(back.expires_at);
    assert_eq!(fixture.ledger().sweep(OnExpiry::Release).await, Ok(1));
    fixture.assert_clean().await;
}
