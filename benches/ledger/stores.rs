//! The ledger's own stores, through the port that the gate uses: what an admit and a capture cost, and on what it depends.

use crate::customers::{self, Customers, Wealth};
use crate::figures::Figure;
use crate::process;
use crate::redis::{Reply, Server};
use faregate::clock::SystemClock;
use faregate::ledger::Ledger;
use faregate::ledger::embedded::{EmbeddedLedger, Options as Folder};
use faregate::ledger::redis::{Network, Options, RedisLedger};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is measured.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) fsync: String,
    /// Accounts where there are many.
    pub(crate) accounts: usize,
    /// Requests of each row and round.
    pub(crate) requests: usize,
}

const FEW: Wealth = Wealth { grants: 1, keys: 1 };
/// Callers that wait at once: as many as the gate's bench has connections.
const CALLERS: usize = 64;
/// Connections that are taken one by one.
const EXCLUSIVE: usize = 16;

/// All of it, one after the other.
pub(crate) fn run(plan: &Plan) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        redis(plan).await?;
        footprint(plan).await?;
        embedded(plan).await
    })
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

async fn open(server: &Server) -> io::Result<Arc<dyn Ledger>> {
    let url = format!("redis://127.0.0.1:{}", server.port());
    let network = Network::new(None).map_err(failed)?;
    let mut options = Options::new(vec![url], Arc::new(network), 7);
    // A hundred thousand accounts are made as fast as it goes: nobody gives up meanwhile.
    (options.attempt, options.patience) = (Duration::from_secs(10), Duration::from_secs(20));
    let ledger = RedisLedger::open(options).await.map_err(failed)?;
    Ok(Arc::new(ledger))
}

/// One line of the table: customers, the ledgers that their requests take in turn, and how many wait at once.
struct Row {
    name: String,
    customers: Arc<Customers>,
    ledgers: Vec<Arc<dyn Ledger>>,
    callers: usize,
    ours: Figure,
    redis: Figure,
    rate: Figure,
}

impl Row {
    fn new(name: &str, customers: &Arc<Customers>, ledgers: Vec<Arc<dyn Ledger>>, callers: usize) -> Row {
        Row {
            name: name.to_owned(),
            customers: Arc::clone(customers),
            ledgers,
            callers,
            ours: Figure::default(),
            redis: Figure::default(),
            rate: Figure::default(),
        }
    }

    async fn measure(&mut self, server: &Server, requests: usize) -> io::Result<()> {
        let before = (server.cpu()?, process::cpu(std::process::id())?, Instant::now());
        let done = customers::trade(&self.customers, &self.ledgers, self.callers, requests).await?;
        let theirs = server.cpu()? - before.0;
        // This process' figure has its child's in it.
        let ours = (process::cpu(std::process::id())? - before.1).saturating_sub(theirs);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / done as f64;
        self.ours.push(each(ours));
        self.redis.push(each(theirs));
        self.rate.push(done as f64 / before.2.elapsed().as_secs_f64());
        Ok(())
    }
}

async fn redis(plan: &Plan) -> io::Result<()> {
    let (small, large) = (Server::start(&plan.fsync)?, Server::start(&plan.fsync)?);
    let (ledger, many) = (open(&small).await?, open(&large).await?);
    let one = Arc::new(Customers::open(&ledger, "one", 1, FEW).await?);
    let rich = Wealth { grants: 100, keys: 1 };
    let rich = Arc::new(Customers::open(&ledger, "rich", 1, rich).await?);
    let thousand = Arc::new(Customers::open(&ledger, "some", 1_000, FEW).await?);
    let million = Arc::new(Customers::open(&many, "many", plan.accounts, FEW).await?);
    let mut exclusive = Vec::new();
    for _ in 0..EXCLUSIVE {
        exclusive.push(open(&small).await?);
    }
    let shared = || vec![Arc::clone(&ledger)];
    let mut rows = [
        Row::new("1 account, 1 grant", &one, shared(), CALLERS),
        Row::new("1 account, 100 grants", &rich, shared(), CALLERS),
        Row::new("1,000 accounts", &thousand, shared(), CALLERS),
        Row::new(
            &format!("{} accounts", plan.accounts),
            &million,
            vec![many],
            CALLERS,
        ),
        Row::new("1,000 accounts, 1 caller", &thousand, shared(), 1),
        Row::new(
            "1,000 accounts, 16 callers, one shared connection",
            &thousand,
            shared(),
            EXCLUSIVE,
        ),
        Row::new(
            "1,000 accounts, 16 callers, a connection each",
            &thousand,
            exclusive,
            EXCLUSIVE,
        ),
    ];
    for _ in 0..plan.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            let server = if at == 3 { &large } else { &small };
            row.measure(server, plan.requests).await?;
        }
    }
    println!("one request: admit and capture     us of the caller   us of Redis   requests/s");
    for row in rows {
        println!(
            "{:<52} {:>22} {:>22} {:>8.0}",
            row.name,
            row.ours.to_string(),
            row.redis.to_string(),
            row.rate.median()
        );
    }
    Ok(())
}

/// What an account with 3 grants and 2 keys takes in Redis.
async fn footprint(plan: &Plan) -> io::Result<()> {
    const ACCOUNTS: usize = 10_000;
    let server = Server::start(&plan.fsync)?;
    let ledger = open(&server).await?;
    let mut client = server.client()?;
    let before = used(&mut client)?;
    Customers::open(&ledger, "x", ACCOUNTS, Wealth { grants: 3, keys: 2 }).await?;
    let after = used(&mut client)?;
    let Reply::Int(journal) = client.call(&["MEMORY", "USAGE", "fg:{0}:j", "SAMPLES", "0"])? else {
        return Err(io::Error::other("Redis has no journal"));
    };
    let each = |bytes: i64| bytes / ACCOUNTS as i64;
    println!(
        "an account with 3 grants and 2 keys: {} bytes in Redis, and {} in the journal",
        each(after - before - journal),
        each(journal)
    );
    Ok(())
}

fn used(client: &mut crate::redis::Client) -> io::Result<i64> {
    let Reply::Bulk(info) = client.call(&["INFO", "memory"])? else {
        return Err(io::Error::other("INFO did not answer"));
    };
    let info = String::from_utf8_lossy(&info);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| io::Error::other("INFO has no used_memory"))
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn embedded(plan: &Plan) -> io::Result<()> {
    let folder =
        Scratch(std::env::temp_dir().join(format!("faregate-bench-{}-embedded", std::process::id())));
    let open = || {
        let mut options = Folder::new(folder.0.join("ledger"));
        options.answer_within = Duration::from_secs(30);
        EmbeddedLedger::open(options, Arc::new(SystemClock)).map_err(failed)
    };
    let ledger: Arc<dyn Ledger> = Arc::new(open()?);
    let customers = Arc::new(Customers::open(&ledger, "x", 1_000, FEW).await?);
    for callers in [1, 16, 64, 256] {
        let mut rate = Figure::default();
        for _ in 0..plan.rounds {
            let began = Instant::now();
            let requests = (plan.requests / 200 * callers).min(plan.requests);
            let done = customers::trade(&customers, &[Arc::clone(&ledger)], callers, requests).await?;
            rate.push(2.0 * done as f64 / began.elapsed().as_secs_f64());
        }
        println!("embedded, {callers:>3} callers: {rate} operations/s, each synced before its answer");
    }
    Customers::open(&ledger, "y", 100_000, FEW).await?;
    drop(ledger);
    let began = Instant::now();
    open()?;
    println!("embedded, opened with 101,000 accounts in {:?}", began.elapsed());
    Ok(())
}
