//! Random histories of one account: what may happen next (`Move`, drawn by proptest, shrinks well) and the account it happens to (`World`), which
//! turns a move into a command by looking at what is there.

use std::sync::Arc;

use faregate::domain::claim::{Claim, ClaimKey};
use faregate::domain::command::{
    AccountChange, Admit, Capture, Command, Extend, NewKey, Outcome, Release, Renew,
};
use faregate::domain::credits::Credits;
use faregate::domain::engine::{Book, Change, State, Step};
use faregate::domain::entry::{Detail, Entry};
use faregate::domain::grant::{Category, GrantFacts, GrantState};
use faregate::domain::hold::{Hold, HoldState, OnExpiry};
use faregate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyDigest, KeyId, PlanId, Reason};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::detail::Note;
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};

/// The deepest credit line that a move's caller has.
pub(crate) const LINE_MAX: i64 = 40;

/// When histories begin: 2027-01-31 23:50 UTC, so that a day and a month soon end.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_801_439_400_000_000);

/// Something that may happen next. Amounts are micro-credits and small, so that ends and edges are met often.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// Time goes by.
    Wait(Span),
    /// A grant is told of, anew or again.
    Grant(GrantMove),
    /// A hold is opened.
    Admit(AdmitMove),
    /// A hold, which, by how much, by which number, gets more.
    Extend(Index, i64, i64, Number),
    /// A hold is renewed for so many seconds.
    Renew(Index, i64),
    /// A hold is charged.
    Capture(Index, Used),
    /// A hold is released.
    Release(Index),
    /// A hold ends by itself, if it is time.
    Expire(Index, OnExpiry),
    /// Credits are given or taken, under one of a few ids; where they are taken perhaps from one of the grants, or from one that is not there.
    Adjust(u8, i64, Option<Index>),
    /// Settings change, by who knows the account's version, does not ask for it, or is wrong about it.
    Settings(SettingsMove, Expected),
    /// One of a few keys is made, with or without caps of its own.
    PutKey(u8, u8),
    /// A key is revoked.
    RevokeKey(u8),
    /// What is due is applied.
    ApplyDue,
    /// An earlier command comes again.
    Again(Index),
}

/// What is told of a grant: a new one, or one that is there (then mostly with its amount), and how it looks.
#[derive(Clone, Debug)]
pub(crate) struct GrantMove {
    pub(crate) known: Option<Index>,
    pub(crate) amount: i64,
    pub(crate) conflict: bool,
    pub(crate) priority: u8,
    pub(crate) paid: bool,
    pub(crate) starts: i64,
    pub(crate) ends: Option<i64>,
    pub(crate) newer: bool,
    pub(crate) void: bool,
}

/// How a hold is opened.
#[derive(Clone, Debug)]
pub(crate) struct AdmitMove {
    pub(crate) key: u8,
    pub(crate) least: i64,
    pub(crate) more: i64,
    pub(crate) tokens: u64,
    pub(crate) ttl: i64,
    pub(crate) line: i64,
    /// Under one of a few idempotency keys, for one of two things.
    pub(crate) claim: Option<(u8, u64)>,
    pub(crate) stale: bool,
}

/// Which number an extension bears.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Next,
    Last,
    Wrong,
}

/// How much is charged, against what was held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Used {
    Nothing,
    Less,
    All,
    More(i64),
    TooMuch,
}

/// Which version an account is expected to have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Any,
    This,
    Other,
}

/// Which setting changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SettingsMove {
    Create,
    Pause(u8),
    Resume(u8),
    Plan(u8),
    Limits(u8),
}

/// So many cases, unless `PROPTEST_CASES` says otherwise.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = usual;
    }
    config
}

/// A history of up to so many moves; one in five goes to the ends of the ranges.
pub(crate) fn any_history(longest: usize) -> impl Strategy<Value = Vec<Move>> {
    prop_oneof![
        4 => prop::collection::vec(any_move(false), 1..longest),
        1 => prop::collection::vec(any_move(true), 1..longest),
    ]
}

