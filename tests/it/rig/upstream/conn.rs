//! A TCP stream that can be closed, reset or written to from beside the HTTP server that owns it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// The server's end of the stream. Dropping it closes the socket.
pub(super) struct SharedTcp {
    tcp: Arc<TcpStream>,
    /// Dropped after the socket (fields are dropped in their order).
    _open: OnClosed,
}

/// Does what it is told once the socket is closed.
struct OnClosed(Option<Box<dyn FnOnce() + Send>>);

impl Drop for OnClosed {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

/// The control beside it; it does not keep the socket open.
#[derive(Clone)]
pub(super) struct ConnControl {
    tcp: Weak<TcpStream>,
    ending: watch::Sender<bool>,
}

/// Splits a socket into its two ends; `on_closed` runs once it is closed.
pub(super) fn split(tcp: TcpStream, on_closed: impl FnOnce() + Send + 'static) -> (SharedTcp, ConnControl) {
    let tcp = Arc::new(tcp);
    let control = ConnControl {
        tcp: Arc::downgrade(&tcp),
        ending: watch::Sender::new(false),
    };
    (
        SharedTcp {
            tcp,
            _open: OnClosed(Some(Box::new(on_closed))),
        },
        control,
    )
}

impl ConnControl {
    /// Asks the connection's task to end; the socket closes in order.
    pub(super) fn close(&self) {
        self.ending.send_replace(true);
    }

    /// Asks the connection's task to end; the socket closes with a reset.
    pub(super) fn reset(&self) {
        if let Some(tcp) = self.tcp.upgrade() {
            let _ = SockRef::from(&*tcp).set_linger(Some(Duration::ZERO));
        }
        self.close();
    }

    /// Whether it was asked to end from our side.
    pub(super) fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Waits until it is asked to end.
    pub(super) async fn ended(&self) {
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    /// Writes past the HTTP server, straight to the socket. Only sensible without TLS, on HTTP/1, while the
    /// server has nothing to say.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let tcp = self.tcp.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            tcp.writable().await?;
            match tcp.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl AsyncRead for SharedTcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read(buf.initialize_unfilled()) {
                Ok(read) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for SharedTcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write) {
            // The other side was quicker.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}
