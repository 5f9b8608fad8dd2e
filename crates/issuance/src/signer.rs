//! The CA's key: a port, and its implementation over a file.

use crate::der::{Reader, Writer, oid, tag};
use crate::pem;
use num_bigint::BigUint;
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p256::pkcs8::{self, DecodePrivateKey as _};
use ring::digest;
use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A cryptographic random source, made by the binary and shared by all that signs.
///
/// This crate never asks the operating system for randomness. A binary passes
/// `Arc::new(ring::rand::SystemRandom::new())`.
pub type Random = Arc<dyn SecureRandom + Send + Sync>;

/// How a CA signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 5758, 3.2).
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384 (RFC 5758, 3.2).
    EcdsaP384Sha384,
    /// RSA of 2048 to 8192 bits with SHA-256 and the padding of PKCS#1 v1.5 (RFC 4055, 5). For keys in a token.
    RsaPkcs1Sha256,
}

impl SignatureAlgorithm {
    /// Writes the `AlgorithmIdentifier` of a signature; ECDSA has no parameters, RSA has NULL.
    pub(crate) fn write_identifier(self, writer: &mut Writer) {
        writer.sequence(|w| match self {
            Self::EcdsaP256Sha256 => w.oid(oid::ECDSA_SHA256),
            Self::EcdsaP384Sha384 => w.oid(oid::ECDSA_SHA384),
            Self::RsaPkcs1Sha256 => {
                w.oid(oid::RSA_SHA256);
                w.primitive(tag::NULL, &[]);
            }
        });
    }

    /// How a key signs, by its DER `SubjectPublicKeyInfo`; `None` when it is neither P-256 nor P-384 nor RSA.
    ///
    /// ```
    /// use koshin_issuance::{Curve, SignatureAlgorithm};
    ///
    /// let spki = Curve::P384.spki(&[4; 97]);
    /// assert_eq!(SignatureAlgorithm::of_key(&spki), Some(SignatureAlgorithm::EcdsaP384Sha384));
    /// assert_eq!(SignatureAlgorithm::of_key(&[0x30, 0]), None);
    /// ```
    pub fn of_key(spki: &[u8]) -> Option<Self> {
        let all = [Self::EcdsaP256Sha256, Self::EcdsaP384Sha384, Self::RsaPkcs1Sha256];
        all.into_iter().find(|algorithm| algorithm.public_key_in(spki).is_some())
    }

    /// The octets of the public key in a DER `SubjectPublicKeyInfo`, if it is one for this algorithm.
    pub(crate) fn public_key_in(self, spki: &[u8]) -> Option<&[u8]> {
        let mut parts = Reader::in_sequence(spki).ok()?;
        let mut identifier = parts.expect(tag::SEQUENCE).ok()?.reader();
        let kind = identifier.expect(tag::OID).ok()?.content;
        let parameters = identifier.any().ok()?;
        let key = parts.expect(tag::BIT_STRING).ok()?.bit_string_octets().ok()?;
        let fits = match self {
            Self::EcdsaP256Sha256 => kind == oid::EC_PUBLIC_KEY && parameters.content == oid::P256,
            Self::EcdsaP384Sha384 => kind == oid::EC_PUBLIC_KEY && parameters.content == oid::P384,
            Self::RsaPkcs1Sha256 => kind == oid::RSA && parameters.tag == tag::NULL,
        };
        fits.then_some(key)
    }

    /// Whether `signature` over `message` was made with the key of these octets.
    pub(crate) fn verifies(self, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.verification(), public_key).verify(message, signature).is_ok()
    }

    /// How a message is hashed before it is signed.
    ///
    /// ```
    /// use koshin_issuance::SignatureAlgorithm::{EcdsaP256Sha256, EcdsaP384Sha384, RsaPkcs1Sha256};
    /// let octets = [EcdsaP256Sha256, EcdsaP384Sha384, RsaPkcs1Sha256].map(|kind| kind.hash().output_len());
    /// assert_eq!(octets, [32, 48, 32]);
    /// ```
    pub fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 => &digest::SHA256,
            Self::EcdsaP384Sha384 => &digest::SHA384,
        }
    }

    /// Whether `signature` over the message of this digest was made with the key of these octets.
    pub(crate) fn verifies_digest(self, public_key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
        if digest.len() != self.hash().output_len() {
            return false;
        }
        match self {
            Self::EcdsaP256Sha256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key)
                .and_then(|key| key.verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature)?))
                .is_ok(),
            Self::EcdsaP384Sha384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(public_key)
                .and_then(|key| key.verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature)?))
                .is_ok(),
            Self::RsaPkcs1Sha256 => rsa_verifies(public_key, digest, signature).unwrap_or(false),
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
            Self::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// The curves of keys that are made here and kept in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// P-256, to sign with SHA-256.
    P256,
    /// P-384, to sign with SHA-384.
    P384,
}

