//! The heads of an audit log, signed with a key that is not in the database, in a file to which lines are only added.
//!
//! The log is a chain of hashes, so whoever can write the database can write a whole other log that hangs together. A head
//! that was signed before fixes everything up to it: an edit, and a cut before the last head, is found by comparing.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use koshin_sqlite::{AuditHead, StoreError};
use koshin_types::Fingerprint;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};
use zeroize::Zeroizing;

use crate::{instant, machine, pem};

/// The table `[audit]` of a configuration. Paths are relative to the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTable {
    /// The audit key: PKCS#8 in PEM, for its owner alone.
    pub key: PathBuf,
    /// Where the heads go.
    pub heads: PathBuf,
}

/// Where `init` puts them, below the folder of the configuration: the key, its public half, the heads.
pub const KEY: &str = "audit/audit.key";
/// The public half of [`KEY`].
pub const PUBLIC_KEY: &str = "audit/audit.pub";
/// The file of heads beside [`KEY`].
pub const HEADS: &str = "audit/heads";

/// A head is written when so many records came since the last one, or so much time went by with at least one.
const RECORDS: u64 = 1_000;
const AGE: Duration = Duration::from_mins(1);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What stands before an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410, 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A new audit key and its public half, in PEM.
///
/// # Errors
///
/// When the random source fails.
pub fn make_key() -> anyhow::Result<(Zeroizing<String>, String)> {
    let failed = |_| anyhow::anyhow!("the random source of the operating system does not answer");
    let key = Ed25519KeyPair::generate_pkcs8(machine::random().as_ref()).map_err(failed)?;
    let pair = Ed25519KeyPair::from_pkcs8(key.as_ref()).map_err(|_| anyhow::anyhow!("the new key cannot be read"))?;
    let public = [&SPKI[..], pair.public_key().as_ref()].concat();
    Ok((Zeroizing::new(armoured("PRIVATE KEY", key.as_ref())), armoured("PUBLIC KEY", &public)))
}

fn armoured(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && at.is_multiple_of(64) {
            lines.push('\n');
        }
        lines.push(digit);
    }
    lines + &format!("\n-----END {label}-----\n")
}

/// The key that heads are signed with.
#[derive(Debug)]
pub struct AuditKey(Ed25519KeyPair);

impl AuditKey {
    /// Reads it from a file that its owner alone can read.
    ///
    /// # Errors
    ///
    /// When others can read it, or it is no such key.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let PrivateKeyDer::Pkcs8(key) = pem::private_key(file)? else {
            anyhow::bail!("{} holds no key in PKCS#8", file.display());
        };
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        Ok(Self(pair.map_err(|error| anyhow::anyhow!("{} is no audit key: {error}", file.display()))?))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }
}

/// The public half of an [`AuditKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads it from a file: a public key, or the audit key itself.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(&text) else {
            return Ok(AuditKey::read(file)?.public());
        };
        let key = public.strip_prefix(&SPKI[..]).filter(|key| key.len() == 32);
        Ok(Self(key.with_context(|| format!("{} is no Ed25519 key", file.display()))?.to_vec()))
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    at: String,
    sequence: u64,
    hash: String,
    signature: String,
}

/// What is signed.
fn message(at: &str, sequence: u64, hash: &str) -> String {
    format!("koshin audit head 1\n{at}\n{sequence}\n{hash}")
}

/// The file of heads, to be added to.
#[derive(Debug)]
pub struct HeadFile {
    path: PathBuf,
    key: AuditKey,
}

impl HeadFile {
    /// Opens it; a file that is missing is made, for its owner alone.
    ///
    /// # Errors
    ///
    /// When no line can be added to it.
    pub fn open(key: AuditKey, heads: &Path) -> anyhow::Result<Self> {
        appending(heads).with_context(|| format!("{} cannot be added to", heads.display()))?;
        Ok(Self { path: heads.to_owned(), key })
    }

