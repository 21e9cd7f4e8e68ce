//! What the configuration needs of the machine: certificates and keys that can be read. Apart from parsing, which looks at nothing.

use std::path::Path;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::problem::{Problem, Problems};
use super::secret::Files;
use super::{Config, Store, Tls};

const PEM_MAX: usize = 4 * 1024 * 1024;

impl Config {
    /// Reads every certificate and key that is named, and says which cannot be used. That a key belongs to its certificate is seen when both are loaded.
    pub fn check_files(&self, files: Files<'_>) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut check = |key: String, path: &Path, usable: fn(&[u8]) -> Result<(), &'static str>| {
            if let Err((what, advice)) = look(path, files, usable) {
                let line = self.places.0.get(&key).copied().unwrap_or(1);
                problems.push(Problem {
                    line,
                    key,
                    what,
                    advice,
                });
            }
        };
        for (section, tls) in [("server", &self.server.tls), ("admin", &self.admin.tls)] {
            if let Some(Tls { cert, key }) = tls {
                check(format!("{section}.tls.cert"), cert, has_certificate);
                check(format!("{section}.tls.key"), key, has_key);
            }
        }
        for (name, upstream) in &self.upstreams {
            if let Some(ca) = &upstream.ca {
                let key = super::section::join(&super::section::join("upstreams", name), "ca");
                check(key, ca, has_certificate);
            }
        }
        if let Store::Redis(redis) = &self.ledger.store
            && let Some(ca) = &redis.ca
        {
            check("ledger.ca".to_owned(), ca, has_certificate);
        }
        Problems::new(problems).map_or(Ok(()), Err)
    }
}

fn look(
    path: &Path,
    files: Files<'_>,
    usable: fn(&[u8]) -> Result<(), &'static str>,
) -> Result<(), (String, String)> {
    let shown = path.display();
    let bytes = files(path).map_err(|error| {
        (
            format!("the file {shown} cannot be read: {error}"),
            "check the path, which starts from the folder that faregate runs in, and that its user may read it".to_owned(),
        )
    })?;
    if bytes.len() > PEM_MAX {
        return Err((
            format!("the file {shown} is longer than 4 MiB"),
            "is it the right one?".to_owned(),
        ));
    }
    usable(&bytes).map_err(|what| {
        (
            format!("the file {shown} {what}"),
            "give a PEM file: text with -----BEGIN ...----- lines".to_owned(),
        )
    })
}

fn has_certificate(bytes: &[u8]) -> Result<(), &'static str> {
    let mut certificates = CertificateDer::pem_slice_iter(bytes);
    match certificates.next() {
        None => Err("has no certificate in it"),
        Some(Err(_)) => Err("is damaged"),
        Some(Ok(_)) if certificates.any(|certificate| certificate.is_err()) => Err("is damaged"),
        Some(Ok(_)) => Ok(()),
    }
}

fn has_key(bytes: &[u8]) -> Result<(), &'static str> {
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(_) => Ok(()),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => Err("has no private key in it"),
        Err(_) => Err("is damaged"),
    }
}
