//! The access log: one line per request, without any key, secret or body.
//!
//! A line is written by hand into a buffer of the worker's own, which one thread for all workers hands to the output when it is full or
//! [`FLUSH_AFTER`] old. A request therefore waits for no output; when the output is slower than the requests, lines are dropped and counted.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::credits::Credits;
use crate::domain::ids::HoldId;
use crate::domain::time::Timestamp;

/// A buffer is handed on when it has this many bytes.
const FULL: usize = 32 * 1024;

/// Buffers that wait for the output; more are dropped.
const WAITING: usize = 64;

/// A line is in the output at most this much later, if the output keeps up.
pub const FLUSH_AFTER: Duration = Duration::from_millis(200);

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// One JSON object per line.
    #[default]
    Json,
    /// `name=value` pairs.
    Text,
    /// No lines.
    Off,
}

/// What is said about a request. Its texts are checked names and words of ours; a method is a token, and a route's id whatever the configuration calls it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// When it ended.
    pub time: Timestamp,
    /// The request's id.
    pub request: HoldId,
    /// `POST`
    pub method: &'a str,
    /// The route's id; none when no route was found.
    pub route: Option<&'a str>,
    /// What was answered; none when the client left before.
    pub status: Option<u16>,
    /// How it ended: `ok`, or an error code.
    pub outcome: &'a str,
    /// What was charged.
    pub charged: Option<Credits>,
    /// Whom.
    pub account: Option<&'a str>,
    /// The public name of the key.
    pub key: Option<&'a str>,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// Which of its client's retries it is, as an official SDK says it; none for a first try.
    pub retry: Option<u16>,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// From the request's head to the first byte of the upstream's answer.
    pub first_byte: Option<Duration>,
    /// From the request's head to the end.
    pub took: Duration,
}

