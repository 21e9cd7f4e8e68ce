//! A whole embedded ledger, copied into an empty store that is closed to everybody until all of it is there and proved.
//!
//! The journal is dealt to the partitions in its order, so that an account's entries keep theirs; their places in the journal are new (a partition counts
//! its own), and so are the chains of hashes. Everything else is as it was.

mod memos;

use std::collections::HashMap;

use super::decode;
use super::keys::{Keys, partition_of, partition_of_digest};
use super::meta::Meta;
use super::put::{self, Put, Tale};
use super::records;
use super::write::claim_of;
use super::{LedgerError, Options, RedisLedger};
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::entry::Entry;
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::embedded::{EXPORT_MAX, EmbeddedLedger};
use crate::ledger::replay::settled;
use crate::ledger::{Ledger, PAGE_MAX, VerifyReport, compare};

/// Entries in one item of a stream: whoever looks for one entry reads its item whole.
const ENTRIES_PER_ITEM: usize = 16;

/// Records of a partition that wait to be sent together.
const WAITING_MAX: usize = 64;

/// What was copied, in a store that is still closed.
#[derive(Debug)]
pub struct Copied {
    target: RedisLedger,
    closed: Meta,
    /// What the store's own proof came to.
    pub report: VerifyReport,
    /// How many memos were copied.
    pub memos: u64,
}

impl Copied {
    /// Lets the store serve.
    ///
    /// Errors: it did not answer, and may serve or not.
    pub async fn open(self) -> Result<(), LedgerError> {
        self.target.open_up(self.closed).await
    }
}

/// A partition as far as it was written.
struct Part {
    keys: Keys,
    seq: u64,
    chain: Vec<u8>,
    time: Timestamp,
    accounts: usize,
    /// Fields of the item that is not full yet.
    fields: Vec<Vec<u8>>,
    waiting: Vec<(Vec<u8>, Put)>,
}

impl Part {
    fn new(n: u32) -> Part {
        Part {
            keys: Keys(n),
            seq: 0,
            chain: vec![b'0'; 16],
            time: Timestamp::ZERO,
            accounts: 0,
            fields: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn add_account(&mut self, account: &AccountId) {
        let push = Put::Push(self.accounts, account.as_str().as_bytes().to_vec());
        self.waiting.push((self.keys.accounts().into_bytes(), push));
        self.accounts += 1;
    }

    fn add_entry(&mut self, entry: &Entry, link: u64) {
        let fields = [
            b"e".to_vec(),
            records::line(entry, link),
            b"t".to_vec(),
            records::tail(entry),
        ];
        self.fields.extend(fields);
        (self.seq, self.time) = (entry.seq, entry.time);
        if self.fields.len() >= 4 * ENTRIES_PER_ITEM {
            self.end_item();
        }
    }

    fn end_item(&mut self) {
        if self.fields.is_empty() {
            return;
        }
        let fields: Vec<&[u8]> = self.fields.iter().map(Vec::as_slice).collect();
        let after = decode::chain(&self.chain, &fields);
        let before = std::mem::replace(&mut self.chain, after);
        let item = [b"h".to_vec(), before]
            .into_iter()
            .chain(self.fields.drain(..))
            .collect();
        self.waiting
            .push((self.keys.journal().into_bytes(), Put::Item(self.seq, item)));
    }
}

/// What the journal told of an account.
#[derive(Default)]
struct Told {
    last: u64,
    tale: Tale,
}

struct Copy<'a> {
    source: &'a EmbeddedLedger,
    target: &'a RedisLedger,
    parts: Vec<Part>,
    told: HashMap<AccountId, Told>,
}

/// Copies a ledger that nobody else uses into an empty store, and proves both. The store stays closed: [`Copied::open`].
///
/// Errors: the ledger does not verify, or the store is not empty (then nothing was written); what is there does not verify or is not the same (then the
/// store stays closed, and what is in it is of no use).
pub async fn copy(source: &EmbeddedLedger, options: Options) -> Result<Copied, LedgerError> {
    let proved = source.verify().await?;
    if let Some(first) = proved.differences.first() {
        return Err(LedgerError::Misconfigured(format!(
            "the ledger does not verify ({} differences; the first: {first}). Nothing was copied; see `faregate ledger rebuild`",
            proved.differences.len()
        )));
    }
    let (target, closed) = RedisLedger::receive(options).await?;
    let mut copy = Copy {
        source,
        target: &target,
        parts: (0..target.partitions).map(Part::new).collect(),
        told: HashMap::new(),
    };
    let copied = copy.everything(closed, &proved).await;
    let (report, memos) = copied.map_err(|error| {
        LedgerError::Misconfigured(format!(
            "the copy did not come to its end: {error}. This ledger is as it was and goes on; empty the Redis before you copy again"
        ))
    })?;
    Ok(Copied {
        target,
        closed,
        report,
        memos,
    })
}

impl Copy<'_> {
    async fn everything(
        &mut self,
        closed: Meta,
        proved: &VerifyReport,
    ) -> Result<(VerifyReport, u64), LedgerError> {
        self.journal().await?;
        let now = self.source.ready().await?;
        self.each_book(Step::Write, now).await?;
        let memos = self.write_memos().await?;
        for n in 0..self.parts.len() {
            self.end_part(n, closed, now).await?;
        }
        let report = self.target.verify_all().await?;
        if let Some(first) = report.differences.first() {
            return Err(differs(first));
        }
        let (there, here) = (
            (report.accounts, report.entries),
            (proved.accounts, proved.entries),
        );
        if there != here {
            return Err(differs(&format!(
                "{} accounts and {} entries were to be copied, {} and {} are there",
                here.0, here.1, there.0, there.1
            )));
        }
        self.each_book(Step::Compare, now).await?;
        self.compare_memos(&memos).await?;
        Ok((report, memos.all))
    }

