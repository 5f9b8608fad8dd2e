//! `koshin init`: a root, an issuing CA, a configuration and an empty database.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, KeyedCertificate, Random, create_issuing, create_root, new_serial,
};
use koshin_operator::{heads, instant::rfc3339, machine, output::Form, secret};
use koshin_sqlite::{Options, Store};
use koshin_types::Validity;
use serde_json::json;
use time::{Duration, UtcDateTime};
use zeroize::Zeroizing;

use crate::{
    config::Checked,
    exit::{Fault, Status},
};

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// Where everything is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The operator's name, as it will stand in the CAs' certificates and on screens
    #[arg(long, value_name = "NAME", default_value = "Koshin")]
    organization: String,
    /// C of the CAs and of every subject: two capital letters
    #[arg(long, value_name = "CC", default_value = "JP")]
    country: String,
    /// The host name that people open; `activate.` before it is the host that proves a new certificate
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host: String,
    /// The servers' TLS certificate with its chain, in PEM; relative to DIR
    #[arg(long, value_name = "FILE", default_value = "tls/server.pem")]
    tls_certificate: String,
    /// Its key
    #[arg(long, value_name = "FILE", default_value = "tls/server.key")]
    tls_key: String,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// What is made, below the folder.
const CONFIG: &str = "koshin.toml";
const DATABASE: &str = "koshin.db";
const ROOT: &str = "ca/root.pem";
const ROOT_KEY: &str = "ca/root.key";
const ISSUING: &str = "ca/issuing.pem";
const ISSUING_KEY: &str = "ca/issuing.key";
const AUDIT_KEY: &str = heads::KEY;
const AUDIT_PUBLIC_KEY: &str = heads::PUBLIC_KEY;

/// How long the CAs live, in days.
const ROOT_DAYS: i64 = 20 * 365;
const ISSUING_DAYS: i64 = 10 * 365;

pub(crate) async fn run(arguments: InitArguments) -> anyhow::Result<()> {
    let folder = &arguments.dir;
    let all = [CONFIG, DATABASE, ROOT, ROOT_KEY, ISSUING, ISSUING_KEY, AUDIT_KEY, AUDIT_PUBLIC_KEY];
    if let Some(there) = all.iter().map(|name| folder.join(name)).find(|file| file.exists()) {
        let reason = format!("{} exists already; nothing was changed", there.display());
        return Err(Fault::new(Status::State, reason).into());
    }
    let now = machine::now();
    let config = arguments.config();
    // What the configuration would be refused for is said before anything is made.
    Checked::parse(&folder.join(CONFIG), &config).map_err(|problems| Fault::usage(problems.to_string()))?;
    let (root, issuing) = arguments.authorities(now)?;
    let (audit_key, audit_public_key) = heads::make_key()?;
    let folders = make_folders(folder);
    folders.with_context(|| format!("{} cannot be made", folder.display()))?;
    let certificate = |made: &KeyedCertificate| Zeroizing::new(made.certificate_pem());
    let files = [
        (ROOT_KEY, root.pkcs8_pem(), true),
        (ISSUING_KEY, issuing.pkcs8_pem(), true),
        (ROOT, certificate(&root), false),
        (ISSUING, certificate(&issuing), false),
        (AUDIT_KEY, audit_key, true),
        (AUDIT_PUBLIC_KEY, Zeroizing::new(audit_public_key), false),
        (CONFIG, Zeroizing::new(config), false),
    ];
    for (at, (name, contents, private)) in files.iter().enumerate() {
        if let Err(error) = secret::create(&folder.join(name), contents.as_bytes(), *private) {
            // Half an installation would be in the way of the next try. Only what was made here is taken away.
            files.iter().take(at).for_each(|(made, ..)| drop(fs::remove_file(folder.join(made))));
            return Err(error);
        }
    }
    let database = folder.join(DATABASE);
    let store = Store::open(&database, &Options::default()).await?;
    store.shut_down().await;
    arguments.say(now)
}

