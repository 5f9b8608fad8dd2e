//! Where a person's key lives.
//!
//! A [`KeyStore`] makes a key pair, signs with it, takes the certificate for it, lists both and removes both. What stands behind
//! it is a TPM or a smart card, the store that a browser or an operating system reads, or memory; it says honestly how well the
//! key is kept there ([`KeyStore::protection`]), and the private key never comes out of it.
//!
//! A key is found by its [`KeyId`], the SHA-1 of its public point, which is what stores call it anyway (`CKA_ID` in PKCS#11, the
//! public key hash of macOS). Names are for people: several certificates of one subject can bear the same one, so nothing
//! here is ever found or deleted by name. Keys are on P-256 and sign with SHA-256; whatever else lies in a store is neither
//! listed nor touched.
//!
//! A [`StoredKey`] makes its own PKCS#10 request and, with the feature `rustls`, is the signing key of a TLS client, so the
//! same key proves possession and logs in. The suite in [`conformance`] says what a store has to do; every one runs it.
//!
//! The crate refuses to know whose key it is, when to renew it, and how anybody is asked for consent. Over PKCS#11 the
//! port is implemented by `koshin-pkcs11`.
//!
//! ```
//! use koshin_keystore::{KeyStore, MemoryKeyStore};
//! use koshin_types::ProtectionLevel;
//! use std::sync::Arc;
//!
//! let store = MemoryKeyStore::new(Arc::new(ring::rand::SystemRandom::new()), ProtectionLevel::File);
//! let key = store.generate("U-1001")?;
//! let request = key.certification_request()?;
//! assert_eq!(request.first(), Some(&0x30));
//!
//! // Another program run later finds it by its identifier.
//! assert_eq!(store.key(key.id())?.spki(), key.spki());
//! assert_eq!(store.list()?.len(), 1);
//! store.remove(key.id())?;
//! assert!(store.list()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(any(windows, target_os = "macos")), forbid(unsafe_code))]

mod certificate;
pub mod conformance;
mod error;
mod id;
mod key;
#[cfg(target_os = "macos")]
pub mod macos;
mod memory;
mod store;
#[cfg(feature = "rustls")]
mod tls;
#[cfg(windows)]
pub mod windows;

pub use certificate::{CertificateFault, CertificateNames, StoredCertificate};
pub use error::{InstallError, KeyError, SignError, StoreError};
pub use id::{KeyId, NoKeyId, PublicPoint, WrongPoint};
pub use key::{KeyHandle, StoredKey, digest, signature_of_halves};
pub use memory::{MemoryKeyStore, Random};
pub use store::{Entry, KeyPresence, KeyStore, Removed};
