//! A CA for client certificates as a library: synchronous, without a clock, without storage.
//!
//! A certificate comes into being in steps, each a value that the next one uses up:
//!
//! 1. [`CertificationRequest`]: a PKCS#10 request went through the [`Gate`]. What is left of it is a public key.
//! 2. [`Prepared`]: the [`Profile`] is applied, the bytes to be signed exist and passed the lints.
//! 3. [`Recorded`]: serial number and bytes are stored durably. Who stored them says so with [`Prepared::recorded`].
//! 4. [`Certificate`]: the bytes are signed, the signature is verified, and the result is compared with the record.
//!
//! The crate refuses to know what time it is, where randomness comes from, who may have a certificate, and where
//! anything is stored. Its callers bring instants, a [`Random`], subjects and a ledger.
//!
//! ```
//! use koshin_issuance::{
//!     AuthorityName, AuthorityPlan, Ca, CertificationRequest, Gate, Profile, ProfileConfig, Random, SubjectName,
//!     create_issuing, create_root, new_serial,
//! };
//! use koshin_types::Validity;
//! use std::sync::Arc;
//! use time::{Duration, UtcDateTime};
//!
//! let random: Random = Arc::new(ring::rand::SystemRandom::new());
//! let now = UtcDateTime::from_unix_timestamp(1_795_300_000)?;
//! let years = |years: i64| Validity::new(now, now + Duration::days(365 * years));
//! let serial = || new_serial(now, random.as_ref());
//!
//! let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局")?;
//! let root = create_root(&AuthorityPlan::root(name), serial()?, years(20)?, &random)?;
//! let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局")?;
//! let issuing = create_issuing(&AuthorityPlan::issuing(name), &root, serial()?, years(10)?, &random)?;
//!
//! let certificate = issuing.certificate_der().to_vec();
//! let profile = Profile::new(ProfileConfig { country: Some("JP".into()), ..ProfileConfig::default() })?;
//! let ca = Ca::load(&certificate, &[root.certificate_der().to_vec()], Box::new(issuing.into_signer()), profile)?;
//! assert_eq!(ca.issuer_name(), "更新電子証明書認証局");
//!
//! # let pem = include_bytes!("../tests/it/data/p256.pem");
//! let request = CertificationRequest::from_bytes(pem, &Gate::new())?;
//! let key = request.spki_fingerprint();
//! let subject = SubjectName::new("更新商店", "U-1001")?;
//! let prepared = ca.prepare(request, &subject, Some("taro@example.jp"), serial()?, years(1)?)?;
//! // Here serial number and bytes are stored.
//! let certificate = ca.issue(prepared.recorded())?;
//! assert_eq!(certificate.spki_fingerprint(), key);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ca;
mod ceremony;
mod crl;
mod der;
mod extension;
mod issue;
mod issuer;
mod lint;
mod name;
mod ocsp;
mod pem;
mod profile;
mod read;
mod request;
mod signer;
mod tbs;

pub use ca::{Ca, IssueError, LoadError, PrepareError};
pub use ceremony::{
    AuthorityPlan, CeremonyError, KeyedCertificate, Parent, certify_issuing, certify_root, create_issuing,
    create_ocsp_responder, create_root, create_server_ca, create_server_certificate, new_serial, request_certificate,
};
pub use crl::{CheckedCrl, Crl, CrlEdition, CrlError, CrlReadError, CrlWriter, RevocationList, RevokedCertificate};
pub use der::DerFault;
pub use issue::{Certificate, Prepared, Recorded, RestoreError};
pub use issuer::{IssuerCertificate, Ordered, VerifyError, is_rfc822_name, request_der};
pub use lint::LintFailure;
pub use name::{
    AuthorityName, MAX_COMMON_NAME, MAX_ORGANIZATION, MAX_ORGANIZATIONAL_UNIT, MAX_SERIAL_NUMBER, MailError, NameError,
    SubjectName,
};
pub use ocsp::{CertificateId, OcspEdition, OcspError, OcspFailure, OcspFault, OcspRequest, OcspResponder, OcspStatus};
pub use pem::pem;
pub use profile::{MailName, Profile, ProfileConfig, ProfileError};
pub use read::ReadError;
pub use request::{
    BlockListError, CertificationRequest, Gate, KeyChoice, KeyKind, Rejected, RsaWeakness, UnknownKeyChoice,
};
pub use signer::{
    Curve, FileSigner, KeyFileError, NoRandomness, Random, SignatureAlgorithm, Signer, SignerError, ecdsa_signature,
    rsa_digest_info, rsa_spki,
};
