//! A server may answer before it has read a request, and close: what it then refuses to read must not lose the answer that it has sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose other end may have closed. hyper gives up on the first error, and may meet it in a write before it has read: so from the first one that the
/// other end causes, what is written goes nowhere, and what was sent is read. That comes to an end at once: the socket is closed.
pub(super) struct Early<S> {
    stream: S,
    /// The other end reads nothing any more.
    deaf: bool,
    /// It has said all.
    ended: bool,
}

impl<S> Early<S> {
    pub(super) fn new(stream: S) -> Early<S> {
        Early {
            stream,
            deaf: false,
            ended: false,
        }
    }

    /// What came of writing so many bytes.
    fn written(&mut self, written: Poll<io::Result<usize>>, all: usize) -> Poll<io::Result<usize>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match &written {
            Poll::Ready(Err(error))
                if !self.ended
                    && matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) =>
            {
                self.deaf = true;
                Poll::Ready(Ok(all))
            }
            _ => written,
        }
    }

    /// Writes so many bytes to who is deaf: as long as there may be something to read.
    fn nowhere(&self, all: usize) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.ended {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(all),
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Early<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let ended = matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before;
        if buf.remaining() > 0 && ended || matches!(read, Poll::Ready(Err(_))) {
            self.ended = true;
        }
        match read {
            // The write has taken the error that would have said so (A13).
            Poll::Ready(Ok(())) if self.deaf && self.ended => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            read => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Early<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return self.nowhere(buf.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.deaf {
            return self.nowhere(all);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(written, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.deaf {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.deaf {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Takes the first write; the second finds it closed, with this answer sent.
    struct Closes {
        answer: &'static [u8],
        writes: usize,
    }

    impl AsyncRead for Closes {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.writes < 2 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let (now, later) = self.answer.split_at(self.answer.len().min(buf.remaining()));
            buf.put_slice(now);
            self.answer = later;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Closes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.writes += 1;
            Poll::Ready(match self.writes {
                1 => Ok(buf.len().min(100)),
                _ => Err(io::ErrorKind::ConnectionReset.into()),
            })
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Option<Bytes> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = ::http::Request::post("/").body(Full::new(Bytes::from(vec![b'x'; 1 << 20])));
        let answer = sender.send_request(request.unwrap()).await.ok();
        let body = match answer {
            Some(answer) => answer.into_body().collect().await.ok(),
            None => None,
        };
        drop(sender);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), connection);
        let _ = ended.await.expect("the connection ends");
        Some(body?.to_bytes())
    }

    #[tokio::test]
    async fn an_answer_that_was_sent_before_the_request_was_read_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nearly";
        let kept = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly";
        for text in [&whole[..], &kept[..]] {
            let closes = |answer| Closes { answer, writes: 0 };
            assert_eq!(answer(closes(text)).await, None, "without it");
            assert_eq!(
                answer(Early::new(closes(text))).await.as_deref(),
                Some(&b"early"[..])
            );
        }
    }

    #[tokio::test]
    async fn a13_an_answer_of_which_the_end_may_be_missing_is_none() {
        for text in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\ncontent-",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\near",
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\near",
        ] {
            let closes = Closes {
                answer: text,
                writes: 0,
            };
            assert_eq!(answer(Early::new(closes)).await, None);
        }
    }

    #[tokio::test]
    async fn who_has_said_all_and_reads_nothing_is_written_to_no_more() {
        let mut stream = Early::new(Closes {
            answer: b"all",
            writes: 0,
        });
        assert_eq!(stream.write(b"a").await.unwrap(), 1);
        assert_eq!(
            stream.write(b"bc").await.unwrap(),
            2,
            "it may have said something"
        );
        let mut said = Vec::new();
        assert!(stream.read_to_end(&mut said).await.is_err());
        assert_eq!(said, b"all");
        assert!(stream.write(b"d").await.is_err());
        // Half closed in order: the first write that fails is told.
        let mut stream = Early::new(Closes {
            answer: b"",
            writes: 2,
        });
        assert_eq!(stream.read_to_end(&mut said).await.unwrap(), 0);
        assert!(stream.write(b"a").await.is_err());
    }
}
