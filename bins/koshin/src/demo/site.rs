//! The demonstration's folder: database, CAs, TLS certificate.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use koshin_expiry::{Mode, Policy, PolicyConfig, ValidityRule};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, FileSigner, IssuerCertificate, KeyedCertificate, Profile, ProfileConfig, Random,
    create_issuing, create_root, create_server_ca, create_server_certificate, new_serial,
};
use koshin_operator::{machine, zone::NamedZone};
use koshin_ra::Issuing;
use koshin_sqlite::{Options, Store};
use koshin_types::Validity;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use time::{Duration, UtcDateTime};

use super::{Addresses, people::FILE};
use crate::{
    clock,
    exit::{Fault, Status},
    ocsp::OCSP_PATH,
    remote::RemoteAuthority,
    service::{CA_NAME, CRL_NAME, ROOT_NAME, ServerIdentity},
};

/// The CA that browsers have to trust to open the demo's pages.
pub(crate) const SERVER_CA: &str = "server-ca.pem";
const SERVER_CHAIN: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const ROOT: &str = "root.pem";
const ISSUING: &str = "issuing.pem";
const ISSUING_KEY: &str = "issuing.key";
const DATABASE: &str = "koshin.db";
/// Made in an empty folder before anything else, and taken away when everything is there: what lies beside it is ours.
const UNFINISHED: &str = "demo.unfinished";
/// The configuration of an installation that is none of ours.
const INSTALLATION: &str = "koshin.toml";

/// The names of the demo's hosts. `*.localhost` is no name that browsers accept, so both are listed.
const NAMES: [&str; 2] = ["localhost", "activate.localhost"];
/// How long the server CA and its certificate live.
const SERVER_LIFE: Duration = Duration::days(7);

/// What a demonstration runs on.
pub(crate) struct Site {
    pub(crate) store: Arc<Store>,
    pub(crate) ca: Arc<Ca>,
    pub(crate) identity: ServerIdentity,
}

impl Site {
    /// A CA elsewhere that has the key of this one.
    pub(crate) fn issued_elsewhere(&self, authority: RemoteAuthority) -> anyhow::Result<Issuing> {
        let issuer = IssuerCertificate::read(self.ca.certificate_der(), self.ca.chain_der())?;
        Ok(Issuing::Elsewhere {
            authority: Arc::new(authority),
            issuer: Arc::new(issuer),
            correspondence: self.store.clone(),
        })
    }
}

/// The default policy in the demo's zone, with a rule of validity.
pub(crate) fn policy(zone: &NamedZone, validity: ValidityRule) -> anyhow::Result<Arc<Policy>> {
    let config = PolicyConfig { mode: Mode::Calendar, validity, ..PolicyConfig::default() };
    Ok(Arc::new(Policy::new(config, Arc::new(zone.clone()))?))
}

/// The folder to work in, and whether it is a temporary one.
pub(crate) fn folder(given: Option<PathBuf>) -> anyhow::Result<(PathBuf, bool)> {
    if let Some(folder) = given {
        let new = check(&folder)?;
        create_private(&folder)?;
        let folder = folder.canonicalize().with_context(|| format!("{} cannot be used", folder.display()))?;
        if new {
            write(&folder.join(UNFINISHED), b"")?;
        }
        return Ok((folder, false));
    }
    let mut octets = [0; 8];
    clock::entropy(&mut octets)?;
    let name: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("koshin-demo-{name}"));
    create_private(&folder)?;
    write(&folder.join(UNFINISHED), b"")?;
    Ok((folder, true))
}

/// Whether the folder is a new one. Refuses what no demonstration made: its keys would be replaced and its people joined
/// by ours.
fn check(folder: &Path) -> anyhow::Result<bool> {
    let refused = |found: &Path, what: &str| {
        let reason = format!("{} is {what}; nothing was changed, name a new or an empty folder", found.display());
        Err(Fault::new(Status::State, reason).into())
    };
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    };
    let Some(found) = entries.next() else { return Ok(true) };
    let found = found.with_context(|| format!("{} cannot be read", folder.display()))?.path();
    let has = |name: &str| folder.join(name).exists();
    if has(INSTALLATION) {
        return refused(&folder.join(INSTALLATION), "an installation's, and no demonstration's");
    }
    if has(UNFINISHED) {
        return Ok(false);
    }
    if !has(FILE) {
        return refused(&found, "no demonstration's");
    }
    // What a demonstration has lost is not made anew: other keys would not fit to its certificates.
    match [DATABASE, ROOT, ISSUING, ISSUING_KEY].iter().find(|name| !has(name)) {
        Some(lost) => refused(&folder.join(lost), "missing from this demonstration"),
        None => Ok(false),
    }
}

/// Everything is in the folder that belongs there.
pub(crate) fn finished(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_file(folder.join(UNFINISHED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.join(UNFINISHED).display()))
        }
        _ => Ok(()),
    }
}

