//! What is compared: each a way from the load to the upstream, with its processes.

use crate::faregate::{self, Gate};
use crate::process::{self, Owned};
use crate::roles::Role;
use crate::{nginx, redis};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Names of the rows that the others are set against.
pub(crate) const FLOOR: &str = "floor";
pub(crate) const NGINX: &str = "nginx";

/// One way to the upstream.
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    kind: Kind,
    /// Paid requests so far that were answered.
    pub(crate) paid: u64,
}

enum Kind {
    Direct,
    Role(Role),
    Nginx(
        Owned,
        #[allow(dead_code, reason = "goes when nginx has ended")] Folder,
    ),
    Gate(Box<Gate>, Option<redis::Server>),
}

impl System {
    fn new(name: &'static str, port: u16, kind: Kind) -> Self {
        Self {
            name,
            port,
            kind,
            paid: 0,
        }
    }

    fn floor(name: &'static str, upstream: u16, shared: bool) -> io::Result<Self> {
        let mut args = vec!["--upstream".to_owned(), format!("127.0.0.1:{upstream}")];
        args.extend(shared.then(|| "--shared".to_owned()));
        let mut role = Role::start("floor", &args)?;
        Ok(Self::new(name, role.port()?, Kind::Role(role)))
    }

    fn nginx(name: &'static str, upstream: u16, workers: &str) -> io::Result<Option<Self>> {
        let Some((mut process, port, folder)) = nginx::start(workers, upstream)? else {
            return Ok(None);
        };
        wait_for_port(port, &mut process)?;
        Ok(Some(Self::new(name, port, Kind::Nginx(process, folder))))
    }

    /// The keys that requests carry; an empty one where none is asked for.
    pub(crate) fn keys(&self) -> Vec<String> {
        match &self.kind {
            Kind::Gate(gate, _) => gate.keys.clone(),
            _ => vec![String::new()],
        }
    }

    /// The key of an account without credits, where there are accounts.
    pub(crate) fn poor_key(&self) -> Option<String> {
        match &self.kind {
            Kind::Gate(gate, _) => Some(gate.poor_key.clone()),
            _ => None,
        }
    }

    fn proxy(&self) -> Option<u32> {
        match &self.kind {
            Kind::Direct => None,
            Kind::Role(role) => Some(role.id()),
            Kind::Nginx(process, _) => Some(process.id()),
            Kind::Gate(gate, _) => Some(gate.process.id()),
        }
    }

    /// Processor time so far of the proxy, and of its Redis.
    pub(crate) fn cpu(&self) -> io::Result<(Duration, Option<Duration>)> {
        let proxy = self.proxy().map_or(Ok(Duration::ZERO), process::cpu)?;
        let store = match &self.kind {
            Kind::Gate(_, Some(redis)) => Some(redis.cpu()?),
            _ => None,
        };
        Ok((proxy, store))
    }

    /// The proxy's resident memory now and at its highest, KiB.
    pub(crate) fn memory(&self) -> io::Result<(u64, u64)> {
        self.proxy().map_or(Ok((0, 0)), process::memory)
    }

    /// Whether the ledger agrees with what was counted here.
    pub(crate) fn verify(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Gate(gate, _) => gate
                .verify(self.paid)
                .map_err(|e| io::Error::other(format!("{}: {e}", self.name))),
            _ => Ok(()),
        }
    }
}

/// Which systems a scenario wants beside the floor and nginx.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) direct: bool,
    pub(crate) only: Option<&'a str>,
    pub(crate) gates_only: bool,
}

/// Starts them all in front of the upstream.
pub(crate) fn start(upstream: u16, wanted: Wanted<'_>) -> io::Result<Vec<System>> {
    let named = |name: &str| wanted.only.is_none_or(|only| name.contains(only));
    let beside = |name: &str| named(name) && !wanted.gates_only;
    let mut systems = Vec::new();
    if wanted.direct && beside("direct") {
        systems.push(System::new("direct", upstream, Kind::Direct));
    }
    if beside(NGINX) {
        match System::nginx(NGINX, upstream, "auto")? {
            Some(nginx) => systems.push(nginx),
            None => eprintln!("nginx is not on PATH: its rows are left out"),
        }
    }
    if beside("nginx, 1 worker") {
        systems.extend(System::nginx("nginx, 1 worker", upstream, "1")?);
    }
    if !wanted.gates_only {
        systems.push(System::floor(FLOOR, upstream, false)?);
    }
    if beside("floor, shared runtime") {
        systems.push(System::floor("floor, shared runtime", upstream, true)?);
    }
    match faregate::binary() {
        Some(binary) => gates(&binary, upstream, &named, &mut systems)?,
        None => {
            eprintln!("no faregate binary (FAREGATE_BIN, or `cargo build --release`): its rows are left out")
        }
    }
    Ok(systems)
}

fn gates(
    binary: &Path,
    upstream: u16,
    named: &dyn Fn(&str) -> bool,
    systems: &mut Vec<System>,
) -> io::Result<()> {
    let name = "faregate, Redis";
    if named(name) {
        let store = redis::Server::start("everysec")?;
        let ledger = format!(
            "backend = \"redis\"\nurl = \"redis://127.0.0.1:{}\"",
            store.port()
        );
        let gate = Gate::start(binary, upstream, &ledger)?;
        systems.push(System::new(
            name,
            gate.port,
            Kind::Gate(Box::new(gate), Some(store)),
        ));
    }
    let name = "faregate, embedded";
    if named(name) {
        let gate = Gate::start(binary, upstream, "backend = \"embedded\"\npath = \"data\"")?;
        systems.push(System::new(name, gate.port, Kind::Gate(Box::new(gate), None)));
    }
    Ok(())
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until the process listens there, at most 10 s.
pub(crate) fn wait_for_port(port: u16, process: &mut Owned) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(()),
            Err(e) if Instant::now() > until => return Err(io::Error::other(format!("port {port}: {e}"))),
            Err(_) if process.has_ended() => return Err(io::Error::other("it ended at once")),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// How many requests the upstream has answered.
pub(crate) fn upstream_count(port: u16) -> io::Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"GET /count HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer
        .rsplit("\r\n")
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(io::Error::other)
}

/// A folder of our own; removed on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    pub(crate) fn new(what: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!(
            "faregate-bench-{what}-{}-{}",
            std::process::id(),
            free_port()?
        ));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the folder for temporary files does no harm.
        drop(fs::remove_dir_all(&self.0));
    }
}
