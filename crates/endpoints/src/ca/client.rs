//! The RA clients of a CA, and what each may do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use koshin_types::Fingerprint;
use ring::digest;

/// What an RA client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// To have certificates issued, under the profiles that it may use.
    Issue,
    /// To have certificates revoked that were issued for it.
    Revoke,
    /// To learn what became of the certificates that were issued for it.
    Changes,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Issue, Self::Revoke, Self::Changes];

    /// The word for configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Revoke => "revoke",
            Self::Changes => "changes",
        }
    }
}

/// An RA client as an operator configures it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What it is called in the ledger: 1 to 64 octets of `A-Z a-z 0-9 . _ -`. It owns what was recorded under this name.
    pub name: String,
    /// SHA-256 of each certificate it may show. Two of them while one is replaced by the next.
    pub certificates: BTreeSet<Fingerprint>,
    /// The profiles that it may have certificates issued under.
    pub profiles: BTreeSet<String>,
    /// What it may ask for.
    pub rights: BTreeSet<Right>,
}

impl Client {
    /// Whether it may ask for this.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// The clients, found by the certificate they show.
#[derive(Debug)]
pub(super) struct Clients {
    by_certificate: HashMap<Fingerprint, String>,
    by_name: BTreeMap<String, Arc<Client>>,
}

impl Clients {
    pub(super) fn new(clients: Vec<Client>, profiles: &BTreeSet<&str>) -> Result<Self, ClientError> {
        let mut all = Self { by_certificate: HashMap::new(), by_name: BTreeMap::new() };
        for client in clients {
            let name = client.name.clone();
            if !is_name(&name) {
                return Err(ClientError::Name { name });
            }
            if client.certificates.is_empty() {
                return Err(ClientError::NoCertificate { name });
            }
            if let Some(profile) = client.profiles.iter().find(|profile| !profiles.contains(profile.as_str())) {
                return Err(ClientError::NoProfile { name, profile: profile.clone() });
            }
            for certificate in &client.certificates {
                if let Some(other) = all.by_certificate.insert(*certificate, name.clone()) {
                    return Err(ClientError::Shared { certificate: *certificate, one: other, other: name });
                }
            }
            if all.by_name.insert(name.clone(), Arc::new(client)).is_some() {
                return Err(ClientError::Twice { name });
            }
        }
        Ok(all)
    }

    pub(super) fn who(&self, certificate_der: &[u8]) -> Option<&Arc<Client>> {
        let digest = digest::digest(&digest::SHA256, certificate_der);
        let fingerprint = Fingerprint::new(*digest.as_ref().first_chunk()?);
        self.by_name.get(self.by_certificate.get(&fingerprint)?)
    }
}

/// Whether a name of a client or a profile can be recorded and logged as it is.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// Why the clients cannot be told apart, or could do nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A name that cannot be recorded.
    #[error("{name:?} cannot be an RA client's name: it takes 1 to 64 of A-Z a-z 0-9 . _ -")]
    Name {
        /// The name.
        name: String,
    },
    /// A name that stands there twice.
    #[error("two RA clients are called {name}")]
    Twice {
        /// The name.
        name: String,
    },
    /// A client that nobody can be.
    #[error("no certificate is configured for the RA client {name}")]
    NoCertificate {
        /// The client.
        name: String,
    },
    /// A certificate of two clients.
    #[error("the certificate {certificate} is configured for two RA clients, {one} and {other}")]
    Shared {
        /// Its SHA-256.
        certificate: Fingerprint,
        /// A client.
        one: String,
        /// The other one.
        other: String,
    },
    /// A profile that there is not.
    #[error("the RA client {name} may use the profile {profile}, which is not configured")]
    NoProfile {
        /// The client.
        name: String,
        /// The profile.
        profile: String,
    },
}
