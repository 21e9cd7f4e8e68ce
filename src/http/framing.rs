//! Where a request ends has one answer (H1, H2, H9).
//!
//! Two servers that disagree on where a request ends let a client hide a second request in the body of the first. hyper
//! refuses much of what is ambiguous, but reads some of it its own way: a bare LF as a line end, `Content-Length` beside
//! `Transfer-Encoding` (dropped), the same `Content-Length` twice (merged), `gzip, chunked` and `chunked, chunked` (taken
//! for `chunked`). A gate that charges per request must not read such bytes at all.
//!
//! [`FrameGuard`] follows the bytes of a connection, head by head and body by body, without buffering and without
//! looking into bodies, and says when they break a rule. [`GuardedIo`] puts it between a socket and hyper: what precedes
//! an offending request is served, the request itself is answered with 400 and the connection closed. What hyper refuses
//! by itself (`+3`, folded lines, spaces before a colon, a NUL, ...) is left to hyper; [`Violation`] lists the rest.
//!
//! It costs about a hundred nanoseconds per request, and nothing per byte of a body. An HTTP/2 connection is recognised
//! by its preface and left alone after it, but for a count of the frames that only keep it busy (H11).

mod chunked;
mod frames;
mod guard;
mod head;
mod io;

pub use guard::{FrameGuard, PREFACE_LEN, Refused};
pub use io::{GuardedIo, UpgradeGate, violation};

/// How a request breaks the rules of framing. The text is meant for the person who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// A line of a head, a chunk or a trailer that ends in LF alone.
    #[error("a line ends without a carriage return")]
    BareLf,
    /// A CR without LF where a chunk or trailer line ends.
    #[error("a carriage return is not followed by a line feed")]
    BareCr,
    /// A header or trailer line that begins with a blank.
    #[error("a header line begins with a blank")]
    Folded,
    /// `Content-Length` or `Transfer-Encoding` with a blank before the colon.
    #[error("a blank stands between a header's name and its colon")]
    BlankBeforeColon,
    /// `Content-Length` more than once, equal or not.
    #[error("Content-Length is there more than once")]
    DoubleLength,
    /// `Content-Length` that is not 1 to 19 digits.
    #[error("Content-Length is not a whole number")]
    BadLength,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndCoding,
    /// `Transfer-Encoding` more than once.
    #[error("Transfer-Encoding is there more than once")]
    DoubleCoding,
    /// `Transfer-Encoding` other than `chunked`.
    #[error("the only Transfer-Encoding read here is `chunked`")]
    BadCoding,
    /// A chunk size that is not 1 to 16 hexadecimal digits, followed by CRLF or `;`.
    #[error("a chunk's size is not a hexadecimal number")]
    BadChunkSize,
    /// A chunk extension with other than visible ASCII and blanks, or over 1 KiB long.
    #[error("a chunk's extension is malformed or too long")]
    BadChunkExtension,
    /// Bytes after a chunk's data where CRLF must stand.
    #[error("a chunk is longer than its size says")]
    ChunkSpill,
    /// More than 1,000 HTTP/2 frames in a second that ask for nothing: PING, SETTINGS, PRIORITY, unknown ones.
    #[error("too many frames that ask for nothing")]
    Flood,
}

#[cfg(test)]
mod tests;
