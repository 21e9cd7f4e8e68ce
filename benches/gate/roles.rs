//! Roles are this same binary, started again: how they start, listen and talk to the runner over their pipes.

use crate::process::Owned;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ChildStdout, Command, Stdio};
use std::thread;

/// Raises the limit on open files as far as it goes. Children inherit it.
pub(crate) fn allow_many_files() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// A role in a process of its own, and its pipes.
pub(crate) struct Role {
    process: Owned,
    answers: BufReader<ChildStdout>,
}

impl Role {
    /// Starts this binary as `role` with these arguments.
    pub(crate) fn start(role: &str, args: &[String]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--role", role])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Owned::start(&mut command)?;
        let answers = process
            .child()
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Self {
            process,
            answers: BufReader::new(answers),
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its next line; an error when it has ended instead.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("a role ended early: see its message above")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// The port it listens on, which is the first thing that a server says.
    pub(crate) fn port(&mut self) -> io::Result<u16> {
        self.line()?.parse().map_err(io::Error::other)
    }

    /// Lets it go on to its next step.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        let stdin = self
            .process
            .child()
            .stdin
            .as_mut()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        stdin.write_all(b"go\n")
    }
}

/// Says something to the runner.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Waits for the runner's word; an error when the runner has gone.
pub(crate) fn wait_for_go() -> io::Result<()> {
    match io::stdin().lock().read_line(&mut String::new())? {
        0 => Err(io::Error::other("the runner has gone")),
        _ => Ok(()),
    }
}

/// Ends the process when the runner goes away.
pub(crate) fn end_with_runner() {
    thread::spawn(|| {
        while wait_for_go().is_ok() {}
        std::process::exit(0);
    });
}

/// One listener per core on the same free port: the kernel deals connections out to them.
pub(crate) fn listeners() -> io::Result<Vec<TcpListener>> {
    let cores = thread::available_parallelism()?.get();
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listeners = Vec::with_capacity(cores);
    for _ in 0..cores {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}
