//! The embedded ledger against what happens to processes and disks: kills, a second process, errors of the system's calls.
//!
//! The other process is this test binary again, with a role in its environment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faregate::clock::{Clock, SystemClock};
use faregate::domain::command::{AccountChange, Admit, Capture, Command, NewKey, Outcome, Release};
use faregate::domain::credits::Credits;
use faregate::domain::entry::{Detail, EntryKind};
use faregate::domain::hold::HoldState;
use faregate::domain::ids::{AccountId, CommandId, HoldId, KeyDigest, KeyId};
use faregate::domain::key::Caller;
use faregate::domain::limits::Limits;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::embedded::{EmbeddedLedger, Options};
use faregate::ledger::memos::{Memo, MemoName, Memos, Wrote};
use faregate::ledger::{Ledger, LedgerError};

use crate::rig::process::{Process, Spawn, Stream};
use crate::rig::temp::TempDir;
use crate::rig::within;

/// `ROLE FOLDER`: what the other process does, and where.
const ROLE: &str = "FG_IT_EMBEDDED";

/// Who works at once in the other process.
const CALLERS: u64 = 8;

fn open(folder: &Path) -> Result<EmbeddedLedger, LedgerError> {
    EmbeddedLedger::open(Options::new(folder), Arc::new(SystemClock))
}

fn account(caller: u64) -> AccountId {
    AccountId::new(&format!("account-{caller}")).unwrap()
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn adjust(caller: u64, id: &str, amount: &str) -> Command {
    Command::Adjust {
        from: None,
        id: CommandId::new(id).unwrap(),
        account: account(caller),
        amount: credits(amount),
        detail: Detail::none(),
    }
}

/// A hold's id that no other run makes.
fn hold_id() -> HoldId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    HoldId::new(SystemClock.now().millis(), random)
}

fn caller(of: u64, version: u64) -> Arc<Caller> {
    Arc::new(Caller {
        account: account(of),
        key: KeyId::new("key_1").unwrap(),
        key_expires_at: Timestamp::NEVER,
        key_limits: Limits::NONE,
        limits: Limits::NONE,
        credit_line: Credits::ZERO,
        version,
    })
}

fn admit(hold: HoldId, caller: &Arc<Caller>) -> Command {
    Command::Admit(Admit {
        hold,
        caller: caller.clone(),
        least: credits("0.5"),
        most: credits("0.5"),
        tokens: 0,
        ttl: Span::from_secs(3_600),
        claim: None,
        detail: Detail::none(),
    })
}

fn capture(hold: HoldId, caller: &Arc<Caller>) -> Command {
    Command::Capture(Capture {
        hold,
        caller: caller.clone(),
        used: credits("0.25"),
        detail: Detail::none(),
    })
}

fn release(hold: HoldId, caller: &Arc<Caller>) -> Command {
    Command::Release(Release {
        hold,
        caller: caller.clone(),
        detail: Detail::none(),
    })
}

/// Makes a caller's account, if it is not there.
async fn settle_in(ledger: &EmbeddedLedger, of: u64) {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&of.to_le_bytes());
    for command in [
        Command::SetAccount {
            expected: None,
            account: account(of),
            change: AccountChange::Create(None),
            detail: Detail::none(),
        },
        adjust(of, "first", "1000000"),
        Command::PutKey {
            account: account(of),
            key: NewKey {
                id: KeyId::new("key_1").unwrap(),
                digest: KeyDigest(digest),
                name: None,
                expires_at: Timestamp::NEVER,
                limits: Limits::NONE,
            },
            detail: Detail::none(),
        },
    ] {
        let outcome = ledger.execute(&command).await.unwrap();
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
}

/// Not a test of its own: what the others start. Says each answer as soon as it has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_process() {
    let Some(role) = std::env::var(ROLE).ok() else {
        return;
    };
    let (role, folder) = role.split_once(' ').unwrap();
    let ledger = Arc::new(open(Path::new(folder)).unwrap());
    println!("\nserving");
    match role {
        "work" => {
            let callers: Vec<_> = (0..CALLERS)
                .map(|of| tokio::spawn(work(ledger.clone(), of)))
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
        }
        "one-by-one" => one_by_one(&ledger).await,
        "memos" => remember(&ledger).await,
        other => panic!("no such role: {other}"),
    }
}

/// Charges and takes without end.
async fn work(ledger: Arc<EmbeddedLedger>, of: u64) {
    settle_in(&ledger, of).await;
    let caller = caller(of, 2);
    for round in 0_u64.. {
        let hold = hold_id();
        let mut commands = vec![("held", hold.to_string(), admit(hold, &caller))];
        match round % 4 {
            0 => commands.push(("released", hold.to_string(), release(hold, &caller))),
            1 => {}
            _ => commands.push(("captured", hold.to_string(), capture(hold, &caller))),
        }
        if round % 8 == 3 {
            let id = format!("{}-{round}", std::process::id());
            let command = adjust(of, &id, "-1");
            commands.push(("taken", id, command));
        }
        for (what, id, command) in commands {
            let outcome = ledger.execute(&command).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
            println!("{what} {of} {id}");
        }
    }
}

