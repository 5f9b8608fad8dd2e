//! A private key under a passphrase: PKCS#8 (RFC 5958, 3) with PBES2 (RFC 8018, 6.2), as openssl reads and writes it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _,
    asn1::{AnyRef, OctetStringRef},
};
use koshin_issuance::pem;
use pkcs5::{EncryptionScheme, pbes2};
use zeroize::Zeroizing;

use crate::machine;

/// Rounds of PBKDF2 with HMAC-SHA-256 in what is written here.
///
/// ```
/// assert_eq!(koshin_operator::key::PBKDF2_ROUNDS, 600_000);
/// ```
pub const PBKDF2_ROUNDS: u32 = 600_000;

/// What the block is called.
pub(crate) const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Encrypts a DER `PrivateKeyInfo` with AES-256-CBC under a key from PBKDF2; the result is PEM.
///
/// # Errors
///
/// When the random source fails.
pub fn encrypt(pkcs8: &[u8], passphrase: &str) -> anyhow::Result<String> {
    let (mut salt, mut vector) = ([0; 16], [0; 16]);
    machine::entropy(&mut salt)?;
    machine::entropy(&mut vector)?;
    let unusable = |error| anyhow::anyhow!("the key cannot be encrypted: {error}");
    let scheme = pbes2::Parameters::pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, &vector).map_err(unusable)?;
    let scheme = EncryptionScheme::from(scheme);
    let data = scheme.encrypt(passphrase, pkcs8).map_err(unusable)?;
    let inside = [scheme.to_der()?, OctetStringRef::new(&data)?.to_der()?].concat();
    Ok(pem(LABEL, &AnyRef::new(Tag::Sequence, &inside)?.to_der()?))
}

/// Opens an encrypted key: PBKDF2 or scrypt, AES in CBC mode.
///
/// # Errors
///
/// A sentence; it never holds a part of passphrase or key.
pub fn decrypt(text: &str, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("it is no encrypted key that can be read: {error}");
    let block = block(text).ok_or_else(|| unreadable(&"the PEM is damaged"))?;
    let mut reader = SliceReader::new(&block).map_err(|error| unreadable(&error))?;
    let parts = reader.sequence(|inside| {
        let scheme = EncryptionScheme::decode(inside)?;
        let data = OctetStringRef::decode(inside)?;
        Ok((scheme, data))
    });
    let (scheme, data) = parts.map_err(|error: der::Error| unreadable(&error))?;
    match scheme.decrypt(passphrase, data.as_bytes()).map(Zeroizing::new) {
        // One wrong passphrase in 256 leaves a padding that looks right, but hardly ever a whole DER element.
        Ok(plain) if AnyRef::from_der(&plain).is_ok_and(|any| any.tag() == Tag::Sequence) => Ok(plain),
        // pkcs5 0.7 says of a wrong padding that it could not encrypt.
        Ok(_) | Err(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed) => {
            Err("the passphrase does not open it".to_owned())
        }
        Err(error) => Err(unreadable(&error)),
    }
}

/// The octets of the one block in a text.
fn block(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {LABEL}-----"))?;
    let (inside, _) = rest.split_once(&format!("-----END {LABEL}-----"))?;
    let base64: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(base64).ok()
}
