//! The issuing CA.

use crate::ceremony::Parent;
use crate::der::Writer;
use crate::extension as ext;
use crate::issue::{Certificate, Intent, Prepared, Recorded};
use crate::lint::{self, Issuer, LintFailure};
use crate::name::{self, MailError, SubjectName};
use crate::profile::{MailName, Profile};
use crate::read::{CaCertificate, ReadError};
use crate::request::{CertificationRequest, KeyKind, fingerprint};
use crate::signer::{Signer, SignerError};
use crate::tbs::{Fields, Sealed, Tbs, seal};
use koshin_types::{Fingerprint, SerialNumber, Validity};
use std::fmt;
use time::UtcDateTime;

/// An issuing CA: its certificate, its key and the profile of what it issues.
///
/// It keeps no state and reads no clock. Serial numbers, instants and the record of what was issued are its caller's.
pub struct Ca {
    certificate: Vec<u8>,
    chain: Vec<Vec<u8>>,
    pub(crate) signer: Box<dyn Signer>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) issuer: Issuer,
    common_name: String,
    organization: Option<String>,
    own_keys: Vec<Fingerprint>,
    profile: Profile,
    constant: Constant,
}

/// Extensions that are the same in every certificate, encoded once.
struct Constant {
    before_mail: Vec<u8>,
    before_key: Vec<u8>,
    after_key: Vec<u8>,
}

impl Ca {
    /// Puts a CA together.
    ///
    /// `chain` holds the certificates above the issuing CA's, the next one first; it may end below the root, or be empty.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the certificate is not that of a CA, does not belong to the signer's key, or the chain is none.
    pub fn load(
        certificate_der: &[u8],
        chain: &[Vec<u8>],
        signer: Box<dyn Signer>,
        profile: Profile,
    ) -> Result<Self, LoadError> {
        let own = CaCertificate::read(certificate_der).map_err(|source| LoadError::Certificate { above: 0, source })?;
        let (of_certificate, of_signer) = (fingerprint(own.spki), fingerprint(signer.public_key_spki()));
        if of_certificate != of_signer {
            return Err(LoadError::Key { of_certificate, of_signer });
        }
        let public_key = signer.algorithm().public_key_in(own.spki).ok_or(LoadError::Algorithm)?.to_vec();
        let mut own_keys = vec![of_certificate];
        let mut child = own.clone();
        for (der, above) in chain.iter().zip(1..) {
            let parent = CaCertificate::read(der).map_err(|source| LoadError::Certificate { above, source })?;
            if !child.is_issued_by(&parent) {
                return Err(LoadError::Chain { above });
            }
            own_keys.push(fingerprint(parent.spki));
            child = parent;
        }
        let constant = Constant {
            before_mail: Writer::collect(|w| ext::authority_key_identifier(w, &own.key_identifier)),
            before_key: Writer::collect(|w| {
                ext::key_usage(w, ext::DIGITAL_SIGNATURE);
                ext::extended_key_usage(w, profile.purposes.iter().map(Vec::as_slice));
                ext::crl_distribution_points(w, &profile.crl_urls);
            }),
            after_key: Writer::collect(|w| {
                ext::basic_constraints_end_entity(w);
                ext::certificate_policies(w, &profile.policies, profile.cps_url.as_deref());
                ext::authority_information_access(w, profile.ocsp_url.as_deref(), profile.ca_issuers_url.as_deref());
            }),
        };
        Ok(Self {
            certificate: certificate_der.to_vec(),
            chain: chain.to_vec(),
            public_key,
            issuer: Issuer::new(own.subject, &own.key_identifier, own.validity, signer.algorithm()),
            common_name: own.common_name,
            organization: own.organization,
            own_keys,
            signer,
            profile,
            constant,
        })
    }

