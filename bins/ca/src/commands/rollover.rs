//! `koshin-ca rollover`: a new issuing CA beside the old one.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use koshin_issuance::{AuthorityName, Ca, Curve, Profile, ProfileConfig, pem, request_certificate};
use koshin_operator::{
    evidence::fingerprint,
    instant::{self, rfc3339},
    key::KeyPlace,
    output::{Form, Row},
    pem as pem_file,
};
use koshin_sqlite::LedgerStore;
use koshin_types::SerialNumber;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, UtcDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    crl,
    desk::{Desk, Place},
    init::{Files, KeyFlags, Signing, make_key, refuse_existing},
};
use crate::{
    config::{Checked, edit},
    exit::{Fault, Status},
    share::Span,
};

/// The change from one issuing CA to the next.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloverCommand {
    /// Make the next CA's key, and its certificate if the root is at hand; else a request for it
    Start(Box<StartArguments>),
    /// Take in the certificate that the root's machine made of the request
    Install(InstallArguments),
    /// Say how far it is: which CA issues, and until when the former ones have to be kept
    Status(StatusArguments),
    /// Take a former CA out of the configuration, when all of its certificates have ended
    Finish(FinishArguments),
}

#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// What the next CA's files are called, also where they are published; without it issuing-2 and so on
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// From when on it issues; without it in seven days. Until then everybody can learn of it
    #[arg(long, value_name = "INSTANT", value_parser = instant::parse)]
    from: Option<UtcDateTime>,
    /// The root is on this machine: make the certificate now
    #[arg(long)]
    root_here: bool,
    #[command(flatten)]
    signing: RootFlags,
    #[command(flatten)]
    key: KeyFlags,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// The root, where it is at hand.
