//! The admin listener: small, HTTP/1.1, on its own address, over TLS where the configuration says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::{Problem, admin::Admin};
use crate::http::body::{ReadError, ReadLimit, read};
use crate::proxy::Tls;

use super::AppError;

/// Connections at once: an operator, his scripts, and a Prometheus or two.
const CONNECTIONS_MAX: usize = 256;

const LIMIT: ReadLimit = ReadLimit {
    bytes_max: 256 * 1024,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

/// For a client to finish the TLS handshake, and to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause after an accept that failed, for want of descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds; so that a port that is taken is told before anything else starts.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    let why = |error| {
        AppError::Failed(format!(
            "cannot listen on {address} for the admin API: {error}; see [admin] listen"
        ))
    };
    TcpListener::bind(address).await.map_err(why)
}

/// Serves until the task is dropped.
pub(super) async fn run(listener: TcpListener, tls: Option<Arc<Tls>>, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the admin listener");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        tokio::spawn(async move {
            let _place = place;
            match acceptor {
                None => serve(stream, admin).await,
                Some(acceptor) => match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, admin).await,
                    Ok(Err(error)) => tracing::debug!(%error, "admin connection without TLS"),
                    Err(_) => tracing::debug!("admin connection without TLS in time"),
                },
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, admin: Arc<Admin>) {
    let service = service_fn(move |request| answer(Arc::clone(&admin), request));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "admin connection ended");
    }
}

async fn answer(
    admin: Arc<Admin>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let reply = match read(body, LIMIT).await {
        Ok(body) => admin.answer(Request::from_parts(head, body)).await,
        Err(error) => unreadable(&error).reply(),
    };
    Ok(reply.map(Full::new))
}

fn unreadable(error: &ReadError) -> Problem {
    let code = match error {
        ReadError::TooLarge(_) => "body_too_large",
        ReadError::TooSlow => "request_timeout",
        _ => "invalid_request",
    };
    Problem::new(error.status(), code, error.to_string())
}
