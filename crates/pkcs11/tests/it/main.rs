//! Signer and key store over real tokens: SoftHSM, in this process's place and behind a proxy that can be killed and stopped;
//! NSS; a TPM that is a program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bench;
#[cfg(feature = "keystore")]
mod keystore;
mod signer;
