//! Keys of CAs beside the usual one: P-384 as a file gives it, and RSA, which a CA has in a token only. Here ring signs with RSA,
//! so that what the library does around the signature can be measured without a token's own time.

use std::process::Command;

use anyhow::{Context as _, anyhow, ensure};
use koshin_issuance::{Curve, FileSigner, SignatureAlgorithm, Signer, SignerError, rsa_spki};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};

use crate::rim;

/// A new P-384 key.
///
/// # Errors
///
/// When ring makes none.
pub fn p384() -> anyhow::Result<Box<dyn Signer>> {
    Ok(Box::new(FileSigner::generate(Curve::P384, rim::random())?.0))
}

/// A new RSA key of so many bits, which openssl makes: ring makes none.
///
/// # Errors
///
/// When openssl is not there.
pub fn rsa(bits: usize) -> anyhow::Result<Box<dyn Signer>> {
    let size = format!("rsa_keygen_bits:{bits}");
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", &size, "-outform", "DER"];
    let made = Command::new("openssl").args(arguments).output().context("openssl is missing")?;
    ensure!(made.status.success(), "openssl makes no key: {}", String::from_utf8_lossy(&made.stderr));
    // Which of the two forms openssl writes as DER depends on its release.
    let key = KeyPair::from_pkcs8(&made.stdout).or_else(|_| KeyPair::from_der(&made.stdout));
    let key = key.map_err(|error| anyhow!("ring does not take the key: {error}"))?;
    let public = PublicKeyComponents::<Vec<u8>>::from(key.public());
    let spki = rsa_spki(&public.n, &public.e);
    Ok(Box::new(Rsa { key, spki, random: SystemRandom::new() }))
}

struct Rsa {
    key: KeyPair,
    spki: Vec<u8>,
    random: SystemRandom,
}

impl Signer for Rsa {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature);
        signed.map_err(|_| SignerError::Refused { detail: "ring does not sign".to_owned() })?;
        Ok(signature)
    }

    fn sign_digest(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::Refused { detail: "ring signs no digests".to_owned() })
    }
}
