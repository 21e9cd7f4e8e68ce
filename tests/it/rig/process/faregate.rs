//! The built `faregate` as a child process.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::{Process, Spawn};
use crate::rig::client::HttpClient;
use crate::rig::temp::TempDir;
use crate::rig::{PATIENCE, ports, within};

/// The admin token that `Faregate::serve` puts into `FAREGATE_ADMIN_TOKEN`.
pub(crate) const ADMIN_TOKEN: &str = "rig-admin-token-0123456789abcdef";

/// A `faregate serve` with its folder, its configuration and its two addresses.
#[derive(Debug)]
pub(crate) struct Faregate {
    process: Process,
    spawn: Spawn,
    dir: TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Faregate {
    /// Any `faregate` command line.
    pub(crate) fn command<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Spawn {
        Spawn::new(env!("CARGO_BIN_EXE_faregate")).args(args)
    }

    /// Starts `faregate serve` and waits until it is ready. In the text, `@LISTEN@` and `@ADMIN@` stand
    /// for two free addresses, `@DIR@` for a folder of its own.
    pub(crate) async fn serve(config: &str) -> Faregate {
        let faregate = Faregate::start(config, |spawn| spawn);
        faregate.wait_ready().await;
        faregate
    }

    /// Starts `faregate serve` without waiting; `adjust` may add arguments, environment and limits.
    pub(crate) fn start(config: &str, adjust: impl FnOnce(Spawn) -> Spawn) -> Faregate {
        let dir = TempDir::new();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::reserve()));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::reserve()));
        let path = dir.join("config.toml");
        let spawn = Faregate::command(["serve", "--config"])
            .args([path])
            .dir(dir.path());
        let spawn = adjust(spawn.env("FAREGATE_ADMIN_TOKEN", ADMIN_TOKEN));
        write_config(&dir, config, listen, admin);
        Faregate {
            process: spawn.start(),
            spawn,
            dir,
            listen,
            admin,
        }
    }

    /// Writes another configuration over the first, as an operator would; the next reload or restart sees it.
    pub(crate) fn configure(&self, config: &str) {
        write_config(&self.dir, config, self.listen, self.admin);
    }

    /// Waits until `/readyz` answers 200. Panics with what was said when the process ends before.
    pub(crate) async fn wait_ready(&self) {
        let client = HttpClient::new(self.admin);
        within(format!("faregate ready at {}", self.admin), async {
            loop {
                if let Ok(answer) = client.get("/readyz").try_send().await
                    && answer.status() == 200
                {
                    return;
                }
                if let Some(status) = self.process.exit_status() {
                    panic!(
                        "faregate ended ({status}) instead of getting ready:\n{}",
                        self.process.said()
                    );
                }
                // Nothing tells us when a socket begins to listen.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Kills it where it stands and starts it again: same folder, same configuration, same addresses.
    pub(crate) fn kill9_and_restart(&mut self) {
        self.process.kill9();
        self.process = self.spawn.start();
    }

    /// SIGTERM, then waits for the end; returns the exit code.
    pub(crate) async fn stop(&self) -> Option<i32> {
        self.process.terminate();
        self.process.wait_exit_within(PATIENCE).await.code()
    }

    /// The child itself: lines, signals, memory.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// The child itself, to kill.
    pub(crate) fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where clients connect.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where the operator connects.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client of the data plane.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.listen)
    }

    /// A client of the admin listener, with the token.
    pub(crate) fn admin_client(&self) -> HttpClient {
        HttpClient::new(self.admin).header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
    }

    /// A command that talks to this one's admin listener, such as `["account", "create", "acme"]`.
    pub(crate) fn cli<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Spawn {
        Faregate::command(args)
            .env("FAREGATE_ADMIN_URL", format!("http://{}", self.admin))
            .env("FAREGATE_ADMIN_TOKEN", ADMIN_TOKEN)
            .dir(self.dir.path())
    }
}

/// Whole or not at all: a reload must never see half a file.
fn write_config(dir: &TempDir, config: &str, listen: SocketAddr, admin: SocketAddr) {
    let text = config
        .replace("@LISTEN@", &listen.to_string())
        .replace("@ADMIN@", &admin.to_string())
        .replace("@DIR@", &dir.path().display().to_string());
    let new = dir.write("config.toml.new", text);
    std::fs::rename(new, dir.join("config.toml")).expect("a rename within one folder");
}
