//! A well-behaved HTTP client: HTTP/1.1, HTTP/2 by prior knowledge, TLS with ALPN. Each request takes a
//! connection of its own, unless made on an [`HttpConn`].

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::body::RigBody;
use super::tls::TestCa;
use super::within;

mod answer;
pub(crate) use answer::{Answer, Event};

/// Why a request got no answer: connecting, sending, or reading its head failed.
pub(crate) type ClientError = Box<dyn std::error::Error + Send + Sync>;

/// Where and how to connect, and the headers that every request gets.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    addr: SocketAddr,
    http2: bool,
    tls: Option<Arc<rustls::ClientConfig>>,
    headers: HeaderMap,
}

/// One open connection.
#[derive(Clone, Debug)]
pub(crate) struct HttpConn {
    client: HttpClient,
    sender: Arc<tokio::sync::Mutex<Sender>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<RigBody>),
    Http2(http2::SendRequest<RigBody>),
}

impl HttpClient {
    /// HTTP/1.1 without TLS.
    pub(crate) fn new(addr: SocketAddr) -> HttpClient {
        HttpClient {
            addr,
            http2: false,
            tls: None,
            headers: HeaderMap::new(),
        }
    }

    /// HTTP/2: by prior knowledge, with TLS by ALPN.
    pub(crate) fn http2(mut self) -> HttpClient {
        self.http2 = true;
        self
    }

    /// TLS, trusting this root alone; the server must show `localhost`.
    pub(crate) fn tls(mut self, ca: &TestCa) -> HttpClient {
        self.tls = Some(Arc::new(ca.client_config(&[])));
        self
    }

    /// A header for every request.
    pub(crate) fn header(mut self, name: &str, value: &str) -> HttpClient {
        put(&mut self.headers, name, value);
        self
    }

    /// `Authorization: Bearer` for every request.
    pub(crate) fn bearer(self, key: &str) -> HttpClient {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Begins a GET.
    pub(crate) fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// Begins a POST with this body.
    pub(crate) fn post(&self, target: &str, body: impl Into<Bytes>) -> RequestBuilder {
        self.request(Method::POST, target).body(RigBody::whole(body))
    }

    /// Begins a POST of JSON.
    pub(crate) fn post_json(&self, target: &str, json: &serde_json::Value) -> RequestBuilder {
        self.post(target, json.to_string())
            .header("content-type", "application/json")
    }

    /// Begins a request on a connection of its own.
    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        RequestBuilder::new(Via::Fresh(self.clone()), self.clone(), method, target)
    }

    /// Opens a connection to keep.
    #[track_caller]
    pub(crate) fn connect(&self) -> impl Future<Output = HttpConn> + use<> {
        let (client, addr) = (self.clone(), self.addr);
        let connect = async move {
            client
                .try_connect()
                .await
                .unwrap_or_else(|e| panic!("cannot connect to {addr}: {e}"))
        };
        within("a connection", connect)
    }

    /// Opens a connection to keep, or says why not.
    pub(crate) async fn try_connect(&self) -> Result<HttpConn, ClientError> {
        let tcp = TcpStream::connect(self.addr).await?;
        tcp.set_nodelay(true)?;
        let sender = match &self.tls {
            None => self.handshake(tcp).await?,
            Some(config) => {
                let mut config = rustls::ClientConfig::clone(config);
                config.alpn_protocols = vec![if self.http2 {
                    b"h2".to_vec()
                } else {
                    b"http/1.1".to_vec()
                }];
                let name = ServerName::try_from("localhost").expect("a valid name");
                self.handshake(TlsConnector::from(Arc::new(config)).connect(name, tcp).await?)
                    .await?
            }
        };
        Ok(HttpConn {
            client: self.clone(),
            sender: Arc::new(tokio::sync::Mutex::new(sender)),
        })
    }

    async fn handshake<S>(&self, stream: S) -> Result<Sender, ClientError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        // The connection's own errors show on the requests that it carries.
        if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(async move { drop(connection.await) });
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(async move { drop(connection.with_upgrades().await) });
            Ok(Sender::Http1(sender))
        }
    }
}

