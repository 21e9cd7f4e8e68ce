//! A store that is the simulated Redis, behind a simulated network.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::spawn_local;
use turmoil::Sim;
use turmoil::net::TcpListener;

use super::miniredis::MiniRedis;
use super::miniredis::disk::{Disk, Fsync};
use super::miniredis::serve::{Fate, Server};
use super::plan::Chaos;
use super::rng::Rng;
use super::store::HOST;

/// Where it listens.
pub(crate) const PORT: u16 = 6379;

/// How often `everysec` syncs.
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// The store, shared by its host and the world that torments it.
#[derive(Clone)]
pub(crate) struct RedisStore(Arc<Mutex<Shared>>);

struct Shared {
    disk: Disk,
    chaos: Chaos,
    raging: bool,
    rng: Rng,
    /// By how much its clock is wrong, in microseconds.
    skew: i64,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}

impl RedisStore {
    pub(crate) fn new(chaos: Chaos, fsync: Fsync, seed: u64) -> RedisStore {
        RedisStore(Arc::new(Mutex::new(Shared {
            disk: Disk::new(fsync),
            chaos,
            raging: false,
            rng: Rng::new(seed ^ 0x2ed15),
            skew: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("nothing panics with it")
    }

    pub(crate) fn install(&self, sim: &mut Sim<'_>) {
        let store = self.clone();
        sim.host(HOST, move || store.clone().run());
    }

    /// A server's life, from loading its file until it is killed.
    async fn run(self) -> turmoil::Result {
        let (store, disk) = (self.clone(), self.lock().disk.clone());
        let redis = MiniRedis::start(disk.clone(), move || store.time());
        let store = self.clone();
        let server = Server::new(redis, move || store.fate());
        if disk.fsync() == Fsync::EverySec {
            spawn_local(async move {
                loop {
                    tokio::time::sleep(SECOND).await;
                    disk.sync();
                }
            });
        }
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            spawn_local(server.clone().serve(stream));
        }
    }

    fn time(&self) -> i64 {
        let world = turmoil::since_epoch().expect("asked on a host").as_micros();
        i64::try_from(world).expect("before the year 2255") + self.lock().skew
    }

    fn fate(&self) -> Fate {
        let mut shared = self.lock();
        if !shared.raging {
            return Fate::Fine;
        }
        let chaos = shared.chaos;
        Fate::draw(chaos, &mut shared.rng)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::aio::MultiplexedConnection;
    use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
    use turmoil::net::TcpStream;

    use super::*;

    async fn client() -> Result<MultiplexedConnection, redis::RedisError> {
        let stream = TcpStream::connect((HOST, PORT)).await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_millis(200)));
        let login = RedisConnectionInfo::default();
        let (client, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
        tokio::spawn(driver);
        Ok(client)
    }

    /// What a client sees of the counter `n`, from its increments.
    async fn increment(times: usize) -> Vec<Result<i64, redis::RedisError>> {
        let mut seen = Vec::new();
        let mut connection = None;
        for _ in 0..times {
            if connection.is_none() {
                let opening = tokio::time::timeout(Duration::from_millis(200), client());
                connection = opening.await.ok().and_then(Result::ok);
            }
            let Some(open) = &mut connection else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let script = "return redis.call('INCR', KEYS[1])";
            let mut eval = redis::cmd("EVAL");
            let answer = eval.arg(script).arg(1).arg("n").query_async(open).await;
            if answer
                .as_ref()
                .is_err_and(|e: &redis::RedisError| !matches!(e.kind(), redis::ErrorKind::Server(_)))
            {
                connection = None;
            }
            seen.push(answer);
        }
        seen
    }

    fn sim() -> Sim<'static> {
        let mut builder = turmoil::Builder::new();
        builder.rng_seed(1).max_message_latency(Duration::from_millis(4));
        builder.simulation_duration(Duration::from_secs(600)).build()
    }

    fn run(store: &RedisStore, fault: impl Fn(&mut Sim<'_>, usize)) -> Vec<Result<i64, redis::RedisError>> {
        let mut sim = sim();
        store.install(&mut sim);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        sim.client("client", async move {
            *told.lock().unwrap() = increment(600).await;
            Ok(())
        });
        for step in 0.. {
            fault(&mut sim, step);
            if sim.step().unwrap() {
                break;
            }
        }
        drop(sim);
        Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
    }

    #[test]
    fn the_real_client_is_answered_over_the_simulated_network() {
        let store = RedisStore::new(Chaos::default(), Fsync::Always, 1);
        let seen = run(&store, |_, _| ());
        let numbers: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
        assert_eq!(numbers, (1..=600).collect::<Vec<i64>>());
    }

    #[test]
    fn answers_get_lost_before_and_after_and_connections_break() {
        let chaos = Chaos {
            lost_before: 50,
            lost_after: 50,
            refused: 100,
            slow: 20,
            ..Chaos::default()
        };
        let store = RedisStore::new(chaos, Fsync::Always, 1);
        store.lock().raging = true;
        let seen = run(&store, |_, _| ());
        let answered: Vec<_> = seen.iter().flatten().collect();
        let last = **answered.iter().max().unwrap();
        assert!(answered.windows(2).all(|pair| pair[0] < pair[1]), "{answered:?}");
        assert!(seen.len() > answered.len() + 20, "few faults: {seen:?}");
        let undone = seen.len() - usize::try_from(last).unwrap();
        let unanswered = seen.len() - answered.len();
        assert!(
            0 < undone && undone < unanswered,
            "{undone} undone of {unanswered} unanswered"
        );
    }

    #[test]
    fn a_killed_server_has_everything_and_one_without_power_what_it_synced() {
        for (fsync, power_fails, loses) in [
            (Fsync::No, false, false),
            (Fsync::No, true, true),
            (Fsync::EverySec, true, true),
            (Fsync::Always, true, false),
        ] {
            let store = RedisStore::new(Chaos::default(), fsync, 3);
            let seen = run(&store, |sim, step| {
                if step == 500 {
                    sim.crash(HOST);
                    if power_fails {
                        let mut shared = store.lock();
                        let Shared { disk, rng, .. } = &mut *shared;
                        disk.lose_power(rng);
                    }
                }
                if step == 550 {
                    sim.bounce(HOST);
                }
            });
            let answered: Vec<_> = seen.iter().flatten().copied().collect();
            let fell = answered.windows(2).any(|pair| pair[1] <= pair[0]);
            assert_eq!(fell, loses, "{fsync:?}, power fails: {power_fails}: {answered:?}");
        }
    }

    #[test]
    fn a_script_may_touch_only_the_keys_it_was_given_and_is_kept_until_the_server_ends() {
        let store = RedisStore::new(Chaos::default(), Fsync::Always, 1);
        let mut sim = sim();
        store.install(&mut sim);
        sim.client("client", async {
            let mut client = client().await?;
            let undeclared = "return redis.call('GET', 'other')";
            let answer: Result<Value, _> = redis::cmd("EVAL")
                .arg(undeclared)
                .arg(0)
                .query_async(&mut client)
                .await;
            assert!(answer.unwrap_err().to_string().contains("undeclared key"));
            let sha: String = redis::cmd("SCRIPT")
                .arg("LOAD")
                .arg("return 7")
                .query_async(&mut client)
                .await?;
            let seven: i64 = redis::cmd("EVALSHA")
                .arg(&sha)
                .arg(0)
                .query_async(&mut client)
                .await?;
            assert_eq!(seven, 7);
            let _: () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut client).await?;
            let answer: Result<i64, _> = redis::cmd("EVALSHA")
                .arg(&sha)
                .arg(0)
                .query_async(&mut client)
                .await;
            let kind = answer.unwrap_err().kind();
            assert_eq!(kind, redis::ErrorKind::Server(redis::ServerErrorKind::NoScript));
            Ok(())
        });
        sim.run().unwrap();
    }
}
