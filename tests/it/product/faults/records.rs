//! B19: records that somebody edited by hand.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use faregate::clock::ManualClock;
use faregate::domain::command::{AccountChange, Command};
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::HoldId;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::redis::{Network, Options, RedisLedger, TestTime};
use faregate::ledger::{Ledger, LedgerError};
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::{PRICE, charged_what_was_served, ledger, patient, redis};
use crate::ledger::moves::{START, key_id, micros};
use crate::ledger::teller::{TTL, Teller, applied};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::PATIENCE;
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::upstream::{Gate, Reply};

/// What a hand may leave where a record was.
#[derive(Clone, Copy, Debug)]
enum Edit {
    AnotherType,
    Letters,
    Nothing,
    Number,
    /// All bits set: numbers below zero, or beyond what is exact.
    Ones,
    Gone,
}

const EDITS: [Edit; 6] = [
    Edit::AnotherType,
    Edit::Letters,
    Edit::Nothing,
    Edit::Number,
    Edit::Ones,
    Edit::Gone,
];

/// Ends of keys of which the loss of one cannot be told from one that was never there, or was forgotten; `verify` finds it all the same.
const UNMISSED: [&[u8]; 4] = [b":c:acme", b":e:acme", b":h:acme:", b":d:acme"];

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// All records, as `DUMP` gives them.
async fn records(connection: &mut MultiplexedConnection) -> Records {
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(connection).await.unwrap();
    let mut dumps = redis::pipe();
    for key in &keys {
        dumps.cmd("DUMP").arg(key.as_slice());
    }
    let dumps: Vec<Vec<u8>> = dumps.query_async(connection).await.unwrap();
    keys.into_iter().zip(dumps).collect()
}

/// Puts records back, and nothing else.
async fn restore(connection: &mut MultiplexedConnection, records: &Records) {
    let mut all = redis::pipe();
    all.cmd("FLUSHALL").ignore();
    for (key, dump) in records {
        all.cmd("RESTORE")
            .arg(key.as_slice())
            .arg(0)
            .arg(dump.as_slice())
            .ignore();
    }
    all.query_async::<()>(connection).await.unwrap();
}

async fn edit(connection: &mut MultiplexedConnection, key: &[u8], edit: Edit) {
    if matches!(edit, Edit::Gone) {
        let mut del = redis::cmd("DEL");
        return del.arg(key).query_async(connection).await.unwrap();
    }
    let kind: String = redis::cmd("TYPE").arg(key).query_async(connection).await.unwrap();
    let fields: Vec<Vec<u8>> = if kind == "hash" && !matches!(edit, Edit::AnotherType) {
        redis::cmd("HKEYS")
            .arg(key)
            .query_async(connection)
            .await
            .unwrap()
    } else {
        Vec::new()
    };
    let old = |value: Vec<u8>| -> Vec<u8> {
        match edit {
            Edit::Letters => vec![b'z'; value.len()],
            Edit::Nothing | Edit::AnotherType | Edit::Gone => Vec::new(),
            Edit::Number => b"-5".to_vec(),
            Edit::Ones => vec![0xff; value.len()],
        }
    };
    for field in &fields {
        let value: Vec<u8> = redis::cmd("HGET")
            .arg(key)
            .arg(field.as_slice())
            .query_async(connection)
            .await
            .unwrap();
        let hset = redis::cmd("HSET")
            .arg(key)
            .arg(field.as_slice())
            .arg(old(value))
            .to_owned();
        hset.query_async::<i64>(connection).await.unwrap();
    }
    if kind == "string" && !matches!(edit, Edit::AnotherType) {
        let value: Vec<u8> = redis::cmd("GET").arg(key).query_async(connection).await.unwrap();
        redis::cmd("SET")
            .arg(key)
            .arg(old(value))
            .query_async::<()>(connection)
            .await
            .unwrap();
    } else if fields.is_empty() {
        redis::cmd("DEL")
            .arg(key)
            .query_async::<i64>(connection)
            .await
            .unwrap();
        redis::cmd("RPUSH")
            .arg(key)
            .arg("7")
            .query_async::<i64>(connection)
            .await
            .unwrap();
    }
}

/// What is there before each question: an account with everything, three open holds, one of them on a key with caps.
struct Stage {
    server: RedisServer,
    clock: ManualClock,
    holds: Vec<HoldId>,
}