impl Curve {
    /// How a key on this curve signs.
    pub const fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::P256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::P384 => SignatureAlgorithm::EcdsaP384Sha384,
        }
    }

    /// The DER `ECParameters` that name this curve, as PKCS#11 wants them (RFC 5480, 2.1.1).
    pub fn parameters(self) -> Vec<u8> {
        Writer::collect(|w| w.oid(self.oid()))
    }

    const fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => oid::P256,
            Self::P384 => oid::P384,
        }
    }

    /// The DER `SubjectPublicKeyInfo` of an uncompressed point on this curve (RFC 5480, 2).
    pub fn spki(self, point: &[u8]) -> Vec<u8> {
        Writer::collect(|w| {
            w.sequence(|w| {
                w.sequence(|w| {
                    w.oid(oid::EC_PUBLIC_KEY);
                    w.oid(self.oid());
                });
                w.bit_string(point);
            });
        })
    }

    fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }
}

/// The DER `SubjectPublicKeyInfo` of an RSA key (RFC 3279, 2.3.1), from modulus and exponent as unsigned big-endian numbers.
pub fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = Writer::collect(|w| {
        w.sequence(|w| {
            w.unsigned(modulus);
            w.unsigned(exponent);
        });
    });
    Writer::collect(|w| {
        w.sequence(|w| {
            w.sequence(|w| {
                w.oid(oid::RSA);
                w.primitive(tag::NULL, &[]);
            });
            w.bit_string(&key);
        });
    })
}

/// The DER `DigestInfo` of a SHA-256 digest, which RSA signs (RFC 8017, 9.2, note 1).
pub fn rsa_digest_info(digest: &[u8]) -> Vec<u8> {
    Writer::collect(|w| {
        w.sequence(|w| {
            w.sequence(|w| {
                w.oid(oid::SHA256);
                w.primitive(tag::NULL, &[]);
            });
            w.primitive(tag::OCTET_STRING, digest);
        });
    })
}

/// RSASSA-PKCS1-v1_5 over a SHA-256 digest (RFC 8017, 8.2.2): the signature is opened, and what is in it compared with what has
/// to be. `None` when the key is none. All of it is public, so it need not take the same time for all numbers.
fn rsa_verifies(public_key: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    let mut parts = Reader::in_sequence(public_key).ok()?;
    let mut number = || parts.expect(tag::INTEGER).ok()?.positive_integer().ok();
    let (modulus, exponent) = (number()?, number()?);
    let opened = BigUint::from_bytes_be(signature);
    let modulus_number = BigUint::from_bytes_be(modulus);
    if !(256..=1024).contains(&modulus.len()) || signature.len() != modulus.len() || opened >= modulus_number {
        return Some(false);
    }
    let opened = opened.modpow(&BigUint::from_bytes_be(exponent), &modulus_number);
    let info = rsa_digest_info(digest);
    let padding = vec![0xff; modulus.len().checked_sub(info.len() + 3)?];
    Some(opened == BigUint::from_bytes_be(&[&[0, 1], &padding[..], &[0], &info].concat()))
}

/// The DER `ECDSA-Sig-Value` (RFC 3279, 2.2.3) of a signature as tokens give it: r and s in one piece, each half of it.
pub fn ecdsa_signature(raw: &[u8]) -> Vec<u8> {
    let (r, s) = raw.split_at(raw.len() / 2);
    Writer::collect(|w| {
        w.sequence(|w| {
            w.unsigned(r);
            w.unsigned(s);
        });
    })
}

/// The private key of a CA, wherever it lives.
///
/// What it signs is verified with the CA's public key before anybody sees it, so a faulty implementation can refuse
/// service but cannot put out a bad certificate.
pub trait Signer: Send + Sync {
    /// How [`sign`](Self::sign) signs.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The DER `SubjectPublicKeyInfo` of the key.
    fn public_key_spki(&self) -> &[u8];

    /// Signs `message`; for ECDSA returns the DER `ECDSA-Sig-Value`.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when the key gives no signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;

    /// Signs a message of which only the digest is here, made with [`SignatureAlgorithm::hash`]; the signature is one that
    /// [`sign`](Self::sign) could have made over the message. For revocation lists, which are too long to be held in memory:
    /// what is hashed is their to-be-signed bytes, while they are written.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when the key gives no signature; [`SignerError::Refused`] when the digest is not as long as it has to be.
    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Why a key gave no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The key cannot be reached now: a token is out, a session is lost. The same call may succeed later.
    #[error("the CA's key cannot be reached: {detail}")]
    Unavailable {
        /// What the key's store said.
        detail: String,
    },
    /// The key was reached and refused.
    #[error("the CA's key refused to sign: {detail}")]
    Refused {
        /// What the key's store said.
        detail: String,
    },
}

