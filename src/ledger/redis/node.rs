//! A server as the ledger uses it: lanes for what requests do, and a pool of connections (`bb8`) for everything else.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::calls::{Context, Operation};
use super::connect::{Connect, Connection, Endpoint};
use super::fault::Fault;
use super::lane::{self, Job, QUEUE_MAX, Seen};
use super::script::{Script, Scripts};

/// How long a connection of the pool may be idle.
const IDLE: Duration = Duration::from_secs(300);

/// What is needed to speak to a server.
pub(super) struct Link {
    pub(super) endpoint: Endpoint,
    pub(super) scripts: Arc<Scripts>,
    /// The server is a cluster's: the keys of a call must lie in one slot.
    pub(super) cluster: bool,
    connect: Arc<dyn Connect>,
    pub(super) attempt: Duration,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.endpoint.address)
    }
}

impl Link {
    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        Connection::open(&*self.connect, &self.endpoint, self.attempt).await
    }

    /// Calls a script; one that the server does not know (it restarted, or was told to forget) is loaded, and called again.
    pub(super) async fn run(
        &self,
        connection: &mut Connection,
        script: Script,
        cmd: &Cmd,
    ) -> Result<Value, Fault> {
        match connection.ask(cmd).await {
            Err(Fault::NoScript) => {
                self.load(connection, script).await?;
                connection.ask(cmd).await
            }
            answer => answer,
        }
    }

    /// The same where a cluster's other node said to ask here this once.
    async fn run_here(&self, connection: &mut Connection, script: Script, cmd: &Cmd) -> Result<Value, Fault> {
        match connection.ask_here(cmd).await {
            Err(Fault::NoScript) => {
                self.load(connection, script).await?;
                connection.ask_here(cmd).await
            }
            answer => answer,
        }
    }

    /// Sends a command, or calls a script, of which an attempt may take so long.
    async fn send(
        &self,
        connection: &mut Connection,
        script: Option<(Script, Duration)>,
        cmd: &Cmd,
        here: bool,
    ) -> Result<Value, Fault> {
        connection.within(script.map_or(self.attempt, |(_, attempt)| attempt));
        match (script, here) {
            (Some((script, _)), true) => self.run_here(connection, script, cmd).await,
            (Some((script, _)), false) => self.run(connection, script, cmd).await,
            (None, true) => connection.ask_here(cmd).await,
            (None, false) => connection.ask(cmd).await,
        }
    }

    async fn load(&self, connection: &mut Connection, script: Script) -> Result<(), Fault> {
        let text = self.scripts.text(script);
        connection
            .ask(redis::cmd("SCRIPT").arg("LOAD").arg(text))
            .await
            .map(|_| ())
    }
}

/// Makes the pool's connections. The pool tries until time is up and then only says that: why is remembered here.
#[derive(Debug)]
pub(super) struct Manager {
    link: Arc<Link>,
    failed: Arc<Mutex<Option<Fault>>>,
}

impl bb8::ManageConnection for Manager {
    type Connection = Connection;
    type Error = Fault;

    async fn connect(&self) -> Result<Connection, Fault> {
        let made = self.link.connect().await;
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = made.as_ref().err().cloned();
        made
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Fault> {
        if connection.is_broken() {
            return Err(Fault::NotDone("the connection was closed".to_owned()));
        }
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_broken()
    }
}

/// How a node is used.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) connect: Arc<dyn Connect>,
    pub(super) scripts: Arc<Scripts>,
    pub(super) seen: Arc<Seen>,
    pub(super) attempt: Duration,
    pub(super) patience: Duration,
    pub(super) lanes: usize,
    pub(super) pool: u32,
    pub(super) cluster: bool,
}

/// A server, connected to when needed.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) link: Arc<Link>,
    lanes: Vec<mpsc::Sender<Job>>,
    pool: bb8::Pool<Manager>,
    failed: Arc<Mutex<Option<Fault>>>,
}

impl Node {
    pub(super) fn new(endpoint: Endpoint, usage: &Use) -> Node {
        let link = Arc::new(Link {
            endpoint,
            scripts: Arc::clone(&usage.scripts),
            cluster: usage.cluster,
            connect: Arc::clone(&usage.connect),
            attempt: usage.attempt,
        });
        let lane = |_| {
            let (sender, jobs) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(lane::serve(Arc::clone(&link), Arc::clone(&usage.seen), jobs));
            sender
        };
        let failed = Arc::default();
        let manager = Manager {
            link: Arc::clone(&link),
            failed: Arc::clone(&failed),
        };
        let pool = bb8::Pool::builder()
            .max_size(usage.pool.max(1))
            .connection_timeout(usage.attempt)
            .test_on_check_out(true)
            .max_lifetime(None)
            .idle_timeout(IDLE)
            .build_unchecked(manager);
        Node {
            lanes: (0..usage.lanes.max(1)).map(lane).collect(),
            pool,
            failed,
            link,
        }
    }

    /// Puts an operation on its partition's lane and waits for the answer, which the lane gives in bounded time whatever becomes of the server: no
    /// timer for each. When the future is dropped, the operation may still be done.
    pub(super) async fn submit(
        &self,
        operation: &Arc<Operation>,
        context: Context,
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            operation: Arc::clone(operation),
            context,
            deadline,
            answer,
        };
        let lane = &self.lanes[operation.partition as usize % self.lanes.len()];
        if lane.try_send(job).is_err() {
            return Err(Fault::NotDone(format!(
                "more than {QUEUE_MAX} operations wait for Redis"
            )));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Fault::NotDone(format!(
                "no time was left to ask {}",
                self.link.endpoint.address
            )))
        })
    }

    /// Sends a command on a connection of the pool; `here` this once, as another node of the cluster said.
    pub(super) async fn ask(&self, cmd: &Cmd, here: bool) -> Result<Value, Fault> {
        self.call(None, cmd, here).await
    }

    /// The same for a script, of which an attempt may take so long.
    ///
    /// Redis may be closing a connection that was idle (`timeout`) at this very moment: where one is lost it is asked once more on a new one, since all that
    /// the ledger asks may be asked twice.
    pub(super) async fn call(
        &self,
        script: Option<(Script, Duration)>,
        cmd: &Cmd,
        here: bool,
    ) -> Result<Value, Fault> {
        let mut pooled = self.connection().await?;
        let lost = match self.link.send(&mut pooled, script, cmd, here).await {
            Err(lost @ Fault::Lost(_)) => lost,
            answer => return answer,
        };
        let again = match self.link.connect().await {
            Ok(mut new) => self.link.send(&mut new, script, cmd, here).await,
            Err(fault) => Err(fault),
        };
        // Whatever is wrong now, the first may have been done.
        again.map_err(|_| lost)
    }

    /// A connection of the pool, for as long as it is held.
    pub(super) async fn connection(&self) -> Result<bb8::PooledConnection<'_, Manager>, Fault> {
        let address = &self.link.endpoint.address;
        self.pool.get().await.map_err(|error| match error {
            bb8::RunError::User(fault) => fault,
            bb8::RunError::TimedOut => {
                let why = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                why.clone()
                    .unwrap_or_else(|| Fault::NotDone(format!("{address}: no connection in time")))
            }
        })
    }
}
