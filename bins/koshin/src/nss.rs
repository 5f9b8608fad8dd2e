//! `koshin demo --import-nss` and `--remove-nss`: the demo's certificates in the user's NSS database, where Chromium and
//! its kin look, and out again.
//!
//! A record in the demo's folder says what was put in. It is written before the database is touched, so that an import
//! that was killed can be undone too; what was there before is never in it. The database itself stays, even if it was
//! made here: a running browser may have it open, and would lose what it saves later.

mod tools;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf, absolute},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tools::{Certificate, Database, certificates_in};

/// A person's key, certificate and chain.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The PKCS#12 file; the holder's certificate is the first in it.
    pub(crate) p12: PathBuf,
    pub(crate) passphrase: String,
    /// Whose it is, for the record.
    pub(crate) label: String,
}

/// What [`import`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Imported {
    /// The user said no; nothing was touched.
    Declined,
    /// Everything was there already; nobody was asked.
    Present { certificates: usize },
    /// So many certificates were put in; the others were there already.
    Added { certificates: usize, present: usize },
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined => f.write_str("nothing was imported"),
            Self::Present { certificates } => write!(f, "all {certificates} certificates were there already"),
            Self::Added { certificates, present } => {
                write!(f, "{certificates} certificates imported, {present} were there already")
            }
        }
    }
}

/// What [`remove`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Deleted here, with their keys.
    pub(crate) certificates: usize,
    /// Had been deleted by somebody else.
    pub(crate) gone: usize,
    /// Names of those that share their key with a certificate that is not ours, and were therefore left alone.
    pub(crate) left: Vec<String>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates removed, {} were gone already", self.certificates, self.gone)?;
        match self.left.as_slice() {
            [] => Ok(()),
            left => write!(f, "; left, because another certificate has the same key: {}", left.join(", ")),
        }
    }
}

/// What an import put in, so that removal touches nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Put {
    Certificate,
    Key,
    Both,
}

impl Put {
    const fn new(certificate: bool, key: bool) -> Option<Self> {
        match (certificate, key) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Certificate),
            (false, true) => Some(Self::Key),
            (false, false) => None,
        }
    }

    const fn certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::Both)
    }

    const fn key(self) -> bool {
        matches!(self, Self::Key | Self::Both)
    }

    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Certificate, Self::Certificate) => Self::Certificate,
            (Self::Key, Self::Key) => Self::Key,
            _ => Self::Both,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    subject: String,
    serial: String,
    key_id: String,
    put: Put,
}

/// The file in the demo's folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    database: PathBuf,
    /// By SHA-256 of the certificate.
    certificates: BTreeMap<String, Entry>,
}

impl Record {
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is no record", path.display()))
    }

    /// Replaces the file as a whole. Only the user may read it.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || -> anyhow::Result<()> {
            let folder = absolute(path)?.parent().context("it is no file")?.to_path_buf();
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    fn add(&mut self, wanted: &Wanted, put: Put) {
        let Certificate { serial, subject, key_id, sha256, .. } = wanted.certificate.clone();
        let entry = Entry { name: wanted.name.clone(), subject, serial, key_id, put };
        let entry = self.certificates.entry(sha256).or_insert(entry);
        entry.put = entry.put.and(put);
    }
}

/// A certificate that shall be in the database.
struct Wanted {
    name: String,
    certificate: Certificate,
    from: Source,
}

/// Which file a certificate comes from; the person by place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Ca,
    /// The holder's: its key shall be in the database too.
    Holder(usize),
    Chain(usize),
}

/// Where Chromium looks: `~/.pki/nssdb` if it exists, else `pki/nssdb` under `$XDG_DATA_HOME` (`~/.local/share`).
///
/// # Errors
///
/// Without `$HOME`.
pub(crate) fn user_database() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).context("HOME is not set")?;
    Ok(database_of(Path::new(&home), std::env::var_os("XDG_DATA_HOME")))
}

fn database_of(home: &Path, data_home: Option<OsString>) -> PathBuf {
    let old = home.join(".pki/nssdb");
    if old.is_dir() {
        return old;
    }
    // A relative path in it is void (XDG Base Directory Specification).
    let data_home = data_home.map(PathBuf::from).filter(|path| path.is_absolute());
    data_home.unwrap_or_else(|| home.join(".local/share")).join("pki/nssdb")
}

/// Puts the demo's server CA, trusted for web sites, and the people's keys and certificates into the database, which is
/// made if it is missing. Asks before it touches anything, and not at all if there is nothing to do.
///
/// # Errors
///
/// When a tool is missing or fails, a file cannot be read, the record cannot be written, or the record is of another
/// database.
pub(crate) fn import(
    database: &Path,
    record: &Path,
    ca_pem: &Path,
    identities: &[Identity],
    ask: impl FnOnce(&str) -> bool,
) -> anyhow::Result<Imported> {
    let folder = absolute(database)?;
    let mut written =
        Record::read(record)?.unwrap_or_else(|| Record { database: folder.clone(), certificates: BTreeMap::new() });
    let other = &written.database;
    ensure!(
        *other == folder,
        "an import into {} is on record, this one is into {}: remove that one first",
        other.display(),
        folder.display()
    );
    let nss = Database::new(&folder);
    let wanted = wanted(ca_pem, identities)?;
    let missing = missing(&nss, &wanted)?;
    let (certificates, present) = (missing.len(), wanted.len() - missing.len());
    if missing.is_empty() {
        return Ok(Imported::Present { certificates: present });
    }
    if !ask(&question(&folder, certificates)) {
        return Ok(Imported::Declined);
    }
    if !nss.exists() {
        nss.create()?;
    }
    for (wanted, put) in &missing {
        written.add(wanted, *put);
    }
    written.write(record)?;
    put_in(&nss, ca_pem, identities, &wanted, &missing)?;
    Ok(Imported::Added { certificates, present })
}

