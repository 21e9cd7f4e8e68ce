mod disk;
mod layouts;
mod memos;
mod proofs;
mod serving;
mod speed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{EmbeddedLedger, FILE, Options};
use crate::clock::{Clock, ManualClock};
use crate::domain::command::{
    AccountChange, Admit, Capture, Command, Extend, NewKey, Outcome, Release, Renew,
};
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::hold::OnExpiry;
use crate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyDigest, KeyId, Reason};
use crate::domain::key::Caller;
use crate::domain::limits::Limits;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::Ledger;
use crate::ledger::detail::Note;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "fg-embedded.{}.{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    fn file(&self) -> PathBuf {
        self.ledger().join(FILE)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

/// A ledger, its folder, and the clock it goes by.
struct Fixture {
    folder: Folder,
    clock: Arc<ManualClock>,
    ledger: Option<EmbeddedLedger>,
    holds: u64,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = Folder::new();
        let clock = Arc::new(ManualClock::new(start()));
        let ledger = open(&folder.ledger(), &clock).unwrap();
        Fixture {
            folder,
            clock,
            ledger: Some(ledger),
            holds: 0,
        }
    }

    fn ledger(&self) -> &EmbeddedLedger {
        self.ledger.as_ref().unwrap()
    }

    fn close(&mut self) {
        self.ledger = None;
    }

    fn reopen(&mut self) {
        self.close();
        self.ledger = Some(open(&self.folder.ledger(), &self.clock).unwrap());
    }

    /// What the file outlives: a restart, a rebuild, a backup that is restored elsewhere; then nothing more.
    async fn outlive(&mut self, round: usize) {
        match round {
            0 => self.reopen(),
            1 => {
                let report = self.ledger().rebuild().await.unwrap();
                assert_eq!(report.differences, Vec::<String>::new());
            }
            2 => {
                let copy = self.folder.0.join("copy.db");
                self.ledger().backup(&copy).await.unwrap();
                self.close();
                let _old = std::mem::replace(&mut self.folder, Folder::new());
                super::restore(&copy, &self.folder.ledger()).unwrap();
                self.reopen();
            }
            _ => {}
        }
    }

    async fn run(&self, command: Command) -> Outcome {
        self.ledger().execute(&command).await.unwrap()
    }

    async fn applied(&self, command: Command) {
        let outcome = self.run(command.clone()).await;
        assert!(matches!(outcome, Outcome::Applied(_)), "{command:?}: {outcome:?}");
    }

    /// An account with a grant of `amount` and a key.
    async fn account(&self, name: &str, amount: &str) -> AccountId {
        let id = AccountId::new(name).unwrap();
        self.applied(create(&id)).await;
        self.applied(grant(&id, "g1", amount, Timestamp::NEVER)).await;
        self.applied(key(&id, "key_1", Limits::NONE)).await;
        id
    }

    fn hold_id(&mut self) -> HoldId {
        self.holds += 1;
        hold_id(self.clock.now(), self.holds)
    }

    async fn caller(&self, account: &AccountId) -> Arc<Caller> {
        let statement = self.ledger().statement(account).await.unwrap().unwrap();
        caller(account, statement.account.version)
    }

    async fn admit(&mut self, account: &AccountId, amount: &str) -> HoldId {
        let hold = self.hold_id();
        let caller = self.caller(account).await;
        self.applied(admit(hold, &caller, credits(amount))).await;
        hold
    }

    async fn assert_clean(&self) {
        let report = self.ledger().verify().await.unwrap();
        assert_eq!(report.differences, Vec::<String>::new());
    }
}

fn open(folder: &Path, clock: &Arc<ManualClock>) -> Result<EmbeddedLedger, crate::ledger::LedgerError> {
    EmbeddedLedger::open(Options::new(folder), clock.clone())
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn hold_id(now: Timestamp, number: u64) -> HoldId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    HoldId::new(now.millis(), random)
}

fn caller(account: &AccountId, version: u64) -> Arc<Caller> {
    Arc::new(Caller {
        account: account.clone(),
        key: KeyId::new("key_1").unwrap(),
        key_expires_at: Timestamp::NEVER,
        key_limits: Limits::NONE,
        limits: Limits::NONE,
        credit_line: Credits::ZERO,
        version,
    })
}

fn create(account: &AccountId) -> Command {
    let change = AccountChange::Create(None);
    Command::SetAccount {
        expected: None,
        account: account.clone(),
        detail: Note::by("test", "admin").change(&change).detail(),
        change,
    }
}

fn grant(account: &AccountId, id: &str, amount: &str, expires_at: Timestamp) -> Command {
    let facts = GrantFacts {
        id: GrantId::new(id).unwrap(),
        amount: credits(amount),
        priority: 50,
        category: Category::Paid,
        effective_at: Timestamp::ZERO,
        expires_at,
        created_at: start(),
        updated_at: start(),
        voided_at: None,
        note: Some("a \"note\" with\na line".into()),
    };
    put(account, facts)
}

fn put(account: &AccountId, facts: GrantFacts) -> Command {
    Command::PutGrant {
        account: account.clone(),
        detail: Note::by("test", "admin").grant(&facts).detail(),
        facts,
    }
}