fn create_private(folder: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Opens the folder, or fills it.
pub(crate) async fn open(folder: &Path, addresses: &Addresses, now: UtcDateTime) -> anyhow::Result<Site> {
    if !folder.join(ISSUING).exists() {
        make_authorities(folder, addresses, now)?;
    }
    begin_again(folder)?;
    let store = Store::open(&folder.join(DATABASE), &Options::default())
        .await
        .context("the demo's database cannot be opened")?;
    let store = Arc::new(store);
    let ca = Arc::new(load_ca(folder, addresses)?);
    let identity = match load_identity(folder, now) {
        Some(identity) => identity,
        None => make_identity(folder, now)?,
    };
    Ok(Site { store, ca, identity })
}

/// After a first start that was interrupted: takes away the people who had enrolled by then. Nobody was told their
/// passwords, so that nothing is lost with them.
fn begin_again(folder: &Path) -> anyhow::Result<()> {
    if folder.join(FILE).exists() || !folder.join(UNFINISHED).exists() {
        return Ok(());
    }
    // The log and its index go with the database: what is in them would be played into the new one.
    for name in ["", "-wal", "-shm"].map(|end| format!("{DATABASE}{end}")) {
        match fs::remove_file(folder.join(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{name} of an unfinished start cannot be removed"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Root and issuing CA, old enough to have issued certificates that have expired meanwhile.
fn make_authorities(folder: &Path, addresses: &Addresses, now: UtcDateTime) -> anyhow::Result<()> {
    let random: Random = machine::random();
    let start = now.replace_nanosecond(0)?.saturating_sub(Duration::days(3 * 365));
    let years = |years: i64| Validity::new(start, start.saturating_add(Duration::days(365 * years)));
    let serial = || new_serial(now, random.as_ref());
    let name = AuthorityName::new(Some("JP"), "こうしん信用金庫", "こうしんルート認証局")?;
    let root = create_root(&AuthorityPlan::root(name), serial()?, years(20)?, &random)?;
    let name = AuthorityName::new(Some("JP"), "こうしん信用金庫", "こうしん電子証明書認証局")?;
    let plan = AuthorityPlan {
        ca_issuers_url: Some(format!("{}/{ROOT_NAME}", addresses.publication())),
        ..AuthorityPlan::issuing(name)
    };
    let issuing = create_issuing(&plan, &root, serial()?, years(10)?, &random)?;
    write_private(&folder.join(ISSUING_KEY), issuing.pkcs8_pem().as_bytes())?;
    write(&folder.join(ROOT), root.certificate_pem().as_bytes())?;
    // Written last: a folder with this file is complete. The root's key is dropped here.
    write(&folder.join(ISSUING), issuing.certificate_pem().as_bytes())
}

fn load_ca(folder: &Path, addresses: &Addresses) -> anyhow::Result<Ca> {
    let der = |name: &str| -> anyhow::Result<Vec<u8>> {
        let path = folder.join(name);
        let certificate = CertificateDer::from_pem_file(&path);
        Ok(certificate.with_context(|| format!("{} is no certificate", path.display()))?.to_vec())
    };
    let key = fs::read_to_string(folder.join(ISSUING_KEY)).context("the issuing CA's key cannot be read")?;
    let signer = FileSigner::from_pkcs8_pem(&key, machine::random())?;
    let profile = Profile::new(ProfileConfig {
        country: Some("JP".into()),
        crl_urls: vec![format!("{}/{CRL_NAME}", addresses.publication())],
        ca_issuers_url: Some(format!("{}/{CA_NAME}", addresses.publication())),
        ocsp_url: Some(format!("{}/{OCSP_PATH}", addresses.publication())),
        ..ProfileConfig::default()
    })?;
    Ok(Ca::load(&der(ISSUING)?, &[der(ROOT)?], Box::new(signer), profile)?)
}

/// The certificate of an earlier start, while it lives another day: browsers already trust its CA.
fn load_identity(folder: &Path, now: UtcDateTime) -> Option<ServerIdentity> {
    let made: i64 = fs::read_to_string(folder.join("server.made")).ok()?.trim().parse().ok()?;
    let made = UtcDateTime::from_unix_timestamp(made).ok()?;
    if now < made || made.saturating_add(SERVER_LIFE).saturating_sub(Duration::DAY) <= now {
        return None;
    }
    let chain = CertificateDer::pem_file_iter(folder.join(SERVER_CHAIN)).ok()?.collect::<Result<_, _>>().ok()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(SERVER_KEY)).ok()?;
    Some(ServerIdentity { chain, key })
}

/// A server CA that is not the client CA, constrained to the demo's names, and one certificate of it. The CA's key is
/// dropped before this returns.
fn make_identity(folder: &Path, now: UtcDateTime) -> anyhow::Result<ServerIdentity> {
    let random: Random = machine::random();
    let start = now.replace_nanosecond(0)?.saturating_sub(Duration::minutes(5));
    let validity = Validity::new(start, start.saturating_add(SERVER_LIFE))?;
    let serial = || new_serial(now, random.as_ref());
    let name = AuthorityName::new(None, "Koshin", "Koshin demo server CA")?;
    let ca = create_server_ca(&name, &NAMES, serial()?, validity, &random)?;
    let server = create_server_certificate("Koshin", &NAMES, &ca, serial()?, validity, &random)?;
    write(&folder.join(SERVER_CA), ca.certificate_pem().as_bytes())?;
    write(&folder.join(SERVER_CHAIN), server.certificate_pem().as_bytes())?;
    write_private(&folder.join(SERVER_KEY), server.pkcs8_pem().as_bytes())?;
    write(&folder.join("server.made"), start.unix_timestamp().to_string().as_bytes())?;
    Ok(identity(&server))
}

fn identity(server: &KeyedCertificate) -> ServerIdentity {
    ServerIdentity {
        chain: vec![CertificateDer::from(server.certificate_der().to_vec())],
        key: PrivatePkcs8KeyDer::from(server.pkcs8_der().to_vec()).into(),
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    write_with(path, contents, 0o644)
}

/// The same, readable only by this user.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    write_with(path, contents, 0o600)
}

fn write_with(path: &Path, contents: &[u8], mode: u32) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    // A draft of a start that was killed.
    let _ = fs::remove_file(&draft);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}
