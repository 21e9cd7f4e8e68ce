//! hyper behind the guard: what reaches the service, what is answered, when the connection ends.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{malformed, well_formed};
use crate::http::framing::{GuardedIo, UpgradeGate, Violation, violation};

const PATIENCE: Duration = Duration::from_secs(10);

/// Requests that the service has seen to their end, or until they broke: `path length` or `path broken`.
type Reached = Arc<Mutex<Vec<String>>>;

async fn service(request: Request<Incoming>, reached: Reached, gate: UpgradeGate) -> Response<Full<Bytes>> {
    let path = request.uri().to_string();
    let answer = |status: StatusCode, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if path == "/refuse" {
        return answer(StatusCode::PAYMENT_REQUIRED, "pay first");
    }
    if path == "/tunnel" {
        return if gate.open() {
            echo(request)
        } else {
            answer(StatusCode::BAD_REQUEST, "early")
        };
    }
    match request.into_body().collect().await {
        Ok(body) => {
            reached
                .lock()
                .unwrap()
                .push(format!("{path} {}", body.to_bytes().len()));
            answer(StatusCode::OK, "ok")
        }
        Err(error) => {
            let why = violation(&error).map_or("broken".to_owned(), |violation| format!("{violation:?}"));
            reached.lock().unwrap().push(format!("{path} {why}"));
            answer(StatusCode::BAD_REQUEST, "broken")
        }
    }
}

fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    tokio::spawn(async move {
        let mut tunnel = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut heard = [0; 5];
        tunnel.read_exact(&mut heard).await.unwrap();
        tunnel.write_all(&heard).await.unwrap();
        tunnel.shutdown().await.unwrap();
    });
    let response = Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "x");
    response.body(Full::default()).unwrap()
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, reached: Reached) {
    let io = GuardedIo::new(io);
    let gate = io.upgrade_gate();
    let service = service_fn(move |request| {
        let (reached, gate) = (reached.clone(), gate.clone());
        async move { Ok::<_, Infallible>(service(request, reached, gate).await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(io), service)
        .await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server closes.
    Closed,
    /// The connection still serves a request afterwards.
    Open,
    /// The client stops sending in the middle; whatever is answered, nothing complete is reached.
    Cut,
}

const SENTINEL: &str = "GET /sentinel HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends, then listens until the server closes or has given so many answers, after which the client closes. Returns the
/// statuses and what was said.
async fn talk(io: impl AsyncRead + AsyncWrite, sent: &[u8], answers: usize) -> (Vec<u16>, String) {
    let (mut read, mut write) = tokio::io::split(io);
    let done = Notify::new();
    let speak = async {
        // The server may have closed by now: what it said is what counts.
        let _ = write.write_all(sent).await;
        done.notified().await;
        let _ = write.shutdown().await;
    };
    let listen = async {
        let mut heard = Vec::new();
        loop {
            if statuses(&heard).len() >= answers {
                done.notify_one();
            }
            match read.read_buf(&mut heard).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        done.notify_one();
        heard
    };
    let talk = timeout(PATIENCE, async { tokio::join!(speak, listen) });
    let ((), heard) = talk
        .await
        .unwrap_or_else(|_| panic!("no end: {:?}", String::from_utf8_lossy(sent)));
    (statuses(&heard), String::from_utf8_lossy(&heard).into_owned())
}

/// The statuses of the answers that came whole.
fn statuses(heard: &[u8]) -> Vec<u16> {
    let heard = String::from_utf8_lossy(heard);
    let whole = |answer: &str| {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let length = head
            .split_once("content-length: ")
            .map_or("0", |(_, rest)| rest.lines().next().unwrap_or_default());
        (body.len() == length.parse::<usize>().ok()?).then(|| answer[..3].parse().unwrap())
    };
    heard.split("HTTP/1.1 ").skip(1).map_while(whole).collect()
}

struct Case {
    name: &'static str,
    sent: String,
    statuses: &'static [u16],
    reached: &'static [&'static str],
    end: End,
}

/// A request line and headers around `lines`, then `body`.
fn post(path: &str, lines: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

/// A violation in a head: 400, closed, not reached; the same behind a good request, which is served first.
fn head_cases(cases: &mut Vec<Case>) {
    let te = "Transfer-Encoding: chunked\r\n";
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, sent) in [
        (
            "H1 length then coding",
            post("/a", &format!("Content-Length: 5\r\n{te}"), hidden),
        ),
        (
            "H1 coding then length",
            post("/a", &format!("{te}Content-Length: 5\r\n"), hidden),
        ),
        (
            "H1 coding and length 0",
            post("/a", &format!("{te}Content-Length: 0\r\n"), hidden),
        ),
        (
            "H1 equal lengths",
            post("/a", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        ),
        (
            "H1 unequal lengths",
            post("/a", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ),
        ("H1 length list", post("/a", "Content-Length: 5, 5\r\n", "hello")),
        ("H1 length +5", post("/a", "Content-Length: +5\r\n", "hello")),
        ("H1 length empty", post("/a", "Content-Length:\r\n", "hello")),
        (
            "H1 length hexadecimal",
            post("/a", "Content-Length: 0x5\r\n", "hello"),
        ),
        (
            "H1 length over 2^64",
            post("/a", "Content-Length: 18446744073709551621\r\n", "hello"),
        ),
        (
            "H1 gzip, chunked",
            post("/a", "Transfer-Encoding: gzip, chunked\r\n", hidden),
        ),
        (
            "H1 chunked, chunked",
            post("/a", "Transfer-Encoding: chunked, chunked\r\n", hidden),
        ),
        ("H1 chunked twice", post("/a", &format!("{te}{te}"), hidden)),
        (
            "H1 chunked, identity",
            post("/a", "Transfer-Encoding: chunked, identity\r\n", hidden),
        ),
        (
            "H1 identity then chunked",
            post("/a", &format!("Transfer-Encoding: identity\r\n{te}"), hidden),
        ),
        (
            "H1 identity",
            post("/a", "Transfer-Encoding: identity\r\n", hidden),
        ),
        (
            "H1 quoted chunked",
            post("/a", "Transfer-Encoding: \"chunked\"\r\n", hidden),
        ),
        (
            "H1 vertical tab chunked",
            post("/a", "Transfer-Encoding: \x0bchunked\r\n", hidden),
        ),
        (
            "H1 coding in HTTP/1.0",
            format!("POST /a HTTP/1.0\r\n{te}\r\n{hidden}"),
        ),
        (
            "H1 blank before colon",
            post("/a", "Transfer-Encoding : chunked\r\n", hidden),
        ),
        (
            "H1 tab before colon",
            post("/a", "Content-Length\t: 5\r\n", "hello"),
        ),
        (
            "H1 folded coding",
            post("/a", "X: y\r\n Transfer-Encoding: chunked\r\n", hidden),
        ),
        (
            "H1 folded first line",
            post("/a", "", "").replace("Host", " Host"),
        ),
        (
            "H1 bare LF after the request line",
            post("/a", "", "").replacen("\r\n", "\n", 1),
        ),
        ("H1 bare LF after a header", post("/a", "X: y\n", "")),
        (
            "H1 bare LF hides a coding",
            post("/a", "X: y\nTransfer-Encoding: chunked\r\n", hidden),
        ),
        (
            "H1 bare LF at the end",
            post("/a", "", "").replace("a\r\n\r\n", "a\r\n\n"),
        ),
        ("H1 only bare LF", post("/a", "", "").replace('\r', "")),
        ("H1 bare LF in front", format!("\n{}", post("/a", "", ""))),
        (
            "H1 bare CR in a value",
            post("/a", "X: y\rTransfer-Encoding: chunked\r\n", hidden),
        ),
        ("H1 bare CR ends the head", post("/a", "X: y\r\r\n", hidden)),
        ("H1 NUL in a value", post("/a", "X: y\0\r\n", "")),
        ("H1 NUL in a name", post("/a", "X\0: y\r\n", "")),
        (
            "H1 a line without colon",
            post("/a", "Content-Length 5\r\n", "hello"),
        ),
        ("H1 no version", "GET /a\r\n\r\n".to_owned()),
        ("H9 rubbish", "\x16\x03\x01\x02\r\n\r\n".to_owned()),
    ] {
        let before = post("/before", "Content-Length: 2\r\n", "ok");
        let behind = format!("{before}{sent}");
        cases.push(Case {
            name,
            sent,
            statuses: &[400],
            reached: &[],
            end: End::Closed,
        });
        cases.push(Case {
            name,
            sent: behind,
            statuses: &[200, 400],
            reached: &["/before 2"],
            end: End::Closed,
        });
    }
}

/// A violation in a chunked body: the service gets an error and not the body's end; 400 and closed, nothing behind it.
fn chunk_cases(cases: &mut Vec<Case>) {
    for (name, body, reached) in [
        (
            "H2 size with plus",
            "+5\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"][..],
        ),
        (
            "H2 size with minus",
            "-5\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"],
        ),
        (
            "H2 size with 0x",
            "0x5\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"],
        ),
        (
            "H2 size with blank",
            "5 \r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"],
        ),
        ("H2 size empty", "\r\nhello\r\n0\r\n\r\n", &["/a BadChunkSize"]),
        (
            "H2 size overflow",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"],
        ),
        (
            "H2 size with many zeros",
            "00000000000000000005\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkSize"],
        ),
        ("H2 size with bare LF", "5\nhello\r\n0\r\n\r\n", &["/a BareLf"]),
        ("H2 size with bare CR", "5\rhello\r\n0\r\n\r\n", &["/a BareCr"]),
        (
            "H2 extension with bare LF",
            "5;a\nhello\r\n0\r\n\r\n",
            &["/a BareLf"],
        ),
        (
            "H2 extension with bare CR",
            "5;\rhello\r\n0\r\n\r\n",
            &["/a BareCr"],
        ),
        (
            "H2 extension with NUL",
            "5;a\0\r\nhello\r\n0\r\n\r\n",
            &["/a BadChunkExtension"],
        ),
        ("H2 spill", "5\r\nhello!\r\n0\r\n\r\n", &["/a ChunkSpill"]),
        (
            "H2 spill with bare LF",
            "5\r\nhello\n0\r\n\r\n",
            &["/a ChunkSpill"],
        ),
        (
            "H2 chunk too short",
            "6\r\nhello\r\n0\r\n\r\n",
            &["/a ChunkSpill"],
        ),
        (
            "H2 end with bare LF",
            "5\r\nhello\r\n0\r\n\nGET /b HTTP/1.1\r\n\r\n",
            &["/a BareLf"],
        ),
        ("H2 trailer with bare LF", "0\r\nX: y\n\r\n", &["/a BareLf"]),
        ("H2 folded trailer", "0\r\n X: y\r\n\r\n", &["/a Folded"]),
    ] {
        let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
        let sent = post("/a", "Transfer-Encoding: chunked\r\n", &format!("{body}{hidden}"));
        cases.push(Case {
            name,
            sent,
            statuses: &[400],
            reached,
            end: End::Closed,
        });
    }
    for (name, body) in [
        ("H2 cut in a chunk", "5\r\nhel"),
        ("H2 cut before the last chunk", "5\r\nhello\r\n"),
        ("H2 cut in the last chunk", "5\r\nhello\r\n0"),
        ("H2 cut before the end", "5\r\nhello\r\n0\r\n"),
        ("H2 cut in a trailer", "5\r\nhello\r\n0\r\nX: y\r\n"),
    ] {
        let sent = post("/a", "Transfer-Encoding: chunked\r\n", body);
        cases.push(Case {
            name,
            sent,
            statuses: &[],
            reached: &[],
            end: End::Cut,
        });
    }
    for (name, sent) in [
        (
            "H2 cut in a body with a length",
            post("/a", "Content-Length: 6\r\n", "hello"),
        ),
        (
            "H2 cut before a body with a length",
            post("/a", "Content-Length: 6\r\n", ""),
        ),
        ("H2 cut in a head", "POST /a HTTP/1.1\r\nHost: a\r\n".to_owned()),
    ] {
        cases.push(Case {
            name,
            sent,
            statuses: &[],
            reached: &[],
            end: End::Cut,
        });
    }
}

