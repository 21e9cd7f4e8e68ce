//! Customers of a ledger, and their requests: an admit, then a capture.

use faregate::clock::{Clock, SystemClock};
use faregate::domain::command::{AccountChange, Admit, Capture, Command, NewKey, Outcome};
use faregate::domain::credits::Credits;
use faregate::domain::entry::Detail;
use faregate::domain::grant::{Category, GrantFacts};
use faregate::domain::ids::{AccountId, GrantId, HoldId, KeyDigest, KeyId};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

/// Accounts that are made at once.
const AT_ONCE: usize = 256;

/// What each has.
#[derive(Clone, Copy)]
pub(crate) struct Wealth {
    pub(crate) grants: usize,
    pub(crate) keys: usize,
}

/// Accounts, all alike.
pub(crate) struct Customers {
    ids: Vec<AccountId>,
    /// Rises with each change of an account's settings; the same for all.
    version: u64,
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn key_id(n: usize) -> io::Result<KeyId> {
    KeyId::new(&format!("key_{n}")).map_err(failed)
}

/// A digest that no other account's key has.
fn digest(account: &AccountId, n: usize) -> KeyDigest {
    let mut bytes = [n as u8; 32];
    for (to, from) in bytes.iter_mut().zip(account.as_str().bytes().rev()) {
        *to = from;
    }
    KeyDigest(bytes)
}

async fn apply(ledger: &Arc<dyn Ledger>, command: &Command) -> io::Result<()> {
    match ledger.execute(command).await.map_err(failed)? {
        Outcome::Applied(_) => Ok(()),
        other => Err(io::Error::other(format!("{command:?}: {other:?}"))),
    }
}

async fn make(ledger: Arc<dyn Ledger>, account: AccountId, has: Wealth) -> io::Result<()> {
    let detail = Detail::none();
    let change = AccountChange::Create(None);
    apply(
        &ledger,
        &Command::SetAccount {
            expected: None,
            account: account.clone(),
            change,
            detail: detail.clone(),
        },
    )
    .await?;
    let now = SystemClock.now();
    for n in 0..has.grants {
        let facts = GrantFacts {
            id: GrantId::new(&format!("grant_{n}")).map_err(failed)?,
            amount: Credits::whole(1_000_000),
            priority: 50,
            category: Category::Paid,
            effective_at: now,
            expires_at: now.plus(Span::from_secs(86_400 * 365 + n as i64)),
            created_at: now,
            updated_at: now,
            voided_at: None,
            note: None,
        };
        apply(
            &ledger,
            &Command::PutGrant {
                account: account.clone(),
                facts,
                detail: detail.clone(),
            },
        )
        .await?;
    }
    for n in 0..has.keys {
        let key = NewKey {
            id: key_id(n)?,
            digest: digest(&account, n),
            name: None,
            expires_at: Timestamp::NEVER,
            limits: Limits::NONE,
        };
        apply(
            &ledger,
            &Command::PutKey {
                account: account.clone(),
                key,
                detail: detail.clone(),
            },
        )
        .await?;
    }
    Ok(())
}

async fn next(tasks: &mut JoinSet<io::Result<()>>) -> io::Result<()> {
    tasks
        .join_next()
        .await
        .map_or(Ok(()), |done| done.map_err(failed)?)
}

impl Customers {
    /// Makes `count` accounts.
    pub(crate) async fn open(
        ledger: &Arc<dyn Ledger>,
        name: &str,
        count: usize,
        has: Wealth,
    ) -> io::Result<Customers> {
        let ids: Result<Vec<AccountId>, _> = (0..count)
            .map(|n| AccountId::new(&format!("{name}-{n:06}")))
            .collect();
        let ids = ids.map_err(failed)?;
        let mut tasks = JoinSet::new();
        for id in &ids {
            if tasks.len() == AT_ONCE {
                next(&mut tasks).await?;
            }
            tasks.spawn(make(Arc::clone(ledger), id.clone(), has));
        }
        while !tasks.is_empty() {
            next(&mut tasks).await?;
        }
        let first = ids.first().ok_or_else(|| failed("no customers"))?;
        let identity = ledger.identify(&digest(first, 0)).await.map_err(failed)?;
        let version = identity
            .ok_or_else(|| failed("the first key is not known"))?
            .version;
        Ok(Customers { ids, version })
    }

    fn caller(&self, account: &AccountId) -> io::Result<Arc<Caller>> {
        Ok(Arc::new(Caller {
            account: account.clone(),
            key: key_id(0)?,
            key_expires_at: Timestamp::NEVER,
            key_limits: Limits::NONE,
            limits: Limits::NONE,
            credit_line: Credits::ZERO,
            version: self.version,
        }))
    }
}

/// Whole requests of accounts drawn at random, so many waiting at once, the ledgers in turn; returns how many were done.
pub(crate) async fn trade(
    customers: &Arc<Customers>,
    ledgers: &[Arc<dyn Ledger>],
    callers: usize,
    requests: usize,
) -> io::Result<usize> {
    static HOLDS: AtomicU64 = AtomicU64::new(0);
    let each = (requests / callers).max(1);
    let mut tasks = JoinSet::new();
    for (n, ledger) in (0..callers).zip(ledgers.iter().cycle()) {
        let (customers, ledger) = (Arc::clone(customers), Arc::clone(ledger));
        tasks.spawn(async move {
            // A linear congruence is chance enough to miss every cache.
            let mut drawn = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1);
            for _ in 0..each {
                drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let account = &customers.ids[(drawn >> 33) as usize % customers.ids.len()];
                let mut random = [0; 10];
                random[..8].copy_from_slice(&HOLDS.fetch_add(1, Ordering::Relaxed).to_be_bytes());
                let hold = HoldId::new(SystemClock.now().millis(), random);
                request(&ledger, hold, customers.caller(account)?).await?;
            }
            Ok(())
        });
    }
    while !tasks.is_empty() {
        next(&mut tasks).await?;
    }
    Ok(each * callers)
}

async fn request(ledger: &Arc<dyn Ledger>, hold: HoldId, caller: Arc<Caller>) -> io::Result<()> {
    let price = Credits::MICRO;
    let admit = Admit {
        hold,
        caller: Arc::clone(&caller),
        least: price,
        most: price,
        tokens: 0,
        ttl: Span::from_secs(60),
        claim: None,
        detail: Detail::none(),
    };
    apply(ledger, &Command::Admit(admit)).await?;
    let capture = Capture {
        hold,
        caller,
        used: price,
        detail: Detail::none(),
    };
    apply(ledger, &Command::Capture(capture)).await
}
