//! Operations as the scripts take them: numbers and texts of one, and many of them put together into one call.

use redis::Cmd;

use super::codes::Ask;
use super::keys::Keys;
use super::layout::Writer;
use super::script::{Script, Scripts};
use crate::domain::claim::ClaimKey;
use crate::domain::entry::Detail;
use crate::domain::ids::{AccountId, HoldId, KeyId};

/// Bytes of an operation with its keys, usually.
const BYTES_USUAL: usize = 300;

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) ask: Ask,
    pub(super) partition: u32,
    pub(super) account: AccountId,
    pub(super) hold: Option<HoldId>,
    /// The key whose gauge is needed.
    pub(super) gauge: Option<KeyId>,
    /// What an admit claims.
    pub(super) claim: Option<Claimed>,
    /// Its numbers, after its place.
    pub(super) numbers: Vec<u8>,
    /// What the journal says of it: account, subject, detail.
    pub(super) tail: Vec<u8>,
}

/// A claim's record, and the hold that is thought to have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    pub(super) key: ClaimKey,
    pub(super) holder: Option<HoldId>,
}

/// What the journal says of an entry.
pub(super) fn tail(account: &AccountId, subject: &[u8], detail: &Detail) -> Vec<u8> {
    // The detail that says nothing takes no room.
    let detail = if detail.as_str() == "{}" {
        ""
    } else {
        detail.as_str()
    };
    let len = 2 + account.as_str().len() + subject.len() + detail.len();
    Writer(Vec::with_capacity(len))
        .text8(account.as_str().as_bytes())
        .text8(subject)
        .bytes(detail.as_bytes())
        .0
}

/// What every call says of the store as the caller knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Epoch and generation.
    pub(super) stamp: i64,
    /// Where a test sets the time: the time.
    pub(super) time: Option<i64>,
}

impl Context {
    pub(super) fn head(self, partitions: usize, records: usize) -> Vec<u8> {
        let head = Writer::default()
            .number(self.stamp, 7)
            .number(partitions as i64, 2)
            .number(records as i64, 2);
        match self.time {
            Some(time) => head.number(time, 7).0,
            None => head.0,
        }
    }
}

/// A record that a call reads, before its key is spelled. What differs most comes first, since each is looked for among the others.
#[derive(PartialEq, Eq)]
enum Wanted<'a> {
    Hold(HoldId, u32, &'a AccountId),
    Account(u32, &'a AccountId),
    Gauge(u32, &'a KeyId, &'a AccountId),
    Claim(ClaimKey, u32, &'a AccountId),
}

impl Wanted<'_> {
    fn spell(&self, key: &mut Vec<u8>) {
        match *self {
            Wanted::Account(n, account) => Keys(n).put_account(key, account),
            Wanted::Hold(hold, n, account) => Keys(n).put_hold(key, account, hold),
            Wanted::Claim(claim, n, account) => Keys(n).put_claim(key, account, claim),
            Wanted::Gauge(n, id, account) => Keys(n).put_gauge(key, account, id),
        }
    }
}

/// Finds or adds; how many there are then up to it.
fn place<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    match list.iter().position(|known| *known == item) {
        Some(at) => at + 1,
        None => {
            list.push(item);
            list.len()
        }
    }
}

/// Where among KEYS an operation's records are: partition, account, hold, gauge, and of a claim its record and its holder's; 0 for one it does not need.
type Places = [usize; 6];

fn op_bytes(bytes: Vec<u8>, operation: &Operation, places: Places, seen: u64) -> Vec<u8> {
    let mut bytes = Writer(bytes).number(operation.ask as i64, 1);
    let (first, of_claim) = places.split_at(4);
    for at in first {
        bytes = bytes.number(*at as i64, 2);
    }
    bytes = bytes.number(seen as i64, 6).bytes(&operation.numbers);
    if operation.claim.is_some() {
        for at in of_claim {
            bytes = bytes.number(*at as i64, 2);
        }
    }
    bytes.0
}

