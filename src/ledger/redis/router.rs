//! Which server has which partition: the one there is, or by a cluster's map of slots. The map is corrected by what servers answer (`MOVED`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, Value};

use super::connect::{Address, Endpoint};
use super::fault::Fault;
use super::keys::slot_of;
use super::node::{Node, Use};
use super::script::Script;

/// A cluster that sends on more often than this is being moved about, or is broken.
pub(super) const REDIRECTS_MAX: usize = 8;

/// Finds servers.
#[derive(Debug)]
pub(super) struct Router {
    /// As the configuration names them.
    given: Vec<Endpoint>,
    usage: Use,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    /// The node of each partition; all the same without a cluster.
    owners: RwLock<Vec<Arc<Node>>>,
}

impl Router {
    /// For these servers, of which the first is the one outside a cluster.
    pub(super) fn new(given: Vec<Endpoint>, usage: Use) -> Router {
        Router {
            given,
            usage,
            nodes: Mutex::default(),
            owners: RwLock::default(),
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

    /// Learns where each partition is; outside a cluster there is nothing to learn.
    pub(super) async fn learn(&self, partitions: u32) -> Result<(), Fault> {
        let first = self.first()?;
        let mut owners: Vec<_> = (0..partitions).map(|_| Arc::clone(&first)).collect();
        if self.usage.cluster {
            let slots = self.slots().await?;
            for (partition, owner) in (0..partitions).zip(&mut owners) {
                let slot = slot_of(partition);
                let range = slots.iter().find(|range| range.from <= slot && slot <= range.to);
                let range = range
                    .ok_or_else(|| Fault::NotDone(format!("no server of the cluster has slot {slot}")))?;
                *owner = self.node(&range.endpoint);
            }
        }
        *self.owners.write().unwrap_or_else(PoisonError::into_inner) = owners;
        Ok(())
    }

    /// Asks one server after the other for the map of slots.
    async fn slots(&self) -> Result<Vec<Slots>, Fault> {
        let mut last = Fault::Setup("no server is named".to_owned());
        let known: Vec<_> = {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.values().cloned().collect()
        };
        for node in self.given().into_iter().chain(known) {
            match node.ask(redis::cmd("CLUSTER").arg("SLOTS"), false).await {
                Ok(value) => return Slots::read(&value, &node.link.endpoint),
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

    /// The same for what may take longer.
    pub(super) async fn call_within(
        &self,
        partition: u32,
        script: Script,
        cmd: &Cmd,
        attempt: Duration,
    ) -> Result<Value, Fault> {
        self.follow(Some(partition), Some((script, attempt)), cmd).await
    }

    /// Asks at the node that should know, and at those that it sends to.
    async fn follow(
        &self,
        partition: Option<u32>,
        script: Option<(Script, Duration)>,
        cmd: &Cmd,
    ) -> Result<Value, Fault> {
        let owner = partition.map(|n| self.of(n));
        let mut node = match owner {
            Some(Ok(node)) => node,
            _ => self.first()?,
        };
        let mut here = false;
        for _ in 0..REDIRECTS_MAX {
            let answer = match script {
                Some((script, attempt)) => node.call(script, cmd, here, attempt).await,
                None => node.ask(cmd, here).await,
            };
            match answer {
                Err(Fault::Elsewhere { node: to, ask }) => {
                    node = self.moved(partition, &node, &to, !ask)?;
                    here = ask;
                }
                answer => return answer,
            }
        }
        Err(Fault::NotDone("the cluster sends from node to node".to_owned()))
    }

    fn first(&self) -> Result<Arc<Node>, Fault> {
        let first = self.given.first().map(|endpoint| self.node(endpoint));
        first.ok_or_else(|| Fault::Setup("no server is named".to_owned()))
    }

    /// The node of a partition.
    pub(super) fn of(&self, partition: u32) -> Result<Arc<Node>, Fault> {
        let owners = self.owners.read().unwrap_or_else(PoisonError::into_inner);
        owners
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
        if let (Some(partition), true) = (partition, stays) {
            let mut owners = self.owners.write().unwrap_or_else(PoisonError::into_inner);
            let slot = slot_of(partition);
            for (other, owner) in (0_u32..).zip(owners.iter_mut()) {
                if slot_of(other) == slot {
                    *owner = Arc::clone(&node);
                }
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
