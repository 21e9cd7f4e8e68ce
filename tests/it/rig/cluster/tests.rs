use redis::AsyncCommands;

use super::{RedisCluster, SLOTS, slots_of};
use crate::rig::redis::{Persistence, RedisOptions};

#[test]
fn the_masters_share_all_slots() {
    let all: Vec<u16> = (0..3).flat_map(slots_of).collect();
    assert_eq!(all, (0..SLOTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn keys_on_every_master_slots_move_and_a_killed_node_comes_back() {
    let options = RedisOptions::default()
        .persistence(Persistence::Always)
        .password("secret");
    let mut cluster = RedisCluster::start(options).await;
    let mut connection = cluster.connection().await;
    for n in 0..30 {
        let () = connection.set(format!("k{{{n}}}"), n).await.unwrap();
    }
    for number in 0..cluster.node_count() {
        assert!(cluster.node(number).command::<usize>(&["DBSIZE"]).await > 0);
    }

    // A slot moves key by key; the client follows ASK, then MOVED.
    let slot = cluster.slot_of("{7}").await;
    let (from, to) = (
        cluster.owner_of(slot).await,
        (cluster.owner_of(slot).await + 1) % 3,
    );
    let () = connection.set("other{7}", "x").await.unwrap();
    cluster.begin_move(slot, from, to).await;
    assert_eq!(cluster.move_keys(slot, from, to, 1).await, 1);
    assert_eq!(connection.get::<_, u32>("k{7}").await.unwrap(), 7);
    assert_eq!(connection.get::<_, String>("other{7}").await.unwrap(), "x");
    let asked = cluster
        .node(from)
        .try_command::<String>(&["GET", "none{7}"])
        .await
        .unwrap_err();
    assert_eq!(
        asked.kind(),
        redis::ErrorKind::Server(redis::ServerErrorKind::Ask),
        "{asked}"
    );
    cluster.finish_move(slot, from, to).await;
    assert_eq!(cluster.owner_of(slot).await, to);
    assert_eq!(connection.get::<_, u32>("k{7}").await.unwrap(), 7);
    let moved = cluster
        .node(from)
        .try_command::<String>(&["GET", "k{7}"])
        .await
        .unwrap_err();
    assert_eq!(
        moved.kind(),
        redis::ErrorKind::Server(redis::ServerErrorKind::Moved),
        "{moved}"
    );

    // Whole ranges move, and a node that was killed comes back with what it had.
    let first = slots_of(0).start;
    cluster.move_slots(first..=first + 9, 0, 2).await;
    assert_eq!(cluster.owner_of(first + 9).await, 2);
    cluster.node_mut(to).kill9();
    cluster.node_mut(to).restart().await;
    cluster.wait_ok().await;
    assert_eq!(cluster.connection().await.get::<_, u32>("k{7}").await.unwrap(), 7);
    cluster.flushall().await;
    assert_eq!(cluster.node(to).command::<usize>(&["DBSIZE"]).await, 0);
}