    /// Adds a head; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn add(&self, head: AuditHead, at: UtcDateTime) -> io::Result<()> {
        let (at, hash) = (instant::rfc3339(at), head.hash.to_string());
        let signature = self.key.0.sign(message(&at, head.sequence, &hash).as_bytes());
        let line = Line { signature: BASE64_STANDARD.encode(signature.as_ref()), at, sequence: head.sequence, hash };
        let mut file = appending(&self.path)?;
        // The line break stands in front too, so that half a line, where the power went off, spoils no other.
        file.write_all(format!("\n{}\n", serde_json::to_string(&line)?).as_bytes())?;
        file.sync_all()
    }

    /// Does [`keep`](Self::keep) in a task, which [`Keeping::end`] ends.
    pub fn begin<F, Fut>(self, head: F, now: impl Fn() -> UtcDateTime + Send + Sync + 'static) -> Keeping
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<AuditHead, StoreError>> + Send + 'static,
    {
        let (stop, stopping) = oneshot::channel::<()>();
        let task = tokio::spawn(self.keep(head, now, async move { drop(stopping.await) }));
        Keeping { stop, task }
    }

    /// Adds a head each minute and for each thousand records, as long as there are new ones, and one at the end. What cannot
    /// be written is said once, and tried again.
    pub async fn keep<F, Fut>(
        self,
        head: F,
        now: impl Fn() -> UtcDateTime + Send,
        stopped: impl Future<Output = ()> + Send,
    ) where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = Result<AuditHead, StoreError>> + Send,
    {
        let file = std::sync::Arc::new(self);
        let mut written: Option<(u64, Instant)> = None;
        let mut failing = false;
        tokio::pin!(stopped);
        loop {
            let ends = tokio::select! {
                () = &mut stopped => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            if let Ok(head) = head().await
                && is_due(head.sequence, written, ends)
            {
                let (adding, at) = (std::sync::Arc::clone(&file), now());
                let added = tokio::task::spawn_blocking(move || adding.add(head, at)).await;
                match added.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => {
                        written = Some((head.sequence, Instant::now()));
                        failing = false;
                    }
                    Err(error) if !failing => {
                        failing = true;
                        tracing::error!(%error, path = %file.path.display(), "the head of the audit log cannot be written");
                    }
                    Err(_) => {}
                }
            }
            if ends {
                return;
            }
        }
    }
}

/// The task that keeps the heads.
#[derive(Debug)]
pub struct Keeping {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Writes the last head; to be called when nothing is recorded any more.
    pub async fn end(self) {
        // A task that is gone has nothing to write.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// `written` is the last one, and when.
fn is_due(sequence: u64, written: Option<(u64, Instant)>, ends: bool) -> bool {
    match written {
        None => sequence > 0,
        Some((last, _)) if last == sequence => false,
        Some((last, at)) => ends || last.abs_diff(sequence) >= RECORDS || at.elapsed() >= AGE,
    }
}

fn appending(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A head that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The line of the file, from 1.
    pub line: usize,
    /// When it was signed.
    pub at: String,
    /// The head.
    pub head: AuditHead,
}

/// The heads of a file, whose signatures are right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads {
    /// In the order of the file.
    pub heads: Vec<SignedHead>,
    /// Lines that cannot be read: where the power went off there is half a one.
    pub unreadable: u64,
}

/// Why a log is not the one whose heads were signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadsError {
    /// A line was changed, or signed by somebody else.
    #[error("line {line}: the signature is not by the audit key")]
    Signature {
        /// The line.
        line: usize,
    },
    /// There is no head to compare with.
    #[error("there is no head in the file")]
    None,
    /// The log ends before a head.
    #[error("line {line}: the log was cut: at {at} it had {sequence} records, now it has {records}")]
    Cut {
        /// The line.
        line: usize,
        /// When the head was signed.
        at: String,
        /// The record it speaks of.
        sequence: u64,
        /// How many there are.
        records: u64,
    },
    /// The log holds another record.
    #[error("line {line}: record {sequence} is not the one of {at}: it, or one before it, was changed")]
    Changed {
        /// The line.
        line: usize,
        /// When the head was signed.
        at: String,
        /// The record it speaks of.
        sequence: u64,
    },
}

