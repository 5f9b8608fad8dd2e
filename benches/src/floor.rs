//! The floor: what no software on this core can beat with this library. One ECDSA P-256 verification (the request) and
//! one signature (the certificate).

use std::{hint::black_box, time::Instant};

use anyhow::{Context as _, anyhow};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, Signature,
        UnparsedPublicKey,
    },
};

/// Octets of what is verified: about a `CertificationRequestInfo`.
const REQUEST_OCTETS: usize = 130;
/// Octets of what is signed: about a `TBSCertificate`.
const CERTIFICATE_OCTETS: usize = 620;

/// A key and a signed message.
pub struct Floor {
    key: EcdsaKeyPair,
    random: SystemRandom,
    request: Vec<u8>,
    signature: Signature,
    certificate: Vec<u8>,
}

impl Floor {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// When ring makes no key.
    pub fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let document = document.map_err(|_| anyhow!("ring makes no key"))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random);
        let key = key.map_err(|_| anyhow!("ring does not take its own key"))?;
        let request = vec![0x5a; REQUEST_OCTETS];
        let signature = key.sign(&random, &request).map_err(|_| anyhow!("ring does not sign"))?;
        Ok(Self { key, random, request, signature, certificate: vec![0xa5; CERTIFICATE_OCTETS] })
    }

    /// One verification.
    ///
    /// # Errors
    ///
    /// When the signature is wrong, which it is not.
    pub fn verify(&self) -> anyhow::Result<()> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.key.public_key().as_ref());
        key.verify(black_box(&self.request), self.signature.as_ref()).map_err(|_| anyhow!("ring does not verify"))
    }

    /// One signature.
    ///
    /// # Errors
    ///
    /// When the random source fails.
    pub fn sign(&self) -> anyhow::Result<Signature> {
        self.key.sign(&self.random, black_box(&self.certificate)).map_err(|_| anyhow!("ring does not sign"))
    }

    /// Both.
    ///
    /// # Errors
    ///
    /// As the two.
    pub fn once(&self) -> anyhow::Result<()> {
        self.verify()?;
        black_box(self.sign()?);
        Ok(())
    }

    /// Microseconds for both: the median of some rounds.
    ///
    /// # Errors
    ///
    /// As the two.
    pub fn micros(&self, rounds: usize) -> anyhow::Result<f64> {
        const EACH: u32 = 16;
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds.max(1) {
            let start = Instant::now();
            for _ in 0..EACH {
                self.once()?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(EACH));
        }
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().context("no round was run")
    }
}
