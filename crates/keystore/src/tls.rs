//! A stored key as the key of a TLS client.

use std::sync::Arc;

use rustls::{
    SignatureAlgorithm, SignatureScheme,
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer},
    sign::{CertifiedKey, Signer, SigningKey},
};

use crate::{KeyHandle, StoredKey};

impl StoredKey {
    /// The key with its certificate and what lies between that and a trust anchor, end entity first, as rustls resolves
    /// client certificates.
    pub fn certified(&self, chain: Vec<Vec<u8>>) -> CertifiedKey {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        CertifiedKey::new(chain, Arc::new(self.clone()))
    }
}

impl SigningKey for StoredKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = || -> Box<dyn Signer> { Box::new(TlsSigner(self.handle())) };
        offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(signer)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.spki().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

#[derive(Debug)]
struct TlsSigner(Arc<dyn KeyHandle>);

impl Signer for TlsSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|error| rustls::Error::Other(rustls::OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
