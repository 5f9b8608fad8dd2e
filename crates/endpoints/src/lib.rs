//! What a CA answers to anybody, over plain HTTP: its certificates, its revocation list, and the status of a certificate.
//!
//! * [`Publication`] holds the files that certificates point to (RFC 5280, 4.2.1.13 and 4.2.2.1).
//! * [`Publisher`] makes the revocation list in time and puts it there: a long one in little memory, a new one whole.
//! * [`OcspService`] answers OCSP by GET and POST (RFC 6960, appendix A; RFC 5019 for caches; RFC 9654 for nonces);
//!   [`ResponderKeeper`] keeps it in a certificate to sign with.
//!
//! Everything here is signed already or signed here, so it needs no TLS; nothing here is secret, and nothing changes state.
//!
//! The crate refuses to know where certificates are kept: it asks through [`StatusSource`] and [`RevocationSource`].

pub mod ca;
mod caching;
mod ocsp;
mod publication;
pub mod publisher;
mod reading;
mod responder;

pub use ocsp::{OcspService, OcspSettings, StatusSource, StatusUnavailable};
pub use publication::Publication;
pub use publisher::{
    Condition, CrlSettings, Editions, MemoryRevocations, Place, PublishError, Publisher, RevocationSource, Revoked,
    SourceUnavailable, Standing,
};
pub use reading::{Reading, Readings};
pub use responder::{LogUnavailable, ResponderError, ResponderKeeper, ResponderLog, ResponderSettings};
