use std::time::{Duration, Instant};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use super::{Cut, Fault, FaultProxy};
use crate::rig::raw::{End, RawClient};
use crate::rig::redis::{RedisOptions, RedisServer};
use crate::rig::upstream::{FakeUpstream, Reply};
use crate::rig::{client::HttpClient, within};

struct Rig {
    redis: RedisServer,
    proxy: FaultProxy,
}

impl Rig {
    async fn start() -> Rig {
        let redis = RedisServer::start(RedisOptions::default()).await;
        let proxy = FaultProxy::start(redis.addr()).await;
        Rig { redis, proxy }
    }

    async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(format!("redis://{}", self.proxy.addr())).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(crate::rig::PATIENCE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .unwrap()
    }

    async fn increment(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<u64> {
        within("a reply", connection.incr("n", 1)).await
    }

    /// What the server has, asked past the proxy.
    async fn value(&self) -> Option<u64> {
        self.redis.command(&["GET", "n"]).await
    }
}

#[tokio::test]
async fn told_nothing_it_passes_everything() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::echo());
    let proxy = FaultProxy::start(upstream.addr()).await;
    let body = vec![b'x'; 1_000_000];
    let answer = HttpClient::new(proxy.addr())
        .post("/", body.clone())
        .send()
        .await
        .bytes()
        .await;
    assert!(answer == body);
    proxy.wait_for("the end", |counts| counts.open == 0).await;
    assert_eq!((proxy.counts().connections, proxy.counts().struck), (1, 0));
}

#[tokio::test]
async fn a_dropped_request_was_not_executed() {
    let rig = Rig::start().await;
    let mut connection = rig.connection().await;
    rig.proxy.arm(Fault::DropRequest { nth: 2 });
    assert_eq!(rig.increment(&mut connection).await.unwrap(), 1);
    assert!(rig.increment(&mut connection).await.is_err());
    rig.proxy.wait_struck(1).await;
    assert_eq!(rig.value().await, Some(1));
    assert_eq!(rig.increment(&mut rig.connection().await).await.unwrap(), 2);
}

#[tokio::test]
async fn a_dropped_reply_was_executed() {
    for nth in 1..=3 {
        let rig = Rig::start().await;
        let mut connection = rig.connection().await;
        rig.proxy.arm_with(Fault::DropReply { nth }, Cut::Reset);
        for _ in 1..nth {
            rig.increment(&mut connection).await.unwrap();
        }
        assert!(rig.increment(&mut connection).await.is_err());
        assert_eq!(rig.value().await, Some(nth));
    }
}

#[tokio::test]
async fn a_reply_is_dropped_by_what_was_asked() {
    let rig = Rig::start().await;
    rig.proxy.arm(Fault::DropReplyTo {
        nth: 2,
        containing: b"INCR".to_vec(),
    });
    let mut connection = rig.connection().await;
    rig.increment(&mut connection).await.unwrap();
    let _: u64 = connection.get("n").await.unwrap();
    assert!(rig.increment(&mut connection).await.is_err());
    assert_eq!((rig.value().await, rig.proxy.counts().struck), (Some(2), 1));
}

#[tokio::test]
async fn connections_are_cut_at_any_byte() {
    let upstream = FakeUpstream::start().await;
    let proxy = FaultProxy::start(upstream.addr()).await;
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let ask = async || {
        let mut raw = RawClient::connect(proxy.addr()).await;
        raw.send(request).await;
        raw.read_to_end().await
    };
    let (whole, _) = ask().await;
    for bytes in [0, 1, 20, whole.len() - 1] {
        proxy.arm(Fault::CutRepliesAfter { bytes: bytes as u64 });
        let (cut, end) = ask().await;
        // Lengths, since the answers differ in their `date`.
        assert_eq!((cut.len(), end), (bytes, End::Closed));
    }
    proxy.arm_with(
        Fault::CutRequestsAfter {
            bytes: request.len() as u64 - 1,
        },
        Cut::Reset,
    );
    assert_eq!(ask().await, (Vec::new(), End::Reset));
    assert_eq!((proxy.counts().struck, upstream.reached()), (5, 5));
    proxy.arm(Fault::CutRepliesAfter { bytes: 1 });
    proxy.disarm();
    assert_eq!(ask().await.0.len(), whole.len());
}

#[tokio::test]
async fn frozen_nothing_passes_and_thawed_everything_does() {
    let rig = Rig::start().await;
    let mut connection = rig.connection().await;
    rig.proxy.freeze();
    let mut waiting = tokio::spawn(async move { connection.incr::<_, _, u64>("n", 1).await });
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut waiting)
            .await
            .is_err()
    );
    assert_eq!(rig.value().await, None);
    rig.proxy.thaw();
    assert_eq!(within("a late reply", waiting).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn muted_requests_are_done_and_their_replies_come_late() {
    let rig = Rig::start().await;
    let mut connection = rig.connection().await;
    rig.proxy.mute();
    let waiting = tokio::spawn(async move { connection.incr::<_, _, u64>("n", 1).await });
    within("the request is done", async {
        while rig.value().await.is_none() {}
    })
    .await;
    assert!(!waiting.is_finished());
    rig.proxy.thaw();
    assert_eq!(within("a late reply", waiting).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn latency_and_throttle_take_their_time() {
    let rig = Rig::start().await;
    let mut connection = rig.connection().await;
    rig.proxy.latency(Duration::from_millis(20));
    let start = Instant::now();
    rig.increment(&mut connection).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(40),
        "{:?}",
        start.elapsed()
    );
    rig.proxy.latency(Duration::ZERO);
    rig.proxy.throttle(10_000);
    let start = Instant::now();
    let () = connection.set("k", vec![b'x'; 1000]).await.unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(90),
        "{:?}",
        start.elapsed()
    );
    rig.proxy.throttle(0);
}

#[tokio::test]
async fn open_connections_are_cut_and_new_ones_refused_while_told() {
    let mut rig = Rig::start().await;
    for cut in [Cut::Close, Cut::Reset] {
        let mut connection = rig.connection().await;
        rig.proxy.cut(cut).await;
        assert!(rig.increment(&mut connection).await.is_err());
    }
    let mut raw = RawClient::connect(rig.proxy.addr()).await;
    rig.proxy.refuse().await;
    assert_eq!(raw.read_to_end().await.1, End::Reset);
    assert!(tokio::net::TcpStream::connect(rig.proxy.addr()).await.is_err());
    rig.proxy.resume().await;
    assert_eq!(rig.increment(&mut rig.connection().await).await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_is_gone_resets() {
    let proxy = FaultProxy::start(crate::rig::ports::refused()).await;
    let mut raw = RawClient::connect(proxy.addr()).await;
    assert_eq!(raw.read_to_end().await.1, End::Reset);
}
