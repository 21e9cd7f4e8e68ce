//! The load: what clients do, checked answer by answer, told as one line of JSON.

mod closed;
mod open;
mod paced;
mod streams;
mod wire;

use crate::{Args, roles};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use std::{io, thread};

/// No load takes longer; the runner notices when it ends early.
const LONGEST: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &Args) -> io::Result<()> {
    thread::spawn(|| {
        thread::sleep(LONGEST);
        eprintln!("load: not done within {LONGEST:?}");
        std::process::exit(1);
    });
    let target = Target {
        address: args.need("--target")?,
        path: args.need("--path")?,
        status: args.need("--status")?,
        body_bytes: args.need("--body-bytes")?,
        keys: args
            .text("--keys")
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
            .collect(),
    };
    match args.text("--kind") {
        Some("closed") => closed::run(&target, args.need("--connections")?, args.need("--requests")?),
        Some("rate") => open::run(&target, args.need("--rate")?, args.need("--seconds")?),
        Some("paced") => paced::run(
            &target,
            args.need("--rate")?,
            args.need("--seconds")?,
            args.need("--events")?,
        ),
        Some("streams") => streams::read(&target, args.need("--count")?, args.need("--events")?),
        Some("hold") => streams::hold(&target, args.need("--count")?),
        other => Err(io::Error::other(format!("unknown load {other:?}"))),
    }
}

/// Whom to ask what, and what must come back.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    path: String,
    status: u16,
    body_bytes: usize,
    /// Connections take turns with them; one empty key is none.
    keys: Vec<String>,
}

impl Target {
    /// The bytes of the request that connection `number` sends again and again.
    fn request(&self, number: usize) -> Vec<u8> {
        let key = self
            .keys
            .get(number % self.keys.len())
            .map(String::as_str)
            .unwrap_or_default();
        let credential = if key.is_empty() {
            String::new()
        } else {
            format!("authorization: Bearer {key}\r\n")
        };
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: bench\r\n{credential}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.path, self.body_bytes
        );
        let mut request = head.into_bytes();
        let start = request.len();
        let (before, after): (&[u8], &[u8]) = match self.path.as_str() {
            "/v1/chat" => (
                br#"{"model":"bench","messages":[{"role":"user","content":""#,
                br#""}]}"#,
            ),
            path if path.starts_with("/v1/chat?") => (
                br#"{"model":"bench","stream":true,"messages":[{"role":"user","content":""#,
                br#""}]}"#,
            ),
            _ => (br#"{"model":"bench","query":""#, br#""}"#),
        };
        request.extend_from_slice(before);
        request.resize(start + self.body_bytes - after.len(), b'x');
        request.extend_from_slice(after);
        request
    }

    /// Whether an answer is the one awaited; says what it was instead.
    fn check(&self, answer: &wire::Answer) -> Result<(), String> {
        let awaited = match self.path.as_str() {
            "/v1/chat" => crate::upstream::CHAT,
            _ => crate::upstream::ANSWER,
        };
        let right_body = self.status != 200 || answer.body == awaited;
        if answer.status == self.status && right_body && !answer.body.is_empty() {
            return Ok(());
        }
        let body = String::from_utf8_lossy(answer.body.get(..200).unwrap_or(&answer.body)).into_owned();
        Err(format!("{} {body}", answer.status))
    }
}

/// What one load came to.
#[derive(Default)]
struct Tally {
    right: u64,
    wrong: u64,
    first_wrong: Option<String>,
    /// Microseconds, in the order they came.
    latencies: Vec<f64>,
    /// Of streams: until the first event, and since the upstream said each of the others.
    firsts: Vec<f64>,
    delays: Vec<f64>,
}

impl Tally {
    fn count(&mut self, outcome: Result<(), String>, microseconds: f64) {
        self.latencies.push(microseconds);
        match outcome {
            Ok(()) => self.right += 1,
            Err(wrong) => {
                self.wrong += 1;
                self.first_wrong.get_or_insert(wrong);
            }
        }
    }

    fn add(&mut self, other: Tally) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.take().or(other.first_wrong);
        self.latencies.extend(other.latencies);
        self.firsts.extend(other.firsts);
        self.delays.extend(other.delays);
    }

    /// Tells the runner.
    fn say(mut self, seconds: f64) -> io::Result<()> {
        let [whole, first, event] = [&mut self.latencies, &mut self.firsts, &mut self.delays].map(|of| {
            of.sort_by(f64::total_cmp);
            [50, 99].map(|hundredth| Value::from(of.get(of.len() * hundredth / 100).copied()))
        });
        let told = json!({
            "right": self.right, "wrong": self.wrong, "first_wrong": self.first_wrong, "seconds": seconds,
            "p50_us": whole[0], "p99_us": whole[1], "first_p50_us": first[0], "first_p99_us": first[1],
            "event_p50_us": event[0], "event_p99_us": event[1],
        });
        roles::say(&told.to_string())
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
