//! Who presented a key: a bounded cache in front of the ledger. It only saves a question; whether the answer still counts is checked by `admit`, in the ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::KeyDigest;
use crate::domain::key::{Caller, Identity};
use crate::domain::refusal::Refusal;

use super::plans::{Plan, Plans};

/// Identities kept, at most twice as many; each is some hundred bytes.
const KEPT: usize = 50_000;

/// How long a bad answer (unknown, revoked, paused) is given again without asking the ledger. A refill or a resumed account is felt after this at the latest.
pub(super) const BAD_NEWS: Duration = Duration::from_millis(250);

/// A key that identifies an account, as of some version of it.
#[derive(Debug)]
pub struct Known {
    pub(super) digest: KeyDigest,
    pub(super) identity: Identity,
    /// The plans the caller was made under.
    pub(super) plans: Arc<Plans>,
    pub(super) caller: Arc<Caller>,
    pub(super) read_at: Instant,
    pub(super) storm: Mutex<Storm>,
}

/// Refusals in a row for one key: a storm of requests that cannot be paid is answered without the ledger for a moment.
#[derive(Debug, Default)]
pub(super) struct Storm {
    pub(super) refusals: u32,
    pub(super) last: Option<(Instant, Refusal)>,
    /// Somebody has gone to ask whether it is still so.
    pub(super) asking: bool,
}

impl Known {
    pub(super) fn new(digest: KeyDigest, identity: Identity, plans: &Arc<Plans>) -> Known {
        let caller = Arc::new(plans.caller(&identity));
        Known {
            digest,
            identity,
            plans: Arc::clone(plans),
            caller,
            read_at: Instant::now(),
            storm: Mutex::default(),
        }
    }

    /// The plan it is on.
    pub fn plan<'a>(&self, plans: &'a Plans) -> &'a Plan {
        plans.of(self.identity.plan.as_ref())
    }

    /// The plan it is on, of those it was made under.
    pub(super) fn own_plan(&self) -> &Plan {
        self.plan(&self.plans)
    }

    /// The account and the key.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

/// What is known of a digest.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Known(Arc<Known>),
    /// Not a key, as of then.
    Nobody(Instant),
}

/// Two generations: when the younger is full the older is dropped, so that keys in use stay and a flood of others is bounded.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<KeyDigest, Found>,
    old: HashMap<KeyDigest, Found>,
}

impl Identities {
    pub(super) fn get(&self, digest: &KeyDigest) -> Option<Found> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(digest) {
            return Some(found.clone());
        }
        let found = generations.old.remove(digest)?;
        generations.insert(*digest, found.clone());
        Some(found)
    }

    pub(super) fn put(&self, digest: KeyDigest, found: Found) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest, found);
    }
}

impl Generations {
    fn insert(&mut self, digest: KeyDigest, found: Found) {
        if self.young.len() >= KEPT {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: usize) -> KeyDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        KeyDigest(bytes)
    }

    #[test]
    fn a_flood_of_unknown_keys_is_bounded_and_a_key_in_use_stays() {
        let identities = Identities::default();
        let now = Instant::now();
        for n in 0..KEPT * 5 {
            identities.put(digest(n), Found::Nobody(now));
            assert!(identities.get(&digest(0)).is_some(), "lost after {n}");
        }
        let generations = identities.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * KEPT);
    }
}
