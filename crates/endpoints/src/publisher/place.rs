//! The folder that the list is published from.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// A folder and the list's name in it. Several processes may publish there, of whom the newest edition stays; any web server
/// may serve the folder too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    /// The list is the file `name` in `folder`, which has to exist.
    pub fn new(folder: impl Into<PathBuf>, name: &str) -> Self {
        Self { folder: folder.into(), name: name.to_owned() }
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The published file, or `None` when there is none yet.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        match File::open(self.folder.join(&self.name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what killed processes have left behind of editions below `published`. Another process may be at work on a
    /// newer one; on an older one it would be in vain.
    pub(super) fn clear(&self, published: u64) -> io::Result<()> {
        let ours = format!(".{}.", self.name);
        let number = |name: &str| -> Option<u64> {
            let (number, kind) = name.strip_prefix(&ours)?.rsplit_once('.')?;
            matches!(kind, ENTRIES | DRAFT).then(|| number.parse().ok()).flatten()
        };
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            if file.file_name().to_str().and_then(number).is_some_and(|number| number < published) {
                gone(fs::remove_file(file.path()))?;
            }
        }
        Ok(())
    }

    /// A file for the entries of an edition, gone when it is dropped.
    pub(super) fn entries(&self, number: u64) -> io::Result<Temporary> {
        self.temporary(number, ENTRIES)
    }

    /// A file for an edition, gone when it is dropped before it is published.
    pub(super) fn draft(&self, number: u64) -> io::Result<Temporary> {
        self.temporary(number, DRAFT)
    }

    fn temporary(&self, number: u64, kind: &str) -> io::Result<Temporary> {
        let path = self.folder.join(format!(".{}.{number}.{kind}", self.name));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Temporary { file, path })
    }

    /// Puts a draft in the place of the published file. Whoever reads sees the old or the new one, whole, and so does
    /// whoever reads after a loss of power.
    pub(super) fn publish(&self, draft: &Temporary) -> io::Result<()> {
        draft.file.sync_all()?;
        fs::rename(&draft.path, self.folder.join(&self.name))?;
        sync_folder(&self.folder)
    }
}

const ENTRIES: &str = "entries";
const DRAFT: &str = "draft";

/// Somebody else may have been faster.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a rename durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    // Elsewhere a folder cannot be opened like a file; the file system sees to it.
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// A file that goes when it is dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
}

impl Temporary {
    /// The same file once more, to read from.
    pub(super) fn reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = gone(fs::remove_file(&self.path)) {
            tracing::debug!(%error, "a temporary file stays behind until a newer list is published");
        }
    }
}

impl Read for Temporary {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for Temporary {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Temporary {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
