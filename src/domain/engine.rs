//! The ledger's rules, as a pure function over values: `step(state, command, now)` returns the answer and what changes; `commit` applies it.
//!
//! It is the definition: the embedded store runs it, and the Redis scripts are held against it by property tests. [`draft`] is the working copy of
//! one account, [`holds`], [`grants`] and [`settings`] are the commands, [`due`] is what time does, [`invariants`] is the law.

mod draft;
mod due;
mod grants;
mod holds;
pub mod invariants;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use super::account::Account;
use super::claim::ClaimKey;
use super::command::{Admit, Command, HOLDS_REMEMBERED, Outcome, Receipt};
use super::credits::Credits;
use super::entry::Entry;
use super::grant::Grant;
use super::hold::{Hold, HoldState};
use super::ids::{AccountId, CommandId, HoldId, KeyDigest, KeyId};
use super::key::{Identity, Key};
use super::refusal::Refusal;
use super::shelf::Shelf;
use super::time::Timestamp;
use draft::Draft;

pub use holds::EXPIRED;

/// Everything the ledger keeps of one account, but for its journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Book {
    /// The account.
    pub account: Account,
    /// All its grants, whatever their state, by id.
    pub grants: Shelf<String, Grant>,
    /// Its keys, revoked ones included, by public name.
    pub keys: Shelf<KeyId, Key>,
    /// Its open holds, and the ended ones as long as ids are remembered.
    pub holds: Shelf<HoldId, Hold>,
    /// Adjustments made, by idempotency key.
    pub commands: Shelf<CommandId, CommandRecord>,
}

/// An adjustment that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandRecord {
    /// How much was asked for.
    pub amount: Credits,
    /// The answer.
    pub receipt: Receipt,
}

/// One part of a step: the new value of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The account's record.
    Account(Account),
    /// A grant.
    Grant(Grant),
    /// A hold.
    Hold(Hold),
    /// A key.
    Key(Key),
    /// An adjustment's record.
    Command(CommandId, CommandRecord),
    /// A line of the journal.
    Entry(Entry),
}

/// The answer to a command, and what it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Whose book changes.
    pub account: AccountId,
    /// When.
    pub time: Timestamp,
    /// The answer.
    pub outcome: Outcome,
    /// New values, to be applied together or not at all.
    pub changes: Vec<Change>,
}

/// All accounts of a store.
#[derive(Clone, Debug, Default)]
pub struct State {
    books: HashMap<AccountId, Book>,
    digests: HashMap<KeyDigest, (AccountId, KeyId)>,
    /// The last hold that was opened under each idempotency key, with its number; for those that are remembered.
    claims: HashMap<(AccountId, ClaimKey), (HoldId, u64)>,
    /// Sequence number of the journal's last entry.
    pub seq: u64,
    /// The latest time any step saw: time never goes back.
    pub time: Timestamp,
}

impl State {
    /// Decides a command at `now` (or at the latest time seen, if that is later).
    pub fn step(&self, command: &Command, now: Timestamp) -> Step {
        let now = now.max(self.time);
        let account = command.account();
        let Some(book) = self.books.get(account) else {
            return settings::create(account, command, self.seq, now);
        };
        let draft = Draft::new(book, self.seq, now);
        match command {
            Command::Admit(admit) => holds::admit(draft, admit, self.holder(book, admit)),
            Command::Extend(extend) => holds::extend(draft, extend),
            Command::Renew(renew) => holds::renew(draft, renew),
            Command::Capture(capture) => holds::capture(draft, capture),
            Command::Release(release) => holds::release(draft, release),
            Command::ExpireHold { hold, on_expiry, .. } => holds::expire(draft, *hold, *on_expiry),
            Command::PutGrant { facts, detail, .. } => grants::put(draft, facts, detail),
            Command::Adjust {
                id,
                amount,
                from,
                detail,
                ..
            } => grants::adjust(draft, id, *amount, from.as_ref(), detail),
            Command::SetAccount {
                expected,
                change,
                detail,
                ..
            } => settings::change(draft, *expected, change, detail),
            Command::PutKey { key, detail, .. } => {
                let claimed = self
                    .digests
                    .get(&key.digest)
                    .is_some_and(|(owner, _)| owner != account);
                if claimed {
                    draft.refuse(Refusal::IdConflict)
                } else {
                    settings::put_key(draft, key, detail)
                }
            }
            Command::RevokeKey { key, detail, .. } => settings::revoke_key(draft, key, detail),
            Command::ApplyDue { .. } => grants::apply_due(draft),
        }
    }

