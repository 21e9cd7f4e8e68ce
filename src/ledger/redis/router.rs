//! Which server has which partition: the one there is, or by a cluster's map of slots. The map is corrected by what servers answer (`MOVED`), and learned
//! anew when one does not answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::connect::{Address, Endpoint};
use super::fault::Fault;
use super::keys::{slot_of, slot_of_meta};
use super::node::{Node, Use};
use super::script::Script;

/// A cluster that sends on more often than this is being moved about, or is broken.
pub(super) const REDIRECTS_MAX: usize = 8;

/// How long a slot that is being moved is left alone before it is asked about again.
const WAIT: Duration = Duration::from_millis(10);

/// However much fails, the map of slots is not learned more often.
const LEARN_EVERY: Duration = Duration::from_millis(50);

/// Finds servers.
#[derive(Debug)]
pub(super) struct Router {
    /// As the configuration names them.
    given: Vec<Endpoint>,
    usage: Use,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    owners: RwLock<Owners>,
    /// The server that told the map of slots last.
    told: Mutex<Option<Arc<Node>>>,
    /// When the map was last learned; whoever holds it is at it.
    learned: tokio::sync::Mutex<Option<Instant>>,
}

/// The node of each partition, and that of the store's own record; all the same without a cluster.
#[derive(Clone, Debug, Default)]
struct Owners {
    parts: Vec<Arc<Node>>,
    home: Option<Arc<Node>>,
}

impl Router {
    /// For these servers, of which the first is the one outside a cluster.
    pub(super) fn new(given: Vec<Endpoint>, usage: Use) -> Router {
        Router {
            given,
            usage,
            nodes: Mutex::default(),
            owners: RwLock::default(),
            told: Mutex::default(),
            learned: tokio::sync::Mutex::default(),
        }
    }