/// Any move; with `extremes`, amounts at the ends of their ranges too.
pub(crate) fn any_move(extremes: bool) -> impl Strategy<Value = Move> {
    let index = any::<Index>;
    prop_oneof![
        6 => wait().prop_map(Move::Wait),
        6 => grant(extremes).prop_map(Move::Grant),
        9 => admit(extremes).prop_map(Move::Admit),
        3 => (index(), 0i64..30, 0i64..40, number()).prop_map(|(h, l, m, n)| Move::Extend(h, l, m, n)),
        1 => (index(), 0i64..120).prop_map(|(h, ttl)| Move::Renew(h, ttl)),
        5 => (index(), used(extremes)).prop_map(|(h, used)| Move::Capture(h, used)),
        2 => index().prop_map(Move::Release),
        3 => (index(), on_expiry()).prop_map(|(h, o)| Move::Expire(h, o)),
        2 => (0u8..12, amount(extremes), Just(None)).prop_map(|(id, amount, from)| Move::Adjust(id, amount, from)),
        1 => (12u8..40, prop_oneof![12 => -20i64..0, 1 => amount(extremes)], index())
            .prop_map(|(id, amount, from)| Move::Adjust(id, amount, Some(from))),
        1 => (settings(), expected()).prop_map(|(change, expected)| Move::Settings(change, expected)),
        1 => (0u8..3, 0u8..4).prop_map(|(key, limits)| Move::PutKey(key, limits)),
        1 => (0u8..12).prop_map(Move::RevokeKey),
        1 => Just(Move::ApplyDue),
        2 => index().prop_map(Move::Again),
    ]
}

fn wait() -> impl Strategy<Value = Span> {
    prop_oneof![
        4 => Just(1i64),
        16 => (1i64..12).prop_map(|s| s * 1_000_000),
        4 => (10i64..100).prop_map(|s| s * 1_000_000),
        1 => Just(3_600_000_000),
        1 => Just(86_400_000_000),
    ]
    .prop_map(Span::from_micros)
}

fn amount(extremes: bool) -> impl Strategy<Value = i64> {
    let max = Credits::MAX.micros();
    prop_oneof![
        20 => 1i64..100,
        2 => -40i64..0,
        1 => Just(0),
        4 * u32::from(extremes) => prop::sample::select(vec![max, -max, max - 50, 50 - max, max / 2]),
    ]
}

fn grant(extremes: bool) -> impl Strategy<Value = GrantMove> {
    let seconds = || prop_oneof![1 => Just(-3_600i64), 6 => -3i64..40, 1 => Just(3_600), 1 => Just(90_000)];
    let look = (
        prop_oneof![25 => 0u8..4, 1 => Just(101)],
        any::<bool>(),
        prop_oneof![3 => Just(-1i64), 1 => seconds()],
        prop_oneof![1 => Just(None), 4 => seconds().prop_map(Some)],
    );
    (
        prop::option::weighted(0.4, any::<Index>()),
        prop_oneof![9 => 1i64..80, 1 => amount(extremes)],
        prop::bool::weighted(0.05),
        look,
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(known, amount, conflict, (priority, paid, starts, ends), newer, void)| GrantMove {
                known,
                conflict,
                amount,
                priority,
                paid,
                starts,
                ends,
                newer,
                void,
            },
        )
}

fn admit(extremes: bool) -> impl Strategy<Value = AdmitMove> {
    let most = Credits::MAX.micros() - 100;
    (
        0u8..4,
        0i64..25,
        prop_oneof![8 => 0i64..20, 1 => Just(0), 1 => Just(60), u32::from(extremes) => Just(most)],
        prop_oneof![Just(0u64), 1u64..50],
        prop_oneof![Just(0i64), 1i64..60, Just(3_600)],
        prop_oneof![6 => Just(0i64), 1 => Just(LINE_MAX)],
        prop::option::weighted(0.2, (0u8..6, prop_oneof![6 => Just(1u64), 1 => Just(2)])),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(key, least, more, tokens, ttl, line, claim, stale)| AdmitMove {
            key,
            least,
            more,
            tokens,
            ttl,
            line,
            claim,
            stale,
        })
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![6 => Just(Number::Next), 1 => Just(Number::Last), 1 => Just(Number::Wrong)]
}

fn used(extremes: bool) -> impl Strategy<Value = Used> {
    prop_oneof![
        1 => Just(Used::Nothing),
        4 => Just(Used::Less),
        3 => Just(Used::All),
        2 => (1i64..30).prop_map(Used::More),
        u32::from(extremes) => Just(Used::TooMuch),
    ]
}

fn on_expiry() -> impl Strategy<Value = OnExpiry> {
    prop_oneof![Just(OnExpiry::Release), Just(OnExpiry::Capture)]
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![2 => Just(Expected::Any), 2 => Just(Expected::This), 1 => Just(Expected::Other)]
}

fn settings() -> impl Strategy<Value = SettingsMove> {
    prop_oneof![
        Just(SettingsMove::Create),
        (0u8..3).prop_map(SettingsMove::Pause),
        (0u8..3).prop_map(SettingsMove::Resume),
        (0u8..3).prop_map(SettingsMove::Plan),
        (0u8..4).prop_map(SettingsMove::Limits),
    ]
}

