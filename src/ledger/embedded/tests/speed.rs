//! How fast it is, in small: the figures are printed, and only gross slowness fails.

use std::time::{Duration, Instant};

use super::*;
use crate::clock::SystemClock;

/// Prints operations per second with sync on. `FAREGATE_EMBEDDED_OPS` sets how many each round does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_per_second_with_1_16_and_64_callers() {
    let ops: u64 = std::env::var("FAREGATE_EMBEDDED_OPS").map_or(600, |n| n.parse().unwrap());
    for callers in [1, 16, 64] {
        let folder = Folder::new();
        let ledger = EmbeddedLedger::open(Options::new(folder.ledger()), Arc::new(SystemClock)).unwrap();
        let ledger = Arc::new(ledger);
        for n in 0..callers {
            let id = AccountId::new(&format!("account-{n}")).unwrap();
            ledger.execute(&create(&id)).await.unwrap();
            let grant = grant(&id, "g1", "1000000", Timestamp::NEVER);
            ledger.execute(&grant).await.unwrap();
        }
        let began = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|n| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    let id = AccountId::new(&format!("account-{n}")).unwrap();
                    let caller = caller(&id, 1);
                    for op in 0..ops / callers / 2 {
                        let hold = hold_id(SystemClock.now(), n * 1_000_000 + op);
                        let held = ledger.execute(&admit(hold, &caller, credits("0.5"))).await;
                        assert!(matches!(held, Ok(Outcome::Applied(_))), "{held:?}");
                        let charged = ledger.execute(&capture(hold, &caller, credits("0.25"))).await;
                        assert!(matches!(charged, Ok(Outcome::Applied(_))), "{charged:?}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let took = began.elapsed();
        let done = ops / callers / 2 * callers * 2;
        println!(
            "embedded, {callers:>2} callers: {:>6.0} operations/s ({done} in {took:?})",
            done as f64 / took.as_secs_f64()
        );
        assert!(took.as_secs() < 60);
        assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
    }
}

/// Prints how long a start takes. `FAREGATE_EMBEDDED_ACCOUNTS` sets how many accounts; the budget of a second counts for 100,000 in a release build.
#[tokio::test]
async fn start_with_many_accounts() {
    let accounts: usize = std::env::var("FAREGATE_EMBEDDED_ACCOUNTS").map_or(2_000, |n| n.parse().unwrap());
    let mut fixture = Fixture::new();
    let ids: Vec<AccountId> = (0..accounts)
        .map(|n| AccountId::new(&format!("customer-{n:06}")).unwrap())
        .collect();
    for some in ids.chunks(500) {
        let commands: Vec<Command> = some
            .iter()
            .flat_map(|id| {
                [
                    create(id),
                    grant(id, "g1", "10", Timestamp::NEVER),
                    key(id, "key_1", Limits::NONE),
                    admit(hold_id(start(), 1), &caller(id, 2), credits("1")),
                ]
            })
            .collect();
        let answers: Vec<_> = commands.iter().map(|c| fixture.ledger().execute(c)).collect();
        for answer in answers {
            assert!(matches!(answer.await, Ok(Outcome::Applied(_))));
        }
    }
    fixture.close();
    let (began, cpu) = (Instant::now(), thread_cpu());
    fixture.reopen();
    let took = began.elapsed();
    // On a busy machine the second figure says more.
    let cpu = thread_cpu().saturating_sub(cpu);
    println!("embedded, start with {accounts} accounts: {took:?} ({cpu:?} of its thread's CPU)");
    assert!(took.as_secs() < 20);
    let statement = fixture
        .ledger()
        .statement(&ids[accounts / 2])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(statement.account.available(), credits("9"));
}

/// CPU time of this thread so far, where the system tells it.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
