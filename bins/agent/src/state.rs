//! What is on its way, on disk: written before anything is sent, so that whoever was killed goes on when run again.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use koshin_keystore::KeyId;
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, SerialNumber, SubjectId};
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{
    exit::{Fault, Status},
    link::{Kind, Ticket},
    origin::Origin,
    places,
    wire::{Bearer, text},
};

/// One exchange with a portal, as far as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    v: u8,
    /// A random word; the file's name.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The portal's main host, by which it is configured.
    pub(crate) portal: Origin,
    pub(crate) stage: Stage,
}

/// How far it came. Each one is on disk before what follows it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub(crate) enum Stage {
    /// The ticket is about to be shown.
    Opening { ticket: Ticket, opener: Opener },
    /// An enrolment's code is due.
    Asked { exchange: Bearer, activation: Origin, authority: Option<String>, code_length: u8 },
    /// A renewal's digits are due.
    Opened { exchange: Exchange, code_length: u8 },
    /// The portal knows that it is this holder at this computer; the holder has not said Yes here yet.
    Recognized { exchange: Exchange },
    /// The holder said Yes.
    Confirmed { exchange: Exchange },
    /// A key of this label is about to be made.
    Making { exchange: Exchange, store: String, label: String },
    /// There is a key, and the portal is about to hear of it.
    Keyed { exchange: Exchange, made: Made },
    /// There is a certificate, and the holder is asked whether it may be installed.
    Issued { exchange: Exchange, made: Made, issued: Certificate },
    /// It is in the store, and about to prove itself.
    Installed { exchange: Exchange, made: Made, issued: Certificate },
    /// It is in use, and what it replaces is about to be removed.
    Activated { exchange: Exchange, made: Made, issued: Certificate },
}

/// Who shows a ticket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Opener {
    Predecessor(Held),
    Nobody,
}

/// A certificate of which the key is in a store here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    #[serde(with = "text")]
    pub(crate) serial: SerialNumber,
    #[serde(with = "text")]
    pub(crate) fingerprint: Fingerprint,
    #[serde(with = "text")]
    pub(crate) key: KeyId,
    pub(crate) store: String,
}

/// What the portal has said about the renewal or enrolment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exchange {
    #[serde(with = "text")]
    pub(crate) renewal: RenewalId,
    #[serde(with = "text")]
    pub(crate) subject: SubjectId,
    pub(crate) organization: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) activation: Origin,
    pub(crate) minimum: ProtectionLevel,
    pub(crate) proof: Proof,
    /// The serial number of what an enrolment replaces, where there is such a thing.
    pub(crate) replaces: Option<String>,
}

/// What lets this program go on with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Proof {
    Predecessor(Held),
    Bearer(Bearer),
}

/// A key that was made for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) store: String,
    #[serde(with = "text")]
    pub(crate) key: KeyId,
}

/// The certificate for that key, in DER and base64.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) leaf: String,
    pub(crate) chain: Vec<String>,
    #[serde(with = "text")]
    pub(crate) serial: SerialNumber,
}

impl Record {
    pub(crate) fn new(kind: Kind, portal: Origin, stage: Stage) -> anyhow::Result<Self> {
        Ok(Self { v: 1, name: random_word()?, kind, portal, stage })
    }

    /// The same one at another stage.
    pub(crate) fn at(&self, stage: Stage) -> Self {
        Self { stage, ..self.clone() }
    }

    /// What the portal has said, if it has.
    pub(crate) const fn exchange(&self) -> Option<&Exchange> {
        match &self.stage {
            Stage::Opening { .. } | Stage::Asked { .. } => None,
            Stage::Opened { exchange, .. }
            | Stage::Recognized { exchange }
            | Stage::Confirmed { exchange }
            | Stage::Making { exchange, .. }
            | Stage::Keyed { exchange, .. }
            | Stage::Issued { exchange, .. }
            | Stage::Installed { exchange, .. }
            | Stage::Activated { exchange, .. } => Some(exchange),
        }
    }

    /// The same, to be changed.
    pub(crate) const fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.stage {
            Stage::Opening { .. } | Stage::Asked { .. } => None,
            Stage::Opened { exchange, .. }
            | Stage::Recognized { exchange }
            | Stage::Confirmed { exchange }
            | Stage::Making { exchange, .. }
            | Stage::Keyed { exchange, .. }
            | Stage::Issued { exchange, .. }
            | Stage::Installed { exchange, .. }
            | Stage::Activated { exchange, .. } => Some(exchange),
        }
    }

    /// The key that was made for it, if one was.
    pub(crate) const fn made(&self) -> Option<&Made> {
        match &self.stage {
            Stage::Keyed { made, .. }
            | Stage::Issued { made, .. }
            | Stage::Installed { made, .. }
            | Stage::Activated { made, .. } => Some(made),
            _ => None,
        }
    }

    /// The word for how far it came.
    pub(crate) const fn word(&self) -> &'static str {
        match self.stage {
            Stage::Opening { .. } => "opening",
            Stage::Asked { .. } => "asked",
            Stage::Opened { .. } => "opened",
            Stage::Recognized { .. } => "recognized",
            Stage::Confirmed { .. } => "confirmed",
            Stage::Making { .. } => "making",
            Stage::Keyed { .. } => "keyed",
            Stage::Issued { .. } => "issued",
            Stage::Installed { .. } => "installed",
            Stage::Activated { .. } => "activated",
        }
    }
}

