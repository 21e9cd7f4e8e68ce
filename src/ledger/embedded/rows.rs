//! Rows to values: what each table's columns are, in the order in which `write` fills them.

use std::sync::Arc;

use rusqlite::Row;

use super::fault::Fault;
use crate::domain::account::{Account, Exceptions, Settings};
use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::command::Receipt;
use crate::domain::credits::Credits;
use crate::domain::engine::CommandRecord;
use crate::domain::entry::{Detail, Entry, EntryKind};
use crate::domain::grant::{Category, Grant, GrantFacts, GrantState};
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyId, PlanId, Reason};
use crate::domain::key::Key;
use crate::domain::limits::{Gauge, Limits};
use crate::domain::time::Timestamp;
use crate::ledger::detail::{digest_from_hex, limits_from_json};

/// A table: its name, the columns of its primary key, all its columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
    pub(super) columns: &'static [&'static str],
}

pub(super) const ACCOUNTS: Table = Table {
    name: "accounts",
    key: &["id"],
    columns: &[
        "id",
        "created_at",
        "plan",
        "limits",
        "version",
        "granted",
        "spent",
        "expired",
        "voided",
        "open",
        "held",
        "requests_at",
        "tokens_at",
        "day",
        "day_spent",
        "month",
        "month_spent",
        "taken",
        "dealt",
        "overrun",
        "late",
        "clawback",
        "next_due",
        "ending",
        "entries",
        "last_entry",
        "credit_line",
    ],
};

pub(super) const REASONS: Table = Table {
    name: "reasons",
    key: &["account", "reason"],
    columns: &["account", "reason"],
};

pub(super) const GRANTS: Table = Table {
    name: "grants",
    key: &["account", "id"],
    columns: &[
        "account",
        "id",
        "amount",
        "priority",
        "category",
        "effective_at",
        "expires_at",
        "created_at",
        "updated_at",
        "voided_at",
        "note",
        "state",
        "drawn",
        "expired",
        "voided",
        "guarded",
        "ended",
    ],
};

pub(super) const KEYS: Table = Table {
    name: "keys",
    key: &["account", "id"],
    columns: &[
        "account",
        "id",
        "digest",
        "name",
        "created_at",
        "expires_at",
        "revoked_at",
        "limits",
        "open",
        "held",
        "requests_at",
        "tokens_at",
        "day",
        "day_spent",
        "month",
        "month_spent",
    ],
};

pub(super) const HOLDS: Table = Table {
    name: "holds",
    key: &["account", "id"],
    columns: &[
        "account",
        "id",
        "key",
        "state",
        "amount",
        "opened",
        "charged",
        "opened_at",
        "expires_at",
        "number",
        "extensions",
        "available",
        "content",
        "claim",
    ],
};

pub(super) const COMMANDS: Table = Table {
    name: "commands",
    key: &["account", "id"],
    columns: &[
        "account",
        "id",
        "asked",
        "time",
        "amount",
        "available",
        "expires_at",
    ],
};

pub(super) const JOURNAL: Table = Table {
    name: "journal",
    key: &["seq"],
    columns: &[
        "seq",
        "number",
        "previous",
        "time",
        "account",
        "kind",
        "subject",
        "amount",
        "held",
        "available",
        "detail",
        "hash",
    ],
};

pub(super) const MEMOS: Table = Table {
    name: "memos",
    key: &["name"],
    columns: &["name", "version", "text", "due", "forget_at"],
};

impl Table {
    /// All columns, for a SELECT.
    pub(super) fn list(&self) -> String {
        self.columns.join(", ")
    }
}

/// Reads a row column by column, in order.
struct Columns<'r, 's> {
    row: &'r Row<'s>,
    next: usize,
    table: &'static str,
}

impl Columns<'_, '_> {
    fn take<T: rusqlite::types::FromSql>(&mut self) -> Result<T, Fault> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    fn bad(&self, what: impl std::fmt::Display) -> Fault {
        let column = self.next.saturating_sub(1);
        let name = self.row.as_ref().column_name(column).unwrap_or("?");
        Fault::Damaged(format!(
            "a row of `{}` has an unreadable `{name}`: {what}",
            self.table
        ))
    }

