//! A real Redis takes `redis.conf` and `redis.acl`, and they mean what the ledger wants.

use std::sync::Arc;

use ::redis::{Client, ErrorKind, RedisError, ServerErrorKind};
use faregate::clock::{Clock, ManualClock, SystemClock};
use faregate::domain::command::{AccountChange, Command};
use faregate::domain::credits::Credits;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::Reason;
use faregate::domain::limits::Limits;
use faregate::domain::time::Timestamp;
use faregate::ledger::Ledger;
use faregate::ledger::redis::{Network, Options, RedisLedger};

use super::{path, text};
use crate::ledger::teller::Teller;
use crate::rig::process::{Process, Spawn, find_program};
use crate::rig::temp::TempDir;
use crate::rig::{ports, within};

const PASSWORD: &str = "5f0c8e0c6a6d4d1f9c0b";

/// A server with the shipped configuration; only where things are differs.
struct Shipped {
    process: Process,
    port: u16,
    _dir: TempDir,
}

impl Shipped {
    /// `users`: as the file of ACLs, if any.
    fn start(users: Option<&str>) -> Shipped {
        let dir = TempDir::new();
        let port = ports::reserve();
        let mut args = vec![path("deploy/redis.conf").display().to_string()];
        args.extend(["--port".to_owned(), port.to_string()]);
        args.extend(["--dir".to_owned(), dir.path().display().to_string()]);
        if let Some(users) = users {
            let file = dir.write("users.acl", users);
            args.extend(["--aclfile".to_owned(), file.display().to_string()]);
        }
        let server = find_program("redis-server", "redis-server");
        let process = Spawn::new(server).args(args).dir(dir.path()).start();
        Shipped {
            process,
            port,
            _dir: dir,
        }
    }

    /// Waits until it takes connections.
    async fn listening(self) -> Shipped {
        self.process
            .wait_for_line(|line| line.contains("Ready to accept connections"))
            .await;
        self
    }

    /// Asks as a user; `login` is `user:password@` or nothing.
    async fn ask<T: ::redis::FromRedisValue>(&self, login: &str, words: &[&str]) -> Result<T, RedisError> {
        let client = Client::open(format!("redis://{login}127.0.0.1:{}/0", self.port)).unwrap();
        let asked = async {
            let mut connection = client.get_multiplexed_async_connection().await?;
            let mut command = ::redis::cmd(words[0]);
            command.arg(&words[1..]).query_async(&mut connection).await
        };
        within(format!("an answer to {words:?}"), asked).await
    }
}

fn users() -> String {
    let users = text("deploy/redis.acl");
    assert_eq!(
        users.matches("resetpass").count(),
        1,
        "one user has a password to be put in"
    );
    users.replace("resetpass", &format!(">{PASSWORD}"))
}

#[tokio::test]
async fn the_shipped_settings_lose_nothing_and_throw_nothing_out() {
    let server = Shipped::start(None).listening().await;
    for (name, value) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("no-appendfsync-on-rewrite", "no"),
        ("maxmemory-policy", "noeviction"),
        ("save", ""),
        ("protected-mode", "yes"),
        ("replica-serve-stale-data", "no"),
    ] {
        let [_, found]: [String; 2] = server.ask("", &["CONFIG", "GET", name]).await.unwrap();
        assert_eq!(found, value, "{name}");
    }
    let [_, memory]: [String; 2] = server.ask("", &["CONFIG", "GET", "maxmemory"]).await.unwrap();
    assert!(
        memory.parse::<u64>().unwrap() > 0,
        "a server without a limit is ended by the kernel"
    );
    let warnings: Vec<_> = server
        .process
        .said()
        .lines()
        .filter(|l| l.contains("unknown") || l.contains("FATAL"))
        .map(str::to_owned)
        .collect();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn the_shipped_user_may_use_the_ledger_and_nothing_else() {
    let server = Shipped::start(Some(&users())).listening().await;
    let login = format!("faregate:{PASSWORD}@");
    let set: String = server.ask(&login, &["SET", "fg:meta", "x"]).await.unwrap();
    assert_eq!(set, "OK");
    let script = "return redis.call('GET', KEYS[1])";
    let loaded: String = server.ask(&login, &["SCRIPT", "LOAD", script]).await.unwrap();
    let got: String = server
        .ask(&login, &["EVALSHA", &loaded, "1", "fg:meta"])
        .await
        .unwrap();
    assert_eq!(got, "x");
    let script = "return redis.call('SET', 'other', '1')";
    let elsewhere: String = server.ask(&login, &["SCRIPT", "LOAD", script]).await.unwrap();
    for words in [
        &["GET", "other"][..],
        &["SET", "fgmeta", "1"],
        &["EVALSHA", &elsewhere, "0"],
        &["FLUSHALL"],
        &["KEYS", "*"],
        &["CONFIG", "SET", "appendonly", "no"],
        &["CONFIG", "REWRITE"],
        &["SHUTDOWN"],
        &["SCRIPT", "FLUSH"],
        &["ACL", "LIST"],
        &["REPLICAOF", "127.0.0.1", "1"],
        &["SAVE"],
        &["EXPIRE", "fg:meta", "1"],
        &["SUBSCRIBE", "x"],
    ] {
        let answer = server.ask::<::redis::Value>(&login, words).await;
        let refused = |e: &RedisError| {
            ["permission", "can't access"]
                .iter()
                .any(|why| e.to_string().contains(why))
        };
        let refused = answer.as_ref().is_err_and(refused);
        assert!(refused, "{words:?}: {answer:?}");
    }
}

