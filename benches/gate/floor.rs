//! The floor: a pass-through of hyper and nothing else. What the gate costs beyond it is the gate's own.
//!
//! One `current_thread` runtime per core, each with its own listener and its own stack of upstream connections; or, to
//! compare, one runtime with a thread per core that share both.

use crate::roles;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{io, thread};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// Buffers of a connection; smaller ones cost more with large bodies.
const BUFFER: usize = 64 * 1024;

/// Serves until the runner goes away.
pub(crate) fn run(upstream: SocketAddr, shared: bool) -> io::Result<()> {
    roles::end_with_runner();
    let mut listeners = roles::listeners()?;
    let port = listeners
        .first()
        .map_or(Ok(0), |listener| listener.local_addr().map(|at| at.port()))?;
    if shared {
        listeners.truncate(1);
    }
    let core = move |listener| {
        let runtime = if shared {
            Builder::new_multi_thread()
        } else {
            Builder::new_current_thread()
        }
        .enable_all()
        .build()?;
        runtime.block_on(serve(
            listener,
            Arc::new(Pool {
                upstream,
                idle: Mutex::default(),
            }),
        ))
    };
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| thread::spawn(move || core(listener)))
        .collect();
    roles::say(&port.to_string())?;
    threads
        .into_iter()
        .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a core panicked"))?)
}

async fn serve(listener: std::net::TcpListener, pool: Arc<Pool>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = Arc::clone(&pool);
        tokio::spawn(async move {
            let service = service_fn(move |request| pass(Arc::clone(&pool), request));
            let mut server = http1::Builder::new();
            // An error here is a client that has gone, which some scenarios do on purpose.
            drop(
                server
                    .max_buf_size(BUFFER)
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn pass(pool: Arc<Pool>, request: Request<Incoming>) -> Result<Response<Passing>, hyper::Error> {
    let Ok(mut sender) = pool.take().await else {
        let mut response = Response::new(Passing {
            body: None,
            ended: true,
            home: None,
        });
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Passing {
        body: Some(body),
        ended: false,
        home: Some((sender, pool)),
    }))
}

/// Idle connections to the upstream, the last used first.
struct Pool {
    upstream: SocketAddr,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    fn pop(&self) -> Option<SendRequest<Incoming>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn take(&self) -> io::Result<SendRequest<Incoming>> {
        while let Some(mut sender) = self.pop() {
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let handshake = client::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn put(&self, sender: SendRequest<Incoming>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
    }
}

/// The upstream's body on its way to the client; read to its end, it gives its connection back.
struct Passing {
    body: Option<Incoming>,
    ended: bool,
    home: Option<(SendRequest<Incoming>, Arc<Pool>)>,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None) = polled {
            self.ended = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A body of known length is not asked once more after its last byte.
        let ended = self.ended || self.is_end_stream();
        if let Some((sender, pool)) = self.home.take().filter(|_| ended) {
            pool.put(sender);
        }
    }
}