impl Heads {
    /// Reads a file of heads, and verifies each.
    ///
    /// # Errors
    ///
    /// [`HeadsError::Signature`] and [`HeadsError::None`]; or when the file cannot be read.
    pub fn read(file: &Path, key: &PublicKey) -> anyhow::Result<Self> {
        let octets = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let text = String::from_utf8_lossy(&octets);
        let key = UnparsedPublicKey::new(&ED25519, &key.0);
        let mut heads = Self::default();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let Some((read, hash, signature)) = parsed(text) else {
                heads.unreadable += 1;
                continue;
            };
            let message = message(&read.at, read.sequence, &read.hash);
            key.verify(message.as_bytes(), &signature).map_err(|_| HeadsError::Signature { line })?;
            let head = AuditHead { sequence: read.sequence, hash };
            heads.heads.push(SignedHead { line, at: read.at, head });
        }
        if heads.heads.is_empty() { Err(HeadsError::None.into()) } else { Ok(heads) }
    }

    /// Compares a log that hangs together with the heads: it ends at `end`, and `hash` tells of each of its records.
    ///
    /// # Errors
    ///
    /// [`HeadsError::Cut`] and [`HeadsError::Changed`], of the first head that does not fit; or what `hash` said.
    pub async fn compare<F, Fut>(&self, end: AuditHead, hash: F) -> anyhow::Result<()>
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Option<Fingerprint>, StoreError>>,
    {
        for SignedHead { line, at, head } in &self.heads {
            let (line, at, sequence) = (*line, at.clone(), head.sequence);
            if sequence > end.sequence {
                return Err(HeadsError::Cut { line, at, sequence, records: end.sequence }.into());
            }
            if hash(sequence).await? != Some(head.hash) {
                return Err(HeadsError::Changed { line, at, sequence }.into());
            }
        }
        Ok(())
    }
}

impl AuditTable {
    /// The database was put back from a backup and reconciled for the `epoch`th time: the heads of what was lost fit no more,
    /// and make room for new ones. They stay beside them, under a name with the number behind it; `None` when there are none.
    ///
    /// # Errors
    ///
    /// When they cannot be moved: somebody who may has to.
    pub fn set_aside(&self, path: impl Fn(&Path) -> PathBuf, epoch: u64) -> anyhow::Result<Option<PathBuf>> {
        let heads = path(&self.heads);
        if !heads.exists() {
            return Ok(None);
        }
        let mut name = heads.clone().into_os_string();
        name.push(format!(".{epoch}"));
        let aside = PathBuf::from(name);
        let (from, to) = (heads.display(), aside.display());
        fs::rename(&heads, &aside).with_context(|| format!("{from} cannot be moved; move it to {to} yourself"))?;
        Ok(Some(aside))
    }

    /// Whether a log fits the heads that were kept of it, for who looks whether everything is in order. As long as none was
    /// kept there is nothing to compare. `path` makes a path of the configuration one from here. The log's end is asked for
    /// after the heads were read: a service that is at work may sign one more at any time.
    ///
    /// # Errors
    ///
    /// [`HeadsError`], or what kept the log or the heads from being read.
    pub async fn examine<F, Fut>(
        &self,
        path: impl Fn(&Path) -> PathBuf,
        end: impl Future<Output = Result<AuditHead, StoreError>>,
        hash: F,
    ) -> anyhow::Result<()>
    where
        F: Fn(u64) -> Fut,
        Fut: Future<Output = Result<Option<Fingerprint>, StoreError>>,
    {
        let (key, heads) = (PublicKey::read(&path(&self.key))?, path(&self.heads));
        if !heads.exists() {
            return Ok(());
        }
        match Heads::read(&heads, &key) {
            Err(error) if error.downcast_ref() == Some(&HeadsError::None) => Ok(()),
            Err(error) => Err(error.context(format!("{}", heads.display()))),
            Ok(known) => known.compare(end.await?, hash).await.with_context(|| format!("{}", heads.display())),
        }
    }
}

