//! Calls of scripts that read, and what they find; each reader with a patience of its own.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::codes::Code;
use super::keys::Keys;
use super::layout;
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;

/// After so long without an answer a job is given up: long enough for a Redis that restarts.
const STALLED: Duration = Duration::from_secs(15);

/// Pause between two attempts at a piece of a job.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Who waits for a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reader {
    /// A request, or something that asks again by itself: one quick attempt.
    Request,
    /// A person, for an answer that can be long: one attempt that takes its time.
    Person,
    /// A job of many pieces, of which none may be missing: attempts until it has stalled.
    Job,
}

/// What a read found, as of when.
pub(super) struct Found {
    pub(super) time: Timestamp,
    pub(super) items: Vec<Value>,
}

impl Found {
    /// The texts it is made of.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(text_of)
    }

    /// There is no such record; an empty one is there.
    pub(super) fn is_missing(&self, at: usize) -> bool {
        !matches!(self.items.get(at), Some(Value::BulkString(_)))
    }

    pub(super) fn text(&self, at: usize) -> &[u8] {
        self.texts().nth(at).unwrap_or_default()
    }
}

/// A text; none for anything else.
pub(super) fn text_of(item: &Value) -> &[u8] {
    match item {
        Value::BulkString(text) => text,
        _ => &[],
    }
}

/// Whose it is the caller knows.
fn damaged_record(what: &[u8]) -> LedgerError {
    LedgerError::Quarantined {
        account: String::new(),
        what: String::from_utf8_lossy(what).into_owned(),
    }
}

/// Names the account whose record is damaged, where only what read it knows.
pub(super) fn about(account: &AccountId) -> impl Fn(LedgerError) -> LedgerError + use<> {
    let id = account.to_string();
    move |error| match error {
        LedgerError::Quarantined { account, what } if account.is_empty() => LedgerError::Quarantined {
            account: id.clone(),
            what,
        },
        error => error,
    }
}

impl RedisLedger {
    /// Calls a script that reads about a partition, for a request. `keys` come after the partition's record, `args` after the head.
    pub(super) async fn find(
        &self,
        script: Script,
        keys: Keys,
        read: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Found, LedgerError> {
        self.find_for(Reader::Request, script, keys, read, args).await
    }

    /// The same, for any reader.
    pub(super) async fn find_for(
        &self,
        reader: Reader,
        script: Script,
        keys: Keys,
        read: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Found, LedgerError> {
        let attempt = match reader {
            Reader::Request => self.options.attempt,
            Reader::Person | Reader::Job => self.options.reading.max(self.options.attempt),
        };
        let stalled = Instant::now() + STALLED;
        loop {
            match self.find_once(attempt, script, keys, read, args).await {
                Err(error)
                    if error.is_transient()
                        && reader == Reader::Job
                        && Instant::now() + ASK_AGAIN < stalled =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                answer => return answer,
            }
        }
    }

    async fn find_once(
        &self,
        attempt: Duration,
        script: Script,
        keys: Keys,
        read: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Found, LedgerError> {
        let millis = u64::try_from(attempt.as_millis()).unwrap_or(u64::MAX);
        for _ in 0..2 {
            let mut cmd = redis::cmd("EVALSHA");
            cmd.arg(self.scripts.hash(script))
                .arg(read.len() + 1)
                .arg(keys.part());
            for key in read {
                cmd.arg(key.as_slice());
            }
            cmd.arg(self.context().head(1, 1));
            for arg in args {
                cmd.arg(arg.as_slice());
            }
            let answer = self.router.call_within(keys.0, script, &cmd, attempt).await;
            match answer.map_err(|fault| fault.for_caller("", millis))? {
                Value::Array(items) => return self.found(items),
                Value::BulkString(answer) => match answer.first().and_then(|code| Code::of(*code)) {
                    Some(Code::Stamp) => self.learn_stamp().await?,
                    Some(Code::Lost) => return Err(self.lost(keys.0, "has no record")),
                    Some(Code::Damaged) => return Err(damaged_record(&answer[1..])),
                    _ => return Err(self.lost(keys.0, &String::from_utf8_lossy(&answer[1..]))),
                },
                _ => {
                    return Err(LedgerError::Unavailable(
                        "the script's answer cannot be read".to_owned(),
                    ));
                }
            }
        }
        Err(LedgerError::Unavailable(
            "the store's generation changes again and again".to_owned(),
        ))
    }

    fn found(&self, mut items: Vec<Value>) -> Result<Found, LedgerError> {
        let unreadable = || LedgerError::Unavailable("the script's answer cannot be read".to_owned());
        if items.is_empty() {
            return Err(unreadable());
        }
        let Value::BulkString(now) = items.remove(0) else {
            return Err(unreadable());
        };
        let now = layout::NOW.read_all(&now).ok_or_else(unreadable)?;
        Ok(Found {
            time: Timestamp::from_micros(now.number("time")),
            items,
        })
    }
}
