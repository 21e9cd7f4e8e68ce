//! A partition's journal as a proof reads it: what it says of each account, up to an entry.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use super::super::answer::credits;
use super::super::codes;
use super::super::decode::Group;
use super::super::layout;
use super::super::records;
use crate::domain::account::Balance;
use crate::domain::credits::Credits;
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ids::{AccountId, HoldId, KeyId};
use crate::domain::time::Timestamp;
use crate::ledger::Findings;

/// What the journal says of an account, up to an entry.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) balance: Balance,
    pub(super) number: u64,
    pub(super) last: u64,
    pub(super) open: BTreeMap<HoldId, Opened>,
    pub(super) adjustments: u64,
    /// It was found in the list of accounts, and compared.
    pub(super) compared: bool,
}

/// What the journal says of a hold that it leaves open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    amount: Credits,
    number: u64,
    extensions: u64,
}

/// A partition's journal, folded.
#[derive(Debug)]
pub(super) struct Fold {
    partition: u32,
    pub(super) seq: u64,
    chain: Vec<u8>,
    time: Timestamp,
    pub(super) told: HashMap<AccountId, Told>,
}

impl Fold {
    pub(super) fn new(partition: u32) -> Fold {
        Fold {
            partition,
            seq: 0,
            chain: vec![b'0'; 16],
            time: Timestamp::ZERO,
            told: HashMap::new(),
        }
    }

    /// The last entry folded, and the chain after it.
    pub(super) fn end(&self) -> (u64, &[u8]) {
        (self.seq, &self.chain)
    }

    /// Takes the journal's next item.
    pub(super) fn take(&mut self, group: &Group, findings: &mut Findings) {
        let n = self.partition;
        if group.before != self.chain {
            findings.add(format!(
                "partition {n}: the journal was changed at or before entry {}: the chain is broken",
                self.seq + 1
            ));
        }
        self.chain.clone_from(&group.after);
        for entry in &group.entries {
            if entry.seq != self.seq + 1 {
                findings.add(format!(
                    "partition {n}: entry {} follows entry {}",
                    entry.seq, self.seq
                ));
            }
            if entry.time < self.time {
                findings.add(format!(
                    "partition {n}: entry {} is earlier than the one before it",
                    entry.seq
                ));
            }
            (self.seq, self.time) = (entry.seq, entry.time);
            self.told
                .entry(entry.account.clone())
                .or_default()
                .take(entry, findings);
            findings.0.entries += 1;
        }
    }
}

impl Told {
    fn take(&mut self, entry: &Entry, findings: &mut Findings) {
        let id = &entry.account;
        self.balance = self.balance.after(entry);
        if self.balance.available() != entry.available {
            findings.add(format!(
                "account {id}: entry {} says {} available, its history {}",
                entry.seq,
                entry.available,
                self.balance.available()
            ));
        }
        if entry.number != self.number + 1 || entry.previous != self.last {
            findings.add(format!(
                "account {id}: entry {} is number {} after {}",
                entry.seq, entry.number, self.number
            ));
        }
        (self.number, self.last) = (entry.number, entry.seq);
        if entry.kind == EntryKind::Adjust {
            self.adjustments += 1;
        }
        let Some(hold) = records::of_hold(entry) else {
            return;
        };
        match entry.kind {
            EntryKind::Hold => {
                let opened = Opened {
                    amount: entry.amount,
                    number: entry.number,
                    extensions: 0,
                };
                self.open.insert(hold, opened);
            }
            EntryKind::Extend => {
                if let Some(opened) = self.open.get_mut(&hold) {
                    opened.amount = opened.amount.saturating_add(entry.amount);
                    opened.extensions += 1;
                }
            }
            _ => {
                self.open.remove(&hold);
            }
        }
    }

    /// The holds that are open by the journal; of their records only what the laws look at.
    pub(super) fn holds(&self, account: &AccountId, key: &KeyId) -> BTreeMap<HoldId, Hold> {
        let open = self.open.iter().map(|(id, opened)| {
            let hold = Hold {
                id: *id,
                account: account.clone(),
                key: key.clone(),
                state: HoldState::Open,
                amount: opened.amount,
                opened: opened.amount,
                charged: Credits::ZERO,
                opened_at: Timestamp::ZERO,
                expires_at: Timestamp::NEVER,
                number: opened.number,
                extensions: opened.extensions,
                available: Credits::ZERO,
                content: 0,
                claim: None,
            };
            (*id, hold)
        });
        open.collect()
    }
}

impl Opened {
    /// What is wrong with the record of a hold that was open at an instant, read at a later one.
    pub(super) fn judge(
        self,
        record: Option<&[u8]>,
        (then, now): (Timestamp, Timestamp),
    ) -> Option<&'static str> {
        let Some(record) = record else {
            return Some("is open in the journal, and its record is missing");
        };
        let Some(record) = layout::HOLD.read_all(record) else {
            return Some("is open in the journal, and its record cannot be read");
        };
        let amount = credits(record.number("amount"));
        let same = match record.count("extensions").cmp(&self.extensions) {
            Ordering::Less => false,
            Ordering::Equal => amount == self.amount,
            Ordering::Greater => amount > self.amount,
        };
        let open = codes::value_of(codes::HOLD_STATES, record.number("state")) == Some(HoldState::Open);
        let ended_at = Timestamp::from_micros(record.number("expires_at"));
        if !same || record.count("number") != self.number {
            Some("is not in its record as it is in the journal")
        } else if !open && (ended_at < then || ended_at > now) {
            Some("is open in the journal, and its record says that it has ended")
        } else {
            None
        }
    }
}
