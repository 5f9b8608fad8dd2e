//! Public keys: which ones are issued for, and whether a request was signed with one.

use super::{Rejected, rsa};
use crate::der::{DerFault, Element, Reader, oid, tag};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// Kind and size of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with the exponent 65537.
    Rsa {
        /// Bits of the modulus: 2048 to 8192.
        bits: usize,
    },
}

/// A public key taken apart.
pub(super) enum PublicKey<'a> {
    P256 { point: &'a [u8] },
    P384 { point: &'a [u8] },
    Rsa { key: &'a [u8], modulus: rsa::Modulus<'a> },
}

impl<'a> PublicKey<'a> {
    /// Reads a `SubjectPublicKeyInfo`. The kind comes from its own algorithm and named curve, never from the signature.
    pub(super) fn read(spki: &Element<'a>) -> Result<Self, Rejected> {
        let malformed = |fault: DerFault| Rejected::Structure { fault };
        let mut parts = spki.reader();
        let mut algorithm = parts.expect(tag::SEQUENCE).map_err(malformed)?.reader();
        let kind = algorithm.expect(tag::OID).map_err(malformed)?.content;
        let key = parts.expect(tag::BIT_STRING).map_err(malformed)?;
        parts.finish().map_err(malformed)?;
        let key = key.bit_string_octets().map_err(|_| Rejected::KeyEncoding)?;
        match kind {
            oid::EC_PUBLIC_KEY => Self::read_ec(algorithm, key),
            oid::RSA => Self::read_rsa(algorithm, key),
            _ => Err(Rejected::KeyAlgorithm),
        }
    }

    /// A named curve (RFC 5480, 2.1.1) and an uncompressed point (2.2).
    fn read_ec(mut parameters: Reader<'a>, point: &'a [u8]) -> Result<Self, Rejected> {
        let curve = parameters.expect(tag::OID).map_err(|_| Rejected::KeyCurve)?.content;
        parameters.finish().map_err(|_| Rejected::KeyEncoding)?;
        match (curve, point.first(), point.len()) {
            (oid::P256, Some(4), 65) => Ok(Self::P256 { point }),
            (oid::P384, Some(4), 97) => Ok(Self::P384 { point }),
            (oid::P256 | oid::P384, ..) => Err(Rejected::KeyEncoding),
            _ => Err(Rejected::KeyCurve),
        }
    }

    /// NULL parameters and `SEQUENCE { modulus, publicExponent }` (RFC 3279, 2.3.1).
    fn read_rsa(mut parameters: Reader<'a>, key: &'a [u8]) -> Result<Self, Rejected> {
        let encoding = |_: DerFault| Rejected::KeyEncoding;
        parameters.expect(tag::NULL).map_err(encoding)?;
        parameters.finish().map_err(encoding)?;
        let mut outer = Reader::new(key);
        let mut numbers = outer.expect(tag::SEQUENCE).map_err(encoding)?.reader();
        outer.finish().map_err(encoding)?;
        let modulus = numbers.expect(tag::INTEGER).and_then(|n| n.positive_integer()).map_err(encoding)?;
        let exponent = numbers.expect(tag::INTEGER).and_then(|e| e.positive_integer()).map_err(encoding)?;
        numbers.finish().map_err(encoding)?;
        if exponent != [1, 0, 1] {
            return Err(Rejected::RsaExponent);
        }
        Ok(Self::Rsa { key, modulus: rsa::Modulus::new(modulus)? })
    }

    pub(super) fn kind(&self) -> KeyKind {
        match self {
            Self::P256 { .. } => KeyKind::P256,
            Self::P384 { .. } => KeyKind::P384,
            Self::Rsa { modulus, .. } => KeyKind::Rsa { bits: modulus.bits() },
        }
    }

    /// The content of the BIT STRING.
    pub(super) const fn octets(&self) -> &'a [u8] {
        match self {
            Self::P256 { point: octets } | Self::P384 { point: octets } | Self::Rsa { key: octets, .. } => octets,
        }
    }

    /// Verifies a signature. For an elliptic curve this also checks that the point lies on it.
    pub(super) fn verify(&self, algorithm: &Element<'_>, message: &[u8], signature: &[u8]) -> Result<(), Rejected> {
        let (verification, key) = self.verification(algorithm).ok_or(Rejected::SignatureAlgorithm)?;
        UnparsedPublicKey::new(verification, key).verify(message, signature).map_err(|_| Rejected::Signature)
    }

    /// The algorithm for a signature `AlgorithmIdentifier`, if it fits this key, and the key's octets.
    fn verification(&self, algorithm: &Element<'_>) -> Option<(&'static dyn VerificationAlgorithm, &'a [u8])> {
        let mut parts = algorithm.reader();
        let hash = parts.expect(tag::OID).ok()?.content;
        // ECDSA has no parameters (RFC 5758, 3.2); for RSA they are NULL, and absent ones have to be accepted (RFC 4055, 5).
        let null = parts.optional(tag::NULL).ok()?;
        parts.finish().ok()?;
        match (self, hash, null) {
            (Self::P256 { point }, oid::ECDSA_SHA256, None) => Some((&signature::ECDSA_P256_SHA256_ASN1, *point)),
            (Self::P256 { point }, oid::ECDSA_SHA384, None) => Some((&signature::ECDSA_P256_SHA384_ASN1, *point)),
            (Self::P384 { point }, oid::ECDSA_SHA256, None) => Some((&signature::ECDSA_P384_SHA256_ASN1, *point)),
            (Self::P384 { point }, oid::ECDSA_SHA384, None) => Some((&signature::ECDSA_P384_SHA384_ASN1, *point)),
            (Self::Rsa { key, .. }, oid::RSA_SHA256, _) => Some((&signature::RSA_PKCS1_2048_8192_SHA256, *key)),
            (Self::Rsa { key, .. }, oid::RSA_SHA384, _) => Some((&signature::RSA_PKCS1_2048_8192_SHA384, *key)),
            (Self::Rsa { key, .. }, oid::RSA_SHA512, _) => Some((&signature::RSA_PKCS1_2048_8192_SHA512, *key)),
            _ => None,
        }
    }

    /// The checks that cost something; done last, for those who hold the private key.
    pub(super) fn check_strength(&self) -> Result<(), Rejected> {
        match self {
            Self::P256 { .. } | Self::P384 { .. } => Ok(()),
            Self::Rsa { modulus, .. } => modulus.check().map_err(|weakness| Rejected::RsaWeak { weakness }),
        }
    }
}
