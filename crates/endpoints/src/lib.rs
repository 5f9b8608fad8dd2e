//! What a CA answers to anybody, over plain HTTP: its certificates, its revocation list, and the status of a certificate.
//!
//! * [`Publication`] holds the files that certificates point to (RFC 5280, 4.2.1.13 and 4.2.2.1).
//! * [`OcspService`] answers OCSP by GET and POST (RFC 6960, appendix A; RFC 5019 for caches; RFC 9654 for nonces).
//!
//! Everything here is signed already or signed here, so it needs no TLS; nothing here is secret, and nothing changes state.
//!
//! The crate refuses to know where certificates are kept: it asks through [`StatusSource`], which has one question.

pub mod ca;
mod ocsp;
mod publication;
mod publisher;

pub use ocsp::{OcspService, OcspSettings, StatusSource, StatusUnavailable};
pub use publication::Publication;
pub use publisher::{Editions, RevocationSource, Revoked, SourceUnavailable};

/// The first octets of a digest in lower-case hexadecimal, as entity tags are written.
fn hex(octets: &[u8], first: usize) -> String {
    octets.iter().take(first).map(|octet| format!("{octet:02x}")).collect()
}
