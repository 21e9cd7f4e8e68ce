//! Commands as operations.

use super::calls::{Claimed, Operation, tail};
use super::codes::Ask;
use super::keys::partition_of;
use super::layout::Writer;
use super::records;
use super::script::Script;
use crate::domain::claim::Claim;
use crate::domain::command::{AccountChange, Admit, Capture, Command, Extend, NewKey, Release, Renew};
use crate::domain::credits::Credits;
use crate::domain::engine::EXPIRED;
use crate::domain::entry::Detail;
use crate::domain::grant::{Grant, GrantFacts};
use crate::domain::hold::OnExpiry;
use crate::domain::ids::{CommandId, GrantId, HoldId, KeyId, PlanId};
use crate::domain::key::Caller;
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;

/// No cap on an amount: more than any amount.
const NO_CAP: i64 = Credits::MAX.micros() + 1;

/// Bytes of an operation's numbers, at most.
const NUMBERS_MOST: usize = 128;

/// The script for a command, and the command as it takes it. `twin` is under which id the account has a new key's digest already.
pub(super) fn operation(command: &Command, partitions: u32, twin: Option<&KeyId>) -> (Script, Operation) {
    let account = command.account();
    let about = |ask, numbers: Writer, subject: &[u8], detail: &Detail| Operation {
        ask,
        partition: partition_of(account, partitions),
        account: account.clone(),
        hold: None,
        gauge: None,
        claim: None,
        numbers: numbers.0,
        tail: tail(account, subject, detail),
    };
    let hold = |ask, id: HoldId, gauge: Option<KeyId>, numbers: Writer, detail: &Detail| {
        let operation = Operation {
            hold: Some(id),
            gauge,
            ..about(ask, numbers, id.as_bytes(), detail)
        };
        (Script::Hot, operation)
    };
    match command {
        Command::Admit(c) => claiming(c, hold(Ask::Admit, c.hold, gauge(&c.caller), admit(c), &c.detail)),
        Command::Extend(c) => hold(Ask::Extend, c.hold, gauge(&c.caller), extend(c), &Detail::none()),
        Command::Renew(c) => hold(Ask::Renew, c.hold, None, renew(c), &Detail::none()),
        Command::Capture(c) => hold(Ask::Capture, c.hold, gauge(&c.caller), capture(c), &c.detail),
        Command::Release(c) => hold(Ask::Release, c.hold, gauge(&c.caller), release(c), &c.detail),
        Command::ExpireHold {
            hold: id, on_expiry, ..
        } => hold(Ask::Expire, *id, None, expire(*on_expiry), &Detail::new(EXPIRED)),
        _ => cold(command, twin, about),
    }
}

/// The script for a command that is about no hold, and the command as it takes it; `about` puts an operation together.
fn cold(
    command: &Command,
    twin: Option<&KeyId>,
    about: impl Fn(Ask, Writer, &[u8], &Detail) -> Operation,
) -> (Script, Operation) {
    match command {
        Command::PutGrant { facts, detail, .. } => (
            Script::PutGrant,
            about(Ask::Other, grant(facts), facts.id.as_str().as_bytes(), detail),
        ),
        Command::Adjust {
            id,
            amount,
            from,
            detail,
            ..
        } => {
            let numbers = adjust(id, *amount, from.as_ref());
            (
                Script::Adjust,
                about(Ask::Other, numbers, id.as_str().as_bytes(), detail),
            )
        }
        Command::SetAccount {
            expected,
            change,
            detail,
            ..
        } => {
            let (ask, value, subject) = setting(change);
            let value = version_expected(*expected).bytes(&value.0);
            (Script::SetAccount, about(ask, value, subject.as_bytes(), detail))
        }
        Command::PutKey { key, detail, .. } => {
            let operation = Operation {
                gauge: (key.limits != Limits::NONE).then(|| key.id.clone()),
                ..about(
                    Ask::Other,
                    new_key(key, twin),
                    format!("key_created:{}", key.id).as_bytes(),
                    detail,
                )
            };
            (Script::PutKey, operation)
        }
        Command::RevokeKey { key, detail, .. } => {
            let id = Writer::default().bytes(key.as_str().as_bytes());
            (
                Script::RevokeKey,
                about(Ask::Other, id, format!("key_revoked:{key}").as_bytes(), detail),
            )
        }
        // Those about holds do not come here.
        _ => (
            Script::ApplyDue,
            about(Ask::Other, Writer::default(), b"", &Detail::none()),
        ),
    }
}

/// The key whose gauge an operation needs: a key without caps has none.
fn gauge(caller: &Caller) -> Option<KeyId> {
    (caller.key_limits != Limits::NONE).then(|| caller.key.clone())
}

