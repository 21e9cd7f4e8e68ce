//! A real `redis-server` for tests: on a port and a Unix socket of its own, in a folder of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, ServerErrorKind, TlsCertificates};
use tokio::sync::OnceCell;

use super::process::{Process, Spawn, find_program};
use super::temp::TempDir;
use super::tls::{IdentityFiles, TestCa};
use super::{PATIENCE, ports, within};

/// What survives the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Nothing.
    #[default]
    Off,
    /// `appendfsync everysec`.
    EverySec,
    /// `appendfsync always`.
    Always,
}

/// How to start a [`RedisServer`].
#[derive(Clone, Default)]
pub(crate) struct RedisOptions {
    persistence: Persistence,
    password: Option<String>,
    acl_user: Option<(String, String)>,
    tls: Option<Arc<TestCa>>,
    maxmemory: Option<String>,
    databases: Option<u32>,
    bus_port: bool,
    lines: Vec<String>,
}

impl RedisOptions {
    /// What survives the process.
    pub(crate) fn persistence(mut self, persistence: Persistence) -> RedisOptions {
        self.persistence = persistence;
        self
    }

    /// A password for the default user (`requirepass`).
    pub(crate) fn password(mut self, password: &str) -> RedisOptions {
        self.password = Some(password.to_owned());
        self
    }

