//! A private Redis for measuring: its process, its processor time, a small blocking client.
//! `REDIS_SERVER` names another program than `redis-server`.

use crate::process::{self, Owned};
use std::fs;
use std::io::{self, BufReader, Read as _, Write as _, prelude::BufRead};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One answer of Redis. Errors inside an array stay values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Int(i64),
    Bulk(Vec<u8>),
    Status(String),
    Error(String),
    Array(Vec<Reply>),
}

/// A `redis-server` of our own on a free port, in a folder of its own; ended on drop.
pub(crate) struct Server {
    child: Owned,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// Starts with the append-only file synced `fsync` (`everysec`, `always`), or without one for `off`.
    pub(crate) fn start(fsync: &str) -> io::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("faregate-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (aof, policy) = if fsync == "off" {
            ("no", "everysec")
        } else {
            ("yes", fsync)
        };
        let port_text = port.to_string();
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut command = Command::new(program);
        command
            .args([
                "--port",
                &port_text,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                aof,
            ])
            .args(["--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"])
            .arg("--dir")
            .arg(&folder)
            .stdout(Stdio::null());
        let server = Self {
            child: Owned::start(&mut command)?,
            port,
            folder,
        };
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if let Ok(mut client) = server.client()
                && client.call(&[b"PING"])? == Reply::Status("PONG".into())
            {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("redis-server did not answer PING within 10 s"))
    }

    /// Where it listens on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    pub(crate) fn client(&self) -> io::Result<Client> {
        Client::connect(self.port)
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        process::cpu(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing worth keeping, whether or not it has ended yet.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A blocking connection: write any number of commands, then read as many answers.
pub(crate) struct Client {
    read: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            read: BufReader::with_capacity(64 * 1024, stream),
            out: Vec::new(),
        })
    }

    /// Puts a command behind those already waiting to be sent.
    pub(crate) fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let _ = write!(self.out, "*{}\r\n", args.len());
        for arg in args {
            let arg = arg.as_ref();
            let _ = write!(self.out, "${}\r\n", arg.len());
            self.out.extend_from_slice(arg);
            self.out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends what is waiting.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.read.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Sends one command and reads its answer.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.queue(args);
        self.flush()?;
        self.reply()
    }

    /// Reads one answer.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.read.read_line(&mut line)?;
        let line = line.trim_end();
        let (kind, rest) = line
            .split_at_checked(1)
            .ok_or_else(|| io::Error::other("Redis closed"))?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Status(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Int(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bulk = vec![0; length + 2];
                    self.read.read_exact(&mut bulk)?;
                    bulk.truncate(length);
                    Reply::Bulk(bulk)
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array((0..length).map(|_| self.reply()).collect::<io::Result<_>>()?),
            },
            other => return Err(io::Error::other(format!("unexpected answer type {other:?}"))),
        })
    }
}
