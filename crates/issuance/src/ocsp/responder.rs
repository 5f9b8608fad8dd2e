//! What the responder answers (RFC 6960, 4.2).

use super::{CertificateId, IdHash};
use crate::der::{Writer, oid, tag, write_generalized_time};
use crate::extension as ext;
use crate::read::{CaCertificate, ReadError};
use crate::signer::{Signer, SignerError};
use crate::tbs::{Fields, Sealed};
use koshin_types::{RevocationReason, Rfc3339, Validity};
use std::fmt;
use time::UtcDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is known of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspStatus {
    /// It was issued and is not revoked. Never the answer about a serial number that was not issued.
    Good,
    /// It was revoked, for ever.
    Revoked {
        /// When. Fractions of a second are dropped.
        at: UtcDateTime,
        /// Why. [`RevocationReason::Unspecified`] is expressed by leaving the reason out.
        reason: RevocationReason,
    },
    /// No certificate with this serial number was issued here.
    Unknown,
}

/// The dates of an answer. Fractions of a second are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspEdition {
    /// When the answer is signed.
    pub produced_at: UtcDateTime,
    /// When the status was known to be right.
    pub this_update: UtcDateTime,
    /// Until when the answer may be used; `None` for one that holds for this question only.
    pub next_update: Option<UtcDateTime>,
}

/// A delegated responder (RFC 6960, 4.2.2.2): a certificate for OCSP signing, its key, and the CA it answers for.
pub struct OcspResponder {
    certificate: Vec<u8>,
    signer: Box<dyn Signer>,
    public_key: Vec<u8>,
    validity: Validity,
    /// SHA-1 of the responder's public key, by which answers name who signed them.
    key_hash: Vec<u8>,
    issuer: [(IdHash, Vec<u8>, Vec<u8>); 2],
}

impl OcspResponder {
    /// Puts a responder together: the certificate of the CA it answers for, its own, which that CA issued, and its key.
    ///
    /// # Errors
    ///
    /// [`OcspError`] when the certificates or the key do not belong together, or the responder's is not for OCSP signing.
    pub fn load(ca_certificate_der: &[u8], certificate_der: &[u8], signer: Box<dyn Signer>) -> Result<Self, OcspError> {
        let ca = CaCertificate::read(ca_certificate_der)?;
        let (_, parsed) = X509Certificate::from_der(certificate_der).map_err(|_| OcspError::Certificate)?;
        if !ca.has_issued(&parsed) {
            return Err(OcspError::Issuer);
        }
        let purposes = parsed.extended_key_usage().map_err(|_| OcspError::Certificate)?;
        if !purposes.is_some_and(|purposes| purposes.value.ocsp_signing) {
            return Err(OcspError::Purpose);
        }
        let fields = Sealed::read(certificate_der).and_then(|sealed| Fields::read(sealed.signed));
        let fields = fields.map_err(|_| OcspError::Certificate)?;
        let public_key = signer.algorithm().public_key_in(fields.spki).ok_or(OcspError::Key)?.to_vec();
        if fields.spki != signer.public_key_spki() {
            return Err(OcspError::Key);
        }
        let identity = |hash: IdHash| (hash, hash.digest(ca.subject), hash.digest(ca.public_key()));
        Ok(Self {
            certificate: certificate_der.to_vec(),
            validity: fields.validity().ok_or(OcspError::Certificate)?,
            key_hash: IdHash::Sha1.digest(&public_key),
            issuer: [identity(IdHash::Sha1), identity(IdHash::Sha256)],
            public_key,
            signer,
        })
    }

    /// Whether the question is about a certificate of this responder's CA.
    pub fn answers_for(&self, id: &CertificateId) -> bool {
        self.issuer.iter().any(|(hash, name, key)| {
            id.hash == Some(*hash) && id.issuer_name_hash == *name && id.issuer_key_hash == *key
        })
    }

    /// From when to when the responder's certificate is valid.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Signs one answer to a question: a DER `OCSPResponse` with the status `successful`.
    ///
    /// # Errors
    ///
    /// [`OcspError`] when the dates contradict each other or leave the responder's validity, or the key gives no valid
    /// signature.
    pub fn sign<'i>(
        &self,
        answers: impl IntoIterator<Item = (&'i CertificateId, OcspStatus)>,
        edition: OcspEdition,
        nonce: Option<&[u8]>,
    ) -> Result<Vec<u8>, OcspError> {
        self.check(edition)?;
        let mut writer = Writer::with_capacity(512);
        writer.sequence(|w| {
            w.nest(tag::context_constructed(2), |w| w.primitive(tag::OCTET_STRING, &self.key_hash));
            write_generalized_time(w, edition.produced_at);
            w.sequence(|w| answers.into_iter().for_each(|(id, status)| write_single(w, id, status, edition)));
            if let Some(nonce) = nonce {
                w.nest(tag::context_constructed(1), |w| w.sequence(|w| ext::ocsp_nonce(w, nonce)));
            }
        });
        let data = writer.finish();
        let algorithm = self.signer.algorithm();
        let signature = self.signer.sign(&data)?;
        if !algorithm.verifies(&self.public_key, &data, &signature) {
            return Err(OcspError::Signature);
        }
        let mut writer = Writer::with_capacity(data.len() + self.certificate.len() + signature.len() + 96);
        writer.sequence(|w| {
            w.primitive(tag::ENUMERATED, &[0]);
            w.nest(tag::context_constructed(0), |w| {
                w.sequence(|w| {
                    w.oid(oid::OCSP_BASIC);
                    w.nest(tag::OCTET_STRING, |w| {
                        w.sequence(|w| {
                            w.raw(&data);
                            algorithm.write_identifier(w);
                            w.bit_string(&signature);
                            w.nest(tag::context_constructed(0), |w| w.sequence(|w| w.raw(&self.certificate)));
                        });
                    });
                });
            });
        });
        Ok(writer.finish())
    }

