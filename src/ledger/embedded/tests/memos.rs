//! Memos in the file: they outlive what the books outlive, and fail as they do.

use super::*;
use crate::ledger::LedgerError;
use crate::ledger::memos::{Kept, Memo, MemoName, Memos, Wrote};

fn name(id: &str) -> MemoName {
    MemoName::new("invoice", id).unwrap()
}

fn saying(text: &str) -> Memo {
    Memo {
        text: text.into(),
        due: start(),
        forget_at: Timestamp::NEVER,
    }
}

async fn write(fixture: &Fixture, id: &str, expected: u64, memo: &Memo) -> Wrote {
    let wrote = fixture.ledger().write_memo(&name(id), expected, memo).await;
    wrote.unwrap()
}

#[tokio::test]
async fn memos_outlive_a_restart_a_rebuild_and_a_backup() {
    let mut fixture = Fixture::new();
    fixture.account("acme", "10").await;
    for (expected, text) in ["1", "2", "3"].into_iter().enumerate() {
        let wrote = write(&fixture, "in_1", expected as u64, &saying(text)).await;
        assert!(matches!(wrote, Wrote::Done { .. }), "{wrote:?}");
    }
    let kept = Kept {
        memo: saying("3"),
        version: 3,
    };
    for round in 0..4 {
        let found = fixture.ledger().memo(&name("in_1")).await.unwrap();
        assert_eq!(found, Some(kept.clone()), "round {round}");
        assert_eq!(fixture.ledger().due_memos(9).await.unwrap(), [name("in_1")]);
        fixture.outlive(round).await;
    }
}

#[tokio::test]
async fn writes_of_one_round_see_each_other_and_what_a_sweep_forgets_is_gone() {
    let fixture = Fixture::new();
    let in_1 = name("in_1");
    let memos = [saying("1"), saying("2"), saying("2"), saying("x")];
    // Queued before the writer has a turn: they may well be of one round.
    let asked: Vec<_> = memos
        .iter()
        .zip([0, 1, 1, 1])
        .map(|(memo, expected)| fixture.ledger().write_memo(&in_1, expected, memo))
        .collect();
    let mut wrote = Vec::new();
    for answer in asked {
        wrote.push(answer.await.unwrap());
    }
    let there = Kept {
        memo: saying("2"),
        version: 2,
    };
    assert_eq!(
        wrote,
        [
            Wrote::Done { version: 1 },
            Wrote::Done { version: 2 },
            Wrote::Done { version: 2 },
            Wrote::Changed(Some(there)),
        ]
    );
    let passing = Memo {
        forget_at: start().plus(Span::from_secs(1)),
        ..saying("3")
    };
    write(&fixture, "in_1", 2, &passing).await;
    write(&fixture, "kept", 0, &saying("kept")).await;
    fixture.clock.set(start().plus(Span::from_secs(1)));
    fixture.ledger().sweep(OnExpiry::Release).await.unwrap();
    let rows = fixture.ledger().job(|writer| {
        let count = writer
            .conn
            .query_row("SELECT count(*) FROM memos", [], |row| row.get::<_, i64>(0));
        Ok(count.unwrap())
    });
    assert_eq!(rows.await.unwrap(), 1);
}

/// However many memos there are, what is due, what is to be forgotten and a kind's are found by an index.
#[tokio::test]
async fn lists_of_memos_are_read_by_an_index() {
    let fixture = Fixture::new();
    let plans = fixture.ledger().job(|writer| {
        let mut plans = Vec::new();
        for sql in [super::super::memos::DUE, super::super::memos::FORGETTABLE] {
            let mut plan = writer.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = plan.query_map((1, 1), |row| row.get::<_, String>(3)).unwrap();
            plans.push(steps.map(Result::unwrap).collect::<Vec<_>>().join("; "));
        }
        Ok(plans)
    });
    let plans = plans.await.unwrap();
    for (plan, index) in plans.iter().zip(["memos_due", "memos_forget_at"]) {
        assert!(plan.contains(&format!("USING INDEX {index} ")), "{plan}");
    }
}

/// A log of long memos is moved into the file in time.
#[tokio::test]
async fn long_memos_do_not_let_the_log_grow() {
    let fixture = Fixture::new();
    let long = "x".repeat(250_000);
    for version in 0..200 {
        let memo = saying(&format!("{version}{long}"));
        write(&fixture, "in_1", version, &memo).await;
    }
    let log = fixture.folder.ledger().join(format!("{FILE}-wal"));
    let bytes = std::fs::metadata(log).unwrap().len();
    assert!(bytes < 40 << 20, "{bytes}");
}

#[tokio::test]
async fn a21_a_memo_that_finds_no_room_is_refused_and_can_be_asked_again() {
    let fixture = Fixture::new();
    write(&fixture, "in_1", 0, &saying("1")).await;
    let limit = |pages| {
        fixture.ledger().job(move |writer| {
            writer.limit_pages(pages);
            Ok(())
        })
    };
    limit(1).await.unwrap();
    let long = saying(&"x".repeat(100_000));
    let refused = fixture.ledger().write_memo(&name("in_1"), 1, &long).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    let found = fixture.ledger().memo(&name("in_1")).await.unwrap().unwrap();
    assert_eq!((found.version, &*found.memo.text), (1, "1"));
    limit(1_000_000).await.unwrap();
    assert_eq!(
        write(&fixture, "in_1", 1, &long).await,
        Wrote::Done { version: 2 }
    );
}
