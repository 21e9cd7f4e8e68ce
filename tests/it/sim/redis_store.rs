//! A store that is the simulated Redis, behind a simulated network.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use faregate::ledger::Ledger;
use faregate::ledger::redis::{Address, Connect, Options, RedisLedger, Stream};
use tokio::task::spawn_local;
use turmoil::Sim;
use turmoil::net::{TcpListener, TcpStream};

use super::lua_bugs::{LuaBug, Planted};
use super::miniredis::MiniRedis;
use super::miniredis::commands::Condition;
use super::miniredis::disk::{Disk, Fsync};
use super::miniredis::serve::{Fate, Server};
use super::plan::{Chaos, Nth};
use super::rng::Rng;
use super::store::{Connecting, Dies, HOST, Store};

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
    bug: Option<(LuaBug, Planted)>,
    /// Calls until a certain one, and what becomes of that.
    nth: Option<(u64, Nth)>,
    dies: Option<Dies>,
    /// Hosts that are cut off, and whether what they send is kept for later or lost.
    cut_off: BTreeMap<String, bool>,
}

/// The simulated network.
#[derive(Debug)]
struct Network;

impl Connect for Network {
    fn connect<'a>(
        &'a self,
        to: &'a Address,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>> {
        Box::pin(async move {
            let Address::Tcp(host, port) = to else {
                return Err(io::Error::other("not simulated"));
            };
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
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
            bug: None,
            nth: None,
            dies: None,
            cut_off: BTreeMap::new(),
        })))
    }

    /// With one call that goes wrong.
    pub(crate) fn with_nth(self, nth: Option<(u64, Nth)>) -> RedisStore {
        self.lock().nth = nth;
        self
    }

    /// Whether that call came.
    pub(crate) fn nth_came(&self) -> bool {
        self.lock().nth.is_none()
    }

    /// With a bug in its scripts; `planted` tells afterwards whether there was a place for it.
    pub(crate) fn with(self, bug: LuaBug, planted: &Planted) -> RedisStore {
        self.lock().bug = Some((bug, planted.clone()));
        self
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("nothing panics with it")
    }

    /// A server's life, from loading its file until it is killed.
    async fn run(self) -> turmoil::Result {
        let (store, disk) = (self.clone(), self.lock().disk.clone());
        let bug = self.lock().bug.clone();
        let spoil = move |script: &str| match &bug {
            Some((bug, planted)) => bug.plant(script, planted),
            None => script.to_owned(),
        };
        let redis = MiniRedis::spoilt(disk.clone(), move || store.time(), spoil);
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
        match shared.nth {
            Some((0, what)) => {
                shared.nth = None;
                shared.dies = match what {
                    Nth::ProxyDies => Some(Dies::Proxy),
                    Nth::StoreDies => Some(Dies::Store),
                    _ => None,
                };
                match what {
                    Nth::LostBefore | Nth::StoreDies => Fate::SilentBefore,
                    Nth::LostAfter | Nth::ProxyDies => Fate::SilentAfter,
                    Nth::CutMidway => Fate::CutAfter(500),
                    Nth::Refused => Fate::Refused(Condition::Full),
                }
            }
            Some((more, what)) => {
                shared.nth = Some((more - 1, what));
                Fate::Fine
            }
            None => {
                let chaos = shared.chaos;
                Fate::draw(chaos, &mut shared.rng)
            }
        }
    }
}

impl Store for RedisStore {
    fn install(&self, sim: &mut Sim<'_>) {
        let store = self.clone();
        sim.host(HOST, move || store.clone().run());
    }

    fn connect(&self, _: &str) -> Connecting {
        let url = format!("redis://{HOST}:{PORT}");
        let mut options = Options::new(vec![url], Arc::new(Network), 7);
        options.partitions = Some(2);
        Box::pin(async move {
            let ledger = RedisLedger::open(options).await?;
            Ok(Arc::new(ledger) as Arc<dyn Ledger>)
        })
    }

    fn cut_off(&self, sim: &Sim<'_>, host: &str, cut: bool) {
        let mut shared = self.lock();
        if cut {
            let kept = shared.rng.chance(500);
            shared.cut_off.insert(host.to_owned(), kept);
            if kept {
                sim.hold(host, HOST)
            } else {
                sim.partition(host, HOST)
            }
        } else if shared.cut_off.remove(host) == Some(true) {
            sim.release(host, HOST);
        } else {
            sim.repair(host, HOST);
        }
    }

    fn lose_tail(&self) -> bool {
        let mut shared = self.lock();
        let Shared { disk, rng, .. } = &mut *shared;
        disk.lose_power(rng)
    }

    fn step_clock(&self, micros: i64) {
        self.lock().skew += micros;
    }

    fn dies_now(&self) -> Option<Dies> {
        self.lock().dies.take()
    }

    fn rage(&self, on: bool) {
        self.lock().raging = on;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::aio::MultiplexedConnection;
    use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};

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
