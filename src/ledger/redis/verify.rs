//! Proof of promises 2 and 4 while the ledger is in use: some accounts are read as of an instant, the journal is folded up to that instant, and both are
//! compared; then the next accounts, and the journal's next entries. Each read is a small piece, so that requests do not wait for Redis meanwhile.

mod fold;

use redis::Value;

use super::decode;
use super::find::{Found, Reader, text_of};
use super::keys::Keys;
use super::layout;
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::engine::Book;
use crate::domain::engine::invariants;
use crate::domain::ids::{AccountId, HoldId, KeyId};
use crate::domain::time::Timestamp;
use crate::ledger::{Findings, VerifyReport};
use fold::{Fold, Opened, Told};

/// Accounts compared at one instant: a script reads them.
const CHUNK: usize = 50;

/// Entries of the journal read at a time: a few hundred kilobytes, and a few milliseconds of Redis.
const ENTRIES: usize = 1_000;

impl RedisLedger {
    pub(super) async fn verify_all(&self) -> Result<VerifyReport, LedgerError> {
        let mut findings = Findings::default();
        for n in 0..self.partitions {
            self.verify_partition(Keys(n), &mut findings).await?;
        }
        Ok(findings.0)
    }

    async fn verify_partition(&self, keys: Keys, findings: &mut Findings) -> Result<(), LedgerError> {
        let mut fold = Fold::new(keys.0);
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut place = 0;
        // Nobody's records at first: what the journal has so far is of accounts that the list has from now on.
        loop {
            let ids: Vec<_> = names
                .iter()
                .filter_map(|name| known(keys, name, findings))
                .collect();
            self.verify_accounts(keys, &mut fold, &ids, findings).await?;
            names = self.accounts_from(keys, place, CHUNK).await?;
            if names.is_empty() {
                break;
            }
            place += names.len();
        }
        let unlisted = fold.told.iter().filter(|(_, told)| !told.compared);
        for (id, _) in unlisted {
            findings.add(format!(
                "account {id} is in the journal and not in the list of accounts"
            ));
        }
        Ok(())
    }

    /// Reads accounts as of an instant, the journal up to that instant, and compares.
    async fn verify_accounts(
        &self,
        keys: Keys,
        fold: &mut Fold,
        ids: &[AccountId],
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        let (found, seq, chain) = match (self.chunk(keys, ids).await, ids) {
            (Err(LedgerError::Quarantined { what, .. }), [id]) => {
                findings.add(format!("account {id}: {what}"));
                fold.told.entry(id.clone()).or_default().compared = true;
                findings.0.accounts += 1;
                return Ok(());
            }
            // One of them stopped the script: each for itself, so that only that one is told.
            (Err(LedgerError::Quarantined { .. }), [_, ..]) => {
                for id in ids {
                    let alone = std::slice::from_ref(id);
                    Box::pin(self.verify_accounts(keys, fold, alone, findings)).await?;
                }
                return Ok(());
            }
            (answer, _) => answer?,
        };
        self.fold_upto(keys, fold, seq, findings).await?;
        if fold.end() != (seq, &chain[..]) {
            findings.add(format!(
                "partition {}: the journal ends at entry {}, its record at entry {seq}",
                keys.0, fold.seq
            ));
        }
        for (id, stored) in ids.iter().zip(&found.items[1..]) {
            // It stays: what is written of it from now on follows what was read.
            let told = fold.told.entry(id.clone()).or_default();
            compare(id, stored, told, findings);
            told.compared = true;
            findings.0.accounts += 1;
            let open: Vec<_> = told.open.iter().map(|(hold, opened)| (*hold, *opened)).collect();
            for some in open.chunks(CHUNK) {
                self.verify_holds(keys, id, (some, found.time), findings).await?;
            }
        }
        Ok(())
    }

    /// Reads the records of holds that the journal left open at an instant, and compares.
    async fn verify_holds(
        &self,
        keys: Keys,
        id: &AccountId,
        (open, then): (&[(HoldId, Opened)], Timestamp),
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        let read: Vec<_> = open.iter().map(|(hold, _)| keys.hold(id, *hold)).collect();
        let found = self.find_for(Reader::Job, Script::Lookup, keys, &read, &[]).await;
        let found = match (found, open) {
            (Err(LedgerError::Quarantined { what, .. }), [(hold, _)]) => {
                findings.add(format!("account {id}: hold {hold}: {what}"));
                return Ok(());
            }
            (Err(LedgerError::Quarantined { .. }), [_, ..]) => {
                for one in open {
                    let alone = std::slice::from_ref(one);
                    Box::pin(self.verify_holds(keys, id, (alone, then), findings)).await?;
                }
                return Ok(());
            }
            (answer, _) => answer?,
        };
        for (at, (hold, opened)) in open.iter().enumerate() {
            let record = (!found.is_missing(at)).then(|| found.text(at));
            if let Some(wrong) = opened.judge(record, (then, found.time)) {
                findings.add(format!("account {id}: hold {hold} {wrong}"));
            }
        }
        Ok(())
    }

