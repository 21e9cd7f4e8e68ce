//! Every Redis key is spelled here, and nowhere else.
//!
//! All keys of an account carry its partition as hash tag (`fg:{17}:a:acme`), so that they lie in one slot of a cluster and change in one script.
//! Account and key ids have no colon or brace ([`crate::domain::ids`]), so that no two things share a key.

use crate::domain::claim::ClaimKey;
use crate::domain::ids::{AccountId, HoldId, KeyDigest, KeyId};
use crate::ledger::memos::MemoName;

/// The store's own record: layout, number of partitions, epoch, generation.
pub(super) const META: &str = "fg:meta";

/// The most partitions a store may have: their numbers fit into an argument, and a sweep over all is quick.
pub(super) const PARTITIONS_MAX: u32 = 4096;

/// An account's partition: FNV-1a (64 bits) of the first segment of its id (`acme` of `acme/research`), modulo the number of partitions. Never
/// change this: a store's accounts would be looked for elsewhere.
pub(super) fn partition_of(account: &AccountId, partitions: u32) -> u32 {
    of_text(account.as_str().split('/').next().unwrap_or_default(), partitions)
}

/// A memo's partition: the same of its name. Never change this either.
pub(super) fn partition_of_name(name: &MemoName, partitions: u32) -> u32 {
    of_text(name.as_str(), partitions)
}

fn of_text(text: &str, partitions: u32) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV alone are weak for short texts.
    let mixed = hash ^ (hash >> 32);
    u32::try_from(mixed % u64::from(partitions.max(1))).unwrap_or_default()
}