    /// Writes the journal, and the lists of accounts in the order in which they were made.
    async fn journal(&mut self) -> Result<(), LedgerError> {
        let mut after = 0;
        loop {
            let entries = self.source.journal(0, after, PAGE_MAX).await?;
            let Some(last) = entries.last() else {
                break;
            };
            after = last.seq;
            for entry in entries {
                let n = partition_of(&entry.account, self.target.partitions);
                self.entry(n as usize, entry);
                self.send(n as usize, WAITING_MAX).await?;
            }
        }
        for n in 0..self.parts.len() {
            self.parts[n].end_item();
            self.send(n, 1).await?;
        }
        Ok(())
    }

    fn entry(&mut self, n: usize, entry: Entry) {
        let part = &mut self.parts[n];
        if !self.told.contains_key(&entry.account) {
            part.add_account(&entry.account);
        }
        let told = self.told.entry(entry.account.clone()).or_default();
        let entry = Entry {
            seq: part.seq + 1,
            previous: told.last,
            ..entry
        };
        told.last = entry.seq;
        let link = told.tale.take(&entry);
        part.add_entry(&entry, link);
    }

    /// Sends what waits for a partition, if it is at least so much.
    async fn send(&mut self, n: usize, least: usize) -> Result<(), LedgerError> {
        let part = &mut self.parts[n];
        if part.waiting.len() < least {
            return Ok(());
        }
        let waiting = std::mem::take(&mut part.waiting);
        self.target.put(part.keys, waiting).await
    }

    async fn each_book(&mut self, step: Step, now: Timestamp) -> Result<(), LedgerError> {
        let mut after = None;
        loop {
            let books = self.source.export(after.as_ref(), EXPORT_MAX).await?;
            let Some((last, _)) = books.last() else {
                break;
            };
            after = Some(last.account.id.clone());
            for (mut book, line) in books {
                let id = book.account.id.clone();
                let told = self.told.get(&id);
                let told = told.ok_or_else(|| differs(&format!("account {id} has no entries")))?;
                book.account.last_entry = told.last;
                match step {
                    Step::Write => self.write(&book, line).await?,
                    Step::Compare => self.compare(&book, &told.tale, now).await?,
                }
            }
        }
        for n in 0..self.parts.len() {
            self.send(n, 1).await?;
        }
        Ok(())
    }

    async fn write(&mut self, book: &Book, line: Credits) -> Result<(), LedgerError> {
        let id = &book.account.id;
        let partitions = self.target.partitions;
        let n = partition_of(id, partitions) as usize;
        if let Some(told) = self.told.get(id) {
            let part = &mut self.parts[n];
            let line = line.max(told.tale.line);
            part.waiting
                .extend(put::account(part.keys, book, line, &told.tale));
        }
        self.send(n, WAITING_MAX).await?;
        for key in book.keys.values() {
            let known = self.source.identify(&key.digest).await?;
            if known.is_none_or(|known| known.account != *id || known.key != key.id) {
                continue;
            }
            let n = partition_of_digest(&key.digest, partitions) as usize;
            let part = &mut self.parts[n];
            let owner = Put::Text(claim_of(id, &key.id));
            part.waiting.push((part.keys.digest(&key.digest), owner));
            self.send(n, WAITING_MAX).await?;
        }
        Ok(())
    }

    /// Writes a partition's own record.
    async fn end_part(&mut self, n: usize, closed: Meta, now: Timestamp) -> Result<(), LedgerError> {
        let part = &mut self.parts[n];
        let time = part.time.max(now);
        let record = records::part(closed.stamp(), (part.seq, &part.chain), time);
        part.waiting
            .push((part.keys.part().into_bytes(), Put::Text(record)));
        self.send(n, 1).await
    }

    /// What is stored of an account must be what was to be copied.
    async fn compare(&self, book: &Book, tale: &Tale, now: Timestamp) -> Result<(), LedgerError> {
        let id = &book.account.id;
        let keys = Keys(partition_of(id, self.target.partitions));
        let stored = self.target.read_stored(keys, id, tale).await?;
        let mut found = stored.unreadable;
        compare(
            &settled(book, now),
            &settled(&stored.book, now),
            "the ledger",
            "the copy",
            |what| found.push(what),
        );
        if stored.days != tale.days {
            found.push(format!("account {id}: its charges by day are not the same"));
        }
        for key in book.keys.values() {
            let here = self.source.identify(&key.digest).await?;
            let here = here.map(|known| (known.account, known.key));
            if self.target.read_owner(&key.digest).await? != here {
                found.push(format!("account {id}: key {} is not found by its digest", key.id));
            }
        }
        match found.first() {
            Some(first) => Err(differs(first)),
            None => Ok(()),
        }
    }
}

/// What is done with each book.
#[derive(Clone, Copy)]
enum Step {
    Write,
    Compare,
}

fn differs(what: &str) -> LedgerError {
    LedgerError::Misconfigured(format!("what is in the Redis is not the same: {what}"))
}