    fn text<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        let value = self.row.get_ref(self.next)?;
        self.next += 1;
        let text = value.as_str().map_err(|e| self.bad(e))?;
        parse(text).ok_or_else(|| self.bad(text))
    }

    fn credits(&mut self) -> Result<Credits, Fault> {
        let micros = self.take()?;
        Credits::from_micros(micros).map_err(|e| self.bad(e))
    }

    fn time(&mut self) -> Result<Timestamp, Fault> {
        let micros: i64 = self.take()?;
        let time = Timestamp::from_micros(micros);
        if time.micros() == micros {
            Ok(time)
        } else {
            Err(self.bad(micros))
        }
    }

    fn time_or_none(&mut self) -> Result<Option<Timestamp>, Fault> {
        let micros: Option<i64> = self.take()?;
        Ok(micros.map(Timestamp::from_micros))
    }

    fn count(&mut self) -> Result<u64, Fault> {
        let count: i64 = self.take()?;
        u64::try_from(count).map_err(|e| self.bad(e))
    }

    fn gauge(&mut self) -> Result<Gauge, Fault> {
        Ok(Gauge {
            open: self.count()?,
            held: self.credits()?,
            requests_at: self.time()?,
            tokens_at: self.time()?,
            day: self.take()?,
            day_spent: self.credits()?,
            month: self.take()?,
            month_spent: self.credits()?,
        })
    }

    /// Most have none: then the text is not parsed.
    fn limits(&mut self) -> Result<Limits, Fault> {
        self.text(|text| match text {
            "{}" => Some(Limits::NONE),
            _ => limits_from_json(text).ok(),
        })
    }

    /// Sixteen bytes of its key, eight of its content.
    fn claim(&mut self) -> Result<Option<Claim>, Fault> {
        let Some(bytes) = self.take::<Option<Vec<u8>>>()? else {
            return Ok(None);
        };
        let (Some((key, content)), 24) = (bytes.split_first_chunk(), bytes.len()) else {
            return Err(self.bad(format!("{} bytes", bytes.len())));
        };
        let content = content.try_into().map_err(|e| self.bad(e))?;
        Ok(Some(Claim {
            key: ClaimKey(*key),
            content: u64::from_le_bytes(content),
        }))
    }

    fn account(&mut self) -> Result<AccountId, Fault> {
        self.text(|t| AccountId::new(t).ok())
    }
}

fn columns<'r, 's>(row: &'r Row<'s>, table: &Table) -> Columns<'r, 's> {
    Columns {
        row,
        next: 0,
        table: table.name,
    }
}

/// The account that a row is of: the first column of every table but the journal.
pub(super) fn owner<'r>(row: &'r Row<'_>, table: &Table) -> Result<&'r str, Fault> {
    let text = row.get_ref(0)?.as_str();
    text.map_err(|e| {
        Fault::Damaged(format!(
            "a row of `{}` has an unreadable account: {e}",
            table.name
        ))
    })
}

fn after_owner<'r, 's>(row: &'r Row<'s>, table: &Table) -> Columns<'r, 's> {
    Columns {
        next: 1,
        ..columns(row, table)
    }
}

/// An account (without its reasons, which have their own table) and its largest credit line.
pub(super) fn account(row: &Row<'_>) -> Result<(Account, Credits), Fault> {
    let mut c = columns(row, &ACCOUNTS);
    let id = c.account()?;
    let created_at = c.time()?;
    let plan: Option<String> = c.take()?;
    let plan = plan.map(|p| PlanId::new(&p)).transpose().map_err(|e| c.bad(e))?;
    let limits = c.limits()?;
    let mut account = Account::new(id, None, created_at);
    account.settings = Arc::new(Settings {
        plan,
        limits,
        ..Settings::default()
    });
    account.version = c.count()?;
    account.granted = c.credits()?;
    account.spent = c.credits()?;
    account.expired = c.credits()?;
    account.voided = c.credits()?;
    account.gauge = c.gauge()?;
    account.taken = c.credits()?;
    account.dealt = c.credits()?;
    account.exceptions = Exceptions {
        overrun: c.credits()?,
        late: c.credits()?,
        clawback: c.credits()?,
    };
    account.next_due = c.time()?;
    account.ending = c.take()?;
    account.entries = c.count()?;
    account.last_entry = c.count()?;
    Ok((account, c.credits()?))
}

/// A reason for which an account is paused.
pub(super) fn reason(row: &Row<'_>) -> Result<Reason, Fault> {
    after_owner(row, &REASONS).text(|t| Reason::new(t).ok())
}

