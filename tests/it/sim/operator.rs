//! The operator's host: makes the accounts, refills and meddles while requests run, each change sent until it is answered; in the end audits the books.

use std::sync::Arc;
use std::time::Duration;

use faregate::domain::command::AccountChange;
use faregate::domain::grant::{Category, GrantFacts};
use faregate::domain::ids::{AccountId, CommandId, GrantId, PlanId, Reason};
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::{Ledger, LedgerError};
use faregate::service::accounts::{self, Actor, Changed, ControlError};
use faregate::service::grants;
use faregate::service::keys::{self, KeyOptions, SecretKey};

use super::audit;
use super::plan::{AccountPlan, Meddling, credits};
use super::proxy::connect;
use super::world::{Phase, Run, now};

/// By how much the store's clock is ahead at most.
const SKEW_MAX: Span = Span::from_secs(2);

/// A message that was sent again may arrive for so long: an operator in a hurry would see a pause come back after it was lifted.
const STRAGGLERS: Duration = Duration::from_secs(2);

/// The name of the operator's host.
pub(super) const HOST: &str = "operator";

/// The plan of accounts with a credit line of this many micro-credits.
pub(super) fn plan_of(credit_line: i64) -> PlanId {
    PlanId::new(&format!("line-{credit_line}")).expect("a name")
}

