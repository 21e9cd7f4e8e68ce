//! The public JSON: converted by hand, so that a change inside does not change it by accident. Amounts are decimal strings, times RFC 3339 in UTC.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::grant::{Category, Grant, GrantState};
use crate::domain::key::Key;
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;
use crate::ledger::detail::{utc, utc_or_never};
use crate::ledger::{Statement, VerifyReport};

use super::reply::Problem;

#[derive(Serialize)]
pub(super) struct PageJson<T> {
    pub(super) items: Vec<T>,
    /// Give it as `cursor` to get the next page; null at the end.
    pub(super) next: Option<String>,
}

#[derive(Serialize)]
pub(super) struct AccountJson {
    id: String,
    status: &'static str,
    reasons: Vec<String>,
    plan: Option<String>,
    available: String,
    held: String,
    spent: String,
    granted: String,
    expired: String,
    voided: String,
    open_holds: u64,
    below_floor: BelowFloorJson,
    limits: LimitsJson,
    grants: Vec<GrantJson>,
    created_at: String,
    as_of: String,
}

/// What took the account below zero (or its credit line), in total, by cause.
#[derive(Serialize)]
struct BelowFloorJson {
    overrun: String,
    late: String,
    clawback: String,
}

impl From<&Statement> for AccountJson {
    fn from(statement: &Statement) -> AccountJson {
        let account = &statement.account;
        let settings = &account.settings;
        let below = &account.exceptions;
        AccountJson {
            id: account.id.to_string(),
            status: if settings.reasons.is_empty() {
                "active"
            } else {
                "paused"
            },
            reasons: settings.reasons.iter().map(ToString::to_string).collect(),
            plan: settings.plan.as_ref().map(ToString::to_string),
            available: account.available().to_string(),
            held: account.gauge.held.to_string(),
            spent: account.spent.to_string(),
            granted: account.granted.to_string(),
            expired: account.expired.to_string(),
            voided: account.voided.to_string(),
            open_holds: account.gauge.open,
            below_floor: BelowFloorJson {
                overrun: below.overrun.to_string(),
                late: below.late.to_string(),
                clawback: below.clawback.to_string(),
            },
            limits: LimitsJson::from(&settings.limits),
            grants: statement.grants.iter().map(GrantJson::from).collect(),
            created_at: utc(account.created_at),
            as_of: utc(statement.time),
        }
    }
}

#[derive(Serialize)]
pub(super) struct GrantJson {
    id: String,
    state: &'static str,
    amount: String,
    remaining: String,
    drawn: String,
    expired: String,
    voided: String,
    category: &'static str,
    priority: u8,
    effective_at: String,
    expires_at: Option<String>,
    voided_at: Option<String>,
    note: Option<String>,
}

impl From<&Grant> for GrantJson {
    fn from(grant: &Grant) -> GrantJson {
        let facts = &grant.facts;
        let state = match grant.state {
            GrantState::Pending => "pending",
            GrantState::Active => "active",
            GrantState::Ending => "ending",
            GrantState::Ended => "ended",
        };
        GrantJson {
            id: facts.id.to_string(),
            state,
            amount: facts.amount.to_string(),
            remaining: if state == "ended" {
                Credits::ZERO
            } else {
                grant.remaining()
            }
            .to_string(),
            drawn: grant.drawn.to_string(),
            expired: grant.expired.to_string(),
            voided: grant.voided.to_string(),
            category: category(facts.category),
            priority: facts.priority,
            effective_at: utc(facts.effective_at),
            expires_at: utc_or_never(facts.expires_at),
            voided_at: facts.voided_at.map(utc),
            note: facts.note.as_deref().map(str::to_owned),
        }
    }
}

fn category(category: Category) -> &'static str {
    match category {
        Category::Paid => "paid",
        Category::Promotional => "promotional",
    }
}

pub(super) fn category_of(text: Option<&str>) -> Result<Category, Problem> {
    match text {
        None | Some("paid") => Ok(Category::Paid),
        Some("promotional") => Ok(Category::Promotional),
        Some(other) => Err(Problem::invalid(format!(
            "`category` is \"paid\" or \"promotional\", not {other:?}"
        ))),
    }
}

