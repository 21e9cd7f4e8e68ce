//! Connections to the API: HTTP/1.1, over TLS but on this machine, to addresses that are looked at first, and kept for the next call.
//!
//! They are hyper's own connections with a stack of free ones. hyper-util's pooled client would do too, but needs a connector of our own all the same
//! (for the addresses) and more packages, and does not say which connection a call went over.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::ClientError;
use crate::config::{BaseUrl, denied};

/// The longest head of an answer.
const HEAD_MAX: usize = 64 * 1024;

/// A free connection that is older is not used: the server may be about to close it.
const FREE_MAX: Duration = Duration::from_secs(30);

/// Requests go in here.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// How the API is reached.
pub(super) struct Dial {
    base: BaseUrl,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
    free: Mutex<Vec<(Sender, Instant)>>,
    free_max: usize,
}

impl Dial {
    pub(super) fn new(
        base: BaseUrl,
        trusted: Vec<CertificateDer<'static>>,
        timeout: Duration,
        free_max: u32,
    ) -> Result<Dial, ClientError> {
        let tls = if base.tls {
            let host = base.host.to_string();
            let name = ServerName::try_from(host).map_err(|_| ClientError::Host(base.host.to_string()))?;
            Some((connector(trusted)?, name))
        } else {
            None
        };
        Ok(Dial {
            base,
            tls,
            timeout,
            free: Mutex::default(),
            free_max: usize::try_from(free_max).unwrap_or(1),
        })
    }

    /// A free connection, the one used last, if there is one that is open and not old.
    pub(super) fn free(&self) -> Option<Sender> {
        let now = Instant::now();
        let mut free = self.lock();
        free.retain(|(sender, since)| !sender.is_closed() && now.duration_since(*since) < FREE_MAX);
        free.pop().map(|(sender, _)| sender)
    }

    /// Keeps a connection whose answer was read whole.
    pub(super) fn keep(&self, sender: Sender) {
        let mut free = self.lock();
        if !sender.is_closed() && free.len() < self.free_max {
            free.push((sender, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Sender, Instant)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, TLS and all, in time.
    pub(super) async fn connect(&self) -> io::Result<Sender> {
        let in_time = tokio::time::timeout(self.timeout, self.dial()).await;
        in_time.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn dial(&self) -> io::Result<Sender> {
        let socket = self.reach().await?;
        socket.set_nodelay(true)?;
        match &self.tls {
            None => speak(socket).await,
            Some((connector, name)) => speak(connector.connect(name.clone(), socket).await?).await,
        }
    }

    /// The first of the host's addresses that answers, if it is one that may be asked.
    async fn reach(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in lookup_host((&*self.base.host, self.base.port)).await? {
            failed = match self.permitted(address) {
                Err(error) => error,
                Ok(()) => match TcpStream::connect(address).await {
                    Ok(socket) => return Ok(socket),
                    Err(error) => error,
                },
            };
        }
        Err(failed)
    }

    fn permitted(&self, address: SocketAddr) -> io::Result<()> {
        let host = &self.base.host;
        let forbidden = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        match denied(address.ip()) {
            Some(what) => forbidden(format!("{host} resolves to {what}")),
            None if self.tls.is_none() && !address.ip().to_canonical().is_loopback() => forbidden(format!(
                "the API key would go to {host} unencrypted: write https:// in api_base"
            )),
            None => Ok(()),
        }
    }
}

fn connector(trusted: Vec<CertificateDer<'static>>) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore::empty();
    if trusted.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in trusted {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn speak<S>(stream: S) -> io::Result<Sender>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    // What goes wrong with it shows in the answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(host: &str, tls: bool) -> Dial {
        let base = BaseUrl {
            tls,
            host: host.into(),
            port: 1,
            path: "".into(),
        };
        Dial::new(base, Vec::new(), Duration::from_secs(1), 1).unwrap()
    }

    #[tokio::test]
    async fn s4_where_the_apis_name_leads_is_looked_at_before_the_key_is_sent_there() {
        for host in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            for tls in [true, false] {
                let refused = dial(host, tls).connect().await.expect_err(host);
                assert_eq!(
                    refused.kind(),
                    io::ErrorKind::PermissionDenied,
                    "{host}: {refused}"
                );
            }
        }
    }

    #[tokio::test]
    async fn s4_the_key_does_not_leave_the_machine_unencrypted() {
        for (address, fine) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("10.0.0.1:80", false),
            ("192.0.2.1:80", false),
            ("0.0.0.0:80", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(
                dial("api.example", false).permitted(address).is_ok(),
                fine,
                "{address}"
            );
            assert!(dial("api.example", true).permitted(address).is_ok(), "{address}");
        }
        let refused = dial("192.0.2.1", false).connect().await.unwrap_err();
        assert!(refused.to_string().contains("write https://"), "{refused}");
    }
}
