//! Commands, until they are decided.

use std::sync::Arc;

use redis::Value;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::calls::{self, Operation};
use super::encode::{self, key_digest};
use super::fault::Fault;
use super::keys::{Keys, partition_of_digest};
use super::lane;
use super::router::REDIRECTS_MAX;
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::command::{Command, NewKey, Outcome};
use crate::domain::ids::{AccountId, KeyId};
use crate::domain::refusal::Refusal;

/// How often a command is sent in another way before it is given up: by the full script, with another gauge or hold, at another generation.
const TURNS_MAX: usize = 6;

impl RedisLedger {
    /// Decides a command.
    pub(super) async fn decide(&self, command: &Command) -> Result<Outcome, LedgerError> {
        match command {
            // Boxed, as everything that requests do not need: the room for it would be part of every command's future.
            Command::PutKey { account, key, .. } => Box::pin(self.put_key(command, account, key)).await,
            _ => self.carry_out(command, None).await,
        }
    }

    async fn carry_out(&self, command: &Command, twin: Option<&KeyId>) -> Result<Outcome, LedgerError> {
        let deadline = Instant::now() + self.options.patience;
        let account = command.account();
        let (mut script, operation) = encode::operation(command, self.partitions, twin);
        let partition = operation.partition;
        let mut operation = Arc::new(operation);
        for _ in 0..TURNS_MAX {
            let bytes = match script {
                Script::Hot => self.submit(&operation, deadline).await,
                _ => Box::pin(self.submit_full(script, &operation)).await,
            };
            let bytes = bytes.map_err(|fault| fault.for_caller(account.as_str(), self.millis()))?;
            match answer::read(&bytes, command) {
                Answer::Decided(outcome, seq) => {
                    self.seen.note(partition, seq.unwrap_or_default());
                    return Ok(outcome);
                }
                Answer::Full => script = Script::Full,
                Answer::OtherKey(digest) => {
                    let key = Box::pin(self.key_of(account, &digest)).await?;
                    encode::settle_with(Arc::make_mut(&mut operation), key);
                }
                Answer::OtherHold(holder) => {
                    if let Some(claimed) = &mut Arc::make_mut(&mut operation).claim {
                        claimed.holder = Some(holder);
                    }
                }
                Answer::Stamp => Box::pin(self.learn_stamp()).await?,
                Answer::Lost => return Err(self.lost(partition, "has no record")),
                Answer::WentBack => return Err(self.lost(partition, "of the journal has gone back in time")),
                Answer::Damaged(what) => return Err(quarantined(account, what)),
                Answer::Failed(what) => return Err(self.failed(partition, account, &what)),
            }
        }
        Err(LedgerError::Unavailable(
            "the command was sent back too often".to_owned(),
        ))
    }

    /// The journal did not take an entry; nothing was written.
    fn failed(&self, partition: u32, account: &AccountId, what: &str) -> LedgerError {
        let code = what.split(' ').next().unwrap_or_default();
        if what.contains("equal or smaller") {
            return self.lost(partition, "has a record that is older than its journal");
        }
        Fault::of_answer(code, what).for_caller(account.as_str(), self.millis())
    }

    /// The key of an account whose id has this digest.
    async fn key_of(&self, account: &AccountId, digest: &[u8]) -> Result<KeyId, LedgerError> {
        let keys = self.read_key_ids(account).await?;
        let found = keys.into_iter().find(|key| key_digest(key) == digest);
        found.ok_or_else(|| quarantined(account, "a hold's key is not among the account's".to_owned()))
    }

    /// Sends an operation in a call of a script of its own.
    async fn submit_full(&self, script: Script, operation: &Operation) -> Result<Vec<u8>, Fault> {
        let seen = self.seen.get(operation.partition);
        let cmd = calls::one(&self.scripts, script, self.context(), operation, seen);
        only(self.router.call(operation.partition, script, &cmd).await?)
    }

    /// Sends an operation, together with others, to the server that has its partition, wherever that is now.
    async fn submit(&self, operation: &Arc<Operation>, deadline: Instant) -> Result<Vec<u8>, Fault> {
        for _ in 0..REDIRECTS_MAX {
            let node = self.router.of(operation.partition)?;
            match node.submit(operation, self.context(), deadline).await {
                Err(Fault::Elsewhere { node: to, ask: false }) => {
                    self.router.moved(Some(operation.partition), &node, &to, true)?;
                }
                Err(Fault::Elsewhere { ask: true, .. } | Fault::Moving(_)) => {
                    return Box::pin(self.submit_alone(operation)).await;
                }
                Err(fault @ (Fault::NotPrimary(_) | Fault::NotDone(_))) => {
                    Box::pin(self.router.learn_again()).await;
                    return Err(fault);
                }
                answer => return answer,
            }
        }
        Err(Fault::NotDone("the cluster sends from node to node".to_owned()))
    }

