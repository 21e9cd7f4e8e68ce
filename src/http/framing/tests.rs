//! The lexer alone: verdicts, laws, cost.

mod corpus;

use proptest::prelude::*;

use super::*;

/// What a guard made of a connection: the verdict, and where it stood.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    refused: Option<(Violation, bool)>,
    /// Bytes passed on in all; for a refused head, those before it (a split may pass on some of the head).
    good: usize,
    inside: bool,
    transparent: bool,
}

fn feed(bytes: &[u8], cuts: &[usize]) -> Seen {
    let mut guard = FrameGuard::default();
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| cut % (bytes.len() + 1))
        .chain([0, bytes.len()])
        .collect();
    cuts.sort_unstable();
    let mut refused = None;
    let mut good = 0;
    for part in cuts.windows(2) {
        if let Err(error) = guard.feed(&bytes[part[0]..part[1]]) {
            refused = Some((error.violation, error.in_head));
            good += error.good;
            assert!(
                guard.feed(b"GET / HTTP/1.1\r\n\r\n").is_err(),
                "a refusal is for good"
            );
            break;
        }
        good += part[1] - part[0];
    }
    Seen {
        refused,
        good,
        inside: guard.is_inside_request(),
        transparent: guard.is_transparent(),
    }
}

fn refusal(bytes: &str) -> Option<(Violation, bool, usize)> {
    let seen = feed(bytes.as_bytes(), &[]);
    seen.refused
        .map(|(violation, in_head)| (violation, in_head, seen.good))
}

#[test]
fn h1_heads() {
    use Violation as V;
    for (lines, want) in [
        ("Host: a\nX: y\r\n", V::BareLf),
        ("Host: a\r\nX: y\n", V::BareLf),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            V::LengthAndCoding,
        ),
        (
            "TRANSFER-ENCODING: CHUNKED\r\ncontent-length: 0\r\n",
            V::LengthAndCoding,
        ),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", V::DoubleLength),
        (
            "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n",
            V::DoubleLength,
        ),
        ("Content-Length: 5, 5\r\n", V::BadLength),
        ("Content-Length: +5\r\n", V::BadLength),
        ("Content-Length: -5\r\n", V::BadLength),
        ("Content-Length: 0x5\r\n", V::BadLength),
        ("Content-Length: 5 5\r\n", V::BadLength),
        ("Content-Length: 5;\r\n", V::BadLength),
        ("Content-Length:\r\n", V::BadLength),
        ("Content-Length: \x0b5\r\n", V::BadLength),
        ("Content-Length: 18446744073709551621\r\n", V::BadLength),
        ("Content-Length: 00000000000000000005\r\n", V::BadLength),
        ("Transfer-Encoding: gzip, chunked\r\n", V::BadCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", V::BadCoding),
        ("Transfer-Encoding: chunked, identity\r\n", V::BadCoding),
        ("Transfer-Encoding: identity\r\n", V::BadCoding),
        ("Transfer-Encoding: xchunked\r\n", V::BadCoding),
        ("Transfer-Encoding: chunked;q=1\r\n", V::BadCoding),
        ("Transfer-Encoding: \"chunked\"\r\n", V::BadCoding),
        ("Transfer-Encoding: \x0bchunked\r\n", V::BadCoding),
        ("Transfer-Encoding:\r\n", V::BadCoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            V::DoubleCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            V::DoubleCoding,
        ),
        ("Transfer-Encoding : chunked\r\n", V::BlankBeforeColon),
        ("Content-Length\t: 5\r\n", V::BlankBeforeColon),
        (" Content-Length: 5\r\n", V::Folded),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", V::Folded),
    ] {
        let sent = format!("POST / HTTP/1.1\r\n{lines}\r\n");
        assert_eq!(refusal(&sent), Some((want, true, 0)), "{lines:?}");
        // Behind a good request, that one is passed on whole.
        let good = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(
            refusal(&format!("{good}{sent}")),
            Some((want, true, good.len())),
            "{lines:?}"
        );
    }
    assert_eq!(
        refusal("GET / HTTP/1.1\nHost: a\r\n\r\n"),
        Some((V::BareLf, true, 0))
    );
    assert_eq!(refusal("\nGET / HTTP/1.1\r\n\r\n"), Some((V::BareLf, true, 0)));
}

