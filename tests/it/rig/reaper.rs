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