/// Some sets of caps; 0 is none.
pub(crate) fn limits(choice: u8) -> Limits {
    match choice {
        0 => Limits::NONE,
        1 => Limits {
            requests_per_minute: Some(6),
            concurrent: Some(3),
            ..Limits::NONE
        },
        2 => Limits {
            tokens_per_minute: Some(60),
            spend_per_day: Some(micros(70)),
            ..Limits::NONE
        },
        _ => Limits {
            concurrent: Some(5),
            spend_per_day: Some(micros(60)),
            spend_per_month: Some(micros(150)),
            ..Limits::NONE
        },
    }
}

/// So many micro-credits.
pub(crate) fn micros(micros: i64) -> Credits {
    Credits::from_micros(micros).unwrap()
}

/// One account and its history so far, kept by the engine alone.
pub(crate) struct World {
    pub(crate) account: AccountId,
    pub(crate) state: State,
    pub(crate) now: Timestamp,
    pub(crate) entries: Vec<Entry>,
    /// What was done, and the answer it got.
    pub(crate) history: Vec<(Command, Outcome)>,
    began: Timestamp,
    opened: u64,
    told: i64,
}

impl World {
    /// A new account with three keys, the second and third with caps of their own.
    pub(crate) fn new(account: &str, now: Timestamp) -> World {
        let account = AccountId::new(account).unwrap();
        let mut world = World {
            account: account.clone(),
            state: State::default(),
            now,
            entries: Vec::new(),
            history: Vec::new(),
            began: now,
            opened: 0,
            told: 0,
        };
        for command in world.opening() {
            world.execute(&command);
        }
        world
    }

    /// What makes the account, before the history begins.
    pub(crate) fn opening(&self) -> Vec<Command> {
        let mut commands = vec![self.set(AccountChange::Create(None), None)];
        commands.extend((0..3).map(|key| self.put_key(key, key)));
        commands
    }

    /// Does a command now, and returns what it did.
    pub(crate) fn execute(&mut self, command: &Command) -> Step {
        let step = self.state.step(command, self.now);
        self.state.commit(&step);
        for change in &step.changes {
            if let Change::Entry(entry) = change {
                self.entries.push(entry.clone());
            }
        }
        self.history.push((command.clone(), step.outcome.clone()));
        step
    }

    /// The account's book.
    pub(crate) fn book(&self) -> &Book {
        self.state.book(&self.account).unwrap()
    }

    /// The command that a move comes to, here and now; `None` when there is nothing it could be about, and for waiting, which is done at once.
    pub(crate) fn command(&mut self, next: &Move) -> Option<Command> {
        let account = self.account.clone();
        Some(match next {
            Move::Wait(span) => {
                self.now = self.now.plus(*span);
                return None;
            }
            Move::Grant(grant) => self.put_grant(grant),
            Move::Admit(admit) => self.admit(admit)?,
            Move::Extend(which, least, more, number) => {
                let hold = &self.book().holds[&self.hold(which)?];
                let number = match number {
                    Number::Next => hold.extensions + 1,
                    Number::Last => hold.extensions,
                    Number::Wrong => hold.extensions + 2,
                };
                Command::Extend(Extend {
                    hold: hold.id,
                    caller: self.caller(&hold.key, line_of(hold), false)?,
                    number,
                    least: micros(*least),
                    most: micros(least + more),
                    ttl: Span::from_secs(30),
                })
            }
            Move::Renew(which, ttl) => Command::Renew(Renew {
                hold: self.hold(which)?,
                account,
                ttl: Span::from_secs(*ttl),
            }),
            Move::Capture(which, used) => {
                let hold = &self.book().holds[&self.hold(which)?];
                let amount = hold.amount.micros();
                let used = match used {
                    Used::Nothing => 0,
                    Used::Less => amount / 2,
                    Used::All => amount,
                    Used::More(more) => amount.min(1_000) + more,
                    Used::TooMuch => Credits::MAX.micros(),
                };
                Command::Capture(Capture {
                    hold: hold.id,
                    caller: self.caller(&hold.key, line_of(hold), false)?,
                    used: micros(used),
                    detail: Detail::none(),
                })
            }
            Move::Release(which) => {
                let hold = &self.book().holds[&self.hold(which)?];
                Command::Release(Release {
                    hold: hold.id,
                    caller: self.caller(&hold.key, line_of(hold), false)?,
                    detail: Detail::none(),
                })
            }
            Move::Expire(which, on_expiry) => Command::ExpireHold {
                account,
                hold: self.hold(which)?,
                on_expiry: *on_expiry,
            },
            Move::Adjust(id, amount, from) => self.adjust(*id, *amount, from.as_ref()),
            Move::Settings(change, expected) => self.settings(*change, *expected),
            Move::PutKey(key, limits) => self.put_key(*key, *limits),
            Move::RevokeKey(key) => Command::RevokeKey {
                account,
                key: key_id(*key),
                detail: Detail::none(),
            },
            Move::ApplyDue => Command::ApplyDue { account },
            Move::Again(which) => which.get(&self.history).0.clone(),
        })
    }

