use std::sync::Mutex;

use prometheus::{Encoder, Registry, TextEncoder};

use super::*;
use crate::domain::command::{AccountChange, Admit, Capture, Release};
use crate::domain::entry::Detail;
use crate::domain::ids::KeyId;
use crate::domain::key::Caller;
use crate::domain::limits::Limits;
use crate::domain::time::Span;

/// Gives the next answer of a list; answers nothing when there is none.
#[derive(Debug, Default)]
struct Scripted(Mutex<Vec<Result<Outcome, LedgerError>>>);

fn nothing<T: Send + 'static>() -> Answer<'static, T> {
    Box::pin(std::future::pending())
}

impl Ledger for Scripted {
    fn execute<'a>(&'a self, _: &'a Command) -> Answer<'a, Outcome> {
        match self.0.lock().unwrap().pop() {
            Some(answer) => Box::pin(async { answer }),
            None => nothing(),
        }
    }
    fn identify<'a>(&'a self, _: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        Box::pin(async { Ok(None) })
    }
    fn statement<'a>(&'a self, _: &'a AccountId) -> Answer<'a, Option<Statement>> {
        nothing()
    }
    fn keys<'a>(&'a self, _: &'a AccountId) -> Answer<'a, Vec<Key>> {
        nothing()
    }
    fn hold<'a>(&'a self, _: &'a AccountId, _: HoldId) -> Answer<'a, Option<Hold>> {
        nothing()
    }
    fn accounts<'a>(&'a self, _: Option<&'a str>, _: usize) -> Answer<'a, Page<AccountId>> {
        nothing()
    }
    fn entries<'a>(&'a self, _: &'a AccountId, _: Option<&'a str>, _: usize) -> Answer<'a, Page<Entry>> {
        nothing()
    }
    fn entries_of_hold<'a>(&'a self, _: &'a AccountId, _: HoldId) -> Answer<'a, Vec<Entry>> {
        nothing()
    }
    fn usage_by_day<'a>(&'a self, _: &'a AccountId, _: i64, _: i64) -> Answer<'a, Vec<DayUsage>> {
        nothing()
    }
    fn journal(&self, _: u32, _: u64, _: usize) -> Answer<'_, Vec<Entry>> {
        nothing()
    }
    fn partitions(&self) -> u32 {
        7
    }
    fn sweep(&self, _: OnExpiry) -> Answer<'_, u64> {
        Box::pin(async { Ok(3) })
    }
    fn verify(&self) -> Answer<'_, VerifyReport> {
        nothing()
    }
    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        nothing()
    }
    fn ready(&self) -> Answer<'_, Timestamp> {
        Box::pin(async { Err(LedgerError::TimedOut(5)) })
    }
    fn durability(&self) -> String {
        "inner".to_owned()
    }
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn caller(credit_line: &str) -> Arc<Caller> {
    Arc::new(Caller {
        account: AccountId::new("acme").unwrap(),
        key: KeyId::new("key_1").unwrap(),
        key_expires_at: Timestamp::NEVER,
        key_limits: Limits::NONE,
        limits: Limits::NONE,
        credit_line: credits(credit_line),
        version: 1,
    })
}

fn admit() -> Command {
    Command::Admit(Admit {
        hold: HoldId::new(1, [1; 10]),
        caller: caller("0"),
        least: credits("1"),
        most: credits("2"),
        tokens: 0,
        ttl: Span::from_secs(60),
        detail: Detail::none(),
    })
}

fn capture(credit_line: &str) -> Command {
    Command::Capture(Capture {
        hold: HoldId::new(1, [1; 10]),
        caller: caller(credit_line),
        used: credits("1.5"),
        detail: Detail::none(),
    })
}

fn applied(amount: &str, available: &str) -> Result<Outcome, LedgerError> {
    Ok(Outcome::Applied(Receipt {
        amount: credits(amount),
        available: credits(available),
        ..Receipt::default()
    }))
}

struct Fixture {
    registry: Registry,
    inner: Arc<Scripted>,
    ledgers: [Metered; 2],
}

impl Fixture {
    fn new() -> Fixture {
        let registry = Registry::new_custom(Some("faregate".to_owned()), None).unwrap();
        let meters = LedgerMeters::default();
        meters.register(&registry).unwrap();
        let inner = Arc::new(Scripted::default());
        let metered = || Metered::new(Arc::clone(&inner) as Arc<dyn Ledger>, &meters);
        let ledgers = [metered(), metered()];
        Fixture {
            registry,
            inner,
            ledgers,
        }
    }

    /// Sends a command through one of the two workers' ledgers, to be answered like this.
    async fn ask(&self, worker: usize, command: &Command, answer: Result<Outcome, LedgerError>) {
        self.inner.0.lock().unwrap().push(answer.clone());
        assert_eq!(self.ledgers[worker].execute(command).await, answer);
    }

