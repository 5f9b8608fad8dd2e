//! The tables of the configuration file and their defaults.

use std::{net::SocketAddr, path::PathBuf};

use koshin_operator::{
    heads::AuditTable,
    key::KeyPlace,
    post::{Brand, Contact, Mail, PolicyTable, Storage},
    profile::all_keys,
};
use serde::{Deserialize, Serialize};

use super::agent::Agent;

/// The whole file. A key that is not here is an error.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) storage: Storage,
    /// Where the heads of the audit log go; nowhere by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<AuditTable>,
    pub(crate) ca: Authority,
    pub(crate) hosts: HostUrls,
    #[serde(default)]
    pub(crate) listen: Listen,
    pub(crate) tls: Tls,
    pub(crate) brand: Brand,
    pub(crate) contact: Contact,
    pub(crate) mail: Mail,
    #[serde(default)]
    pub(crate) policy: PolicyTable,
    #[serde(default)]
    pub(crate) rules: Rules,
    #[serde(default)]
    pub(crate) est: Est,
    #[serde(default)]
    pub(crate) agent: Agent,
}

/// The issuing CA and what stands in every certificate.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authority {
    pub(crate) certificate: PathBuf,
    /// The certificates above it, the next one first.
    #[serde(default)]
    pub(crate) chain: Vec<PathBuf>,
    /// In this process: where its key is. Exactly one of `key` and `remote`.
    #[serde(default)]
    pub(crate) key: Option<KeyPlace>,
    /// In another process, a `koshin-ca`: how it is asked.
    #[serde(default)]
    pub(crate) remote: Option<Remote>,
    /// Issuing CAs before this one: who still holds a certificate of theirs can log in with it, and renew it.
    #[serde(default)]
    pub(crate) former: Vec<PathBuf>,
    /// Of every subject: two capital letters.
    #[serde(default)]
    pub(crate) country: Option<String>,
    /// Default: below `hosts.publication`.
    #[serde(default)]
    pub(crate) crl_urls: Option<Vec<String>>,
    /// Default: below `hosts.publication`.
    #[serde(default)]
    pub(crate) ca_issuers_url: Option<String>,
    /// Default: below `hosts.publication`.
    #[serde(default)]
    pub(crate) ocsp_url: Option<String>,
    #[serde(default)]
    pub(crate) policy_oids: Vec<String>,
    /// Where people read the practice statement of these policies.
    #[serde(default)]
    pub(crate) cps_url: Option<String>,
    /// OU of every subject.
    #[serde(default)]
    pub(crate) organizational_unit: Option<String>,
    /// Whether a subject's address stands in its certificate.
    #[serde(default = "yes")]
    pub(crate) mail_in_certificate: bool,
    /// Purposes beside clientAuth.
    #[serde(default)]
    pub(crate) extended_key_usages: Vec<String>,
    /// Kinds of keys.
    #[serde(default = "all_keys")]
    pub(crate) keys: Vec<String>,
    /// A file with the fingerprints of keys that nothing is issued for.
    #[serde(default)]
    pub(crate) blocked_keys: Option<PathBuf>,
}

const fn yes() -> bool {
    true
}

/// A CA that issues in another process.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remote {
    /// `https://HOST:PORT` of its API.
    pub(crate) url: String,
    /// Whose certificate it shows, in PEM.
    pub(crate) roots: PathBuf,
    /// What this portal shows it, with its chain.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// The name of the profile there.
    #[serde(default = "user")]
    pub(crate) profile: String,
}

fn user() -> String {
    "user".into()
}

/// What people and relying parties type.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostUrls {
    pub(crate) portal: String,
    pub(crate) public: String,
    pub(crate) activate: String,
    /// Of the CA in this process; a CA elsewhere publishes itself.
    #[serde(default)]
    pub(crate) publication: Option<String>,
}

/// The sockets.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    pub(crate) portal: SocketAddr,
    pub(crate) public: SocketAddr,
    pub(crate) activate: SocketAddr,
    pub(crate) publication: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { portal: local(8443), public: local(8444), activate: local(8445), publication: local(8446) }
    }
}

/// The servers' own certificate, with its chain, for all three hosts.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The numbers beside the policy.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    pub(crate) session_idle_minutes: u32,
    pub(crate) session_total_hours: u32,
    pub(crate) code_minutes: u32,
    pub(crate) code_tries: u8,
    pub(crate) permission_days: u32,
    pub(crate) address_rest_hours: u32,
    pub(crate) free_tries: u32,
    pub(crate) first_delay_seconds: u32,
    pub(crate) longest_delay_minutes: u32,
    pub(crate) request_hours: u32,
    pub(crate) activation_days_after_issue: u32,
    pub(crate) activation_days_after_end: u32,
    pub(crate) start_again_limit: u8,
    pub(crate) start_again_hours: u32,
}

/// EST (RFC 7030), for holders whose certificate is kept by a program instead of a browser.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Est {
    pub(crate) holders: Holders,
}

/// Whether holders may use it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Holders {
    #[default]
    Off,
    Ticket,
}