fn parsed(text: &str) -> Option<(Line, Fingerprint, Vec<u8>)> {
    let line: Line = serde_json::from_str(text).ok()?;
    let hash = line.hash.parse().ok()?;
    let signature = BASE64_STANDARD.decode(&line.signature).ok()?;
    Some((line, hash, signature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret;

    fn head(sequence: u64) -> AuditHead {
        AuditHead { sequence, hash: hash(sequence) }
    }

    fn hash(sequence: u64) -> Fingerprint {
        Fingerprint::new([u8::try_from(sequence % 251).unwrap(); 32])
    }

    struct Desk {
        folder: tempfile::TempDir,
        public: PublicKey,
    }

    impl Desk {
        fn new() -> (Self, HeadFile) {
            let folder = tempfile::tempdir().unwrap();
            let (key, public) = make_key().unwrap();
            secret::create(&folder.path().join("key"), key.as_bytes(), true).unwrap();
            secret::create(&folder.path().join("pub"), public.as_bytes(), false).unwrap();
            let file =
                HeadFile::open(AuditKey::read(&folder.path().join("key")).unwrap(), &folder.path().join("heads"))
                    .unwrap();
            let public = PublicKey::read(&folder.path().join("pub")).unwrap();
            assert_eq!(public, PublicKey::read(&folder.path().join("key")).unwrap());
            (Self { folder, public }, file)
        }

        fn heads(&self) -> PathBuf {
            self.folder.path().join("heads")
        }

        fn read(&self) -> anyhow::Result<Heads> {
            Heads::read(&self.heads(), &self.public)
        }
    }

    async fn compared(heads: &Heads, records: u64, changed: u64) -> Option<HeadsError> {
        let log = |sequence| async move {
            let found = if sequence < changed { hash(sequence) } else { hash(sequence + 1) };
            Ok((sequence <= records).then_some(found))
        };
        heads.compare(head(records), log).await.err().map(|error| error.downcast().unwrap())
    }

    #[tokio::test]
    async fn edits_and_cuts_are_found() {
        let (desk, file) = Desk::new();
        assert_eq!(desk.read().unwrap_err().downcast::<HeadsError>().unwrap(), HeadsError::None);
        for sequence in [10, 1_010, 1_020] {
            file.add(head(sequence), UtcDateTime::UNIX_EPOCH).unwrap();
        }
        let heads = desk.read().unwrap();
        assert_eq!((heads.heads.len(), heads.unreadable), (3, 0));
        assert_eq!(compared(&heads, 1_020, u64::MAX).await, None);
        assert_eq!(compared(&heads, 5_000, 1_021).await, None, "what is newer than the last head is nobody's word");
        let at = "1970-01-01T00:00:00Z".to_owned();
        let cut = HeadsError::Cut { line: heads.heads[2].line, at: at.clone(), sequence: 1_020, records: 1_019 };
        assert_eq!(compared(&heads, 1_019, u64::MAX).await, Some(cut));
        let changed = HeadsError::Changed { line: heads.heads[1].line, at, sequence: 1_010 };
        assert_eq!(compared(&heads, 1_020, 500).await, Some(changed));
    }

    #[test]
    fn a_line_that_was_changed_is_found_and_half_a_line_is_none() {
        let (desk, file) = Desk::new();
        file.add(head(10), UtcDateTime::UNIX_EPOCH).unwrap();
        let whole = fs::read_to_string(desk.heads()).unwrap();
        fs::write(desk.heads(), format!("{whole}\n{{\"at\":\"19")).unwrap();
        file.add(head(11), UtcDateTime::UNIX_EPOCH).unwrap();
        let heads = desk.read().unwrap();
        assert_eq!((heads.heads.len(), heads.unreadable), (2, 1));
        fs::write(desk.heads(), whole.replace("\"sequence\":10", "\"sequence\":9")).unwrap();
        let refused = desk.read().unwrap_err().downcast::<HeadsError>().unwrap();
        assert_eq!(refused, HeadsError::Signature { line: 2 });
        // With another key nothing is right.
        let (other, _) = Desk::new();
        fs::write(desk.heads(), whole).unwrap();
        assert!(Heads::read(&desk.heads(), &other.public).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |name| fs::metadata(desk.folder.path().join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode("key"), mode("heads")), (0o600, 0o600));
        }
    }

    #[test]
    fn a_head_is_due_by_records_and_by_time() {
        let now = Instant::now();
        let long_ago = now.checked_sub(AGE).unwrap();
        for (sequence, written, ends, due) in [
            (0, None, true, false),
            (1, None, false, true),
            (1, Some((1, long_ago)), true, false),
            (2, Some((1, now)), false, false),
            (2, Some((1, now)), true, true),
            (2, Some((1, long_ago)), false, true),
            (1_000, Some((1, now)), false, false),
            (1_001, Some((1, now)), false, true),
            // An older database was put in its place.
            (1, Some((5_000, now)), false, true),
        ] {
            assert_eq!(is_due(sequence, written, ends), due, "{sequence} {written:?} {ends}");
        }
    }
}