#[derive(Debug, Args)]
struct RootFlags {
    /// Where the root's root.pem and root.key are
    #[arg(long, value_name = "DIR", requires = "root_here")]
    root_dir: Option<PathBuf>,
    /// The first line of this file opens the root's key
    #[arg(long, value_name = "FILE", requires = "root_here")]
    root_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// The certificate that `koshin-ca init sign` made
    certificate: PathBuf,
    /// The root's certificate, if it is another one than before
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct FinishArguments {
    /// The former CA, as `rollover status` names it
    name: String,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A CA that has a key and no certificate yet.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    name: String,
    issues_from: String,
    key: KeyPlace,
}

/// Where it waits for its certificate, beside the configuration.
const PENDING: &str = "ca/next.toml";
/// How long before it issues a new CA is made known, if nothing else is said.
const LEAD: Duration = Duration::days(7);
/// Within how long a running service has noticed.
const NOTICED: Duration = Duration::SECOND;

pub(crate) async fn run(command: RolloverCommand) -> anyhow::Result<()> {
    match command {
        RolloverCommand::Start(arguments) => start(*arguments).await,
        RolloverCommand::Install(arguments) => install(arguments).await,
        RolloverCommand::Status(arguments) => status(arguments).await,
        RolloverCommand::Finish(arguments) => finish(arguments).await,
    }
}

async fn start(arguments: StartArguments) -> anyhow::Result<()> {
    let desk = arguments.place.open().await?;
    let (checked, now) = (&desk.checked, desk.believed()?);
    let folder = checked.folder();
    refuse_existing([folder.join(PENDING)])?;
    let number = checked.config.authorities.len() + 1;
    let name = arguments.name.unwrap_or_else(|| format!("issuing-{number}"));
    let from = arguments.from.unwrap_or_else(|| now.saturating_add(LEAD).truncate_to_second());
    let place = arguments.key.place(&format!("ca/{name}.key"));
    let pending = Pending { name: name.clone(), issues_from: rfc3339(from), key: place.clone() };
    // What the configuration would be refused for is said before anything is made.
    checked.with(&pending, false)?;
    if from <= now {
        return Err(Fault::usage(format!("--from {} is past; a CA begins in the future", rfc3339(from))).into());
    }
    let (issuer, chain) = checked.newest()?;
    let mut files = Files::below(&folder);
    if !arguments.root_here {
        let key = make_key(&arguments.key, &place, &checked.file, Curve::P256, &mut files)?;
        let request = request_certificate(&issuer.numbered(number)?, key.as_ref())?;
        let file = format!("ca/{name}.csr");
        files.open(&file, pem("CERTIFICATE REQUEST", &request));
        files.open(PENDING, toml::to_string(&pending)?);
        files.write()?;
        let digest = fingerprint(key.public_key_spki()).to_string();
        desk.note("rollover_requested", &[("ca", name.clone()), ("key", digest.clone())], now).await?;
        desk.close().await;
        Form::new(arguments.json)
            .one(&json!({"request": folder.join(&file), "key": place.to_string(), "key_fingerprint": digest}))?;
        let common = issuer.common_name(number);
        eprintln!(
            "koshin-ca: next, on the root's machine: koshin-ca init sign {name}.csr --common-name '{common}' \
             --key-fingerprint {digest}"
        );
        eprintln!("koshin-ca: then, here: koshin-ca rollover install {name}.pem");
        return Ok(());
    }
    let common = issuer.common_name(number);
    let signing = Signing::here(arguments.signing.root_dir, arguments.signing.root_passphrase_file.as_deref(), common);
    let root = signing.root()?;
    let own_root = chain.as_deref() != Some(&root[..]);
    let text = checked.with(&pending, own_root)?;
    let key = make_key(&arguments.key, &place, &checked.file, Curve::P256, &mut files)?;
    let certificate = signing.sign(key.public_key_spki())?;
    let ca = Ca::load(&certificate, std::slice::from_ref(&root), key, Profile::new(ProfileConfig::default())?)?;
    files.open(&format!("ca/{name}.pem"), pem("CERTIFICATE", &certificate));
    if own_root {
        files.open(&format!("ca/{name}-root.pem"), pem("CERTIFICATE", &root));
    }
    enter(&desk, &files, &text, from)?;
    desk.note("rollover_started", &[("ca", name.clone()), ("issues_from", rfc3339(from))], now).await?;
    desk.close().await;
    say_installed(arguments.json, &name, &ca, from)
}

async fn install(arguments: InstallArguments) -> anyhow::Result<()> {
    let desk = arguments.place.open().await?;
    let (checked, now) = (&desk.checked, desk.believed()?);
    let folder = checked.folder();
    let waiting = folder.join(PENDING);
    let text = fs::read_to_string(&waiting)
        .map_err(|_| Fault::new(Status::State, "no CA waits for its certificate; `koshin-ca rollover start` begins"))?;
    let pending: Pending = toml::from_str(&text).with_context(|| waiting.display().to_string())?;
    let certificate = pem_file::certificate(&arguments.certificate)?;
    let (_, chain) = checked.newest()?;
    let root = arguments.root.as_deref().map(pem_file::certificate).transpose()?.or_else(|| chain.clone());
    let root = root.context("the CA before this one has no chain; name the root's certificate with --root")?;
    let key = pending.key.load(&checked.file)?;
    let ca = Ca::load(&certificate, std::slice::from_ref(&root), key, Profile::new(ProfileConfig::default())?)?;
    let mut from = instant::parse(&pending.issues_from).map_err(anyhow::Error::msg)?;
    if from <= now.saturating_add(Duration::MINUTE) {
        // The root's machine is far away. A CA never begins in the past: its serial numbers tell when it did.
        from = now.saturating_add(Duration::DAY).truncate_to_second();
    }
    let pending = Pending { issues_from: rfc3339(from), ..pending };
    let own_root = chain.as_deref() != Some(&root[..]);
    let text = checked.with(&pending, own_root)?;
    let mut files = Files::below(&folder);
    files.open(&format!("ca/{}.pem", pending.name), pem("CERTIFICATE", &certificate));
    if own_root {
        files.open(&format!("ca/{}-root.pem", pending.name), pem("CERTIFICATE", &root));
    }
    enter(&desk, &files, &text, from)?;
    fs::remove_file(&waiting).with_context(|| format!("{} cannot be removed", waiting.display()))?;
    desk.note("rollover_started", &[("ca", pending.name.clone()), ("issues_from", rfc3339(from))], now).await?;
    desk.close().await;
    say_installed(arguments.json, &pending.name, &ca, from)
}

/// Writes the files of the next CA and names it in the configuration, where a running service looks for it. It has to learn of
/// a turn before the turn comes.
fn enter(desk: &Desk, files: &Files, text: &str, from: UtcDateTime) -> anyhow::Result<()> {
    files.write()?;
    let now = desk.clock.now();
    let entered = if from > now.saturating_add(NOTICED) {
        edit::replace(&desk.checked.file, text)
    } else {
        let (from, now) = (rfc3339(from), rfc3339(now));
        let reason = format!("it is {now}: a CA cannot be made known before it issues at {from}; let it begin later");
        Err(Fault::new(Status::State, reason).into())
    };
    if entered.is_err() {
        files.take_back();
    }
    entered
}

fn say_installed(json: bool, name: &str, ca: &Ca, from: UtcDateTime) -> anyhow::Result<()> {
    Form::new(json).one(&json!({
        "ca": name,
        "issuer": ca.issuer_name(),
        "issues_from": rfc3339(from),
        "not_after": rfc3339(ca.not_after()),
    }))?;
    eprintln!(
        "koshin-ca: a running `koshin-ca serve` publishes it within a second and issues with it from then on; its log says so"
    );
    eprintln!("koshin-ca: before that, let every RA accept its certificate, beside the one of the CA before it");
    Ok(())
}

/// How one CA stands.
#[derive(Debug, Serialize)]
struct CaRow {
    ca: String,
    issuer: String,
    role: &'static str,
    issues_from: Option<String>,
    /// The last end of what it issued and nobody revoked.
    last_end: Option<String>,
    not_after: String,
    list: &'static str,
    /// Whether `rollover finish` takes it out.
    finished: bool,
}

impl Row for CaRow {
    const HEAD: &'static [&'static str] = &["ca", "role", "issues from", "last end", "not after", "list", "finished"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.ca.clone(),
            self.role.to_owned(),
            self.issues_from.clone().unwrap_or_default(),
            self.last_end.clone().unwrap_or_default(),
            self.not_after.clone(),
            self.list.to_owned(),
            if self.finished { "yes" } else { "no" }.to_owned(),
        ]
    }
}