fn key(account: &AccountId, id: &str, limits: Limits) -> Command {
    let mut digest = [0; 32];
    for (at, byte) in account.as_str().bytes().chain(id.bytes()).enumerate() {
        digest[at % 32] = u8::wrapping_mul(digest[at % 32], 31).wrapping_add(byte);
    }
    let key = NewKey {
        id: KeyId::new(id).unwrap(),
        digest: KeyDigest(digest),
        name: Some("laptop".into()),
        expires_at: Timestamp::NEVER,
        limits,
    };
    Command::PutKey {
        account: account.clone(),
        detail: Note::by("test", "admin").new_key(&key).detail(),
        key,
    }
}

fn admit(hold: HoldId, caller: &Arc<Caller>, amount: Credits) -> Command {
    Command::Admit(Admit {
        hold,
        caller: caller.clone(),
        least: amount,
        most: amount,
        tokens: 0,
        ttl: Span::from_secs(60),
        claim: None,
        detail: Note::by("proxy", "request").key(&caller.key).detail(),
    })
}

fn capture(hold: HoldId, caller: &Arc<Caller>, used: Credits) -> Command {
    Command::Capture(Capture {
        hold,
        caller: caller.clone(),
        used,
        detail: Detail::none(),
    })
}

fn release(hold: HoldId, caller: &Arc<Caller>) -> Command {
    Command::Release(Release {
        hold,
        caller: caller.clone(),
        detail: Detail::none(),
    })
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn micros(&mut self, below: u64) -> Credits {
        Credits::from_micros(i64::try_from(self.roll(below)).unwrap()).unwrap()
    }
}

/// Does `steps` things that may happen to a few accounts, in no sensible order; refusals included.
async fn live(fixture: &mut Fixture, dice: &mut Dice, steps: usize) {
    let accounts: Vec<AccountId> = ["acme", "acme/research", "b@c.d"]
        .iter()
        .map(|name| AccountId::new(name).unwrap())
        .collect();
    for account in &accounts {
        fixture.run(create(account)).await;
        fixture.run(key(account, "key_1", Limits::NONE)).await;
    }
    let mut holds: Vec<(HoldId, Arc<Caller>)> = Vec::new();
    for step in 0..steps {
        let account = &accounts[usize::try_from(dice.roll(3)).unwrap()];
        fixture
            .clock
            .advance(Span::from_micros(i64::try_from(dice.roll(3_000_000)).unwrap()));
        let caller = {
            let mut caller = (*fixture.caller(account).await).clone();
            if dice.roll(4) == 0 {
                caller.credit_line = credits("0.5");
            }
            Arc::new(caller)
        };
        let some = usize::try_from(dice.roll(holds.len().max(1) as u64)).unwrap();
        let (hold, opener) = holds
            .get(some)
            .cloned()
            .unwrap_or((fixture.hold_id(), caller.clone()));
        let command = match dice.roll(20) {
            0 => {
                let now = fixture.clock.now();
                let facts = GrantFacts {
                    id: GrantId::new(&format!("g{}", dice.roll(30))).unwrap(),
                    amount: credits("3"),
                    priority: u8::try_from(dice.roll(3)).unwrap(),
                    category: Category::Promotional,
                    effective_at: now.plus(Span::from_secs(i64::try_from(dice.roll(30)).unwrap())),
                    expires_at: now.plus(Span::from_secs(i64::try_from(dice.roll(300)).unwrap())),
                    created_at: now,
                    updated_at: now,
                    voided_at: (dice.roll(6) == 0).then_some(now),
                    note: None,
                };
                put(account, facts)
            }
            1 => Command::Adjust {
                from: None,
                id: CommandId::new(&format!("adj{step}")).unwrap(),
                account: account.clone(),
                amount: dice.micros(4_000_000).checked_sub(credits("1")).unwrap(),
                detail: Note::by("test", "admin").detail(),
            },
            2 => {
                let reason = Reason::new("manual").unwrap();
                let change = if dice.roll(2) == 0 {
                    AccountChange::Pause(reason)
                } else {
                    AccountChange::Resume(reason)
                };
                Command::SetAccount {
                    expected: None,
                    account: account.clone(),
                    detail: Note::by("test", "admin").change(&change).detail(),
                    change,
                }
            }
            3 => Command::ApplyDue {
                account: account.clone(),
            },
            4 => Command::Renew(Renew {
                hold,
                account: opener.account.clone(),
                ttl: Span::from_secs(60),
            }),
            5 => Command::Extend(Extend {
                hold,
                caller: Arc::new(Caller {
                    version: fixture.caller(&opener.account).await.version,
                    ..(*opener).clone()
                }),
                number: 1 + dice.roll(2),
                least: credits("0.01"),
                most: credits("0.1"),
                ttl: Span::from_secs(60),
            }),
            6 => {
                let limits = Limits {
                    concurrent: Some(5),
                    ..Limits::NONE
                };
                key(account, &format!("key_{}", dice.roll(4)), limits)
            }
            7..=10 => capture(hold, &opener, dice.micros(700_000)),
            11 => release(hold, &opener),
            12 => {
                let on_expiry = if dice.roll(2) == 0 {
                    OnExpiry::Release
                } else {
                    OnExpiry::Capture
                };
                fixture.ledger().sweep(on_expiry).await.unwrap();
                continue;
            }
            _ => {
                let hold = fixture.hold_id();
                holds.push((hold, caller.clone()));
                let amount = dice.micros(600_000);
                admit(hold, &caller, amount)
            }
        };
        fixture.run(command).await;
    }
}
