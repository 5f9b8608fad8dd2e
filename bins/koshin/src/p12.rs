//! A key, its request and its PKCS#12 file, for the people of the demo. Everybody else's key is made by their own
//! browser and never seen here.

use anyhow::{Context as _, ensure};
use cms::{
    content_info::{CmsVersion, ContentInfo},
    encrypted_data::EncryptedData,
    enveloped_data::EncryptedContentInfo,
};
use der::{
    Encode as _,
    asn1::{Any, BmpString, ObjectIdentifier, OctetString, SetOfVec},
};
use koshin_ra::NoEntropy;
use pkcs5::{EncryptionScheme, pbes2};
use pkcs12::{
    PKCS_12_CERT_BAG_OID, PKCS_12_PKCS8_KEY_BAG_OID, PKCS_12_X509_CERT_OID,
    cert_type::CertBag,
    digest_info::DigestInfo,
    kdf::{Pkcs12KeyType, derive_key},
    mac_data::MacData,
    pbe_params::EncryptedPrivateKeyInfo,
    pfx::{Pfx, Version},
    safe_bag::SafeBag,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use ring::{digest, hmac};
use rustls_pki_types::PrivatePkcs8KeyDer;
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::{Attribute, Attributes};
use zeroize::Zeroizing;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const FRIENDLY_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.20");
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Rounds of PBKDF2, as in the file that the page makes.
const PBKDF2_ROUNDS: u32 = 100_000;
/// Rounds of the MAC's derivation: what openssl writes.
const MAC_ROUNDS: i32 = 2048;
/// macOS refuses longer MAC salts.
const MAC_SALT_OCTETS: usize = 8;

type Random = fn(&mut [u8]) -> Result<(), NoEntropy>;

/// A new P-256 key (PKCS#8, DER) and a request for it (PKCS#10, DER). The subject in the request is a placeholder: the
/// CA takes the key and its proof of possession.
///
/// # Errors
///
/// When ring can make no key or no signature.
pub(crate) fn new_key_and_request() -> anyhow::Result<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a P-256 key")?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "koshin");
    let request = parameters.serialize_request(&key).context("cannot sign the request")?;
    Ok((Zeroizing::new(key.serialize_der()), request.der().to_vec()))
}

/// A PFX (RFC 7292) of the same structure as the page's: PBES2 with PBKDF2-HMAC-SHA-256 and AES-256-CBC, an
/// HMAC-SHA-256 over it, `localKeyId` and `friendlyName` on the key and its certificate.
///
/// `chain` is DER, the issuer first; it may be empty. `friendly_name` is what certificate lists show. `passphrase` may
/// be any text; Java reads only ASCII ones.
///
/// # Errors
///
/// When the certificate does not certify the key, the name has characters outside Unicode's basic plane, or the random
/// source does not answer.
pub(crate) fn pkcs12(
    key_pkcs8_der: &[u8],
    certificate_der: &[u8],
    chain: &[Vec<u8>],
    passphrase: &str,
    friendly_name: &str,
    random: Random,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    assert_certifies(certificate_der, key_pkcs8_der)?;
    let attributes = attributes(certificate_der, friendly_name)?;
    let mut certificates = vec![certificate_bag(certificate_der, Some(attributes.clone()))?];
    for above in chain {
        certificates.push(certificate_bag(above, None)?);
    }
    let key = key_bag(key_pkcs8_der, attributes, passphrase, random)?;
    let safe = vec![
        encrypted_content(&certificates.to_der()?, passphrase, random)?,
        ContentInfo { content_type: DATA, content: octets(&vec![key].to_der()?)? },
    ]
    .to_der()?;
    let mac_data = Some(mac_data(&safe, passphrase, random)?);
    let auth_safe = ContentInfo { content_type: DATA, content: octets(&safe)? };
    Ok(Zeroizing::new(Pfx { version: Version::V3, auth_safe, mac_data }.to_der()?))
}

/// Compares the public keys, so that nobody gets a file that no browser can use.
fn assert_certifies(certificate_der: &[u8], key_pkcs8_der: &[u8]) -> anyhow::Result<()> {
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key_pkcs8_der)).context("this is no PKCS#8 key")?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate_der).context("this is no certificate")?;
    let certified = certificate.public_key().raw;
    ensure!(certified == key.subject_public_key_info(), "the certificate was issued for another key");
    Ok(())
}

