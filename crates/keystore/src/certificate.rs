//! A certificate as it lies in a store.

use std::fmt;

use koshin_types::{Fingerprint, SerialNumber, Validity};
use ring::digest;
use time::UtcDateTime;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{ASN1Time, FromDer as _, X509Certificate},
};

use crate::{KeyId, PublicPoint};

/// A certificate for a key on P-256, with what is asked of it most. Its signature is nobody's concern here.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    der: Vec<u8>,
    serial: SerialNumber,
    validity: Validity,
    point: PublicPoint,
    subject: String,
    issuer: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    EndEntity,
    Authority,
}

/// Why octets are no certificate that a store here takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// No DER certificate (RFC 5280, 4.1), or one with something behind it.
    #[error("{octets} octets are no certificate")]
    Unreadable {
        /// How many octets there were.
        octets: usize,
    },
    /// Its serial number or validity is none that RFC 5280 allows.
    #[error("its serial number or validity is not one of RFC 5280")]
    Numbers,
    /// It is for a key that is not on P-256.
    #[error("it is for a key of {octets} octets that is not on P-256")]
    Key {
        /// Length of its `SubjectPublicKeyInfo`.
        octets: usize,
    },
}

impl StoredCertificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    ///
    /// [`CertificateFault`].
    pub fn read(der: &[u8]) -> Result<Self, CertificateFault> {
        let unreadable = CertificateFault::Unreadable { octets: der.len() };
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable)?;
        if !rest.is_empty() {
            return Err(unreadable);
        }
        let serial = SerialNumber::from_be_bytes(certificate.raw_serial()).map_err(|_| CertificateFault::Numbers)?;
        let instant = |time: ASN1Time| UtcDateTime::from_unix_timestamp(time.timestamp());
        let (Ok(from), Ok(to)) = (instant(certificate.validity.not_before), instant(certificate.validity.not_after))
        else {
            return Err(CertificateFault::Numbers);
        };
        let spki = certificate.public_key().raw;
        let point = PublicPoint::from_spki(spki).map_err(|_| CertificateFault::Key { octets: spki.len() })?;
        let authority = certificate.extensions().iter().any(
            |extension| matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(basic) if basic.ca),
        );
        Ok(Self {
            der: der.to_vec(),
            serial,
            validity: Validity::new(from, to).map_err(|_| CertificateFault::Numbers)?,
            point,
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            kind: if authority { Kind::Authority } else { Kind::EndEntity },
        })
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its serial number.
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// From when until when it is valid.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The public point of its key.
    pub const fn point(&self) -> PublicPoint {
        self.point
    }

    /// What a store calls its key.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_point(&self.point)
    }

    /// Its subject's name, for people.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Its issuer's name, for people.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The SHA-256 of the whole certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut octets = [0; 32];
        octets.iter_mut().zip(crate::digest(&self.der)).for_each(|(to, from)| *to = from);
        Fingerprint::new(octets)
    }

    /// Whether it is a CA's (RFC 5280, 4.2.1.9), and so nobody's to log in with.
    pub const fn is_authority(&self) -> bool {
        matches!(self.kind, Kind::Authority)
    }
}

impl fmt::Debug for StoredCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StoredCertificate");
        out.field("serial", &self.serial).field("validity", &self.validity).field("key", &self.key_id());
        out.finish_non_exhaustive()
    }
}

/// What a store of PKCS#11 wants to know of any certificate: the DER of its subject, issuer and serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// The DER `Name` of the subject.
    pub subject: Vec<u8>,
    /// The DER `Name` of the issuer.
    pub issuer: Vec<u8>,
    /// The DER INTEGER of the serial number.
    pub serial: Vec<u8>,
    /// The SHA-1 of the public key's octets, as [`KeyId`] for a key on P-256.
    pub key: Vec<u8>,
    /// The subject's common name, for people; the whole name where it has none.
    pub common_name: String,
}

impl CertificateNames {
    /// Reads a DER certificate for a key of any kind.
    ///
    /// # Errors
    ///
    /// [`CertificateFault::Unreadable`].
    pub fn read(der: &[u8]) -> Result<Self, CertificateFault> {
        let unreadable = CertificateFault::Unreadable { octets: der.len() };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable)?;
        let serial = certificate.raw_serial();
        let length = u8::try_from(serial.len()).ok().filter(|length| *length < 0x80).ok_or(unreadable)?;
        let key = certificate.public_key().subject_public_key.data.as_ref();
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().find_map(|name| name.as_str().ok());
        Ok(Self {
            common_name: common_name.map_or_else(|| subject.to_string(), str::to_owned),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            serial: [&[2, length], serial].concat(),
            key: digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key).as_ref().to_vec(),
        })
    }

    /// Whether subject and issuer are the same.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}