pub(super) fn grant(row: &Row<'_>) -> Result<Grant, Fault> {
    let mut c = after_owner(row, &GRANTS);
    let facts = GrantFacts {
        id: c.text(|t| GrantId::new(t).ok())?,
        amount: c.credits()?,
        priority: c.take()?,
        category: c.text(category)?,
        effective_at: c.time()?,
        expires_at: c.time()?,
        created_at: c.time()?,
        updated_at: c.time()?,
        voided_at: c.time_or_none()?,
        note: c.take::<Option<String>>()?.map(Arc::from),
    };
    Ok(Grant {
        facts,
        state: c.text(grant_state)?,
        drawn: c.credits()?,
        expired: c.credits()?,
        voided: c.credits()?,
        guarded: c.credits()?,
        ended: c.count()?,
    })
}

pub(super) fn key(row: &Row<'_>) -> Result<Key, Fault> {
    let mut c = after_owner(row, &KEYS);
    Ok(Key {
        id: c.text(|t| KeyId::new(t).ok())?,
        digest: c.text(digest_from_hex)?,
        name: c.take::<Option<String>>()?.map(Arc::from),
        created_at: c.time()?,
        expires_at: c.time()?,
        revoked_at: c.time_or_none()?,
        limits: c.limits()?,
        gauge: c.gauge()?,
    })
}

pub(super) fn hold(row: &Row<'_>, account: &AccountId) -> Result<Hold, Fault> {
    let mut c = after_owner(row, &HOLDS);
    Ok(Hold {
        account: account.clone(),
        id: c.text(|t| t.parse::<HoldId>().ok())?,
        key: c.text(|t| KeyId::new(t).ok())?,
        state: c.text(hold_state)?,
        amount: c.credits()?,
        opened: c.credits()?,
        charged: c.credits()?,
        opened_at: c.time()?,
        expires_at: c.time()?,
        number: c.count()?,
        extensions: c.count()?,
        available: c.credits()?,
        content: c.take::<i64>()?.cast_unsigned(),
        claim: c.claim()?.map(Box::new),
    })
}

pub(super) fn command(row: &Row<'_>) -> Result<(CommandId, CommandRecord), Fault> {
    let mut c = after_owner(row, &COMMANDS);
    let id = c.text(|t| CommandId::new(t).ok())?;
    let record = CommandRecord {
        amount: c.credits()?,
        receipt: Receipt {
            time: c.time()?,
            amount: c.credits()?,
            available: c.credits()?,
            expires_at: c.time()?,
        },
    };
    Ok((id, record))
}

/// An entry and its link of the chain.
pub(super) fn entry(row: &Row<'_>) -> Result<(Entry, String), Fault> {
    let mut c = columns(row, &JOURNAL);
    let entry = Entry {
        seq: c.count()?,
        number: c.count()?,
        previous: c.count()?,
        time: c.time()?,
        account: c.account()?,
        kind: c.text(kind)?,
        subject: c.text(|t| Some(Arc::from(t)))?,
        amount: c.credits()?,
        held: c.credits()?,
        available: c.credits()?,
        detail: c.text(|t| Some(Detail::new(t)))?,
    };
    Ok((entry, c.take()?))
}

pub(super) fn category_text(category: Category) -> &'static str {
    match category {
        Category::Paid => "paid",
        Category::Promotional => "promotional",
    }
}

fn category(text: &str) -> Option<Category> {
    [Category::Paid, Category::Promotional]
        .into_iter()
        .find(|c| category_text(*c) == text)
}

pub(super) fn grant_state_text(state: GrantState) -> &'static str {
    match state {
        GrantState::Pending => "pending",
        GrantState::Active => "active",
        GrantState::Ending => "ending",
        GrantState::Ended => "ended",
    }
}

fn grant_state(text: &str) -> Option<GrantState> {
    [
        GrantState::Pending,
        GrantState::Active,
        GrantState::Ending,
        GrantState::Ended,
    ]
    .into_iter()
    .find(|s| grant_state_text(*s) == text)
}

pub(super) fn hold_state_text(state: HoldState) -> &'static str {
    match state {
        HoldState::Open => "open",
        HoldState::Captured => "captured",
        HoldState::Released => "released",
        HoldState::Expired => "expired",
    }
}

fn hold_state(text: &str) -> Option<HoldState> {
    [
        HoldState::Open,
        HoldState::Captured,
        HoldState::Released,
        HoldState::Expired,
    ]
    .into_iter()
    .find(|s| hold_state_text(*s) == text)
}

fn kind(text: &str) -> Option<EntryKind> {
    EntryKind::ALL
        .iter()
        .find(|(.., name)| *name == text)
        .map(|(kind, ..)| *kind)
}
