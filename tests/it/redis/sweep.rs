//! The sweep on a journal as a busy proxy writes it: many entries in one item.

use faregate::clock::{Clock, ManualClock};
use faregate::domain::command::{Admit, Command, HOLDS_REMEMBERED};
use faregate::domain::hold::OnExpiry;
use faregate::domain::time::Span;
use faregate::ledger::Ledger;

use super::single;
use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{TTL, Teller, applied};
use crate::rig::redis::{RedisOptions, RedisServer};

/// Holds, of which every third is settled at once.
const HOLDS: usize = 3_000;

async fn at_once(ledger: &dyn Ledger, commands: Vec<Command>) {
    let mut calls: Vec<_> = commands.iter().map(|command| ledger.execute(command)).collect();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                applied(&answer.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn p3_holds_of_a_busy_proxy_are_ended_and_forgotten_in_small_steps() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, time) = single(&server).await;
    let clock = ManualClock::new(START);
    let teller = Teller::open(&ledger, &clock, "acme").await;
    teller.grant("g", micros(1_000_000)).await;
    let one = teller.admit_command(micros(5)).await;
    let admits: Vec<_> = (0..HOLDS)
        .map(|_| Admit {
            hold: teller.new_hold(),
            ..one.clone()
        })
        .collect();
    at_once(&ledger, admits.iter().cloned().map(Command::Admit).collect()).await;
    let settled = admits.iter().step_by(3);
    let settled = settled.map(|admit| teller.capture_command(admit.hold, micros(2), teller.anyone()));
    at_once(&ledger, settled.collect()).await;
    let items: usize = server.command(&["XLEN", "fg:{0}:j"]).await;
    let entries = 3 + HOLDS + HOLDS / 3;
    assert!(items < entries / 8, "{items} items: the entries are not gathered");

    clock.advance(TTL);
    time.set(Clock::now(&clock));
    let mut ended = 0;
    while ended < 2 * HOLDS as u64 / 3 {
        let some = ledger.sweep(OnExpiry::Release).await.unwrap();
        assert!(some > 0, "only {ended} were found");
        ended += some;
    }
    assert_eq!(ended, 2 * HOLDS as u64 / 3);
    let account = teller.statement().await.account;
    assert_eq!((account.gauge.open, account.gauge.held), (0, micros(0)));
    assert_eq!(account.spent.micros(), 2 * HOLDS as i64 / 3);

    clock.advance(HOLDS_REMEMBERED.max(TTL));
    clock.advance(Span::from_secs(61));
    time.set(Clock::now(&clock));
    for _ in 0..20 {
        ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    let left: Vec<String> = server.command(&["KEYS", "fg:{0}:h:*"]).await;
    assert_eq!(left.len(), 0, "holds that need not be remembered");
    assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
}

/// The journal's part where a long stream began is swept long before the stream ends; its hold's record must not stay for ever all the same.
#[tokio::test]
async fn a_hold_that_outlived_the_memory_of_ids_is_forgotten_too() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, time) = single(&server).await;
    let clock = ManualClock::new(START);
    let teller = Teller::open(&ledger, &clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let (charged, died) = (teller.hold(micros(10)).await, teller.hold(micros(10)).await);
    let advance = |span: Span| {
        clock.advance(span);
        time.set(Clock::now(&clock));
    };
    for _ in 0..50 {
        advance(Span::from_secs(55));
        for hold in [charged, died] {
            applied(&teller.renew(hold).await);
        }
        assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    }
    applied(&teller.capture(charged, micros(4)).await);
    advance(TTL);
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(1));
    let holds = async || -> usize {
        let left: Vec<Vec<u8>> = server.command(&["KEYS", "fg:{0}:h:*"]).await;
        left.len()
    };
    advance(Span::from_micros(HOLDS_REMEMBERED.micros() - TTL.micros()));
    ledger.sweep(OnExpiry::Release).await.unwrap();
    assert_eq!(holds().await, 2, "they are remembered for their time");
    advance(Span::from_secs(61));
    for _ in 0..3 {
        ledger.sweep(OnExpiry::Release).await.unwrap();
    }
    assert_eq!(holds().await, 0);
    let waiting: usize = server.command(&["ZCARD", "fg:{0}:b"]).await;
    assert_eq!(waiting, 0, "nothing is left to visit");
    assert_eq!(ledger.verify().await.unwrap().differences, Vec::<String>::new());
}
