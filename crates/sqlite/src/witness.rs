//! A witness of a database: what was newest in it, in a file beside it that no restore brings back.
//!
//! A copy of the database put in its place looks as good as the original. What was issued, revoked and published since the copy
//! was made is then unknown, and a CA that went on would use up serial numbers, revocation lists and keys twice. The witness
//! remembers how far the original had come.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use koshin_types::{Fingerprint, SerialNumber};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteRow;
use time::UtcDateTime;

use crate::{
    audit::AuditHead,
    codec::Columns,
    error::{StoreError, damaged},
    script::Script,
};

/// A longer file begins anew with its newest line.
const LONGEST: u64 = 1 << 20;

/// Number and dates of a revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEdition {
    /// The cRLNumber.
    pub number: u64,
    /// When it was made, in whole seconds.
    pub this_update: UtcDateTime,
    /// When the next one is there at the latest, in whole seconds.
    pub next_update: UtcDateTime,
}

/// How far a database had come when its witness looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witnessed {
    /// How often it had been reconciled.
    pub epoch: u64,
    /// The end of its audit log.
    pub head: AuditHead,
    /// The newest serial number in it.
    pub serial: Option<SerialNumber>,
    /// The newest edition of a revocation list that may have been signed.
    pub list: Option<ListEdition>,
    /// The number of the newest one that could be fetched.
    pub published: Option<u64>,
    /// Whether nothing was written afterwards by whoever wrote this.
    pub closed: bool,
}

/// Whether a database is the one that was written last, or an older state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is missing in it.
    Current,
    /// Something may be missing: nothing is signed before it was reconciled.
    Behind(Box<Behind>),
}

/// A database that may lack something, beside what its witness saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// How it shows.
    pub why: Why,
    /// The end of the database's audit log.
    pub head: AuditHead,
    /// The newest edition of a revocation list in the database.
    pub list: Option<ListEdition>,
    /// What the witness saw last; `None` when there is no witness.
    pub witness: Option<Witnessed>,
}

/// How it shows that a database is not the one that was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It had a witness, which is gone.
    NoWitness,
    /// It is a copy, and nothing shows that the original did not go on.
    Copy,
    /// It ends before what the witness saw.
    Older,
    /// It holds another audit record where the witness looked.
    Forked,
    /// A revocation list was published that it does not know.
    List,
}

/// Nothing is signed before an older database was reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database may be older than what was issued from it; `doctor --after-restore` reconciles it")]
pub struct NotReconciled;

/// Nothing is issued while the witness cannot be told of it. Everything else goes on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the witness {} cannot be written to; nothing is issued until it can", path.display())]
pub struct WitnessSilent {
    /// The witness's file.
    pub path: PathBuf,
    /// What the file system said.
    pub source: Arc<io::Error>,
}

/// There is something in a witness, but nothing that it saw.
#[derive(Debug, thiserror::Error)]
#[error(
    "no line of it can be read; put the file back, or, if it is lost, remove it and run `doctor`, which says what then"
)]
struct Illegible;

/// What a database says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Testimony {
    pub(crate) epoch: u64,
    pub(crate) witnessed: bool,
    pub(crate) copied: bool,
    pub(crate) head: AuditHead,
    pub(crate) serial: Option<SerialNumber>,
    pub(crate) list: Option<ListEdition>,
    pub(crate) published: Option<u64>,
}

