use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use super::{Faregate, Signal, Spawn, Stream, find_program};
use crate::rig::temp::TempDir;

fn shell(script: &str) -> Spawn {
    Spawn::new("sh").args(["-c", script])
}

#[tokio::test]
async fn lines_of_both_streams_are_captured_and_awaited() {
    let process = shell("echo one; echo two >&2; read wait").start();
    // Standard input is empty, so `read` ends at once; both lines are there before the end.
    assert_eq!(process.wait_for_line(|l| l.starts_with("tw")).await, "two");
    assert_eq!(process.wait_for_line(|l| l == "one").await, "one");
    process.wait_exit().await;
    assert_eq!(process.lines(Stream::Stdout), ["one"]);
    assert_eq!(process.lines(Stream::Stderr), ["two"]);
}

#[tokio::test]
#[should_panic(expected = "ended without that line:\nbye")]
async fn a_process_that_ends_without_the_line_is_reported_with_what_it_said() {
    shell("echo bye").start().wait_for_line(|l| l == "hello").await;
}

#[tokio::test]
async fn exit_codes_stdin_environment_and_folder() {
    let dir = TempDir::new();
    let run = shell("cat; echo $FG_TEST; pwd; echo oops >&2; exit 78")
        .stdin("in\n")
        .env("FG_TEST", "set")
        .dir(dir.path())
        .run()
        .await;
    assert_eq!(run.code(), 78);
    let pwd = std::fs::canonicalize(dir.path()).unwrap();
    assert_eq!(run.stdout, format!("in\nset\n{}\n", pwd.display()));
    assert_eq!(run.stderr, "oops\n");
}

#[tokio::test]
async fn signals_arrive_and_kill9_ends_a_process_that_ignores_the_others() {
    let mut process =
        shell("trap 'echo hup' HUP; trap '' TERM; echo ready; while :; do sleep 0.01; done").start();
    process.wait_for_line(|l| l == "ready").await;
    assert!(process.hang_up());
    process.wait_for_line(|l| l == "hup").await;
    assert!(process.terminate());
    assert!(process.hang_up());
    assert!(process.is_running());
    process.kill9();
    assert_eq!(process.wait_exit().await.signal(), Some(9));
    assert!(
        !process.signal(Signal::TERM),
        "there is nobody to signal any more"
    );
}

#[tokio::test]
async fn terminate_ends_a_process_that_does_not_mind() {
    let process = shell("echo ready; exec sleep 60").start();
    process.wait_for_line(|l| l == "ready").await;
    process.terminate();
    assert_eq!(
        process.wait_exit_within(Duration::from_secs(5)).await.signal(),
        Some(15)
    );
}

#[tokio::test]
async fn use_of_memory_cpu_and_files_is_measured() {
    let process =
        shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; kill -STOP $$").start();
    process.wait_for_line(|l| l == "done").await;
    assert!(process.rss_kib() > 100, "{}", process.rss_kib());
    assert!(process.cpu_micros() >= 10_000, "{}", process.cpu_micros());
    assert!(process.open_fds() >= 3, "{}", process.open_fds());
}

#[tokio::test]
async fn open_files_can_be_limited() {
    let run = shell("ulimit -n").open_files_max(64).run().await.ok();
    assert_eq!(run.stdout, "64\n");
}

#[tokio::test]
async fn dropping_kills() {
    let process = shell("echo ready; exec sleep 60").start();
    process.wait_for_line(|l| l == "ready").await;
    let proc = format!("/proc/{}", process.pid());
    assert!(std::fs::exists(&proc).unwrap());
    drop(process);
    assert!(!std::fs::exists(&proc).unwrap());
}

#[tokio::test]
async fn the_built_binary_runs() {
    let run = Faregate::command(["--version"]).run().await;
    assert!(run.status.code().is_some(), "{run:?}");
}

#[test]
#[should_panic(expected = "`scripts/test` installs it (Debian's package no-such-package)")]
fn a_missing_program_is_named_with_what_to_do() {
    find_program("no-such-program", "no-such-package");
}