/// How long the end of the program waits for the output to take the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where all workers' lines go. When it and all its sinks are dropped, the last lines are in the output.
pub struct AccessLog {
    format: Format,
    /// None only while it is dropped.
    full: Option<SyncSender<Vec<u8>>>,
    done: Mutex<Receiver<()>>,
    dropped: AtomicU64,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl AccessLog {
    /// Starts the thread that writes to `output`. It ends when the log and all its sinks are gone.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn start(format: Format, output: impl Write + Send + 'static) -> std::io::Result<Arc<AccessLog>> {
        let (full, buffers) = sync_channel(WAITING);
        let (ended, done) = channel::<()>();
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                drain(&buffers, output);
                drop(ended);
            })?;
        Ok(Arc::new(AccessLog {
            format,
            full: Some(full),
            done: Mutex::new(done),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Buffers that were dropped because the output was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn hand_on(&self, buffer: Vec<u8>) {
        if let Some(full) = &self.full
            && let Err(TrySendError::Full(_)) = full.try_send(buffer)
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.full = None;
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // Either the thread has ended, or the output takes nothing any more.
        let _ = done.recv_timeout(LAST_LINES);
    }
}

fn drain(buffers: &Receiver<Vec<u8>>, mut output: impl Write) {
    for buffer in buffers {
        // Nowhere to say that the log cannot be written; the next buffer may go through.
        let _ = output.write_all(&buffer).and_then(|()| output.flush());
    }
}

/// One worker's end of the log.
pub struct Sink {
    log: Arc<AccessLog>,
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// The last line's second since the epoch, and how it is written; most lines share it with the one before.
    second: i64,
    date: String,
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl Sink {
    /// A sink for one worker.
    pub fn new(log: Arc<AccessLog>) -> Sink {
        Sink {
            log,
            buffer: Mutex::default(),
        }
    }

    /// Writes a line to the buffer.
    pub fn write(&self, line: &Line<'_>) {
        if self.log.format == Format::Off {
            return;
        }
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.lines.capacity() == 0 {
            buffer.lines.reserve(FULL + 1024);
        }
        buffer.line(self.log.format, line);
        if buffer.lines.len() >= FULL {
            self.log.hand_on(std::mem::take(&mut buffer.lines));
        }
    }

    /// Hands on what there is. The worker calls this every [`FLUSH_AFTER`].
    pub fn flush(&self) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if !buffer.lines.is_empty() {
            self.log.hand_on(std::mem::take(&mut buffer.lines));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Buffer {
    fn line(&mut self, format: Format, line: &Line<'_>) {
        let now = line.time;
        let second = now.micros() / 1_000_000;
        if self.second != second || self.date.is_empty() {
            let date = jiff::Timestamp::from_second(second)
                .unwrap_or_default()
                .to_string();
            self.date = date.trim_end_matches('Z').to_owned();
            self.second = second;
        }
        let out = &mut self.lines;
        out.extend_from_slice(if format == Format::Json {
            b"{\"time\":\""
        } else {
            b""
        });
        out.extend_from_slice(self.date.as_bytes());
        out.push(b'.');
        digits(out, (now.micros() % 1_000_000).unsigned_abs(), 6);
        out.push(b'Z');
        match format {
            Format::Json => json(out, line),
            Format::Text => text(out, line),
            Format::Off => {}
        }
    }
}

fn json(out: &mut Vec<u8>, line: &Line<'_>) {
    put(out, b"\",\"request\":\"", &line.request);
    put_str(out, b"\",\"method\":\"", line.method);
    for (name, value) in [
        (&b"\",\"route\":\""[..], line.route),
        (b"\",\"account\":\"", line.account),
        (b"\",\"key\":\"", line.key),
        (b"\",\"upstream\":\"", line.upstream),
    ] {
        if let Some(value) = value {
            put_str(out, name, value);
        }
    }
    if let Some(charged) = line.charged {
        put(out, b"\",\"charged\":\"", &charged);
    }
    put_str(out, b"\",\"outcome\":\"", line.outcome);
    out.push(b'"');
    if let Some(status) = line.status {
        put_number(out, b",\"status\":", u64::from(status));
    }
    if let Some(retry) = line.retry {
        put_number(out, b",\"retry\":", u64::from(retry));
    }
    put_number(out, b",\"sent_bytes\":", line.sent);
    if let Some(first) = line.first_byte {
        put_number(out, b",\"first_byte_us\":", micros(first));
    }
    put_number(out, b",\"took_us\":", micros(line.took));
    out.extend_from_slice(b"}\n");
}

fn text(out: &mut Vec<u8>, line: &Line<'_>) {
    put(out, b" request=", &line.request);
    put_str(out, b" method=", line.method);
    if let Some(route) = line.route {
        // The only text with blanks in it.
        put_str(out, b" route=\"", route);
        out.push(b'"');
    }
    for (name, value) in [
        (&b" account="[..], line.account),
        (b" key=", line.key),
        (b" upstream=", line.upstream),
    ] {
        if let Some(value) = value {
            put_str(out, name, value);
        }
    }
    if let Some(charged) = line.charged {
        put(out, b" charged=", &charged);
    }
    put_str(out, b" outcome=", line.outcome);
    if let Some(status) = line.status {
        put_number(out, b" status=", u64::from(status));
    }
    if let Some(retry) = line.retry {
        put_number(out, b" retry=", u64::from(retry));
    }
    put_number(out, b" sent_bytes=", line.sent);
    if let Some(first) = line.first_byte {
        put_number(out, b" first_byte_us=", micros(first));
    }
    put_number(out, b" took_us=", micros(line.took));
    out.push(b'\n');
}

fn put(out: &mut Vec<u8>, name: &[u8], value: &dyn fmt::Display) {
    out.extend_from_slice(name);
    // Writing to memory does not fail.
    let _ = write!(out, "{value}");
}

/// Quotes and control characters, which only a route's id can have, are escaped or left out.
fn put_str(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f);
    if value.as_bytes().iter().all(plain) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for &byte in value.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => out.push(b'?'),
            _ => out.push(byte),
        }
    }
}

fn put_number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    digits(out, value, 1);
}

/// At least `least` decimal digits.
fn digits(out: &mut Vec<u8>, mut value: u64, least: usize) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value > 0 || text.len() - at < least {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<'static> {
        let now = "2028-02-29T12:34:56.000789Z".parse::<jiff::Timestamp>().unwrap();
        Line {
            time: Timestamp::from_micros(now.as_microsecond()),
            request: HoldId::new(1_800_000_000_000, [7; 10]),
            method: "POST",
            route: Some("POST /v1/\"x\""),
            status: Some(200),
            outcome: "ok",
            charged: Some("0.002".parse().unwrap()),
            account: Some("acme"),
            key: Some("key_1"),
            upstream: None,
            retry: Some(2),
            sent: 12,
            first_byte: None,
            took: Duration::from_micros(345),
        }
    }

    #[test]
    fn json_lines_are_json_and_say_what_they_should() {
        let mut buffer = Buffer::default();
        buffer.line(Format::Json, &line());
        let value: serde_json::Value = serde_json::from_slice(&buffer.lines).unwrap();
        assert_eq!(value["time"], "2028-02-29T12:34:56.000789Z");
        assert_eq!(value["route"], "POST /v1/\"x\"");
        assert_eq!(value["charged"], "0.002000");
        assert_eq!(value["status"], 200);
        assert_eq!((&value["took_us"], &value["retry"]), (&345.into(), &2.into()));
        assert_eq!(value.get("upstream"), None);
    }

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_arrives_once_when_the_sinks_are_gone() {
        let output = Output::default();
        let log = AccessLog::start(Format::Text, output.clone()).unwrap();
        let sinks = [Sink::new(Arc::clone(&log)), Sink::new(log)];
        for _ in 0..500 {
            sinks.iter().for_each(|sink| sink.write(&line()));
        }
        drop(sinks);
        assert_eq!(
            output.0.lock().unwrap().iter().filter(|b| **b == b'\n').count(),
            1_000
        );
    }
}