#[test]
fn h2_chunks() {
    use Violation as V;
    const HEAD: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (good, bad, want) in [
        ("", "\r\n", V::BadChunkSize),
        ("", "+5\r\nhello", V::BadChunkSize),
        ("", "-1\r\n", V::BadChunkSize),
        ("0", "x5\r\nhello", V::BadChunkSize),
        ("5", " \r\nhello", V::BadChunkSize),
        ("5", "\t;a\r\nhello", V::BadChunkSize),
        ("", " 5\r\nhello", V::BadChunkSize),
        ("", "g\r\n", V::BadChunkSize),
        ("0000000000000000", "5\r\nhello", V::BadChunkSize),
        ("ffffffffffffffff", "f\r\n", V::BadChunkSize),
        ("5", "\nhello\r\n", V::BareLf),
        ("5\r", "hello", V::BareCr),
        ("5\r", "\r\nhello", V::BareCr),
        ("5;a", "\nhello", V::BareLf),
        ("5;a\r", "X\nhello", V::BareCr),
        ("5;a", "\0\r\nhello", V::BadChunkExtension),
        ("5;a", "\u{7f}\r\nhello", V::BadChunkExtension),
        ("5\r\nhello", "!\r\n", V::ChunkSpill),
        ("5\r\nhello", "\n0\r\n\r\n", V::ChunkSpill),
        ("5\r\nhello\r", "\r\n", V::ChunkSpill),
        ("5\r\nhello\r", "0\r\n\r\n", V::ChunkSpill),
        ("0\r\n", "\nGET / HTTP/1.1\r\n\r\n", V::BareLf),
        ("0\r\n\r", "X", V::BareCr),
        ("0\r\nX: y", "\n\r\n", V::BareLf),
        ("0\r\nX: y\r", "Z: a\r\n\r\n", V::BareCr),
        ("0\r\n", " folded: x\r\n", V::Folded),
    ] {
        let seen = refusal(&format!("{HEAD}{good}{bad}"));
        assert_eq!(
            seen,
            Some((want, false, HEAD.len() + good.len())),
            "{good:?} then {bad:?}"
        );
    }
    let long = format!("{HEAD}5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(1025));
    assert_eq!(
        refusal(&long),
        Some((V::BadChunkExtension, false, HEAD.len() + 2 + 1024))
    );
}

#[test]
fn h1_what_well_formed_clients_send_passes() {
    for sent in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-length:2\r\n\r\nokPOST / HTTP/1.1\r\nContent-Length: \t 0002 \r\n\r\nok",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Lengthy: x\r\nContent-Type: a\r\nTransfer-Encodings: a\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA;a=\"b c\"\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n2;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nX-Latin: \u{e9}\r\n\r\n",
    ] {
        let seen = feed(sent.as_bytes(), &[]);
        let whole = Seen {
            refused: None,
            good: sent.len(),
            inside: false,
            transparent: false,
        };
        assert_eq!(seen, whole, "{sent:?}");
    }
}

#[test]
fn an_http_2_connection_is_left_alone_after_its_preface() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for cut in 0..preface.len() {
        let mut sent = preface.to_vec();
        sent.extend(b"\0\n\n\n anything");
        assert!(feed(&sent, &[cut]).transparent);
        // As far as it goes, and then not: it is HTTP/1, and hyper's to refuse.
        let seen = feed(
            &[
                &preface[..cut],
                b"Q\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
            ]
            .concat(),
            &[cut],
        );
        assert!(!seen.transparent);
    }
    let behind = b"GET / HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n";
    assert_eq!(
        feed(behind, &[]).refused,
        Some((Violation::BareLf, true)),
        "only at the beginning"
    );
}

#[test]
fn h6_an_upgrade_waits_for_its_answer() {
    use super::guard::Upgrade;
    let head = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upgrade = |parts: &[&[u8]]| {
        let mut guard = FrameGuard::default();
        let verdict = parts.iter().try_for_each(|part| guard.feed(part));
        (guard.upgrade(), verdict.is_ok())
    };
    assert_eq!(upgrade(&[b"GET / HTTP/1.1\r\n\r\n"]), (Upgrade::Unasked, true));
    assert_eq!(upgrade(&[head]), (Upgrade::Waiting, true));
    assert_eq!(upgrade(&[head, b""]), (Upgrade::Waiting, true));
    assert_eq!(upgrade(&[head, b"G"]), (Upgrade::Overrun, true));
    assert_eq!(
        upgrade(&[head, b"GET / HTTP/1.1\r\n\r\n", head]),
        (Upgrade::Overrun, true)
    );
    assert_eq!(
        upgrade(&[&[&head[..], b"\x81\x05hello\n"].concat()]),
        (Upgrade::Overrun, false)
    );
    let with_body = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(upgrade(&[with_body]), (Upgrade::Unasked, true));
}

