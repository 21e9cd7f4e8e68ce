//! The ledger on Redis: every change is one Lua script, that is one step which happens wholly or not at all, at the server's time.
//!
//! Read in this order: [`keys`] and [`layout`] (what is stored where), `lua/` with [`script`] and [`codes`] (what happens), [`encode`] and [`answer`]
//! (commands in, outcomes out), [`calls`] and [`lane`] (many operations in one call), [`connect`], [`node`] and [`router`] (servers), [`start`]
//! (what is checked first), [`server`] (what servers say of themselves), [`write`], [`find`] and [`read`] (the port itself), [`records`], [`put`],
//! [`rebuild`] and [`mod@copy`] (records made anew), [`memos`] (what lies beside the books).

mod answer;
mod calls;
mod codes;
mod connect;
mod copy;
mod decode;
mod encode;
mod fault;
mod find;
mod keys;
mod lane;
mod layout;
mod memos;
mod meta;
mod node;
mod put;
mod read;
mod rebuild;
mod records;
mod router;
mod script;
mod server;
mod start;
mod stored;
mod sweep;
mod verify;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use connect::{Address, Connect, Connecting, Network, Stream};
pub use copy::{Copied, copy};

use super::{Answer, DayUsage, Ledger, LedgerError, Memory, Page, Statement, VerifyReport};
use crate::domain::command::{Command, Outcome};
use crate::domain::entry::Entry;
use crate::domain::hold::{Hold, OnExpiry};
use crate::domain::ids::{AccountId, HoldId, KeyDigest};
use crate::domain::key::{Identity, Key};
use crate::domain::time::Timestamp;
use calls::Context;
use connect::Endpoint;
use lane::Seen;
use meta::{Meta, New};
use node::{Node, Use};
use router::Router;
use script::{Rendering, Scripts};

/// Partitions of a new store on one server. What a call costs Redis is how many partitions it touches, and one server gains nothing by several.
pub const PARTITIONS_SINGLE: u32 = 1;

/// Partitions of a new store on a cluster: what its servers can share.
pub const PARTITIONS_CLUSTER: u32 = 64;

/// How a ledger on Redis is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// One server, or some servers of a cluster.
    pub urls: Vec<String>,
    /// Makes the streams to servers; a [`Network`] outside of simulations.
    pub connect: Arc<dyn Connect>,
    /// How many partitions the store has, 1 to 4096. Not said: as many as the store that is there; a new one gets [`PARTITIONS_SINGLE`] or, on a
    /// cluster, [`PARTITIONS_CLUSTER`]. It never changes: a store with another number is refused.
    pub partitions: Option<u32>,
    /// How long one attempt may take, a connection's making included.
    pub attempt: Duration,
    /// How long an operation may take in all.
    pub patience: Duration,
    /// How long an attempt may take to read what can be long: lists, histories, statements, pieces of a verification.
    pub reading: Duration,
    /// Shared connections per server for what requests do; more than one only helps where one is busy.
    pub lanes: usize,
    /// Connections per server for everything else.
    pub pool: u32,
    /// Chance: names a new store.
    pub epoch: u32,
    /// Tests only: the time, instead of the server's.
    pub time: Option<TestTime>,
}

impl Options {
    /// The servers, without user and password.
    ///
    /// Errors: a url cannot be read.
    pub fn servers(&self) -> Result<String, LedgerError> {
        let address = |url: &String| Ok(Endpoint::parse(url)?.address.to_string());
        let all: Result<Vec<String>, LedgerError> = self.urls.iter().map(address).collect();
        Ok(all?.join(", "))
    }

    /// With what suits most: only urls and chance are to be given.
    pub fn new(urls: Vec<String>, connect: Arc<dyn Connect>, epoch: u32) -> Options {
        Options {
            urls,
            connect,
            partitions: None,
            attempt: Duration::from_millis(500),
            patience: Duration::from_millis(900),
            reading: Duration::from_secs(5),
            lanes: 2,
            pool: 8,
            epoch,
            time: None,
        }
    }
}