fn good_cases(cases: &mut Vec<Case>) {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let two = post("/a", "Content-Length: 5\r\n", "hello") + &post("/b", chunked, "5\r\nhello\r\n0\r\n\r\n");
    for (name, sent, statuses, reached) in [
        (
            "H1 no body",
            post("/a", "", ""),
            &[200, 200][..],
            &["/a 0", "/sentinel 0"][..],
        ),
        (
            "H1 body with a length",
            post("/a", "Content-Length: 5\r\n", "hello"),
            &[200, 200],
            &["/a 5", "/sentinel 0"],
        ),
        (
            "H1 bare LF in a body",
            post("/a", "Content-Length: 5\r\n", "\n\n\r\n\0"),
            &[200, 200],
            &["/a 5", "/sentinel 0"],
        ),
        (
            "H1 an empty line in front",
            format!("\r\n{}", post("/a", "", "")),
            &[200, 200],
            &["/a 0", "/sentinel 0"],
        ),
        (
            "H1 chunks, extensions, trailers",
            post(
                "/a",
                chunked,
                "5;a=b\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            ),
            &[200, 200],
            &["/a 15", "/sentinel 0"],
        ),
        (
            "H9 pipelining",
            two,
            &[200, 200, 200],
            &["/a 5", "/b 5", "/sentinel 0"],
        ),
        (
            "H9 a request inside a body is a body",
            post(
                "/a",
                "Content-Length: 37\r\n",
                "GET /hidden HTTP/1.1\r\nHost: aaaa\r\n\r\n ",
            ),
            &[200, 200],
            &["/a 37", "/sentinel 0"],
        ),
    ] {
        cases.push(Case {
            name,
            sent,
            statuses,
            reached,
            end: End::Open,
        });
    }
}

fn early_cases(cases: &mut Vec<Case>) {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, sent, statuses) in [
        (
            "H9 refused with half of the body unread",
            post("/refuse", "Content-Length: 900\r\n", hidden),
            &[402][..],
        ),
        (
            "H9 refused while a chunk is open",
            post(
                "/refuse",
                "Transfer-Encoding: chunked\r\n",
                "ff\r\nGET /hidden HTTP/1.1\r\n",
            ),
            &[402],
        ),
        (
            "H9 refused with 100 KiB unread",
            post(
                "/refuse",
                "Content-Length: 102500\r\n",
                &hidden.repeat(102_400 / hidden.len()),
            ),
            &[402],
        ),
        (
            "H9 refused with a broken body",
            post(
                "/refuse",
                "Transfer-Encoding: chunked\r\n",
                &format!("5\r\nhello!\r\n0\r\n\r\n{hidden}"),
            ),
            &[402],
        ),
    ] {
        cases.push(Case {
            name,
            sent,
            statuses,
            reached: &[],
            end: End::Closed,
        });
    }
}