/// The partition that finds a key's digest: its first four bytes, modulo the number of partitions. A digest is random already.
pub(super) fn partition_of_digest(digest: &KeyDigest, partitions: u32) -> u32 {
    let [a, b, c, d, ..] = digest.0;
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

/// The keys of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys(pub(super) u32);

/// Appends a key of a partition: what kind of record, and whose.
///
/// By hand, since every request spells four.
fn spell(key: &mut Vec<u8>, partition: u32, kind: u8, names: &[&[u8]]) {
    key.extend_from_slice(b"fg:{");
    let mut unit = 10_u32.pow(partition.checked_ilog10().unwrap_or_default());
    while unit > 0 {
        key.push(b'0' + u8::try_from(partition / unit % 10).unwrap_or_default());
        unit /= 10;
    }
    key.extend_from_slice(&[b'}', b':', kind]);
    for name in names {
        key.push(b':');
        key.extend_from_slice(name);
    }
}

impl Keys {
    fn of(self, kind: u8) -> String {
        text(|key| spell(key, self.0, kind, &[]))
    }

    fn about(self, kind: u8, account: &AccountId) -> String {
        text(|key| spell(key, self.0, kind, &[account.as_str().as_bytes()]))
    }

    /// The partition's record ([`super::layout::PART`]).
    pub(super) fn part(self) -> String {
        self.of(b'p')
    }

    /// Its journal: a stream.
    pub(super) fn journal(self) -> String {
        self.of(b'j')
    }

    /// Its accounts, in the order in which they were made: a list.
    pub(super) fn accounts(self) -> String {
        self.of(b'A')
    }

    /// Open holds that the sweep has met, by the end it knows of: a sorted set.
    pub(super) fn open_holds(self) -> String {
        self.of(b'b')
    }

    /// How far the sweep has come in the journal.
    pub(super) fn swept(self) -> String {
        self.of(b'w')
    }

    /// An account's hot record ([`super::layout::ACCOUNT`]).
    pub(super) fn account(self, account: &AccountId) -> String {
        text(|key| self.put_account(key, account))
    }

    /// Appends the key of an account's hot record.
    pub(super) fn put_account(self, key: &mut Vec<u8>, account: &AccountId) {
        spell(key, self.0, b'a', &[account.as_str().as_bytes()]);
    }

    /// Its other counters and its live grants ([`super::layout::COLD`], then [`super::layout::GRANT`]s).
    pub(super) fn grants(self, account: &AccountId) -> String {
        self.about(b'g', account)
    }

    /// Its ended grants by id: a hash.
    pub(super) fn ended(self, account: &AccountId) -> String {
        self.about(b'e', account)
    }

    /// What it was charged on days that are over: a hash.
    pub(super) fn days(self, account: &AccountId) -> String {
        self.about(b'd', account)
    }

    /// Its settings (`p`, `l`, `r`) and its keys (`k` and the key's id): a hash.
    pub(super) fn settings(self, account: &AccountId) -> String {
        self.about(b's', account)
    }

    /// Its adjustments by command id: a hash.
    pub(super) fn adjusted(self, account: &AccountId) -> String {
        self.about(b'c', account)
    }

    /// The gauge of one of its keys that has caps.
    pub(super) fn gauge(self, account: &AccountId, key: &KeyId) -> String {
        text(|spelled| self.put_gauge(spelled, account, key))
    }

    /// Appends the key of the gauge of one of an account's keys.
    pub(super) fn put_gauge(self, spelled: &mut Vec<u8>, account: &AccountId, key: &KeyId) {
        let names = [account.as_str().as_bytes(), key.as_str().as_bytes()];
        spell(spelled, self.0, b'u', &names);
    }

    /// One of its holds; the id's sixteen bytes at the end.
    pub(super) fn hold(self, account: &AccountId, hold: HoldId) -> Vec<u8> {
        let mut key = Vec::new();
        self.put_hold(&mut key, account, hold);
        key
    }

    /// Appends the key of one of an account's holds.
    pub(super) fn put_hold(self, key: &mut Vec<u8>, account: &AccountId, hold: HoldId) {
        let names: [&[u8]; 2] = [account.as_str().as_bytes(), hold.as_bytes()];
        spell(key, self.0, b'h', &names);
    }

    /// The record of a claim; its digest's sixteen bytes at the end.
    pub(super) fn claim(self, account: &AccountId, claim: ClaimKey) -> Vec<u8> {
        let mut key = Vec::new();
        self.put_claim(&mut key, account, claim);
        key
    }

    /// Appends the key of a claim's record.
    pub(super) fn put_claim(self, key: &mut Vec<u8>, account: &AccountId, claim: ClaimKey) {
        let names: [&[u8]; 2] = [account.as_str().as_bytes(), &claim.0];
        spell(key, self.0, b'o', &names);
    }

    /// Whose a key's digest is; the first sixteen bytes of the digest at the end.
    pub(super) fn digest(self, digest: &KeyDigest) -> Vec<u8> {
        let mut key = Vec::new();
        spell(&mut key, self.0, b'i', &[&digest.0[..16]]);
        key
    }
}

/// The keys of memos.
impl Keys {
    /// A memo's record ([`super::layout::MEMO`], then its text). Its name is the last part, so that the colon in it shares no key with another.
    pub(super) fn memo(self, name: &MemoName) -> String {
        text(|key| spell(key, self.0, b'm', &[name.as_str().as_bytes()]))
    }

    /// The partition's memos by name: a sorted set whose scores are all 0.
    pub(super) fn memos(self) -> String {
        self.of(b'M')
    }

    /// Those that are due at some time, by that time: a sorted set.
    pub(super) fn memos_due(self) -> String {
        self.of(b'D')
    }

    /// Those that are to be forgotten at some time, by that time: a sorted set.
    pub(super) fn memos_to_forget(self) -> String {
        self.of(b'F')
    }
}

/// A key whose parts are all texts.
fn text(spell: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut key = Vec::new();
    spell(&mut key);
    String::from_utf8_lossy(&key).into_owned()
}

/// The slot of a partition in a cluster: that of the hash tag.
pub(super) fn slot_of(partition: u32) -> u16 {
    slot(partition.to_string().as_bytes())
}

/// The slot of [`META`], which has no hash tag.
pub(super) fn slot_of_meta() -> u16 {
    slot(META.as_bytes())
}

/// CRC16 (XMODEM), modulo 16384.
fn slot(text: &[u8]) -> u16 {
    let crc = text.iter().copied().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 != 0 {
                (crc << 1) ^ 0x1021
            } else {
                crc << 1
            }
        })
    });
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::new(id).unwrap()
    }

    #[test]
    fn the_partition_of_an_account_never_changes() {
        for (id, partition) in [("acme", 12), ("cus_123", 23), ("a", 0)] {
            assert_eq!(partition_of(&account(id), 64), partition, "{id}");
        }
        assert_eq!(
            partition_of(&account("acme/research"), 64),
            partition_of(&account("acme"), 64)
        );
    }

    #[test]
    fn the_partition_of_a_memo_never_changes() {
        for (kind, id, partition) in [("invoice", "in_1", 24), ("purchase", "pi_1", 0)] {
            let name = MemoName::new(kind, id).unwrap();
            assert_eq!(partition_of_name(&name, 64), partition, "{name}");
        }
    }

    #[test]
    fn b14_all_keys_of_an_account_carry_one_tag() {
        let (keys, id) = (Keys(17), account("acme/research"));
        let hold = HoldId::new(1, [125; 10]);
        let digest = KeyDigest([b'}'; 32]);
        let texts = [
            keys.part(),
            keys.journal(),
            keys.accounts(),
            keys.open_holds(),
            keys.swept(),
            keys.account(&id),
            keys.grants(&id),
            keys.ended(&id),
            keys.days(&id),
            keys.settings(&id),
            keys.adjusted(&id),
            keys.gauge(&id, &KeyId::new("key_1").unwrap()),
            keys.memo(&MemoName::new("acme", "research").unwrap()),
            keys.memos(),
            keys.memos_due(),
            keys.memos_to_forget(),
        ];
        let binary = [
            keys.hold(&id, hold),
            keys.digest(&digest),
            keys.claim(&id, ClaimKey(*hold.as_bytes())),
        ];
        let all: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).chain(binary).collect();
        for key in &all {
            assert!(key.starts_with(b"fg:{17}:"), "{:?}", String::from_utf8_lossy(key));
        }
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn partitions_are_written_as_decimals() {
        for n in [0, 9, 10, 64, 100, 999, 1000, PARTITIONS_MAX - 1] {
            assert_eq!(Keys(n).part(), format!("fg:{{{n}}}:p"));
        }
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot_of(123_456_789), 12_739);
        assert_eq!(slot_of(0), 13_907);
        assert_eq!(slot(b"foo"), 12_182);
    }
}
