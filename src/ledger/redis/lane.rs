//! A lane: one connection to one server, shared by everybody. Operations that wait become one call, so that a busy proxy asks seldom and much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::calls::{self, Context, Operation};
use super::connect::Connection;
use super::fault::Fault;
use super::node::Link;
use super::script::Script;

/// The most operations in one call: bounds how long Redis is busy with it.
pub(super) const BATCH_MAX: usize = 64;

/// How many operations may wait for a lane; one more is refused at once.
pub(super) const QUEUE_MAX: usize = 4_096;

/// After a connection could not be made, how long nothing else is tried.
const PAUSE: Duration = Duration::from_millis(20);

/// An operation on its way.
pub(super) struct Job {
    pub(super) operation: Arc<Operation>,
    pub(super) context: Context,
    /// Nobody waits any longer than this.
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<Vec<u8>, Fault>>,
}

impl Job {
    fn answer(self, answer: Result<Vec<u8>, Fault>) {
        // Whoever asked may have gone; the operation is done or not all the same.
        let _ = self.answer.send(answer);
    }
}

/// The last entry known of each partition's journal.
#[derive(Debug, Default)]
pub(super) struct Seen(OnceLock<Vec<AtomicU64>>);

impl Seen {
    /// Of so many partitions, nothing is known yet.
    pub(super) fn begin(&self, partitions: u32) {
        self.0
            .get_or_init(|| (0..partitions).map(|_| AtomicU64::new(0)).collect());
    }

    fn all(&self) -> &[AtomicU64] {
        self.0.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn get(&self, partition: u32) -> u64 {
        let seq = self.all().get(partition as usize);
        seq.map_or(0, |seq| seq.load(Ordering::Relaxed))
    }

    pub(super) fn note(&self, partition: u32, seq: u64) {
        if let Some(last) = self.all().get(partition as usize) {
            last.fetch_max(seq, Ordering::Relaxed);
        }
    }

    pub(super) fn forget(&self) {
        for seq in self.all() {
            seq.store(0, Ordering::Relaxed);
        }
    }
}

/// Serves a lane until nobody can send to it any more.
pub(super) async fn serve(link: Arc<Link>, seen: Arc<Seen>, mut jobs: mpsc::Receiver<Job>) {
    let mut connection: Option<Connection> = None;
    while let Some(first) = jobs.recv().await {
        let mut waiting = vec![first];
        while waiting.len() < BATCH_MAX
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push(job);
        }
        let now = Instant::now();
        waiting.retain_mut(|job| job.deadline > now && !job.answer.is_closed());
        if waiting.is_empty() {
            continue;
        }
        if connection.as_ref().is_none_or(Connection::is_broken) {
            connection = match link.connect().await {
                Ok(new) => Some(new),
                Err(fault) => {
                    for job in waiting {
                        job.answer(Err(fault.clone()));
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
        }
        match &mut connection {
            Some(connection) if !link.cluster => call(&link, &seen, connection, waiting).await,
            Some(connection) => {
                let calls = grouped(waiting).into_iter().map(|jobs| {
                    let (mut connection, link, seen) = (connection.clone(), &link, &seen);
                    async move { call(link, seen, &mut connection, jobs).await }
                });
                futures(calls).await;
            }
            None => {}
        }
    }
}

/// Waits for all; they run at once.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// In a cluster, a call for each partition, since a call's keys must lie in one slot.
fn grouped(waiting: Vec<Job>) -> Vec<Vec<Job>> {
    let mut groups: Vec<(u32, Vec<Job>)> = Vec::new();
    for job in waiting {
        let partition = job.operation.partition;
        match groups.iter_mut().find(|(n, _)| *n == partition) {
            Some((_, jobs)) => jobs.push(job),
            None => groups.push((partition, vec![job])),
        }
    }
    groups.into_iter().map(|(_, jobs)| jobs).collect()
}

async fn call(link: &Link, seen: &Seen, connection: &mut Connection, jobs: Vec<Job>) {
    match ask(link, seen, connection, &jobs).await {
        Ok(answers) => {
            for (job, answer) in jobs.into_iter().zip(answers) {
                job.answer(Ok(answer));
            }
        }
        // One of them made the script fail, before anything was written: each for itself, so that only that one has the fault.
        Err(Fault::Script(_)) if jobs.len() > 1 => {
            for job in jobs {
                // One that is not answered in time breaks the connection: the rest need not wait for it too.
                let answer = if connection.is_broken() {
                    Err(Fault::NotDone("the connection to Redis broke".to_owned()))
                } else {
                    ask(link, seen, connection, std::slice::from_ref(&job)).await
                };
                job.answer(answer.and_then(|mut answers| answers.pop().ok_or_else(no_answer)));
            }
        }
        Err(fault) => {
            for job in jobs {
                job.answer(Err(fault.clone()));
            }
        }
    }
}

fn no_answer() -> Fault {
    Fault::Script("the script's answer has another length than its question".to_owned())
}

async fn ask(
    link: &Link,
    seen: &Seen,
    connection: &mut Connection,
    jobs: &[Job],
) -> Result<Vec<Vec<u8>>, Fault> {
    let Some(first) = jobs.first() else {
        return Ok(Vec::new());
    };
    let operations = jobs.iter().map(|job| &*job.operation);
    let cmd = calls::hot(&link.scripts, first.context, operations, |n| seen.get(n));
    let answers = strings(link.run(connection, Script::Hot, &cmd).await?)?;
    if answers.len() == jobs.len() {
        Ok(answers)
    } else {
        Err(no_answer())
    }
}

/// A script's answers.
pub(super) fn strings(value: Value) -> Result<Vec<Vec<u8>>, Fault> {
    let Value::Array(items) = value else {
        return Err(no_answer());
    };
    let string = |item| match item {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(no_answer()),
    };
    items.into_iter().map(string).collect()
}