/// Eight bytes that tell an account's keys apart in its holds.
pub(super) fn key_digest(key: &KeyId) -> [u8; 8] {
    key.as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .to_le_bytes()
}

fn at_least_one(least: Credits) -> i64 {
    least.micros().max(1)
}

fn admit(c: &Admit) -> Writer {
    let caller = &c.caller;
    let least = at_least_one(c.least);
    let most = if c.most.is_zero() {
        0
    } else {
        c.most.micros().max(least)
    };
    let limited = caller.limits != Limits::NONE || caller.key_limits != Limits::NONE;
    let numbers = Writer(Vec::with_capacity(NUMBERS_MOST))
        .number(version(caller), 4)
        .number(i64::from(limited), 1)
        .number(i64::from(claim(c).is_some()), 1)
        .number(least, 7)
        .number(most, 7)
        .number(c.ttl.micros().min(Timestamp::NEVER.micros()), 7)
        .number(c.hold.millis(), 6)
        .number(caller.key_expires_at.micros(), 7)
        .number(caller.credit_line.micros(), 7)
        .bytes(&c.content().to_le_bytes())
        .bytes(&key_digest(&caller.key));
    let numbers = caps(numbers, limited, caller, c.tokens);
    match claim(c) {
        Some(claim) => numbers.bytes(&claim.content.to_le_bytes()),
        None => numbers,
    }
}

/// What it claims: nothing where it is free.
fn claim(c: &Admit) -> Option<&Claim> {
    c.claim.as_ref().filter(|_| !c.most.is_zero())
}

/// With the place where its claim is kept; who has it will be seen.
fn claiming(c: &Admit, (script, operation): (Script, Operation)) -> (Script, Operation) {
    let claim = claim(c).map(|claim| Claimed {
        key: claim.key,
        holder: None,
    });
    (script, Operation { claim, ..operation })
}

fn extend(c: &Extend) -> Writer {
    let caller = &c.caller;
    let least = at_least_one(c.least);
    let limited = caller.limits != Limits::NONE || caller.key_limits != Limits::NONE;
    let numbers = Writer::default()
        .number(version(caller), 4)
        .number(i64::from(limited), 1)
        .number(i64::from(u32::try_from(c.number).unwrap_or(u32::MAX)), 4)
        .number(least, 7)
        .number(c.most.micros().max(least), 7)
        .number(c.ttl.micros().min(Timestamp::NEVER.micros()), 7)
        .number(caller.key_expires_at.micros(), 7)
        .number(caller.credit_line.micros(), 7);
    caps(numbers, limited, caller, 0)
}

/// No account gets to this many changes; a caller who says so is stale.
fn version(caller: &Caller) -> i64 {
    i64::from(u32::try_from(caller.version).unwrap_or(u32::MAX))
}

fn caps(numbers: Writer, limited: bool, caller: &Caller, tokens: u64) -> Writer {
    if !limited {
        return numbers;
    }
    [&caller.limits, &caller.key_limits]
        .into_iter()
        .fold(numbers, |numbers, limits| {
            let concurrent = limits
                .concurrent
                .map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
            numbers
                .number(step(limits.requests_per_minute, 1), 7)
                .number(step(limits.tokens_per_minute, tokens), 7)
                .number(concurrent.min(i64::from(i32::MAX)), 4)
                .number(limits.spend_per_day.map_or(NO_CAP, Credits::micros), 7)
                .number(limits.spend_per_month.map_or(NO_CAP, Credits::micros), 7)
        })
}

/// How long a demand of `cost` takes at a rate, in microseconds; 0 where nothing is to be counted, [`Timestamp::NEVER`] where the rate is nothing.
fn step(per_minute: Option<u64>, cost: u64) -> i64 {
    match per_minute {
        None => 0,
        Some(_) if cost == 0 => 0,
        Some(0) => Timestamp::NEVER.micros(),
        Some(rate) => {
            let micros = (u128::from(cost) * 60_000_000).div_ceil(u128::from(rate));
            i64::try_from(micros)
                .unwrap_or(i64::MAX)
                .min(Timestamp::NEVER.micros() / 2)
        }
    }
}

fn renew(c: &Renew) -> Writer {
    Writer::default().number(c.ttl.micros().min(Timestamp::NEVER.micros()), 7)
}

fn settle(used: i64, credit_line: Credits, key: [u8; 8]) -> Writer {
    Writer(Vec::with_capacity(NUMBERS_MOST))
        .number(used, 7)
        .number(credit_line.micros(), 7)
        .bytes(&key)
}