    /// One operation in a call of its own, which may be sent from node to node.
    async fn submit_alone(&self, operation: &Arc<Operation>) -> Result<Vec<u8>, Fault> {
        let one = std::iter::once(&**operation);
        let cmd = calls::hot(&self.scripts, self.context(), one, |n| self.seen.get(n));
        only(self.router.call(operation.partition, Script::Hot, &cmd).await?)
    }

    /// A key's digest is claimed for the account first, so that it never belongs to two; then the key is made.
    async fn put_key(
        &self,
        command: &Command,
        account: &AccountId,
        key: &NewKey,
    ) -> Result<Outcome, LedgerError> {
        let owner = self.claim(account, key).await?;
        let twin = match &owner {
            Some((other, _)) if other != account => {
                let known = self.read_book(account).await?.is_some();
                let refusal = if known {
                    Refusal::IdConflict
                } else {
                    Refusal::UnknownAccount
                };
                return Ok(Outcome::Refused(refusal));
            }
            Some((_, twin)) if *twin != key.id => Some(twin),
            _ => None,
        };
        let outcome = Box::pin(self.carry_out(command, twin)).await?;
        match &outcome {
            // The account had claimed the digest for a key that was never made: it finds this one from now on.
            Outcome::Applied(_) if twin.is_some() => self.set_claim(account, key, None).await?,
            // A refusal leaves nothing behind: the key may still become another account's.
            Outcome::Refused(_) if owner.is_none() => self.drop_claim(account, key).await?,
            _ => {}
        }
        Ok(outcome)
    }

    /// Claims a digest for a key, unless it is claimed; whose it was.
    async fn claim(
        &self,
        account: &AccountId,
        key: &NewKey,
    ) -> Result<Option<(AccountId, KeyId)>, LedgerError> {
        if let Some(owner) = self.read_owner(&key.digest).await? {
            return Ok(Some(owner));
        }
        self.set_claim(account, key, Some("NX")).await?;
        let owner = self.read_owner(&key.digest).await?;
        let ours = owner.as_ref().is_some_and(|(a, k)| a == account && *k == key.id);
        Ok(if ours { None } else { owner })
    }

    async fn set_claim(
        &self,
        account: &AccountId,
        key: &NewKey,
        only: Option<&str>,
    ) -> Result<(), LedgerError> {
        let n = partition_of_digest(&key.digest, self.partitions);
        let mut cmd = redis::cmd("SET");
        cmd.arg(Keys(n).digest(&key.digest))
            .arg(claim_of(account, &key.id))
            .arg(only);
        self.ask(n, &cmd).await.map(|_| ())
    }

    /// Takes a claim back, if nobody has changed it meanwhile.
    async fn drop_claim(&self, account: &AccountId, key: &NewKey) -> Result<(), LedgerError> {
        let n = partition_of_digest(&key.digest, self.partitions);
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.scripts.hash(Script::Drop))
            .arg(1)
            .arg(Keys(n).digest(&key.digest))
            .arg(self.context().head(0, 0))
            .arg(claim_of(account, &key.id));
        let answer = self.router.call(n, Script::Drop, &cmd).await;
        let answer = answer.map_err(|fault| fault.for_caller("", self.millis()));
        answer.map(|_| ())
    }

    /// Sends a plain command about a partition.
    pub(super) async fn ask(&self, partition: u32, cmd: &redis::Cmd) -> Result<Value, LedgerError> {
        let answer = self.router.ask(Some(partition), cmd).await;
        answer.map_err(|fault| fault.for_caller("", self.millis()))
    }
}

/// Whose a digest is, as it is written.
pub(super) fn claim_of(account: &AccountId, key: &KeyId) -> Vec<u8> {
    format!("{account}\n{key}").into_bytes()
}

/// The answer of a script that was asked one thing.
fn only(value: Value) -> Result<Vec<u8>, Fault> {
    let mut answers = lane::strings(value)?;
    match (answers.pop(), answers.is_empty()) {
        (Some(answer), true) => Ok(answer),
        _ => Err(Fault::Script(
            "the script's answer has another length than its question".to_owned(),
        )),
    }
}

/// An account whose records are not what was written.
pub(super) fn quarantined(account: &AccountId, what: String) -> LedgerError {
    LedgerError::Quarantined {
        account: account.to_string(),
        what,
    }
}
