//! The tables of the configuration file and their defaults.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use koshin_operator::{heads::AuditTable, key::KeyPlace, profile::all_keys};
use serde::{Deserialize, Serialize};

/// The whole file. A key that is not here is an error.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file with the fingerprints of keys that nothing is issued for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocked_keys: Option<PathBuf>,
    #[serde(default)]
    pub(crate) storage: Storage,
    /// Where the heads of the audit log go; nowhere by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditTable>,
    /// In the order of time. The last one whose time has come issues; those before it keep their lists and OCSP answers.
    #[serde(rename = "ca")]
    pub(crate) authorities: Vec<Authority>,
    pub(crate) publication: PublicationTable,
    #[serde(default)]
    pub(crate) listen: Listen,
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) clients: BTreeMap<String, ClientTable>,
    pub(crate) profiles: BTreeMap<String, ProfileTable>,
    #[serde(default)]
    pub(crate) crl: CrlTable,
}

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Storage {
    /// The ledger, one SQLite file.
    pub(crate) database: PathBuf,
    /// The folder of the revocation lists.
    pub(crate) lists: PathBuf,
}

impl Default for Storage {
    fn default() -> Self {
        Self { database: "koshin-ca.db".into(), lists: "lists".into() }
    }
}

/// One issuing CA.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authority {
    pub(crate) certificate: PathBuf,
    pub(crate) key: KeyPlace,
    /// The certificates above it, the next one first.
    #[serde(default)]
    pub(crate) chain: Vec<PathBuf>,
    /// From when on it issues, RFC 3339. Before, its certificate and its revocation list are published already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issues_from: Option<String>,
}

/// Where relying parties fetch what the CA publishes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicationTable {
    /// An `http` origin.
    pub(crate) url: String,
}

/// The sockets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// The API for RA clients, over mutual TLS.
    pub(crate) api: SocketAddr,
    /// Revocation lists, certificates and OCSP, over plain HTTP.
    pub(crate) publication: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { api: local(8450), publication: local(8451) }
    }
}

/// The API's own certificate, with its chain.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// One RA client. It is known by its certificates, one by one; who issued them is of no account.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTable {
    /// Files with its certificates: two while one is replaced by the next.
    #[serde(default)]
    pub(crate) certificates: Vec<PathBuf>,
    /// SHA-256 of its certificates, where the files are not here.
    #[serde(default)]
    pub(crate) fingerprints: Vec<String>,
    pub(crate) profiles: Vec<String>,
    #[serde(default = "all_rights")]
    pub(crate) rights: Vec<RightName>,
}

/// What an RA client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RightName {
    Issue,
    Revoke,
    Changes,
}

fn all_rights() -> Vec<RightName> {
    vec![RightName::Issue, RightName::Revoke, RightName::Changes]
}

/// What stands in certificates of this name, and the limits of what may be asked for.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProfileTable {
    /// C of every subject: two capital letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// OU of every subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organizational_unit: Option<String>,
    /// Whether the address that an RA hands over stands in the certificate.
    pub(crate) mail_in_certificate: bool,
    /// Purposes beside clientAuth.
    pub(crate) extended_key_usages: Vec<String>,
    pub(crate) policy_oids: Vec<String>,
    /// Where people read the practice statement of these policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cps_url: Option<String>,
    pub(crate) max_validity_days: u16,
    pub(crate) max_backdate_seconds: u32,
    /// Kinds of keys.
    pub(crate) keys: Vec<String>,
}

impl Default for ProfileTable {
    fn default() -> Self {
        Self {
            country: None,
            organizational_unit: None,
            mail_in_certificate: true,
            extended_key_usages: Vec::new(),
            policy_oids: Vec::new(),
            cps_url: None,
            max_validity_days: 398,
            max_backdate_seconds: 3600,
            keys: all_keys(),
        }
    }
}

/// The revocation lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CrlTable {
    /// From thisUpdate to nextUpdate.
    pub(crate) valid_hours: u32,
    /// How often a new one is made at least; a revocation makes one at once.
    pub(crate) every_hours: u32,
}

impl Default for CrlTable {
    fn default() -> Self {
        Self { valid_hours: 168, every_hours: 12 }
    }
}
