//! TLS towards clients: TLS 1.2 or newer, no early data. The certificate's files are read again when they change; where the new ones cannot be used
//! the old ones go on, and it is said so.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// A certificate and its key, as far as they could be read last.
pub struct Tls {
    files: config::Tls,
    /// What it offers by ALPN, the best first.
    protocols: &'static [&'static str],
    current: ArcSwap<ServerConfig>,
    /// What was read last, good or bad: the same is not tried again.
    seen: Mutex<Seen>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// When each of the files was written.
type Seen = [Option<SystemTime>; 2];

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub error: io::Error,
}

impl Tls {
    /// Reads the files. `protocols` are offered by ALPN, the best first.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn read(files: &config::Tls, protocols: &'static [&'static str]) -> Result<Tls, TlsError> {
        let seen = written(files);
        let current = ArcSwap::from_pointee(load(files, protocols)?);
        Ok(Tls {
            files: files.clone(),
            protocols,
            current,
            seen: Mutex::new(seen),
        })
    }

    /// Reads the files again if they were written since; says whether they were. To be called on a timer, off the workers.
    ///
    /// # Errors
    /// They cannot be used; the certificate stays what it was.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = written(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.current.store(Arc::new(load(&self.files, self.protocols)?));
        Ok(true)
    }

    /// For one connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

fn written(files: &config::Tls) -> Seen {
    [&files.cert, &files.key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn load(files: &config::Tls, protocols: &[&str]) -> Result<ServerConfig, TlsError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| TlsError { path, error }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(io::Error::other)
        .map_err(at(&files.cert))?
        .collect();
    let chain = chain.map_err(io::Error::other).map_err(at(&files.cert))?;
    if chain.is_empty() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "has no certificate in it");
        return Err(at(&files.cert)(error));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(io::Error::other)
        .map_err(at(&files.key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
        .map_err(at(&files.cert))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)
        .map_err(at(&files.key))?;
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    Ok(config)
}
