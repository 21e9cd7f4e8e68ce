//! The end of a run: the books against the witness.

use std::collections::BTreeMap;
use std::sync::Arc;

use faregate::domain::account::Account;
use faregate::domain::command::Command;
use faregate::domain::credits::Credits;
use faregate::domain::engine::invariants;
use faregate::domain::entry::{Entry, EntryKind};
use faregate::domain::grant::Grant;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::AccountId;
use faregate::ledger::{Ledger, Page, Statement};

use super::plan::{AccountPlan, Meddling};
use super::proxy::healed;
use super::witness::{Served, Witness};
use super::world::{Run, now};

/// What the journal says of one hold.
#[derive(Debug, Default)]
struct Told {
    opened: i64,
    times_opened: u32,
    freed: i64,
    ends: u32,
    charge: i64,
}

/// Reads everything and compares.
pub(super) async fn audit(run: &Run, ledger: &Arc<dyn Ledger>) {
    match healed(|| ledger.verify()).await {
        Ok(report) => {
            for difference in report.differences {
                run.witness().wrong(now(), format!("verify: {difference}"));
            }
        }
        Err(error) => run
            .witness()
            .wrong(now(), format!("no answer to verify: {error}")),
    }
    for account in &run.plan.accounts {
        let (statement, entries) = match read(ledger, account).await {
            Ok(read) => read,
            Err(what) => {
                run.witness().wrong(now(), what);
                continue;
            }
        };
        let mut witness = run.witness();
        for entry in &entries {
            witness.trace.note(now(), &format_args!("{entry:?}"));
        }
        let found = compare(run, &witness, account, &statement, &entries);
        for what in found {
            witness.wrong(now(), format!("{}: {what}", account.id));
        }
    }
}

/// An account as it stands, and all its entries. A statement tells what is due without writing it down, so that is applied first.
async fn read(ledger: &Arc<dyn Ledger>, account: &AccountPlan) -> Result<(Statement, Vec<Entry>), String> {
    let id: AccountId = account.id.parse().expect("a name");
    for _ in 0..10 {
        let due = Command::ApplyDue { account: id.clone() };
        let answer = healed(|| ledger.execute(&due)).await;
        answer.map_err(|e| format!("{id}: what is due is not applied: {e}"))?;
        let statement = healed(|| ledger.statement(&id)).await;
        let entries = all_entries(ledger, &id).await;
        match (statement, entries) {
            (Ok(Some(statement)), Ok(entries)) if statement.account.entries == entries.len() as u64 => {
                return Ok((statement, entries));
            }
            (Ok(Some(_)), Ok(_)) => {}
            (statement, entries) => return Err(format!("{id} cannot be read: {statement:?} {entries:?}")),
        }
    }
    Err(format!(
        "{id}: the journal does not agree with the number of entries"
    ))
}

/// All of an account's entries, oldest first.
async fn all_entries(
    ledger: &Arc<dyn Ledger>,
    id: &AccountId,
) -> Result<Vec<Entry>, faregate::ledger::LedgerError> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let Page { items, next } = healed(|| ledger.entries(id, cursor.as_deref(), 1_000)).await?;
        all.extend(items);
        cursor = next;
        if cursor.is_none() {
            all.reverse();
            return Ok(all);
        }
    }
}

