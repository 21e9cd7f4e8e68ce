//! Plays a story on a ledger.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use faregate::domain::command::{
    AccountChange, Admit, Capture, Command, Extend, NewKey, Outcome, Release, Renew,
};
use faregate::domain::credits::Credits;
use faregate::domain::entry::Detail;
use faregate::domain::grant::{Category, GrantFacts, GrantState};
use faregate::domain::hold::HoldState;
use faregate::domain::ids::{HoldId, KeyId, PlanId, Reason};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::{Refusal, Scope, Window};
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;

use super::parse::{GrantWords, HoldWords, Range, Step, When};
use super::{Line, Story};
use crate::ledger::fixture::TestClock;
use crate::ledger::moves::{digest, hold_id};
use crate::ledger::teller::{TTL, Teller};

/// Plays a story; the error says where it went otherwise, and how.
pub(super) async fn play(story: &Story, ledger: &dyn Ledger, clock: &dyn TestClock) -> Result<(), String> {
    let mut stage = Stage {
        ledger,
        clock,
        teller: Teller::of(ledger, clock, "nobody"),
        accounts: Vec::new(),
        keys: BTreeMap::new(),
        holds: BTreeMap::new(),
        opened: 0,
        grants: BTreeMap::new(),
        remembered: BTreeMap::new(),
        told: 0,
        last: None,
    };
    for line in &story.lines {
        let said = |what| format!("{}: {}\n    `{}`: {what}", line.place, story.title, line.text);
        stage.step(line).await.map_err(said)?;
    }
    for account in stage.accounts.clone() {
        Teller::of(ledger, clock, &account).prove().await;
    }
    Ok(())
}

/// Where the story plays: the account it speaks of, and what its names stand for.
struct Stage<'a> {
    ledger: &'a dyn Ledger,
    clock: &'a dyn TestClock,
    teller: Teller<'a>,
    accounts: Vec<String>,
    /// By account and name.
    keys: BTreeMap<(String, String), u8>,
    holds: BTreeMap<String, HoldId>,
    opened: u64,
    grants: BTreeMap<String, GrantFacts>,
    remembered: BTreeMap<String, Arc<Caller>>,
    /// How many times something was told of a grant: the later news is the newer.
    told: i64,
    last: Option<Command>,
}

type Played<T> = Result<T, String>;

