//! Why a store did not do what it was asked for.

use std::error::Error;

use crate::{CertificateFault, KeyId};

/// Why a store answers nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is not there now, or busy: a card that was pulled out, a TPM that somebody else uses. It may be there again.
    #[error("{store} does not answer now")]
    Away {
        /// Which store.
        store: String,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store lets nobody in. What was refused is not tried again: the tries that are left belong to a person.
    #[error("{store} is locked: {reason}")]
    Locked {
        /// Which store.
        store: String,
        /// What the store said.
        reason: String,
    },
    /// Anything else.
    #[error("{store} answered with an error")]
    Failed {
        /// Which store.
        store: String,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The store holds no private key of this identifier.
    #[error("the store holds no key {id}")]
    Missing {
        /// The identifier.
        id: KeyId,
    },
    /// There is one, but it is no key on P-256 that signs.
    #[error("the key {id} is no signing key on P-256")]
    Kind {
        /// The identifier.
        id: KeyId,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

/// Why a key did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key was removed since it was found.
    #[error("the key {id} is no longer in the store")]
    Gone {
        /// The identifier.
        id: KeyId,
    },
    /// What the store gave is no ECDSA signature on P-256.
    #[error("the store signed with {octets} octets that are no signature on P-256")]
    Form {
        /// How many there were.
        octets: usize,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SignError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

/// Why a certificate was not installed. Nothing of it is in the store then, but perhaps certificates of its chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// It cannot be read, or is of another kind than the keys here.
    #[error("the certificate cannot be installed")]
    Certificate(#[from] CertificateFault),
    /// It is for another key.
    #[error("the certificate is for the key {certified}, not for {key}")]
    OtherKey {
        /// The key that it was to be installed for.
        key: KeyId,
        /// The key that it certifies.
        certified: KeyId,
    },
    /// The store holds no such key, so the certificate would be of no use in it.
    #[error("the store holds no key {key} for the certificate")]
    NoKey {
        /// The identifier.
        key: KeyId,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl InstallError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}