/// A time that a test sets. The ledger's own never goes back, whatever is set here.
#[derive(Clone, Debug)]
pub struct TestTime(Arc<AtomicI64>);

impl TestTime {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> TestTime {
        TestTime(Arc::new(AtomicI64::new(now.micros())))
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.micros(), Ordering::SeqCst);
    }
}

/// The ledger on Redis.
pub struct RedisLedger {
    options: Options,
    router: Router,
    scripts: Arc<Scripts>,
    seen: Arc<Seen>,
    /// Epoch and generation as last read.
    stamp: AtomicI64,
    partitions: u32,
    /// It has closed the store to all others.
    alone: bool,
    durability: String,
}

impl fmt::Debug for RedisLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLedger")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

impl RedisLedger {
    /// Connects, checks the servers, and finds or makes the store.
    ///
    /// Errors: [`LedgerError::Unavailable`] when no server can be reached now; [`LedgerError::Misconfigured`] and [`LedgerError::LostHistory`]
    /// when it must not be used as it is.
    pub async fn open(options: Options) -> Result<RedisLedger, LedgerError> {
        let servers = Servers::find(&options).await?;
        let meta = meta::find_or_make(&servers.router, servers.new_store(&options)).await?;
        servers.ledger(options, meta, meta.users_stamp(), false).await
    }

    /// Makes an empty store that nobody else can use until [`RedisLedger::open_up`]: to copy into.
    async fn receive(options: Options) -> Result<(RedisLedger, Meta), LedgerError> {
        let servers = Servers::find(&options).await?;
        let meta = meta::make_closed(&servers.router, servers.new_store(&options)).await?;
        let ledger = servers.ledger(options, meta, meta.stamp(), true).await?;
        Ok((ledger, meta))
    }

    /// Closes the store to everybody but the ledger that this returns.
    async fn close(&self, state: meta::State) -> Result<(RedisLedger, Meta), LedgerError> {
        let servers = Servers::find(&self.options).await?;
        servers
            .router
            .learn(0)
            .await
            .map_err(|fault| fault.for_caller("", 0))?;
        let context = self.context();
        let meta = meta::close(&servers.router, &self.scripts, context, state).await?;
        let ledger = servers
            .ledger(self.options.clone(), meta, meta.stamp(), true)
            .await?;
        Ok((ledger, meta))
    }

    /// Opens the store that this ledger closed.
    async fn open_up(&self, closed: Meta) -> Result<(), LedgerError> {
        let opened = meta::open(&self.router, &self.scripts, self.context(), closed).await;
        opened.map(|_| ())
    }

    fn context(&self) -> Context {
        Context {
            stamp: self.stamp.load(Ordering::Relaxed),
            time: self
                .options
                .time
                .as_ref()
                .map(|time| time.0.load(Ordering::SeqCst)),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.options.patience.as_millis()).unwrap_or(u64::MAX)
    }

    fn lost(&self, partition: u32, what: &str) -> LedgerError {
        LedgerError::LostHistory(format!("partition {partition} {what}"))
    }

    /// A script found another epoch or generation: reads which it is now. Another epoch is another store.
    async fn learn_stamp(&self) -> Result<(), LedgerError> {
        let meta = meta::again(&self.router).await?;
        if self.alone {
            return Err(LedgerError::Unavailable(
                "somebody else has begun to rebuild the ledger".to_owned(),
            ));
        }
        let (old, new) = (self.stamp.load(Ordering::Relaxed), meta.stamp());
        if old >> 20 != new >> 20 {
            return Err(LedgerError::LostHistory(
                "it is another store than the one that was opened".to_owned(),
            ));
        }
        meta.check_open()?;
        if old != new {
            self.stamp.store(new, Ordering::Relaxed);
            self.seen.forget();
        }
        Ok(())
    }
}

/// Servers that can be used.
struct Servers {
    router: Router,
    usage: Use,
    settings: start::Settings,
}