fn corpus() -> Vec<Case> {
    let mut cases = Vec::new();
    head_cases(&mut cases);
    chunk_cases(&mut cases);
    good_cases(&mut cases);
    early_cases(&mut cases);
    cases
}

/// What to send, and after how many answers the client may close (one closed by the server has no need to).
fn script(case: &Case) -> (Vec<u8>, usize) {
    match case.end {
        End::Closed => (case.sent.clone().into_bytes(), usize::MAX),
        End::Open => (
            format!("{}{SENTINEL}", case.sent).into_bytes(),
            case.statuses.len(),
        ),
        End::Cut => (case.sent.clone().into_bytes(), 0),
    }
}

fn judge(case: &Case, way: &str, (statuses, heard): (Vec<u16>, String), reached: Reached) {
    let Case { name, sent, .. } = case;
    let mut reached = reached.lock().unwrap().clone();
    if case.end == End::Cut {
        // It may have begun; it must not have come to an end.
        reached.retain(|request| !request.ends_with("broken"));
    } else {
        assert_eq!(
            statuses, case.statuses,
            "{name} ({way}): {sent:?} answered {heard:?}"
        );
    }
    assert_eq!(
        reached, case.reached,
        "{name} ({way}): {sent:?} answered {heard:?}"
    );
}

#[test]
fn h1_h2_h9_corpus_over_sockets() {
    Runtime::new().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cases = corpus();
        assert!(cases.len() >= 40);
        for case in cases {
            let reached = Reached::default();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let server = tokio::spawn(serve(listener.accept().await.unwrap().0, reached.clone()));
            let (sent, answers) = script(&case);
            let answer = talk(client, &sent, answers).await;
            timeout(PATIENCE, server).await.unwrap().unwrap();
            judge(&case, "socket", answer, reached);
        }
    });
}

