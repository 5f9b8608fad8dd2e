//! The steps of one certificate, each a type that is used up by the next.

use crate::request::fingerprint;
use crate::tbs::Fields;
use koshin_types::{Fingerprint, SerialNumber, Validity};
use std::fmt;

/// Bytes that are ready to be signed: the profile is applied and the lints passed. Nobody has promised anything yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared(pub(crate) Intent);

/// Bytes whose serial number and text are stored durably. Only these can be signed, and each value only once.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded(pub(crate) Intent);

#[derive(PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) tbs: Vec<u8>,
    pub(crate) serial: SerialNumber,
    pub(crate) validity: Validity,
    pub(crate) spki_fingerprint: Fingerprint,
}

impl Prepared {
    /// The serial number.
    pub const fn serial(&self) -> SerialNumber {
        self.0.serial
    }

    /// The DER `TBSCertificate`.
    pub fn tbs(&self) -> &[u8] {
        &self.0.tbs
    }

    /// SHA-256 of the public key's `SubjectPublicKeyInfo`.
    pub const fn spki_fingerprint(&self) -> Fingerprint {
        self.0.spki_fingerprint
    }

    /// The validity.
    pub const fn validity(&self) -> Validity {
        self.0.validity
    }

    /// States that serial number and bytes are stored durably.
    ///
    /// Call this after the commit, never before: a signature over bytes that nobody recorded is a certificate nobody
    /// knows of.
    #[must_use = "the intent is stored; sign it, or abandon the serial number in the store"]
    pub fn recorded(self) -> Recorded {
        Recorded(self.0)
    }
}

impl Recorded {
    /// Makes the state again from what the store holds, after a crash between the record and the certificate.
    ///
    /// Call it only while no certificate is stored for this record; the CA checks the bytes once more before it signs.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when the bytes are damaged or are not those of the serial number, validity and key beside them.
    pub fn restore(
        tbs: Vec<u8>,
        serial: SerialNumber,
        validity: Validity,
        spki_fingerprint: Fingerprint,
    ) -> Result<Self, RestoreError> {
        let intent = Intent { tbs, serial, validity, spki_fingerprint };
        let fields = Fields::read(&intent.tbs).map_err(|_| RestoreError::Damaged)?;
        intent.compare(&fields).map_err(|field| RestoreError::Differs { field })?;
        Ok(Self(intent))
    }

    /// The serial number.
    pub const fn serial(&self) -> SerialNumber {
        self.0.serial
    }

    /// The DER `TBSCertificate`.
    pub fn tbs(&self) -> &[u8] {
        &self.0.tbs
    }
}

impl fmt::Debug for Intent {
    /// Leaves the bytes out: they name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intent").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Intent {
    /// Names the first field that is not the intended one.
    pub(crate) fn compare(&self, fields: &Fields<'_>) -> Result<(), &'static str> {
        if fields.serial_number() != Some(self.serial) {
            return Err("serial number");
        }
        if fields.validity() != Some(self.validity) {
            return Err("validity");
        }
        if fingerprint(fields.spki) != self.spki_fingerprint {
            return Err("public key");
        }
        Ok(())
    }
}

/// Why a record cannot be signed after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are no `TBSCertificate`.
    #[error("the recorded bytes are damaged")]
    Damaged,
    /// Bytes and columns do not belong together.
    #[error("the {field} in the recorded bytes is not the recorded one")]
    Differs {
        /// The field.
        field: &'static str,
    },
}

/// An issued certificate: its signature was verified and its content compared with the record.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) serial: SerialNumber,
    pub(crate) validity: Validity,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) spki_fingerprint: Fingerprint,
}

impl Certificate {
    /// The DER `Certificate`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The DER, by value.
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// The serial number.
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// The validity.
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// SHA-256 of the DER.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// SHA-256 of the public key's `SubjectPublicKeyInfo`.
    pub const fn spki_fingerprint(&self) -> Fingerprint {
        self.spki_fingerprint
    }
}

impl fmt::Debug for Certificate {
    /// Leaves the bytes out: they name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Certificate");
        shown.field("serial", &self.serial).field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
