//! What is checked before the ledger is used: the server's version and settings, and that the store is this ledger's.

use std::collections::BTreeMap;

use redis::Value;

use super::fault::Fault;
use super::keys::{Keys, META};
use super::layout::{self, Writer};
use super::node::Node;
use super::router::Router;
use crate::domain::credits::Credits;
use crate::ledger::LedgerError;

/// The oldest Redis that can be used.
const VERSION_MIN: (u32, u32) = (6, 2);

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    pub(super) version: (u32, u32),
    pub(super) cluster: bool,
}

/// The store's own record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    pub(super) partitions: u32,
    pub(super) epoch: u32,
    pub(super) generation: u32,
    /// All partitions were made; from then on one that is missing is a loss.
    ready: bool,
}

impl Meta {
    /// Epoch and generation in one number, which every call carries.
    pub(super) fn stamp(self) -> i64 {
        i64::from(self.epoch) << 20 | i64::from(self.generation & 0xf_ffff)
    }

    fn text(self) -> String {
        format!(
            "layout={} partitions={} epoch={} generation={} ready={}",
            layout::VERSION,
            self.partitions,
            self.epoch,
            self.generation,
            u8::from(self.ready)
        )
    }

    fn read(stored: &[u8]) -> Result<Meta, LedgerError> {
        let text = String::from_utf8_lossy(stored);
        let fields: BTreeMap<_, _> = text
            .split(' ')
            .filter_map(|field| field.split_once('='))
            .collect();
        let number = |name| fields.get(name).and_then(|n: &&str| n.parse::<u32>().ok());
        let layout = number("layout");
        if layout != Some(layout::VERSION) {
            return Err(LedgerError::Misconfigured(format!(
                "the Redis store was written with layout {layout:?}, this program has layout {}: use the program that fits, or copy the ledger",
                layout::VERSION
            )));
        }
        let meta = || {
            Some(Meta {
                partitions: number("partitions")?,
                epoch: number("epoch")?,
                generation: number("generation")?,
                ready: number("ready")? == 1,
            })
        };
        meta()
            .ok_or_else(|| LedgerError::LostHistory(format!("the store's own record {META} cannot be read")))
    }
}

fn failed(fault: Fault) -> LedgerError {
    fault.for_caller("", 0)
}

async fn ask(router: &Router, partition: Option<u32>, cmd: &redis::Cmd) -> Result<Value, LedgerError> {
    router.ask(partition, cmd).await.map_err(failed)
}

/// Asks a server what it is.
pub(super) async fn server(node: &Node) -> Result<Server, Fault> {
    let info = node.ask(&redis::cmd("INFO"), false).await?;
    let Value::BulkString(text) = info else {
        return Err(Fault::Setup("INFO is not answered with text".to_owned()));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let version = field("redis_version").unwrap_or("0.0");
    let mut numbers = version.split('.').map(|n| n.parse().unwrap_or(0));
    let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if numbers < VERSION_MIN {
        let (major, minor) = VERSION_MIN;
        return Err(Fault::Setup(format!(
            "version {version} is too old, at least {major}.{minor} is needed"
        )));
    }
    let cluster = field("cluster_enabled") == Some("1");
    if field("role") == Some("slave") && !cluster {
        return Err(Fault::NotPrimary(format!(
            "{} is a replica",
            node.link.endpoint.address
        )));
    }
    Ok(Server {
        version: numbers,
        cluster,
    })
}

/// A server's settings, as far as it tells them.
pub(super) async fn settings(node: &Node) -> Result<Settings, LedgerError> {
    let mut known = BTreeMap::new();
    for name in [
        "maxmemory-policy",
        "appendonly",
        "appendfsync",
        "save",
        "cluster-require-full-coverage",
    ] {
        match node.ask(redis::cmd("CONFIG").arg("GET").arg(name), false).await {
            Ok(Value::Array(pair)) => {
                if let [_, Value::BulkString(value)] = pair.as_slice() {
                    known.insert(name, String::from_utf8_lossy(value).into_owned());
                }
            }
            Ok(_) | Err(Fault::Script(_) | Fault::Setup(_)) => {}
            Err(fault) => return Err(failed(fault)),
        }
    }
    Ok(Settings { known })
}

/// The settings of all servers that have partitions, checked; of those that promise least. One that is away is not asked: the others go on.
pub(super) async fn all_settings(router: &Router, first: Settings) -> Result<Settings, LedgerError> {
    let mut least = first;
    for (node, _) in router.shards() {
        match settings(&node).await {
            Ok(found) => {
                found.check()?;
                if found.promises() < least.promises() {
                    least = found;
                }
            }
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(least)
}

/// What a server tells of its settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Settings {
    known: BTreeMap<&'static str, String>,
}

impl Settings {
    fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str)
    }

    /// B18: credits must never be thrown out to make room.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        match self.get("maxmemory-policy") {
            Some(policy) if policy != "noeviction" => Err(LedgerError::Misconfigured(format!(
                "Redis throws records out when its memory is full (maxmemory-policy {policy}): set maxmemory-policy noeviction"
            ))),
            _ => Ok(()),
        }
    }

    /// More for settings that lose less.
    fn promises(&self) -> u8 {
        match (self.get("appendonly"), self.get("appendfsync")) {
            (Some("yes"), Some("always")) => 4,
            (Some("yes"), Some("everysec")) => 3,
            (Some("yes"), _) => 2,
            (Some(_), _) => 1,
            (None, _) => 0,
        }
    }

    /// What can be lost, in a sentence or, of a cluster, some.
    pub(super) fn durability(&self, cluster: bool) -> String {
        let own = self.own_durability();
        if !cluster {
            return own;
        }
        let coverage = match self.get("cluster-require-full-coverage") {
            Some("yes") => {
                " While one master is away, no account is served: set cluster-require-full-coverage no to keep serving those of the others."
            }
            _ => "",
        };
        format!(
            "{own} When a replica takes over from a master of the cluster, what it had not received is lost.{coverage}"
        )
    }

    fn own_durability(&self) -> String {
        let appends = self.get("appendonly");
        let saves = self.get("save").is_some_and(|save| !save.is_empty());
        let text = match (appends, self.get("appendfsync")) {
            (Some("yes"), Some("always")) => {
                "Redis writes every operation to disk before it answers (appendfsync always): nothing is lost when a process or the power fails."
            }
            (Some("yes"), Some("everysec")) => {
                "Redis writes to disk once a second (appendfsync everysec): nothing is lost when a process fails; up to about one second of operations when the power fails. Set appendfsync always to lose none."
            }
            (Some("yes"), _) => {
                "Redis leaves it to the operating system when to write to disk: nothing is lost when a process fails; half a minute of operations or more when the power fails. Set appendfsync always to lose none."
            }
            (Some(_), _) if saves => {
                "Redis only takes snapshots (appendonly no): all operations since the last one are lost when it stops. Set appendonly yes and appendfsync always."
            }
            (Some(_), _) => {
                "Redis keeps nothing on disk (appendonly no, no snapshots): everything is lost when it stops. Set appendonly yes and appendfsync always."
            }
            (None, _) => {
                "What can be lost is not known: this user may not ask Redis for its settings (CONFIG GET). Make sure of appendonly yes, appendfsync always and maxmemory-policy noeviction."
            }
        };
        text.to_owned()
    }
}