    /// Applies the profile and makes the bytes to be signed.
    ///
    /// Of the request only the public key is used. `mail` becomes the rfc822Name, if the profile writes one. Everything else comes from the registry
    /// (`subject`) and from the caller's policy (`serial`, `validity`).
    ///
    /// # Errors
    ///
    /// [`PrepareError`]; nothing was promised and the serial number may be used again.
    #[expect(clippy::needless_pass_by_value, reason = "one request becomes one certificate: it is used up here")]
    pub fn prepare(
        &self,
        request: CertificationRequest,
        subject: &SubjectName,
        mail: Option<&str>,
        serial: SerialNumber,
        validity: Validity,
    ) -> Result<Prepared, PrepareError> {
        if self.own_keys.contains(&request.spki_fingerprint()) {
            return Err(PrepareError::OwnKey);
        }
        if !self.profile.keys.takes(request.key_kind()) {
            return Err(PrepareError::KeyKind { kind: request.key_kind() });
        }
        if let Some(longest) = self.profile.longest.filter(|longest| validity.end() - validity.not_before() > *longest)
        {
            return Err(PrepareError::TooLong { validity, longest_days: longest.whole_days() });
        }
        if validity.not_after() > self.not_after() || validity.not_before() < self.issuer.validity.not_before() {
            return Err(PrepareError::BeyondCa { validity, ca: self.issuer.validity });
        }
        let mail = mail.filter(|_| self.profile.mail_name == MailName::Written);
        mail.map_or(Ok(()), name::check_mail)?;
        let fields = Tbs {
            serial: &serial,
            algorithm: self.signer.algorithm(),
            issuer: &self.issuer.name,
            validity: &validity,
            spki: request.spki_der(),
        };
        let tbs = fields.write(
            |w| subject.write_in(w, self.profile.country.as_ref(), self.profile.unit.as_ref()),
            |w| {
                w.raw(&self.constant.before_mail);
                if let Some(mail) = mail {
                    ext::subject_alternative_names(w, 1, [mail]);
                }
                w.raw(&self.constant.before_key);
                ext::subject_key_identifier(w, &ext::key_identifier(request.public_key()));
                w.raw(&self.constant.after_key);
            },
        );
        lint::check(&tbs, &self.issuer)?;
        Ok(Prepared(Intent { tbs, serial, validity, spki_fingerprint: request.spki_fingerprint() }))
    }

    /// Signs recorded bytes.
    ///
    /// The bytes are linted once more and compared with serial number, validity and key of the record; they are signed as
    /// they are; the signature is verified with the CA's public key; and the finished certificate is read again and has to
    /// hold these bytes.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; no certificate came into being. The record may be restored and signed again when
    /// [`IssueError::is_transient`] says so.
    pub fn issue(&self, recorded: Recorded) -> Result<Certificate, IssueError> {
        let Recorded(intent) = recorded;
        let fields = lint::check(&intent.tbs, &self.issuer)?;
        intent.compare(&fields).map_err(|field| IssueError::Differs { field })?;
        let signature = self.signer.sign(&intent.tbs)?;
        if !self.signer.algorithm().verifies(&self.public_key, &intent.tbs, &signature) {
            return Err(IssueError::Signature);
        }
        let der = seal(&intent.tbs, self.signer.algorithm(), &signature);
        self.compare(&der, &intent, &signature).map_err(|field| IssueError::Differs { field })?;
        let Intent { serial, validity, spki_fingerprint, .. } = intent;
        Ok(Certificate { fingerprint: fingerprint(&der), der, serial, validity, spki_fingerprint })
    }

    /// Whether the key can be reached and is the certificate's: it signs a sentence that is no certificate, list or answer.
    ///
    /// # Errors
    ///
    /// [`IssueError::Signer`], or [`IssueError::Signature`] when another key signed.
    pub fn try_key(&self) -> Result<(), IssueError> {
        const SENTENCE: &[u8] = b"koshin: this signature shows that the key can be reached, and nothing else";
        let signature = self.signer.sign(SENTENCE)?;
        let verified = self.signer.algorithm().verifies(&self.public_key, SENTENCE, &signature);
        if verified { Ok(()) } else { Err(IssueError::Signature) }
    }