impl Stage {
    async fn set() -> Stage {
        let server = RedisServer::start(RedisOptions::default()).await;
        let mut stage = Stage {
            server,
            clock: ManualClock::new(START),
            holds: Vec::new(),
        };
        let ledger = stage.open().await;
        let teller = Teller::open(&ledger, &stage.clock, "acme").await;
        let caps = Limits {
            concurrent: Some(100),
            ..Limits::NONE
        };
        teller.put_key(1, caps, Timestamp::NEVER).await;
        teller.grant("first", micros(100)).await;
        teller.grant("second", micros(100)).await;
        let mut void = teller.facts("second", micros(100));
        void.voided_at = Some(START);
        void.updated_at = START.plus(Span::from_secs(1));
        applied(&teller.put(void).await);
        applied(&teller.adjust("gift", micros(5)).await);
        for n in [0, 0, 1] {
            let mut admit = teller.admit_command(micros(3)).await;
            admit.caller = teller.caller(n).await;
            let command = Command::Admit(admit);
            applied(&teller.execute(&command).await);
            let Command::Admit(admit) = command else {
                unreachable!()
            };
            stage.holds.push(admit.hold);
        }
        drop(ledger);
        stage
    }

    /// A ledger that has seen nothing yet: records go back in time here.
    async fn open(&self) -> RedisLedger {
        let options = Options {
            time: Some(TestTime::new(START)),
            attempt: PATIENCE,
            patience: PATIENCE,
            ..Options::new(vec![self.server.url()], Arc::new(Network::new(None).unwrap()), 7)
        };
        RedisLedger::open(options).await.unwrap()
    }
}

/// Writes that only add to what was edited, or put something else in its place.
const BESIDE: [(&[u8], usize); 3] = [(b":c:acme", 9), (b":s:acme", 10), (b":s:acme", 11)];

/// Everything that a ledger is asked about an account; what it answers, as text.
const QUESTIONS: usize = 17;

async fn ask(stage: &Stage, question: usize) -> Result<String, LedgerError> {
    fn text<T: Debug>(answer: Result<T, LedgerError>) -> Result<String, LedgerError> {
        answer.map(|answer| format!("{answer:?}"))
    }
    let ledger = stage.open().await;
    let teller = Teller::of(&ledger, &stage.clock, "acme");
    let caller = |key| {
        let mut caller = (*teller.anyone()).clone();
        caller.key = key_id(key);
        caller.version = 2;
        if key == 1 {
            caller.key_limits.concurrent = Some(100);
        }
        Arc::new(caller)
    };
    let admit = |key| {
        Command::Admit(faregate::domain::command::Admit {
            hold: crate::ledger::moves::hold_id(&teller.account, 99, START),
            caller: caller(key),
            least: micros(2),
            most: micros(2),
            tokens: 0,
            ttl: TTL,
            claim: None,
            detail: faregate::domain::entry::Detail::none(),
        })
    };
    let account = teller.account.clone();
    let command = match question {
        0 => admit(0),
        1 => admit(1),
        2 => teller.capture_command(stage.holds[0], micros(2), teller.anyone()),
        3 => teller.capture_command(stage.holds[2], micros(2), caller(1)),
        4 => teller.release_command(stage.holds[1]),
        5 => Command::Renew(faregate::domain::command::Renew {
            hold: stage.holds[0],
            account,
            ttl: TTL,
        }),
        6 => Command::ExpireHold {
            account,
            hold: stage.holds[0],
            on_expiry: OnExpiry::Release,
        },
        7 => teller.put_command(teller.facts("third", micros(9))),
        8 => teller.adjust_command("gift", micros(5)),
        9 => teller.adjust_command("another", micros(5)),
        10 => Command::SetAccount {
            expected: None,
            account,
            change: AccountChange::Plan(None),
            detail: faregate::domain::entry::Detail::none(),
        },
        11 => teller.key_command(3, Limits::NONE, Timestamp::NEVER),
        12 => Command::ApplyDue { account },
        13 => return text(ledger.statement(&account).await),
        14 => return text(ledger.keys(&account).await),
        15 => return text(ledger.entries(&account, None, 10).await),
        _ => return text(ledger.hold(&account, stage.holds[0]).await),
    };
    text(ledger.execute(&command).await)
}

/// Nothing of the account was written. That a digest was claimed for one of its keys says nothing of it yet.
fn same(before: &Records, after: &Records) -> bool {
    let of = |records: &Records| -> Records {
        let all = records.iter().filter(|(key, _)| !key.starts_with(b"fg:{0}:i:"));
        all.map(|(key, dump)| (key.clone(), dump.clone())).collect()
    };
    of(before) == of(after)
}