    /// The key's caller as the gate would make it; `None` when the key is not there.
    pub(crate) fn caller(&self, key: &KeyId, line: i64, stale: bool) -> Option<Arc<Caller>> {
        let identity = self.book().identity(key)?;
        Some(Arc::new(Caller {
            account: identity.account,
            key: identity.key,
            key_expires_at: identity.key_expires_at,
            key_limits: identity.key_limits,
            limits: identity.limits,
            credit_line: micros(line),
            version: identity.version - u64::from(stale),
        }))
    }

    /// A hold: of the last few mostly an open one, now and then any.
    fn hold(&self, which: &Index) -> Option<HoldId> {
        let holds = &self.book().holds;
        let all: Vec<_> = holds.keys().copied().collect();
        let open: Vec<_> = holds
            .values()
            .filter(|h| h.state == HoldState::Open)
            .map(|h| h.id)
            .collect();
        let of = if which.index(4) == 3 || open.is_empty() {
            all
        } else {
            open
        };
        (!of.is_empty()).then(|| *which.get(&of))
    }

    fn admit(&mut self, admit: &AdmitMove) -> Option<Command> {
        // The fourth key was never made.
        let caller = self.caller(&key_id(admit.key), admit.line, admit.stale)?;
        self.opened += 1;
        let hold = hold_id(&self.account, self.opened, self.now);
        let detail = Note::by("proxy", "request").key(&caller.key).detail();
        Some(Command::Admit(Admit {
            hold,
            caller,
            least: micros(admit.least),
            most: micros(admit.least + admit.more),
            tokens: admit.tokens,
            ttl: Span::from_secs(admit.ttl),
            claim: admit.claim.map(|(key, content)| Claim {
                key: ClaimKey([key; 16]),
                content,
            }),
            detail,
        }))
    }

    /// From any grant that is live, now and then from any other.
    fn adjust(&self, id: u8, amount: i64, from: Option<&Index>) -> Command {
        let from = from.map(|which| {
            let grants = self.book().grants.values();
            let mut ids: Vec<_> = grants
                .filter(|g| g.state != GrantState::Ended || which.index(5) == 4)
                .map(|g| g.facts.id.clone())
                .collect();
            if ids.is_empty() {
                ids.push(GrantId::new("nobodys").unwrap());
            }
            which.get(&ids).clone()
        });
        let note = Note::by("admin", "test");
        Command::Adjust {
            id: CommandId::new(&format!("adjustment-{id}")).unwrap(),
            account: self.account.clone(),
            amount: micros(amount),
            detail: from
                .as_ref()
                .map_or_else(Detail::none, |grant| note.from(grant).detail()),
            from,
        }
    }

    fn put_grant(&mut self, told: &GrantMove) -> Command {
        self.told += 1;
        let now = self.now.micros();
        let seconds = |s: i64| Timestamp::from_micros(now + s * 1_000_000);
        let grants = &self.book().grants;
        let live: Vec<_> = grants.values().filter(|g| g.state != GrantState::Ended).collect();
        let all: Vec<_> = grants.values().collect();
        let known = told.known.and_then(|which| {
            let of = if which.index(5) == 4 || live.is_empty() {
                all
            } else {
                live
            };
            (!of.is_empty()).then(|| &which.get(&of).facts)
        });
        let (id, amount) = match known {
            Some(facts) if told.conflict => (facts.id.clone(), micros(told.amount)),
            Some(facts) => (facts.id.clone(), facts.amount),
            None => (
                GrantId::new(&format!("grant-{}", self.told)).unwrap(),
                micros(told.amount),
            ),
        };
        let facts = GrantFacts {
            id,
            amount,
            priority: told.priority,
            category: if told.paid {
                Category::Paid
            } else {
                Category::Promotional
            },
            effective_at: seconds(told.starts),
            expires_at: told.ends.map_or(Timestamp::NEVER, seconds),
            created_at: self.began,
            updated_at: self.began.plus(Span::from_secs(if told.newer {
                self.told
            } else {
                self.told / 2
            })),
            voided_at: told.void.then_some(self.now),
            note: None,
        };
        Command::PutGrant {
            account: self.account.clone(),
            detail: Note::by("admin", "test").grant(&facts).detail(),
            facts,
        }
    }

