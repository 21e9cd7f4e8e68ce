//! What is checked of servers before the ledger is used: their version and settings.

use std::collections::BTreeMap;

use redis::Value;

use super::fault::Fault;
use super::node::Node;
use super::router::Router;
use super::server::field;
use crate::ledger::LedgerError;

/// The oldest Redis that can be used.
const VERSION_MIN: (u32, u32) = (6, 2);

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    pub(super) version: (u32, u32),
    pub(super) cluster: bool,
}

fn failed(fault: Fault) -> LedgerError {
    fault.for_caller("", 0)
}

/// Asks a server what it is.
pub(super) async fn server(node: &Node) -> Result<Server, Fault> {
    let info = node.ask(&redis::cmd("INFO"), false).await?;
    let Value::BulkString(text) = info else {
        return Err(Fault::Setup("INFO is not answered with text".to_owned()));
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let field = |name| field(&text, name);
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
                "Redis writes to disk once a second (appendfsync everysec): about one second of operations is lost when the power fails, up to two when its process fails while the disk is slow. Set appendfsync always to lose none."
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
