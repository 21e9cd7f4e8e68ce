//! Which HTTP a client speaks: what it sends first tells, whatever was agreed upon, and the guard is who says.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::framing::{GuardedIo, PREFACE_LEN};

/// A connection whose first bytes were looked at, and are read once more.
pub(super) struct Opened<T> {
    io: GuardedIo<T>,
    first: [u8; PREFACE_LEN],
    /// So many of them are still to be read.
    have: usize,
}

impl<T> Opened<T> {
    pub(super) fn new(io: GuardedIo<T>) -> Opened<T> {
        Opened {
            io,
            first: [0; PREFACE_LEN],
            have: 0,
        }
    }
}

impl<T: AsyncRead + Unpin> Opened<T> {
    /// Reads as much as tells HTTP/2 from HTTP/1; whether it is HTTP/2. A connection that ends before is HTTP/1's to end. To be asked once, before
    /// anything else is read.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        while self.io.is_http2().is_none() {
            let more = poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut self.first[self.have..]);
                ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
                Poll::Ready(io::Result::Ok(buf.filled().len()))
            });
            match more.await? {
                0 => break,
                more => self.have += more,
            }
        }
        Ok(self.io.is_http2().unwrap_or(false))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Opened<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.have == 0 {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let now = this.have.min(buf.remaining());
        buf.put_slice(&this.first[..now]);
        this.first.copy_within(now..this.have, 0);
        this.have -= now;
        // What came with it goes into the same read: after a read of its own, hyper would double its buffer.
        if this.have == 0
            && let Poll::Ready(Err(error)) = Pin::new(&mut this.io).poll_read(cx, buf)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Opened<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What comes in pieces of `step` bytes: whether it is HTTP/2, and all of it read again.
    async fn sent(bytes: &'static [u8], step: usize) -> (bool, Vec<u8>) {
        let (mut client, io) = duplex(step);
        let sending = tokio::spawn(async move {
            client.write_all(bytes).await.unwrap();
        });
        let mut opened = Opened::new(GuardedIo::new(io));
        let http2 = opened.is_http2().await.unwrap();
        let mut read = Vec::new();
        opened.read_to_end(&mut read).await.unwrap();
        sending.await.unwrap();
        (http2, read)
    }

    #[tokio::test]
    async fn the_preface_alone_is_http2_however_it_comes_and_nothing_is_lost() {
        for step in [1, 2, 7, 23, 24, 25, 4096] {
            for (bytes, expected) in [
                (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"[..], true),
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true),
                (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false),
                (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
                (b"POST /v1/rerank HTTP/1.1\r\nhost: a\r\n\r\n", false),
                (b"PR", false),
                (b"", false),
            ] {
                assert_eq!(sent(bytes, step).await, (expected, bytes.to_vec()), "{step}");
            }
        }
    }

    #[tokio::test]
    async fn the_first_read_takes_all_that_is_there() {
        let (mut client, io) = duplex(4096);
        client.write_all(&[b'G'; 600]).await.unwrap();
        let mut opened = Opened::new(GuardedIo::new(io));
        assert!(!opened.is_http2().await.unwrap());
        assert_eq!(opened.read(&mut [0; 4096]).await.unwrap(), 600);
    }
}
