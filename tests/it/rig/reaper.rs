//! Kills the tests' child processes and removes their folders when the test binary ends in a way
//! that runs no `Drop`: Ctrl-C, `kill -9`, `abort`, or simply `exit` with statics still alive.
//!
//! It is a shell that reads what to watch from a pipe; the pipe ends with the binary, however it ends.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
pids=' '
root=
while IFS=' ' read -r verb what; do
    case $verb in
    watch) pids="$pids$what " ;;
    forget) pids="${pids%% $what *} ${pids#* $what }" ;;
    remove) root=$what ;;
    esac
done
for pid in $pids; do kill -9 "$pid"; done
[ -z "$root" ] || rm -rf -- "$root" || { sleep 1; rm -rf -- "$root"; }
"#;

/// Kills `pid` at the end of this binary, unless forgotten before.
pub(super) fn watch(pid: u32) {
    tell(&format!("watch {pid}\n"));
}

/// `pid` has been waited for: the number may belong to somebody else from now on.
pub(super) fn forget(pid: u32) {
    tell(&format!("forget {pid}\n"));
}

/// Removes the folder at the end of this binary. There is one such folder.
pub(super) fn remove_at_end(root: &Path) {
    tell(&format!("remove {}\n", root.display()));
}

fn tell(line: &str) {
    let mut shell = shell().lock().unwrap_or_else(PoisonError::into_inner);
    let pipe = shell.stdin.as_mut().expect("stdin was piped");
    pipe.write_all(line.as_bytes())
        .expect("the reaper's shell is gone: who killed it?");
}

/// It is never waited for: it outlives us by the moment it needs to clean up.
fn shell() -> &'static Mutex<Child> {
    static SHELL: OnceLock<Mutex<Child>> = OnceLock::new();
    SHELL.get_or_init(|| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Mutex::new(shell.spawn().expect("the tests need `sh` on PATH"))
    })
}

/// Not a test of its own: what `killed_test_binary_leaves_nothing` runs and kills.
#[tokio::test]
async fn victim() {
    if std::env::var_os(VICTIM).is_some() {
        let redis = super::redis::RedisServer::start(super::redis::RedisOptions::default()).await;
        println!("{} {}", redis.process().pid(), redis.dir().display());
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
const VICTIM: &str = "FG_IT_REAPER_VICTIM";

#[tokio::test]
async fn killed_test_binary_leaves_nothing() {
    use super::process::Spawn;

    let binary = std::env::current_exe().unwrap();
    let args = [
        "--exact",
        "rig::reaper::victim",
        "--nocapture",
        "--test-threads=1",
    ];
    let mut victim = Spawn::new(binary).args(args).env(VICTIM, "1").start();
    let line = victim.wait_for_line(|line| line.contains("/fg-it.")).await;
    // The harness may put the test's name in front.
    let (before, dir) = line.rsplit_once(' ').unwrap();
    let pid = before.rsplit(' ').next().unwrap();
    let proc = format!("/proc/{pid}");
    assert!(std::fs::exists(&proc).unwrap() && std::fs::exists(dir).unwrap());
    victim.kill9();
    let root = Path::new(dir).parent().unwrap();
    super::within("the reaper to clean up", async {
        while is_alive(pid) || root.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A zombie that init has not collected yet is dead enough.
#[cfg(test)]
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}