/// Gives the end of a hold the gauge of the hold's key.
pub(super) fn settle_with(operation: &mut Operation, key: KeyId) {
    let numbers = operation.numbers.len().saturating_sub(8);
    operation.numbers.truncate(numbers);
    operation.numbers.extend_from_slice(&key_digest(&key));
    operation.gauge = Some(key);
}

fn capture(c: &Capture) -> Writer {
    settle(c.used.micros(), c.caller.credit_line, key_digest(&c.caller.key))
}

fn release(c: &Release) -> Writer {
    settle(0, c.caller.credit_line, key_digest(&c.caller.key))
}

fn expire(on_expiry: OnExpiry) -> Writer {
    settle(i64::from(on_expiry == OnExpiry::Capture), Credits::ZERO, [0; 8])
}

/// A grant just told of, as it is stored.
fn grant(facts: &GrantFacts) -> Writer {
    Writer(records::grant(&Grant::new(facts.clone())))
}

fn adjust(id: &CommandId, amount: Credits, from: Option<&GrantId>) -> Writer {
    let grant = GrantId::new(&format!("adjust:{id}"));
    let grant = grant.as_ref().map_or("", GrantId::as_str);
    Writer::default()
        .number(amount.micros(), 7)
        .text8(id.as_str().as_bytes())
        .text8(grant.as_bytes())
        .text8(from.map_or("", GrantId::as_str).as_bytes())
}

/// One more than the version; 0 for any. No account gets to more changes than four bytes count.
fn version_expected(expected: Option<u64>) -> Writer {
    let version = expected.map_or(0, |version| {
        u64::from(u32::try_from(version).unwrap_or(u32::MAX)) + 1
    });
    Writer::default().number(version.cast_signed(), 5)
}

fn setting(change: &AccountChange) -> (Ask, Writer, String) {
    let text = |text: &str| Writer::default().bytes(text.as_bytes());
    match change {
        AccountChange::Create(plan) => {
            let value = Writer::default()
                .text8(&limits_bytes(&Limits::NONE))
                .bytes(plan_text(plan).as_bytes());
            (Ask::Create, value, "created".to_owned())
        }
        AccountChange::Pause(reason) => (Ask::Pause, text(reason.as_str()), format!("paused:{reason}")),
        AccountChange::Resume(reason) => (Ask::Resume, text(reason.as_str()), format!("resumed:{reason}")),
        AccountChange::Plan(plan) => (Ask::Plan, text(plan_text(plan)), "plan".to_owned()),
        AccountChange::Limits(limits) => (
            Ask::Limits,
            Writer::default().bytes(&limits_bytes(limits)),
            "limits".to_owned(),
        ),
    }
}

/// No plan is the empty text: a plan's name is never empty.
fn plan_text(plan: &Option<PlanId>) -> &str {
    plan.as_ref().map_or("", PlanId::as_str)
}

/// Caps as stored: one byte that says which there are, then those, eight bytes each.
pub(super) fn limits_bytes(limits: &Limits) -> Vec<u8> {
    let number = |n: Option<u64>| n.map(|n| n as i64);
    let amount = |c: Option<Credits>| c.map(Credits::micros);
    let all = [
        number(limits.requests_per_minute),
        number(limits.tokens_per_minute),
        number(limits.concurrent),
        amount(limits.spend_per_day),
        amount(limits.spend_per_month),
    ];
    let which = all
        .iter()
        .enumerate()
        .fold(0, |which, (i, cap)| which | i64::from(cap.is_some()) << i);
    let stored = Writer::default().number(which, 1);
    all.into_iter()
        .flatten()
        .fold(stored, |stored, cap| stored.number(cap, 8))
        .0
}

/// What never changes of a key, as stored: digest, then when it stops counting (only if ever), its caps, its name.
pub(super) fn fixed(key: &NewKey) -> Vec<u8> {
    let never = key.expires_at == Timestamp::NEVER;
    let name = key
        .name
        .as_deref()
        .map_or_else(Vec::new, |name| [b"n", name.as_bytes()].concat());
    Writer::default()
        .bytes(&key.digest.0)
        .number(i64::from(!never), 1)
        .number(key.expires_at.micros(), if never { 0 } else { 7 })
        .bytes(&limits_bytes(&key.limits))
        .bytes(&name)
        .0
}

fn new_key(key: &NewKey, twin: Option<&KeyId>) -> Writer {
    Writer::default()
        .text8(key.id.as_str().as_bytes())
        .text16(&fixed(key))
        .text8(twin.map_or("", KeyId::as_str).as_bytes())
}
