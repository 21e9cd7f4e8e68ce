//! A client of the admin API.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::Failure;

/// What must be encoded in a segment of a path.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'?')
    .add(b'<')
    .add(b'>');

/// Proving the books of a large ledger takes its time.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A client of one admin listener.
pub(crate) struct Client {
    /// `host:port`.
    authority: String,
    token: Option<String>,
    /// For `https://`, with the name that the certificate must have.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// `ca`: the certificates to trust instead of the usual ones.
    pub(crate) fn new(url: &str, token: Option<&str>, ca: Option<&Path>) -> Result<Client, Failure> {
        let wrong = |why: &str| {
            Failure::Failed(format!(
                "--admin {url:?}: {why}; it is like http://127.0.0.1:9091 or https://gate.example:9091"
            ))
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong("not a URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("no host"))?;
        let (tls, port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => {
                let host = authority.host().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(|_| wrong("no name of a host"))?;
                (Some((connector(ca)?, name)), 443)
            }
            _ => return Err(wrong("the admin listener speaks http or https")),
        };
        let port = authority.port_u16().unwrap_or(port);
        let authority = format!("{}:{port}", authority.host());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Client {
            authority,
            token: token.map(str::to_owned),
            tls,
            runtime,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None)
    }

    /// All pages of a list, joined under `items`, at most `limit` items.
    pub(crate) fn list(&self, path: &str, items: &str, limit: usize) -> Result<Value, Failure> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = limit.saturating_sub(all.len()).clamp(1, 500);
            let mut query = format!("{path}?limit={page}");
            if let Some(cursor) = &cursor {
                query = format!("{query}&cursor={}", utf8_percent_encode(cursor, SEGMENT));
            }
            let mut answer = self.get(&query)?;
            if let Value::Array(found) = answer[items].take() {
                all.extend(found);
            }
            match answer["next"].as_str() {
                Some(next) if all.len() < limit => cursor = Some(next.to_owned()),
                next => {
                    let next = next.map(str::to_owned);
                    return Ok(serde_json::json!({ items: all, "next": next }));
                }
            }
        }
    }

    fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let exchange = async { tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await };
        match self.runtime.block_on(exchange) {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Failed(
                "the proxy did not answer within an hour".to_owned(),
            )),
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::Failed(format!(
                "cannot reach the admin listener at {}: {error}. Is `faregate serve` running? --admin or FAREGATE_ADMIN_URL says where",
                self.authority
            ))
        };
        let stream = tokio::net::TcpStream::connect(&self.authority)
            .await
            .map_err(|error| unreachable(&error))?;
        let mut sender = match &self.tls {
            None => speak(stream).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                speak(stream.map_err(|error| unreachable(&error))?).await
            }
        }
        .map_err(|error| unreachable(&error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let bytes = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| unreachable(&error))?
            .to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        let mut what = value["detail"]
            .as_str()
            .unwrap_or("the proxy answered without saying why")
            .to_owned();
        for problem in value["problems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            what = format!(
                "{}\n{problem}",
                what.trim_start_matches("the proxy answered without saying why")
            );
        }
        Err(Failure::Failed(format!("{} ({})", what.trim(), status.as_u16())))
    }
}

/// Begins to speak HTTP on a connection.
async fn speak<S>(stream: S) -> hyper::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong with it shows in the answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// TLS that trusts the certificates of a file, or the usual public ones.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let wrong = |why: &dyn std::fmt::Display| {
                Failure::Failed(format!("--admin-ca {}: {why}; it is a PEM file", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"no certificate is in it"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// `/admin/v1/accounts/{account}` and what follows it, each part encoded.
pub(crate) fn account_path(account: &str, rest: &[&str]) -> String {
    let mut path = format!("/admin/v1/accounts/{}", utf8_percent_encode(account, SEGMENT));
    for part in rest {
        path.push('/');
        path.extend(utf8_percent_encode(part, SEGMENT));
    }
    path
}