impl Servers {
    /// Connects to those that the options name, and checks them.
    async fn find(options: &Options) -> Result<Servers, LedgerError> {
        if let Some(wanted) = options.partitions
            && (wanted == 0 || wanted > keys::PARTITIONS_MAX)
        {
            return Err(LedgerError::Misconfigured(format!(
                "a ledger has 1 to {} partitions, not {wanted}",
                keys::PARTITIONS_MAX
            )));
        }
        let given = options
            .urls
            .iter()
            .map(|url| Endpoint::parse(url))
            .collect::<Result<Vec<_>, _>>()?;
        let mut usage = Use {
            connect: Arc::clone(&options.connect),
            scripts: Arc::new(Scripts::new(Rendering::default())),
            seen: Arc::new(Seen::default()),
            attempt: options.attempt,
            patience: options.patience,
            lanes: options.lanes,
            pool: options.pool,
            cluster: false,
        };
        let (server, settings) = ask_first(&given, &usage).await?;
        settings.check()?;
        usage.cluster = server.cluster;
        usage.scripts = Arc::new(Scripts::new(Rendering {
            shebang: server.version >= (7, 0),
            test_time: options.time.is_some(),
        }));
        Ok(Servers {
            router: Router::new(given, usage.clone()),
            usage,
            settings,
        })
    }

    fn new_store(&self, options: &Options) -> New {
        New {
            wanted: options.partitions,
            default: if self.usage.cluster {
                PARTITIONS_CLUSTER
            } else {
                PARTITIONS_SINGLE
            },
            epoch: options.epoch,
        }
    }

    /// The ledger on them.
    async fn ledger(
        self,
        options: Options,
        meta: Meta,
        stamp: i64,
        alone: bool,
    ) -> Result<RedisLedger, LedgerError> {
        self.usage.seen.begin(meta.partitions);
        self.router
            .learn(meta.partitions)
            .await
            .map_err(|fault| fault.for_caller("", 0))?;
        let settings = start::all_settings(&self.router, self.settings).await?;
        Ok(RedisLedger {
            durability: settings.durability(self.usage.cluster),
            router: self.router,
            scripts: self.usage.scripts,
            seen: self.usage.seen,
            stamp: AtomicI64::new(stamp),
            partitions: meta.partitions,
            alone,
            options,
        })
    }
}

/// The first server that answers, and its settings.
async fn ask_first(given: &[Endpoint], usage: &Use) -> Result<(start::Server, start::Settings), LedgerError> {
    let mut last = LedgerError::Misconfigured("the ledger's url is missing".to_owned());
    for endpoint in given {
        let node = Node::new(endpoint.clone(), usage);
        match start::server(&node).await {
            Ok(server) if !server.cluster && given.len() > 1 => {
                return Err(LedgerError::Misconfigured(format!(
                    "several urls are for the nodes of a Redis Cluster, and {} is none: name one url, or start it with cluster-enabled yes",
                    endpoint.address
                )));
            }
            Ok(server) => return Ok((server, start::settings(&node).await?)),
            Err(fault) => last = fault.for_caller("", 0),
        }
    }
    Err(last)
}

impl Ledger for RedisLedger {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        Box::pin(self.decide(command))
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        Box::pin(self.identity(digest))
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        Box::pin(self.read_statement(account))
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        Box::pin(self.read_keys(account))
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        Box::pin(self.read_hold(account, hold))
    }

    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        Box::pin(self.read_accounts(cursor, limit))
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        Box::pin(self.read_entries(account, cursor, limit))
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        Box::pin(self.read_entries_of_hold(account, hold))
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        Box::pin(self.read_days(account, from, to))
    }

    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        Box::pin(self.read_journal(partition, after, limit))
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn partition_of(&self, account: &AccountId) -> u32 {
        self.place(account).0
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        Box::pin(self.sweep_all(on_expiry))
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        Box::pin(self.verify_all())
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        Box::pin(self.rebuild_all())
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        Box::pin(self.read_time())
    }

    fn memory(&self) -> Answer<'_, Option<Memory>> {
        Box::pin(self.read_memory())
    }

    fn durability(&self) -> String {
        self.durability.clone()
    }
}
