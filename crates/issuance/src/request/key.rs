//! Public keys: which ones are issued for, and whether a request was signed with one.

use super::{Rejected, rsa};
use crate::der::{DerFault, Element, Reader, oid, tag};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use std::fmt;
use std::str::FromStr;

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

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::Rsa { bits } => write!(f, "RSA of {bits} bits"),
        }
    }
}

/// Kinds of keys that a profile issues for, as its settings name them: `P-256`, `P-384`, and `RSA-` with the least number of
/// bits, such as `RSA-3072`.
///
/// ```
/// use koshin_issuance::KeyChoice;
///
/// assert_eq!("P-256".parse(), Ok(KeyChoice::P256));
/// assert_eq!("RSA-3072".parse(), Ok(KeyChoice::Rsa { from_bits: 3072 }));
/// assert!("RSA-2047".parse::<KeyChoice>().is_err() && "RSA-8193".parse::<KeyChoice>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyChoice {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA from so many bits on, at most 8192.
    Rsa {
        /// Least bits of the modulus: 2048 to 8192.
        from_bits: usize,
    },
}

impl FromStr for KeyChoice {
    type Err = UnknownKeyChoice;

    fn from_str(text: &str) -> Result<Self, UnknownKeyChoice> {
        match (text, text.strip_prefix("RSA-").and_then(|bits| bits.parse().ok())) {
            ("P-256", _) => Ok(Self::P256),
            ("P-384", _) => Ok(Self::P384),
            (_, Some(from_bits)) if rsa::BITS.contains(&from_bits) => Ok(Self::Rsa { from_bits }),
            _ => Err(UnknownKeyChoice),
        }
    }
}

/// A text that names no kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a kind of key is P-256, P-384, or RSA- with a least number of bits from 2048 to 8192, such as RSA-3072")]
pub struct UnknownKeyChoice;

/// Which kinds of keys are issued for; all that pass the gate when none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyRule(pub(crate) Vec<KeyChoice>);

impl KeyRule {
    pub(crate) fn takes(&self, kind: KeyKind) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|choice| match (choice, kind) {
                (KeyChoice::P256, KeyKind::P256) | (KeyChoice::P384, KeyKind::P384) => true,
                (KeyChoice::Rsa { from_bits }, KeyKind::Rsa { bits }) => bits >= *from_bits,
                _ => false,
            })
    }
}

/// A public key taken apart.
pub(crate) enum PublicKey<'a> {
    P256 { point: &'a [u8] },
    P384 { point: &'a [u8] },
    Rsa { key: &'a [u8], modulus: rsa::Modulus<'a> },
}

impl<'a> PublicKey<'a> {
    /// Reads a `SubjectPublicKeyInfo`. The kind comes from its own algorithm and named curve, never from the signature.
    pub(crate) fn read(spki: &Element<'a>) -> Result<Self, Rejected> {
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
    pub(crate) const fn octets(&self) -> &'a [u8] {
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
