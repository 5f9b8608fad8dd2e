//! What a CA needs beside its keys: the configuration, the API's own certificate, its first clients.

use std::path::PathBuf;

use clap::Args;
use koshin_issuance::{AuthorityName, Random, create_server_ca, create_server_certificate, new_serial};
use koshin_operator::{heads, key::KeyPlace, machine};
use serde_json::{Value, json};
use time::UtcDateTime;

use super::{Files, ISSUING_DAYS, days};
use crate::{
    commands::client::{DAYS, Made},
    config::{CONFIG, Checked},
    exit::Fault,
};

/// The choices of a new installation.
#[derive(Debug, Args)]
pub(super) struct SiteFlags {
    /// Where everything is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// The operator's name, as it will stand in the CAs' certificates
    // Not needed beside a subcommand, which clap can say of an option alone.
    #[arg(long, value_name = "NAME", required = true)]
    organization: Option<String>,
    /// C of the CAs and of every subject: two capital letters
    #[arg(long, value_name = "CC", default_value = "JP")]
    country: String,
    /// Where relying parties fetch revocation lists and certificates; it will stand in every certificate
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8451")]
    publication: String,
    /// The host name by which RAs reach the API; a certificate for it is made
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    api_host: String,
    /// An existing certificate for the API, with its chain, instead of a made one; relative to DIR
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<String>,
    /// Make key and certificate of an RA client of this name, too; better is `koshin-ca client` on the RA's machine
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
}

const TLS: &str = "tls/api.pem";
const TLS_KEY: &str = "tls/api.key";
/// What RAs trust in place of the API's certificate.
const TLS_ANCHOR: &str = "tls/api-ca.pem";

impl SiteFlags {
    fn organization(&self) -> &str {
        self.organization.as_deref().unwrap_or_default()
    }

    /// The name of a CA of this organization.
    pub(super) fn name(&self, what: &str) -> anyhow::Result<AuthorityName> {
        let common = format!("{} {what}", self.organization());
        Ok(AuthorityName::new(Some(&self.country), self.organization(), &common)?)
    }

    /// The trust anchor for the API's certificate, if one was made.
    pub(super) fn made_anchor(&self) -> Option<PathBuf> {
        self.tls_certificate.is_none().then(|| self.dir.join(TLS_ANCHOR))
    }

    /// Adds configuration, TLS and clients to the files, and answers with what the clients are. What the configuration
    /// would be refused for is said before anything is made.
    pub(super) fn write_down(&self, key: &KeyPlace, now: UtcDateTime, files: &mut Files) -> anyhow::Result<Vec<Value>> {
        let mut clients = Vec::new();
        for name in &self.client {
            let made = Made::new(name, DAYS, now)?;
            made.add_to(files);
            let path = |ending: &str| self.dir.join(format!("clients/{name}.{ending}"));
            clients.push(json!({"name": name, "certificate": path("pem"), "key": path("key"),
                "fingerprint": made.fingerprint.to_string()}));
        }
        let text = self.config(key);
        let file = self.dir.join(CONFIG);
        Checked::parse(&file, &text).map_err(|problems| Fault::usage(problems.to_string()))?;
        files.open(CONFIG, text);
        let (audit_key, audit_public_key) = heads::make_key()?;
        files.private(heads::KEY.as_ref(), audit_key);
        files.open(heads::PUBLIC_KEY, audit_public_key);
        if self.tls_certificate.is_none() {
            self.make_tls(now, files)?;
        }
        Ok(clients)
    }

    /// A server's certificate below a CA that can vouch for this one name alone, and whose key is forgotten at once.
    fn make_tls(&self, now: UtcDateTime, files: &mut Files) -> anyhow::Result<()> {
        let random: Random = machine::random();
        let (host, life) = ([self.api_host.as_str()], days(now, ISSUING_DAYS)?);
        let serial = || new_serial(now, random.as_ref());
        let authority = create_server_ca(&self.name("API CA")?, &host, serial()?, life, &random)?;
        let server = create_server_certificate(self.organization(), &host, &authority, serial()?, life, &random)?;
        files.open(TLS, format!("{}{}", server.certificate_pem(), authority.certificate_pem()));
        files.open(TLS_ANCHOR, authority.certificate_pem());
        files.private(TLS_KEY.as_ref(), server.pkcs8_pem());
        Ok(())
    }

    fn config(&self, key: &KeyPlace) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let local = self.publication.starts_with("http://127.0.0.1");
        let clients: String = self
            .client
            .iter()
            .map(|name| {
                let (table, file) = (quoted(name), quoted(&format!("clients/{name}.pem")));
                format!("\n[clients.{table}]\ncertificates = [{file}]\nprofiles = [\"user\"]\n")
            })
            .collect();
        let gaps = [
            ("{country}", quoted(&self.country)),
            ("{publication}", quoted(&self.publication)),
            ("{address}", if local { "127.0.0.1" } else { "0.0.0.0" }.to_owned()),
            ("{tls_certificate}", quoted(self.tls_certificate.as_deref().unwrap_or(TLS))),
            ("{tls_key}", quoted(self.tls_key.as_deref().unwrap_or(TLS_KEY))),
            ("{clients}", clients),
            ("{key}", inline(key)),
        ];
        let template = include_str!("koshin-ca.toml.in").to_owned();
        gaps.into_iter().fold(template, |text, (gap, value)| text.replace(gap, &value))
    }
}

/// A key's place as TOML on one line.
pub(super) fn inline(key: &KeyPlace) -> String {
    toml::Value::try_from(key).map_or_else(|error| error.to_string(), |value| value.to_string())
}
