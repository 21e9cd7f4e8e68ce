//! An account's book from its journal alone: each entry is turned back into the command it came from, the engine decides it again at the entry's time, and
//! what it then writes down must be what stands there.
//!
//! Entries that time alone wrote (a grant started or expired) are explained by the command they came with, or by looking at what is due.

mod adopt;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::account::Account;
use crate::domain::command::{
    AccountChange, Admit, Capture, Command, Extend, HOLDS_REMEMBERED, NewKey, Outcome, Release,
};
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, Change, EXPIRED, State, Step};
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::grant::{Category, GrantFacts, LIVE_GRANTS_MAX};
use crate::domain::hold::{Hold, HoldState, OnExpiry};
use crate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyId, Reason};
use crate::domain::key::{Caller, Key};
use crate::domain::limits::Limits;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::detail::Note;

pub(in crate::ledger) use adopt::{adopt, settled};

/// How long an ended hold is kept for a late capture: far longer than a ledger remembers it, since a stopped ledger forgets nothing.
const KEPT: Span = Span::from_secs(48 * HOLDS_REMEMBERED.secs_ceil());

/// One account's journal being read.
pub(in crate::ledger) struct Replay<'a> {
    account: AccountId,
    /// What was stored: asked only for what the journal does not say.
    old: Option<&'a Book>,
    /// The largest credit line it had.
    line: Credits,
    state: State,
    /// Written by the last command, still to be met in the journal.
    expected: VecDeque<Entry>,
    /// Met in the journal, to be explained by the next command.
    waiting: Vec<Entry>,
    /// Ended holds by the time of their end.
    ended: VecDeque<(Timestamp, HoldId)>,
    last: Option<(u64, u64)>,
}

