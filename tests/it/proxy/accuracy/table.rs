//! The sums of a run.

use std::collections::BTreeMap;
use std::fmt;

use super::expect::Due;
use super::plan::Plan;

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<(bool, &'static str), Row>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    /// Calls that are free whatever was used.
    free: u64,
    reported: Sums,
    estimated: Sums,
    /// Charged all that was held.
    capped: Sums,
}

/// Micro-credits of some calls.
#[derive(Clone, Copy, Default)]
struct Sums {
    calls: u64,
    used: u64,
    charged: u64,
}

impl Sums {
    fn add(&mut self, used: u64, charged: u64) {
        self.calls += 1;
        self.used += used;
        self.charged += charged;
    }

    fn join(&mut self, other: &Sums) {
        self.calls += other.calls;
        self.used += other.used;
        self.charged += other.charged;
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {}", self.calls, self.used, self.charged)?;
        if let Some(hundredths) = (self.charged * 100 + self.used / 2).checked_div(self.used) {
            return write!(f, " | {}.{:02}", hundredths / 100, hundredths % 100);
        }
        write!(f, " |")
    }
}

impl Table {
    pub(super) fn add(&mut self, plan: &Plan, charged: u64, due: &Due) {
        let row = self
            .rows
            .entry((plan.model.tokenizer, plan.ending.name()))
            .or_default();
        let Some((used, _)) = due.used else {
            row.free += 1;
            return;
        };
        let used = plan.model.cost(&used);
        if due.capped {
            row.capped.add(used, charged);
        } else if due.exact {
            row.reported.add(used, charged);
        } else {
            row.estimated.add(used, charged);
        }
    }

    fn all(&self, of: impl Fn(bool) -> bool) -> Row {
        let mut all = Row::default();
        for (_, row) in self.rows.iter().filter(|((tokenizer, _), _)| of(*tokenizer)) {
            all.free += row.free;
            all.reported.join(&row.reported);
            all.estimated.join(&row.estimated);
            all.capped.join(&row.capped);
        }
        all
    }

    pub(super) fn used_as_reported(&self) -> u64 {
        self.all(|_| true).reported.used
    }

    pub(super) fn charged_as_reported(&self) -> u64 {
        self.all(|_| true).reported.charged
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| Ending | nothing due | reported: calls | used | charged | ratio | estimated: calls | used | charged | ratio | up to the hold: calls | used | charged | ratio |"
        )?;
        writeln!(
            f,
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        let rows = self.rows.iter().map(|((tokenizer, name), row)| {
            let known = if *tokenizer {
                "; its tokenizer is known"
            } else {
                ""
            };
            (format!("{name}{known}"), *row)
        });
        let sums = [
            (
                "all without a tokenizer".to_owned(),
                self.all(|tokenizer| !tokenizer),
            ),
            ("all with one".to_owned(), self.all(|tokenizer| tokenizer)),
            ("all".to_owned(), self.all(|_| true)),
        ];
        for (name, row) in rows.chain(sums) {
            writeln!(
                f,
                "| {name} | {} | {} | {} | {} |",
                row.free, row.reported, row.estimated, row.capped
            )?;
        }
        Ok(())
    }
}