    fn holder<'b>(&self, book: &'b Book, admit: &Admit) -> Option<&'b Hold> {
        let claim = admit.claim.as_ref()?;
        let (hold, _) = self.claims.get(&(book.account.id.clone(), claim.key))?;
        book.holds.get(hold)
    }

    /// Applies a step that was made from this state.
    pub fn commit(&mut self, step: &Step) {
        self.time = self.time.max(step.time);
        for change in &step.changes {
            self.apply(&step.account, change.clone());
        }
    }

    /// Applies one change; also how a store rebuilds the state from what it kept. An account's record comes before the rest of its book.
    pub fn apply(&mut self, account: &AccountId, change: Change) {
        if let Change::Account(account) = change {
            match self.books.get_mut(&account.id) {
                Some(book) => book.account = account,
                None => {
                    self.books.insert(account.id.clone(), Book::new(account));
                }
            }
            return;
        }
        let Some(book) = self.books.get_mut(account) else {
            return;
        };
        match change {
            Change::Account(_) => {}
            Change::Grant(grant) => {
                book.grants.insert(grant.facts.id.as_str().to_owned(), grant);
            }
            Change::Hold(hold) => {
                note_claim(&mut self.claims, &hold);
                book.holds.insert(hold.id, hold);
            }
            Change::Key(key) => {
                self.digests.insert(key.digest, (account.clone(), key.id.clone()));
                book.keys.insert(key.id.clone(), key);
            }
            Change::Command(id, record) => {
                book.commands.insert(id, record);
            }
            Change::Entry(entry) => self.seq = self.seq.max(entry.seq),
        }
    }

    /// Makes room for so many more accounts.
    pub fn reserve(&mut self, accounts: usize) {
        self.books.reserve(accounts);
        self.digests.reserve(accounts);
    }

    /// Puts a whole book in place of what is there: how a store returns to what it has kept.
    pub fn put_book(&mut self, book: Book) {
        let id = book.account.id.clone();
        self.remove_book(&id);
        for key in book.keys.values() {
            self.digests.insert(key.digest, (id.clone(), key.id.clone()));
        }
        for hold in book.holds.values() {
            note_claim(&mut self.claims, hold);
        }
        self.books.insert(id, book);
    }

    /// Takes a book out: the store has none for this account, or wants to move it.
    pub fn remove_book(&mut self, account: &AccountId) -> Option<Book> {
        let book = self.books.remove(account)?;
        for key in book.keys.values() {
            self.digests.remove(&key.digest);
        }
        for hold in book.holds.values() {
            drop_claim(&mut self.claims, hold);
        }
        Some(book)
    }

    /// The book of an account.
    pub fn book(&self, account: &AccountId) -> Option<&Book> {
        self.books.get(account)
    }

    /// All books, in no order.
    pub fn books(&self) -> impl Iterator<Item = &Book> {
        self.books.values()
    }

    /// Whom a key identifies.
    pub fn identify(&self, digest: &KeyDigest) -> Option<Identity> {
        let (account, key) = self.digests.get(digest)?;
        let book = self.books.get(account)?;
        book.identity(key)
    }

    /// Open holds that ran out before `now`, at most `limit`.
    pub fn expired_holds(&self, now: Timestamp, limit: usize) -> Vec<(AccountId, HoldId)> {
        let ran_out = |hold: &&Hold| hold.state == HoldState::Open && hold.expires_at <= now;
        let holds = self
            .books
            .values()
            .filter(|b| b.account.gauge.open > 0)
            .flat_map(|b| b.holds.values());
        holds
            .filter(ran_out)
            .take(limit)
            .map(|hold| (hold.account.clone(), hold.id))
            .collect()
    }

    /// Forgets one ended hold; an open one is left. For stores that know which it is the turn of.
    pub fn forget_hold(&mut self, account: &AccountId, hold: HoldId) {
        let Some(book) = self.books.get_mut(account) else {
            return;
        };
        if let Some(ended) = book.holds.get(&hold).filter(|h| h.state != HoldState::Open) {
            drop_claim(&mut self.claims, ended);
            book.holds.remove(&hold);
        }
    }

    /// Forgets ended holds whose id need not be remembered any more; returns them.
    pub fn forget(&mut self, now: Timestamp) -> Vec<(AccountId, HoldId)> {
        let mut forgotten = Vec::new();
        for book in self.books.values_mut() {
            book.holds.retain(|id, hold| {
                let keep = hold.state == HoldState::Open || now.since(hold.expires_at) <= HOLDS_REMEMBERED;
                if !keep {
                    drop_claim(&mut self.claims, hold);
                    forgotten.push((hold.account.clone(), *id));
                }
                keep
            });
        }
        forgotten
    }
}

/// A hold is there: its claim is the last one under its key, unless another was opened after it.
fn note_claim(claims: &mut HashMap<(AccountId, ClaimKey), (HoldId, u64)>, hold: &Hold) {
    let Some(claim) = &hold.claim else { return };
    let holder = claims
        .entry((hold.account.clone(), claim.key))
        .or_insert((hold.id, hold.number));
    if holder.1 < hold.number {
        *holder = (hold.id, hold.number);
    }
}

/// A hold goes.
fn drop_claim(claims: &mut HashMap<(AccountId, ClaimKey), (HoldId, u64)>, hold: &Hold) {
    let Some(claim) = &hold.claim else { return };
    let key = (hold.account.clone(), claim.key);
    if claims.get(&key).is_some_and(|(id, _)| *id == hold.id) {
        claims.remove(&key);
    }
}

impl Book {
    /// The book of a new account.
    pub fn new(account: Account) -> Book {
        Book {
            account,
            grants: Shelf::new(),
            keys: Shelf::new(),
            holds: Shelf::new(),
            commands: Shelf::new(),
        }
    }

    /// What one of its keys identifies.
    pub fn identity(&self, key: &KeyId) -> Option<Identity> {
        let key = self.keys.get(key)?;
        let settings: &Arc<_> = &self.account.settings;
        Some(Identity {
            account: self.account.id.clone(),
            key: key.id.clone(),
            key_expires_at: key.expires_at,
            key_revoked_at: key.revoked_at,
            key_limits: key.limits,
            plan: settings.plan.clone(),
            reasons: settings.reasons.iter().cloned().collect(),
            limits: settings.limits,
            version: self.account.version,
        })
    }

    /// The account and its grants as they stand at `now`, with what is due applied and spending dealt out: a statement. Changes nothing.
    pub fn statement(&self, now: Timestamp) -> (Account, Vec<Grant>) {
        let mut draft = Draft::new(self, 0, now);
        due::apply(&mut draft);
        // Entries that are only drafted are not in the journal.
        draft.account.entries = self.account.entries;
        draft.account.last_entry = self.account.last_entry;
        draft.statement()
    }
}
