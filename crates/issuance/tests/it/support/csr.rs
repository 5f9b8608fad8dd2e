//! PKCS#10 requests, part by part.

use super::der::{bits, common_name, int, oid, seq, tlv};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
};

pub(crate) const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
pub(crate) const P256: &str = "1.2.840.10045.3.1.7";
pub(crate) const P384: &str = "1.3.132.0.34";
pub(crate) const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
pub(crate) const ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
pub(crate) const RSA: &str = "1.2.840.113549.1.1.1";
pub(crate) const RSA_SHA256: &str = "1.2.840.113549.1.1.11";
pub(crate) const EXTENSION_REQUEST: &str = "1.2.840.113549.1.9.14";

/// An elliptic curve key of a holder.
pub(crate) struct EcKey {
    pair: EcdsaKeyPair,
    curve: &'static str,
}

impl EcKey {
    pub(crate) fn p256() -> Self {
        Self::new(&ECDSA_P256_SHA256_ASN1_SIGNING, P256)
    }

    pub(crate) fn p384() -> Self {
        Self::new(&ECDSA_P384_SHA384_ASN1_SIGNING, P384)
    }

    /// The key in this PKCS#8.
    pub(crate) fn p256_of(pkcs8: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new()).unwrap();
        Self { pair, curve: P256 }
    }

    fn new(algorithm: &'static EcdsaSigningAlgorithm, curve: &'static str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { pair: EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap(), curve }
    }

    pub(crate) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        ec_spki(self.curve, self.point())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// A request with nothing special.
    pub(crate) fn csr(&self) -> Vec<u8> {
        self.csr_of(&Info { spki: self.spki(), ..Info::default() })
    }

    /// A request over this content.
    pub(crate) fn csr_of(&self, info: &Info) -> Vec<u8> {
        self.csr_over(&info.der())
    }

    /// A request over these bytes.
    pub(crate) fn csr_over(&self, info: &[u8]) -> Vec<u8> {
        let algorithm = if self.curve == P256 { ECDSA_SHA256 } else { ECDSA_SHA384 };
        csr(info, &seq(&[&oid(algorithm)]), &self.sign(info))
    }
}

pub(crate) fn ec_spki(curve: &str, point: &[u8]) -> Vec<u8> {
    seq(&[&seq(&[&oid(EC_PUBLIC_KEY), &oid(curve)]), &bits(point)])
}

pub(crate) fn csr(info: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    seq(&[info, algorithm, &bits(signature)])
}

/// The parts of a `CertificationRequestInfo`, each as DER.
pub(crate) struct Info {
    pub(crate) version: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: Vec<u8>,
    /// The content of `[0]`.
    pub(crate) attributes: Vec<Vec<u8>>,
}

impl Default for Info {
    fn default() -> Self {
        Self { version: int(0), subject: common_name("whoever"), spki: Vec::new(), attributes: Vec::new() }
    }
}

impl Info {
    pub(crate) fn der(&self) -> Vec<u8> {
        seq(&[&self.version, &self.subject, &self.spki, &tlv(0xa0, self.attributes.concat())])
    }
}
