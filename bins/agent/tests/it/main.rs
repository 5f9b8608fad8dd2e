//! The program from outside: against a scripted portal over real TLS, with a real NSS database, and dialogs that a script answers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod asked;
mod card;
mod enrolment;
mod handler;
mod hostile;
mod kill;
mod pc;
mod portal;
mod renewal;
/// The TPM that the key store's own tests run.
#[path = "../../../../crates/pkcs11/tests/it/keystore/swtpm.rs"]
mod swtpm;
mod tpm;