/// Many operations in one call of [`Script::Hot`]. `seen` tells the last entry known of each partition.
pub(super) fn hot<'a>(
    scripts: &Scripts,
    context: Context,
    operations: impl ExactSizeIterator<Item = &'a Operation> + Clone,
    seen: impl Fn(u32) -> u64,
) -> Cmd {
    let mut partitions = Vec::with_capacity(1);
    for operation in operations.clone() {
        place(&mut partitions, operation.partition);
    }
    let mut records = Vec::with_capacity(2 * operations.len());
    let mut places: Vec<Places> = Vec::with_capacity(operations.len());
    for operation in operations.clone() {
        let (n, account) = (operation.partition, &operation.account);
        let mut at = |wanted| partitions.len() + place(&mut records, wanted);
        places.push([
            partitions.iter().position(|p| *p == n).map_or(0, |at| at + 1),
            at(Wanted::Account(n, account)),
            operation
                .hold
                .map_or(0, |hold| at(Wanted::Hold(hold, n, account))),
            operation
                .gauge
                .as_ref()
                .map_or(0, |key| at(Wanted::Gauge(n, key, account))),
            operation
                .claim
                .map_or(0, |claim| at(Wanted::Claim(claim.key, n, account))),
            operation
                .claim
                .and_then(|claim| claim.holder)
                .map_or(0, |hold| at(Wanted::Hold(hold, n, account))),
        ]);
    }
    let arguments = 4 + 2 * partitions.len() + records.len() + 2 * operations.len();
    let mut cmd = Cmd::with_capacity(arguments, BYTES_USUAL * operations.len());
    cmd.arg("EVALSHA")
        .arg(scripts.hash(Script::Hot))
        .arg(partitions.len() * 2 + records.len());
    for n in &partitions {
        cmd.arg(Keys(*n).part());
    }
    let mut scratch = Vec::with_capacity(BYTES_USUAL);
    for wanted in &records {
        scratch.clear();
        wanted.spell(&mut scratch);
        cmd.arg(scratch.as_slice());
    }
    for n in &partitions {
        cmd.arg(Keys(*n).journal());
    }
    cmd.arg(context.head(partitions.len(), partitions.len() + records.len()));
    for (operation, places) in operations.zip(places) {
        scratch.clear();
        scratch = op_bytes(scratch, operation, places, seen(operation.partition));
        cmd.arg(scratch.as_slice()).arg(operation.tail.as_slice());
    }
    cmd
}

/// One operation in a call of a script about one account alone.
pub(super) fn one(
    scripts: &Scripts,
    script: Script,
    context: Context,
    operation: &Operation,
    seen: u64,
) -> Cmd {
    let (keys, account) = (Keys(operation.partition), &operation.account);
    let mut records = vec![keys.part().into_bytes(), keys.account(account).into_bytes()];
    let mut place = |key: Option<Vec<u8>>| {
        key.map_or(0, |key| {
            records.push(key);
            records.len()
        })
    };
    let hold = place(operation.hold.map(|hold| keys.hold(account, hold)));
    let gauge = place(
        operation
            .gauge
            .as_ref()
            .map(|key| keys.gauge(account, key).into_bytes()),
    );
    let claim = place(operation.claim.map(|claim| keys.claim(account, claim.key)));
    let holder = operation.claim.and_then(|claim| claim.holder);
    let holder = place(holder.map(|hold| keys.hold(account, hold)));
    records.push(keys.grants(account).into_bytes());
    let others = [
        keys.journal(),
        keys.ended(account),
        keys.days(account),
        keys.settings(account),
        keys.adjusted(account),
        keys.accounts(),
    ];
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(scripts.hash(script)).arg(records.len() + others.len());
    for key in &records {
        cmd.arg(key.as_slice());
    }
    for key in &others {
        cmd.arg(key);
    }
    cmd.arg(context.head(1, records.len()));
    cmd.arg(op_bytes(
        Vec::new(),
        operation,
        [1, 2, hold, gauge, claim, holder],
        seen,
    ));
    cmd.arg(operation.tail.as_slice());
    cmd
}
