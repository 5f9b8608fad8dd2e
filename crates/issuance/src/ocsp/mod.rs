//! The Online Certificate Status Protocol (RFC 6960, nonces by RFC 9654), without a network and without a clock.
//!
//! Its caller knows which certificates were issued and what became of them; this module reads the question, signs the
//! answer, and makes the certificate of a delegated responder.

mod request;
mod responder;

pub use request::{CertificateId, OcspFault, OcspRequest};
pub use responder::{OcspEdition, OcspError, OcspFailure, OcspResponder, OcspStatus};

use crate::der::oid;
use ring::digest::{self, Algorithm};

/// The hash functions a `CertID` may be made with: SHA-1, which every client still uses, and SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum IdHash {
    Sha1,
    Sha256,
}

impl IdHash {
    pub(crate) fn from_oid(content: &[u8]) -> Option<Self> {
        match content {
            oid::SHA1 => Some(Self::Sha1),
            oid::SHA256 => Some(Self::Sha256),
            _ => None,
        }
    }

    pub(crate) fn digest(self, octets: &[u8]) -> Vec<u8> {
        let algorithm: &'static Algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, octets).as_ref().to_vec()
    }
}