impl InitArguments {
    fn config(&self) -> String {
        let local = self.host == "localhost";
        let host = &self.host;
        let quoted = |text: String| toml::Value::String(text).to_string();
        let name = &self.organization;
        // Browsers that know the portal keep to https on its name, so that a local one has to use an address.
        let publication = if local { "127.0.0.1" } else { host };
        let gaps = [
            ("{country}", quoted(self.country.clone())),
            ("{portal}", quoted(format!("https://{host}:8443"))),
            ("{public}", quoted(format!("https://{host}:8444"))),
            ("{activate}", quoted(format!("https://activate.{host}:8445"))),
            ("{publication}", quoted(format!("http://{publication}:8446"))),
            ("{address}", if local { "127.0.0.1" } else { "0.0.0.0" }.to_owned()),
            ("{tls_certificate}", quoted(self.tls_certificate.clone())),
            ("{tls_key}", quoted(self.tls_key.clone())),
            ("{from}", quoted(format!("noreply@{host}"))),
            ("{portal_name}", quoted(format!("{name} Web"))),
            ("{desk_ja}", quoted(format!("{name} サポートデスク"))),
            ("{desk_en}", quoted(format!("{name} support desk"))),
            ("{organization}", quoted(name.clone())),
        ];
        let template = include_str!("koshin.toml.in").to_owned();
        gaps.into_iter().fold(template, |text, (gap, value)| text.replace(gap, &value))
    }

    /// A root with a P-384 key and an issuing CA with a P-256 key below it.
    fn authorities(&self, now: UtcDateTime) -> anyhow::Result<(KeyedCertificate, KeyedCertificate)> {
        let random: Random = machine::random();
        let start = now.truncate_to_second();
        let days = |days| Validity::new(start, start.saturating_add(Duration::days(days)));
        let name = |what: &str| {
            let common = format!("{} {what}", self.organization);
            AuthorityName::new(Some(&self.country), &self.organization, &common)
        };
        let serial = || new_serial(now, random.as_ref());
        let plan = AuthorityPlan::root(name("Root CA")?);
        let root = create_root(&plan, serial()?, days(ROOT_DAYS)?, &random)?;
        let plan = AuthorityPlan::issuing(name("Issuing CA")?);
        let issuing = create_issuing(&plan, &root, serial()?, days(ISSUING_DAYS)?, &random)?;
        Ok((root, issuing))
    }

    fn say(&self, now: UtcDateTime) -> anyhow::Result<()> {
        let path = |name: &str| self.dir.join(name);
        let ends = rfc3339(now.truncate_to_second().saturating_add(Duration::days(ISSUING_DAYS)));
        Form::new(self.json).one(&json!({
            "config": path(CONFIG),
            "database": path(DATABASE),
            "root_certificate": path(ROOT),
            "root_key": path(ROOT_KEY),
            "issuing_certificate": path(ISSUING),
            "issuing_key": path(ISSUING_KEY),
            "issuing_not_after": ends,
            "audit_key": path(AUDIT_KEY),
            "audit_public_key": path(AUDIT_PUBLIC_KEY),
        }))?;
        let (config, certificate, key) = (path(CONFIG), path(&self.tls_certificate), path(&self.tls_key));
        eprintln!(
            "koshin: the root's key {} is only needed for the next issuing CA; keep it offline",
            path(ROOT_KEY).display()
        );
        if !certificate.exists() || !key.exists() {
            let (certificate, key) = (certificate.display(), key.display());
            eprintln!(
                "koshin: put the servers' TLS certificate and key where they are expected: {certificate} and {key}"
            );
        }
        eprintln!("koshin: then: koshin config check --config {0}; koshin serve --config {0}", config.display());
        Ok(())
    }
}

/// The folder, and those for the CAs and the audit key, which only its owner can look into.
fn make_folders(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder.join("ca"))?;
    builder.create(folder.join("audit"))
}