impl SignerError {
    /// Whether a retry may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A key out of a PKCS#8 file: P-256 or P-384, parsed once.
pub struct FileSigner {
    curve: Curve,
    key: EcdsaKeyPair,
    /// The same key for digests, which the other one does not sign.
    digests: DigestKey,
    spki: Vec<u8>,
    random: Random,
}

/// Signs digests with a nonce that follows from key and digest (RFC 6979). Wiped when dropped.
enum DigestKey {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
}

impl DigestKey {
    fn from_pkcs8_der(curve: Curve, der: &[u8]) -> Result<Self, pkcs8::Error> {
        Ok(match curve {
            Curve::P256 => Self::P256(p256::ecdsa::SigningKey::from_pkcs8_der(der)?),
            Curve::P384 => Self::P384(p384::ecdsa::SigningKey::from_pkcs8_der(der)?),
        })
    }

    fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, p256::ecdsa::Error> {
        match self {
            Self::P256(key) => {
                key.sign_prehash(digest).map(|made: p256::ecdsa::Signature| made.to_der().as_bytes().to_vec())
            }
            Self::P384(key) => {
                key.sign_prehash(digest).map(|made: p384::ecdsa::Signature| made.to_der().as_bytes().to_vec())
            }
        }
    }
}

impl FileSigner {
    /// Reads one PEM block labelled `PRIVATE KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] when the text is no such block or the key is not one of the two kinds.
    pub fn from_pkcs8_pem(text: &str, random: Random) -> Result<Self, KeyFileError> {
        let (label, der) = pem::single_block(text.as_bytes()).map_err(|_| KeyFileError::NotPem)?;
        let der = Zeroizing::new(der);
        if label != "PRIVATE KEY" {
            return Err(KeyFileError::Label { label });
        }
        Self::from_pkcs8_der(&der, random)
    }

    /// Reads a DER `PrivateKeyInfo` (RFC 5208) that holds the public key too, as ring, OpenSSL and Java write it.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Key`] when the key is not one of the two kinds or its two halves do not fit.
    pub fn from_pkcs8_der(der: &[u8], random: Random) -> Result<Self, KeyFileError> {
        let parse =
            |curve: Curve| EcdsaKeyPair::from_pkcs8(curve.signing(), der, random.as_ref()).map(|key| (curve, key));
        let (curve, key) = parse(Curve::P256)
            .or_else(|_| parse(Curve::P384))
            .map_err(|rejected| KeyFileError::Key { detail: rejected.to_string() })?;
        let digests = DigestKey::from_pkcs8_der(curve, der)
            .map_err(|rejected| KeyFileError::Key { detail: rejected.to_string() })?;
        let spki = curve.spki(key.public_key().as_ref());
        Ok(Self { curve, key, digests, spki, random })
    }

    /// Makes a new key and returns it with its PKCS#8 DER, which is wiped when dropped.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when `random` fails.
    pub fn generate(curve: Curve, random: Random) -> Result<(Self, Zeroizing<Vec<u8>>), NoRandomness> {
        let document = EcdsaKeyPair::generate_pkcs8(curve.signing(), random.as_ref()).map_err(|_| NoRandomness)?;
        let der = Zeroizing::new(document.as_ref().to_vec());
        Self::from_pkcs8_der(&der, random).map(|signer| (signer, der)).map_err(|_| NoRandomness)
    }
}

impl Signer for FileSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.curve.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match self.key.sign(self.random.as_ref(), message) {
            Ok(signature) => Ok(signature.as_ref().to_vec()),
            Err(_) => Err(SignerError::Unavailable { detail: NoRandomness.to_string() }),
        }
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let (expected, found) = (self.algorithm().hash().output_len(), digest.len());
        if expected != found {
            return Err(SignerError::Refused { detail: format!("a digest has {expected} octets, not {found}") });
        }
        self.digests.sign(digest).map_err(|error| SignerError::Refused { detail: error.to_string() })
    }
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSigner").field("curve", &self.curve).finish_non_exhaustive()
    }
}

/// Why a key file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The text is not exactly one PEM block.
    #[error("the key file is not exactly one PEM block")]
    NotPem,
    /// The block is something else, an encrypted key for example.
    #[error("the key file holds a block labelled {label:?}, not PRIVATE KEY")]
    Label {
        /// The label found.
        label: String,
    },
    /// No P-256 or P-384 key.
    #[error("the key file holds no usable P-256 or P-384 key: {detail}")]
    Key {
        /// What the parser said; never a part of the key.
        detail: String,
    },
}

/// The random source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the random source gave no random octets")]
pub struct NoRandomness;
