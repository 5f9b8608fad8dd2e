//! The TLS configuration of a listener.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{DemandingVerifier, GreetingVerifier};

/// Makes the configuration of one listener: TLS 1.2 and 1.3 with ring, HTTP/2 and HTTP/1.1, no resumption of any kind.
///
/// A resumed session would carry over the client certificate as it was judged at its first handshake, past its
/// revocation; so there are no tickets, no session identifiers and no early data. Renegotiation and post-handshake
/// authentication do not exist, so that the certificate of a connection never changes under HTTP/2 (RFC 8740).
///
/// # Errors
///
/// [`TlsConfigError`] when the chain is empty or unreadable, or the key is unusable or another certificate's.
pub fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: Option<Arc<GreetingVerifier>>,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    configure(chain, key, client_auth.map(|verifier| verifier as Arc<dyn ClientCertVerifier>))
}

/// As [`tls_config`], for a listener that nobody reaches without a certificate that holds now.
///
/// # Errors
///
/// [`TlsConfigError`] when the chain is empty or unreadable, or the key is unusable or another certificate's.
pub fn tls_config_demanding(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: Arc<DemandingVerifier>,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    configure(chain, key, Some(client_auth))
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_auth: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsConfigError::Versions)?;
    let builder = match client_auth {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsConfigError::Certificate)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a listener has no TLS configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The provider cannot speak both versions.
    #[error("TLS 1.2 and 1.3 cannot be offered")]
    Versions(#[source] rustls::Error),
    /// The chain or the key cannot be used.
    #[error("the server's certificate or key cannot be used")]
    Certificate(#[source] rustls::Error),
}