    /// Names the first part of a finished certificate that is not the recorded one.
    ///
    /// The bytes decide. Fields are looked at only to say where they differ.
    fn compare(&self, der: &[u8], intent: &Intent, signature: &[u8]) -> Result<(), &'static str> {
        let sealed = Sealed::read(der).map_err(|_| "structure")?;
        if sealed.algorithm != self.issuer.algorithm || sealed.signature != signature {
            return Err("signature");
        }
        if sealed.signed == intent.tbs {
            return Ok(());
        }
        let fields = Fields::read(sealed.signed).map_err(|_| "structure")?;
        intent.compare(&fields)?;
        Err(if fields.issuer == self.issuer.name { "subject or extension list" } else { "issuer" })
    }

    /// The CA as the one who signs in a ceremony: for the certificate of its OCSP responder.
    pub fn parent(&self) -> Parent<'_> {
        Parent::new(&self.certificate, self.signer.as_ref())
    }

    /// The CA's own certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificates above it, the next one first.
    pub fn chain_der(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The last second at which the CA's certificate is valid; nothing it issues lasts longer.
    pub const fn not_after(&self) -> UtcDateTime {
        self.issuer.validity.not_after()
    }

    /// The validity of the CA's certificate.
    pub const fn validity(&self) -> Validity {
        self.issuer.validity
    }

    /// The organization in the CA's name, if there is one.
    pub fn issuer_organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// The CA's common name, for people.
    pub fn issuer_name(&self) -> &str {
        &self.common_name
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("issuer_name", &self.common_name).finish_non_exhaustive()
    }
}

/// Why a CA cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A certificate is not that of a CA.
    #[error("the certificate {above} above the issuing CA's cannot be used")]
    Certificate {
        /// 0 for the issuing CA's own.
        above: usize,
        /// What is wrong with it.
        source: ReadError,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the certificate is for the key {of_certificate}, the signer holds the key {of_signer} (SHA-256 of the SPKI)"
    )]
    Key {
        /// SHA-256 of the certificate's `SubjectPublicKeyInfo`.
        of_certificate: Fingerprint,
        /// SHA-256 of the signer's.
        of_signer: Fingerprint,
    },
    /// The signer's algorithm is not one of its key.
    #[error("the signer's algorithm does not fit its key")]
    Algorithm,
    /// A certificate of the chain did not issue the one before it.
    #[error("the certificate {above} above the issuing CA's did not issue the one below it")]
    Chain {
        /// 1 for the one that should have issued the CA's own.
        above: usize,
    },
}

/// Why no bytes to be signed were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The request is for the key of this CA or of one above it.
    #[error("the request is for a key of the CA itself")]
    OwnKey,
    /// The request is for a kind of key that the profile does not name.
    #[error("the profile does not issue for a key of {kind}")]
    KeyKind {
        /// The kind.
        kind: KeyKind,
    },
    /// The validity is longer than the profile's longest.
    #[error("the validity {} to {} is longer than the profile's {longest_days} days", validity.not_before(), validity.not_after())]
    TooLong {
        /// The validity asked for.
        validity: Validity,
        /// The profile's longest, in days of 86,400 seconds.
        longest_days: i64,
    },
    /// The validity is not inside the CA's.
    #[error("the validity {} to {} leaves the CA's, {} to {}", validity.not_before(), validity.not_after(), ca.not_before(), ca.not_after())]
    BeyondCa {
        /// The validity asked for.
        validity: Validity,
        /// The validity of the CA's certificate.
        ca: Validity,
    },
    /// The mail address cannot become an rfc822Name.
    #[error("the mail address cannot stand in a certificate")]
    Mail(#[from] MailError),
    /// The finished bytes break a rule.
    #[error("the bytes to be signed break a rule")]
    Lint(#[from] LintFailure),
}

/// Why no certificate came into being.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The recorded bytes break a rule, or were made for another CA.
    #[error("the recorded bytes break a rule")]
    Lint(#[from] LintFailure),
    /// The key gave no signature.
    #[error("the recorded bytes were not signed")]
    Signer(#[from] SignerError),
    /// The key gave a signature that the CA's public key does not verify.
    #[error("the signature does not verify with the CA's public key")]
    Signature,
    /// The certificate is not the recorded one.
    #[error("the {field} is not the recorded one")]
    Differs {
        /// The part.
        field: &'static str,
    },
}

impl IssueError {
    /// Whether signing the restored record may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Signer(error) if error.is_transient())
    }
}