impl Testimony {
    /// A row with epoch, witnessed, copied; sequence and hash of the newest audit record; the newest serial number; number
    /// and dates of the newest list; the number of the newest one that could be fetched.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let mut columns = Columns::of(row);
        let epoch = columns.unsigned("provenance.epoch")?;
        let witnessed = columns.get("provenance.witnessed")?;
        let copied = columns.get::<Option<i64>>("provenance.copied")?.is_some();
        let sequence = columns.get::<Option<i64>>("audit.sequence")?.unwrap_or_default();
        let sequence = crate::codec::unsigned(sequence, "audit.sequence")?;
        let hash = columns.maybe_fingerprint("audit.hash")?.unwrap_or(AuditHead::default().hash);
        let serial = columns.maybe_serial("entries.serial")?;
        let list = edition(&mut columns)?;
        let published: Option<i64> = columns.get("editions.number")?;
        let published = published.map(|number| crate::codec::unsigned(number, "editions.number")).transpose()?;
        Ok(Self { epoch, witnessed, copied, head: AuditHead { sequence, hash }, serial, list, published })
    }

    /// Whether nothing was ever done with it, so that it cannot lack anything.
    pub(crate) fn is_blank(&self) -> bool {
        let Self { epoch, witnessed, copied, head, serial, list, published } = self;
        let untouched = *epoch == 0 && !witnessed && !copied;
        untouched && head.sequence == 0 && serial.is_none() && list.is_none() && published.is_none()
    }

    pub(crate) const fn witnessed(&self, closed: bool) -> Witnessed {
        let Self { epoch, head, serial, list, published, .. } = *self;
        Witnessed { epoch, head, serial, list, published, closed }
    }

    /// Compares with what the witness saw. `there` is the hash of the database's own record at the witness's place.
    pub(crate) fn beside(&self, witness: Option<&Witnessed>, there: Option<Fingerprint>) -> Standing {
        match self.behind(witness, there) {
            None => Standing::Current,
            Some(why) => {
                Standing::Behind(Box::new(Behind { why, head: self.head, list: self.list, witness: witness.copied() }))
            }
        }
    }

    fn behind(&self, witness: Option<&Witnessed>, there: Option<Fingerprint>) -> Option<Why> {
        let Some(seen) = witness else {
            return match (self.copied, self.witnessed) {
                (true, _) => Some(Why::Copy),
                (false, true) => Some(Why::NoWitness),
                (false, false) => None,
            };
        };
        if seen.epoch != self.epoch {
            // A database that was reconciled outlives the words of its witness about the time before.
            return (seen.epoch > self.epoch).then_some(Why::Older);
        }
        if seen.head.sequence > self.head.sequence {
            return Some(Why::Older);
        }
        if seen.head.sequence > 0 && there != Some(seen.head.hash) {
            return Some(Why::Forked);
        }
        if seen.list.map(|list| list.number) > self.list.map(|list| list.number) {
            return Some(Why::List);
        }
        (self.copied && !(seen.closed && seen.head == self.head)).then_some(Why::Copy)
    }
}

/// Three columns: number, first and last date in seconds; all or none.
pub(crate) fn edition(columns: &mut Columns<'_>) -> Result<Option<ListEdition>, StoreError> {
    let number: Option<i64> = columns.get("editions.number")?;
    let mut date = || {
        let seconds: Option<i64> = columns.get("editions.this_update")?;
        let date = |seconds| UtcDateTime::from_unix_timestamp(seconds).map_err(|_| damaged("editions.this_update"));
        seconds.map(date).transpose()
    };
    let (this_update, next_update) = (date()?, date()?);
    let Some(number) = number else { return Ok(None) };
    let number = crate::codec::unsigned(number, "editions.number")?;
    match (this_update, next_update) {
        (Some(this_update), Some(next_update)) => Ok(Some(ListEdition { number, this_update, next_update })),
        _ => Err(damaged("editions.this_update")),
    }
}

/// Records an edition, unless a newer one is recorded.
pub(crate) fn put_edition(script: &mut Script, state: &'static str, list: ListEdition) {
    script.push(
        "/* witness::put_edition */ INSERT INTO editions (state, number, this_update, next_update) VALUES (?, ?, ?, ?) \
         ON CONFLICT (state) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, \
         next_update = excluded.next_update WHERE excluded.number > editions.number",
    );
    script.bind(state).bind(signed(list.number)).bind(list.this_update.unix_timestamp());
    script.bind(list.next_update.unix_timestamp());
}

/// What stands in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    /// There is no file, or nothing in it.
    Nothing,
    /// Something that is no line of a witness.
    Illegible,
    /// The farthest that it saw.
    Seen(Witnessed),
}

/// The file. Its lines are only added.
pub(crate) struct Witness {
    path: PathBuf,
    /// Whoever owns it owns the witness.
    database: PathBuf,
    /// What this process wrote last.
    last: Mutex<Option<Witnessed>>,
}

impl Told {
    /// What it saw, if there is anything in it.
    pub(crate) fn seen(self) -> io::Result<Option<Witnessed>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Seen(seen) => Ok(Some(seen)),
            Self::Illegible => Err(io::Error::new(io::ErrorKind::InvalidData, Illegible)),
        }
    }
}