impl<'a> Replay<'a> {
    pub(in crate::ledger) fn new(account: AccountId, old: Option<&'a Book>, line: Credits) -> Replay<'a> {
        Replay {
            account,
            old,
            line,
            state: State::default(),
            expected: VecDeque::new(),
            waiting: Vec::new(),
            ended: VecDeque::new(),
            last: None,
        }
    }

    /// Takes the account's next entry; the error says why the journal does not add up.
    pub(in crate::ledger) fn take(&mut self, entry: Entry) -> Result<(), String> {
        self.last = Some((entry.seq, entry.number));
        if let Some(expected) = self.expected.pop_front() {
            return same(&expected, &entry);
        }
        if let Some(command) = self.command(&entry)? {
            return self.decide(command, entry);
        }
        let due = Command::ApplyDue {
            account: self.account.clone(),
        };
        self.count(&entry);
        let step = self.state.step(&due, entry.time);
        if entries(&step).next().is_some() {
            return self.explain(step, entry);
        }
        if let Some(command) = self.told_without_facts(&entry) {
            return self.decide(command, entry);
        }
        self.waiting.push(entry);
        // Each live grant can start and expire once.
        if self.waiting.len() > 2 * LIVE_GRANTS_MAX {
            return Err(unexplained(&self.waiting));
        }
        Ok(())
    }

    /// The book at the end of the journal.
    pub(in crate::ledger) fn finish(mut self) -> Result<Book, String> {
        if let Some(missing) = self.expected.front() {
            return Err(format!("after the last entry one is missing: {}", shown(missing)));
        }
        if !self.waiting.is_empty() {
            return Err(unexplained(&self.waiting));
        }
        let Some(mut book) = self.state.remove_book(&self.account) else {
            return Err("its journal does not begin with its creation".to_owned());
        };
        if let Some((seq, number)) = self.last {
            (book.account.last_entry, book.account.entries) = (seq, number);
        }
        Ok(book)
    }

    fn decide(&mut self, command: Command, entry: Entry) -> Result<(), String> {
        self.count(&entry);
        let step = self.state.step(&command, entry.time);
        match &step.outcome {
            Outcome::Applied(_) => self.explain(step, entry),
            // No money moved, and what it set is set already.
            _ if entry.kind == EntryKind::Status => Ok(()),
            outcome => Err(format!("{} could not have happened: {outcome:?}", shown(&entry))),
        }
    }

    /// The entry's number counts, where entries were met that say nothing to this program.
    fn count(&mut self, entry: &Entry) {
        let met = entry.number.saturating_sub(1 + self.waiting.len() as u64);
        let account = self.book().map(|b| &b.account);
        if let Some(account) = account.filter(|a| a.entries != met) {
            let account = Account {
                entries: met,
                ..account.clone()
            };
            self.state.apply(&self.account.clone(), Change::Account(account));
        }
    }

    /// The entries met so far must be those that the step writes; what it writes beyond them must come next.
    fn explain(&mut self, step: Step, entry: Entry) -> Result<(), String> {
        let mut written: VecDeque<Entry> = entries(&step).cloned().collect();
        for met in self.waiting.drain(..).chain([entry]) {
            let next = written
                .pop_front()
                .ok_or_else(|| format!("{} has no cause", shown(&met)))?;
            same(&next, &met)?;
        }
        self.expected = written;
        for change in &step.changes {
            if let Change::Hold(hold) = change
                && hold.state != HoldState::Open
            {
                self.ended.push_back((hold.expires_at, hold.id));
            }
        }
        self.state.commit(&step);
        while let Some((at, hold)) = self.ended.front()
            && step.time.since(*at) > KEPT
        {
            self.state.forget_hold(&self.account, *hold);
            self.ended.pop_front();
        }
        Ok(())
    }

    fn book(&self) -> Option<&Book> {
        self.state.book(&self.account)
    }

    /// The command that an entry came from; `None` when time alone may have written it.
    fn command(&self, entry: &Entry) -> Result<Option<Command>, String> {
        let note = Note::read(&entry.detail).map_err(|e| format!("{}: {e}", shown(entry)))?;
        let facts = note.grant_read().map_err(|e| format!("{}: {e}", shown(entry)))?;
        let account = self.account.clone();
        Ok(Some(match entry.kind {
            EntryKind::Status => return Ok(self.status(entry, &note)),
            EntryKind::Grant | EntryKind::Void if facts.is_some() => {
                let Some(facts) = facts else { return Ok(None) };
                self.put(facts, entry)
            }
            EntryKind::Grant | EntryKind::Expire => return Ok(None),
            EntryKind::Void => {
                let known = self.book().and_then(|b| b.grants.get(&*entry.subject));
                let known = known.ok_or_else(|| format!("{}: no such grant", shown(entry)))?;
                let facts = GrantFacts {
                    voided_at: Some(entry.time),
                    ..known.facts.clone()
                };
                self.put(facts, entry)
            }
            EntryKind::Adjust => Command::Adjust {
                id: CommandId::new(&entry.subject).map_err(|e| format!("{}: {e}", shown(entry)))?,
                account,
                amount: entry.amount,
                from: note.from_read(),
                detail: entry.detail.clone(),
            },
            EntryKind::Hold | EntryKind::Extend | EntryKind::Capture | EntryKind::Release => {
                return self.of_hold(entry, &note).map(Some);
            }
        }))
    }

    fn put(&self, facts: GrantFacts, entry: &Entry) -> Command {
        // A long note is cut in the journal.
        let stored = self.old.and_then(|b| b.grants.get(facts.id.as_str()));
        let whole = stored.and_then(|g| g.facts.note.clone());
        let note = match (facts.note.as_deref(), whole) {
            (Some(cut), Some(whole)) if whole.starts_with(cut) => Some(whole),
            _ => facts.note.clone(),
        };
        Command::PutGrant {
            account: self.account.clone(),
            facts: GrantFacts { note, ..facts },
            detail: entry.detail.clone(),
        }
    }

    /// A grant's entry without its facts, which nothing due explains: what is stored of the grant must do.
    fn told_without_facts(&self, entry: &Entry) -> Option<Command> {
        if entry.kind != EntryKind::Grant {
            return None;
        }
        let known = self.book().and_then(|b| b.grants.get(&*entry.subject));
        let stored = self.old.and_then(|b| b.grants.get(&*entry.subject));
        let facts = match (known, stored) {
            (Some(known), Some(stored)) if known.facts != stored.facts => stored.facts.clone(),
            (Some(_), _) => return None,
            (None, Some(stored)) => GrantFacts {
                voided_at: None,
                ..stored.facts.clone()
            },
            (None, None) => GrantFacts {
                id: GrantId::new(&entry.subject).ok()?,
                amount: entry.amount,
                priority: 50,
                category: Category::Promotional,
                effective_at: entry.time,
                expires_at: Timestamp::NEVER,
                created_at: entry.time,
                updated_at: entry.time,
                voided_at: None,
                note: None,
            },
        };
        Some(self.put(facts, entry))
    }

    fn status(&self, entry: &Entry, note: &Note<'_>) -> Option<Command> {
        let stored = self.old.map(|b| &b.account.settings);
        let plan = || {
            let told = note.plan_read().ok().flatten();
            told.unwrap_or_else(|| stored.and_then(|s| s.plan.clone()))
        };
        let account = self.account.clone();
        let detail = entry.detail.clone();
        let change = match entry.subject.split_once(':').unwrap_or((&*entry.subject, "")) {
            ("created", _) => AccountChange::Create(plan()),
            ("plan", _) => AccountChange::Plan(plan()),
            ("limits", _) => {
                let told = note.limits_read().ok().flatten();
                AccountChange::Limits(told.or(stored.map(|s| s.limits)).unwrap_or(Limits::NONE))
            }
            ("paused", reason) => AccountChange::Pause(Reason::new(reason).ok()?),
            ("resumed", reason) => AccountChange::Resume(Reason::new(reason).ok()?),
            ("key_created", id) => {
                let told = note.new_key_read().ok().flatten();
                return Some(Command::PutKey {
                    account,
                    key: told.or_else(|| self.stored_key(id))?,
                    detail,
                });
            }
            ("key_revoked", id) => {
                return Some(Command::RevokeKey {
                    account,
                    key: KeyId::new(id).ok()?,
                    detail,
                });
            }
            _ => return None,
        };
        Some(Command::SetAccount {
            expected: None,
            account,
            change,
            detail,
        })
    }

    fn stored_key(&self, id: &str) -> Option<NewKey> {
        let key: &Key = self.old?.keys.get(&KeyId::new(id).ok()?)?;
        Some(NewKey {
            id: key.id.clone(),
            digest: key.digest,
            name: key.name.clone(),
            expires_at: key.expires_at,
            limits: key.limits,
        })
    }

    fn of_hold(&self, entry: &Entry, note: &Note<'_>) -> Result<Command, String> {
        let bad = |what: String| format!("{}: {what}", shown(entry));
        let id: HoldId = entry
            .subject
            .parse()
            .map_err(|_| bad("not a hold's id".to_owned()))?;
        if entry.kind == EntryKind::Hold {
            let stored = self.old.and_then(|b| b.holds.get(&id));
            let key = note.key_read().or_else(|| stored.map(|h| h.key.clone()));
            let unknown = || KeyId::new("unknown").map_err(|e| bad(e.to_string()));
            return Ok(Command::Admit(Admit {
                hold: id,
                caller: self.caller(key.map_or_else(unknown, Ok)?, Credits::MAX),
                least: entry.amount,
                most: entry.amount,
                tokens: 0,
                // Renewals are not in the journal: so that it can expire whenever it did.
                ttl: Span::ZERO,
                claim: None,
                detail: entry.detail.clone(),
            }));
        }
        let hold: &Hold = self
            .book()
            .and_then(|b| b.holds.get(&id))
            .ok_or_else(|| bad("the hold was never opened".to_owned()))?;
        let account = self.account.clone();
        let detail = entry.detail.clone();
        let expired = hold.state == HoldState::Open && detail.as_str() == EXPIRED;
        Ok(match entry.kind {
            EntryKind::Extend => Command::Extend(Extend {
                hold: id,
                caller: self.caller(hold.key.clone(), Credits::MAX),
                number: hold.extensions + 1,
                least: entry.amount,
                most: entry.amount,
                ttl: Span::ZERO,
            }),
            kind if expired => Command::ExpireHold {
                account,
                hold: id,
                on_expiry: if kind == EntryKind::Capture {
                    OnExpiry::Capture
                } else {
                    OnExpiry::Release
                },
            },
            EntryKind::Capture => Command::Capture(Capture {
                hold: id,
                caller: self.caller(hold.key.clone(), self.line),
                used: hold.charged.saturating_add(entry.amount),
                detail,
            }),
            _ => Command::Release(Release {
                hold: id,
                caller: self.caller(hold.key.clone(), self.line),
                detail,
            }),
        })
    }

    /// A caller whom no cap stops. Its key's gauge is kept where the key has caps.
    fn caller(&self, key: KeyId, credit_line: Credits) -> Arc<Caller> {
        let book = self.book();
        let capped = book
            .and_then(|b| b.keys.get(&key))
            .is_some_and(|k| k.limits != Limits::NONE);
        let key_limits = Limits {
            concurrent: capped.then_some(u64::MAX),
            ..Limits::NONE
        };
        Arc::new(Caller {
            account: self.account.clone(),
            key,
            key_expires_at: Timestamp::NEVER,
            key_limits,
            limits: Limits::NONE,
            credit_line,
            version: book.map_or(0, |b| b.account.version),
        })
    }
}

fn entries(step: &Step) -> impl Iterator<Item = &Entry> {
    step.changes.iter().filter_map(|change| match change {
        Change::Entry(entry) => Some(entry),
        _ => None,
    })
}

fn same(written: &Entry, met: &Entry) -> Result<(), String> {
    let facts = |e: &Entry| (e.kind, e.subject.clone(), e.amount, e.held, e.available);
    if facts(written) == facts(met) {
        return Ok(());
    }
    Err(format!("{} should be {}", shown(met), shown(written)))
}

fn unexplained(waiting: &[Entry]) -> String {
    waiting
        .first()
        .map_or_else(String::new, |entry| format!("{} has no cause", shown(entry)))
}

fn shown(entry: &Entry) -> String {
    format!(
        "entry {} ({} {}, amount {}, held {}, available {})",
        entry.seq,
        entry.kind.as_str(),
        entry.subject,
        entry.amount,
        entry.held,
        entry.available
    )
}