async fn status(arguments: StatusArguments) -> anyhow::Result<()> {
    let desk = arguments.place.open().await?;
    let rows = rows(&desk, desk.clock.now()).await?;
    let waiting = desk.checked.folder().join(PENDING).exists();
    desk.close().await;
    Form::new(arguments.json).list(rows)?;
    if waiting {
        eprintln!("koshin-ca: another CA waits for its certificate: koshin-ca rollover install CERTIFICATE");
    }
    Ok(())
}

async fn rows(desk: &Desk, now: UtcDateTime) -> anyhow::Result<Vec<CaRow>> {
    let (checked, opened) = (&desk.checked, desk.checked.open()?);
    let issuing = checked.issuing(now);
    let mut rows = Vec::new();
    for (at, (loaded, list)) in opened.authorities.iter().zip(crl::lists(checked, now)?).enumerate() {
        let span = checked.span(at);
        let last_end = last_end(&desk.store, span).await?;
        rows.push(CaRow {
            ca: loaded.stem.clone(),
            issuer: loaded.ca.issuer_name().to_owned(),
            role: match at.cmp(&issuing) {
                std::cmp::Ordering::Less => "former",
                std::cmp::Ordering::Equal => "issuing",
                std::cmp::Ordering::Greater => "next",
            },
            issues_from: span.from.map(rfc3339),
            last_end: last_end.map(rfc3339),
            not_after: rfc3339(loaded.ca.not_after()),
            list: list.condition,
            finished: at < issuing && last_end.is_none_or(|end| end < now),
        });
    }
    Ok(rows)
}