/// Takes credits 400 times, one after the other; says what was answered and what was not.
async fn one_by_one(ledger: &EmbeddedLedger) {
    settle_in(ledger, 0).await;
    for round in 0..400 {
        let id = format!("{}-{round}", std::process::id());
        match ledger.execute(&adjust(0, &id, "-1")).await {
            Ok(Outcome::Applied(_)) => println!("taken 0 {id}"),
            Ok(other) => panic!("{other:?}"),
            Err(LedgerError::Unavailable(what)) => println!("unavailable {id} {what}"),
            Err(LedgerError::Misconfigured(what)) => println!("ended {id} {what}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    println!("done");
}

fn memo_of(of: u64) -> MemoName {
    MemoName::new("counter", &of.to_string()).unwrap()
}

/// Writes memos without end; says each version as soon as it is answered.
async fn remember(ledger: &EmbeddedLedger) {
    let mut versions = Vec::new();
    for of in 0..CALLERS {
        let kept = ledger.memo(&memo_of(of)).await.unwrap();
        versions.push(kept.map_or(0, |kept| kept.version));
    }
    loop {
        for (of, version) in (0_u64..).zip(&mut versions) {
            let memo = Memo {
                text: format!("[{}]", *version + 1).into(),
                due: Timestamp::NEVER,
                forget_at: Timestamp::NEVER,
            };
            let wrote = ledger.write_memo(&memo_of(of), *version, &memo).await.unwrap();
            *version += 1;
            assert_eq!(wrote, Wrote::Done { version: *version });
            println!("kept {of} {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_killed_at_any_instant_every_answered_memo_is_there() {
    let dir = TempDir::new();
    let folder = dir.join("ledger");
    for lines in [1, 2, 9, 40, 100, 17] {
        let mut child = start("memos", &folder, &[]);
        let mut from = child.wait_for_line_after(0, |line| line == "serving").await.0;
        for _ in 0..lines {
            from = child.wait_for_line_after(from, |line| !line.is_empty()).await.0;
        }
        child.kill9();
        let mut said: BTreeMap<u64, u64> = BTreeMap::new();
        for line in child.lines(Stream::Stdout) {
            let words: Vec<_> = line.split(' ').collect();
            if let ["kept", of, version] = words[..]
                && let (Ok(of), Ok(version)) = (of.parse(), version.parse())
            {
                said.insert(of, version);
            }
        }
        assert!(!said.is_empty());
        let ledger = open(&folder).unwrap();
        for (of, version) in said {
            let kept = ledger.memo(&memo_of(of)).await.unwrap().expect("it was answered");
            // The last write may have been done and not been answered.
            assert!(
                (version..=version + 1).contains(&kept.version),
                "{version}: {kept:?}"
            );
            assert_eq!(*kept.memo.text, *format!("[{}]", kept.version));
        }
    }
}

fn start(role: &str, folder: &Path, under: &[&str]) -> Process {
    let binary = std::env::current_exe().unwrap();
    let mut command: Vec<String> = under.iter().map(|s| (*s).to_owned()).collect();
    command.push(binary.display().to_string());
    for arg in [
        "--exact",
        "embedded::other_process",
        "--nocapture",
        "--test-threads=1",
    ] {
        command.push(arg.to_owned());
    }
    let spawn = Spawn::new(&command[0]).args(&command[1..]);
    spawn.env(ROLE, format!("{role} {}", folder.display())).start()
}

/// What a process said was answered: kind, caller, id.
fn answered(process: &Process) -> Vec<(String, u64, String)> {
    let lines = process.lines(Stream::Stdout);
    lines
        .iter()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let what = words.next()?;
            let known = ["held", "captured", "released", "taken"].contains(&what);
            let of = words.next().filter(|_| known)?.parse().ok()?;
            Some((what.to_owned(), of, words.next()?.to_owned()))
        })
        .collect()
}

/// Every answer is in the ledger, and the ledger is in order.
async fn assert_all_there(ledger: &EmbeddedLedger, said: &[(String, u64, String)]) {
    for (what, of, id) in said {
        if what == "taken" {
            let again = ledger.execute(&adjust(*of, id, "-1")).await.unwrap();
            assert!(matches!(again, Outcome::Replayed(_)), "{what} {id}: {again:?}");
            continue;
        }
        let id: HoldId = id.parse().unwrap();
        let hold = ledger.hold(&account(*of), id).await.unwrap();
        let hold = hold.unwrap_or_else(|| panic!("{what} {id} was answered and is not there"));
        let entries = ledger.entries_of_hold(&account(*of), id).await.unwrap();
        let kinds: Vec<EntryKind> = entries.iter().map(|e| e.kind).collect();
        assert_eq!(kinds.first(), Some(&EntryKind::Hold), "{what} {id}");
        match what.as_str() {
            "captured" => assert_eq!((hold.state, hold.charged), (HoldState::Captured, credits("0.25"))),
            "released" => assert_eq!(hold.state, HoldState::Released),
            _ => {}
        }
    }
    let report = within("the proof", ledger.verify()).await.unwrap();
    assert_eq!(report.differences, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_a19_killed_at_any_instant_every_answered_command_is_there() {
    let dir = TempDir::new();
    let folder = dir.join("ledger");
    let mut said = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // Lines to wait for before the kill: from none (it dies while it opens) to many.
    for lines in [0, 1, 3, 10, 30, 60, 100, 150, 200, 300]
        .into_iter()
        .cycle()
        .take(36)
    {
        let mut child = start("work", &folder, &[]);
        let first = if lines == 0 { "running 1 test" } else { "serving" };
        let mut from = child.wait_for_line_after(0, |line| line == first).await.0;
        for _ in 0..lines {
            from = child.wait_for_line_after(from, |line| !line.is_empty()).await.0;
        }
        child.kill9();
        let of_this = answered(&child);
        for (what, ..) in &of_this {
            *counts.entry(what.clone()).or_default() += 1;
        }
        let ledger = open(&folder).unwrap();
        assert_all_there(&ledger, &of_this).await;
        said.extend(of_this);
    }
    let ledger = open(&folder).unwrap();
    assert_all_there(&ledger, &said).await;
    assert_eq!(ledger.rebuild().await.unwrap().differences, Vec::<String>::new());
    println!("answered in 36 processes, each killed: {counts:?}");
    assert_eq!(counts.len(), 4, "{counts:?}");
}

#[tokio::test]
async fn b24_a_second_process_is_refused_by_the_firsts_id_and_path() {
    let dir = TempDir::new();
    let folder = dir.join("ledger");
    let mut child = start("work", &folder, &[]);
    child.wait_for_line(|line| line == "serving").await;
    let refused = open(&folder).unwrap_err().to_string();
    assert!(
        refused.contains(&format!("process with id {}", child.pid())),
        "{refused}"
    );
    assert!(refused.contains(&folder.display().to_string()), "{refused}");
    child.kill9();
    open(&folder).unwrap();
}

/// Runs the ledger under `strace`, which makes system calls fail. `None` where that is not possible.
async fn under_strace(folder: &Path, inject: &str) -> Option<Process> {
    let tried = std::process::Command::new("strace")
        .args(["-qq", "true"])
        .output();
    if !tried.is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: strace is not there, or may not trace; install it to test errors of the disk");
        return None;
    }
    let inject = format!("inject={inject}");
    let log = folder.with_extension("strace");
    let log = log.display().to_string();
    let under = [
        "strace",
        "-f",
        "-qq",
        "-o",
        &log,
        "-e",
        "trace=fdatasync,fsync,pwrite64",
        "-e",
        &inject,
    ];
    let child = start("one-by-one", folder, &under);
    child.wait_for_line(|line| line == "done").await;
    child.wait_exit().await;
    Some(child)
}

#[tokio::test]
async fn a21_b24_a_failed_sync_ends_serving_until_a_restart() {
    // One sync of the writer's thread (opening does fewer): the next one would say that all is well.
    for when in [40, 41, 90, 200] {
        let dir = TempDir::new();
        let folder = dir.join("ledger");
        let Some(child) = under_strace(&folder, &format!("fdatasync,fsync:error=EIO:when={when}")).await
        else {
            return;
        };
        let lines = child.lines(Stream::Stdout);
        let first_end = lines.iter().position(|l| l.starts_with("ended "));
        let first_end = first_end.unwrap_or_else(|| panic!("it went on: {}", child.said()));
        assert!(lines[first_end].contains("restart"), "{}", lines[first_end]);
        let later = &lines[first_end..];
        let served = later.iter().any(|l| l.starts_with("taken "));
        assert!(!served, "served after a failed sync");
        let said = answered(&child);
        assert!(!said.is_empty());
        let ledger = open(&folder).unwrap();
        assert_all_there(&ledger, &said).await;
        // What was not answered is unknown; the same command again settles it.
        let unknown = lines[first_end].split(' ').nth(1).unwrap();
        let outcome = ledger.execute(&adjust(0, unknown, "-1")).await.unwrap();
        assert!(!matches!(outcome, Outcome::Refused(_)));
    }
}

#[tokio::test]
async fn a21_b24_no_space_refuses_and_heals_without_a_restart() {
    for when in ["120", "121..123", "200..240", "300..400"] {
        let dir = TempDir::new();
        let folder = dir.join("ledger");
        let Some(child) = under_strace(&folder, &format!("pwrite64:error=ENOSPC:when={when}")).await else {
            return;
        };
        let lines = child.lines(Stream::Stdout);
        let refused = lines.iter().filter(|l| l.starts_with("unavailable ")).count();
        let ended = lines.iter().any(|l| l.starts_with("ended "));
        assert!(refused > 0 && !ended, "{when}: {}", child.said());
        let is_answer = |l: &&String| l.starts_with("taken ") || l.starts_with("unavailable ");
        let last = lines.iter().rev().find(is_answer).unwrap();
        assert!(
            last.starts_with("taken "),
            "{when}: it did not heal: {}",
            child.said()
        );
        let said = answered(&child);
        assert_eq!(said.len() + refused, 400);
        let ledger = open(&folder).unwrap();
        assert_all_there(&ledger, &said).await;
    }
}
