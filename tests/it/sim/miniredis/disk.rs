//! The append-only file. A killed process loses nothing that it has written; a machine that loses its power loses what was not synced.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::sim::rng::Rng;

/// `appendfsync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fsync {
    /// Before each answer.
    #[default]
    Always,
    /// Once a second.
    EverySec,
    /// When the operating system likes.
    No,
}

impl Fsync {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::EverySec => "everysec",
            Fsync::No => "no",
        }
    }
}

/// One step's writes, all in the file or none (`MULTI`, `EXEC`): each with its database.
pub(crate) type Effects = Vec<(usize, Vec<Vec<u8>>)>;

/// The file; what is left of a server that ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<File>>);

#[derive(Debug, Default)]
struct File {
    steps: Vec<Effects>,
    synced: usize,
    fsync: Fsync,
}

impl Disk {
    pub(crate) fn new(fsync: Fsync) -> Disk {
        let file = File {
            fsync,
            ..File::default()
        };
        Disk(Arc::new(Mutex::new(file)))
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.lock().expect("nothing panics with it")
    }

    pub(crate) fn fsync(&self) -> Fsync {
        self.lock().fsync
    }

    /// Appends a step; whether it is safe when this returns depends on `appendfsync`.
    pub(super) fn append(&self, step: Effects) {
        let mut file = self.lock();
        file.steps.push(step);
        if file.fsync == Fsync::Always {
            file.synced = file.steps.len();
        }
    }

    /// Everything written is safe now.
    pub(crate) fn sync(&self) {
        let mut file = self.lock();
        file.synced = file.steps.len();
    }

    pub(super) fn steps(&self) -> Vec<Effects> {
        self.lock().steps.clone()
    }

    /// The power failed: of what was not synced, any first part is there. Whether anything is gone.
    pub(crate) fn lose_power(&self, rng: &mut Rng) -> bool {
        let mut file = self.lock();
        let unsynced = file.steps.len() - file.synced;
        let kept = file.synced + rng.index(unsynced + 1);
        let gone = kept < file.steps.len();
        file.steps.truncate(kept);
        file.synced = kept;
        gone
    }
}
