//! Bytes on a socket: for what a well-behaved client can't send, and to see exactly what comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::tls::TestCa;
use super::{within, within_time};

mod framing;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One raw connection. Dropping it closes it in order; see also [`RawClient::reset`].
pub(crate) struct RawClient {
    io: Box<dyn Io>,
    /// A second handle of the socket, to change how it closes.
    socket: Option<socket2::Socket>,
    /// Read from the socket, not yet handed out.
    pending: BytesMut,
}

/// One HTTP/1 answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
}

/// How the other side ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order (FIN, or TLS close).
    Closed,
    /// By a reset, or cut off without TLS close.
    Reset,
}

impl RawResponse {
    /// The value of a header; panics when it is there more than once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(
            values.next().is_none(),
            "{name} is there more than once: {:?}",
            self.headers
        );
        value
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl RawClient {
    /// Connects by TCP.
    pub(crate) async fn connect(addr: SocketAddr) -> RawClient {
        let (tcp, socket) = tcp(addr).await;
        RawClient::over(tcp, Some(socket))
    }

    /// Connects by TLS for `localhost`, trusting this root, offering these protocols.
    pub(crate) async fn connect_tls(addr: SocketAddr, ca: &TestCa, alpn: &[&str]) -> RawClient {
        let (tcp, socket) = tcp(addr).await;
        let connector = TlsConnector::from(Arc::new(ca.client_config(alpn)));
        let name = ServerName::try_from("localhost").expect("a valid name");
        let tls = within("a TLS handshake", connector.connect(name, tcp))
            .await
            .expect("a TLS handshake");
        RawClient::over(tls, Some(socket))
    }

    /// Connects to a Unix socket.
    pub(crate) async fn connect_unix(path: &std::path::Path) -> RawClient {
        let unix = within("a connection", UnixStream::connect(path)).await;
        RawClient::over(unix.unwrap_or_else(|e| panic!("{}: {e}", path.display())), None)
    }

    fn over(io: impl Io + 'static, socket: Option<socket2::Socket>) -> RawClient {
        RawClient {
            io: Box::new(io),
            socket,
            pending: BytesMut::new(),
        }
    }

    /// Sends bytes; panics when the other side has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .await
            .expect("the other side to take the bytes");
    }

    /// Sends bytes, or says why they can't be sent.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within("the other side to take bytes", async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        })
        .await
    }

    /// Sends one byte at a time with a pause after each, until all are sent or the other side
    /// refuses them; returns how many were sent.
    pub(crate) async fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> usize {
        for (sent, byte) in bytes.as_ref().iter().enumerate() {
            if self.try_send([*byte]).await.is_err() {
                return sent;
            }
            tokio::time::sleep(pause).await;
        }
        bytes.as_ref().len()
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        within("a half close", self.io.shutdown())
            .await
            .expect("a half close");
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub(crate) fn reset(self) {
        let socket = self.socket.as_ref().expect("a TCP connection");
        socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    /// Reads one answer to a request of any method but HEAD.
    #[track_caller]
    pub(crate) fn response(&mut self) -> impl Future<Output = RawResponse> {
        let response = async {
            self.read_response(false)
                .await
                .unwrap_or_else(|e| panic!("no whole answer: {e}"))
        };
        within("a raw answer", response)
    }

    /// Reads one answer to a HEAD request: no body, whatever its headers say.
    #[track_caller]
    pub(crate) fn head_response(&mut self) -> impl Future<Output = RawResponse> {
        let response = async {
            self.read_response(true)
                .await
                .unwrap_or_else(|e| panic!("no whole answer: {e}"))
        };
        within("a raw answer", response)
    }

    /// Reads one answer, or says what was wrong with it. Not bounded.
    pub(crate) async fn try_response(&mut self) -> Result<RawResponse, String> {
        self.read_response(false).await
    }

    /// Reads exactly this many bytes.
    pub(crate) async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        within(format!("{count} bytes"), async {
            while self.pending.len() < count {
                let more = self.fill().await;
                assert!(matches!(more, Ok(1..)), "only {:?}, then {more:?}", self.pending);
            }
        })
        .await;
        self.pending.split_to(count).to_vec()
    }

    /// Reads exactly this many bytes; none when the connection ends before. Not bounded.
    pub(crate) async fn try_read_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.pending.len() < count {
            self.fill().await.ok().filter(|read| *read > 0)?;
        }
        Some(self.pending.split_to(count).to_vec())
    }

    /// Reads until the other side ends the connection.
    pub(crate) async fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = within("the end of the connection", async {
            loop {
                match self.fill().await {
                    Ok(0) => return End::Closed,
                    Ok(_) => {}
                    Err(_) => return End::Reset,
                }
            }
        })
        .await;
        (self.pending.split().to_vec(), end)
    }

    /// Asserts that nothing comes and nobody closes for this long.
    pub(crate) async fn stays_silent_for(&mut self, time: Duration) {
        assert!(self.pending.is_empty(), "already there: {:?}", self.pending);
        if let Ok(read) = tokio::time::timeout(time, self.fill()).await {
            panic!("not silent: {read:?}, {:?}", self.pending);
        }
    }

    /// Waits for the other side's end at most this long.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> (Vec<u8>, End) {
        within_time(limit, "the end of the connection", self.read_to_end()).await
    }

    /// Reads what is there; 0 at the end.
    async fn fill(&mut self) -> std::io::Result<usize> {
        self.io.read_buf(&mut self.pending).await
    }
}

async fn tcp(addr: SocketAddr) -> (TcpStream, socket2::Socket) {
    let tcp = within("a connection", TcpStream::connect(addr)).await;
    let tcp = tcp.unwrap_or_else(|e| panic!("cannot connect to {addr}: {e}"));
    tcp.set_nodelay(true).expect("TCP_NODELAY");
    let socket = socket2::SockRef::from(&tcp).try_clone().expect("a second handle");
    (tcp, socket)
}

#[cfg(test)]
mod tests;