fn compare(
    run: &Run,
    witness: &Witness,
    plan: &AccountPlan,
    statement: &Statement,
    entries: &[Entry],
) -> Vec<String> {
    let account = &statement.account;
    let mut found: Vec<String> = invariants::check_journal(account.balance(), entries.iter())
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut law = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    let balance = account.balance();
    let owed = &witness.accounts[&plan.id];
    // A grant that arrived when its time was over never counted.
    let over = |g: &&Grant| owed.too_late.contains(g.facts.id.as_str()) && g.remaining() == g.facts.amount;
    let too_late: Credits = statement.grants.iter().filter(over).map(|g| g.facts.amount).sum();
    let expected = owed.told - owed.taken - too_late.micros();
    law(
        balance.granted.micros() == expected,
        format!(
            "granted {} micro-credits, not {expected}: {owed:?}",
            balance.granted.micros()
        ),
    );
    law(
        balance.held.is_zero() && account.gauge.open == 0,
        format!("holds are left: {balance:?}"),
    );
    let told = holds(entries);
    let charged: i64 = told.values().map(|t| t.charge).sum();
    law(
        charged == balance.spent.micros(),
        format!("spent {}, the charges make {charged}", balance.spent.micros()),
    );
    for (hold, told) in &told {
        law(
            told.times_opened == 1,
            format!("{hold} was opened {} times", told.times_opened),
        );
        law(
            told.freed == told.opened,
            format!("{hold} gave back {} of {}", told.freed, told.opened),
        );
    }
    let of_account = || witness.served.iter().filter(|(_, s)| s.account == plan.id);
    for (id, served) in of_account().filter(|(_, s)| !witness.before_the_loss(s)) {
        match told.get(&id.to_string()) {
            None => law(
                false,
                format!("{id} was served, and the journal does not know it"),
            ),
            Some(told) => check_served(run, &id.to_string(), served, told, &mut law),
        }
    }
    let some_orphans =
        of_account().any(|(_, s)| s.orphan) || run.plan.kills_proxies() || witness.rebuilt.is_some();
    for (hold, told) in &told {
        if of_account().any(|(id, _)| id.to_string() == *hold) {
            continue;
        }
        let kept = run.plan.on_expiry == OnExpiry::Capture && some_orphans && told.charge == told.opened;
        law(
            told.charge == 0 || kept,
            format!("{hold} was never served, and charged {}", told.charge),
        );
    }
    check_floor(run, witness, plan, account, &mut law);
    found
}

fn check_served(run: &Run, id: &str, served: &Served, told: &Told, law: &mut impl FnMut(bool, String)) {
    law(
        (served.held..=served.held + served.doubt).contains(&told.opened),
        format!(
            "{id} held {} and perhaps {}, the journal says {}",
            served.held, served.doubt, told.opened
        ),
    );
    let served = &Served {
        held: told.opened,
        ..served.clone()
    };
    let may = served.may_charge(run.plan.on_expiry);
    law(
        may.contains(&told.charge),
        format!("{id} was charged {}, not one of {may:?}: {served:?}", told.charge),
    );
    let lived = !served.orphan && !run.plan.renewals_may_fail();
    law(
        told.ends == 1 || !lived,
        format!("{id} ended {} times while its proxy lived", told.ends),
    );
}

/// Available is at the floor or above, but for causes that the witness saw.
fn check_floor(
    run: &Run,
    witness: &Witness,
    plan: &AccountPlan,
    account: &Account,
    law: &mut impl FnMut(bool, String),
) {
    let exceptions = account.exceptions;
    let below = account.available().micros() + plan.credit_line.micros();
    let named = exceptions.overrun.micros() + exceptions.late.micros() + exceptions.clawback.micros();
    law(
        below >= -named,
        format!("{below} below the floor, {exceptions:?}"),
    );
    let of_account = || witness.served.values().filter(|s| s.account == plan.id);
    // Of what was lost, the extensions of holds that were not may be gone.
    let beyond = |s: &Served| match witness.before_the_loss(s) {
        true => s.charge,
        false => (s.charge - s.held).max(0),
    };
    let overrun: i64 = of_account().map(beyond).sum();
    law(
        exceptions.overrun.micros() <= overrun,
        format!("overrun is {:?}, seen {overrun}", exceptions.overrun),
    );
    let late_possible = run.plan.renewals_may_fail();
    law(
        exceptions.late.is_zero() || late_possible,
        format!(
            "late captures of {:?} while every renewal arrived",
            exceptions.late
        ),
    );
    let taken = plan
        .meddling
        .iter()
        .any(|(_, m)| matches!(m, Meddling::Adjust(by) if *by < 0));
    law(
        exceptions.clawback.is_zero() || taken,
        format!("a clawback of {:?} that nobody made", exceptions.clawback),
    );
}

fn holds(entries: &[Entry]) -> BTreeMap<String, Told> {
    let mut holds: BTreeMap<String, Told> = BTreeMap::new();
    for entry in entries {
        let of_hold = matches!(
            entry.kind,
            EntryKind::Hold | EntryKind::Extend | EntryKind::Capture | EntryKind::Release
        );
        if !of_hold {
            continue;
        }
        let told = holds.entry(entry.subject.to_string()).or_default();
        let amount = entry.amount.micros();
        match entry.kind {
            EntryKind::Hold => {
                told.opened += amount;
                told.times_opened += 1;
            }
            EntryKind::Extend => told.opened += amount,
            _ => {
                told.freed += entry.held.micros();
                told.ends += 1;
                told.charge += amount;
            }
        }
    }
    holds
}
