//! What a handler learns about the client certificate of its connection.

use std::sync::Arc;

use koshin_types::{Fingerprint, SerialNumber, Validity};

/// The client certificate of the connection a request came in on, as a request extension.
///
/// On a listener without TLS, or one that asks for no certificate, it is always `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The peer showed no certificate.
    None,
    /// The peer showed this one and proved in the handshake that it holds the key.
    Presented(Arc<Peer>),
}

impl ClientCertificate {
    /// The peer, if it showed a certificate.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            Self::None => None,
            Self::Presented(peer) => Some(peer),
        }
    }
}

/// An end-entity certificate whose key the peer holds, and what its path is worth at the instant of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The certificate as it came, DER.
    pub leaf_der: Vec<u8>,
    /// SHA-256 of `leaf_der`: the key to the ledger.
    pub fingerprint: Fingerprint,
    /// The serial number; `None` when it is not one of RFC 5280, which happens with foreign certificates only.
    pub serial: Option<SerialNumber>,
    /// The validity; `None` when the certificate cannot be read.
    pub validity: Option<Validity>,
    /// What the path is worth.
    pub trust: Trust,
}

/// What the path of a client certificate is worth at one instant.
///
/// None of these lets anybody in: the ledger decides that. All but `Verified` keep everybody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Issued by one of our authorities for client authentication, and within its validity.
    Verified,
    /// As `Verified` but for the time: its last second is over.
    Expired,
    /// As `Verified` but for the time: its first second is still to come.
    NotYetValid,
    /// Anything else.
    Untrusted {
        /// Why, in English, for logs and operators.
        reason: &'static str,
    },
}
