//! `koshin-ca init`: the ceremonies. All at once for a small site; or the issuing CA here and its root on a machine that
//! is never connected, with two files carried between them.

mod files;
mod install;
mod keys;
mod request;
mod root;
mod sign;
mod site;

use clap::{Args, Subcommand};
use koshin_issuance::{AuthorityName, AuthorityPlan, Signer, certify_issuing, certify_root, new_serial, pem};
use koshin_operator::{instant::rfc3339, machine, output::Form};
use koshin_types::Validity;
use serde_json::json;
use time::{Duration, UtcDateTime};

use self::site::SiteFlags;
pub(crate) use self::{
    files::{Files, refuse_existing},
    keys::{KeyFlags, make as make_key},
    sign::Signing,
};
use crate::config::CONFIG;

/// How long the CAs live, in days.
const ROOT_DAYS: i64 = 20 * 365;
const ISSUING_DAYS: i64 = 10 * 365;

/// What is made, below the folder of the configuration.
const DATABASE: &str = "koshin-ca.db";
pub(crate) const ROOT: &str = "ca/root.pem";
const ROOT_KEY: &str = "ca/root.key";
const ISSUING: &str = "ca/issuing.pem";
const ISSUING_KEY: &str = "ca/issuing.key";
pub(crate) const ISSUING_REQUEST: &str = "ca/issuing.csr";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = STEPS)]
pub(crate) struct InitArguments {
    #[command(subcommand)]
    step: Option<Step>,
    #[command(flatten)]
    all: AllFlags,
}

/// What the help says about the two ways.
const STEPS: &str = "\
All at once, on one machine:
  koshin-ca init --dir DIR --organization NAME

With a root that stays offline:
  1  offline     koshin-ca init root --dir R --organization NAME
  2  at the CA   koshin-ca init request --dir DIR --organization NAME
  3  offline     koshin-ca init sign issuing.csr --root-dir R
  4  at the CA   koshin-ca init install issuing.pem --root root.pem --dir DIR";

#[derive(Debug, Subcommand)]
enum Step {
    /// Make a root, on the offline machine
    Root(root::RootArguments),
    /// Make the issuing CA's key and a request for its certificate, at the CA
    Request(request::RequestArguments),
    /// Make the issuing CA's certificate with the root's key, on the offline machine
    Sign(sign::SignArguments),
    /// Take the certificate in, at the CA
    Install(install::InstallArguments),
}

#[derive(Debug, Args)]
struct AllFlags {
    #[command(flatten)]
    site: SiteFlags,
    /// Encrypt the root's key under the first line of this file
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    key: KeyFlags,
    /// One line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: InitArguments) -> anyhow::Result<()> {
    match arguments.step {
        Some(Step::Root(arguments)) => root::run(&arguments),
        Some(Step::Request(arguments)) => request::run(&arguments),
        Some(Step::Sign(arguments)) => sign::run(&arguments),
        Some(Step::Install(arguments)) => install::run(&arguments).await,
        None => all_at_once(&arguments.all).await,
    }
}

/// Root and issuing CA on one machine.
async fn all_at_once(all: &AllFlags) -> anyhow::Result<()> {
    let (site, now) = (&all.site, machine::now());
    let folder = &site.dir;
    let config = folder.join(CONFIG);
    refuse_existing([CONFIG, DATABASE, ROOT, ROOT_KEY, ISSUING, ISSUING_KEY].map(|name| folder.join(name)))?;
    let place = all.key.place(ISSUING_KEY);
    let mut files = Files::below(folder);
    let clients = site.write_down(&place, now, &mut files)?;
    let root_flags = KeyFlags::of_file(all.root_passphrase_file.as_deref());
    let root_place = root_flags.place(ROOT_KEY);
    let root_key = make_key(&root_flags, &root_place, &config, koshin_issuance::Curve::P384, &mut files)?;
    let root = self_signed(&site.name("Root CA")?, root_key.as_ref(), now)?;
    // Last, since a key in a token cannot be taken back.
    let key = make_key(&all.key, &place, &config, koshin_issuance::Curve::P256, &mut files)?;
    let plan = AuthorityPlan::issuing(site.name("Issuing CA")?);
    let parent = koshin_issuance::Parent::new(&root, root_key.as_ref());
    let serial = new_serial(now, machine::random().as_ref())?;
    let certificate = certify_issuing(&plan, key.public_key_spki(), parent, serial, days(now, ISSUING_DAYS)?)?;
    files.open(ROOT, pem("CERTIFICATE", &root));
    files.open(ISSUING, pem("CERTIFICATE", &certificate));
    files.write()?;
    if let Err(error) = install::make_ledger(&folder.join(DATABASE)).await {
        files.take_back();
        return Err(error);
    }
    Form::new(all.json).one(&json!({
        "config": config,
        "database": folder.join(DATABASE),
        "root_certificate": folder.join(ROOT),
        "root_key": folder.join(ROOT_KEY),
        "issuing_certificate": folder.join(ISSUING),
        "issuing_key": place.to_string(),
        "issuing_not_after": rfc3339(now.truncate_to_second().saturating_add(Duration::days(ISSUING_DAYS))),
        "api_trust_anchor": site.made_anchor(),
        "clients": clients,
    }))?;
    let root_key = folder.join(ROOT_KEY);
    eprintln!("koshin-ca: {} is only needed for the next issuing CA; move it to a safe place now", root_key.display());
    say_next(&config);
    Ok(())
}

/// What comes after the last step of either ceremony.
fn say_next(config: &std::path::Path) {
    eprintln!("koshin-ca: next: koshin-ca config check --config {0}; koshin-ca serve --config {0}", config.display());
}

/// The certificate of a root.
fn self_signed(name: &AuthorityName, key: &dyn Signer, now: UtcDateTime) -> anyhow::Result<Vec<u8>> {
    let serial = new_serial(now, machine::random().as_ref())?;
    Ok(certify_root(&AuthorityPlan::root(name.clone()), key, serial, days(now, ROOT_DAYS)?)?)
}

fn days(now: UtcDateTime, days: i64) -> anyhow::Result<Validity> {
    let start = now.truncate_to_second();
    Ok(Validity::new(start, start.saturating_add(Duration::days(days)))?)
}
