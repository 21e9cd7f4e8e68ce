//! The admin listener: small, plain HTTP/1.1, on its own address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::api::{Problem, admin::Admin};
use crate::http::body::{ReadLimit, read};

use super::AppError;

/// Connections at once: an operator, his scripts, and a Prometheus or two.
const CONNECTIONS_MAX: usize = 256;

const LIMIT: ReadLimit = ReadLimit {
    bytes_max: 256 * 1024,
    idle: Duration::from_secs(10),
    total: Duration::from_secs(30),
};

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
pub(super) async fn run(listener: TcpListener, admin: Arc<Admin>) {
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
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| answer(Arc::clone(&admin), request));
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(64 * 1024);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

async fn answer(
    admin: Arc<Admin>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let reply = match read(body, LIMIT).await {
        Ok(body) => admin.answer(Request::from_parts(head, body)).await,
        Err(error) => Problem::new(StatusCode::BAD_REQUEST, "invalid_request", error.to_string()).reply(),
    };
    Ok(reply.map(Full::new))
}
