//! Folders that go away: when dropped, when the test panics, and when the test binary is killed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reaper;

/// A new empty folder, removed with all it holds on drop.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a folder. Its path is short, since a Unix socket's path ends at 107 bytes.
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = root().join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        TempDir { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file inside and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // What is left behind (a process still writing, say) goes with the root.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// One folder per test binary, so that one removal at its end clears everything.
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let base = std::env::temp_dir();
        for attempt in 0..1000 {
            let path = base.join(format!("fg-it.{}.{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    reaper::remove_at_end(&path);
                    return path;
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => panic!("cannot make {}: {e}", path.display()),
            }
        }
        panic!("no free folder name in {}", base.display());
    })
}

#[test]
fn folder_is_there_then_gone_with_all_it_holds() {
    let dir = TempDir::new();
    let file = dir.write("a", "1");
    let path = dir.path().to_owned();
    assert!(file.exists());
    drop(dir);
    assert!(!path.exists());
}

#[test]
fn folder_is_gone_after_a_panic_too() {
    let dir = TempDir::new();
    let path = dir.path().to_owned();
    let outcome = std::thread::spawn(move || {
        let _kept = dir;
        std::panic::resume_unwind(Box::new("planted"));
    })
    .join();
    assert!(outcome.is_err());
    assert!(!path.exists());
}