/// Where records lie.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Keeps others out of the exchanges with one portal for as long as the answer lives.
    pub(crate) fn lock(&self, portal: &Origin) -> anyhow::Result<File> {
        places::make_private(&self.folder).with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let path = self.folder.join(format!("portal-{}.lock", word_of(&portal.to_string())));
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => {
                let reason =
                    format!("another window of this program is busy with {}; answer it first", portal.authority());
                Err(Fault::new(Status::TryAgain, reason).into())
            }
            Err(fs::TryLockError::Error(error)) => Err(error).context("the state cannot be locked"),
        }
    }

    /// All records, of one portal or of all.
    pub(crate) fn records(&self, portal: Option<&Origin>) -> anyhow::Result<Vec<Record>> {
        let folder = match fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", self.folder.display())),
        };
        let mut records = Vec::new();
        for entry in folder {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with("exchange-") {
                continue;
            }
            let unread = || format!("{} cannot be used; `koshin-agent forget` removes it", path.display());
            let octets = match fs::read(&path) {
                Ok(octets) => octets,
                // Another window has finished it meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(unread),
            };
            let record: Record = serde_json::from_slice(&octets).with_context(unread)?;
            if record.v == 1 && portal.is_none_or(|portal| record.portal == *portal) {
                records.push(record);
            }
        }
        records.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(records)
    }

    /// Writes a record, completely or not at all.
    pub(crate) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let octets = zeroize::Zeroizing::new(serde_json::to_vec(record)?);
        let path = self.path(&record.name);
        places::write_private(&path, &octets).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Removes a record.
    pub(crate) fn forget(&self, record: &Record) -> anyhow::Result<()> {
        let path = self.path(&record.name);
        gone(fs::remove_file(&path)).with_context(|| format!("{} cannot be removed", path.display()))
    }

    /// Removes what cannot be read as a record: of another version, or damaged.
    pub(crate) fn sweep(&self) -> anyhow::Result<usize> {
        let Ok(folder) = fs::read_dir(&self.folder) else { return Ok(0) };
        let mut swept = 0;
        for entry in folder {
            let path = entry?.path();
            let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("exchange-"));
            let readable =
                |octets: Vec<u8>| serde_json::from_slice::<Record>(&octets).is_ok_and(|record| record.v == 1);
            if ours && !fs::read(&path).is_ok_and(readable) {
                gone(fs::remove_file(&path))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("exchange-{name}.json"))
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A word that nobody guesses.
#[expect(clippy::disallowed_methods, reason = "this is the rim")]
pub(crate) fn random_word() -> anyhow::Result<String> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| anyhow::anyhow!("the system's random source failed: {error}"))?;
    Ok(hex(&octets))
}

fn word_of(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hex(hash.as_ref().get(..8).unwrap_or_default())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(portal: &str) -> Record {
        let opening = Stage::Opening { ticket: "ab".repeat(32).parse().unwrap(), opener: Opener::Nobody };
        Record::new(Kind::Enrol, portal.parse().unwrap(), opening).unwrap()
    }

    #[test]
    fn records_are_kept_read_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(&folder.path().join("state"));
        assert!(shelf.records(None).unwrap().is_empty());
        let (a, b) = (record("https://a.example"), record("https://b.example"));
        let _lock = shelf.lock(&a.portal).unwrap();
        shelf.save(&a).unwrap();
        shelf.save(&b).unwrap();
        shelf.save(&a).unwrap();
        assert_eq!(shelf.records(None).unwrap().len(), 2);
        let of_a = shelf.records(Some(&a.portal)).unwrap();
        assert_eq!((of_a.len(), of_a[0].name.as_str(), of_a[0].word()), (1, a.name.as_str(), "opening"));
        shelf.forget(&a).unwrap();
        shelf.forget(&a).unwrap();
        assert_eq!(shelf.records(None).unwrap().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let shelf = Shelf::new(&place);
        let one = record("https://a.example");
        let _lock = shelf.lock(&one.portal).unwrap();
        shelf.save(&one).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&shelf.path(&one.name))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "a draft was left");
    }

    #[test]
    fn one_window_at_a_time_for_each_portal() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        let (a, b): (Origin, Origin) = ("https://a.example".parse().unwrap(), "https://b.example".parse().unwrap());
        let first = shelf.lock(&a).unwrap();
        let error = shelf.lock(&a).unwrap_err();
        assert_eq!(error.downcast_ref::<Fault>().unwrap().status, Status::TryAgain);
        assert!(shelf.lock(&b).is_ok());
        drop(first);
        assert!(shelf.lock(&a).is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_said_and_can_be_swept() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path());
        fs::write(folder.path().join("exchange-x.json"), "{").unwrap();
        assert!(shelf.records(None).unwrap_err().to_string().contains("exchange-x.json"));
        assert_eq!(shelf.sweep().unwrap(), 1);
        assert!(shelf.records(None).unwrap().is_empty());
    }
}