/// Requests as clients that know the grammar send them.
pub(super) fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "Host",
        "content-type",
        "X-Tee",
        "t",
        "c",
        "u",
        "Content-Lengths",
        "cookie",
    ]);
    let line = (name, "[ -~]{0,80}").prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines = prop::collection::vec(line, 0..6).prop_map(|lines| lines.concat());
    let sized = prop::collection::vec(any::<u8>(), 0..200).prop_map(|body| {
        let mut sent = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        sent.extend(body);
        sent
    });
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        prop::sample::select(vec!["", ";a", ";a=\"b;c\""]),
    );
    let chunked = (
        prop::collection::vec(chunk, 0..4),
        "(x-[a-z]{1,5}: [ -~]{0,20}\r\n){0,2}",
    )
        .prop_map(|(chunks, trailers)| {
            let mut sent = b"transfer-encoding: chunked\r\n\r\n".to_vec();
            for (data, extension) in chunks {
                sent.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
                sent.extend(data);
                sent.extend(b"\r\n");
            }
            sent.extend(format!("0\r\n{trailers}\r\n").into_bytes());
            sent
        });
    let body = prop_oneof![2 => Just(b"\r\n".to_vec()), 2 => sized, 2 => chunked];
    ("(GET|POST) /[a-z]{0,60} HTTP/1[.]1\r\n", lines, body)
        .prop_map(|(line, lines, body)| [line.as_bytes(), lines.as_bytes(), &body].concat())
}

/// Well-formed requests with a few bytes and pieces put in, taken out or doubled.
pub(super) fn malformed() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r",
        "\r\n",
        " ",
        "\t",
        ":",
        "0",
        "5",
        "\0",
        ";",
        ",",
        "chunked",
        "Content-Length: 3\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n",
        "content-length: 0\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "Upgrade: h2c\r\n",
        "\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]);
    let change = (any::<prop::sample::Index>(), 0_usize..4, piece);
    (
        prop::collection::vec(well_formed(), 1..4),
        prop::collection::vec(change, 0..4),
    )
        .prop_map(|(requests, changes)| {
            let mut sent = requests.concat();
            for (at, removed, piece) in changes {
                let at = at.index(sent.len() + 1);
                let end = sent.len().min(at + removed);
                sent.splice(at..end, piece.bytes());
            }
            sent
        })
}

proptest! {
    #[test]
    fn h1_never_flags_what_a_well_formed_client_sends(
        requests in prop::collection::vec(well_formed(), 0..5), cuts in prop::collection::vec(any::<usize>(), 0..6)
    ) {
        let sent = requests.concat();
        let whole = Seen { refused: None, good: sent.len(), inside: false, transparent: false };
        prop_assert_eq!(feed(&sent, &cuts), whole);
    }

    #[test]
    fn h1_any_split_of_the_bytes_gives_the_same_verdict(
        sent in malformed(), cuts in prop::collection::vec(any::<usize>(), 0..12)
    ) {
        let at_once = feed(&sent, &[]);
        let split = feed(&sent, &cuts);
        let bytewise = feed(&sent, &(0..sent.len()).collect::<Vec<_>>());
        for other in [split, bytewise] {
            prop_assert_eq!((other.refused, other.inside, other.transparent),
                (at_once.refused, at_once.inside, at_once.transparent));
            if at_once.refused.is_none_or(|(_, in_head)| !in_head) {
                prop_assert_eq!(other.good, at_once.good);
            } else {
                prop_assert!(other.good >= at_once.good);
            }
        }
    }

    #[test]
    fn no_bytes_panic(sent in prop::collection::vec(any::<u8>(), 0..200), cut in any::<usize>()) {
        let _ = feed(&sent, &[cut]);
    }
}

/// Not a benchmark, only an order of magnitude: `cargo test --release cost_of -- --nocapture`.
#[test]
fn cost_of_a_small_head() {
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.example.com\r\naccept: application/json\r\n\
        content-type: application/json\r\nauthorization: Bearer fg_live_0123456789abcdef0123456789abcdef\r\n\
        user-agent: OpenAI/Python 1.109.1\r\nx-stainless-lang: python\r\naccept-encoding: gzip, deflate\r\n\
        connection: keep-alive\r\ncontent-length: 4\r\n\r\nbody";
    let rounds = 100_000_u32;
    let mut guard = FrameGuard::default();
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        guard.feed(std::hint::black_box(head)).unwrap();
    }
    let each = start.elapsed() / rounds;
    println!("a head of {} bytes and 10 lines: {each:?}", head.len());
    assert!(each < std::time::Duration::from_micros(50), "{each:?}");
}
