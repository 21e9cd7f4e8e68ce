//! Moving the bytes: for each direction a reader that judges, and a writer that delays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Cut, Shared, Verdict};

/// Reads that may wait for their time to be written, per direction.
const IN_FLIGHT: usize = 1024;
const READ_MAX: usize = 16 * 1024;

/// Accepts until aborted.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut number = 0;
        shared.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.open += 1;
            number = counts.connections;
        });
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            connection(client, number, &shared).await;
            shared.counts.send_modify(|counts| counts.open -= 1);
        });
    }
}

/// Carries one connection to its end; both sockets are closed when it returns.
async fn connection(mut client: TcpStream, number: u64, shared: &Shared) {
    let Ok(mut server) = TcpStream::connect(shared.server).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut cuts = shared.cuts.subscribe();
    let cut_by_test = async {
        cuts.wait_for(|(upto, _)| number <= *upto)
            .await
            .map(|cut| cut.1)
            .ok()
    };
    let cut = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let (swallow, awaited) = (Swallow::default(), AtomicBool::new(false));
        let requests = pump(shared, client_read, server_write, None, |bytes| {
            let verdict = shared.judge_request(bytes);
            match verdict {
                Verdict::PassAndSwallowReply(cut) => swallow.replies(cut),
                Verdict::PassAndAwaitReply => awaited.store(true, Ordering::Relaxed),
                _ => {}
            }
            verdict
        });
        let muted = Some(shared.muted.subscribe());
        let replies = pump(shared, server_read, client_write, muted, |bytes| {
            if awaited.swap(false, Ordering::Relaxed) {
                shared.strike();
            }
            match swallow.cut() {
                Some(cut) => Verdict::CutAfter(0, cut),
                None => shared.judge_reply(bytes),
            }
        });
        let both = async { tokio::try_join!(requests, replies) };
        tokio::select! {
            ended = both => ended.err(),
            cut = cut_by_test => cut,
        }
    };
    if cut == Some(Cut::Reset) {
        reset(&client);
        reset(&server);
    }
}

/// Set while the reply to a request that passed is to be swallowed.
#[derive(Default)]
struct Swallow {
    on: AtomicBool,
    by_reset: AtomicBool,
}

impl Swallow {
    fn replies(&self, cut: Cut) {
        self.by_reset.store(cut == Cut::Reset, Ordering::Relaxed);
        self.on.store(true, Ordering::Relaxed);
    }

    fn cut(&self) -> Option<Cut> {
        let cut = if self.by_reset.load(Ordering::Relaxed) {
            Cut::Reset
        } else {
            Cut::Close
        };
        self.on.load(Ordering::Relaxed).then_some(cut)
    }
}

/// Moves one direction to its end, which is passed on as a half close; an error cuts both.
async fn pump(
    shared: &Shared,
    mut from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    muted: Option<watch::Receiver<bool>>,
    judge: impl Fn(&[u8]) -> Verdict,
) -> Result<(), Cut> {
    let (queue, queued) = mpsc::channel(IN_FLIGHT);
    let read = async {
        // Moved in, so that its end ends the writer.
        let queue = queue;
        loop {
            let mut bytes = BytesMut::with_capacity(READ_MAX);
            match from.read_buf(&mut bytes).await {
                Ok(0) => return Ok::<(), Cut>(()),
                Ok(_) => {}
                Err(_) => return Err(Cut::Reset),
            }
            let due = Instant::now() + Duration::from_micros(shared.latency_micros.load(Ordering::Relaxed));
            let (pass, cut) = match judge(&bytes) {
                Verdict::CutAfter(pass, cut) => (pass, Some(cut)),
                _ => (bytes.len(), None),
            };
            bytes.truncate(pass);
            if queue.send((due, bytes.freeze(), cut)).await.is_err() || cut.is_some() {
                return Ok(());
            }
        }
    };
    tokio::try_join!(read, write(shared, queued, to, muted)).map(|_| ())
}

async fn write(
    shared: &Shared,
    mut queued: mpsc::Receiver<(Instant, Bytes, Option<Cut>)>,
    mut to: impl AsyncWrite + Unpin,
    mut muted: Option<watch::Receiver<bool>>,
) -> Result<(), Cut> {
    let mut frozen = shared.frozen.subscribe();
    while let Some((due, bytes, cut)) = queued.recv().await {
        tokio::time::sleep_until(due).await;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let _ = frozen.wait_for(|frozen| !frozen).await;
            if let Some(muted) = &mut muted {
                let _ = muted.wait_for(|muted| !muted).await;
            }
            let (now, pause) = portion(rest.len(), shared.throttle.load(Ordering::Relaxed));
            if to.write_all(&rest[..now]).await.is_err() {
                return Err(Cut::Reset);
            }
            rest = &rest[now..];
            tokio::time::sleep(pause).await;
        }
        if let Some(cut) = cut {
            shared.strike();
            return Err(cut);
        }
    }
    let _ = to.shutdown().await;
    Ok(())
}

/// How many bytes to write now, and how long to wait then.
fn portion(bytes: usize, bytes_per_second: u64) -> (usize, Duration) {
    if bytes_per_second == 0 {
        return (bytes, Duration::ZERO);
    }
    // A hundredth of a second's worth at a time.
    let now = usize::try_from(bytes_per_second.div_ceil(100))
        .unwrap_or(usize::MAX)
        .min(bytes);
    (now, Duration::from_secs_f64(now as f64 / bytes_per_second as f64))
}

fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
