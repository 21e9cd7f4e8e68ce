//! Streams to Redis, and connections on them: TCP, TLS and Unix sockets. What makes streams is passed in, so that a simulation can be the network.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::Fault;
use crate::ledger::LedgerError;

/// A stream of bytes to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// Host and port.
    Tcp(String, u16),
    /// Host and port; TLS is spoken.
    Tls(String, u16),
    /// A socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) | Address::Tls(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A stream to come.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Makes streams. The caller bounds the time.
pub trait Connect: Send + Sync + fmt::Debug + 'static {
    /// A new stream to a server.
    fn connect<'a>(&'a self, to: &'a Address) -> Connecting<'a>;
}

/// The machine's own network.
#[derive(Clone)]
pub struct Network {
    tls: Arc<rustls::ClientConfig>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// With these settings for `rediss://`; without, the public authorities are trusted.
    pub fn new(tls: Option<Arc<rustls::ClientConfig>>) -> Result<Network, LedgerError> {
        if let Some(tls) = tls {
            return Ok(Network { tls });
        }
        let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| LedgerError::Misconfigured(format!("TLS cannot be used: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Network {
            tls: Arc::new(config),
        })
    }

    async fn open(&self, to: &Address) -> io::Result<Box<dyn Stream>> {
        let (host, port) = match to {
            Address::Unix(path) => return Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            Address::Tcp(host, port) | Address::Tls(host, port) => (host, *port),
        };
        let tcp = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
        tcp.set_nodelay(true)?;
        if matches!(to, Address::Tcp(..)) {
            return Ok(Box::new(tcp));
        }
        let name =
            ServerName::try_from(host.clone()).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
        Ok(Box::new(connector.connect(name, tcp).await?))
    }
}

impl Connect for Network {
    fn connect<'a>(&'a self, to: &'a Address) -> Connecting<'a> {
        Box::pin(self.open(to))
    }
}

/// A server as a url names it: where it is, and who asks.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    pub(super) login: RedisConnectionInfo,
}

impl Endpoint {
    /// From `redis://`, `rediss://`, `redis+unix://` or `unix://`; the error never repeats the url, which may hold a password.
    pub(super) fn parse(url: &str) -> Result<Endpoint, LedgerError> {
        let unreadable = |e: redis::RedisError| {
            let what = e.detail().map_or_else(|| e.category().to_owned(), str::to_owned);
            LedgerError::Misconfigured(format!(
                "the ledger's url is not one of Redis ({what}): write redis://user:password@host:6379/0, rediss://... for TLS, or redis+unix:///path"
            ))
        };
        let info = url.into_connection_info().map_err(unreadable)?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(LedgerError::Misconfigured(
                    "the ledger's url switches the check of certificates off (#insecure): name the authority to trust instead".to_owned(),
                ));
            }
            ConnectionAddr::TcpTls { host, port, .. } => Address::Tls(host.clone(), *port),
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => {
                return Err(LedgerError::Misconfigured(
                    "the ledger's url is of a kind that is not supported".to_owned(),
                ));
            }
        };
        let login = info
            .redis_settings()
            .clone()
            .set_lib_name("faregate", env!("CARGO_PKG_VERSION"));
        Ok(Endpoint { address, login })
    }

    /// The same login at a node that the cluster named.
    pub(super) fn at(&self, node: &str) -> Option<Endpoint> {
        let (host, port) = node.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let address = match &self.address {
            Address::Tcp(old, _) => Address::Tcp(if host.is_empty() { old } else { host }.to_owned(), port),
            Address::Tls(old, _) => Address::Tls(if host.is_empty() { old } else { host }.to_owned(), port),
            Address::Unix(_) => return None,
        };
        Some(Endpoint {
            address,
            login: self.login.clone(),
        })
    }
}

/// A connection that can be used by several at once, in turn. It is broken for good once a command had no answer.
#[derive(Clone)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    broken: Arc<AtomicBool>,
    attempt: Duration,
    driver: Arc<Driver>,
}

/// Ends the task that drives the stream, and so closes it.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A new connection, logged in, within `attempt`.
    pub(super) async fn open(
        connect: &dyn Connect,
        to: &Endpoint,
        attempt: Duration,
    ) -> Result<Connection, Fault> {
        let address = &to.address;
        let opening = async {
            let stream = connect
                .connect(address)
                .await
                .map_err(|e| Fault::NotDone(format!("{address}: {e}")))?;
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(None)
                .set_connection_timeout(None);
            MultiplexedConnection::new_with_config(&to.login, stream, config)
                .await
                .map_err(|e| match Fault::of(&e, false) {
                    Fault::Script(what) => Fault::Setup(format!("{address}: {what}")),
                    fault => fault,
                })
        };
        let (inner, driver) = tokio::time::timeout(attempt, opening).await.map_err(|_| {
            Fault::NotDone(format!(
                "{address}: no connection within {} ms",
                attempt.as_millis()
            ))
        })??;
        Ok(Connection {
            inner,
            broken: Arc::new(AtomicBool::new(false)),
            attempt,
            driver: Arc::new(Driver(tokio::spawn(driver))),
        })
    }

    /// From now on an attempt may take so long.
    pub(super) fn within(&mut self, attempt: Duration) {
        self.attempt = attempt;
    }

    /// Sends a command and waits for its answer, for at most the time of one attempt.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Fault> {
        let asking = self.inner.req_packed_command(command);
        let answer = tokio::time::timeout(self.attempt, asking).await;
        self.judge(answer)
    }

    /// The same, as one that a cluster's node asked for to be sent here (`ASK`).
    pub(super) async fn ask_here(&mut self, command: &Cmd) -> Result<Value, Fault> {
        let mut both = redis::Pipeline::new();
        both.cmd("ASKING").ignore().add_command(command.clone());
        let asking = self.inner.req_packed_commands(&both, 1, 1);
        let answer = tokio::time::timeout(self.attempt, asking).await;
        let last = answer.map(|values| values.map(|mut values| values.pop().unwrap_or_default()));
        self.judge(last)
    }

    fn judge(
        &self,
        answer: Result<Result<Value, redis::RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<Value, Fault> {
        let fault = match answer {
            Ok(Ok(Value::ServerError(error))) => Fault::of(&error.into(), true),
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => Fault::of(&error, true),
            Err(_) => Fault::Unknown(format!("no answer within {} ms", self.attempt.as_millis())),
        };
        if matches!(
            fault,
            Fault::Unknown(_) | Fault::Lost(_) | Fault::NotPrimary(_) | Fault::Setup(_)
        ) {
            self.broken.store(true, Ordering::Relaxed);
        }
        Err(fault)
    }

    /// It should not be used again: a command had no answer, or the server has closed it meanwhile.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed) || self.driver.0.is_finished()
    }
}
