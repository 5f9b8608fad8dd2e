//! The verifier that lets nobody through the handshake but clients with a certificate that holds now.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{GreetingVerifier, Now, Trust};

/// A [`GreetingVerifier`] whose judgement is asked in the handshake: [`GreetingVerifier::demanded`].
pub struct DemandingVerifier {
    judge: Arc<GreetingVerifier>,
    now: Now,
}

impl DemandingVerifier {
    pub(crate) const fn new(judge: Arc<GreetingVerifier>, now: Now) -> Self {
        Self { judge, now }
    }
}

impl ClientCertVerifier for DemandingVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.judge.root_hint_subjects()
    }

    /// The instant given here is the system's; the edge's own counts.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge.verify_client_cert(end_entity, intermediates, now)?;
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let refused = match self.judge.judge(&chain, (self.now)()).peer().map(|peer| peer.trust) {
            Some(Trust::Verified) => return Ok(ClientCertVerified::assertion()),
            Some(Trust::Expired) => CertificateError::Expired,
            Some(Trust::NotYetValid) => CertificateError::NotValidYet,
            Some(Trust::Untrusted { .. }) | None => CertificateError::UnknownIssuer,
        };
        Err(Error::InvalidCertificate(refused))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

impl fmt::Debug for DemandingVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemandingVerifier").field("judge", &self.judge).finish_non_exhaustive()
    }
}
