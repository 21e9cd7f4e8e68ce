//! B14: the ledger on a cluster whose slots move and whose masters go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use faregate::clock::{Clock, ManualClock, SystemClock};
use faregate::domain::command::{Admit, Capture, Command, Outcome};
use faregate::domain::entry::Detail;
use faregate::domain::hold::OnExpiry;
use faregate::ledger::redis::{Network, Options, RedisLedger};
use faregate::ledger::{Ledger, LedgerError};

use super::open;
use crate::ledger::moves::{hold_id, micros};
use crate::ledger::teller::{TTL, Teller, applied};
use crate::rig::cluster::RedisCluster;
use crate::rig::redis::{Persistence, RedisOptions};
use crate::rig::within;

const GRANTED: i64 = 1_000_000;

/// As a proxy has it, at the servers' time.
async fn connect(cluster: &RedisCluster) -> RedisLedger {
    let network = Arc::new(Network::new(None).unwrap());
    open(Options {
        attempt: Duration::from_secs(1),
        patience: Duration::from_secs(2),
        ..Options::new(cluster.urls(), network, 7)
    })
    .await
}

/// The time that is only for making ids.
fn clock() -> ManualClock {
    ManualClock::new(SystemClock.now())
}

/// Sends a command until it is decided, and counts the answers that said that it was done just now.
async fn insist(ledger: &RedisLedger, command: &Command, done: &AtomicU64) {
    within("a decision", async {
        loop {
            match ledger.execute(command).await {
                Ok(Outcome::Applied(_)) => {
                    done.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(Outcome::Replayed(_)) => return,
                Ok(other) => panic!("{command:?}: {other:?}"),
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{command:?}: {error}"),
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b14_slots_move_under_load_and_nothing_is_lost_or_doubled() {
    const ACCOUNTS: usize = 12;
    let cluster = RedisCluster::start(RedisOptions::default()).await;
    let ledger = Arc::new(connect(&cluster).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut payers = Vec::new();
    for n in 0..ACCOUNTS {
        let (ledger, stop) = (ledger.clone(), stop.clone());
        payers.push(tokio::spawn(async move {
            let clock = clock();
            let teller = Teller::open(&*ledger, &clock, &format!("account-{n}")).await;
            teller.grant("g", micros(GRANTED)).await;
            let (caller, done, mut paid) = (teller.caller(0).await, AtomicU64::new(0), 0);
            while !stop.load(Ordering::Relaxed) {
                let admit = Admit {
                    caller: caller.clone(),
                    hold: teller.new_hold(),
                    least: micros(5),
                    most: micros(5),
                    tokens: 0,
                    ttl: TTL,
                    claim: None,
                    detail: Detail::none(),
                };
                let capture = Capture {
                    hold: admit.hold,
                    caller: caller.clone(),
                    used: micros(3),
                    detail: Detail::none(),
                };
                insist(&ledger, &Command::Admit(admit), &done).await;
                insist(&ledger, &Command::Capture(capture), &done).await;
                paid += 1;
            }
            assert!(done.into_inner() <= 2 * paid, "something was done twice");
            let balance = teller.balance().await;
            let spent = 3 * i64::try_from(paid).unwrap();
            assert_eq!((balance.held, balance.spent), (micros(0), micros(spent)));
            assert_eq!(balance.available(), micros(GRANTED - spent));
            // The opening's three, then a hold and a charge each.
            let entries = teller.statement().await.account.entries;
            assert_eq!(entries, 3 + 2 * paid);
            paid
        }));
    }
    // Every partition goes on to the next server, some key by key, with a look from outside in between.
    for partition in 0..ledger.partitions() {
        let slot = cluster.slot_of(&format!("fg:{{{partition}}}:p")).await;
        let from = cluster.owner_of(slot).await;
        let to = (from + 1) % cluster.node_count();
        cluster.begin_move(slot, from, to).await;
        if partition % 4 == 0 {
            cluster.move_keys(slot, from, to, 3).await;
            tokio::task::yield_now().await;
        }
        cluster.finish_move(slot, from, to).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut paid = 0;
    for payer in payers {
        paid += payer.await.unwrap();
    }
    assert!(paid > 0);
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    assert_eq!(report.accounts, ACCOUNTS as u64);
    // One who comes later finds everything where it is now.
    let other = connect(&cluster).await;
    assert_eq!(other.verify().await.unwrap(), report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b14_accounts_of_a_master_that_is_away_are_unavailable_and_the_others_go_on() {
    let options = RedisOptions::default()
        .persistence(Persistence::Always)
        .line("cluster-require-full-coverage no");
    let mut cluster = RedisCluster::start(options).await;
    let ledger = connect(&cluster).await;
    let clock = clock();
    let mut owners = BTreeMap::new();
    for n in 0..6 {
        let name = format!("account-{n}");
        let teller = Teller::open(&ledger, &clock, &name).await;
        teller.grant("g", micros(100)).await;
        teller.hold(micros(1)).await;
        // As a proxy that has seen the key: where a key's owner is looked up has nothing to do with where the account is.
        let caller = teller.caller(0).await;
        owners.insert(name, (owner(&cluster, &ledger, &teller).await, caller));
    }
    let gone = owners["account-0"].0;
    assert!(owners.values().any(|(owner, _)| *owner != gone), "{owners:?}");
    cluster.node_mut(gone).kill9();
    for (n, (name, (owner, caller))) in owners.iter().enumerate() {
        let teller = Teller::of(&ledger, &clock, name);
        let adjust = teller.adjust_command("one-more", micros(1));
        let answer = ledger.execute(&adjust).await;
        if *owner == gone {
            let error = answer.unwrap_err();
            // What was on its way may have been done: that is all that is known.
            assert!(error.is_transient(), "{error:?}");
            let error = ledger.execute(&adjust).await.unwrap_err();
            assert!(matches!(error, LedgerError::Unavailable(_)), "{error:?}");
        } else {
            applied(&answer.unwrap());
            let admit = Admit {
                caller: caller.clone(),
                hold: hold_id(&teller.account, 100 + n as u64, clock.now()),
                least: micros(5),
                most: micros(5),
                tokens: 0,
                ttl: TTL,
                claim: None,
                detail: Detail::none(),
            };
            applied(&teller.execute(&Command::Admit(admit)).await);
        }
    }
    // The gate stays open for the others, and their holds end.
    ledger.ready().await.unwrap();
    assert!(ledger.sweep(OnExpiry::Release).await.unwrap_err().is_transient());
    // A proxy that starts now serves the others too.
    let late = connect(&cluster).await;
    late.ready().await.unwrap();

    cluster.node_mut(gone).restart().await;
    cluster.wait_ok().await;
    for name in owners.keys() {
        let teller = Teller::of(&ledger, &clock, name);
        insist(
            &ledger,
            &teller.adjust_command("one-more", micros(1)),
            &AtomicU64::new(0),
        )
        .await;
        let balance = teller.balance().await;
        assert_eq!(balance.granted, micros(101), "{name}");
    }
    let report = ledger.verify().await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
    ledger.sweep(OnExpiry::Release).await.unwrap();
}

/// Which server has an account.
async fn owner(cluster: &RedisCluster, ledger: &RedisLedger, teller: &Teller<'_>) -> usize {
    for partition in 0..ledger.partitions() {
        let entries = ledger.journal(partition, 0, 1_000).await.unwrap();
        if entries.iter().any(|entry| entry.account == teller.account) {
            let slot = cluster.slot_of(&format!("fg:{{{partition}}}:p")).await;
            return cluster.owner_of(slot).await;
        }
    }
    panic!("no partition has {}", teller.account);
}
