//! A key in a store, and what can be done with it.

use std::{cell::RefCell, fmt, sync::Arc};

use koshin_types::{Fingerprint, ProtectionLevel};
use rcgen::{CertificateParams, DistinguishedName, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};

use crate::{KeyId, PublicPoint, SignError, StoreError};

/// A private key inside a store. What a store implements so that its keys sign.
pub trait KeyHandle: fmt::Debug + Send + Sync {
    /// Signs a message: ECDSA with SHA-256, as the DER `Ecdsa-Sig-Value` (RFC 5758, 3.2). A store that signs digests only gets
    /// one from [`digest`], and one that gives the two halves side by side has [`signature_of_halves`].
    ///
    /// # Errors
    ///
    /// [`SignError`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A key on P-256 whose private part stays where it is. A clone is the same key.
///
/// With the feature `rustls` it is a `rustls::sign::SigningKey`.
#[derive(Clone)]
pub struct StoredKey {
    point: PublicPoint,
    id: KeyId,
    protection: ProtectionLevel,
    handle: Arc<dyn KeyHandle>,
}

impl StoredKey {
    /// A key of a store, by its public point, how well it is kept, and what signs with it.
    pub fn new(point: PublicPoint, protection: ProtectionLevel, handle: Arc<dyn KeyHandle>) -> Self {
        Self { point, id: KeyId::of_point(&point), protection, handle }
    }

    /// What the store calls it.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Its public point.
    pub const fn point(&self) -> PublicPoint {
        self.point
    }

    /// Its DER `SubjectPublicKeyInfo`.
    pub fn spki(&self) -> Vec<u8> {
        self.point.spki()
    }

    /// The SHA-256 of its `SubjectPublicKeyInfo`.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new(digest(&self.spki()))
    }

    /// How well it is protected. A key that was made elsewhere and brought here is [`ProtectionLevel::File`] wherever the
    /// store can tell, since nobody knows what became of the file.
    pub const fn protection(&self) -> ProtectionLevel {
        self.protection
    }

    /// Signs a message: ECDSA with SHA-256, as the DER `Ecdsa-Sig-Value`.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.handle.sign(message)
    }

    /// A DER PKCS#10 request (RFC 2986) that proves possession of the key and names nobody: from a request the CA takes the key
    /// alone.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the store does not sign.
    pub fn certification_request(&self) -> Result<Vec<u8>, SignError> {
        let request = Request { key: self, fault: RefCell::new(None) };
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let made = parameters.serialize_request(&request).map(|request| request.der().to_vec());
        made.map_err(|error| {
            let fault = request.fault.take();
            fault.unwrap_or_else(|| {
                StoreError::Failed { store: "the writer of requests".to_owned(), source: error.into() }.into()
            })
        })
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn handle(&self) -> Arc<dyn KeyHandle> {
        Arc::clone(&self.handle)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({}, {})", self.id, self.protection)
    }
}

/// A key while it signs its request. Its trait has no room for what a store says, so that is kept here.
struct Request<'a> {
    key: &'a StoredKey,
    fault: RefCell<Option<SignError>>,
}

impl PublicKeyData for Request<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.point.as_sec1()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Request<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|error| {
            self.fault.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

/// The SHA-256 of a message: what ECDSA signs here.
pub fn digest(message: &[u8]) -> [u8; 32] {
    let mut octets = [0; 32];
    let hash = ring::digest::digest(&ring::digest::SHA256, message);
    octets.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    octets
}

/// The DER `Ecdsa-Sig-Value` of the two halves r and s, 32 octets each, side by side, as PKCS#11 and CNG give them.
///
/// # Errors
///
/// [`SignError::Form`] for another length.
///
/// ```
/// let mut halves = [0; 64];
/// (halves[31], halves[32]) = (1, 0x80);
/// let der = koshin_keystore::signature_of_halves(&halves)?;
/// assert_eq!(der[..7], [0x30, 0x26, 2, 1, 1, 2, 0x21]);
/// assert_eq!(der[7..9], [0, 0x80]);
/// assert!(koshin_keystore::signature_of_halves(&[0; 63]).is_err());
/// # Ok::<(), koshin_keystore::SignError>(())
/// ```
pub fn signature_of_halves(halves: &[u8]) -> Result<Vec<u8>, SignError> {
    let wrong = SignError::Form { octets: halves.len() };
    let (Some((r, s)), 64) = (halves.split_at_checked(32), halves.len()) else { return Err(wrong) };
    let (r, s) = (integer(r), integer(s));
    let length = u8::try_from(r.len() + s.len()).map_err(|_| wrong)?;
    Ok([&[0x30, length][..], &r, &s].concat())
}

/// The DER INTEGER of an unsigned number of at most 32 octets.
fn integer(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count().min(octets.len().saturating_sub(1));
    let digits = octets.get(zeros..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_some_and(|octet| octet & 0x80 != 0) { &[0] } else { &[] };
    let length = u8::try_from(sign.len() + digits.len()).unwrap_or(u8::MAX);
    [&[2, length][..], sign, digits].concat()
}
