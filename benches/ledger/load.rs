//! The load on a candidate shape: whole requests, an admit and much later its settle, many operations in one call.

use crate::redis::{Client, Reply};
use crate::shapes::{Layout, Shape};
use std::collections::VecDeque;
use std::io;

/// Accounts, drawn at random.
pub(crate) const ACCOUNTS: usize = 100_000;
/// Holds left open between admit and settle, per connection: what comes in between makes their records cold.
const OPEN: usize = 1000;
/// Calls in flight on each connection.
const DEPTH: usize = 4;

/// One operation. A hold's id carries the milliseconds of its admit in its upper half.
#[derive(Clone, Copy)]
struct Op {
    admit: bool,
    account: usize,
    id: u128,
}

/// The distinct keys of one call and its operations.
#[derive(Default)]
struct Call {
    records: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    /// One byte for the count of records, then each operation's places in the keys.
    places: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

/// Name of an account's record.
pub(crate) fn account_key(account: usize, partitions: usize) -> String {
    format!("fg:{{{}}}:a:account-{account:06}", account % partitions)
}

/// `n` doubles as Lua's `struct.pack('<d..')` writes them.
pub(crate) fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn place(list: &mut Vec<Vec<u8>>, key: Vec<u8>) -> u8 {
    let at = list.iter().position(|have| *have == key).unwrap_or_else(|| {
        list.push(key);
        list.len() - 1
    });
    u8::try_from(at + 1).unwrap_or(u8::MAX)
}

impl Call {
    fn push(&mut self, op: Op, shape: &Shape, partitions: usize) {
        let p = op.account % partitions;
        let account = account_key(op.account, partitions).into_bytes();
        let partition = format!("fg:{{{p}}}:p").into_bytes();
        let journal = format!("fg:{{{p}}}:j").into_bytes();
        let bucket = format!("fg:{{{p}}}:h:{}", (op.id >> 64) / 10_000).into_bytes();
        if shape.layout == Layout::Each {
            self.records.extend([partition, account, bucket, journal]);
            self.blobs.extend(each_args(op, shape.has("TEXT")));
            return;
        }
        self.places.push(place(&mut self.records, partition));
        self.places.push(place(&mut self.records, account));
        if shape.has("SPLIT") {
            let settings = account_key(op.account, partitions).replace(":a:", ":s:");
            self.places.push(place(&mut self.records, settings.into_bytes()));
        }
        if shape.has("BUCKET") {
            self.places.push(place(&mut self.others, bucket));
        } else {
            let hold = [format!("fg:{{{p}}}:h:").as_bytes(), &op.id.to_be_bytes()].concat();
            self.places.push(place(&mut self.records, hold));
        }
        self.places.push(place(&mut self.others, journal));
        self.blobs.push(if shape.layout == Layout::Batch {
            batch_blob(op)
        } else {
            blob(op)
        });
    }

