//! What a CA answers to anybody, over plain HTTP: its certificates, its revocation list, and the status of a certificate.
//!
//! * [`Publication`] holds the files that certificates point to (RFC 5280, 4.2.1.13 and 4.2.2.1).
//! * [`est`] reads and writes the bodies of EST (RFC 7030, RFC 8951), for whoever decides about its requests.
//! * [`Publisher`] makes the revocation list in time and puts it there: a long one in little memory, a new one whole.
//! * [`OcspService`] answers OCSP by GET and POST (RFC 6960, appendix A; RFC 5019 for caches; RFC 9654 for nonces);
//!   [`ResponderKeeper`] keeps it in a certificate to sign with.
//!
//! What these put out is signed already or signed here, so it needs no TLS; nothing of it is secret, and nothing changes state.
//!
//! And what a CA does for its registration authorities, who have to be known to it:
//!
//! * [`ca`] is the CA as a service: issues once for each order, revokes, tells what changed; port [`ca::Ledger`].
//! * `api` (feature) is that service as JSON over HTTP, with mutual TLS by its caller.
//! * `client` (feature) is the RA's side of it, over rustls.
//!
//! The crate refuses to know where certificates are kept: it asks through [`StatusSource`] and [`RevocationSource`].

#[cfg(feature = "api")]
pub mod api;
pub mod ca;
mod caching;
#[cfg(feature = "client")]
pub mod client;
pub mod est;
mod ocsp;
mod publication;
pub mod publisher;
mod reading;
mod responder;
#[cfg(any(feature = "api", feature = "client"))]
mod wire;

pub use ocsp::{OcspService, OcspSettings, StatusSource, StatusUnavailable};
pub use publication::Publication;
pub use publisher::{
    Condition, CrlSettings, Editions, MemoryRevocations, Place, PublishError, Publisher, RevocationSource, Revoked,
    SourceUnavailable, Standing,
};
pub use reading::{Reading, Readings};
pub use responder::{LogUnavailable, ResponderError, ResponderKeeper, ResponderLog, ResponderSettings};
