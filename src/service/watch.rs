//! Who runs low: accounts whose available credits are watched, and those that were seen below what they watch for.
//!
//! What is seen is a hint, on no request's way but for a look at a map: it may be seen often, late or not at all, and whoever takes it up looks at the ledger.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::domain::credits::Credits;
use crate::domain::ids::AccountId;

/// The most accounts that wait to be looked at; one that finds no room is seen again with its next request.
const LOW_MAX: usize = 10_000;

/// What an account is watched for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// It is low when less than this is available.
    pub below: Credits,
    /// Nothing can be done about it before, in seconds since the epoch; [`i64::MAX`]: until somebody changes something.
    pub not_before: i64,
    /// Why nothing can be done: a word for programs, a sentence for the customer.
    pub trouble: Option<(&'static str, &'static str)>,
}

/// Watches accounts. One for all workers.
#[derive(Debug, Default)]
pub struct Watch {
    marks: ArcSwap<HashMap<AccountId, Mark>>,
    /// Which were changed since the last reading of all began; held while one is.
    changed: Mutex<HashSet<AccountId>>,
    /// Whether each owes what is to be charged; otherwise it is below its mark.
    low: Mutex<HashMap<AccountId, bool>>,
    wake: Notify,
}

impl Watch {
    /// An account has so much available.
    pub fn saw(&self, account: &AccountId, available: Credits) {
        let marks = self.marks.load();
        if marks.is_empty() {
            return;
        }
        if marks.get(account).is_some_and(|mark| available < mark.below) {
            self.look_at(account, false);
        }
    }

    /// An account owes what is to be charged, whatever it is watched for.
    pub fn saw_debt(&self, account: &AccountId) {
        self.look_at(account, true);
    }

    fn look_at(&self, account: &AccountId, owes: bool) {
        let mut low = self.low.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = low.get_mut(account) {
            *known |= owes;
        } else if low.len() < LOW_MAX {
            low.insert(account.clone(), owes);
            drop(low);
            self.wake.notify_one();
        }
    }

    /// What is known of an account.
    pub fn mark(&self, account: &AccountId) -> Option<Mark> {
        self.marks.load().get(account).cloned()
    }

    /// From now on an account is watched like this, or no longer.
    pub fn set(&self, account: &AccountId, mark: Option<Mark>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(account.clone());
        let known = self.marks.load();
        if known.get(account) == mark.as_ref() {
            return;
        }
        let mut marks = HashMap::clone(&known);
        match mark {
            Some(mark) => marks.insert(account.clone(), mark),
            None => marks.remove(account),
        };
        self.marks.store(Arc::new(marks));
    }

    /// All are about to be read, for [`Watch::set_all`].
    pub fn begin_reading(&self) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.clear();
    }

    /// From now on these are watched, and no others; those that were changed since the reading began, of which it may not know, stay as they are.
    pub fn set_all(&self, mut marks: HashMap<AccountId, Mark>) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.marks.load();
        for account in changed.iter() {
            match known.get(account) {
                Some(mark) => marks.insert(account.clone(), mark.clone()),
                None => marks.remove(account),
            };
        }
        if **known != marks {
            self.marks.store(Arc::new(marks));
        }
    }

    /// Those that were seen low since the last time, and whether they owe what is to be charged; waits until there is one.
    pub async fn low(&self) -> HashMap<AccountId, bool> {
        loop {
            let low = std::mem::take(&mut *self.low.lock().unwrap_or_else(PoisonError::into_inner));
            if !low.is_empty() {
                return low;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(below: u32) -> (Watch, AccountId) {
        let (watch, acme) = (Watch::default(), AccountId::new("acme").unwrap());
        let mark = Mark {
            below: Credits::whole(below),
            not_before: 0,
            trouble: None,
        };
        watch.set(&acme, Some(mark));
        (watch, acme)
    }

    #[tokio::test]
    async fn an_account_is_low_below_its_mark_and_once_until_it_is_taken_up() {
        let (watch, acme) = watch(5);
        watch.saw(&acme, Credits::whole(5));
        watch.saw(&AccountId::new("other").unwrap(), Credits::ZERO);
        assert!(watch.low.lock().unwrap().is_empty());
        for _ in 0..3 {
            watch.saw(&acme, Credits::whole(4));
        }
        watch.saw_debt(&acme);
        watch.saw(&acme, Credits::whole(4));
        assert_eq!(watch.low().await, HashMap::from([(acme.clone(), true)]));
        assert!(watch.low.lock().unwrap().is_empty());
        watch.set(&acme, None);
        watch.saw(&acme, Credits::ZERO);
        assert!(watch.low.lock().unwrap().is_empty());
    }

    #[test]
    fn what_is_changed_during_a_reading_stays_and_the_rest_of_it_counts() {
        let (watch, acme) = watch(5);
        let name = |name: &str| AccountId::new(name).unwrap();
        let mark = |below| Mark {
            below: Credits::whole(below),
            not_before: 0,
            trouble: None,
        };
        watch.set(&name("gone"), Some(mark(1)));
        watch.begin_reading();
        let read = [
            (acme.clone(), mark(5)),
            (name("gone"), mark(1)),
            (name("other"), mark(2)),
        ];
        watch.set(&acme, Some(mark(7)));
        watch.set(&name("gone"), None);
        watch.set_all(HashMap::from(read));
        let found = ["acme", "gone", "other"].map(|account| watch.mark(&name(account)));
        assert_eq!(found, [Some(mark(7)), None, Some(mark(2))]);
        watch.begin_reading();
        watch.set_all(HashMap::new());
        assert_eq!(watch.mark(&acme), None);
    }

    #[test]
    fn what_waits_to_be_looked_at_has_a_limit() {
        let (watch, _) = watch(5);
        for number in 0..=LOW_MAX {
            watch.saw_debt(&AccountId::new(&format!("a{number}")).unwrap());
        }
        assert_eq!(watch.low.lock().unwrap().len(), LOW_MAX);
    }
}