/// The last end of what was issued in a span and not revoked.
async fn last_end(store: &LedgerStore, span: Span) -> anyhow::Result<Option<UtcDateTime>> {
    let serial = |at: UtcDateTime| {
        let milliseconds = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        SerialNumber::from_time_and_random(milliseconds, [0; 13])
    };
    let (first, next) = (span.from.map(serial), span.until.map(serial));
    Ok(store.last_end(first.as_ref(), next.as_ref()).await?)
}

async fn finish(arguments: FinishArguments) -> anyhow::Result<()> {
    let FinishArguments { name, json, place } = arguments;
    let desk = place.open().await?;
    let now = desk.believed()?;
    let rows = rows(&desk, now).await?;
    let Some((at, row)) = rows.iter().enumerate().find(|(_, row)| row.ca == name) else {
        return Err(Fault::not_found(format!("there is no CA {name}; `koshin-ca rollover status` lists them")).into());
    };
    if !row.finished {
        let reason = match (&row.last_end, row.role) {
            (Some(end), "former") => {
                format!("{name} has certificates until {end}; its list and answers are needed till then")
            }
            _ => format!("{name} is the {} CA", row.role),
        };
        return Err(Fault::new(Status::State, reason).into());
    }
    let text = desk.checked.without(at)?;
    edit::replace(&desk.checked.file, &text)?;
    desk.note("rollover_finished", &[("ca", name.clone())], now).await?;
    let key = desk.checked.config.authorities.get(at).map(|authority| authority.key.to_string());
    desk.close().await;
    Form::new(json).one(&json!({"ca": name, "finished": true}))?;
    let key = key.unwrap_or_default();
    eprintln!(
        "koshin-ca: a running `koshin-ca serve` takes it out within a second; then destroy its key, {key}, and let RAs \
         forget its certificate"
    );
    Ok(())
}

/// The names in a CA's certificate.
struct Issuer {
    country: Option<String>,
    organization: String,
}

impl Issuer {
    fn common_name(&self, number: usize) -> String {
        format!("{} Issuing CA {number}", self.organization)
    }

    fn numbered(&self, number: usize) -> anyhow::Result<AuthorityName> {
        Ok(AuthorityName::new(self.country.as_deref(), &self.organization, &self.common_name(number))?)
    }
}

impl Checked {
    /// Who the newest CA is, and the certificate above it.
    fn newest(&self) -> anyhow::Result<(Issuer, Option<Vec<u8>>)> {
        let newest = self.config.authorities.last().context("the configuration has no [[ca]]")?;
        let der = pem_file::certificate(&self.path(&newest.certificate))?;
        let (_, read) = X509Certificate::from_der(&der)?;
        let first = |value: Option<&x509_parser::prelude::AttributeTypeAndValue<'_>>| {
            value.and_then(|value| value.as_str().ok()).map(str::to_owned)
        };
        let issuer = Issuer {
            country: first(read.subject().iter_country().next()),
            organization: first(read.subject().iter_organization().next()).context("the CA's name has no O")?,
        };
        let chain = newest.chain.last().map(|file| pem_file::certificate(&self.path(file))).transpose()?;
        Ok((issuer, chain))
    }

    /// The configuration with one more CA.
    fn with(&self, pending: &Pending, own_root: bool) -> anyhow::Result<String> {
        let newest = self.config.authorities.last().context("the configuration has no [[ca]]")?;
        let chain = match newest.chain.as_slice() {
            chain if !own_root && !chain.is_empty() => chain.to_vec(),
            _ => vec![PathBuf::from(format!("ca/{}-root.pem", pending.name))],
        };
        let block = edit::block(&pending.name, &chain, &pending.key, &pending.issues_from)?;
        edit::append(self, &block)
    }

    /// The configuration without one of its CAs.
    fn without(&self, at: usize) -> anyhow::Result<String> {
        edit::remove(self, at)
    }
}
