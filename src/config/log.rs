//! `[log]`.

use super::section::Section;

/// `[log]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least that is worth a line.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least that is worth a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// What an operator must look at.
    Error,
    /// What may become that.
    Warn,
    /// Each request, and what changes.
    Info,
    /// How it came to that.
    Debug,
    /// Everything but keys, secrets and bodies.
    Trace,
}

impl LogFormat {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        }
    }
}

impl LogLevel {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

pub(super) fn read(s: &Section<'_>) -> Log {
    let formats = &[("json", LogFormat::Json), ("text", LogFormat::Text)];
    let levels = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    Log {
        format: s
            .choice(
                "format",
                "json: one object a line; text: for people.",
                "text",
                formats,
            )
            .unwrap_or(LogFormat::Text),
        level: s
            .choice("level", "The least that is worth a line.", "info", levels)
            .unwrap_or(LogLevel::Info),
    }
}