    #[track_caller]
    fn shows(&self, lines: &[&str]) {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "no {line} in\n{text}");
        }
    }
}

#[tokio::test]
async fn operations_are_counted_by_result_over_all_workers_and_answers_pass_untouched() {
    let f = Fixture::new();
    f.ask(0, &admit(), applied("2", "8")).await;
    f.ask(1, &admit(), applied("0.5", "7.5")).await;
    f.ask(0, &admit(), Ok(Outcome::Replayed(Receipt::default())))
        .await;
    f.ask(0, &admit(), Ok(Outcome::Refused(Refusal::Stale))).await;
    f.ask(0, &capture("0"), applied("1.5", "8.5")).await;
    f.ask(1, &capture("0"), Err(LedgerError::Unavailable("gone".to_owned())))
        .await;
    assert_eq!(f.ledgers[0].identify(&KeyDigest([0; 32])).await, Ok(None));
    assert_eq!(f.ledgers[0].sweep(OnExpiry::Release).await, Ok(3));
    assert_eq!(f.ledgers[1].ready().await, Err(LedgerError::TimedOut(5)));
    assert_eq!(
        (f.ledgers[0].partitions(), f.ledgers[0].durability()),
        (7, "inner".to_owned())
    );
    f.shows(&[
        "faregate_ledger_operations_total{operation=\"admit\",result=\"applied\"} 2",
        "faregate_ledger_operations_total{operation=\"admit\",result=\"replayed\"} 1",
        "faregate_ledger_operations_total{operation=\"admit\",result=\"stale\"} 1",
        "faregate_ledger_operations_total{operation=\"capture\",result=\"unavailable\"} 1",
        "faregate_ledger_operations_total{operation=\"identify\",result=\"ok\"} 1",
        "faregate_ledger_operations_total{operation=\"ready\",result=\"timed_out\"} 1",
        "faregate_ledger_operation_duration_seconds_count{operation=\"admit\"} 4",
        "faregate_ledger_operation_duration_seconds_bucket{operation=\"admit\",le=\"+Inf\"} 4",
        "faregate_ledger_operations_under_way 0",
        "faregate_credits_held_total 2.5",
        "faregate_credits_captured_total 1.5",
        "faregate_holds_expired_total 3",
    ]);
}

#[tokio::test]
async fn what_alerts_wait_for_is_shown_at_zero_from_the_start() {
    Fixture::new().shows(&[
        "faregate_ledger_operations_total{operation=\"admit\",result=\"lost_history\"} 0",
        "faregate_ledger_operations_total{operation=\"capture\",result=\"hold_ended\"} 0",
        "faregate_ledger_operations_total{operation=\"release\",result=\"unknown_hold\"} 0",
        "faregate_below_floor_total{operation=\"capture\"} 0",
        "faregate_below_floor_total{operation=\"put_grant\"} 0",
        "faregate_holds_expired_total 0",
    ]);
}

#[tokio::test]
async fn an_account_left_below_its_floor_is_counted_and_a_credit_line_in_use_is_not() {
    let f = Fixture::new();
    f.ask(0, &capture("0"), applied("1.5", "-0.5")).await;
    f.ask(0, &capture("1"), applied("1.5", "-1")).await;
    f.ask(0, &capture("1"), applied("1.5", "-1.000001")).await;
    let release = Command::Release(Release {
        hold: HoldId::new(1, [1; 10]),
        caller: caller("0"),
        detail: Detail::none(),
    });
    f.ask(0, &release, applied("0", "-3")).await;
    let adjust = Command::Adjust {
        id: crate::domain::ids::CommandId::new("a").unwrap(),
        account: AccountId::new("acme").unwrap(),
        amount: credits("-5"),
        detail: Detail::none(),
    };
    f.ask(1, &adjust, applied("0", "-4")).await;
    let create = Command::SetAccount {
        account: AccountId::new("acme").unwrap(),
        change: AccountChange::Create(None),
        detail: Detail::none(),
    };
    f.ask(1, &create, applied("0", "-4")).await;
    f.shows(&[
        "faregate_below_floor_total{operation=\"capture\"} 2",
        "faregate_below_floor_total{operation=\"adjust\"} 1",
        "faregate_below_floor_total{operation=\"put_grant\"} 0",
    ]);
}

#[tokio::test]
async fn a_question_whose_caller_left_is_counted_and_no_longer_under_way() {
    let f = Fixture::new();
    let command = admit();
    {
        let mut answer = f.ledgers[0].execute(&command);
        let waker = std::task::Waker::noop();
        let polled = answer.as_mut().poll(&mut std::task::Context::from_waker(waker));
        assert!(polled.is_pending());
        f.shows(&["faregate_ledger_operations_under_way 1"]);
    }
    f.shows(&[
        "faregate_ledger_operations_under_way 0",
        "faregate_ledger_operations_total{operation=\"admit\",result=\"abandoned\"} 1",
    ]);
}
