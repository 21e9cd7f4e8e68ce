//! As much of HTTP/1.1 as a client needs that must cost little: whole answers, and streams read piece by piece.

use crate::upstream;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// How an answer's body ends.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

/// Bytes that came and were not yet taken.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    answer: Option<(u16, Framing)>,
    body: Vec<u8>,
    ended: bool,
}

impl Incoming {
    /// Adds bytes and takes what is whole.
    fn take_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.answer.is_none() {
            let Some(end) = find(&self.bytes, b"\r\n\r\n") else {
                return Ok(());
            };
            let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
            self.answer = Some(parse_head(&head)?);
        }
        match self.answer {
            Some((_, Framing::Length(length))) => {
                self.body.append(&mut self.bytes);
                self.ended = self.body.len() >= length;
            }
            Some((_, Framing::Chunked)) => while self.take_chunk()? {},
            None => {}
        }
        Ok(())
    }

    /// Moves one whole chunk into the body; false when more bytes are needed or the body has ended.
    fn take_chunk(&mut self) -> io::Result<bool> {
        let Some(line) = find(&self.bytes, b"\r\n") else {
            return Ok(false);
        };
        let size = self
            .bytes
            .get(..line)
            .unwrap_or_default()
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let size = usize::from_str_radix(&String::from_utf8_lossy(size), 16).map_err(io::Error::other)?;
        if size == 0 {
            // Trailers, if any, then an empty line.
            self.ended = find(self.bytes.get(line..).unwrap_or_default(), b"\r\n\r\n").is_some();
            return Ok(false);
        }
        let (start, end) = (line + 2, line + 2 + size);
        if self.bytes.len() < end + 2 {
            return Ok(false);
        }
        self.body
            .extend_from_slice(self.bytes.get(start..end).unwrap_or_default());
        self.bytes.drain(..end + 2);
        Ok(true)
    }

    /// The answer, once whole; what follows is the next answer's.
    fn whole(&mut self) -> Option<Answer> {
        if !self.ended {
            return None;
        }
        let (status, _) = self.answer.take()?;
        self.ended = false;
        self.bytes.clear();
        Some(Answer {
            status,
            body: std::mem::take(&mut self.body),
        })
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn parse_head(head: &[u8]) -> io::Result<(u16, Framing)> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not an answer: {head}")))?;
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let framing = match (header("content-length"), header("transfer-encoding")) {
        (Some(length), None) => Framing::Length(length.parse().map_err(io::Error::other)?),
        (None, Some("chunked")) => Framing::Chunked,
        _ => return Err(io::Error::other(format!("an answer without framing: {head}"))),
    };
    Ok((status, framing))
}

fn closed_early() -> io::Error {
    io::Error::other("the server closed the connection")
}

/// A stream that was read to its end.
pub(super) struct Events {
    pub(super) status: u16,
    pub(super) bytes: usize,
    /// When its first event came.
    pub(super) first: Instant,
    /// Microseconds between each event's being said and its coming.
    pub(super) delays: Vec<f64>,
}

/// A kept connection of the closed loop.
pub(super) struct Connection {
    stream: tokio::net::TcpStream,
    incoming: Incoming,
}

impl Connection {
    pub(super) async fn open(address: std::net::SocketAddr) -> io::Result<Self> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            incoming: Incoming::default(),
        })
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        let mut buffer = [0; 4096];
        loop {
            self.more(&mut buffer).await?;
            if let Some(answer) = self.incoming.whole() {
                return Ok(answer);
            }
        }
    }

    pub(super) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    async fn more(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self.stream.read(buffer).await? {
            0 => Err(closed_early()),
            count => self.incoming.take_in(buffer.get(..count).unwrap_or_default()),
        }
    }

    /// Reads a stream of events to its end; says when its first one has come.
    pub(super) async fn events(&mut self, came: impl FnOnce()) -> io::Result<Events> {
        let (mut buffer, mut read) = ([0; 4096], 0);
        let (mut first, mut delays, mut came) = (None, Vec::new(), Some(came));
        loop {
            self.more(&mut buffer).await?;
            let now = upstream::now();
            let body = &self.incoming.body;
            while let Some((said, rest)) = body.get(read..).and_then(upstream::first_event) {
                first.get_or_insert_with(Instant::now);
                if let Some(came) = came.take() {
                    came();
                }
                delays.push(now.saturating_sub(said) as f64);
                read = body.len() - rest.len();
            }
            if let Some(answer) = self.incoming.whole() {
                return Ok(Events {
                    status: answer.status,
                    bytes: answer.body.len(),
                    first: first.unwrap_or_else(Instant::now),
                    delays,
                });
            }
        }
    }

    /// Waits until the body so far has `bytes` bytes or has ended; gives the status and how many there are.
    pub(super) async fn body_of(&mut self, bytes: usize) -> io::Result<(u16, usize)> {
        let mut buffer = [0; 1024];
        loop {
            let (ended, got) = (self.incoming.ended, self.incoming.body.len());
            if let Some((status, _)) = self.incoming.answer
                && (ended || got >= bytes)
            {
                return Ok((status, got));
            }
            self.more(&mut buffer).await?;
        }
    }
}

/// A kept connection of the open loop, on a thread of its own.
pub(super) struct Blocking {
    stream: std::net::TcpStream,
    incoming: Incoming,
}

impl Blocking {
    pub(super) fn open(address: std::net::SocketAddr) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        Ok(Self {
            stream,
            incoming: Incoming::default(),
        })
    }

    /// Sends a request and reads its whole answer.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request)?;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Err(closed_early()),
                count => self.incoming.take_in(buffer.get(..count).unwrap_or_default())?,
            }
            if let Some(answer) = self.incoming.whole() {
                return Ok(answer);
            }
        }
    }
}
