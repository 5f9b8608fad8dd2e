//! What the world outside has of a CA whose database was put back from a backup: its newest revocation lists, and
//! certificates that turned up.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use koshin_issuance::RevocationList;
use koshin_sqlite::{
    Behind, Evidence, FoundCertificate, ListEdition, ListedRevocation, NewestList, PublishedList, Why,
};
use koshin_types::{Fingerprint, SerialNumber};
use time::UtcDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pem;

/// Where the evidence is.
#[derive(Debug, Clone)]
pub struct Sources<'a> {
    /// The certificates of the CAs of one database, DER.
    pub issuers: Vec<&'a [u8]>,
    /// The newest list of each; `None` when it cannot be had.
    pub lists: Option<Vec<PathBuf>>,
    /// A folder with certificates in PEM.
    pub certificates: Option<PathBuf>,
}

impl Sources<'_> {
    /// Reads all of it. Certificates of others are left out; `say` hears of each.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read, or is no list of one of these CAs.
    pub fn gather(&self, say: impl Fn(&str)) -> anyhow::Result<Evidence> {
        let list = match &self.lists {
            Some(files) => NewestList::Found(self.newest(files)?),
            None => NewestList::Lost,
        };
        let certificates = match &self.certificates {
            Some(folder) => self.found(folder, say)?,
            None => Vec::new(),
        };
        Ok(Evidence { list, certificates })
    }

    /// What the newest lists say, taken together: the CAs of one database count their lists together.
    fn newest(&self, files: &[PathBuf]) -> anyhow::Result<PublishedList> {
        let mut all: Option<PublishedList> = None;
        for file in files {
            let name = file.display();
            let der = fs::read(file).with_context(|| {
                format!("{name} cannot be read; name the newest list with --crl, or say --crl-lost")
            })?;
            let list = self.issuers.iter().find_map(|issuer| RevocationList::read(&der, issuer).ok());
            let list = list.with_context(|| format!("{name} is no revocation list of this CA"))?;
            let edition = ListEdition {
                number: list.edition().number,
                this_update: list.edition().this_update.truncate_to_second(),
                next_update: list.edition().next_update.truncate_to_second(),
            };
            let all = all.get_or_insert(PublishedList { edition, entries: Vec::new() });
            all.entries.extend(list.entries().iter().map(|entry| ListedRevocation {
                serial: entry.serial,
                at: entry.revoked_at,
                reason: entry.reason,
                invalidity_date: entry.invalidity_date,
            }));
            if all.edition.number < edition.number {
                all.edition = edition;
            }
        }
        all.context("no revocation list is named")
    }

    fn found(&self, folder: &Path, say: impl Fn(&str)) -> anyhow::Result<Vec<FoundCertificate>> {
        let mut found = Vec::new();
        for file in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let file = file?.path();
            if !file.is_file() {
                continue;
            }
            for der in pem::chain(&file)? {
                match self.certificate(&der) {
                    Some(certificate) => found.push(certificate),
                    None => say(&format!("{} holds a certificate of somebody else", file.display())),
                }
            }
        }
        Ok(found)
    }

    fn certificate(&self, der: &[u8]) -> Option<FoundCertificate> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let is_by = |issuer: &&[u8]| {
            X509Certificate::from_der(issuer).is_ok_and(|(_, ca)| {
                read.issuer().as_raw() == ca.subject().as_raw() && read.verify_signature(Some(ca.public_key())).is_ok()
            })
        };
        self.issuers.iter().any(is_by).then_some(())?;
        Some(FoundCertificate {
            serial: SerialNumber::from_be_bytes(read.raw_serial()).ok()?,
            spki: fingerprint(read.public_key().raw),
            not_after: UtcDateTime::from_unix_timestamp(read.validity().not_after.timestamp()).ok()?,
            der: der.to_vec(),
        })
    }
}

/// SHA-256.
pub fn fingerprint(octets: &[u8]) -> Fingerprint {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(ring::digest::digest(&ring::digest::SHA256, octets).as_ref()) {
        *to = *from;
    }
    Fingerprint::new(hash)
}

/// Why something may be missing from a database, in a sentence.
pub fn said(behind: &Behind) -> String {
    let why = match behind.why {
        Why::NoWitness => "its witness is gone",
        Why::Copy => "it is a copy, and nothing shows that the original did not go on",
        Why::Older => "it ends before what its witness saw",
        Why::Forked => "it holds another record where its witness looked",
        Why::List => "a revocation list was published that it does not know",
        _ => "it is not the one that was written last",
    };
    let records = behind.head.sequence;
    match &behind.witness {
        Some(seen) => format!(
            "something may be missing: {why}; it has {records} audit records, the witness saw {}",
            seen.head.sequence
        ),
        None => format!("something may be missing: {why}; it has {records} audit records"),
    }
}
