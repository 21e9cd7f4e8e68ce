//! The simulated Redis against a real one: the same commands and scripts, the same answers.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, RedisError, Value};

use super::MiniRedis;
use super::commands::Session;
use super::disk::Disk;
use super::reply::Reply;
use crate::rig::redis::shared;
use crate::sim::rng::Rng;

mod scripts;

/// Both, asked the same.
struct Pair {
    mini: MiniRedis,
    session: Session,
    real: MultiplexedConnection,
    differences: Vec<String>,
}

impl Pair {
    async fn new() -> Pair {
        Pair {
            mini: MiniRedis::start(Disk::default(), || 1_800_000_000_000_000),
            session: Session::default(),
            real: shared().await.connection().await,
            differences: Vec::new(),
        }
    }

    /// Asks both, and gives their answers in one form.
    async fn ask(&mut self, words: &[Vec<u8>]) -> (Reply, Reply) {
        let mini = self.mini.execute(&mut self.session, words);
        let mut cmd = Cmd::new();
        words.iter().for_each(|word| {
            cmd.arg(word);
        });
        let real = match self.real.req_packed_command(&cmd).await {
            Ok(value) => reply(value),
            Err(error) => Reply::Error(text(&error)),
        };
        (plain(mini, words), plain(real, words))
    }

    /// Asks both, and notes when they differ.
    async fn compare(&mut self, words: &[Vec<u8>]) {
        let (mini, real) = self.ask(words).await;
        if mini != real {
            let shown: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
            self.differences
                .push(format!("{shown:?}\n  simulated {mini:?}\n  Redis     {real:?}"));
        }
    }

    #[track_caller]
    fn assert_same(&self) {
        let differences = &self.differences;
        assert!(
            differences.is_empty(),
            "{} differ:\n{}",
            differences.len(),
            differences[..differences.len().min(20)].join("\n")
        );
    }
}

fn text(error: &RedisError) -> String {
    format!("{} {}", error.code().unwrap_or("?"), error.detail().unwrap_or(""))
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Nil => Reply::Nil,
        Value::Int(n) => Reply::Int(n),
        Value::BulkString(bytes) => Reply::Bulk(bytes),
        Value::SimpleString(text) => Reply::Status(text),
        Value::Okay => Reply::ok(),
        Value::Array(items) => Reply::Array(items.into_iter().map(reply).collect()),
        Value::ServerError(error) => Reply::Error(text(&error.into())),
        other => panic!("not RESP2: {other:?}"),
    }
}

/// Without what RESP2's clients cannot tell apart, and without orders that Redis leaves open.
fn plain(reply: Reply, words: &[Vec<u8>]) -> Reply {
    let unordered = matches!(
        words[0].to_ascii_lowercase().as_slice(),
        b"smembers" | b"sscan" | b"scan"
    );
    match reply {
        Reply::NilArray => Reply::Nil,
        Reply::Array(items) => {
            let mut items: Vec<_> = items.into_iter().map(|item| plain(item, words)).collect();
            if unordered {
                items.sort_by_key(|item| format!("{item:?}"));
            }
            Reply::Array(items)
        }
        Reply::Error(text) => Reply::Error(message(&text)),
        other => other,
    }
}

/// An error without the place in the script, which ours does not always know, and a library's without its words: Redis says which argument it was.
fn message(text: &str) -> String {
    let text = text.split(" script: ").next().unwrap_or(text).trim_end();
    let libraries = [
        "bad argument",
        "runtime error",
        "format 'c0'",
        "unfinished string",
        "variable-length",
        "integral size",
        "variable-size",
    ];
    if libraries.iter().any(|words| text.contains(words)) {
        return "a library found fault".to_owned();
    }
    text.to_owned()
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn commands_at_their_edges_are_answered_as_redis_does() {
    let mut pair = Pair::new().await;
    for line in include_str!("differential/commands.txt").lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        pair.compare(&words(line)).await;
    }
    pair.assert_same();
}

#[tokio::test]
async fn random_commands_are_answered_as_redis_does() {
    let mut pair = Pair::new().await;
    let mut rng = Rng::new(7);
    for _ in 0..4_000 {
        pair.compare(&random(&mut rng)).await;
    }
    pair.assert_same();
}

/// A command on one of a few keys, so that kinds clash.
fn random(rng: &mut Rng) -> Vec<Vec<u8>> {
    let shapes = include_str!("differential/shapes.txt");
    let shapes: Vec<_> = shapes.lines().filter(|line| !line.is_empty()).collect();
    let shape = shapes[rng.index(shapes.len())];
    let word = |kind: &str, rng: &mut Rng| match kind {
        "KEY" => format!("k{}", rng.index(6)),
        "FIELD" => format!("f{}", rng.index(5)),
        "VALUE" => ["", "a", "10", "-3", "9223372036854775807", "x y", "3.5"][rng.index(7)].to_owned(),
        "INT" => ["0", "1", "-1", "2", "5", "-4", "x", "9223372036854775807"][rng.index(8)].to_owned(),
        "ID" => format!("{}-{}", rng.index(4), rng.index(4)),
        "EDGE" => ["-", "+", "1", "2-1", "(1-1", "3-*"][rng.index(6)].to_owned(),
        "SCORE" => rng.between(-2, 5).to_string(),
        other => other.to_owned(),
    };
    shape
        .split(' ')
        .map(|kind| word(kind, rng).into_bytes())
        .collect()
}
