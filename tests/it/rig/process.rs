//! Child processes: their lines, their signals, what they use, how they end.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use super::{PATIENCE, reaper, within_time};

pub(crate) use rustix::process::Signal;

mod faregate;
pub(crate) use faregate::Faregate;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Spawn {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Vec<u8>,
    open_files_max: Option<u32>,
}

impl Spawn {
    /// `program`, looked up on PATH unless it is a path.
    pub(crate) fn new(program: impl Into<OsString>) -> Spawn {
        Spawn {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Vec::new(),
            open_files_max: None,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Spawn {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one environment variable of the child.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Spawn {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The child's working folder.
    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Spawn {
        self.dir = Some(dir.into());
        self
    }

    /// What the child reads on its standard input; nothing by default.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Spawn {
        self.stdin = bytes.into();
        self
    }

    /// `ulimit -n` of the child.
    pub(crate) fn open_files_max(mut self, files: u32) -> Spawn {
        self.open_files_max = Some(files);
        self
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Process {
        Process::start(self)
    }

    /// Runs it to its end, bounded by [`PATIENCE`].
    pub(crate) async fn run(&self) -> Finished {
        self.run_within(PATIENCE).await
    }

    /// Runs it to its end, bounded by `limit`.
    pub(crate) async fn run_within(&self, limit: Duration) -> Finished {
        let process = self.start();
        let status = process.wait_exit_within(limit).await;
        process.finished(status)
    }

    fn command(&self) -> Command {
        let mut command = match self.open_files_max {
            None => Command::new(&self.program),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell
                    .args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"])
                    .arg(&self.program);
                shell
            }
        };
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// How a process ended, and all it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The exit code; a process that died of a signal has none.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("no exit code: {self:?}"))
    }

    /// Panics with everything the process said unless it ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Finished {
        assert!(
            self.status.success(),
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }
}

/// Which of the two streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A running child. Dropping it kills it and waits for its end; so does the end of the test binary.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    pid: Pid,
    shared: Arc<Shared>,
    waiter: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Held while signalling and while reaping, so that no signal ever goes to a number that the
    /// kernel has given to another process meanwhile.
    reaped: Mutex<bool>,
    exit: watch::Sender<Option<ExitStatus>>,
    output: watch::Sender<Output>,
}

#[derive(Debug, Default)]
struct Output {
    lines: Vec<(Stream, String)>,
    streams_ended: u8,
}

impl Process {
    fn start(spawn: &Spawn) -> Process {
        super::raise_open_files();
        let name = spawn.program.to_string_lossy().into_owned();
        let mut child = spawn
            .command()
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        reaper::watch(child.id());
        let shared = Arc::new(Shared {
            reaped: Mutex::new(false),
            exit: watch::Sender::new(None),
            output: watch::Sender::new(Output::default()),
        });
        let mut stdin = child.stdin.take().expect("piped");
        if spawn.stdin.is_empty() {
            drop(stdin);
        } else {
            let bytes = spawn.stdin.clone();
            // A child that does not read it all is no error.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        read_lines(&shared, Stream::Stdout, child.stdout.take().expect("piped"));
        read_lines(&shared, Stream::Stderr, child.stderr.take().expect("piped"));
        let pid = Pid::from_child(&child);
        let waiter = Some(reap_at_exit(child, Arc::clone(&shared)));
        Process {
            name,
            pid,
            shared,
            waiter,
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends a signal; false when the process has ended already.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let reaped = lock(&self.shared.reaped);
        !*reaped && kill_process(self.pid, signal).is_ok()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) -> bool {
        self.signal(Signal::TERM)
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) -> bool {
        self.signal(Signal::HUP)
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }

    /// Stops the process where it stands (SIGSTOP): its sockets stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        assert!(
            self.signal(Signal::STOP),
            "{} has ended: {}",
            self.name,
            self.said()
        );
    }

    /// Lets a frozen process go on (SIGCONT).
    pub(crate) fn thaw(&self) {
        assert!(
            self.signal(Signal::CONT),
            "{} has ended: {}",
            self.name,
            self.said()
        );
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.shared.exit.borrow().is_none()
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.shared.exit.borrow()
    }

    /// Waits for the end, at most [`PATIENCE`].
    pub(crate) async fn wait_exit(&self) -> ExitStatus {
        self.wait_exit_within(PATIENCE).await
    }

    /// Waits for the end, at most `limit`, and for all it wrote before.
    pub(crate) async fn wait_exit_within(&self, limit: Duration) -> ExitStatus {
        let mut exit = self.shared.exit.subscribe();
        let mut output = self.shared.output.subscribe();
        within_time(limit, format!("the end of {}", self.name), async {
            let status = *exit.wait_for(Option::is_some).await.expect("we hold the sender");
            // A grandchild may hold the pipes open for long; what the child itself wrote is there.
            let _ =
                tokio::time::timeout(Duration::from_secs(1), output.wait_for(|o| o.streams_ended == 2)).await;
            status.expect("is_some")
        })
        .await
    }

    /// Waits until either stream has said a line for which `wanted` holds (lines said before count),
    /// and returns it. Panics with all that was said when the process ends without it.
    pub(crate) async fn wait_for_line(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_for_line_after(0, wanted).await.1
    }

    /// As `wait_for_line`, looking only at lines from number `from` (as `line_count` counts them).
    /// Returns the number to go on from, and the line.
    pub(crate) async fn wait_for_line_after(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> (usize, String) {
        let mut output = self.shared.output.subscribe();
        let mut seen = from;
        let search = async {
            loop {
                {
                    let output = output.borrow_and_update();
                    while let Some((_, line)) = output.lines.get(seen) {
                        seen += 1;
                        if wanted(line) {
                            return (seen, line.clone());
                        }
                    }
                    assert!(
                        output.streams_ended < 2,
                        "{} ended without that line:\n{}",
                        self.name,
                        output.text()
                    );
                }
                output.changed().await.expect("we hold the sender");
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!(
                "{} did not say that line within {PATIENCE:?}, only:\n{}",
                self.name,
                self.said()
            ),
        }
    }

    /// How many lines both streams have said so far.
    pub(crate) fn line_count(&self) -> usize {
        self.shared.output.borrow().lines.len()
    }

    /// All lines so far, both streams as they came.
    pub(crate) fn said(&self) -> String {
        self.shared.output.borrow().text()
    }

    /// The lines of one stream so far.
    pub(crate) fn lines(&self, stream: Stream) -> Vec<String> {
        let output = self.shared.output.borrow();
        output
            .lines
            .iter()
            .filter(|(from, _)| *from == stream)
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// Resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .expect("VmRSS in /proc/PID/status");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of kB")
    }

    /// CPU time used so far by all its threads, user and system, in microseconds (to 10 ms).
    pub(crate) fn cpu_micros(&self) -> u64 {
        let stat = self.proc_file("stat");
        // The second field is the name in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')').expect("a name in /proc/PID/stat");
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 =
            fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        ticks * 10_000
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("a running process")
            .count()
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid());
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e} ({} ended?)", self.name))
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        let text = |stream| {
            let mut text = self.lines(stream).join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            text
        };
        Finished {
            status,
            stdout: text(Stream::Stdout),
            stderr: text(Stream::Stderr),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl Output {
    fn text(&self) -> String {
        self.lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

fn read_lines(shared: &Arc<Shared>, stream: Stream, pipe: impl Read + Send + 'static) {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            shared
                .output
                .send_modify(|output| output.lines.push((stream, line)));
        }
        shared.output.send_modify(|output| output.streams_ended += 1);
    });
}

fn reap_at_exit(mut child: Child, shared: Arc<Shared>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let pid = Pid::from_child(&child);
        // Waits without taking the process id away, so that a signal can't hit a successor.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), ended), Err(Errno::INTR)) {}
        let status = {
            let mut reaped = lock(&shared.reaped);
            *reaped = true;
            reaper::forget(child.id());
            child.wait()
        };
        shared
            .exit
            .send_replace(Some(status.unwrap_or_else(|_| ExitStatus::from_raw(0))));
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds `program` on PATH, or fails the test with what to do.
#[track_caller]
pub(crate) fn find_program(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(program))
        .find(|candidate| is_executable(candidate))
        .unwrap_or_else(|| {
            panic!("`{program}` is not on PATH. `scripts/test` installs it (Debian's package {package}).")
        })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