impl Stage<'_> {
    async fn step(&mut self, line: &Line) -> Played<()> {
        let opened = self.opened;
        if let Some(command) = self.command(&line.step).await? {
            let outcome = self.teller.execute(&command).await;
            if let (Step::Hold(name, _), Outcome::Refused(_), true) =
                (&line.step, &outcome, self.opened > opened)
            {
                // Its name is free again; `again` still means the same id.
                self.holds.remove(name);
            }
            self.last = Some(command);
            return answered(&facts_of(&outcome), line.expected.as_deref());
        }
        match &line.step {
            Step::Sweep(on_expiry) => {
                let ended = self.ledger.sweep(*on_expiry).await.map_err(|e| e.to_string())?;
                let facts = vec!["ok".to_owned(), format!("{ended} ended")];
                return answered(&facts, line.expected.as_deref());
            }
            Step::Remember(key) => {
                let caller = self.caller(Some(key)).await?;
                self.remembered.insert(key.clone(), caller);
            }
            Step::Due => self.teller.apply_due().await,
            Step::Tick(span) => self.clock.advance(*span),
            Step::NextDay => self.clock.set(self.clock.now().next_day()),
            Step::NextMonth => self.clock.set(self.clock.now().next_month()),
            Step::Verify => self.teller.prove().await,
            _ => self.look(&line.step).await?,
        }
        Ok(())
    }

    /// The command that a line comes to; none for what is no command.
    async fn command(&mut self, step: &Step) -> Played<Option<Command>> {
        let account = self.teller.account.clone();
        let detail = Detail::none();
        Ok(Some(match step {
            Step::Account(name, plan) => self.enter(name, plan.as_deref())?,
            Step::Key(name, limits, expires) => self.make_key(name, *limits, *expires)?,
            Step::Limits(limits) => self.set(AccountChange::Limits(*limits)),
            Step::Pause(text) => self.set(AccountChange::Pause(reason(text)?)),
            Step::Resume(text) => self.set(AccountChange::Resume(reason(text)?)),
            Step::Plan(name) => self.set(AccountChange::Plan(plan(name.as_deref())?)),
            Step::Revoke(name) => {
                let key = key_id(name)?;
                Command::RevokeKey { account, key, detail }
            }
            Step::Grant(name, words) => self.tell(name, words)?,
            Step::Void(name) => self.void(name)?,
            Step::Hold(name, words) => self.admit(name, words).await?,
            Step::Extend(name, range) => self.extend(name, *range).await?,
            Step::Renew(name) => {
                let hold = self.hold(name)?;
                Command::Renew(Renew {
                    hold,
                    account,
                    ttl: TTL,
                })
            }
            Step::Capture(name, used, credit_line) => {
                let (hold, used) = (self.hold(name)?, *used);
                let caller = with_line(&self.teller.anyone(), *credit_line);
                Command::Capture(Capture {
                    hold,
                    caller,
                    used,
                    detail,
                })
            }
            Step::Release(name) => {
                let (hold, caller) = (self.hold(name)?, self.teller.anyone());
                Command::Release(Release { hold, caller, detail })
            }
            Step::Adjust(name, amount) => self.teller.adjust_command(name, *amount),
            Step::Again => self.last.clone().ok_or("nothing was done before")?,
            _ => return Ok(None),
        }))
    }

    /// From here on the story speaks of this account. Its first key, `k`, is made when a hold first asks for it.
    fn enter(&mut self, name: &str, plan_name: Option<&str>) -> Played<Command> {
        self.teller = Teller::of(self.ledger, self.clock, name);
        self.accounts.push(name.to_owned());
        Ok(self.set(AccountChange::Create(plan(plan_name)?)))
    }

    fn set(&self, change: AccountChange) -> Command {
        let (account, detail) = (self.teller.account.clone(), Detail::none());
        Command::SetAccount {
            expected: None,
            account,
            change,
            detail,
        }
    }

    fn make_key(&mut self, name: &str, limits: Limits, expires: Option<When>) -> Played<Command> {
        let next = u8::try_from(self.keys.len()).map_err(|e| e.to_string())?;
        let number = *self.keys.entry(self.whose(name)).or_insert(next);
        Ok(Command::PutKey {
            account: self.teller.account.clone(),
            key: NewKey {
                id: key_id(name)?,
                digest: digest(&self.teller.account, number),
                name: None,
                expires_at: expires.map_or(Timestamp::NEVER, |when| self.at(when)),
                limits,
            },
            detail: Detail::none(),
        })
    }

    /// A key's name within the account.
    fn whose(&self, key: &str) -> (String, String) {
        (self.teller.account.as_str().to_owned(), key.to_owned())
    }

    fn at(&self, when: When) -> Timestamp {
        let now = self.clock.now();
        match when {
            When::In(span) => now.plus(span),
            When::Ago(span) => Timestamp::from_micros(now.micros() - span.micros()),
            When::Never => Timestamp::NEVER,
        }
    }

    fn tell(&mut self, name: &str, words: &GrantWords) -> Played<Command> {
        self.told += 1;
        let now = self.clock.now();
        let mut facts = match self.grants.get(name) {
            Some(known) => known.clone(),
            None => self
                .teller
                .facts(name, words.amount.ok_or("a new grant needs an amount")?),
        };
        facts.amount = words.amount.unwrap_or(facts.amount);
        facts.priority = words.priority.unwrap_or(facts.priority);
        if words.promotional {
            facts.category = Category::Promotional;
        }
        facts.effective_at = words.starts.map_or(facts.effective_at, |when| self.at(when));
        facts.expires_at = words.expires.map_or(facts.expires_at, |when| self.at(when));
        let age = if words.older { -86_400_000_000 } else { self.told };
        facts.updated_at = Timestamp::from_micros(now.micros() + age);
        if !words.older {
            self.grants.insert(name.to_owned(), facts.clone());
        }
        Ok(self.teller.put_command(facts))
    }

    fn void(&mut self, name: &str) -> Played<Command> {
        self.told += 1;
        let now = self.clock.now();
        let known = self
            .grants
            .get_mut(name)
            .ok_or_else(|| format!("there is no grant {name}"))?;
        known.voided_at = Some(now);
        known.updated_at = now.plus(Span::from_micros(self.told));
        Ok(self.teller.put_command(known.clone()))
    }

    async fn caller(&mut self, key: Option<&String>) -> Played<Arc<Caller>> {
        let name = key.map_or("k", String::as_str);
        if name == "k" && !self.keys.contains_key(&self.whose("k")) {
            let command = self.make_key("k", Limits::NONE, None)?;
            self.teller.execute(&command).await;
        }
        let number = *self
            .keys
            .get(&self.whose(name))
            .ok_or_else(|| format!("there is no key {name}"))?;
        Ok(self.teller.caller(number).await)
    }

    async fn admit(&mut self, name: &str, words: &HoldWords) -> Played<Command> {
        let caller = if words.remembered {
            let name = words.key.as_deref().unwrap_or("k");
            self.remembered
                .get(name)
                .cloned()
                .ok_or_else(|| format!("{name} was not remembered"))?
        } else {
            self.caller(words.key.as_ref()).await?
        };
        let made = words.made.map_or(self.clock.now(), |when| self.at(when));
        let hold = match self.holds.get(name) {
            Some(known) => *known,
            None => {
                self.opened += 1;
                let hold = hold_id(&self.teller.account, self.opened, made);
                self.holds.insert(name.to_owned(), hold);
                hold
            }
        };
        Ok(Command::Admit(Admit {
            hold,
            caller: with_line(&caller, words.credit),
            least: words.range.least,
            most: words.range.most,
            tokens: words.tokens,
            ttl: words.ttl.unwrap_or(TTL),
            claim: None,
            detail: Detail::none(),
        }))
    }

    fn hold(&self, name: &str) -> Played<HoldId> {
        self.holds
            .get(name)
            .copied()
            .ok_or_else(|| format!("there was no hold {name}"))
    }

    async fn extend(&mut self, name: &str, range: Range) -> Played<Command> {
        let hold = self.hold(name)?;
        let caller = self.caller(None).await?;
        let number = self.teller.hold_now(hold).await.map_or(0, |h| h.extensions) + 1;
        Ok(Command::Extend(Extend {
            hold,
            caller,
            number,
            least: range.least,
            most: range.most,
            ttl: TTL,
        }))
    }

    /// What shall be so, is it?
    async fn look(&self, step: &Step) -> Played<()> {
        match step {
            Step::Balance(expected) => {
                let balance = self.teller.balance().await;
                compare(expected, |name| match name {
                    "granted" => balance.granted,
                    "held" => balance.held,
                    "spent" => balance.spent,
                    "expired" => balance.expired,
                    "voided" => balance.voided,
                    _ => balance.available(),
                })
            }
            Step::GrantIs(name, expected, state) => {
                let grant = self.teller.grant_now(name).await;
                let is = match grant.state {
                    GrantState::Pending => "pending",
                    GrantState::Active => "active",
                    GrantState::Ending => "ending",
                    GrantState::Ended => "ended",
                };
                same_word(is, state.as_deref())?;
                compare(expected, |name| match name {
                    "drawn" => grant.drawn,
                    "expired" => grant.expired,
                    "voided" => grant.voided,
                    _ => grant.remaining(),
                })
            }
            Step::HoldIs(name, state, expected) => self.look_at_hold(name, state, expected).await,
            Step::Reasons(expected) => {
                let settings = self.teller.statement().await.account.settings;
                let reasons: Vec<_> = settings.reasons.iter().map(Reason::to_string).collect();
                same_word(&reasons.join(" "), Some(&expected.join(" ")))
            }
            Step::Exceptions(expected) => {
                let exceptions = self.teller.statement().await.account.exceptions;
                compare(expected, |name| match name {
                    "overrun" => exceptions.overrun,
                    "late" => exceptions.late,
                    _ => exceptions.clawback,
                })
            }
            Step::Journal(expected) => {
                let entries = self.teller.entries().await;
                let last = entries.len().saturating_sub(expected.len());
                let kinds: Vec<_> = entries[last..].iter().map(|e| e.kind.as_str()).collect();
                same_word(&kinds.join(" "), Some(&expected.join(" ")))
            }
            other => Err(format!("{other:?} is nothing to look at")),
        }
    }

    async fn look_at_hold(&self, name: &str, state: &str, expected: &[(String, Credits)]) -> Played<()> {
        let Some(hold) = self.teller.hold_now(self.hold(name)?).await else {
            return same_word("unknown", Some(state));
        };
        let is = match hold.state {
            HoldState::Open => "open",
            HoldState::Captured => "captured",
            HoldState::Released => "released",
            HoldState::Expired => "expired",
        };
        same_word(is, Some(state))?;
        compare(
            expected,
            |name| if name == "held" { hold.amount } else { hold.charged },
        )
    }
}

