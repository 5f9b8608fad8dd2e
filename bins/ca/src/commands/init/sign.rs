//! `koshin-ca init sign`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, CertificationRequest, Gate, Parent, certify_issuing, new_serial, pem,
};
use koshin_operator::{instant::rfc3339, machine, output::Form, pem as pem_file, secret};
use serde_json::json;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

use super::{ISSUING_DAYS, KeyFlags, days, refuse_existing};
use crate::exit::{Fault, Status};

/// What a root's files are called on its machine.
pub(super) const ROOT: &str = "root.pem";
pub(super) const ROOT_KEY: &str = "root.key";

#[derive(Debug, Args)]
pub(super) struct SignArguments {
    /// The request that `init request` made
    request: PathBuf,
    /// The new certificate; without it the request's name with .pem
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Refuse the request if its key is another one: SHA-256, as `init request` printed it
    #[arg(long, value_name = "HEX")]
    key_fingerprint: Option<String>,
    #[command(flatten)]
    signing: Signing,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// The root, and what it is to say of an issuing CA.
#[derive(Debug, Clone, Args)]
pub(crate) struct Signing {
    /// Where root.pem and root.key are
    #[arg(long, value_name = "DIR", default_value = ".")]
    root_dir: PathBuf,
    /// The issuing CA's name; without it the root's organization and `Issuing CA`
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// For how many days; not beyond the root's own end
    #[arg(long, value_name = "N", default_value_t = ISSUING_DAYS, value_parser = clap::value_parser!(i64).range(1..=20_000))]
    days: i64,
    /// Where the root's revocation list is published, if it is
    #[arg(long, value_name = "URL")]
    root_crl: Vec<String>,
    /// Where the root's certificate is published, if it is
    #[arg(long, value_name = "URL")]
    root_url: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
}

pub(super) fn run(arguments: &SignArguments) -> anyhow::Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| arguments.request.with_extension("pem"));
    refuse_existing([&out])?;
    let text =
        std::fs::read(&arguments.request).with_context(|| format!("{} cannot be read", arguments.request.display()))?;
    let request = CertificationRequest::from_bytes(&text, &Gate::new())
        .with_context(|| format!("{} is refused", arguments.request.display()))?;
    let found = request.spki_fingerprint().to_string();
    let expected = arguments.key_fingerprint.as_ref().map(|text| text.replace(':', "").to_lowercase());
    if let Some(expected) = expected.filter(|expected| *expected != found.to_lowercase()) {
        let reason = format!("the request is for the key {found}, not for {expected}; nothing was signed");
        return Err(Fault::new(Status::NotPermitted, reason).into());
    }
    let certificate = arguments.signing.sign(request.spki_der())?;
    secret::create(&out, pem("CERTIFICATE", &certificate).as_bytes(), false)?;
    let (_, read) = X509Certificate::from_der(&certificate)?;
    let not_after = time::UtcDateTime::from_unix_timestamp(read.validity().not_after.timestamp())?;
    Form::new(arguments.json).one(&json!({
        "certificate": out,
        "subject": read.subject().to_string(),
        "key_fingerprint": found,
        "not_after": rfc3339(not_after),
    }))?;
    eprintln!("koshin-ca: carry {} and root.pem to the CA", out.display());
    eprintln!("koshin-ca: next, there: koshin-ca init install issuing.pem --root root.pem --dir DIR");
    Ok(())
}

impl Signing {
    /// A root on this machine.
    pub(crate) fn here(root_dir: Option<PathBuf>, passphrase_file: Option<&Path>, common_name: String) -> Self {
        Self {
            root_dir: root_dir.unwrap_or_else(|| PathBuf::from(".")),
            common_name: Some(common_name),
            days: ISSUING_DAYS,
            root_crl: Vec::new(),
            root_url: None,
            key: KeyFlags::of_file(passphrase_file),
        }
    }

    /// The certificate of an issuing CA with this key.
    pub(crate) fn sign(&self, spki: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (now, root) = (machine::now(), self.root()?);
        let (_, read) = X509Certificate::from_der(&root)?;
        let part = |part: Option<String>, what| part.with_context(|| format!("the root's name has no {what}"));
        let organization = part(attribute(read.subject(), X509Name::iter_organization), "O")?;
        let country = attribute(read.subject(), X509Name::iter_country);
        let common = self.common_name.clone().unwrap_or_else(|| format!("{organization} Issuing CA"));
        let mut plan = AuthorityPlan::issuing(AuthorityName::new(country.as_deref(), &organization, &common)?);
        plan.crl_urls.clone_from(&self.root_crl);
        plan.ca_issuers_url.clone_from(&self.root_url);
        let key = self.key.place(ROOT_KEY).load(&self.root_dir.join(ROOT))?;
        let serial = new_serial(now, machine::random().as_ref())?;
        Ok(certify_issuing(&plan, spki, Parent::new(&root, key.as_ref()), serial, days(now, self.days)?)?)
    }

    /// The root's certificate.
    pub(crate) fn root(&self) -> anyhow::Result<Vec<u8>> {
        pem_file::certificate(&self.root_dir.join(ROOT))
    }
}

fn attribute<'n, 'a: 'n, I>(name: &'n X509Name<'a>, iter: impl Fn(&'n X509Name<'a>) -> I) -> Option<String>
where
    I: Iterator<Item = &'n x509_parser::prelude::AttributeTypeAndValue<'a>>,
{
    iter(name).next().and_then(|value| value.as_str().ok()).map(str::to_owned)
}
