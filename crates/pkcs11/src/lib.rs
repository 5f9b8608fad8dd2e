//! Keys that live in PKCS#11 tokens: smart cards, HSMs, a TPM.
//!
//! With the feature `signer` a CA's key: [`TokenSigner`] is `koshin-issuance`'s [`Signer`](koshin_issuance::Signer) over a
//! token. One thread owns the module and its session, because a PKCS#11 session belongs to one thread at a time; callers
//! hand it what is to be signed and wait, but never longer than they said.
//!
//! A token may lose its session, be pulled out and put back, be swapped, or answer slowly. The signer then says
//! [`Unavailable`](koshin_issuance::SignerError::Unavailable), opens everything anew with the next call, and goes on without
//! a restart. It never tries a PIN again that was refused: the tries that are left belong to a person.
//!
//! With the feature `keystore` a person's key: [`keystore::TokenKeyStore`] is `koshin-keystore`'s
//! [`KeyStore`](koshin_keystore::KeyStore) over a TPM, a smart card, or the store that browsers read on Linux.
//!
//! The crate refuses to know what is signed, and why.

#[cfg(feature = "keystore")]
pub mod keystore;
#[cfg(any(feature = "keystore", feature = "signer"))]
mod module;
#[cfg(any(feature = "keystore", feature = "signer"))]
mod pin;
#[cfg(feature = "signer")]
mod signer;
#[cfg(feature = "signer")]
mod token;

#[cfg(any(feature = "keystore", feature = "signer"))]
pub use pin::Pin;
#[cfg(feature = "signer")]
pub use signer::TokenSigner;
#[cfg(feature = "signer")]
pub use token::{KeyType, TokenConfig, TokenError};
