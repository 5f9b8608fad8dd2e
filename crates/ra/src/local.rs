//! A CA in this process.

use std::sync::Arc;

use koshin_issuance::{
    Ca, Certificate, CertificationRequest, IssueError, IssuerCertificate, PrepareError, Prepared, Recorded,
    SignerError, SubjectName,
};
use koshin_types::{SerialNumber, Validity};

use crate::room::{Full, Room};

/// A CA in this process, whose ledger is the registry: what it will sign is stored in the commit that records the request.
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalAuthority {
    ca: Arc<Ca>,
    issuer: Arc<IssuerCertificate>,
    key: KeyPlace,
}

/// Where the CA's key is.
#[derive(Debug, Clone)]
enum KeyPlace {
    /// It answers at once: asked where the work is.
    Memory,
    /// It may let its caller wait for seconds: asked on threads that may wait.
    Token(Room),
}

impl LocalAuthority {
    /// How many signatures of a token are waited for at once.
    pub const TOKEN_AT_ONCE: usize = 16;
    /// How many callers may wait for a token's signature; further ones are told to come again.
    pub const TOKEN_QUEUE: usize = 256;

    /// A CA whose key is in memory and answers at once.
    pub fn new(ca: Arc<Ca>) -> Self {
        let issuer = Arc::new(IssuerCertificate::from(&*ca));
        Self { ca, issuer, key: KeyPlace::Memory }
    }

    /// A CA whose key is in a token or elsewhere, and may let its caller wait: no thread of the runtime does.
    pub fn with_token(ca: Arc<Ca>) -> Self {
        let room = Room::new(Self::TOKEN_AT_ONCE, Self::TOKEN_QUEUE);
        Self { key: KeyPlace::Token(room), ..Self::new(ca) }
    }

    /// The CA's certificate.
    pub fn issuer(&self) -> &IssuerCertificate {
        &self.issuer
    }

    /// What would be signed. A mail address that fits into no certificate is left out: nobody is kept from one by that.
    pub(crate) fn prepare(
        &self,
        request: &CertificationRequest,
        subject: &SubjectName,
        mail: Option<&str>,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Prepared, PrepareError> {
        let prepare = |mail| self.ca.prepare(request.clone(), subject, mail, serial, validity);
        match prepare(mail) {
            Err(PrepareError::Mail(_)) => prepare(None),
            other => other,
        }
    }

    /// Signs what is recorded. Who gives up waiting for a token leaves the record as it is.
    pub(crate) async fn sign(&self, recorded: Recorded) -> Result<Certificate, IssueError> {
        match &self.key {
            KeyPlace::Memory => self.ca.issue(recorded),
            KeyPlace::Token(room) => {
                let ca = Arc::clone(&self.ca);
                room.run(move || ca.issue(recorded)).await.unwrap_or_else(|Full| {
                    Err(SignerError::Unavailable { detail: "too many signatures wait for it".into() }.into())
                })
            }
        }
    }
}