#[tokio::test]
async fn b19_whatever_was_edited_the_account_is_quarantined_or_the_edit_does_not_matter() {
    let stage = Stage::set().await;
    let mut connection = stage.server.connection().await;
    let untouched = records(&mut connection).await;
    let mut answers = Vec::new();
    for question in 0..QUESTIONS {
        restore(&mut connection, &untouched).await;
        answers.push(
            ask(&stage, question)
                .await
                .unwrap_or_else(|e| panic!("question {question}: {e}")),
        );
    }
    let mut problems = Vec::new();
    let of_the_account = untouched
        .keys()
        .filter(|key| key.windows(5).any(|part| part == b":acme"));
    for key in of_the_account {
        let unmissed = UNMISSED
            .iter()
            .any(|part| key.windows(part.len()).any(|w| w == *part));
        for change in EDITS {
            if matches!(change, Edit::Gone) && unmissed {
                continue;
            }
            for (question, expected) in answers.iter().enumerate() {
                restore(&mut connection, &untouched).await;
                edit(&mut connection, key, change).await;
                let before = records(&mut connection).await;
                let answer = ask(&stage, question).await;
                let after = records(&mut connection).await;
                let beside = BESIDE.iter().any(|(end, n)| key.ends_with(end) && *n == question);
                let right = match &answer {
                    Err(LedgerError::Quarantined { account, .. }) => {
                        account == "acme" && same(&before, &after)
                    }
                    Ok(answer) => beside || answer == expected && before.get(key) == after.get(key),
                    Err(_) => false,
                };
                if !right {
                    let key = String::from_utf8_lossy(key);
                    problems.push(format!(
                        "{key:?} {change:?}, question {question}: {answer:?}, written: {}",
                        before != after
                    ));
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[tokio::test]
async fn b19_an_account_edited_by_hand_is_503_and_left_alone_while_others_go_on() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    let (key, other) = (
        shop.customer("acme", "100").await,
        shop.customer("other", "100").await,
    );
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    shop.settled("acme").await;
    let mut connection = redis.connection().await;
    let record = b"fg:{0}:a:acme";
    let whole: Vec<u8> = redis::cmd("DUMP")
        .arg(record)
        .query_async(&mut connection)
        .await
        .unwrap();
    let dump = async |connection: &mut MultiplexedConnection| -> Records {
        let mut all = records(connection).await;
        all.retain(|key, _| key.ends_with(b"acme"));
        all
    };
    let mut others = 0;
    for change in EDITS {
        edit(&mut connection, record, change).await;
        let before = dump(&mut connection).await;
        for _ in 0..3 {
            let mut refused = shop.buy(&key, "/v1/chat/completions").await;
            assert_eq!(refused.status(), 503, "{change:?}");
            assert_eq!(refused.json().await["error"]["code"], "ledger_unavailable");
            assert_eq!(shop.buy(&other, "/v1/rerank").await.status(), 200, "{change:?}");
            others += 1;
        }
        assert_eq!(dump(&mut connection).await, before, "{change:?}");
        let report = shop.faregate.cli(["ledger", "verify", "--json"]).run().await;
        assert_eq!(report.code(), 1, "{change:?}");
        assert!(report.stdout.contains("account acme"), "{change:?}: {report:?}");
        let put = redis::cmd("RESTORE")
            .arg(record)
            .arg(0)
            .arg(&whole)
            .arg("REPLACE")
            .to_owned();
        put.query_async::<()>(&mut connection).await.unwrap();
    }
    assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
    assert_eq!(shop.settled("acme").await["spent"], "0.500000");
    assert_eq!(
        super::micros(&shop.settled("other").await["spent"]),
        others * PRICE
    );
    shop.verify().await;
}

#[tokio::test]
async fn b19_a_hold_edited_by_hand_is_settled_once_it_is_what_it_was() {
    let redis = redis().await;
    let shop = Shop::with(&patient(&ledger(&redis)), ROUTES).await;
    let key = shop.customer("acme", "100").await;
    let gate = Gate::new();
    shop.upstream.answer_next(Reply::ok("done").when(&gate));
    let running = tokio::spawn(shop.client(&key).post_json("/v1/rerank", &json!({})).send());
    shop.upstream.next_request().await;
    let mut connection = redis.connection().await;
    let holds: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("fg:{0}:h:acme:*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let [hold] = &holds[..] else { panic!("{holds:?}") };
    let whole: Vec<u8> = redis::cmd("GET")
        .arg(hold.as_slice())
        .query_async(&mut connection)
        .await
        .unwrap();
    edit(&mut connection, hold, Edit::Ones).await;
    gate.open();
    let mut answer = running.await.unwrap();
    assert_eq!((answer.status(), answer.text().await), (200, "done".to_owned()));
    let waits = |line: &str| line.contains("hold not settled yet") && line.contains("damaged");
    shop.faregate.process().wait_for_line(waits).await;
    assert_eq!(shop.account("acme").await["held"], "0.250000");
    redis::cmd("SET")
        .arg(hold.as_slice())
        .arg(whole)
        .query_async::<()>(&mut connection)
        .await
        .unwrap();
    charged_what_was_served(&shop, "acme", PRICE).await;
}