    /// Folds the journal up to an entry that ends an item.
    async fn fold_upto(
        &self,
        keys: Keys,
        fold: &mut Fold,
        upto: u64,
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        while fold.seq < upto {
            let before = fold.seq;
            for group in self.groups(Reader::Job, keys, before, ENTRIES).await? {
                if fold.seq >= upto {
                    return Ok(());
                }
                fold.take(&group, findings);
            }
            // The end; or what is there does not go on, which was noted.
            if fold.seq <= before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Names in a partition's list of accounts, from a place on.
    pub(super) async fn accounts_from(
        &self,
        keys: Keys,
        place: usize,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let args = [
            place.to_string().into_bytes(),
            (place + count - 1).to_string().into_bytes(),
        ];
        let list = [keys.accounts().into_bytes()];
        let found = self
            .find_for(Reader::Job, Script::Accounts, keys, &list, &args)
            .await?;
        Ok(found.texts().map(<[u8]>::to_vec).collect())
    }

    /// Accounts as they stand at an instant, and where the journal ends then.
    async fn chunk(&self, keys: Keys, ids: &[AccountId]) -> Result<(Found, u64, Vec<u8>), LedgerError> {
        let of = |id: &AccountId| {
            [
                keys.account(id),
                keys.grants(id),
                keys.settings(id),
                keys.ended(id),
                keys.adjusted(id),
            ]
        };
        let read: Vec<_> = ids.iter().flat_map(of).map(String::into_bytes).collect();
        let found = self
            .find_for(Reader::Job, Script::Chunk, keys, &read, &[])
            .await?;
        let part = layout::PART.read_all(found.text(0));
        let part = part.ok_or_else(|| self.lost(keys.0, "has a record that cannot be read"))?;
        let (seq, chain) = (part.count("seq"), part.bytes("chain").to_vec());
        if found.items.len() != ids.len() + 1 {
            return Err(LedgerError::Unavailable(
                "the script's answer cannot be read".to_owned(),
            ));
        }
        Ok((found, seq, chain))
    }
}

/// The account of a name in the list.
pub(super) fn known(keys: Keys, name: &[u8], findings: &mut Findings) -> Option<AccountId> {
    let id = std::str::from_utf8(name)
        .ok()
        .and_then(|id| AccountId::new(id).ok());
    if id.is_none() {
        let name = String::from_utf8_lossy(name);
        findings.add(format!(
            "partition {}: the list of accounts has {name:?}, which is no account",
            keys.0
        ));
    }
    id
}

/// Compares what is stored of an account with what the journal tells of it.
fn compare(id: &AccountId, stored: &Value, told: &Told, findings: &mut Findings) {
    let Value::Array(parts) = stored else {
        return findings.add(format!("account {id}: its records cannot be read"));
    };
    let texts: Vec<&[u8]> = parts.iter().map(text_of).collect();
    let [hot, cold, plan, limits, reasons, adjusted, ended @ .., mortal] = texts.as_slice() else {
        return findings.add(format!("account {id}: its records cannot be read"));
    };
    if !mortal.is_empty() {
        findings.add(format!(
            "account {id}: {} has a time to live",
            String::from_utf8_lossy(mortal)
        ));
    }
    let read = || -> Result<Book, decode::Unreadable> {
        let settings = decode::settings(plan, limits, reasons)?;
        let mut book = decode::book(id, hot, cold, settings)?;
        for mut grant in ended.iter().copied() {
            let grant = decode::grant(&mut grant)?;
            book.grants.insert(grant.facts.id.as_str().to_owned(), grant);
        }
        Ok(book)
    };
    let mut book = match read() {
        Ok(book) => book,
        Err(what) => return findings.add(format!("account {id}: {what} cannot be read")),
    };
    if book.account.balance() != told.balance {
        findings.add(format!(
            "account {id}: its record says {:?}, the journal {:?}",
            book.account.balance(),
            told.balance
        ));
    }
    let counted = (book.account.entries, book.account.last_entry);
    if counted != (told.number, told.last) {
        findings.add(format!(
            "account {id}: its record says {} entries, the last {}, the journal {}, the last {}",
            counted.0, counted.1, told.number, told.last
        ));
    }
    if *adjusted != told.adjustments.to_string().as_bytes() {
        findings.add(format!(
            "account {id}: {} of the {} adjustments in the journal are remembered",
            String::from_utf8_lossy(adjusted),
            told.adjustments
        ));
    }
    // The holds that the journal leaves open: which key each is of does not matter here.
    if let Ok(key) = KeyId::new("any") {
        book.holds = told.holds(id, &key).into_iter().collect();
    }
    for violation in invariants::check(&book, decode::credit_line(hot)) {
        findings.add(format!("account {id}: {violation}"));
    }
}
