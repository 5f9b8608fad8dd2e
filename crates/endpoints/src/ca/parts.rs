//! What a CA service is put together from.

use std::{collections::BTreeMap, sync::Arc};

use koshin_issuance::{Gate, LoadError, Random, Signer};

use super::{
    client::{Client, ClientError},
    ledger::Ledger,
    profile::IssuingProfile,
};

/// Where signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// At once, on the thread that needs it: for keys in memory, which sign in less time than a change of threads takes.
    Inline,
    /// On threads for blocking work: for tokens and whatever else may keep a thread waiting.
    Apart {
        /// How many signatures are asked for at once.
        at_once: usize,
        /// How many requests may wait for one, those included. More are told to come back.
        most: usize,
    },
}

impl Signing {
    /// [`Apart`](Self::Apart) for a token: 4 at once, 64 in all.
    ///
    /// ```
    /// use koshin_endpoints::ca::Signing;
    /// assert_eq!(Signing::token(), Signing::Apart { at_once: 4, most: 64 });
    /// ```
    pub const fn token() -> Self {
        Self::Apart { at_once: 4, most: 64 }
    }
}

/// What a [`CaService`](super::CaService) is put together from.
pub struct CaParts {
    /// The issuing CA's certificate, DER.
    pub certificate: Vec<u8>,
    /// The certificates above it, the next one first.
    pub chain: Vec<Vec<u8>>,
    /// The issuing CA's key.
    pub signer: Arc<dyn Signer>,
    /// Where signatures are made.
    pub signing: Signing,
    /// Where serial numbers come from.
    pub random: Random,
    /// What every certification request has to pass.
    pub gate: Gate,
    /// Where everything is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// What may be issued, by name: at least one.
    pub profiles: BTreeMap<String, IssuingProfile>,
    /// Who may ask.
    pub clients: Vec<Client>,
}

/// Why a service cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The CA's certificate, chain or key.
    #[error("the CA cannot be loaded")]
    Ca(#[from] LoadError),
    /// There is nothing to issue.
    #[error("no profile is configured")]
    NoProfile,
    /// A name that cannot be recorded.
    #[error("{name:?} cannot be a profile's name: it takes 1 to 64 of A-Z a-z 0-9 . _ -")]
    ProfileName {
        /// The name.
        name: String,
    },
    /// The RA clients.
    #[error("the RA clients cannot be used")]
    Client(#[from] ClientError),
}
