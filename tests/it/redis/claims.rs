//! Idempotency keys in a real Redis: how often it is asked, what it keeps, how it forgets.

use faregate::clock::ManualClock;
use faregate::domain::claim::{CLAIM_LASTS, Claim, ClaimKey};
use faregate::domain::command::{Admit, Command, Outcome};
use faregate::domain::ids::HoldId;
use faregate::domain::refusal::Refusal;
use faregate::ledger::{Ledger, LedgerError};

use super::single;
use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{Teller, applied};
use crate::rig::redis::{RedisOptions, RedisServer};

/// Calls of scripts so far.
async fn calls(server: &RedisServer) -> u64 {
    let stats: String = server.command(&["INFO", "commandstats"]).await;
    let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// The answer to a command, and in how many calls.
async fn asked(server: &RedisServer, ledger: &dyn Ledger, command: &Command) -> (Outcome, u64) {
    let before = calls(server).await;
    let answer = ledger.execute(command).await.unwrap();
    (answer, calls(server).await - before)
}

/// A request under an idempotency key.
async fn under_key(teller: &Teller<'_>) -> (HoldId, Command) {
    let claim = Claim {
        key: ClaimKey([1; 16]),
        content: 1,
    };
    let admit = Admit {
        claim: Some(claim),
        ..teller.admit_command(micros(1)).await
    };
    (admit.hold, Command::Admit(admit))
}

#[tokio::test]
async fn a_claim_is_one_trip_and_a_retry_two_and_redis_forgets_it_by_itself() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    let clock = ManualClock::new(START);
    let teller = Teller::open(&ledger, &clock, "acme").await;
    teller.grant("g", micros(100)).await;
    // The first of all finds no script there.
    teller.hold(micros(1)).await;
    let plain = Command::Admit(teller.admit_command(micros(1)).await);
    assert!(matches!(
        asked(&server, &ledger, &plain).await,
        (Outcome::Applied(_), 1)
    ));
    let kept: Vec<Vec<u8>> = server.command(&["KEYS", "fg:{0}:o:*"]).await;
    assert_eq!(kept.len(), 0, "nothing is kept of a request without a key");

    let (request, first) = under_key(&teller).await;
    assert!(matches!(
        asked(&server, &ledger, &first).await,
        (Outcome::Applied(_), 1)
    ));
    let (_, retry) = under_key(&teller).await;
    let in_progress = Outcome::Refused(Refusal::InProgress { request });
    assert_eq!(asked(&server, &ledger, &retry).await, (in_progress, 2));

    let kept: Vec<Vec<u8>> = server.command(&["KEYS", "fg:{0}:o:*"]).await;
    assert_eq!(kept.len(), 1);
    let left: i64 = server.command_of_bytes("PTTL", &[&kept[0]]).await;
    let lasts = CLAIM_LASTS.micros() / 1_000;
    assert!((lasts..=lasts + 60_000).contains(&left), "{left} ms");
    // Whether it was charged, its hold says: one that is gone frees the key.
    let hold: Vec<Vec<u8>> = server.command(&["KEYS", "fg:{0}:h:*"]).await;
    for name in &hold {
        let _: i64 = server.command_of_bytes("DEL", &[name]).await;
    }
    applied(&teller.claim(1, micros(1)).await.1);
}

#[tokio::test]
async fn a_claim_that_is_none_is_damage_and_opens_nothing() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    let clock = ManualClock::new(START);
    let teller = Teller::open(&ledger, &clock, "acme").await;
    teller.grant("g", micros(100)).await;
    applied(&teller.claim(1, micros(1)).await.1);
    let kept: Vec<Vec<u8>> = server.command(&["KEYS", "fg:{0}:o:*"]).await;
    let name = &kept[0];
    for plant in ["SET", "RPUSH"] {
        let _: i64 = server.command_of_bytes("DEL", &[name]).await;
        let _: redis::Value = server.command_of_bytes(plant, &[name, b"short"]).await;
        let answer = ledger.execute(&under_key(&teller).await.1).await;
        assert!(
            matches!(answer, Err(LedgerError::Quarantined { .. })),
            "{plant}: {answer:?}"
        );
    }
    // Requests without a key go on.
    assert!(matches!(teller.try_hold(micros(1)).await.1, Outcome::Applied(_)));
    assert_eq!(teller.balance().await.held, micros(2));
}