    /// One user who may do everything; the default user is switched off.
    pub(crate) fn acl_user(mut self, name: &str, password: &str) -> RedisOptions {
        self.acl_user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// TLS on the port, with a certificate for `localhost` and `127.0.0.1` by this authority.
    pub(crate) fn tls(mut self, ca: Arc<TestCa>) -> RedisOptions {
        self.tls = Some(ca);
        self
    }

    /// `maxmemory` as Redis writes it (`"2mb"`), with `noeviction`.
    pub(crate) fn maxmemory(mut self, limit: &str) -> RedisOptions {
        self.maxmemory = Some(limit.to_owned());
        self
    }

    /// How many logical databases; 16 by default.
    pub(crate) fn databases(mut self, count: u32) -> RedisOptions {
        self.databases = Some(count);
        self
    }

    /// One more line for the configuration file.
    pub(crate) fn line(mut self, line: impl Into<String>) -> RedisOptions {
        self.lines.push(line.into());
        self
    }

    /// A cluster node: its bus listens on the port plus 10,000.
    pub(super) fn cluster_node(mut self) -> RedisOptions {
        self.bus_port = true;
        self.line("cluster-enabled yes")
            .line("cluster-config-file nodes.conf")
    }

    fn config(&self, port: u16, dir: &TempDir, tls: Option<&IdentityFiles>) -> String {
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", socket(dir).display()),
            format!("dir {}", dir.path().display()),
            format!("databases {}", self.databases.unwrap_or(16)),
            "daemonize no".to_owned(),
            "save \"\"".to_owned(),
            "maxmemory-policy noeviction".to_owned(),
        ];
        match tls {
            None => lines.push(format!("port {port}")),
            Some(files) => lines.extend([
                "port 0".to_owned(),
                format!("tls-port {port}"),
                format!("tls-cert-file {}", files.cert.display()),
                format!("tls-key-file {}", files.key.display()),
                format!("tls-ca-cert-file {}", files.ca.display()),
                "tls-auth-clients no".to_owned(),
            ]),
        }
        lines.push(match self.persistence {
            Persistence::Off => "appendonly no".to_owned(),
            Persistence::EverySec => "appendonly yes\nappendfsync everysec".to_owned(),
            Persistence::Always => "appendonly yes\nappendfsync always".to_owned(),
        });
        lines.extend(
            self.password
                .iter()
                .map(|password| format!("requirepass {password}")),
        );
        if let Some((name, password)) = &self.acl_user {
            lines.push(format!("user {name} on >{password} ~* &* +@all"));
            lines.push("user default off".to_owned());
        }
        lines.extend(self.maxmemory.iter().map(|limit| format!("maxmemory {limit}")));
        lines.extend(self.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

/// A `redis-server` process. It is killed and its folder removed when dropped.
pub(crate) struct RedisServer {
    process: Process,
    options: RedisOptions,
    port: u16,
    // Dropped after the process.
    dir: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers PING.
    pub(crate) async fn start(options: RedisOptions) -> RedisServer {
        let program = find_program("redis-server", "redis-server");
        let mut dir = TempDir::new();
        let tls = options.tls.as_ref().map(|ca| ca.write(&ca.loopback(), &dir));
        // Somebody else may take a port between our look at it and Redis's.
        for _ in 0..10 {
            let port = if options.bus_port {
                ports::reserve_with_bus()
            } else {
                ports::reserve()
            };
            dir.write("redis.conf", options.config(port, &dir, tls.as_ref()));
            let process = spawn(&program, &dir);
            let server = RedisServer {
                process,
                options: options.clone(),
                port,
                dir,
            };
            match server.wait_ready().await {
                Ok(()) => return server,
                Err(said) if said.contains("Address already in use") => dir = server.dir,
                Err(said) => panic!("redis-server ended instead of answering:\n{said}"),
            }
        }
        panic!("no free port for redis-server in 10 attempts");
    }

    /// Kills the process where it stands (SIGKILL).
    pub(crate) fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Asks it to end (SIGTERM: the append-only file is flushed) and waits for that.
    pub(crate) async fn stop(&mut self) {
        self.process.terminate();
        self.process.wait_exit().await;
    }

    /// Starts it again, killing it first if it runs: same folder, same port. Waits until it answers
    /// PING, that is until it has loaded its data.
    pub(crate) async fn restart(&mut self) {
        self.restart_without_waiting();
        if let Err(said) = self.wait_ready().await {
            panic!("redis-server did not come back:\n{said}");
        }
    }

    /// As `restart`, but returns while it may still be loading.
    pub(crate) fn restart_without_waiting(&mut self) {
        self.process.kill9();
        self.process = spawn(&find_program("redis-server", "redis-server"), &self.dir);
    }

    /// Stops it where it stands (SIGSTOP): connections stay open, nobody answers.
    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.process.thaw();
    }

    /// CPU time used so far, user and system, in microseconds (to 10 ms).
    pub(crate) fn cpu_micros(&self) -> u64 {
        self.process.cpu_micros()
    }

    /// The process itself: memory, open files, log lines.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// `redis://` or, with TLS, `rediss://` URL of database 0, with user and password.
    pub(crate) fn url(&self) -> String {
        self.url_of_database(0)
    }

    /// As `url`, for another logical database.
    pub(crate) fn url_of_database(&self, database: u32) -> String {
        let (scheme, host) = match self.options.tls {
            None => ("redis", "127.0.0.1"),
            Some(_) => ("rediss", "localhost"),
        };
        let login = match (&self.options.acl_user, &self.options.password) {
            (Some((name, password)), _) => format!("{name}:{password}@"),
            (None, Some(password)) => format!(":{password}@"),
            (None, None) => String::new(),
        };
        format!("{scheme}://{login}{host}:{}/{database}", self.port)
    }

    /// `redis+unix://` URL of database 0, with user and password.
    pub(crate) fn unix_url(&self) -> String {
        let login = match (&self.options.acl_user, &self.options.password) {
            (Some((name, password)), _) => format!("?user={name}&pass={password}"),
            (None, Some(password)) => format!("?pass={password}"),
            (None, None) => String::new(),
        };
        format!("redis+unix://{}{login}", socket(&self.dir).display())
    }

    /// Where it listens by TCP.
    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its folder: `appendonlydir`, `redis.conf`, the PEM files (`ca.pem`) with TLS.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client of the TCP port, trusting the authority with TLS.
    pub(crate) fn client(&self) -> Client {
        let client = match &self.options.tls {
            None => Client::open(self.url()),
            Some(ca) => {
                let root_cert = Some(ca.pem().into_bytes());
                Client::build_with_tls(
                    self.url(),
                    TlsCertificates {
                        client_tls: None,
                        root_cert,
                    },
                )
            }
        };
        client.expect("a valid URL")
    }

    /// A connection by TCP.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        connect(&self.client())
            .await
            .unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.url()))
    }

    /// Runs one command beside everything (through the Unix socket) and returns its reply.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words)
            .await
            .unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// As `command`, for commands that may be refused.
    pub(crate) async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = Client::open(self.unix_url())?;
        let mut connection = connect(&client).await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        within(
            format!("a reply to {words:?}"),
            command.query_async(&mut connection),
        )
        .await
    }

    /// As `command`, with arguments of any bytes.
    pub(crate) async fn command_of_bytes<T: FromRedisValue>(&self, name: &str, args: &[&[u8]]) -> T {
        let client = Client::open(self.unix_url()).expect("a valid URL");
        let asking = async {
            let mut connection = connect(&client).await?;
            redis::cmd(name).arg(args).query_async(&mut connection).await
        };
        within(format!("a reply to {name}"), asking)
            .await
            .unwrap_or_else(|e: redis::RedisError| panic!("{name}: {e}"))
    }

    /// Removes everything.
    pub(crate) async fn flushall(&self) {
        self.command(&["FLUSHALL"]).await
    }

    /// `CONFIG SET`.
    pub(crate) async fn config_set(&self, name: &str, value: &str) {
        self.command(&["CONFIG", "SET", name, value]).await
    }

    /// One field of `INFO`.
    pub(crate) async fn info(&self, field: &str) -> String {
        let info: String = self.command(&["INFO", "everything"]).await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in INFO")).to_owned()
    }

    /// How `MIGRATE` logs into another server started with the same options.
    pub(super) fn login_for_migrate(&self) -> Vec<&str> {
        match (&self.options.acl_user, &self.options.password) {
            (Some((name, password)), _) => vec!["AUTH2", name, password],
            (None, Some(password)) => vec!["AUTH", password],
            (None, None) => Vec::new(),
        }
    }

    /// Waits until PING answers; what the process said, when it ended before.
    async fn wait_ready(&self) -> Result<(), String> {
        within("redis-server to answer PING", async {
            loop {
                match self.try_command::<String>(&["PING"]).await {
                    Ok(_) => return Ok(()),
                    // Whatever else it answers (a wrong password, say) won't change by waiting.
                    Err(e) if is_answer(&e) => return Err(format!("PING: {e}\n{}", self.process.said())),
                    Err(_) if !self.process.is_running() => return Err(self.process.said()),
                    // Nothing tells us when a socket begins to listen, or loading ends.
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        })
        .await
    }
}

fn is_answer(e: &redis::RedisError) -> bool {
    use redis::ErrorKind::{AuthenticationFailed, Server};
    !e.is_io_error()
        && matches!(e.kind(), Server(_) | AuthenticationFailed)
        && e.kind() != Server(ServerErrorKind::BusyLoading)
}

fn spawn(program: &Path, dir: &TempDir) -> Process {
    Spawn::new(program)
        .args([dir.join("redis.conf")])
        .dir(dir.path())
        .start()
}

fn socket(dir: &TempDir) -> PathBuf {
    dir.join("redis.sock")
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A logical database, on a Redis that the whole test binary shares, which nobody else uses.
pub(crate) struct SharedDatabase {
    server: &'static RedisServer,
    number: u32,
}

const SHARED_DATABASES: u32 = 512;

/// Takes an empty logical database of the shared Redis (persistence off). For tests that change
/// settings, flush scripts, kill or count: start a server of your own.
pub(crate) async fn shared() -> SharedDatabase {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let options = || RedisOptions::default().databases(SHARED_DATABASES);
    let server = SERVER.get_or_init(|| RedisServer::start(options())).await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(
        number < SHARED_DATABASES,
        "more than {SHARED_DATABASES} tests use the shared Redis: raise the limit"
    );
    SharedDatabase { server, number }
}

impl SharedDatabase {
    /// `redis://` URL of this database.
    pub(crate) fn url(&self) -> String {
        self.server.url_of_database(self.number)
    }

    /// A connection to this database.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("a valid URL");
        connect(&client)
            .await
            .unwrap_or_else(|e| panic!("cannot connect to {}: {e}", self.url()))
    }
}

#[cfg(test)]
mod tests;