    fn send(mut self, client: &mut Client, sha: &str, shape: &Shape) -> io::Result<()> {
        let records =
            u8::try_from(self.records.len()).map_err(|_| io::Error::other("too many keys for one call"))?;
        let keys = self.records.len() + self.others.len();
        let mut call = vec![
            b"EVALSHA".to_vec(),
            sha.as_bytes().to_vec(),
            keys.to_string().into_bytes(),
        ];
        call.append(&mut self.records);
        call.append(&mut self.others);
        if shape.layout != Layout::Each {
            call.push([&[records], self.places.as_slice()].concat());
        }
        call.append(&mut self.blobs);
        client.queue(&call);
        client.flush()
    }
}

/// What a proxy would say of a request beyond its numbers: account, route, key, model, usage.
fn story(op: Op) -> Vec<u8> {
    format!(
        "account-{:06}|POST /v1/chat|key-0001|model-a|in=12 out=34",
        op.account
    )
    .into_bytes()
}

/// Kind; generation, least, most and time to live of an admit or generation and use of a settle; digest, id, story.
fn blob(op: Op) -> Vec<u8> {
    let numbers = if op.admit {
        doubles(&[3.0, 900.0, 1000.0, 6e7])
    } else {
        doubles(&[3.0, 700.0])
    };
    let kind = if op.admit { 1 } else { 2 };
    [
        [kind].as_slice(),
        &numbers,
        b"digest-8",
        &op.id.to_be_bytes(),
        &story(op),
    ]
    .concat()
}

/// The same for the shape "batch": one layout for both kinds.
fn batch_blob(op: Op) -> Vec<u8> {
    let first = doubles(&[3.0, if op.admit { 900.0 } else { 700.0 }]);
    let last = doubles(&[1000.0, 6e7]);
    let kind = if op.admit { 1 } else { 2 };
    [
        [kind].as_slice(),
        &op.id.to_be_bytes(),
        &first,
        b"digest-8",
        &last,
        &story(op),
    ]
    .concat()
}

fn each_args(op: Op, text: bool) -> Vec<Vec<u8>> {
    if !text {
        return vec![blob(op)];
    }
    let numbers: [u64; 4] = if op.admit {
        [3, 900, 1000, 60_000_000]
    } else {
        [3, 700, 0, 0]
    };
    let mut args = vec![if op.admit { b"1".to_vec() } else { b"2".to_vec() }];
    args.extend(numbers.map(|n| n.to_string().into_bytes()));
    args.extend([b"digest-8".to_vec(), op.id.to_be_bytes().to_vec(), story(op)]);
    args
}

/// xorshift: cheap, and the same accounts for every shape.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0).unwrap_or_default() % n
    }
}

/// One connection's share of a measurement.
pub(crate) struct Share<'a> {
    pub(crate) sha: &'a str,
    pub(crate) shape: &'a Shape,
    pub(crate) partitions: usize,
    /// Operations in one call.
    pub(crate) batch: usize,
    /// Requests settled before it ends.
    pub(crate) requests: usize,
    /// Keeps the connections' ids apart.
    pub(crate) who: u64,
}

impl Share<'_> {
    /// Runs it, one settle for each admit once enough holds are open.
    pub(crate) fn run(&self, client: &mut Client) -> io::Result<()> {
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15 ^ (self.who + 1));
        let mut open: VecDeque<Op> = VecDeque::new();
        let mut waiting: VecDeque<Vec<Op>> = VecDeque::new();
        let (mut admitted, mut settled) = (0_u32, 0);
        while settled < self.requests {
            let mut call = Call::default();
            let mut opened = Vec::new();
            for at in 0..self.batch {
                let wanted = open.len() > OPEN && (self.batch == 1 || at % 2 == 1);
                if let Some(hold) = wanted.then(|| open.pop_front()).flatten() {
                    call.push(hold, self.shape, self.partitions);
                    settled += 1;
                    continue;
                }
                admitted += 1;
                let time = 1_700_000_000_000_u128 + u128::from(admitted);
                let id = (time << 64) | (u128::from(self.who) << 40) | u128::from(admitted);
                let op = Op {
                    admit: true,
                    account: chance.below(ACCOUNTS),
                    id,
                };
                call.push(op, self.shape, self.partitions);
                opened.push(Op { admit: false, ..op });
            }
            call.send(client, self.sha, self.shape)?;
            waiting.push_back(opened);
            if waiting.len() >= DEPTH {
                take(client, self.shape)?;
                open.extend(waiting.pop_front().unwrap_or_default());
            }
        }
        waiting.iter().try_for_each(|_| take(client, self.shape))
    }
}

/// Reads the answer to one call: every operation must have been applied.
fn take(client: &mut Client, shape: &Shape) -> io::Result<()> {
    let refused = |reply: &Reply| Err(io::Error::other(format!("{}: {reply:?}", shape.name)));
    match client.reply()? {
        Reply::Array(answers) => {
            let applied = |answer: &&Reply| matches!(answer, Reply::Bulk(bytes) if bytes.len() >= 24);
            answers
                .iter()
                .find(|answer| !applied(answer))
                .map_or(Ok(()), refused)
        }
        other => refused(&other),
    }
}
