//! The bytes that are signed: put together from parts that were encoded once, and taken apart again.

use crate::der::{DerFault, Element, Reader, Writer, read_time, tag, write_time};
use crate::signer::SignatureAlgorithm;
use koshin_types::{SerialNumber, Validity};

/// What differs from certificate to certificate; names, key and extensions are DER.
pub(crate) struct Tbs<'a> {
    pub(crate) serial: &'a SerialNumber,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: &'a Validity,
    pub(crate) spki: &'a [u8],
}

impl Tbs<'_> {
    /// Writes a `TBSCertificate` of version 3 (RFC 5280, 4.1.2).
    pub(crate) fn write(&self, subject: impl FnOnce(&mut Writer), extensions: impl FnOnce(&mut Writer)) -> Vec<u8> {
        // Subject and extensions of a client certificate take 300 to 900 octets.
        let mut writer = Writer::with_capacity(1024 + self.issuer.len() + self.spki.len());
        writer.sequence(|w| {
            w.nest(tag::context_constructed(0), |w| w.unsigned(&[2]));
            w.serial(self.serial);
            self.algorithm.write_identifier(w);
            w.raw(self.issuer);
            w.sequence(|w| {
                write_time(w, self.validity.not_before());
                write_time(w, self.validity.not_after());
            });
            subject(w);
            w.raw(self.spki);
            w.nest(tag::context_constructed(3), |w| w.sequence(extensions));
        });
        writer.finish()
    }
}

/// Puts signed bytes, algorithm and signature together: a certificate or a CRL.
pub(crate) fn seal(signed: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(signed.len() + signature.len() + 40);
    writer.sequence(|w| {
        w.raw(signed);
        algorithm.write_identifier(w);
        w.bit_string(signature);
    });
    writer.finish()
}

/// Signed bytes with their signature.
pub(crate) struct Sealed<'a> {
    pub(crate) signed: &'a [u8],
    /// The DER `AlgorithmIdentifier`.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// The reverse of [`seal`].
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, DerFault> {
        let mut parts = Reader::in_sequence(der)?;
        let signed = parts.expect(tag::SEQUENCE)?.whole;
        let algorithm = parts.expect(tag::SEQUENCE)?.whole;
        let signature = parts.expect(tag::BIT_STRING)?.bit_string_octets()?;
        parts.finish()?;
        Ok(Self { signed, algorithm, signature })
    }
}

/// A `TBSCertificate` cut into its fields.
pub(crate) struct Fields<'a> {
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) serial: Element<'a>,
    pub(crate) algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Element<'a>,
    pub(crate) not_after: Element<'a>,
    pub(crate) subject: Element<'a>,
    pub(crate) spki: &'a [u8],
    /// What follows the key: unique identifiers would come first, then the extensions.
    pub(crate) tail: Reader<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) fn read(tbs: &'a [u8]) -> Result<Self, DerFault> {
        let mut parts = Reader::in_sequence(tbs)?;
        let version = match parts.optional(tag::context_constructed(0))? {
            Some(explicit) => Some(explicit.reader().expect(tag::INTEGER)?.content),
            None => None,
        };
        let serial = parts.expect(tag::INTEGER)?;
        let algorithm = parts.expect(tag::SEQUENCE)?.whole;
        let issuer = parts.expect(tag::SEQUENCE)?.whole;
        let mut validity = parts.expect(tag::SEQUENCE)?.reader();
        let (not_before, not_after) = (validity.any()?, validity.any()?);
        validity.finish()?;
        let subject = parts.expect(tag::SEQUENCE)?;
        let spki = parts.expect(tag::SEQUENCE)?.whole;
        Ok(Self { version, serial, algorithm, issuer, not_before, not_after, subject, spki, tail: parts })
    }

    pub(crate) fn serial_number(&self) -> Option<SerialNumber> {
        SerialNumber::from_be_bytes(self.serial.positive_integer().ok()?).ok()
    }

    pub(crate) fn validity(&self) -> Option<Validity> {
        let (not_before, not_after) = (read_time(&self.not_before).ok()?, read_time(&self.not_after).ok()?);
        Validity::new(not_before, not_after).ok()
    }
}
