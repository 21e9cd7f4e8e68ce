//! A certificate authority for the tests, and what to do with it on either side.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::temp::TempDir;

/// A root that signs server certificates.
pub(crate) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
}

/// Where an [`Identity`] and its root were written.
#[derive(Clone, Debug)]
pub(crate) struct IdentityFiles {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl TestCa {
    /// A new root, trusted by nobody yet.
    pub(crate) fn new() -> TestCa {
        let mut params = CertificateParams::new(Vec::new()).expect("no names to be wrong");
        params
            .distinguished_name
            .push(DnType::CommonName, "faregate test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        TestCa {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a self-signed root"),
        }
    }

    /// A server certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn loopback(&self) -> Identity {
        self.server(&["localhost", "127.0.0.1"])
    }

    /// A server certificate for these names and addresses. Each call makes another one.
    pub(crate) fn server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params
            .distinguished_name
            .push(DnType::CommonName, "faregate test server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        Identity {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The root's certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A client that trusts this root and offers these protocols by ALPN.
    pub(crate) fn client_config(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("our own root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }

    /// Writes root, certificate and key of `identity` into `dir`, over what is there.
    pub(crate) fn write(&self, identity: &Identity, dir: &TempDir) -> IdentityFiles {
        IdentityFiles {
            ca: dir.write("ca.pem", self.pem()),
            cert: dir.write("cert.pem", &identity.cert_pem),
            key: dir.write("key.pem", &identity.key_pem),
        }
    }
}

impl Identity {
    /// A server that shows this certificate and speaks these protocols by ALPN.
    pub(crate) fn server_config(&self, alpn: &[&str]) -> ServerConfig {
        let certs = CertificateDer::pem_slice_iter(self.cert_pem.as_bytes())
            .collect::<Result<_, _>>()
            .expect("our PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("our PEM");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(certs, key)
            .expect("a key that fits its certificate");
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        config
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::TestCa;
    use crate::rig::within;

    async fn handshake(ca: &TestCa, trusted: &TestCa, name: &'static str) -> Result<String, String> {
        let acceptor = TlsAcceptor::from(Arc::new(ca.loopback().server_config(&["h2", "http/1.1"])));
        let connector = TlsConnector::from(Arc::new(trusted.client_config(&["http/1.1"])));
        let (near, far) = duplex(16 * 1024);
        let server = async {
            let mut stream = acceptor.accept(far).await.map_err(|e| e.to_string())?;
            stream.write_all(b"hello").await.map_err(|e| e.to_string())?;
            stream.shutdown().await.map_err(|e| e.to_string())
        };
        let client = async {
            let name = ServerName::try_from(name).expect("a name");
            let mut stream = connector.connect(name, near).await.map_err(|e| e.to_string())?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut text = String::new();
            stream
                .read_to_string(&mut text)
                .await
                .map_err(|e| e.to_string())?;
            Ok(text)
        };
        let (_, client) = within("a TLS handshake", async { tokio::join!(server, client) }).await;
        client
    }

    #[tokio::test]
    async fn the_root_is_trusted_for_its_names_and_no_other_root_is() {
        let ca = TestCa::new();
        assert_eq!(handshake(&ca, &ca, "localhost").await, Ok("hello".to_owned()));
        assert_eq!(handshake(&ca, &ca, "127.0.0.1").await, Ok("hello".to_owned()));
        assert!(
            handshake(&ca, &ca, "example.com")
                .await
                .unwrap_err()
                .contains("not valid for name")
        );
        assert!(handshake(&ca, &TestCa::new(), "localhost").await.is_err());
    }
}
