//! G3: random histories, the engine against the scripts: equal answers, equal states, equal journals.

use std::collections::BTreeSet;

use faregate::domain::command::Command;
use faregate::domain::entry::Entry;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::HoldId;
use faregate::domain::key::Key;
use faregate::ledger::Ledger;
use faregate::ledger::redis::{RedisLedger, TestTime};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{open, options};
use crate::ledger::moves::{Move, START, World, any_move};
use crate::rig::redis::{RedisOptions, RedisServer};

const CASES: u32 = 200;

#[test]
fn g3_the_scripts_decide_as_the_engine_does() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(RedisServer::start(RedisOptions::default()));
    let config = ProptestConfig {
        cases: CASES,
        ..ProptestConfig::default()
    };
    let moves = prop::collection::vec(any_move(true), 1..90);
    let result = TestRunner::new(config).run(&moves, |moves| {
        runtime.block_on(async {
            server.flushall().await;
            let (mut options, time) = options(server.url(), START);
            options.partitions = Some(2);
            let ledger = open(options).await;
            run(&ledger, &time, &moves).await
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

async fn run(ledger: &RedisLedger, time: &TestTime, moves: &[Move]) -> Result<(), TestCaseError> {
    let mut world = World::new("acme", START);
    for (command, outcome) in world.history.clone() {
        prop_assert_eq!(ledger.execute(&command).await, Ok(outcome), "{:?}", command);
    }
    for next in moves {
        let Some(command) = world.command(next) else {
            time.set(world.now);
            if world.now.micros() % 3 == 0 {
                sweep(ledger, &mut world).await?;
            }
            continue;
        };
        let step = world.execute(&command);
        let answer = ledger.execute(&command).await;
        prop_assert_eq!(answer, Ok(step.outcome), "{:?}", command);
        same(ledger, &world).await?;
    }
    journal(ledger, &world).await
}

/// A sweep ends the holds that ran out, and no others, and forgets the ended ones that the engine forgets.
async fn sweep(ledger: &RedisLedger, world: &mut World) -> Result<(), TestCaseError> {
    let partition = partition_of(ledger, world).await;
    let before = world.state.seq;
    let ended = ledger.sweep(OnExpiry::Release).await.unwrap();
    let expired: BTreeSet<_> = world
        .state
        .expired_holds(world.now, usize::MAX)
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    prop_assert_eq!(ended, expired.len() as u64);
    // In the order in which the store came upon them.
    for entry in ledger.journal(partition, before, 1_000).await.unwrap() {
        let Ok(hold) = entry.subject.parse::<HoldId>() else {
            continue;
        };
        prop_assert!(expired.contains(&hold));
        world.execute(&Command::ExpireHold {
            account: world.account.clone(),
            hold,
            on_expiry: OnExpiry::Release,
        });
    }
    let left = world.state.expired_holds(world.now, usize::MAX);
    prop_assert!(left.is_empty(), "{:?} were not ended", left);
    for (_, id) in world.state.forget(world.now) {
        prop_assert_eq!(ledger.hold(&world.account, id).await.unwrap(), None);
    }
    same(ledger, world).await
}

/// In which partition's journal the account's entries are: that which has any.
async fn partition_of(ledger: &RedisLedger, world: &World) -> u32 {
    for partition in 0..ledger.partitions() {
        let entries = ledger.journal(partition, 0, 1).await.unwrap();
        if entries.iter().any(|e| e.account == world.account) {
            return partition;
        }
    }
    panic!("no partition has entries of {}", world.account);
}

/// The account with its grants, keys and holds is the same in both.
async fn same(ledger: &RedisLedger, world: &World) -> Result<(), TestCaseError> {
    let (account, grants) = world.book().statement(world.now);
    let statement = ledger.statement(&world.account).await.unwrap().unwrap();
    prop_assert_eq!(&statement.account, &account);
    prop_assert_eq!(&statement.grants, &grants);
    let keys: Vec<Key> = world.book().keys.values().cloned().collect();
    prop_assert_eq!(ledger.keys(&world.account).await.unwrap(), keys);
    let holds: Vec<HoldId> = world.book().holds.keys().copied().collect();
    for id in holds {
        let hold = ledger.hold(&world.account, id).await.unwrap();
        prop_assert_eq!(hold.as_ref(), world.book().holds.get(&id));
    }
    Ok(())
}

async fn journal(ledger: &RedisLedger, world: &World) -> Result<(), TestCaseError> {
    let report = ledger.verify().await.unwrap();
    prop_assert_eq!(report.differences, Vec::<String>::new());
    prop_assert_eq!((report.accounts, report.entries), (1, world.entries.len() as u64));
    let mut entries: Vec<Entry> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = ledger
            .entries(&world.account, cursor.as_deref(), 7)
            .await
            .unwrap();
        entries.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    entries.reverse();
    prop_assert_eq!(&entries, &world.entries);
    for id in world.book().holds.keys() {
        let text = id.to_string();
        let of_hold: Vec<_> = entries.iter().filter(|e| *e.subject == text).cloned().collect();
        prop_assert_eq!(
            ledger.entries_of_hold(&world.account, *id).await.unwrap(),
            of_hold
        );
    }
    Ok(())
}