/// Reads the store's own record, or makes the store, with as many partitions as are wanted, else the default. `epoch` is random, for a new one.
pub(super) async fn meta(
    router: &Router,
    wanted: Option<u32>,
    default: u32,
    epoch: u32,
) -> Result<Meta, LedgerError> {
    router.learn(0).await.map_err(failed)?;
    let stored = ask(router, None, redis::cmd("GET").arg(META)).await?;
    let meta = match stored {
        Value::BulkString(stored) => Meta::read(&stored)?,
        _ => begin(router, wanted.unwrap_or(default), epoch).await?,
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != meta.partitions) {
        return Err(LedgerError::Misconfigured(format!(
            "the Redis store has {} partitions, {wanted} are asked for: the number cannot be changed",
            meta.partitions
        )));
    }
    if meta.ready {
        return Ok(meta);
    }
    // Made by nobody yet, or by one who did not get to the end: there cannot be anything to lose.
    router.learn(meta.partitions).await.map_err(failed)?;
    let part = Writer::default()
        .number(meta.stamp(), 7)
        .number(0, 6)
        .number(0, 7)
        .number(Credits::MAX.micros(), 7)
        .bytes(&[b'0'; 16])
        .0;
    for n in 0..meta.partitions {
        let key = Keys(n).part();
        ask(
            router,
            Some(n),
            redis::cmd("SET").arg(&key).arg(part.as_slice()).arg("NX"),
        )
        .await?;
    }
    let ready = Meta { ready: true, ..meta };
    ask(router, None, redis::cmd("SET").arg(META).arg(ready.text())).await?;
    Ok(ready)
}

/// Writes the record of a new store; of two who do so at once the first counts.
async fn begin(router: &Router, partitions: u32, epoch: u32) -> Result<Meta, LedgerError> {
    router.learn(partitions).await.map_err(failed)?;
    for n in 0..partitions {
        let key = Keys(n).part();
        if ask(router, Some(n), redis::cmd("EXISTS").arg(&key)).await? != Value::Int(0) {
            return Err(LedgerError::LostHistory(format!(
                "its own record {META} is missing and partition {n} is there"
            )));
        }
    }
    let meta = Meta {
        partitions,
        epoch,
        generation: 1,
        ready: false,
    };
    ask(
        router,
        None,
        redis::cmd("SET").arg(META).arg(meta.text()).arg("NX"),
    )
    .await?;
    match ask(router, None, redis::cmd("GET").arg(META)).await? {
        Value::BulkString(stored) => Meta::read(&stored),
        _ => Err(LedgerError::LostHistory(format!(
            "its own record {META} is missing"
        ))),
    }
}

/// Reads the record of a store that was opened before.
pub(super) async fn again(router: &Router) -> Result<Meta, LedgerError> {
    match ask(router, None, redis::cmd("GET").arg(META)).await? {
        Value::BulkString(stored) => Meta::read(&stored),
        _ => Err(LedgerError::LostHistory(format!(
            "its own record {META} is missing"
        ))),
    }
}