impl Witness {
    /// The witness of a database: where it is said to be, or beside it with `.witness` behind its name.
    pub(crate) fn of(database: &Path, elsewhere: Option<&Path>) -> Self {
        let beside = || {
            let mut name = database.as_os_str().to_owned();
            name.push(".witness");
            PathBuf::from(name)
        };
        let path = elsewhere.map_or_else(beside, Path::to_owned);
        Self { path, database: database.to_owned(), last: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The farthest that it saw; `None` when there is no file or nothing in it.
    pub(crate) fn newest(&self) -> io::Result<Option<Witnessed>> {
        self.told()?.seen()
    }

    /// What stands in it.
    pub(crate) fn told(&self) -> io::Result<Told> {
        // What stands where the power went off may be no text at all.
        let text = match fs::read(&self.path) {
            Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Told::Nothing),
            Err(error) => return Err(error),
        };
        // A line that was being written when the power went off cannot be read, and nobody went on because of it.
        Ok(match text.lines().filter_map(read).max_by_key(rank) {
            Some(seen) => Told::Seen(seen),
            None if text.trim().is_empty() => Told::Nothing,
            None => Told::Illegible,
        })
    }

    /// Finds out whether lines can be added, and adds none. A file that is missing is made, with nothing in it.
    pub(crate) fn try_append(&self) -> io::Result<()> {
        match appending(&self.path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                appending(&self.path, true)?;
                self.hand_over(&self.path);
                sync_folder(&self.path)
            }
            tried => tried.map(drop),
        }
    }

    /// Adds a line, unless it would repeat the last one; it is on the disk when this returns.
    pub(crate) fn add(&self, seen: Witnessed) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == Some(seen) {
            return Ok(());
        }
        let line = line(&seen);
        let length = fs::metadata(&self.path).map(|metadata| metadata.len());
        match length {
            Ok(length) if length > LONGEST => self.begin_anew(&seen)?,
            Ok(_) => append(&self.path, &line, false)?,
            Err(_) => {
                append(&self.path, &line, true)?;
                self.hand_over(&self.path);
                sync_folder(&self.path)?;
            }
        }
        *last = Some(seen);
        Ok(())
    }

    /// Puts a file in its place that holds the newest line and this one.
    fn begin_anew(&self, seen: &Witnessed) -> io::Result<()> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // A program that died here has left it.
        let _: io::Result<()> = fs::remove_file(&new);
        let before = self.newest()?.map(|newest| line(&newest)).unwrap_or_default();
        append(&new, &[before, line(seen)].concat(), true)?;
        self.hand_over(&new);
        fs::rename(&new, &self.path)?;
        sync_folder(&self.path)
    }

    fn hand_over(&self, file: &Path) {
        if let Err(error) = own_like(file, &self.database) {
            tracing::warn!(%error, path = %file.display(), "the witness does not belong to the database's owner");
        }
    }
}

/// A file of root's that root made for a service would shut the service out: it goes to the database's owner.
#[cfg(unix)]
fn own_like(file: &Path, other: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let (mine, theirs) = (fs::metadata(file)?, fs::metadata(other)?);
    if (mine.uid(), mine.gid()) == (theirs.uid(), theirs.gid()) {
        return Ok(());
    }
    chown(file, Some(theirs.uid()), Some(theirs.gid()))
}