#[tokio::test]
async fn nobody_else_gets_in_and_the_file_as_shipped_lets_nobody_in() {
    let server = Shipped::start(Some(&users())).listening().await;
    let nobody = server.ask::<String>("", &["PING"]).await.unwrap_err();
    assert_eq!(nobody.code(), Some("NOAUTH"), "{nobody}");
    let wrong = server
        .ask::<String>("faregate:wrong@", &["PING"])
        .await
        .unwrap_err();
    assert!(is_wrong_password(&wrong), "{wrong}");
    let as_shipped = Shipped::start(Some(&text("deploy/redis.acl"))).listening().await;
    for login in ["faregate:@", "faregate:resetpass@"] {
        let refused = as_shipped.ask::<String>(login, &["PING"]).await;
        assert!(refused.is_err(), "{login} got in");
    }
}

/// Everything that a gate ever asks of its ledger.
async fn use_all(ledger: &RedisLedger) {
    let clock = ManualClock::new(SystemClock.now());
    let acme = Teller::open(ledger, &clock, "acme").await;
    let credits = |text: &str| text.parse::<Credits>().unwrap();
    acme.grant("g", credits("10")).await;
    acme.adjust("a", credits("-1")).await.receipt().unwrap();
    let limits = Limits {
        requests_per_minute: Some(60),
        ..Limits::NONE
    };
    let mut second = acme.key_command(1, limits, Timestamp::NEVER);
    if let Command::PutKey { key, .. } = &mut second {
        // As unlike the first as any two digests are.
        key.digest.0[0] ^= 1;
    }
    acme.execute(&second).await.receipt().unwrap();
    let manual = || Reason::new("manual").unwrap();
    acme.set(AccountChange::Pause(manual())).await.receipt().unwrap();
    acme.set(AccountChange::Resume(manual())).await.receipt().unwrap();
    let (charged, given_back) = (acme.hold(credits("2")).await, acme.hold(credits("3")).await);
    acme.extend(charged, 1, credits("1")).await.receipt().unwrap();
    acme.renew(charged).await.receipt().unwrap();
    acme.capture(charged, credits("2.5")).await.receipt().unwrap();
    acme.release(given_back).await.receipt().unwrap();
    acme.revoke(1).await.receipt().unwrap();
    acme.apply_due().await;
    assert_eq!(acme.available().await, credits("6.5"));
    assert!(acme.hold_now(charged).await.is_some());
    assert!(acme.entries().await.len() > 8);
    let account = &acme.account;
    assert_eq!(ledger.keys(account).await.unwrap().len(), 2);
    assert_eq!(
        ledger.accounts(None, 10).await.unwrap().items,
        std::slice::from_ref(account)
    );
    assert!(!ledger.entries_of_hold(account, charged).await.unwrap().is_empty());
    let today = ledger.ready().await.unwrap().day();
    assert_eq!(
        ledger
            .usage_by_day(account, today - 1, today)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(!ledger.journal(0, 0, 100).await.unwrap().is_empty());
    assert_eq!(ledger.sweep(OnExpiry::Release).await, Ok(0));
    assert!(
        ledger
            .memory()
            .await
            .unwrap()
            .is_some_and(|memory| memory.used > 0)
    );
    assert_eq!(ledger.check_lives().await, Ok(()));
    let report = ledger.verify().await.unwrap();
    assert_eq!((report.accounts, report.differences), (1, Vec::new()));
}

#[tokio::test]
async fn the_ledger_needs_no_right_that_the_shipped_user_lacks_and_finds_that_nothing_is_lost() {
    let inspector = "user inspector on >inspect ~* &* +@all\n";
    let server = Shipped::start(Some(&(users() + inspector))).listening().await;
    let url = format!("redis://faregate:{PASSWORD}@127.0.0.1:{}/0", server.port);
    let options = Options::new(vec![url], Arc::new(Network::new(None).unwrap()), 7);
    let opened = within("the ledger to open", RedisLedger::open(options)).await;
    let ledger = opened.unwrap_or_else(|e| panic!("{e}"));
    assert!(
        ledger
            .durability()
            .contains("nothing is lost when a process or the power fails"),
        "{}",
        ledger.durability()
    );
    within("everything", use_all(&ledger)).await;
    let refused: Vec<::redis::Value> = server.ask("inspector:inspect@", &["ACL", "LOG"]).await.unwrap();
    // Clients introduce themselves where the server knows how; whether they may is all the same.
    let refused: Vec<_> = refused
        .iter()
        .map(|entry| format!("{entry:?}"))
        .filter(|entry| !entry.contains("setinfo"))
        .collect();
    assert!(refused.is_empty(), "deploy/redis.acl lacks: {refused:#?}");
}

fn is_wrong_password(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    ) || error.to_string().contains("WRONGPASS")
}
