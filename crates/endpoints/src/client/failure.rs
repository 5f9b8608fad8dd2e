//! Why a call to the CA gave nothing.

use std::{error::Error, time::Duration as Patience};

use http::StatusCode;

/// Why a call gave nothing. It may have been carried out all the same, unless it is [`CallError::Refused`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// There is no connection to the CA: nobody listens, or TLS failed.
    #[error("the CA cannot be reached")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke, or the CA closed it: it does so when it does not want the client's certificate.
    #[error("the connection to the CA broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The CA did not answer in time.
    #[error("the CA did not answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// The patience there was.
        after: Patience,
    },
    /// The CA refused, and says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer is none of this API: there may be something else at this address.
    #[error("the answer (status {status}) is not one of a CA")]
    Unreadable {
        /// Its HTTP status.
        status: StatusCode,
    },
    /// The certificate in the answer is not the one that was asked for.
    #[error("the {field} in the CA's answer does not fit")]
    Differs {
        /// The part.
        field: &'static str,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Broken(_) | Self::TimedOut { .. } => true,
            Self::Refused(refusal) => refusal.is_transient(),
            Self::Unreadable { status } => is_transient(*status),
            Self::Differs { .. } => false,
        }
    }

    /// The CA's word for what happened, such as `ca.key_unavailable`, when it was the CA that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }
}

/// A problem (RFC 9457) that the CA answered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CA refused ({code}): {detail} {remedy}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What happened, for programs.
    pub code: String,
    /// What happened, for people.
    pub detail: String,
    /// How to go on, for people.
    pub remedy: String,
    /// After how long the same call may succeed.
    pub retry_after: Option<Patience>,
}

impl Refusal {
    /// Whether the same call may succeed later, without anything being changed in it.
    pub fn is_transient(&self) -> bool {
        is_transient(self.status)
    }

    /// Whether nothing will ever come of this renewal and key: the renewal is to be ended, another one needs another key.
    /// Everything else is either transient or for an operator to put right, and the renewal may wait for that.
    pub fn ends_order(&self) -> bool {
        matches!(
            self.code.as_str(),
            "key.seen" | "renewal.taken" | "order.differs" | "order.abandoned" | "order.revoked" | "order.unsignable"
        )
    }
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The URL.
    #[error("{url:?} is not https://HOST[:PORT]")]
    Url {
        /// The setting.
        url: String,
    },
    /// Nothing is believed, so nobody would be.
    #[error("no authority is given for the CA's server certificate")]
    NoAuthority,
    /// A certificate that server certificates cannot chain up to.
    #[error("the authority {number} cannot be used")]
    Authority {
        /// Its place, from 0.
        number: usize,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The client's own certificate and key.
    #[error("the client's certificate and key cannot be used")]
    Own {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}