#[test]
fn h1_h2_h9_corpus_in_small_reads() {
    Runtime::new().unwrap().block_on(async {
        for size in [1, 3, 40] {
            for case in corpus() {
                let reached = Reached::default();
                let (client, server) = duplex(size);
                let server = tokio::spawn(serve(server, reached.clone()));
                let (sent, answers) = script(&case);
                let answer = talk(client, &sent, answers).await;
                timeout(PATIENCE, server).await.unwrap().unwrap();
                judge(&case, &format!("reads of {size}"), answer, reached);
            }
        }
    });
}

#[test]
fn h9_a_refusal_is_heard_by_a_client_that_sends_all_before_it_listens() {
    Runtime::new().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = tokio::spawn(serve(listener.accept().await.unwrap().0, Reached::default()));
        let head = post("/refuse", "Content-Length: 800000\r\n", "");
        client.write_all(head.as_bytes()).await.unwrap();
        // Once there is an answer, a server that does not linger is gone: sending on fails, and most clients report
        // that and not the answer.
        timeout(PATIENCE, client.peek(&mut [0])).await.unwrap().unwrap();
        for _ in 0..800 {
            client.write_all(&[b'x'; 1000]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut heard = String::new();
        timeout(PATIENCE, client.read_to_string(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert!(
            heard.starts_with("HTTP/1.1 402") && heard.ends_with("pay first"),
            "{heard:?}"
        );
        drop(client);
        timeout(PATIENCE, server).await.unwrap().unwrap();
    });
}

#[test]
fn h6_no_byte_before_101_and_none_looked_at_after() {
    Runtime::new().unwrap().block_on(async {
        let ask = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let (mut client, server) = duplex(1024);
        let server = tokio::spawn(serve(server, Reached::default()));
        client.write_all(ask.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            assert_ne!(
                timeout(PATIENCE, client.read_buf(&mut heard))
                    .await
                    .unwrap()
                    .unwrap(),
                0
            );
        }
        assert!(heard.starts_with(b"HTTP/1.1 101"));
        client.write_all(b"\n\0\r\n!").await.unwrap();
        let mut echoed = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut echoed))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(echoed, b"\n\0\r\n!");
        timeout(PATIENCE, server).await.unwrap().unwrap();

        let early = format!("{ask}{SENTINEL}");
        let (client, server) = duplex(1024);
        tokio::spawn(serve(server, Reached::default()));
        let (statuses, _) = talk(client, early.as_bytes(), 1).await;
        assert_eq!(statuses[0], 400);
        // A request that did not ask, as far as its framing says.
        let (client, server) = duplex(1024);
        tokio::spawn(serve(server, Reached::default()));
        let (statuses, _) = talk(client, post("/tunnel", "", "").as_bytes(), 1).await;
        assert_eq!(statuses, [400]);
    });
}

#[test]
fn http_2_by_prior_knowledge_passes() {
    Runtime::new().unwrap().block_on(async {
        let (client, server) = duplex(4096);
        let reached = Reached::default();
        tokio::spawn(serve(server, reached.clone()));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
        let (mut send, connection) = timeout(PATIENCE, handshake).await.unwrap().unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://a/a")
            .body(Full::new(Bytes::from_static(b"\n\0\n")))
            .unwrap();
        let response = timeout(PATIENCE, send.send_request(request))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(*reached.lock().unwrap(), ["http://a/a 3"]);
    });
}

#[tokio::test(start_paused = true)]
async fn h11_a_flood_of_pings_is_cut_off_and_a_few_now_and_then_are_not() {
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0pingpong";
    for (pause, all_of_them) in [(Duration::ZERO, false), (Duration::from_millis(10), true)] {
        let (mut client, server) = duplex(64);
        let mut io = GuardedIo::new(server);
        let sent = async {
            client
                .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                .await
                .unwrap();
            for sent in 0..3_000 {
                if client.write_all(PING).await.is_err() {
                    return sent;
                }
                tokio::time::sleep(pause).await;
            }
            client.shutdown().await.unwrap();
            3_000
        };
        let read = async {
            let mut bytes = Vec::new();
            let end = io.read_to_end(&mut bytes).await;
            drop(io);
            end.map_err(|error| violation(&error))
        };
        let (sent, end) = tokio::join!(sent, read);
        if all_of_them {
            assert_eq!((sent, end), (3_000, Ok(24 + 3_000 * PING.len())));
        } else {
            assert_eq!(end, Err(Some(Violation::Flood)));
            assert!((1_000..1_010).contains(&sent), "{sent}");
        }
    }
}

