//! Certificates, good and bad.

use std::sync::Arc;

use tokio_rustls::{TlsAcceptor, rustls};

pub(super) struct Identity {
    pub(super) pem: Vec<u8>,
    certificate: rustls::pki_types::CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    pub(super) fn of(host: &str) -> Self {
        Self::until(host, 2100)
    }

    /// A certificate that ends with the first day of a year.
    pub(super) fn until(host: &str, year: i32) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { pem: certificate.pem().into_bytes(), certificate: certificate.der().clone(), key: key.serialize_der() }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let key = rustls::pki_types::PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config).into()
    }
}
