//! TLS towards upstreams.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// Connectors that differ in what they offer by ALPN.
#[derive(Clone)]
pub(super) struct Connectors {
    /// h2 and http/1.1.
    pub(super) any: TlsConnector,
    /// http/1.1 alone, for what HTTP/2 has no way to carry.
    pub(super) http1: TlsConnector,
}

/// Connectors that trust the certificates of a PEM file, or the usual public ones. TLS 1.2 or newer.
pub(super) fn connectors(ca: Option<&Path>) -> io::Result<Connectors> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
            for certificate in certificates {
                roots
                    .add(certificate.map_err(io::Error::other)?)
                    .map_err(io::Error::other)?;
            }
            if roots.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "has no certificate in it",
                ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut any = config.clone();
    any.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Connectors {
        any: TlsConnector::from(Arc::new(any)),
        http1: TlsConnector::from(Arc::new(config)),
    })
}