#[derive(Serialize)]
pub(super) struct KeyJson {
    pub(super) id: String,
    name: Option<String>,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    limits: LimitsJson,
}

impl From<&Key> for KeyJson {
    fn from(key: &Key) -> KeyJson {
        KeyJson {
            id: key.id.to_string(),
            name: key.name.as_deref().map(str::to_owned),
            status: if key.revoked_at.is_some() {
                "revoked"
            } else {
                "active"
            },
            created_at: utc(key.created_at),
            expires_at: utc_or_never(key.expires_at),
            revoked_at: key.revoked_at.map(utc),
            limits: LimitsJson::from(&key.limits),
        }
    }
}

/// Caps; null is no cap.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsJson {
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    concurrent: Option<u64>,
    spend_per_day: Option<String>,
    spend_per_month: Option<String>,
}

impl From<&Limits> for LimitsJson {
    fn from(limits: &Limits) -> LimitsJson {
        LimitsJson {
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            concurrent: limits.concurrent,
            spend_per_day: limits.spend_per_day.map(|c| c.to_string()),
            spend_per_month: limits.spend_per_month.map(|c| c.to_string()),
        }
    }
}

impl LimitsJson {
    pub(super) fn limits(&self) -> Result<Limits, Problem> {
        for (name, value) in [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("concurrent", self.concurrent),
        ] {
            if value.is_some_and(|value| value == 0 || value > RATE_MAX) {
                return Err(Problem::invalid(format!(
                    "`{name}` is a whole number from 1 to {RATE_MAX}, or null"
                )));
            }
        }
        let cap = |name: &str, text: &Option<String>| text.as_deref().map(|t| amount(name, t)).transpose();
        Ok(Limits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrent: self.concurrent,
            spend_per_day: cap("spend_per_day", &self.spend_per_day)?,
            spend_per_month: cap("spend_per_month", &self.spend_per_month)?,
        })
    }
}

/// The highest cap on a rate or on concurrency: what a signed 32-bit number holds is more than any machine serves.
const RATE_MAX: u64 = 2_147_483_647;

/// An amount of credits, zero or more.
pub(super) fn amount(name: &str, text: &str) -> Result<Credits, Problem> {
    let credits: Credits = text
        .parse()
        .map_err(|error| Problem::invalid(format!("`{name}`: {text:?} is {error}")))?;
    if credits.is_negative() {
        return Err(Problem::invalid(format!("`{name}` is not below zero")));
    }
    Ok(credits)
}

/// An RFC 3339 instant.
pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Problem::invalid(format!(
            "`{name}`: {text:?} is not a time like 2027-01-31T12:00:00Z"
        ))
    })?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

#[derive(Serialize)]
pub(super) struct EntryJson {
    seq: u64,
    number: u64,
    time: String,
    account: String,
    kind: &'static str,
    subject: String,
    amount: String,
    held: String,
    available: String,
    /// `actor`, `cause`, `route`, `usage`, `price`, ...: what applies, as it was written.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl From<&Entry> for EntryJson {
    fn from(entry: &Entry) -> EntryJson {
        EntryJson {
            seq: entry.seq,
            number: entry.number,
            time: utc(entry.time),
            account: entry.account.to_string(),
            kind: entry.kind.as_str(),
            subject: entry.subject.to_string(),
            amount: entry.amount.to_string(),
            held: entry.held.to_string(),
            available: entry.available.to_string(),
            more: serde_json::from_str(entry.detail.as_str()).unwrap_or_default(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct VerifyJson {
    ok: bool,
    accounts: u64,
    entries: u64,
    differences: Vec<String>,
}

impl From<VerifyReport> for VerifyJson {
    fn from(report: VerifyReport) -> VerifyJson {
        VerifyJson {
            ok: report.differences.is_empty(),
            accounts: report.accounts,
            entries: report.entries,
            differences: report.differences,
        }
    }
}