    /// Opens a hold of this amount through the first key.
    pub(crate) fn hold_exactly(&mut self, amount: Credits) -> HoldId {
        self.opened += 1;
        let hold = hold_id(&self.account, self.opened, self.now);
        let step = self.execute(&Command::Admit(Admit {
            hold,
            caller: self.caller(&key_id(0), 0, false).unwrap(),
            least: amount,
            most: amount,
            tokens: 0,
            ttl: Span::from_secs(1_000_000),
            claim: None,
            detail: Detail::none(),
        }));
        assert!(matches!(step.outcome, Outcome::Applied(_)), "{:?}", step.outcome);
        hold
    }

    /// Adds this amount to a hold.
    pub(crate) fn extend_exactly(&mut self, hold: HoldId, amount: Credits) {
        let number = self.book().holds[&hold].extensions + 1;
        let step = self.execute(&Command::Extend(Extend {
            hold,
            caller: self.caller(&key_id(0), 0, false).unwrap(),
            number,
            least: amount,
            most: amount,
            ttl: Span::from_secs(1_000_000),
        }));
        assert!(matches!(step.outcome, Outcome::Applied(_)), "{:?}", step.outcome);
    }

    /// Charges this much to a hold.
    pub(crate) fn capture(&mut self, hold: HoldId, used: Credits) {
        let step = self.execute(&Command::Capture(Capture {
            hold,
            caller: self.caller(&key_id(0), 0, false).unwrap(),
            used,
            detail: Detail::none(),
        }));
        assert!(matches!(step.outcome, Outcome::Applied(_)), "{:?}", step.outcome);
    }

    fn settings(&self, change: SettingsMove, expected: Expected) -> Command {
        let reason = |r: u8| Reason::new(&format!("reason:{r}")).unwrap();
        let plan = |p: u8| (p > 0).then(|| PlanId::new(&format!("plan{p}")).unwrap());
        let version = self.book().account.version;
        let expected = match expected {
            Expected::Any => None,
            Expected::This => Some(version),
            Expected::Other => Some(version - 1),
        };
        let change = match change {
            SettingsMove::Create => AccountChange::Create(plan(1)),
            SettingsMove::Pause(r) => AccountChange::Pause(reason(r)),
            SettingsMove::Resume(r) => AccountChange::Resume(reason(r)),
            SettingsMove::Plan(p) => AccountChange::Plan(plan(p)),
            SettingsMove::Limits(l) => AccountChange::Limits(limits(l)),
        };
        self.set(change, expected)
    }

    fn set(&self, change: AccountChange, expected: Option<u64>) -> Command {
        Command::SetAccount {
            expected,
            account: self.account.clone(),
            detail: Note::by("admin", "test").change(&change).detail(),
            change,
        }
    }

    fn put_key(&self, key: u8, limits_choice: u8) -> Command {
        let key = NewKey {
            id: key_id(key),
            digest: digest(&self.account, key),
            name: None,
            expires_at: if key == 2 {
                self.began.plus(Span::from_secs(7_200))
            } else {
                Timestamp::NEVER
            },
            limits: limits(limits_choice),
        };
        Command::PutKey {
            account: self.account.clone(),
            detail: Note::by("admin", "test").new_key(&key).detail(),
            key,
        }
    }
}

/// The credit line of who adds to a hold or ends it: now and then there is one, though the hold was opened without.
fn line_of(hold: &Hold) -> i64 {
    if hold.number.is_multiple_of(5) {
        LINE_MAX
    } else {
        0
    }
}

/// The name of one of the keys.
pub(crate) fn key_id(key: u8) -> KeyId {
    KeyId::new(&format!("key_{key}")).unwrap()
}

/// An account's `n`th hold id; no other account has it.
pub(crate) fn hold_id(account: &AccountId, n: u64, now: Timestamp) -> HoldId {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let whose = account.as_str().bytes().fold(0x811c_9dc5, hash);
    let mut random = [0; 10];
    random[3..7].copy_from_slice(&whose.to_be_bytes());
    random[7..].copy_from_slice(&n.to_be_bytes()[5..]);
    HoldId::new(now.millis(), random)
}

/// The digest of one of an account's keys: any two differ in every part, as real ones do.
pub(crate) fn digest(account: &AccountId, key: u8) -> KeyDigest {
    KeyDigest(Sha256::digest(format!("{account} {key}")).into())
}