impl HttpConn {
    /// Begins a request on this connection.
    pub(crate) fn request(&self, method: Method, target: &str) -> RequestBuilder {
        RequestBuilder::new(Via::Conn(self.clone()), self.client.clone(), method, target)
    }

    /// Begins a GET on this connection.
    pub(crate) fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// Begins a POST on this connection.
    pub(crate) fn post(&self, target: &str, body: impl Into<Bytes>) -> RequestBuilder {
        self.request(Method::POST, target).body(RigBody::whole(body))
    }

    async fn send(&self, mut request: Request<RigBody>) -> Result<Answer, ClientError> {
        let mut sender = self.sender.lock().await;
        let response = match &mut *sender {
            // One at a time: the lock is held until the head has come.
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(shared) => {
                let mut own = shared.clone();
                drop(sender);
                *request.version_mut() = Version::HTTP_2;
                own.ready().await?;
                own.send_request(request).await?
            }
        };
        Ok(Answer::new(response))
    }
}

#[derive(Debug)]
enum Via {
    Fresh(HttpClient),
    Conn(HttpConn),
}

/// A request in the making.
#[derive(Debug)]
pub(crate) struct RequestBuilder {
    via: Via,
    request: Request<RigBody>,
}

impl RequestBuilder {
    fn new(via: Via, client: HttpClient, method: Method, target: &str) -> RequestBuilder {
        let scheme = if client.tls.is_some() { "https" } else { "http" };
        let host = client.addr.to_string();
        let uri = if client.http2 {
            format!("{scheme}://{host}{target}")
        } else {
            target.to_owned()
        };
        let mut request = Request::new(RigBody::whole(Bytes::new()));
        *request.method_mut() = method;
        *request.uri_mut() = uri
            .parse()
            .unwrap_or_else(|e| panic!("{uri}: {e}; use RawClient to send what is not a URI"));
        *request.headers_mut() = client.headers;
        if !client.http2 && !request.headers().contains_key("host") {
            put(request.headers_mut(), "host", &host);
        }
        RequestBuilder { via, request }
    }

    /// Sets one header, over an earlier one of that name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> RequestBuilder {
        put(self.request.headers_mut(), name, value);
        self
    }

    /// Adds one header beside others of that name.
    pub(crate) fn also_header(mut self, name: &str, value: &str) -> RequestBuilder {
        self.request
            .headers_mut()
            .append(header_name(name), header_value(value));
        self
    }

    /// `Authorization: Bearer`.
    pub(crate) fn bearer(self, key: &str) -> RequestBuilder {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// The body; see [`RigBody::stepped`] for one that is sent piece by piece.
    pub(crate) fn body(mut self, body: RigBody) -> RequestBuilder {
        *self.request.body_mut() = body;
        self
    }

    /// Sends it and waits for the answer's head; panics when there is none in time.
    #[track_caller]
    pub(crate) fn send(self) -> impl Future<Output = Answer> {
        let what = format!("{} {}", self.request.method(), self.request.uri());
        let send = async move {
            self.try_send()
                .await
                .unwrap_or_else(|e| panic!("no answer: {e} ({e:?})"))
        };
        within(format!("an answer to {what}"), send)
    }

    /// Sends it and waits for the answer's head, or says why there is none. Not bounded.
    pub(crate) async fn try_send(self) -> Result<Answer, ClientError> {
        match self.via {
            Via::Fresh(client) => client.try_connect().await?.send(self.request).await,
            Via::Conn(conn) => conn.send(self.request).await,
        }
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    headers.insert(header_name(name), header_value(value));
}

fn header_name(name: &str) -> HeaderName {
    name.parse()
        .unwrap_or_else(|e| panic!("header name {name:?}: {e}; use RawClient to send it"))
}

fn header_value(value: &str) -> HeaderValue {
    value
        .parse()
        .unwrap_or_else(|e| panic!("header value {value:?}: {e}; use RawClient to send it"))
}

#[cfg(test)]
mod tests;
