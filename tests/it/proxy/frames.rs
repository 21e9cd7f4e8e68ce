//! HTTP/2 by hand, for what no library would send.

use std::net::SocketAddr;

use super::gatehouse::KEY;
use crate::rig::raw::RawClient;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header as HPACK writes one that is new and not to be kept; short values only.
pub(super) fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 127, "{text} takes a longer form");
        [&[length][..], text.as_bytes()].concat()
    };
    [&[0][..], &text(name), &text(value)].concat()
}

/// The head of `POST path`, with this key.
pub(super) fn post(path: &str, key: &str) -> Vec<u8> {
    // :method POST, :scheme http.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "gate"),
        ("authorization", &format!("Bearer {key}")),
    ] {
        block.extend(literal(name, value));
    }
    block
}

/// The stream of the nth request of a connection, from 0.
pub(super) fn stream(n: u32) -> u32 {
    2 * n + 1
}

/// A request without a body, opened; with `flags` beside those that end its head.
pub(super) fn open(n: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream(n), &post("/v1/x", KEY))
}

/// Takes it back.
pub(super) fn reset(n: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes())
}

/// A connection on which the preface and empty settings have been sent.
pub(super) async fn connect(addr: SocketAddr) -> RawClient {
    let mut raw = RawClient::connect(addr).await;
    raw.send(
        [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            &frame(SETTINGS, 0, 0, &[]),
        ]
        .concat(),
    )
    .await;
    raw
}

/// The next frame: type, stream, payload; none at the end of the connection.
pub(super) async fn next_frame(raw: &mut RawClient) -> Option<(u8, u32, Vec<u8>)> {
    let header = raw.try_read_exactly(9).await?;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
    let payload = raw.try_read_exactly(usize::try_from(length).unwrap()).await?;
    Some((header[3], stream, payload))
}

/// Sends until all is sent or nobody takes it; how many pieces were.
pub(super) async fn pour(raw: &mut RawClient, pieces: impl IntoIterator<Item = Vec<u8>>) -> usize {
    let mut sent = 0;
    let mut together = Vec::new();
    for piece in pieces {
        together.extend(piece);
        sent += 1;
        if together.len() > 16 * 1024 {
            if raw.try_send(&together).await.is_err() {
                return sent;
            }
            together.clear();
        }
    }
    let _ = raw.try_send(&together).await;
    sent
}
