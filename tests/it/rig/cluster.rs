//! A real Redis Cluster for tests: three masters on loopback, no replicas.

use std::ops::RangeInclusive;
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;

use super::redis::{RedisOptions, RedisServer};
use super::{PATIENCE, within};

/// Every slot of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

const MASTERS: u16 = 3;

/// Three masters, each with a third of the slots. They end when dropped.
pub(crate) struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    server: RedisServer,
    id: String,
}

impl RedisCluster {
    /// Starts one with a node timeout of one second, and waits until every node says that all slots are served.
    pub(crate) async fn start(options: RedisOptions) -> RedisCluster {
        let options = options.cluster_node().line("cluster-node-timeout 1000");
        let start = || RedisServer::start(options.clone());
        let (a, b, c) = tokio::join!(start(), start(), start());
        let mut nodes = Vec::new();
        for (server, number) in [a, b, c].into_iter().zip(0..MASTERS) {
            let id = server.command(&["CLUSTER", "MYID"]).await;
            // Different epochs from the start: no election among equals.
            server
                .command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])
                .await;
            let slots: Vec<String> = slots_of(number).map(|slot| slot.to_string()).collect();
            let words = ["CLUSTER", "ADDSLOTS"]
                .into_iter()
                .chain(slots.iter().map(String::as_str));
            server.command::<()>(&words.collect::<Vec<_>>()).await;
            nodes.push(Node { server, id });
        }
        let cluster = RedisCluster { nodes };
        for (at, node) in cluster.nodes.iter().enumerate() {
            for other in &cluster.nodes[at + 1..] {
                let port = other.server.addr().port().to_string();
                node.server
                    .command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port])
                    .await;
            }
        }
        cluster.wait_ok().await;
        cluster
    }

    /// Waits until every running node knows all nodes and says that all slots are served.
    pub(crate) async fn wait_ok(&self) {
        for node in self
            .nodes
            .iter()
            .filter(|node| node.server.process().is_running())
        {
            within("a cluster node to say that all is well", async {
                loop {
                    let info: String = node.server.command(&["CLUSTER", "INFO"]).await;
                    let says = |line: &str| info.lines().any(|l| l == line);
                    if says("cluster_state:ok")
                        && says("cluster_known_nodes:3")
                        && says("cluster_slots_ok:16384")
                    {
                        return;
                    }
                    // Nodes gossip; nothing tells us when they are done.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
        }
    }

    /// The URL of every node.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.server.url()).collect()
    }

    /// How many nodes there are; they are numbered from 0.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// One node.
    pub(crate) fn node(&self, number: usize) -> &RedisServer {
        &self.nodes[number].server
    }

    /// One node, to kill and restart.
    pub(crate) fn node_mut(&mut self, number: usize) -> &mut RedisServer {
        &mut self.nodes[number].server
    }

    /// A connection that follows the cluster.
    pub(crate) async fn connection(&self) -> ClusterConnection {
        let client = ClusterClient::builder(self.urls())
            .response_timeout(PATIENCE)
            .build()
            .expect("valid URLs");
        client
            .get_async_connection()
            .await
            .unwrap_or_else(|e| panic!("cannot connect to the cluster: {e}"))
    }

    /// Removes every key on every node.
    pub(crate) async fn flushall(&self) {
        for node in &self.nodes {
            node.server.flushall().await;
        }
    }

    /// The slot of a key, as the cluster computes it.
    pub(crate) async fn slot_of(&self, key: &str) -> u16 {
        self.nodes[0].server.command(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// The number of the node that serves a slot, as node 0 sees it.
    pub(crate) async fn owner_of(&self, slot: u16) -> usize {
        let slots: Vec<redis::Value> = self.nodes[0].server.command(&["CLUSTER", "SLOTS"]).await;
        for range in slots {
            let redis::Value::Array(range) = range else {
                panic!("CLUSTER SLOTS: {range:?}")
            };
            let number = |at: usize| redis::from_redis_value_ref::<u16>(&range[at]).expect("a slot");
            if (number(0)..=number(1)).contains(&slot) {
                let redis::Value::Array(master) = &range[2] else {
                    panic!("CLUSTER SLOTS: {range:?}")
                };
                let id: String = redis::from_redis_value_ref(&master[2]).expect("a node id");
                return self
                    .nodes
                    .iter()
                    .position(|node| node.id == id)
                    .expect("one of our nodes");
            }
        }
        panic!("nobody serves slot {slot}");
    }

    /// Moves slots from one master to another with all their keys, as `redis-cli --cluster reshard` does:
    /// while a slot moves, clients get ASK for keys that are there already, and MOVED after.
    pub(crate) async fn move_slots(&self, slots: RangeInclusive<u16>, from: usize, to: usize) {
        for slot in slots {
            self.begin_move(slot, from, to).await;
            self.finish_move(slot, from, to).await;
        }
    }

    /// Puts a slot into the state of moving; its keys are still where they were.
    pub(crate) async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (slot, from, to) = (slot.to_string(), &self.nodes[from], &self.nodes[to]);
        to.server
            .command::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.id])
            .await;
        from.server
            .command::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id])
            .await;
    }

    /// Moves at most `count` keys of a slot that is moving; returns how many it moved.
    pub(crate) async fn move_keys(&self, slot: u16, from: usize, to: usize, count: usize) -> usize {
        let (from, to) = (&self.nodes[from].server, &self.nodes[to].server);
        let (slot, count) = (slot.to_string(), count.to_string());
        let keys: Vec<Vec<u8>> = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, &count]).await;
        if !keys.is_empty() {
            let port = to.addr().port().to_string();
            let mut words = vec!["127.0.0.1", &port, "", "0", "5000"];
            words.extend(from.login_for_migrate());
            words.push("KEYS");
            let words = words.into_iter().map(str::as_bytes);
            let all: Vec<&[u8]> = words.chain(keys.iter().map(Vec::as_slice)).collect();
            from.command_of_bytes::<String>("MIGRATE", &all).await;
        }
        keys.len()
    }

    /// Moves the rest of the keys of a slot that is moving, and the slot itself.
    pub(crate) async fn finish_move(&self, slot: u16, from: usize, to: usize) {
        while self.move_keys(slot, from, to, 100).await > 0 {}
        let (slot, id) = (slot.to_string(), &self.nodes[to].id);
        // The new owner first, so that there is always one.
        let others = (0..self.nodes.len()).filter(|other| *other != to);
        for node in [to].into_iter().chain(others) {
            self.nodes[node]
                .server
                .command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", id])
                .await;
        }
    }
}

/// The slots that a master begins with.
fn slots_of(number: u16) -> std::ops::Range<u16> {
    let share = SLOTS / MASTERS;
    let end = if number + 1 == MASTERS {
        SLOTS
    } else {
        share * (number + 1)
    };
    share * number..end
}

#[cfg(test)]
mod tests;