    fn node(&self, endpoint: &Endpoint) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = nodes
            .entry(endpoint.address.clone())
            .or_insert_with(|| Arc::new(Node::new(endpoint.clone(), &self.usage)));
        Arc::clone(node)
    }

    /// The nodes that were named.
    pub(super) fn given(&self) -> Vec<Arc<Node>> {
        self.given.iter().map(|endpoint| self.node(endpoint)).collect()
    }

    /// Learns where each partition is; outside a cluster there is nothing to learn. A slot that nobody has is looked for at the first server, which says so.
    pub(super) async fn learn(&self, partitions: u32) -> Result<(), Fault> {
        let first = self.first()?;
        let mut owners = Owners {
            parts: (0..partitions).map(|_| Arc::clone(&first)).collect(),
            home: Some(first),
        };
        if self.usage.cluster {
            let slots = self.slots().await?;
            let owner = |slot| {
                let range = slots.iter().find(|range| range.from <= slot && slot <= range.to);
                range.map(|range| self.node(&range.endpoint))
            };
            for (partition, node) in (0..partitions).zip(&mut owners.parts) {
                *node = owner(slot_of(partition)).unwrap_or_else(|| Arc::clone(node));
            }
            owners.home = owner(slot_of_meta()).or(owners.home);
        }
        *self.owners.write().unwrap_or_else(PoisonError::into_inner) = owners;
        Ok(())
    }

    /// Learns it again, since a server of a cluster did not do what it was asked: perhaps another has taken over, which the next attempt finds. Does
    /// nothing while somebody else is at it or just was.
    pub(super) async fn learn_again(&self) {
        if !self.usage.cluster {
            return;
        }
        let Ok(mut learned) = self.learned.try_lock() else {
            return;
        };
        if learned.is_none_or(|at| at.elapsed() >= LEARN_EVERY) {
            let partitions = self
                .owners
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .parts
                .len();
            // When nobody answers, the old map stays.
            let _ = self.learn(u32::try_from(partitions).unwrap_or_default()).await;
            *learned = Some(Instant::now());
        }
    }

    /// The nodes that have partitions, each with one of its own.
    pub(super) fn shards(&self) -> Vec<(Arc<Node>, u32)> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        let mut shards: Vec<(Arc<Node>, u32)> = Vec::new();
        for (node, partition) in owners.parts.iter().zip(0..) {
            if !shards.iter().any(|(known, _)| Arc::ptr_eq(known, node)) {
                shards.push((Arc::clone(node), partition));
            }
        }
        shards
    }

    /// Asks one server after the other for the map of slots; first that which told it last, since the others may be away.
    async fn slots(&self) -> Result<Vec<Slots>, Fault> {
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.values().cloned().collect()
        };
        let mut candidates: Vec<Arc<Node>> = told().iter().cloned().collect();
        for node in self.given().into_iter().chain(known) {
            if !candidates.iter().any(|other| Arc::ptr_eq(other, &node)) {
                candidates.push(node);
            }
        }
        let mut last = Fault::Setup("no server is named".to_owned());
        for node in candidates {
            match node.ask(redis::cmd("CLUSTER").arg("SLOTS"), false).await {
                Ok(value) => {
                    let slots = Slots::read(&value, &node.link.endpoint);
                    *told() = Some(node);
                    return slots;
                }
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    /// Sends a command about a partition (or about the store itself) to the server that has it.
    pub(super) async fn ask(&self, partition: Option<u32>, cmd: &Cmd) -> Result<Value, Fault> {
        self.follow(partition, None, cmd).await
    }

    /// Calls a script about a partition.
    pub(super) async fn call(&self, partition: u32, script: Script, cmd: &Cmd) -> Result<Value, Fault> {
        let attempt = self.usage.attempt;
        self.follow(Some(partition), Some((script, attempt)), cmd).await
    }

    /// Calls a script about the store's own record.
    pub(super) async fn call_home(&self, script: Script, cmd: &Cmd) -> Result<Value, Fault> {
        let attempt = self.usage.attempt;
        self.follow(None, Some((script, attempt)), cmd).await
    }

    /// The same as [`Router::call`] for what may take longer.
    pub(super) async fn call_within(
        &self,
        partition: u32,
        script: Script,
        cmd: &Cmd,
        attempt: Duration,
    ) -> Result<Value, Fault> {
        self.follow(Some(partition), Some((script, attempt)), cmd).await
    }

    /// Asks at the node that should know, and at those that it sends to; for as long as an operation may take, where a slot is being moved.
    async fn follow(
        &self,
        partition: Option<u32>,
        script: Option<(Script, Duration)>,
        cmd: &Cmd,
    ) -> Result<Value, Fault> {
        let deadline = Instant::now() + self.usage.patience;
        let (mut node, mut here, mut redirects) = (self.owner(partition)?, false, 0);
        loop {
            match node.call(script, cmd, here).await {
                Err(Fault::Elsewhere { node: to, ask }) if redirects < REDIRECTS_MAX => {
                    node = self.moved(partition, &node, &to, !ask)?;
                    (here, redirects) = (ask, redirects + 1);
                }
                Err(Fault::Moving(_)) if Instant::now() + WAIT < deadline => {
                    tokio::time::sleep(WAIT).await;
                    (node, here, redirects) = (self.owner(partition)?, false, 0);
                }
                Err(fault @ (Fault::NotPrimary(_) | Fault::NotDone(_) | Fault::Elsewhere { .. })) => {
                    self.learn_again().await;
                    return Err(fault);
                }
                answer => return answer,
            }
        }
    }

    /// The node of a partition, or of the store's own record.
    fn owner(&self, partition: Option<u32>) -> Result<Arc<Node>, Fault> {
        let home = || {
            let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
            owners.home.clone()
        };
        match partition {
            Some(partition) => self.of(partition),
            None => home().map_or_else(|| self.first(), Ok),
        }
    }

    fn first(&self) -> Result<Arc<Node>, Fault> {
        let first = self.given.first().map(|endpoint| self.node(endpoint));
        first.ok_or_else(|| Fault::Setup("no server is named".to_owned()))
    }

    /// The node of a partition.
    pub(super) fn of(&self, partition: u32) -> Result<Arc<Node>, Fault> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners
            .parts
            .get(partition as usize)
            .cloned()
            .ok_or_else(|| Fault::NotDone("the servers are not known yet".to_owned()))
    }

    /// A server said that a partition is at `node` (`host:port`); the node, remembered as the partition's if it `stays` there.
    pub(super) fn moved(
        &self,
        partition: Option<u32>,
        from: &Node,
        node: &str,
        stays: bool,
    ) -> Result<Arc<Node>, Fault> {
        let endpoint = from.link.endpoint.at(node);
        let endpoint = endpoint
            .ok_or_else(|| Fault::NotDone(format!("the cluster sends to {node:?}, which is no address")))?;
        let node = self.node(&endpoint);
        if stays {
            let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
            match partition.and_then(|partition| owners.parts.get_mut(partition as usize)) {
                Some(owner) => *owner = Arc::clone(&node),
                None => owners.home = Some(Arc::clone(&node)),
            }
        }
        Ok(node)
    }
}

/// A range of slots and the server that has it.
struct Slots {
    from: u16,
    to: u16,
    endpoint: Endpoint,
}

impl Slots {
    /// Reads the answer to `CLUSTER SLOTS`: ranges, each with its primary first.
    fn read(value: &Value, asked: &Endpoint) -> Result<Vec<Slots>, Fault> {
        let Value::Array(ranges) = value else {
            return Err(Fault::NotDone("the map of slots cannot be read".to_owned()));
        };
        let readable = ranges
            .iter()
            .filter_map(|range| Slots::range(range, asked))
            .collect::<Vec<_>>();
        if readable.is_empty() {
            return Err(Fault::NotDone(
                "the cluster has not shared out its slots yet".to_owned(),
            ));
        }
        Ok(readable)
    }

    fn range(range: &Value, asked: &Endpoint) -> Option<Slots> {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(from), Value::Int(to), Value::Array(primary), ..] = parts.as_slice() else {
            return None;
        };
        let Some(Value::Int(port)) = primary.get(1) else {
            return None;
        };
        let host = match primary.first() {
            Some(Value::BulkString(host)) => String::from_utf8_lossy(host).into_owned(),
            _ => String::new(),
        };
        Some(Slots {
            from: u16::try_from(*from).ok()?,
            to: u16::try_from(*to).ok()?,
            endpoint: asked.at(&format!("{host}:{port}"))?,
        })
    }
}
