use std::sync::Arc;
use std::time::Duration;

use redis::AsyncCommands;

use super::{Persistence, RedisOptions, RedisServer, shared};
use crate::rig::tls::TestCa;

async fn put_and_get(server: &RedisServer) -> String {
    let mut connection = server.connection().await;
    let () = connection.set("k", "v").await.unwrap();
    connection.get("k").await.unwrap()
}

#[tokio::test]
async fn starts_survives_kill9_and_restarts_with_data() {
    for persistence in [Persistence::EverySec, Persistence::Always] {
        let mut server = RedisServer::start(RedisOptions::default().persistence(persistence)).await;
        assert_eq!(put_and_get(&server).await, "v");
        let addr = server.addr();
        server.kill9();
        assert!(server.client().get_multiplexed_async_connection().await.is_err());
        server.restart().await;
        assert_eq!(server.addr(), addr);
        assert_eq!(server.command::<String>(&["GET", "k"]).await, "v");
    }
}

#[tokio::test]
async fn stops_in_order_and_without_persistence_forgets() {
    let mut server = RedisServer::start(RedisOptions::default()).await;
    assert_eq!(put_and_get(&server).await, "v");
    server.stop().await;
    server.restart().await;
    assert_eq!(server.command::<Option<String>>(&["GET", "k"]).await, None);
}

#[tokio::test]
async fn password_user_and_unix_socket() {
    let options = [
        RedisOptions::default().password("secret"),
        RedisOptions::default().acl_user("fare", "secret"),
    ];
    for options in options {
        let server = RedisServer::start(options).await;
        assert_eq!(put_and_get(&server).await, "v");
        let naked = redis::Client::open(format!("redis://{}", server.addr())).unwrap();
        let mut naked = naked.get_multiplexed_async_connection().await.unwrap();
        assert!(
            naked
                .get::<_, String>("k")
                .await
                .unwrap_err()
                .to_string()
                .contains("NOAUTH")
        );
        let unix = redis::Client::open(server.unix_url()).unwrap();
        let mut unix = unix.get_multiplexed_async_connection().await.unwrap();
        assert_eq!(unix.get::<_, String>("k").await.unwrap(), "v");
    }
}

#[tokio::test]
async fn tls_for_those_who_trust_the_authority() {
    let server = RedisServer::start(RedisOptions::default().tls(Arc::new(TestCa::new()))).await;
    assert!(server.url().starts_with("rediss://localhost:"));
    assert_eq!(put_and_get(&server).await, "v");
    let stranger = redis::Client::open(server.url()).unwrap();
    assert!(stranger.get_multiplexed_async_connection().await.is_err());
}

#[tokio::test]
async fn memory_can_run_out_and_settings_change_while_it_runs() {
    let server = RedisServer::start(RedisOptions::default().maxmemory("1kb").line("hz 100")).await;
    let refused = server.try_command::<()>(&["SET", "k", "v"]).await.unwrap_err();
    assert!(refused.to_string().contains("OOM"), "{refused}");
    server.config_set("maxmemory", "0").await;
    assert_eq!(put_and_get(&server).await, "v");
    server.flushall().await;
    assert_eq!(server.command::<u64>(&["DBSIZE"]).await, 0);
    assert_eq!(
        server.command::<Vec<String>>(&["CONFIG", "GET", "hz"]).await,
        ["hz", "100"]
    );
    assert!(!server.info("run_id").await.is_empty());
}

#[tokio::test]
async fn frozen_it_says_nothing_and_thawed_it_goes_on() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let mut connection = server.connection().await;
    server.freeze();
    let mut waiting = tokio::spawn(async move { connection.set::<_, _, ()>("k", "v").await });
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut waiting)
            .await
            .is_err()
    );
    server.thaw();
    crate::rig::within("a late reply", waiting)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn its_cpu_time_is_measured() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let before = server.cpu_micros();
    let spin = "for i = 1, 5000000 do local x = i * i end return 1";
    server.command::<u64>(&["EVAL", spin, "0"]).await;
    assert!(server.cpu_micros() > before);
}

#[tokio::test]
async fn a_wrong_setting_is_reported_with_redis_own_words() {
    let started = tokio::spawn(RedisServer::start(
        RedisOptions::default().line("no-such-setting 1"),
    ));
    let panic = started.await.err().expect("no start").into_panic();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.contains("no-such-setting"), "{message}");
}

#[tokio::test]
async fn dropped_it_leaves_no_process_and_no_folder() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (pid, dir) = (server.process().pid(), server.dir().to_owned());
    drop(server);
    assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
    assert!(!dir.exists());
}

#[tokio::test]
async fn shared_databases_do_not_see_each_other() {
    let (a, b) = (shared().await, shared().await);
    let () = a.connection().await.set("k", "a").await.unwrap();
    assert_eq!(
        b.connection().await.get::<_, Option<String>>("k").await.unwrap(),
        None
    );
    assert_eq!(a.connection().await.get::<_, String>("k").await.unwrap(), "a");
    assert_ne!(a.url(), b.url());
}