/// The same `localKeyId` on both sides is how readers pair the key with its certificate (RFC 7292, 4.2).
fn attributes(certificate_der: &[u8], friendly_name: &str) -> der::Result<Attributes> {
    let id = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate_der);
    let attribute = |oid, value| Ok::<_, der::Error>(Attribute { oid, values: SetOfVec::from_iter([value])? });
    let name = Any::encode_from(&BmpString::from_utf8(friendly_name)?)?;
    SetOfVec::from_iter([attribute(FRIENDLY_NAME, name)?, attribute(LOCAL_KEY_ID, octets(id.as_ref())?)?])
}

fn certificate_bag(certificate_der: &[u8], bag_attributes: Option<Attributes>) -> der::Result<SafeBag> {
    let bag = CertBag { cert_id: PKCS_12_X509_CERT_OID, cert_value: OctetString::new(certificate_der)? };
    Ok(SafeBag { bag_id: PKCS_12_CERT_BAG_OID, bag_value: bag.to_der()?, bag_attributes })
}

fn key_bag(key: &[u8], attributes: Attributes, passphrase: &str, random: Random) -> anyhow::Result<SafeBag> {
    let (encryption_algorithm, ciphertext) = encrypt(key, passphrase, random)?;
    let bag = EncryptedPrivateKeyInfo { encryption_algorithm, encrypted_data: OctetString::new(ciphertext)? };
    Ok(SafeBag { bag_id: PKCS_12_PKCS8_KEY_BAG_OID, bag_value: bag.to_der()?, bag_attributes: Some(attributes) })
}

fn encrypted_content(plain: &[u8], passphrase: &str, random: Random) -> anyhow::Result<ContentInfo> {
    let (content_enc_alg, ciphertext) = encrypt(plain, passphrase, random)?;
    let encrypted = EncryptedData {
        version: CmsVersion::V0,
        enc_content_info: EncryptedContentInfo {
            content_type: DATA,
            content_enc_alg,
            encrypted_content: Some(OctetString::new(ciphertext)?),
        },
        unprotected_attrs: None,
    };
    Ok(ContentInfo { content_type: ENCRYPTED_DATA, content: Any::encode_from(&encrypted)? })
}

/// PBES2 (RFC 8018, 6.2). The passphrase goes in as UTF-8, unlike in the MAC.
fn encrypt(plain: &[u8], passphrase: &str, random: Random) -> anyhow::Result<(AlgorithmIdentifierOwned, Vec<u8>)> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    random(&mut salt)?;
    random(&mut iv)?;
    let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(PBKDF2_ROUNDS, &salt, &iv)
        .and_then(|parameters| Ok((parameters.encrypt(passphrase, plain)?, parameters)));
    let (ciphertext, parameters) = parameters.map_err(|error| anyhow::anyhow!("PBES2: {error}"))?;
    let scheme = EncryptionScheme::from(parameters);
    let algorithm =
        AlgorithmIdentifierOwned { oid: scheme.oid(), parameters: scheme.pbes2().map(Any::encode_from).transpose()? };
    Ok((algorithm, ciphertext))
}

/// The MAC over the authenticated safe, its key by RFC 7292, appendix B, from the passphrase in UTF-16.
fn mac_data(safe: &[u8], passphrase: &str, random: Random) -> anyhow::Result<MacData> {
    let mut salt = [0; MAC_SALT_OCTETS];
    random(&mut salt)?;
    let units = passphrase.encode_utf16().chain([0]).flat_map(u16::to_be_bytes);
    let password = Zeroizing::new(units.collect::<Vec<u8>>());
    let key = Zeroizing::new(derive_key::<sha2_10::Sha256>(&password, &salt, Pkcs12KeyType::Mac, MAC_ROUNDS, 32));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), safe);
    Ok(MacData {
        mac: DigestInfo {
            algorithm: AlgorithmIdentifierOwned { oid: SHA_256, parameters: Some(Any::null()) },
            digest: OctetString::new(mac.as_ref())?,
        },
        mac_salt: OctetString::new(salt)?,
        iterations: MAC_ROUNDS,
    })
}

fn octets(content: &[u8]) -> der::Result<Any> {
    Any::encode_from(&OctetString::new(content)?)
}

#[cfg(test)]
mod tests;