fn question(database: &Path, certificates: usize) -> String {
    format!(
        "NSSデータベース {0} にデモの証明書{certificates}件を取り込みます(デモのサーバーCAは信頼済みになります)。よろしいですか。\n\
         Import {certificates} certificates of the demo into the NSS database {0}, its server CA as trusted?",
        database.display()
    )
}

/// Every certificate once: the server CA first, then each person's and the chain above it.
fn wanted(ca_pem: &Path, identities: &[Identity]) -> anyhow::Result<Vec<Wanted>> {
    let ca = Certificate::from_pem_file(ca_pem)?;
    let mut all = vec![Wanted { name: nickname_of_ca(&ca), certificate: ca, from: Source::Ca }];
    for (person, identity) in identities.iter().enumerate() {
        for (place, certificate) in certificates_in(&identity.p12, &identity.passphrase)?.into_iter().enumerate() {
            let (name, from) = match place {
                0 => (identity.label.clone(), Source::Holder(person)),
                _ => (certificate.subject.clone(), Source::Chain(person)),
            };
            if all.iter().all(|other| other.certificate != certificate) {
                all.push(Wanted { name, certificate, from });
            }
        }
    }
    Ok(all)
}

/// NSS refuses a nickname that another subject has, so it ends in something of its own.
fn nickname_of_ca(ca: &Certificate) -> String {
    let start: String = ca.sha256.chars().take(8).collect();
    format!("Koshin demo server CA {start}")
}

fn missing<'a>(nss: &Database<'_>, wanted: &'a [Wanted]) -> anyhow::Result<Vec<(&'a Wanted, Put)>> {
    let exists = nss.exists();
    let mut missing = Vec::new();
    for one in wanted {
        let certificate = !exists || !nss.has_certificate(&one.certificate)?;
        let key = matches!(one.from, Source::Holder(_)) && (!exists || !nss.has_key(&one.certificate.key_id)?);
        missing.extend(Put::new(certificate, key).map(|put| (one, put)));
    }
    Ok(missing)
}

fn put_in(
    nss: &Database<'_>,
    ca_pem: &Path,
    identities: &[Identity],
    wanted: &[Wanted],
    lacking: &[(&Wanted, Put)],
) -> anyhow::Result<()> {
    for (one, _) in lacking.iter().filter(|(one, _)| one.from == Source::Ca) {
        nss.trust(&one.name, ca_pem)?;
    }
    for (place, identity) in identities.iter().enumerate() {
        if lacking.iter().any(|(one, _)| [Source::Holder(place), Source::Chain(place)].contains(&one.from)) {
            nss.import(&identity.p12, &identity.passphrase)?;
        }
    }
    match missing(nss, wanted)?.first() {
        None => Ok(()),
        Some((one, _)) => bail!("{} ({}) was imported and is not in the database", one.name, one.certificate.subject),
    }
}

/// Takes out what the record names, with its keys, and then the record. Without a record there is nothing to do.
///
/// # Errors
///
/// When a tool is missing or fails, or the record cannot be read. It stays then, and removal may be repeated.
pub(crate) fn remove(record: &Path) -> anyhow::Result<Removed> {
    let Some(mut written) = Record::read(record)? else { return Ok(Removed::default()) };
    let folder = written.database.clone();
    let nss = Database::new(&folder);
    let mut removed = Removed::default();
    if nss.exists() {
        let before = nss.certificates()?;
        let (ours, foreign): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|one| written.certificates.contains_key(&one.sha256));
        // The tools find by key id: with two certificates under one, the wrong one might go.
        let shared = |entry: &Entry| foreign.iter().any(|other| other.key_id == entry.key_id);
        let (left, taken): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut written.certificates).into_iter().partition(|(_, entry)| shared(entry));
        for (sha256, entry) in &taken {
            let found = ours.iter().find(|one| one.sha256 == *sha256);
            let count = if take_out(&nss, entry, found)? { &mut removed.certificates } else { &mut removed.gone };
            *count += 1;
        }
        let after = nss.certificates()?;
        if let Some(lost) = foreign.iter().find(|other| !after.contains(*other)) {
            bail!("{} (serial {}) was not ours and is gone from {}", lost.subject, lost.serial, folder.display());
        }
        removed.left = left.values().map(|entry| entry.name.clone()).collect();
        written.certificates = left;
    } else {
        removed.gone = std::mem::take(&mut written.certificates).len();
    }
    if written.certificates.is_empty() {
        std::fs::remove_file(record).with_context(|| format!("cannot remove {}", record.display()))?;
    } else {
        written.write(record)?;
    }
    Ok(removed)
}

/// Deletes what was put in, as far as it is still there; whether there was any of it.
fn take_out(nss: &Database<'_>, entry: &Entry, found: Option<&Certificate>) -> anyhow::Result<bool> {
    let certificate = found.filter(|_| entry.put.certificate());
    let keyed = || Ok::<_, anyhow::Error>(entry.put.key() && nss.has_key(&entry.key_id)?);
    let key = keyed()?;
    if key && certificate.is_some() {
        nss.delete_key_and_certificate(&entry.key_id)?;
    }
    if keyed()? {
        nss.delete_key(&entry.key_id)?;
    }
    if let Some(certificate) = certificate
        && nss.has_certificate(certificate)?
    {
        nss.delete_certificate(&entry.key_id)?;
        ensure!(!nss.has_certificate(certificate)?, "{} cannot be deleted", entry.name);
    }
    Ok(key || certificate.is_some())
}

#[cfg(test)]
mod tests;
