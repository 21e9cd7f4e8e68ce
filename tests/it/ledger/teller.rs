//! One account of a ledger, and short words for what is done with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faregate::domain::account::{Account, Balance};
use faregate::domain::claim::{Claim, ClaimKey};
use faregate::domain::command::{
    AccountChange, Admit, Capture, Command, Extend, NewKey, Outcome, Receipt, Release, Renew,
};
use faregate::domain::credits::Credits;
use faregate::domain::engine::invariants;
use faregate::domain::entry::{Detail, Entry};
use faregate::domain::grant::{Category, Grant, GrantFacts};
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, GrantId, HoldId, KeyDigest, KeyId};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::detail::Note;
use faregate::ledger::{Ledger, Statement};

use super::fixture::TestClock;
use super::moves::{digest, hold_id, key_id};

/// How long a teller's holds live unless renewed.
pub(crate) const TTL: Span = Span::from_secs(60);

/// An account with a key, at a ledger.
#[derive(Clone)]
pub(crate) struct Teller<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) clock: &'a dyn TestClock,
    pub(crate) account: AccountId,
    opened: Arc<AtomicU64>,
}

impl<'a> Teller<'a> {
    /// Speaks for an account, which need not be there.
    pub(crate) fn of(ledger: &'a dyn Ledger, clock: &'a dyn TestClock, account: &str) -> Teller<'a> {
        Teller {
            ledger,
            clock,
            account: AccountId::new(account).unwrap(),
            opened: Arc::default(),
        }
    }

    /// Opens an account with one key that has no caps.
    pub(crate) async fn open(ledger: &'a dyn Ledger, clock: &'a dyn TestClock, account: &str) -> Teller<'a> {
        let teller = Teller::of(ledger, clock, account);
        teller.create().await;
        teller.put_key(0, Limits::NONE, Timestamp::NEVER).await;
        teller
    }

    pub(crate) async fn create(&self) {
        self.set(AccountChange::Create(None)).await.receipt().unwrap();
    }

    /// Gives a command to the ledger; no answer is a failure of the test.
    pub(crate) async fn execute(&self, command: &Command) -> Outcome {
        let answer = self.ledger.execute(command).await;
        answer.unwrap_or_else(|e| panic!("no answer to {command:?}: {e}"))
    }

    pub(crate) async fn set(&self, change: AccountChange) -> Outcome {
        let (account, detail) = (self.account.clone(), Detail::none());
        self.execute(&Command::SetAccount {
            expected: None,
            account,
            change,
            detail,
        })
        .await
    }

    /// Makes the account's `n`th key.
    pub(crate) async fn put_key(&self, n: u8, limits: Limits, expires_at: Timestamp) -> Outcome {
        self.execute(&self.key_command(n, limits, expires_at)).await
    }

    pub(crate) fn key_command(&self, n: u8, limits: Limits, expires_at: Timestamp) -> Command {
        Command::PutKey {
            account: self.account.clone(),
            key: NewKey {
                id: key_id(n),
                digest: digest(&self.account, n),
                name: None,
                expires_at,
                limits,
            },
            detail: Detail::none(),
        }
    }

    pub(crate) async fn revoke(&self, n: u8) -> Outcome {
        let (account, key, detail) = (self.account.clone(), key_id(n), Detail::none());
        self.execute(&Command::RevokeKey { account, key, detail }).await
    }

    pub(crate) fn digest(&self, n: u8) -> KeyDigest {
        digest(&self.account, n)
    }

    /// Who a key is now, with the caps that count and no credit line; panics when it is not known.
    pub(crate) async fn caller(&self, n: u8) -> Arc<Caller> {
        let identity = self.ledger.identify(&digest(&self.account, n)).await.unwrap();
        let identity = identity.expect("a key that is known");
        Arc::new(Caller {
            account: identity.account,
            key: identity.key,
            key_expires_at: identity.key_expires_at,
            key_limits: identity.key_limits,
            limits: identity.limits,
            credit_line: Credits::ZERO,
            version: identity.version,
        })
    }

    /// A hold's id that was not there before, as of now.
    pub(crate) fn new_hold(&self) -> HoldId {
        let n = self.opened.fetch_add(1, Ordering::Relaxed);
        hold_id(&self.account, n, self.clock.now())
    }

    /// The command that opens a hold of just this amount.
    pub(crate) async fn admit_command(&self, amount: Credits) -> Admit {
        Admit {
            hold: self.new_hold(),
            caller: self.caller(0).await,
            least: amount,
            most: amount,
            tokens: 0,
            ttl: TTL,
            claim: None,
            detail: Detail::none(),
        }
    }

    /// Asks for a hold of just this amount.
    pub(crate) async fn try_hold(&self, amount: Credits) -> (HoldId, Outcome) {
        let admit = self.admit_command(amount).await;
        (admit.hold, self.execute(&Command::Admit(admit)).await)
    }

    /// Asks for a hold of just this amount under an idempotency key.
    pub(crate) async fn claim(&self, key: u8, amount: Credits) -> (HoldId, Outcome) {
        let claim = Claim {
            key: ClaimKey([key; 16]),
            content: 1,
        };
        let admit = Admit {
            claim: Some(claim),
            ..self.admit_command(amount).await
        };
        (admit.hold, self.execute(&Command::Admit(admit)).await)
    }

    /// Opens a hold that must be granted.
    pub(crate) async fn hold(&self, amount: Credits) -> HoldId {
        let (hold, outcome) = self.try_hold(amount).await;
        applied(&outcome);
        hold
    }

    pub(crate) async fn extend(&self, hold: HoldId, number: u64, amount: Credits) -> Outcome {
        self.execute(&Command::Extend(Extend {
            hold,
            caller: self.caller(0).await,
            number,
            least: amount,
            most: amount,
            ttl: TTL,
        }))
        .await
    }

    pub(crate) async fn renew(&self, hold: HoldId) -> Outcome {
        let (account, ttl) = (self.account.clone(), TTL);
        self.execute(&Command::Renew(Renew { hold, account, ttl })).await
    }

    pub(crate) fn capture_command(&self, hold: HoldId, used: Credits, caller: Arc<Caller>) -> Command {
        let detail = Detail::none();
        Command::Capture(Capture {
            hold,
            caller,
            used,
            detail,
        })
    }

    /// A caller that only ends holds: nothing of it is looked at but account and credit line.
    pub(crate) fn anyone(&self) -> Arc<Caller> {
        Arc::new(Caller {
            account: self.account.clone(),
            key: key_id(0),
            key_expires_at: Timestamp::NEVER,
            key_limits: Limits::NONE,
            limits: Limits::NONE,
            credit_line: Credits::ZERO,
            version: 0,
        })
    }

    pub(crate) async fn capture(&self, hold: HoldId, used: Credits) -> Outcome {
        self.execute(&self.capture_command(hold, used, self.anyone()))
            .await
    }

    pub(crate) fn release_command(&self, hold: HoldId) -> Command {
        let (caller, detail) = (self.anyone(), Detail::none());
        Command::Release(Release { hold, caller, detail })
    }

    pub(crate) async fn release(&self, hold: HoldId) -> Outcome {
        self.execute(&self.release_command(hold)).await
    }

    pub(crate) async fn expire(&self, hold: HoldId, on_expiry: OnExpiry) -> Outcome {
        let account = self.account.clone();
        self.execute(&Command::ExpireHold {
            account,
            hold,
            on_expiry,
        })
        .await
    }

    pub(crate) fn adjust_command(&self, id: &str, amount: Credits) -> Command {
        Command::Adjust {
            from: None,
            id: id.parse().unwrap(),
            account: self.account.clone(),
            amount,
            detail: Detail::none(),
        }
    }

    /// Takes so much, from this grant first.
    pub(crate) fn take_command(&self, id: &str, amount: Credits, from: &str) -> Command {
        let from = GrantId::new(from).unwrap();
        Command::Adjust {
            id: id.parse().unwrap(),
            account: self.account.clone(),
            amount: amount.negated(),
            detail: Note::by("stripe", "webhook").from(&from).detail(),
            from: Some(from),
        }
    }

    pub(crate) async fn adjust(&self, id: &str, amount: Credits) -> Outcome {
        self.execute(&self.adjust_command(id, amount)).await
    }

    /// The facts of a paid grant that is effective now and never expires.
    pub(crate) fn facts(&self, id: &str, amount: Credits) -> GrantFacts {
        let now = self.clock.now();
        GrantFacts {
            id: GrantId::new(id).unwrap(),
            amount,
            priority: 50,
            category: Category::Paid,
            effective_at: now,
            expires_at: Timestamp::NEVER,
            created_at: now,
            updated_at: now,
            voided_at: None,
            note: None,
        }
    }

    pub(crate) fn put_command(&self, facts: GrantFacts) -> Command {
        let (account, detail) = (self.account.clone(), Detail::none());
        Command::PutGrant {
            account,
            facts,
            detail,
        }
    }

    pub(crate) async fn put(&self, facts: GrantFacts) -> Outcome {
        self.execute(&self.put_command(facts)).await
    }

    /// Gives a paid grant that never expires.
    pub(crate) async fn grant(&self, id: &str, amount: Credits) {
        applied(&self.put(self.facts(id, amount)).await);
    }

    pub(crate) async fn apply_due(&self) {
        let account = self.account.clone();
        self.execute(&Command::ApplyDue { account }).await;
    }

    pub(crate) async fn statement(&self) -> Statement {
        let statement = self.ledger.statement(&self.account).await.unwrap();
        statement.expect("an account that is there")
    }

    pub(crate) async fn balance(&self) -> Balance {
        self.statement().await.account.balance()
    }

    pub(crate) async fn available(&self) -> Credits {
        self.balance().await.available()
    }

    pub(crate) async fn grant_now(&self, id: &str) -> Grant {
        let grants = self.statement().await.grants;
        let found = grants.into_iter().find(|g| g.facts.id.as_str() == id);
        found.unwrap_or_else(|| panic!("no grant {id}"))
    }

    pub(crate) async fn hold_now(&self, hold: HoldId) -> Option<Hold> {
        self.ledger.hold(&self.account, hold).await.unwrap()
    }

    /// All the account's entries, oldest first, read in pages of this many.
    pub(crate) async fn entries_by(&self, limit: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.ledger.entries(&self.account, cursor.as_deref(), limit).await;
            let page = page.unwrap();
            assert!(page.items.len() <= limit);
            entries.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        entries.reverse();
        entries
    }

    pub(crate) async fn entries(&self) -> Vec<Entry> {
        self.entries_by(100).await
    }

    /// What must hold at any time: the journal gives the balance, line by line; and the ledger's own proof agrees.
    pub(crate) async fn prove(&self) {
        self.apply_due().await;
        let (entries, account) = (self.entries().await, self.statement().await.account);
        let found = invariants::check_journal(account.balance(), entries.iter());
        assert_eq!(found, [], "the journal of {}: {entries:#?}", self.account);
        assert_eq!(account.entries, entries.len() as u64);
        let report = self.ledger.verify().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
    }

    /// Everything that can be seen of the account. Two equal ones: nothing happened in between.
    pub(crate) async fn picture(&self) -> Picture {
        let statement = self.statement().await;
        Picture {
            account: statement.account,
            grants: statement.grants,
            keys: self.ledger.keys(&self.account).await.unwrap(),
            entries: self.entries().await,
        }
    }
}

/// What can be seen of an account.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Picture {
    pub(crate) account: Account,
    pub(crate) grants: Vec<Grant>,
    pub(crate) keys: Vec<faregate::domain::key::Key>,
    pub(crate) entries: Vec<Entry>,
}

/// The receipt of something that was done just now.
#[track_caller]
pub(crate) fn applied(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Applied(receipt) => *receipt,
        other => panic!("not applied: {other:?}"),
    }
}

/// The receipt of something that had been done before.
#[track_caller]
pub(crate) fn replayed(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Replayed(receipt) => *receipt,
        other => panic!("not replayed: {other:?}"),
    }
}

/// Why it was refused.
#[track_caller]
pub(crate) fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// A key's name, for comparing.
pub(crate) fn key(n: u8) -> KeyId {
    key_id(n)
}