    /// An answer is never usable after its responder's certificate has ended.
    fn check(&self, edition: OcspEdition) -> Result<(), OcspError> {
        let OcspEdition { produced_at, this_update, next_update } = edition;
        if this_update > produced_at
            || next_update.is_some_and(|next| next.unix_timestamp() <= this_update.unix_timestamp())
        {
            return Err(OcspError::Dates { this_update, next_update });
        }
        let last = next_update.unwrap_or(produced_at);
        if !self.validity.contains(produced_at) || !self.validity.contains(last) {
            return Err(OcspError::Ended { validity: self.validity, until: last });
        }
        Ok(())
    }
}

impl fmt::Debug for OcspResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OcspResponder").field("validity", &self.validity).finish_non_exhaustive()
    }
}

fn write_single(writer: &mut Writer, id: &CertificateId, status: OcspStatus, edition: OcspEdition) {
    writer.sequence(|w| {
        w.raw(&id.der);
        match status {
            OcspStatus::Good => w.primitive(tag::context(0), &[]),
            OcspStatus::Revoked { at, reason } => w.nest(tag::context_constructed(1), |w| {
                write_generalized_time(w, at);
                if reason != RevocationReason::Unspecified {
                    w.nest(tag::context_constructed(0), |w| w.primitive(tag::ENUMERATED, &[reason.code()]));
                }
            }),
            OcspStatus::Unknown => w.primitive(tag::context(2), &[]),
        }
        write_generalized_time(w, edition.this_update);
        if let Some(next) = edition.next_update {
            w.nest(tag::context_constructed(0), |w| write_generalized_time(w, next));
        }
    });
}

/// An answer without a status, which is never signed (RFC 6960, 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspFailure {
    /// The question could not be read.
    MalformedRequest,
    /// The responder's state is not one in which it may answer.
    InternalError,
    /// It cannot answer now: its key is not to be reached, for example.
    TryLater,
    /// The question is about another CA's certificates (RFC 5019, 2.2.3).
    Unauthorized,
}

impl OcspFailure {
    /// The DER `OCSPResponse`.
    pub const fn der(self) -> [u8; 5] {
        let code = match self {
            Self::MalformedRequest => 1,
            Self::InternalError => 2,
            Self::TryLater => 3,
            Self::Unauthorized => 6,
        };
        [tag::SEQUENCE, 3, tag::ENUMERATED, 1, code]
    }
}

/// Why there is no responder, or no answer of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspError {
    /// The CA's certificate cannot be used.
    #[error("the CA's certificate cannot be used")]
    Ca(#[from] ReadError),
    /// The responder's certificate cannot be read.
    #[error("the responder's certificate cannot be read")]
    Certificate,
    /// The responder's certificate was not issued by the CA it is to answer for.
    #[error("the responder's certificate was not issued by the CA it is to answer for")]
    Issuer,
    /// extKeyUsage lacks OCSP signing (RFC 6960, 4.2.2.2).
    #[error("the responder's certificate is not for OCSP signing")]
    Purpose,
    /// The responder's certificate and key do not belong together.
    #[error("the responder's certificate and key do not belong together")]
    Key,
    /// The dates of the answer contradict each other.
    #[error("an answer of {} cannot be used until {}", Rfc3339(*this_update), next_update.map_or_else(String::new, |next| Rfc3339(next).to_string()))]
    Dates {
        /// The answer's thisUpdate.
        this_update: UtcDateTime,
        /// The answer's nextUpdate.
        next_update: Option<UtcDateTime>,
    },
    /// The responder's certificate is not valid for as long as the answer.
    #[error("the responder's certificate is valid from {} to {}, the answer until {}", Rfc3339(validity.not_before()), Rfc3339(validity.not_after()), Rfc3339(*until))]
    Ended {
        /// The responder's validity.
        validity: Validity,
        /// Until when the answer may be used.
        until: UtcDateTime,
    },
    /// The key gave no signature.
    #[error("the answer was not signed")]
    Signer(#[from] SignerError),
    /// The key gave a signature that the responder's public key does not verify.
    #[error("the signature does not verify with the responder's public key")]
    Signature,
}

impl OcspError {
    /// Whether a retry may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Signer(error) if error.is_transient())
    }
}