/// A second reading, written apart: the requests of a whole connection as `path length`, strictly, up to the first thing
/// out of order.
fn strict(mut rest: &[u8]) -> Vec<String> {
    let mut requests = Vec::new();
    while let Some((request, behind)) = strict_request(rest) {
        requests.push(request);
        rest = behind;
    }
    requests
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    (!line.contains(&b'\n')).then_some((line, &bytes[end + 2..]))
}

fn strict_request(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut request_line, mut rest) = line(bytes)?;
    while request_line.is_empty() {
        (request_line, rest) = line(rest)?;
    }
    let path = String::from_utf8_lossy(request_line.split(|&b| b == b' ').nth(1)?).into_owned();
    let (mut length, mut chunked) = (None, false);
    loop {
        let (header, behind) = line(rest)?;
        rest = behind;
        if header.is_empty() {
            break;
        }
        let header = String::from_utf8_lossy(header).to_lowercase();
        let (name, value) = header.split_once(':')?;
        match name {
            "content-length" if length.is_none() => {
                length = Some(value.trim_matches([' ', '\t']).parse::<usize>().ok()?)
            }
            "transfer-encoding" if !chunked && value.trim_matches([' ', '\t']) == "chunked" => chunked = true,
            "content-length" | "transfer-encoding" => return None,
            _ => {}
        }
    }
    if chunked && length.is_some() {
        return None;
    }
    let mut total = length.unwrap_or(0);
    if chunked {
        loop {
            let (size, behind) = line(rest)?;
            let size = size.split(|&b| b == b';').next()?;
            let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
            if size == 0 {
                rest = behind;
                break;
            }
            total += size;
            rest = behind.get(size..)?.strip_prefix(b"\r\n")?;
        }
        loop {
            let (trailer, behind) = line(rest)?;
            rest = behind;
            if trailer.is_empty() {
                break;
            }
        }
        return Some((format!("{path} {total}"), rest));
    }
    Some((format!("{path} {total}"), rest.get(total..)?))
}

async fn served(sent: Vec<u8>, size: usize, answers: usize) -> Vec<String> {
    let reached = Reached::default();
    let (client, server) = duplex(size);
    let server = tokio::spawn(serve(server, reached.clone()));
    talk(client, &sent, answers).await;
    timeout(PATIENCE, server).await.unwrap().unwrap();
    let reached = reached.lock().unwrap();
    reached
        .iter()
        .filter(|request| request.ends_with(|c: char| c.is_ascii_digit()))
        .cloned()
        .collect()
}

proptest! {
    #[test]
    fn h1_what_is_served_is_what_a_strict_reader_reads(sent in malformed(), size in 1_usize..300) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let strict = strict(&sent);
        let served = runtime.block_on(served(sent.clone(), size, strict.len()));
        prop_assert!(strict.starts_with(&served), "{:?} was served as {:?}, not as {:?}",
            String::from_utf8_lossy(&sent), served, strict);
    }

    #[test]
    fn h1_well_formed_requests_are_all_served(requests in prop::collection::vec(well_formed(), 1..4), size in 1_usize..300) {
        let sent = requests.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let strict = strict(&sent);
        prop_assert_eq!(strict.len(), requests.len());
        let served = runtime.block_on(served(sent.clone(), size, strict.len()));
        prop_assert_eq!(served, strict, "{:?}", String::from_utf8_lossy(&sent));
    }
}

#[test]
fn a_violation_is_found_inside_other_errors() {
    let inner = std::io::Error::other(Violation::BareLf);
    assert_eq!(violation(&inner), Some(Violation::BareLf));
    assert_eq!(violation(&std::io::Error::other(inner)), Some(Violation::BareLf));
    assert_eq!(violation(&std::io::Error::other("else")), None);
}