#[cfg(not(unix))]
fn own_like(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// What is farther: reconciled more often, then more records, then more lists.
fn rank(seen: &Witnessed) -> (u64, u64, Option<u64>) {
    (seen.epoch, seen.head.sequence, seen.list.map(|list| list.number))
}

fn line(seen: &Witnessed) -> String {
    let list = seen
        .list
        .map(|list| [signed(list.number), list.this_update.unix_timestamp(), list.next_update.unix_timestamp()]);
    let line = json!({
        "epoch": seen.epoch, "sequence": seen.head.sequence, "hash": seen.head.hash.to_string(),
        "serial": seen.serial.map(|serial| serial.to_string()), "list": list, "published": seen.published,
        "closed": seen.closed,
    });
    // The line break stands in front, so that half a line spoils no other.
    format!("\n{line}")
}

fn signed(value: u64) -> i64 {
    crate::codec::signed(value)
}

fn read(line: &str) -> Option<Witnessed> {
    let line: Value = serde_json::from_str(line).ok()?;
    let maybe = |field: &str| line.get(field).filter(|value| !value.is_null());
    let list = |value: &Value| {
        let [number, this_update, next_update] = value.as_array()?.as_slice() else { return None };
        let date = |seconds: &Value| UtcDateTime::from_unix_timestamp(seconds.as_i64()?).ok();
        Some(ListEdition { number: number.as_u64()?, this_update: date(this_update)?, next_update: date(next_update)? })
    };
    let list = match maybe("list") {
        Some(value) => Some(list(value)?),
        None => None,
    };
    let serial = match maybe("serial") {
        Some(value) => Some(value.as_str()?.parse().ok()?),
        None => None,
    };
    let published = match maybe("published") {
        Some(value) => Some(value.as_u64()?),
        None => None,
    };
    let hash = line.get("hash")?.as_str()?.parse().ok()?;
    Some(Witnessed {
        epoch: line.get("epoch")?.as_u64()?,
        head: AuditHead { sequence: line.get("sequence")?.as_u64()?, hash },
        serial,
        list,
        published,
        closed: line.get("closed")?.as_bool()?,
    })
}

fn appending(path: &Path, new: bool) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn append(path: &Path, text: &str, new: bool) -> io::Result<()> {
    let mut file = appending(path, new)?;
    // One write, so that the lines of two programs do not mix.
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(number: u64) -> ListEdition {
        let this_update = UtcDateTime::UNIX_EPOCH;
        ListEdition { number, this_update, next_update: this_update + time::Duration::DAY }
    }

    fn head(sequence: u64, hash: u8) -> AuditHead {
        AuditHead { sequence, hash: Fingerprint::new([hash; 32]) }
    }

    /// Every way in which a database can be older than its witness, and none in which it cannot.
    #[test]
    fn what_is_missing_shows() {
        let mine = Testimony {
            epoch: 1,
            witnessed: true,
            copied: false,
            head: head(9, 9),
            serial: None,
            list: Some(list(3)),
            published: None,
        };
        let seen =
            Witnessed { epoch: 1, head: head(7, 7), serial: None, list: Some(list(3)), published: None, closed: false };
        let ours = Some(head(7, 7).hash);
        let closed = Witnessed { head: head(9, 9), closed: true, ..seen };
        let copied = Testimony { copied: true, ..mine };
        for (mine, seen, there, why) in [
            (mine, Some(seen), ours, None),
            (mine, Some(Witnessed { head: head(9, 9), ..seen }), Some(head(9, 9).hash), None),
            (mine, Some(Witnessed { head: head(10, 9), ..seen }), None, Some(Why::Older)),
            (mine, Some(Witnessed { epoch: 2, ..seen }), ours, Some(Why::Older)),
            // Reconciled, and not told the witness yet.
            (mine, Some(Witnessed { epoch: 0, head: head(99, 1), list: Some(list(99)), ..seen }), None, None),
            (mine, Some(seen), Some(head(7, 8).hash), Some(Why::Forked)),
            (mine, Some(Witnessed { list: Some(list(4)), ..seen }), ours, Some(Why::List)),
            (Testimony { list: None, ..mine }, Some(seen), ours, Some(Why::List)),
            (mine, Some(Witnessed { list: None, ..seen }), ours, None),
            (mine, None, None, Some(Why::NoWitness)),
            (Testimony { witnessed: false, ..mine }, None, None, None),
            (Testimony { witnessed: false, ..copied }, None, None, Some(Why::Copy)),
            (copied, Some(seen), ours, Some(Why::Copy)),
            (copied, Some(closed), Some(head(9, 9).hash), None),
            (copied, Some(Witnessed { closed: false, ..closed }), Some(head(9, 9).hash), Some(Why::Copy)),
            (copied, Some(Witnessed { head: head(7, 7), ..closed }), ours, Some(Why::Copy)),
        ] {
            assert_eq!(mine.behind(seen.as_ref(), there), why, "{mine:?} {seen:?}");
        }
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let serial = Some(SerialNumber::from_time_and_random(1_700_000_000_000, [7; 13]));
        let full = Witnessed {
            epoch: 2,
            head: head(7, 7),
            serial,
            list: Some(list(u64::from(u32::MAX))),
            published: Some(6),
            closed: true,
        };
        let bare = Witnessed { serial: None, list: None, published: None, closed: false, ..full };
        for seen in [full, bare] {
            assert_eq!(read(line(&seen).trim()), Some(seen));
        }
        assert_eq!(read("{\"epoch\":1}"), None);
    }
}
