//! The gate itself: its configuration, accounts, keys and credits, by the command line that its users have.

use crate::process::Owned;
use crate::systems::{Folder, free_port, wait_for_port};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

/// Credits of one request on every paid route.
const PRICE: f64 = 0.002;
/// How much is held for a stream that is priced by tokens: the dearer way, with trips to the ledger in mid-stream.
const HOLD: &str = "growing";
/// Accounts with credits, each with one key: connections take turns with them.
const ACCOUNTS: usize = 32;
const TOKEN: &str = "bench-admin-token";
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A gate that serves.
pub(crate) struct Gate {
    pub(crate) process: Owned,
    pub(crate) port: u16,
    /// Keys of accounts that can pay.
    pub(crate) keys: Vec<String>,
    /// The key of an account without credits.
    pub(crate) poor_key: String,
    admin: Admin,
    _folder: Folder,
}

/// The binary to measure: `FAREGATE_BIN`, else the release build beside this bench.
pub(crate) fn binary() -> Option<PathBuf> {
    let beside = || Some(env::current_exe().ok()?.parent()?.parent()?.join("faregate"));
    env::var_os("FAREGATE_BIN")
        .map(PathBuf::from)
        .or_else(beside)
        .filter(|path| path.is_file())
}

/// How long a start takes until `/readyz` says 200, on an empty ledger that these lines of `[ledger]` describe.
pub(crate) fn time_to_ready(binary: &Path, ledger: &str) -> io::Result<Duration> {
    let folder = Folder::new("start")?;
    let (port, admin_port) = (free_port()?, free_port()?);
    fs::write(
        folder.path().join("config.toml"),
        config(port, admin_port, port, ledger),
    )?;
    let mut command = Command::new(binary);
    command.args(["serve"]).current_dir(folder.path());
    let began = Instant::now();
    let _process = Owned::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    while began.elapsed() < READY_WITHIN {
        if is_ready(admin_port).unwrap_or(false) {
            return Ok(began.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("faregate serve was not ready in time"))
}

fn is_ready(admin_port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, admin_port))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

impl Gate {
    /// Starts it in front of the upstream, on the ledger that these lines of `[ledger]` describe.
    pub(crate) fn start(binary: &Path, upstream: u16, ledger: &str) -> io::Result<Self> {
        let folder = Folder::new("gate")?;
        let (port, admin_port) = (free_port()?, free_port()?);
        let file = folder.path().join("config.toml");
        fs::write(&file, config(port, admin_port, upstream, ledger))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(folder.path());
        let mut process = Owned::start(command.stdout(log.try_clone()?).stderr(log))?;
        let admin = Admin {
            binary: binary.to_owned(),
            url: format!("http://127.0.0.1:{admin_port}"),
        };
        let ready = wait_for_port(port, &mut process).and_then(|()| admin.wait_until_it_answers());
        ready.map_err(|e| {
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            io::Error::other(format!("faregate serve: {e}\n{log}"))
        })?;
        let keys = (0..ACCOUNTS)
            .map(|number| {
                let account = format!("bench-{number}");
                let key = admin.open_account(&account)?;
                admin.run(&["grant", "add", "--account", &account, "--amount", "1000000"])?;
                Ok(key)
            })
            .collect::<io::Result<_>>()?;
        let poor_key = admin.open_account("poor")?;
        Ok(Self {
            process,
            port,
            keys,
            poor_key,
            admin,
            _folder: folder,
        })
    }

    /// Checks that exactly these paid requests were charged, that nothing is held, and the ledger's books.
    pub(crate) fn verify(&self, paid: u64) -> io::Result<()> {
        let expected = paid as f64 * PRICE;
        let until = Instant::now() + READY_WITHIN;
        loop {
            let (mut spent, mut held) = (0.0, 0.0);
            for number in 0..ACCOUNTS {
                let account = self.admin.run(&["account", "show", &format!("bench-{number}")])?;
                spent += decimal(&account, "spent");
                held += decimal(&account, "held");
            }
            if (spent - expected).abs() < PRICE / 2.0 && held == 0.0 {
                break;
            }
            if Instant::now() > until {
                return Err(io::Error::other(format!(
                    "{paid} requests cost {spent} credits with {held} held, not {expected}"
                )));
            }
            thread::sleep(Duration::from_millis(100));
        }
        self.admin.run(&["ledger", "verify"]).map(drop)
    }
}

fn decimal(account: &Value, name: &str) -> f64 {
    account
        .get(name)
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN)
}

/// The command line, as a client of the admin listener.
struct Admin {
    binary: PathBuf,
    url: String,
}

impl Admin {
    fn run(&self, args: &[&str]) -> io::Result<Value> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--json").stdin(Stdio::null());
        command
            .env("FAREGATE_ADMIN_URL", &self.url)
            .env("FAREGATE_ADMIN_TOKEN", TOKEN);
        let output = command.output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("faregate {}: {error}", args.join(" "))));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|e| io::Error::other(format!("faregate {}: {e}", args.join(" "))))
    }

    /// A new account and its key.
    fn open_account(&self, account: &str) -> io::Result<String> {
        self.run(&["account", "create", account])?;
        let key = self.run(&["key", "create", "--account", account])?;
        let key = key.get("key").and_then(Value::as_str).map(str::to_owned);
        key.ok_or_else(|| io::Error::other("faregate key create: no `key` in its JSON"))
    }

    fn wait_until_it_answers(&self) -> io::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            match self.run(&["account", "list"]) {
                Ok(_) => return Ok(()),
                Err(e) if Instant::now() > until => return Err(e),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

fn config(port: u16, admin_port: u16, upstream: u16, ledger: &str) -> String {
    format!(
        r#"[server]
listen = "127.0.0.1:{port}"
connections_per_client_max = 0

[admin]
listen = "127.0.0.1:{admin_port}"
token = "{TOKEN}"

[ledger]
{ledger}

[upstreams.models]
url = "http://127.0.0.1:{upstream}"
idle_timeout = "600s"

[[routes]]
match = "POST /v1/rerank"
upstream = "models"
cost = {PRICE}

[[routes]]
match = "POST /v1/stream"
upstream = "models"
cost = {PRICE}

[models."bench"]
input = 20
output = 20
output_tokens_max = 1000

[[routes]]
match = "POST /v1/chat"
upstream = "models"
api = "openai-chat"
cost = "tokens"
hold = "{HOLD}"
query = ["events", "every"]
"#
    )
}