fn with_line(caller: &Caller, credit_line: Credits) -> Arc<Caller> {
    Arc::new(Caller {
        credit_line,
        ..caller.clone()
    })
}

fn reason(text: &str) -> Played<Reason> {
    Reason::new(text).map_err(|e| e.to_string())
}

fn plan(name: Option<&str>) -> Played<Option<PlanId>> {
    name.map(PlanId::new).transpose().map_err(|e| e.to_string())
}

fn key_id(name: &str) -> Played<KeyId> {
    KeyId::new(name).map_err(|e| e.to_string())
}

/// Of all named amounts, those that are not as expected.
fn compare(expected: &[(String, Credits)], is: impl Fn(&str) -> Credits) -> Played<()> {
    let mut wrong = String::new();
    for (name, amount) in expected {
        if is(name) != *amount {
            let _ = write!(wrong, "{name} is {}. ", short(is(name)));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

fn same_word(is: &str, expected: Option<&str>) -> Played<()> {
    match expected {
        Some(expected) if expected != is => Err(format!("it is `{is}`")),
        _ => Ok(()),
    }
}

/// Each part of what is expected must be among the facts; without any it must have succeeded.
fn answered(facts: &[String], expected: Option<&[String]>) -> Played<()> {
    let ok = ["ok".to_owned()];
    let found = |part: &String| facts.contains(part);
    if expected.unwrap_or(&ok).iter().all(found) || (expected.is_none() && facts[0] == "repeated") {
        Ok(())
    } else {
        Err(format!("the answer is `{}`", facts[1..].join(", ")))
    }
}

/// An outcome in words. The first is the shortest: `ok`, `repeated` or `refused`.
fn facts_of(outcome: &Outcome) -> Vec<String> {
    let done = |word: &str, receipt: &faregate::domain::command::Receipt| {
        vec![
            word.to_owned(),
            format!("{word} {}", short(receipt.amount)),
            format!("available {}", short(receipt.available)),
        ]
    };
    match outcome {
        Outcome::Applied(receipt) => done("ok", receipt),
        Outcome::Replayed(receipt) => done("repeated", receipt),
        Outcome::Refused(refusal) => {
            let mut facts = vec!["refused".to_owned()];
            facts.extend(refused(refusal));
            facts
        }
    }
}

fn refused(refusal: &Refusal) -> Vec<String> {
    let whose = |scope: &Scope| match scope {
        Scope::Account => "of the account".to_owned(),
        Scope::Key => "of the key".to_owned(),
    };
    let word = |text: &str| text.to_owned();
    match refusal {
        Refusal::UnknownAccount => vec![word("unknown account")],
        Refusal::UnknownHold => vec![word("unknown hold")],
        Refusal::HoldEnded => vec![word("hold ended")],
        Refusal::IdConflict => vec![word("conflict")],
        Refusal::TooOld => vec![word("too old")],
        Refusal::Stale => vec![word("stale")],
        Refusal::KeyExpired => vec![word("key expired")],
        Refusal::InProgress { .. } => vec![word("in progress")],
        Refusal::AlreadyCharged { .. } => vec![word("already charged")],
        Refusal::ClaimConflict { .. } => vec![word("claim conflict")],
        Refusal::RateLimited { scope, retry_after } => {
            let wait = format!("wait {}s", retry_after.secs_ceil());
            vec![word("rate limited"), whose(scope), wait]
        }
        Refusal::TooManyConcurrent { scope, limit } => {
            vec![word("too many at once"), whose(scope), format!("{limit} allowed")]
        }
        Refusal::SpendLimitReached {
            scope,
            window,
            limit,
            spent,
            ..
        } => {
            let window = match window {
                Window::Day => word("per day"),
                Window::Month => word("per month"),
            };
            let of = format!("spent {} of {}", short(*spent), short(*limit));
            vec![word("spend limit reached"), whose(scope), window, of]
        }
        Refusal::InsufficientCredits { available, required } => vec![
            word("insufficient credits"),
            format!("available {}", short(*available)),
            format!("required {}", short(*required)),
        ],
        Refusal::UnknownKey => vec![word("unknown key")],
        Refusal::Outdated => vec![word("outdated")],
        Refusal::OutOfRange(_) => vec![word("out of range")],
    }
}

/// An amount without the zeros that say nothing.
fn short(amount: Credits) -> String {
    let text = amount.to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
