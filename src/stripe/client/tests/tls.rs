//! Over TLS, to whom the certificate says.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A server for `name`, and the certificate to believe.
async fn server(name: &str) -> (Server, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start_with(vec![Step::json(200, "{}"), Step::json(200, "{}")], Some(acceptor)).await;
    (server, certificate)
}

fn secure(port: u16, trusted: Vec<CertificateDer<'static>>) -> Client {
    let mut options = options(port);
    options.api_base.tls = true;
    options.trusted = trusted;
    options.tries = 1;
    Client::new(options).unwrap()
}

#[tokio::test]
async fn calls_go_over_tls_to_who_the_certificate_names() {
    let (server, certificate) = server("127.0.0.1").await;
    let client = secure(server.port, vec![certificate]);
    client.call(&read()).await.unwrap();
    client.call(&read()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[1].connection, 0);
}

#[tokio::test]
async fn the_key_is_sent_to_nobody_whose_certificate_is_not_believed() {
    let (stranger, _) = server("127.0.0.1").await;
    let (other, certificate) = server("api.stripe.com").await;
    for (server, trusted) in [(&stranger, Vec::new()), (&other, vec![certificate])] {
        let error = secure(server.port, trusted).call(&read()).await.unwrap_err();
        assert!(
            error.is_unknown() && error.to_string().contains("certificate"),
            "{error}"
        );
        assert_eq!(server.seen().len(), 0);
    }
}