/// Sets up, works, audits.
pub(super) async fn work(run: Arc<Run>) -> turmoil::Result {
    let ledger = connect(&run, HOST).await;
    for account in &run.plan.accounts {
        open(&run, &ledger, account).await;
    }
    run.opened();
    let began = now();
    let mut at_work = Vec::new();
    for account in run.plan.accounts.clone() {
        let (run, ledger) = (Arc::clone(&run), Arc::clone(&ledger));
        let (refills, meddles) = (account.clone(), account);
        let (run_too, ledger_too) = (Arc::clone(&run), Arc::clone(&ledger));
        at_work.push(tokio::spawn(async move {
            refill(&run, &ledger, &refills, began, Duration::MAX).await
        }));
        at_work.push(tokio::spawn(async move {
            meddle(&run_too, &ledger_too, &meddles, began).await
        }));
    }
    let watch = tokio::spawn(rebuild_when_lost(Arc::clone(&run), Arc::clone(&ledger), began));
    for task in at_work {
        task.await?;
    }
    run.operator_done();
    while run.phase() != Phase::Audit {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watch.abort();
    audit::audit(&run, &ledger).await;
    run.audited();
    Ok(())
}

fn by() -> Actor {
    Actor::admin("operator")
}

/// Sends a change until the ledger has decided. A refusal is a bug: nothing here may be refused.
async fn until_decided<F: Future<Output = Result<Changed, ControlError>>>(
    run: &Run,
    what: &str,
    change: impl Fn() -> F,
) {
    loop {
        match change().await {
            Ok(changed) => {
                let again = if changed.replayed { " (again)" } else { "" };
                return run
                    .witness()
                    .trace
                    .note(now(), &format_args!("operator: {what}{again}"));
            }
            Err(ControlError::Refused(refusal)) => {
                return run
                    .witness()
                    .wrong(now(), format!("{what} was refused: {refusal:?}"));
            }
            Err(ControlError::Failed(LedgerError::LostHistory(_))) => {
                // A person needs a while to see it; who rebuilds is another task.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(ControlError::Failed(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn id_of(account: &AccountPlan) -> AccountId {
    account.id.parse().expect("a name")
}

async fn open(run: &Run, ledger: &Arc<dyn Ledger>, account: &AccountPlan) {
    let id = id_of(account);
    let line = account.credit_line.micros();
    {
        let mut witness = run.witness();
        let owed = witness.accounts.entry(account.id.clone()).or_default();
        (owed.credit_line, owed.concurrent, owed.daily) = (line, account.concurrent, account.daily);
    }
    let plan = Some(plan_of(line));
    set(run, ledger, &id, AccountChange::Create(plan)).await;
    let limits = Limits {
        concurrent: account.concurrent,
        spend_per_day: account.daily.map(credits),
        ..Limits::NONE
    };
    if limits != Limits::NONE {
        set(run, ledger, &id, AccountChange::Limits(limits)).await;
    }
    for key in &account.keys {
        let key = SecretKey::import(key).expect("long enough");
        let by = by();
        let put = || keys::put(ledger, &id, &key, KeyOptions::default(), &by);
        until_decided(run, "put key", put).await;
    }
}

async fn set(run: &Run, ledger: &Arc<dyn Ledger>, id: &AccountId, change: AccountChange) {
    let what = format!("{id} {change:?}");
    let by = by();
    until_decided(run, &what, || accounts::set(ledger, id, change.clone(), &by)).await;
}

/// Looks after the store: rebuilds one that has lost its history, and says again what was granted so far.
async fn rebuild_when_lost(run: Arc<Run>, ledger: Arc<dyn Ledger>, began: Duration) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if !matches!(ledger.ready().await, Err(LedgerError::LostHistory(_))) {
            continue;
        }
        let report = loop {
            // Its answer may get lost like any other.
            run.witness().rebuilding();
            if let Ok(report) = ledger.rebuild().await {
                break report;
            }
        };
        if !report.differences.is_empty() {
            run.witness().wrong(now(), format!("rebuilt: {report:?}"));
        }
        run.witness().rebuilt(now());
        // By tasks of their own: it may get lost again meanwhile.
        for account in run.plan.accounts.clone() {
            let (run, ledger, until) = (Arc::clone(&run), Arc::clone(&ledger), now());
            tokio::spawn(async move { refill(&run, &ledger, &account, began, until).await });
        }
    }
}

/// Tells of an account's grants when their time comes, those until then.
async fn refill(
    run: &Run,
    ledger: &Arc<dyn Ledger>,
    account: &AccountPlan,
    began: Duration,
    until: Duration,
) {
    let id = id_of(account);
    let mut by_time: Vec<_> = account.grants.iter().enumerate().collect();
    by_time.retain(|(_, (at, ..))| began + *at <= until);
    by_time.sort_by_key(|(_, (at, ..))| *at);
    for (n, (at, amount, lasts)) in by_time {
        wait_until(began + *at).await;
        let made = Timestamp::from_micros(1_000_000);
        let expires_at = match lasts {
            None => Timestamp::NEVER,
            // The same however often it is told.
            Some(lasts) => world_start().plus((began + *at + *lasts).into()),
        };
        let facts = GrantFacts {
            id: GrantId::new(&format!("g{n}")).expect("a name"),
            amount: *amount,
            priority: 50,
            category: Category::Paid,
            effective_at: made,
            expires_at,
            created_at: made,
            updated_at: made,
            voided_at: None,
            note: None,
        };
        run.witness().told(&account.id, n, amount.micros());
        let what = format!("grant {n} of {amount} to {id}");
        let by = by();
        until_decided(run, &what, || grants::put(ledger, &id, facts.clone(), &by)).await;
        // The store's clock may be ahead of ours by what it was moved.
        if world_time().plus(SKEW_MAX) >= expires_at {
            run.witness().too_late(&account.id, facts.id.as_str());
        }
    }
}

async fn meddle(run: &Run, ledger: &Arc<dyn Ledger>, account: &AccountPlan, began: Duration) {
    let id = id_of(account);
    let manual = || Reason::new("manual").expect("a name");
    for (n, (at, meddling)) in account.meddling.iter().enumerate() {
        wait_until(began + *at).await;
        match meddling {
            Meddling::Pause => {
                set(run, ledger, &id, AccountChange::Pause(manual())).await;
                run.witness().paused(&account.id, Some(now()));
                if !run.plan.is_in_order() {
                    tokio::time::sleep(STRAGGLERS).await;
                }
            }
            Meddling::Resume => {
                run.witness().paused(&account.id, None);
                set(run, ledger, &id, AccountChange::Resume(manual())).await;
            }
            Meddling::Revoke => {
                let text = account.keys.last().expect("a key");
                let key = SecretKey::import(text).expect("long enough").id();
                let by = by();
                until_decided(run, "revoke key", || keys::revoke(ledger, &id, &key, &by)).await;
                run.witness().revoked(text, now());
            }
            Meddling::Adjust(amount) => {
                if *amount > 0 {
                    run.witness().told(&account.id, usize::MAX - n, *amount);
                }
                let command = CommandId::new(&format!("adjust-{n}")).expect("a name");
                let (what, by) = (format!("adjust {id} by {amount}"), by());
                let amount = credits(*amount);
                let adjust = || accounts::adjust(ledger, &id, command.clone(), amount, "why not", &by);
                until_decided(run, &what, adjust).await;
                if amount.is_negative() {
                    let mut witness = run.witness();
                    let owed = witness.accounts.entry(account.id.clone()).or_default();
                    owed.taken -= amount.micros();
                }
            }
        }
    }
}

async fn wait_until(at: Duration) {
    tokio::time::sleep(at.saturating_sub(now())).await;
}

fn world_start() -> Timestamp {
    Timestamp::from_micros(world_time().micros() - i64::try_from(now().as_micros()).expect("an hour"))
}

fn world_time() -> Timestamp {
    let world = turmoil::since_epoch().expect("asked on a host").as_micros();
    Timestamp::from_micros(i64::try_from(world).expect("before the year 2255"))
}
