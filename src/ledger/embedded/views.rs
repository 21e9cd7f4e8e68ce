//! The tables as people read them: amounts as decimals, times in UTC.

use self::Shown::{AsIs, Credits, Utc};
use crate::domain::time::Timestamp;

/// How a column of a view shows what it is made of.
#[derive(Clone, Copy)]
enum Shown {
    AsIs(&'static str),
    /// Micro-credits as a decimal.
    Credits(&'static str),
    /// Microseconds as UTC; NULL for never.
    Utc(&'static str),
}

struct View {
    name: &'static str,
    table: &'static str,
    /// The columns that are called as they are in the table.
    columns: &'static [Shown],
    /// Those that have a name of their own.
    more: &'static [(&'static str, Shown)],
}

const STATUS: &str =
    "CASE WHEN EXISTS (SELECT 1 FROM reasons WHERE account = accounts.id) THEN 'paused' ELSE 'active' END";
const REASONS: &str = "(SELECT group_concat(reason, ' ') FROM reasons WHERE account = accounts.id)";

const VIEWS: [View; 5] = [
    View {
        name: "accounts_view",
        table: "accounts",
        columns: &[
            AsIs("id"),
            AsIs("plan"),
            Credits("held"),
            Credits("spent"),
            Credits("granted"),
            Credits("expired"),
            Credits("voided"),
            AsIs("entries"),
            Utc("created_at"),
        ],
        more: &[
            (
                "available",
                Credits("(granted - held - spent - expired - voided)"),
            ),
            ("status", AsIs(STATUS)),
            ("reasons", AsIs(REASONS)),
            ("open_holds", AsIs("open")),
        ],
    },
    View {
        name: "grants_view",
        table: "grants",
        columns: &[
            AsIs("account"),
            AsIs("id"),
            AsIs("state"),
            Credits("amount"),
            Credits("drawn"),
            Credits("expired"),
            Credits("voided"),
            AsIs("category"),
            AsIs("priority"),
            Utc("effective_at"),
            Utc("expires_at"),
            Utc("voided_at"),
            AsIs("note"),
        ],
        more: &[("remaining", Credits("(amount - drawn - expired - voided)"))],
    },
    View {
        name: "keys_view",
        table: "keys",
        columns: &[
            AsIs("account"),
            AsIs("id"),
            AsIs("name"),
            Utc("created_at"),
            Utc("expires_at"),
            Utc("revoked_at"),
            AsIs("limits"),
        ],
        more: &[],
    },
    View {
        name: "holds_view",
        table: "holds",
        columns: &[
            AsIs("account"),
            AsIs("id"),
            AsIs("key"),
            AsIs("state"),
            Credits("amount"),
            Credits("charged"),
            Utc("opened_at"),
            Utc("expires_at"),
        ],
        more: &[],
    },
    View {
        name: "journal_view",
        table: "journal",
        columns: &[
            AsIs("seq"),
            Utc("time"),
            AsIs("account"),
            AsIs("kind"),
            AsIs("subject"),
            Credits("amount"),
            Credits("held"),
            Credits("available"),
            AsIs("detail"),
        ],
        more: &[],
    },
];

/// SQL that makes all views.
pub(super) fn sql() -> String {
    VIEWS.iter().map(View::sql).collect()
}

impl View {
    fn sql(&self) -> String {
        let same = self
            .columns
            .iter()
            .map(|shown| format!("{} AS {}", shown.sql(), shown.of()));
        let named = self
            .more
            .iter()
            .map(|(name, shown)| format!("{} AS {name}", shown.sql()));
        let columns: Vec<String> = same.chain(named).collect();
        format!(
            "CREATE VIEW {} AS SELECT {} FROM {};\n",
            self.name,
            columns.join(", "),
            self.table
        )
    }
}

impl Shown {
    fn of(&self) -> &'static str {
        match self {
            AsIs(of) | Credits(of) | Utc(of) => of,
        }
    }

    fn sql(&self) -> String {
        match self {
            AsIs(of) => (*of).to_owned(),
            Credits(of) => format!(
                "printf('%s%d.%06d', CASE WHEN {of} < 0 THEN '-' ELSE '' END, abs({of}) / 1000000, abs({of}) % 1000000)"
            ),
            Utc(of) => format!(
                "CASE WHEN {of} < {} THEN strftime('%Y-%m-%dT%H:%M:%S', {of} / 1000000, 'unixepoch') || printf('.%06dZ', {of} % 1000000) END",
                Timestamp::NEVER.micros()
            ),
        }
    }
}
