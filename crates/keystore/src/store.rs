//! The port.

use std::fmt;

use koshin_types::ProtectionLevel;

use crate::{InstallError, KeyError, KeyId, StoreError, StoredCertificate, StoredKey};

/// A place where keys and their certificates lie.
///
/// Every call blocks until the store has answered, which a person with a PIN pad can make long. Each can be repeated after a
/// crash at any moment: what was done is found done.
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// How well a key that is made here is protected. A store says what it knows, and in doubt the weaker level.
    fn protection(&self) -> ProtectionLevel;

    /// Which store this is, for a person: the kind of store and where it lies.
    fn describe(&self) -> String;

    /// Makes a key pair on P-256 that is meant never to leave the store. The label is what people see beside it; it need not
    /// be the only one of its kind.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a key may have been made nevertheless, and is listed then.
    fn generate(&self, label: &str) -> Result<StoredKey, StoreError>;

    /// The private key of this identifier, to sign with.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when there is none, or none that signs.
    fn key(&self, id: KeyId) -> Result<StoredKey, KeyError>;

    /// Puts a certificate (DER) beside its key, under the key's identifier and label, so that browsers offer it. The certificates of
    /// `chain` (DER, the end entity's issuer first) go along where the store has room for them, but for a self-signed one: what to
    /// trust is decided elsewhere. Installing the same certificate again changes nothing.
    ///
    /// # Errors
    ///
    /// [`InstallError`] when it is not of this key, or the key is not here.
    fn install(&self, key: KeyId, certificate: &[u8], chain: &[Vec<u8>]) -> Result<StoredCertificate, InstallError>;

    /// What there is of keys and end-entity certificates on P-256, in no order: one entry per certificate, and one per key
    /// that has none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn list(&self) -> Result<Vec<Entry>, StoreError>;

    /// Removes the key pair of this identifier and every certificate of it, for ever. That there is none is no error.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the key may be gone and its certificate not, until the call is repeated.
    fn remove(&self, id: KeyId) -> Result<Removed, StoreError>;
}

/// A key, a certificate, or both of the same identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the store calls it.
    pub id: KeyId,
    /// What people see beside it; may be empty.
    pub label: String,
    /// Whether its private key is there.
    pub key: KeyPresence,
    /// The certificate; `None` for a key that has none yet.
    pub certificate: Option<StoredCertificate>,
}

/// Whether a private key lies beside its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPresence {
    /// The store holds it.
    Here,
    /// The store holds the certificate only.
    Absent,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// How many private keys: none or one.
    pub keys: usize,
    /// How many certificates.
    pub certificates: usize,
}
