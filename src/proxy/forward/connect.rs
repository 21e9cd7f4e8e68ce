//! Connections to an upstream's server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use crate::config::denied;
use crate::telemetry::metrics::UpstreamMeters;

use super::super::upload::Upload;
use super::early::Early;
use super::tls::Connectors;

/// HTTP/2: bytes that the upstream may send ahead of what the client has read, per answer and in all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// HTTP/1: bytes of an answer that wait for a slow client, and the longest head.
const BUFFER_MAX: usize = 64 * 1024;

/// HTTP/2: how often an idle connection is asked whether it lives, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How a server is reached.
pub(super) struct Dial {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    pub(super) tls: Option<(Connectors, ServerName<'static>)>,
    /// HTTP/2 without TLS.
    pub(super) http2: bool,
    pub(super) allow_link_local: bool,
    pub(super) timeout: Duration,
}

/// A new connection.
pub(super) enum Fresh {
    H1(http1::SendRequest<Upload>),
    /// With the number of streams that the server allows just now.
    H2(http2::SendRequest<Upload>, Arc<AtomicUsize>),
}

impl Dial {
    /// Connects, TLS and all, in time. `h2` says whether HTTP/2 may be spoken.
    pub(super) async fn connect(&self, h2: bool, meters: &Arc<UpstreamMeters>) -> io::Result<Fresh> {
        let in_time = tokio::time::timeout(self.timeout, self.dial(h2, meters)).await;
        let fresh = in_time.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &fresh {
            Ok(_) => meters.connected.one(),
            Err(_) => meters.unreachable.one(),
        }
        fresh
    }

    async fn dial(&self, may_h2: bool, meters: &Arc<UpstreamMeters>) -> io::Result<Fresh> {
        let socket = self.reach().await?;
        socket.set_nodelay(true)?;
        let Some((connectors, name)) = &self.tls else {
            return if self.http2 && may_h2 {
                h2(socket, meters).await
            } else {
                h1(socket, meters).await
            };
        };
        let connector = if may_h2 {
            &connectors.any
        } else {
            &connectors.http1
        };
        let stream = connector.connect(name.clone(), socket).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            h2(stream, meters).await
        } else {
            h1(stream, meters).await
        }
    }

    /// The first of the host's addresses that answers, if it is one that may be asked.
    async fn reach(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in lookup_host((&*self.host, self.port)).await? {
            match self.permitted(address) {
                Ok(()) => match TcpStream::connect(address).await {
                    Ok(socket) => return Ok(socket),
                    Err(error) => failed = error,
                },
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn permitted(&self, address: SocketAddr) -> io::Result<()> {
        match denied(address.ip()) {
            Some(what) if !self.allow_link_local => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} resolves to {what}; allow_link_local = true would permit it",
                    self.host
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<UpstreamMeters>);

impl Open {
    fn new(meters: &Arc<UpstreamMeters>) -> Open {
        meters.connections.up();
        Open(Arc::clone(meters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.down();
    }
}

async fn h1<S>(stream: S, meters: &Arc<UpstreamMeters>) -> io::Result<Fresh>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new()
        .max_buf_size(BUFFER_MAX)
        .handshake(TokioIo::new(Early::new(stream)));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    let open = Open::new(meters);
    tokio::spawn(async move {
        let _open = open;
        // What went wrong is told to the request that it happened to.
        let _ = connection.with_upgrades().await;
    });
    Ok(Fresh::H1(sender))
}

async fn h2<S>(stream: S, meters: &Arc<UpstreamMeters>) -> io::Result<Fresh>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    let open = Open::new(meters);
    let streams_max = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let room = Arc::clone(&streams_max);
    tokio::spawn(async move {
        let _open = open;
        let mut connection = std::pin::pin!(connection);
        let ended = std::future::poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            room.store(connection.current_max_send_streams(), Ordering::Relaxed);
            polled
        });
        let _ = ended.await;
    });
    Ok(Fresh::H2(sender, streams_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(host: &str, allow_link_local: bool) -> Dial {
        Dial {
            host: host.into(),
            port: 80,
            tls: None,
            http2: false,
            allow_link_local,
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn s4_where_a_name_leads_is_looked_at_before_anything_is_sent_there() {
        // As names are, these are resolved first: whatever the configuration was checked for then, it is this that counts.
        for host in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
        ] {
            let refused = dial(host, false).reach().await.expect_err(host);
            assert_eq!(
                refused.kind(),
                io::ErrorKind::PermissionDenied,
                "{host}: {refused}"
            );
        }
        let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
        assert!(dial("metadata.example", true).permitted(metadata).is_ok());
        assert!(dial("metadata.example", false).permitted(metadata).is_err());
        assert!(
            dial("metadata.example", false)
                .permitted(SocketAddr::from(([10, 0, 0, 1], 80)))
                .is_ok()
        );
    }
}
